//! The keys that sign tokens, and their published parts.

use authledger::http::Surface;
use authledger::keys::Algorithm;
use serde_json::{Value, json};

use crate::support::served::{Answer, Made, ServedNode};

async fn issue(node: &ServedNode, ttl: u64) -> Answer {
    let answer = node.root().post("/v1/tokens", json!({"subject": "a", "ttl": ttl})).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

async fn published(node: &ServedNode) -> Vec<String> {
    let set = node.nobody().get("/.well-known/jwks.json").await.json();
    let keys = set["keys"].as_array().expect("a list").clone();
    keys.iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

async fn is_active(node: &ServedNode, token: &Answer) -> bool {
    node.root().post("/v1/introspect", json!({"credential": token.text("token")})).await.json()["active"] == true
}

async fn rotate(node: &ServedNode, body: Value) -> Answer {
    node.root().post("/v1/keys", body).await
}

/// The keys as their list shows them, with the state of each.
async fn states(node: &ServedNode) -> Vec<(String, String)> {
    let listed = node.root().get("/v1/keys").await.json();
    let keys = listed["keys"].as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut states: Vec<_> = keys.iter().map(|key| (text(&key["kid"]), text(&key["state"]))).collect();
    states.sort_by_key(|(_, state)| ["signs", "waits", "next", "verifies"].iter().position(|one| one == state));
    states
}

async fn signed_with(token: &Answer) -> String {
    let header = token.text("token").split('.').next().expect("a header").to_owned();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).expect("base64");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a name").to_owned()
}

fn lose_key_files(node: &ServedNode, names: &[&str]) {
    for name in names {
        let file = node.ledger().with_file_name("keys").join(format!("token-{name}.key"));
        std::fs::remove_file(file).expect("removed");
    }
}

#[tokio::test]
async fn the_keys_of_a_fresh_ledger_are_published_before_the_first_token() {
    let node = ServedNode::start().await;
    assert_eq!(node.nobody().get("/.well-known/jwks.json").await.json(), json!({"keys": []}));
    node.service().begin_keys().await;
    let set = node.nobody().get("/.well-known/jwks.json").await;
    assert_eq!((set.header("content-type"), set.header("cache-control")), ("application/json", "public, max-age=60"));
    assert_eq!(set.json()["keys"].as_array().map(Vec::len), Some(2), "one signs and one is next");
    let key = &set.json()["keys"][0];
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("EC"), &json!("ES256"), &json!("sig")));
    assert!(key.get("d").is_none(), "the public half alone");
    let configuration = node.nobody().get("/.well-known/openid-configuration").await.json();
    let due = json!({
        "issuer": "http://ledger.test", "jwks_uri": "http://ledger.test/.well-known/jwks.json",
        "id_token_signing_alg_values_supported": ["ES256"], "subject_types_supported": ["public"],
        "response_types_supported": ["none"],
    });
    // The surfaces add where their calls are.
    for (name, value) in due.as_object().expect("an object") {
        assert_eq!(configuration[name], *value, "{name}");
    }
    let mut made = Made::default();
    made.options.surfaces.retain(|surface| *surface != Surface::Oauth);
    let plain = ServedNode::made(made).await;
    plain.service().begin_keys().await;
    assert_eq!(plain.nobody().get("/.well-known/openid-configuration").await.json(), due);
    let [signs, next] = &*states(&node).await else { panic!("two keys") };
    assert_eq!((&*signs.1, &*next.1), ("signs", "next"));
    let token = issue(&node, 60).await;
    assert_eq!(signed_with(&token).await, signs.0, "nobody can hold a set without it, so it signs at once");
    assert_eq!(published(&node).await.len(), 2, "the token made no other key");
    assert_eq!(node.nobody().send(axum::http::Method::POST, "/.well-known/jwks.json", "").await.status, 405);
}

#[tokio::test]
async fn every_key_that_signs_was_published_for_long_enough_before() {
    let node = ServedNode::start().await;
    node.service().begin_keys().await;
    let mut fetched = published(&node).await;
    for rotation in 0..4 {
        let too_new = rotate(&node, json!({})).await;
        assert_eq!(too_new.outcome(), (409, "next-key-too-new".to_owned()), "{rotation}");
        assert!(too_new.text("detail").contains("may sign from 2027-01-15T0"), "{}", too_new.shown());
        node.clock.advance(899_999);
        assert_eq!(rotate(&node, json!({"now": false})).await.status, 409);
        node.clock.advance(1);
        let rotated = rotate(&node, json!({})).await;
        assert_eq!(rotated.status, 201, "{}", rotated.shown());
        let signs = rotated.text("kid").to_owned();
        assert!(fetched.contains(&signs), "a verifier that has fetched the set just after the last rotation knows it");
        let token = issue(&node, 600).await;
        assert_eq!(signed_with(&token).await, signs);
        fetched = published(&node).await;
        assert!(fetched.contains(&rotated.json()["next"]["kid"].as_str().expect("a name").to_owned()));
        assert_eq!(rotated.json()["next"]["state"], "next");
    }
}

#[tokio::test]
async fn in_an_emergency_the_next_key_signs_at_once() {
    let node = ServedNode::start().await;
    issue(&node, 60).await;
    let [old, next] = &*states(&node).await else { panic!("two keys") };
    let rotated = rotate(&node, json!({"now": true})).await;
    assert_eq!((rotated.status.as_u16(), rotated.text("kid")), (201, &*next.0));
    let token = issue(&node, 60).await;
    assert_eq!(signed_with(&token).await, next.0);
    let again = rotate(&node, json!({"now": true})).await;
    assert_eq!(again.text("kid"), rotated.json()["next"]["kid"], "the next one, too, if it was stolen with the first");
    assert_eq!(signed_with(&issue(&node, 60).await).await, again.text("kid"));
    assert!(published(&node).await.contains(&old.0), "its tokens are active until they expire");
    for body in ["{\"now\": 1}", "{\"soon\": true}", "[]", "null"] {
        assert_eq!(node.root().post_text("/v1/keys", body).await.outcome(), (400, "invalid-body".to_owned()), "{body}");
    }
}

#[tokio::test]
async fn a_key_that_signs_no_more_is_published_until_its_last_token_has_expired() {
    let mut node = ServedNode::start().await;
    let first = issue(&node, 2_000).await;
    node.clock.advance(900_000);
    let rotated = node.root().send(axum::http::Method::POST, "/v1/keys", "").await;
    assert_eq!(rotated.status, 201, "without a body");
    assert_eq!((rotated.text("alg"), rotated.text("issuer")), ("ES256", "http://ledger.test"));
    assert_eq!(rotated.text("published_at"), "2027-01-15T08:00:00.000Z");
    assert_eq!(rotated.json()["next"]["signs_from"], "2027-01-15T08:30:00.000Z");
    assert_eq!(published(&node).await.len(), 3);
    let new = issue(&node, 3_600).await;
    let shown: Vec<_> = states(&node).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(shown, ["signs", "next", "verifies"]);
    let listed = node.root().get("/v1/keys").await.json();
    assert!(listed.to_string().contains("\"verifies_until\":\"2027-01-15T08:38:20.000Z\""), "{listed}");
    node.restart().await;
    assert!(is_active(&node, &first).await && is_active(&node, &new).await);
    node.clock.advance(1_100_000);
    assert!(!is_active(&node, &first).await, "it has expired");
    assert_eq!(published(&node).await.len(), 3, "for clocks that are behind");
    node.clock.advance(299_999);
    assert_eq!(published(&node).await.len(), 3);
    node.clock.advance(1);
    assert_eq!(published(&node).await.len(), 2, "it leaves the set by itself");
    assert!(is_active(&node, &new).await);
}

#[tokio::test]
async fn a_rotation_is_repeated_once_and_needs_admin_everywhere() {
    let node = ServedNode::start().await;
    node.service().begin_keys().await;
    node.clock.advance(900_000);
    let keyed = node.root().keyed("0123456789abcdef");
    let first = keyed.post("/v1/keys", json!({})).await;
    assert_eq!(first.status, 201, "{}", first.shown());
    assert_eq!(keyed.post("/v1/keys", json!({})).await.body, first.body);
    assert_eq!(published(&node).await.len(), 2, "the first signed nothing");
    node.clock.advance(900_000);
    assert_eq!(rotate(&node, json!({})).await.status, 201);
    assert_eq!(keyed.post("/v1/keys", json!({})).await.body, first.body, "whatever has happened since");
    let somewhere = node.application(&[("acme", &["admin"])]).await;
    for answer in [somewhere.post("/v1/keys", json!({})).await, somewhere.get("/v1/keys").await] {
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn if_the_key_that_signs_is_lost_the_next_one_takes_over() {
    let mut node = ServedNode::start().await;
    let before = node.root().keyed("0123456789abcdef").post("/v1/tokens", json!({"subject": "a"})).await;
    node.clock.advance(900_000);
    let [signs, next] = &*states(&node).await else { panic!("two keys") };
    lose_key_files(&node, &[&signs.0]);
    node.restart().await;
    let after = issue(&node, 60).await;
    assert_eq!(signed_with(&after).await, next.0, "which verifiers have");
    assert!(is_active(&node, &before).await && is_active(&node, &after).await);
    assert_eq!(published(&node).await.len(), 3, "and another one is next");
    let again = node.root().keyed("0123456789abcdef").post("/v1/tokens", json!({"subject": "a"})).await;
    assert_eq!(again.outcome(), (409, "no-signing-key".to_owned()), "its token can't be signed again");
}

#[tokio::test]
async fn a_next_key_that_is_lost_is_replaced_and_waits_its_time_again() {
    let mut node = ServedNode::start().await;
    issue(&node, 60).await;
    node.clock.advance(900_000);
    let [signs, next] = &*states(&node).await else { panic!("two keys") };
    lose_key_files(&node, &[&next.0]);
    node.restart().await;
    assert_eq!(signed_with(&issue(&node, 60).await).await, signs.0);
    assert!(!published(&node).await.contains(&next.0), "it signed nothing");
    assert_eq!(rotate(&node, json!({})).await.outcome(), (409, "next-key-too-new".to_owned()));
}

#[tokio::test]
async fn a_node_that_lost_both_keys_signs_once_the_new_ones_were_published_for_long_enough() {
    let mut node = ServedNode::start().await;
    let before = issue(&node, 4_000).await;
    let [signs, next] = &*states(&node).await else { panic!("two keys") };
    lose_key_files(&node, &[&signs.0, &next.0]);
    node.restart().await;
    let refused = node.root().post("/v1/tokens", json!({"subject": "a"})).await;
    assert_eq!(refused.outcome(), (503, "signing-key-too-new".to_owned()));
    assert_eq!(refused.header("retry-after"), "60");
    assert!(refused.text("detail").contains("signs from 2027-01-15T08:15:00.000Z on"), "{}", refused.shown());
    let opaque = node.root().post("/v1/tokens", json!({"subject": "a", "format": "opaque"})).await;
    assert_eq!(opaque.status, 201, "{}", opaque.shown());
    assert_eq!(published(&node).await.len(), 3, "both new ones, and the old one for its tokens");
    let shown: Vec<_> = states(&node).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(shown, ["waits", "next", "verifies"]);
    node.restart().await;
    node.clock.advance(899_999);
    assert_eq!(node.root().post("/v1/tokens", json!({"subject": "a"})).await.status, 503, "a restart changes nothing");
    node.clock.advance(1);
    let after = issue(&node, 60).await;
    assert!(is_active(&node, &before).await && is_active(&node, &after).await);
}

#[tokio::test]
async fn in_an_emergency_a_node_that_lost_both_keys_signs_at_once_and_after_a_restart() {
    let mut node = ServedNode::start().await;
    issue(&node, 4_000).await;
    let [signs, next] = &*states(&node).await else { panic!("two keys") };
    lose_key_files(&node, &[&signs.0, &next.0]);
    node.restart().await;
    assert_eq!(node.root().post("/v1/tokens", json!({"subject": "a"})).await.status, 503);
    assert_eq!(rotate(&node, json!({"now": true})).await.status, 201);
    issue(&node, 60).await;
    assert_eq!(rotate(&node, json!({"now": true})).await.status, 201);
    node.restart().await;
    issue(&node, 60).await;
}

#[tokio::test]
async fn another_algorithm_is_announced_before_it_is_used() {
    let mut node = ServedNode::start().await;
    issue(&node, 4_000).await;
    node.clock.advance(900_000);
    node.restart_with(Made { algorithm: Algorithm::Rs256, ..Made::default() }).await;
    let configuration = async |node: &ServedNode| {
        let body = node.nobody().get("/.well-known/openid-configuration").await.json();
        body["id_token_signing_alg_values_supported"].clone()
    };
    node.service().begin_keys().await;
    assert_eq!(configuration(&node).await, json!(["ES256", "RS256"]));
    let token = issue(&node, 60).await;
    let [signs, next] = &*states(&node).await else { panic!("two keys: the old next one signed nothing") };
    assert_eq!(signed_with(&token).await, signs.0);
    assert_eq!(rotate(&node, json!({})).await.outcome(), (409, "next-key-too-new".to_owned()));
    node.clock.advance(900_000);
    let rotated = rotate(&node, json!({})).await;
    assert_eq!((rotated.text("alg"), rotated.text("kid")), ("RS256", &*next.0));
    assert_eq!(signed_with(&issue(&node, 60).await).await, next.0);
    assert_eq!(configuration(&node).await, json!(["ES256", "RS256"]), "the tokens of the old one are still active");
}

#[tokio::test]
async fn another_public_url_replaces_keys_that_have_signed_nothing() {
    let mut node = ServedNode::start().await;
    node.service().begin_keys().await;
    let before = published(&node).await;
    node.restart_with(Made { issuer: "https://auth.example", ..Made::default() }).await;
    node.service().begin_keys().await;
    let after = published(&node).await;
    assert!(after.len() == 2 && after.iter().all(|kid| !before.contains(kid)), "{before:?} {after:?}");
    let configuration = node.nobody().get("/.well-known/openid-configuration").await.json();
    assert_eq!(configuration["issuer"], "https://auth.example");
    issue(&node, 60).await;
}

#[tokio::test]
async fn the_published_set_has_only_keys_that_every_verifier_can_read() {
    for (algorithm, known) in [
        (Algorithm::Es256, json!(["EC", "P-256"])),
        (Algorithm::EdDsa, json!(["OKP", "Ed25519"])),
        (Algorithm::Rs256, json!(["RSA", null])),
    ] {
        let node = ServedNode::made(Made { algorithm, ..Made::default() }).await;
        node.service().begin_keys().await;
        let set = node.nobody().get("/.well-known/jwks.json").await.json();
        for key in set["keys"].as_array().expect("a list") {
            assert_eq!((json!([key["kty"], key["crv"]]), &key["alg"]), (known.clone(), &json!(algorithm.as_str())));
        }
    }
}

#[tokio::test]
async fn a_token_that_a_thief_signs_with_a_retired_key_expires_no_later_than_those_that_the_key_signed() {
    let node = ServedNode::start().await;
    issue(&node, 600).await;
    let kid = states(&node).await.remove(0).0;
    let keys = node.ledger().with_file_name("keys");
    let stolen = authledger::keys::SigningKey::load(&keys, &kid).expect("readable").expect("there");
    let forged = |life: u64| {
        let now = node.clock.now().as_seconds();
        let claims = json!({
            "iss": "http://ledger.test", "sub": "a", "oid": "default", "jti": "forged", "iat": now, "exp": now + life,
        });
        authledger::jose::sign(&stolen, &claims).expect("a token")
    };
    let is_accepted = async |token: String| {
        node.root().post("/v1/introspect", json!({"credential": token})).await.json()["active"] == true
    };
    assert!(is_accepted(forged(601)).await, "until the theft is known it is as valid as ours");
    assert_eq!(rotate(&node, json!({"now": true})).await.status, 201);
    assert!(!is_accepted(forged(601)).await);
    assert!(is_accepted(forged(600)).await, "it can't be told from an honest one");
}
