//! The keys that sign tokens, and their published parts.

use serde_json::{Value, json};

use crate::support::served::{Answer, ServedNode};

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

#[tokio::test]
async fn the_first_jwt_makes_the_key_that_verifies_it() {
    let node = ServedNode::start().await;
    assert_eq!(node.nobody().get("/.well-known/jwks.json").await.json(), json!({"keys": []}));
    issue(&node, 60).await;
    let set = node.nobody().get("/.well-known/jwks.json").await;
    assert_eq!((set.header("content-type"), set.header("cache-control")), ("application/json", "public, max-age=60"));
    let key = &set.json()["keys"][0];
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("EC"), &json!("ES256"), &json!("sig")));
    assert!(key.get("d").is_none(), "the public half alone");
    let configuration = node.nobody().get("/.well-known/openid-configuration").await.json();
    let due = json!({
        "issuer": "http://ledger.test", "jwks_uri": "http://ledger.test/.well-known/jwks.json",
        "id_token_signing_alg_values_supported": ["ES256"], "subject_types_supported": ["public"],
        "response_types_supported": ["none"],
    });
    assert_eq!(configuration, due);
    let listed = node.root().get("/v1/keys").await.json();
    assert_eq!(listed["keys"][0]["kid"], key["kid"]);
    assert_eq!(node.nobody().send(axum::http::Method::POST, "/.well-known/jwks.json", "").await.status, 405);
}

#[tokio::test]
async fn a_key_that_signs_no_more_is_published_until_its_last_token_has_expired() {
    let mut node = ServedNode::start().await;
    let old = issue(&node, 600).await;
    let rotated = node.root().post("/v1/keys", Value::Null).await;
    assert_eq!(rotated.status, 201);
    assert_eq!((rotated.text("alg"), rotated.text("issuer")), ("ES256", "http://ledger.test"));
    assert_eq!(rotated.text("published_at"), "2027-01-15T08:00:00.000Z");
    let keys = published(&node).await;
    assert_eq!(keys.len(), 2);
    let new = issue(&node, 3_600).await;
    let listed = node.root().get("/v1/keys").await.json();
    let states: Vec<_> = listed["keys"].as_array().expect("a list").iter().map(|key| key["signs"].clone()).collect();
    assert!(states.contains(&json!(true)) && states.contains(&json!(false)), "{listed}");
    assert!(listed.to_string().contains("\"verifies_until\":\"2027-01-15T08:15:00.000Z\""), "{listed}");
    node.restart().await;
    assert!(is_active(&node, &old).await && is_active(&node, &new).await);
    node.clock.advance(600_000);
    assert!(!is_active(&node, &old).await, "it has expired");
    assert_eq!(published(&node).await.len(), 2, "for clocks that are behind");
    node.clock.advance(300_000);
    assert_eq!(published(&node).await, [rotated.text("kid")]);
    assert!(is_active(&node, &new).await);
}

#[tokio::test]
async fn a_rotation_is_repeated_once_and_needs_admin_everywhere() {
    let node = ServedNode::start().await;
    let keyed = node.root().keyed("0123456789abcdef");
    let first = keyed.post("/v1/keys", Value::Null).await;
    assert_eq!(keyed.post("/v1/keys", Value::Null).await.body, first.body);
    assert_eq!(published(&node).await.len(), 1);
    let somewhere = node.application(&[("acme", &["admin"])]).await;
    for answer in [somewhere.post("/v1/keys", Value::Null).await, somewhere.get("/v1/keys").await] {
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn a_key_whose_file_is_lost_is_replaced_and_its_tokens_stay_active() {
    let mut node = ServedNode::start().await;
    let before = node.root().keyed("0123456789abcdef").post("/v1/tokens", json!({"subject": "a"})).await;
    let keys = node.ledger().with_file_name("keys");
    for entry in std::fs::read_dir(keys).expect("the keys").map(|entry| entry.expect("a file")) {
        if entry.file_name().to_string_lossy().starts_with("token-") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    node.restart().await;
    let after = issue(&node, 60).await;
    assert!(is_active(&node, &before).await && is_active(&node, &after).await);
    assert_eq!(published(&node).await.len(), 2);
    let again = node.root().keyed("0123456789abcdef").post("/v1/tokens", json!({"subject": "a"})).await;
    assert_eq!(again.outcome(), (409, "no-signing-key".to_owned()), "its token can't be signed again");
}

#[tokio::test]
async fn a_token_that_a_thief_signs_with_a_retired_key_expires_no_later_than_those_that_the_key_signed() {
    let node = ServedNode::start().await;
    issue(&node, 600).await;
    let kid = published(&node).await.remove(0);
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
    assert_eq!(node.root().post("/v1/keys", Value::Null).await.status, 201);
    assert!(!is_accepted(forged(601)).await);
    assert!(is_accepted(forged(600)).await, "it can't be told from an honest one");
}
