//! Tokens, through the native API.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, Node};

const KEY: &str = "a-key-of-the-tests-0001";

async fn issue(actor: &Actor, body: Value) -> Answer {
    let answer = actor.post("/v1/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

/// What a JWT says.
fn claims(issued: &Answer) -> Value {
    let payload = issued.text("token").split('.').nth(1).expect("three parts").to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn is_active(node: &Node, token: &str) -> bool {
    node.root().post("/v1/introspect", json!({"credential": token})).await.json()["active"] == true
}

fn everything() -> Value {
    json!({
        "tenant": "acme", "subject": "person-1", "ttl": 600, "audience": ["api", "reports"],
        "scope": "read write", "claims": {"email": "ada@example.org", "roles": ["editor"]},
    })
}

#[tokio::test]
async fn a_jwt_says_who_it_is_for_and_is_good_until_it_is_ended() {
    let node = Node::start().await;
    let issued = issue(&node.root(), everything()).await;
    insta::assert_snapshot!("token", issued.shown().replace(issued.text("token"), "[jwt]"));
    let claims = claims(&issued);
    let due = json!({
        "iss": "http://ledger.test", "jti": issued.text("id"), "sub": "person-1", "oid": "acme", "iat": 1_800_000_000,
        "exp": 1_800_000_600, "aud": ["api", "reports"], "scope": "read write", "email": "ada@example.org",
        "roles": ["editor"],
    });
    assert_eq!(claims, due);
    let asked = node.root().post("/v1/introspect", json!({"credential": issued.text("token")})).await;
    insta::assert_snapshot!("token_introspected", asked.shown());
    let by_id = json!({"kind": "token", "id": issued.text("id")});
    let revoked = node.root().post("/v1/revocations", by_id.clone()).await;
    insta::assert_snapshot!("token_revoked", revoked.shown());
    assert!(!is_active(&node, issued.text("token")).await);
    for again in [by_id, json!({"credential": issued.text("token")})] {
        let again = node.root().post("/v1/revocations", again).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &revoked.body));
    }
}

#[tokio::test]
async fn an_opaque_token_says_nothing_by_itself() {
    let node = Node::start().await;
    let issued = issue(&node.root(), json!({"subject": "a", "format": "opaque"})).await;
    assert!(issued.text("token").starts_with("al_o_") && issued.json().get("iss").is_none());
    assert_eq!(node.head().0, 2, "it needs no key");
    assert!(is_active(&node, issued.text("token")).await);
    let by_id = json!({"kind": "token", "id": issued.text("id")});
    assert_eq!(node.root().post("/v1/revocations", by_id).await.status, 201);
    assert!(!is_active(&node, issued.text("token")).await);
}

#[tokio::test]
async fn a_token_lasts_as_long_as_its_session_and_dies_with_it() {
    let node = Node::start().await;
    let session = node.root().post("/v1/sessions", json!({"subject": "a", "ttl": 60})).await;
    let id = session.json()["session"]["id"].clone();
    let mut tokens = Vec::new();
    for format in ["jwt", "opaque"] {
        let issued = issue(&node.root(), json!({"subject": "a", "session_id": id, "format": format})).await;
        assert_eq!((&issued.json()["session_id"], issued.text("expires_at")), (&id, "2027-01-15T08:01:00.000Z"));
        assert!(is_active(&node, issued.text("token")).await);
        tokens.push(issued);
    }
    assert_eq!(claims(&tokens[0])["sid"], id);
    let other = node.root().post("/v1/tokens", json!({"subject": "b", "session_id": id})).await;
    assert_eq!(other.outcome(), (409, "session-not-good".to_owned()));
    assert_eq!(node.root().post("/v1/revocations", json!({"kind": "session", "id": id})).await.status, 201);
    for token in tokens {
        assert!(!is_active(&node, token.text("token")).await, "{}", token.text("format"));
    }
    let late = node.root().post("/v1/tokens", json!({"subject": "a", "session_id": id})).await;
    assert_eq!(late.outcome(), (409, "session-not-good".to_owned()));
}

#[tokio::test]
async fn what_a_subject_has_comes_in_pages_across_the_kinds() {
    let node = Node::start().await;
    for path in ["/v1/tickets", "/v1/sessions", "/v1/tokens", "/v1/tokens", "/v1/sessions", "/v1/tickets"] {
        assert_eq!(node.root().post(path, json!({"subject": "a"})).await.status, 201);
    }
    let (mut kinds, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = node.root().get(&format!("/v1/subjects/a?limit=1{after}")).await.json();
        let credentials = page["credentials"].as_array().expect("a list");
        kinds.extend(credentials.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((kinds.join(" "), pages), ("ticket ticket session session token token".to_owned(), 6));
}

#[tokio::test]
async fn a_repeated_issue_signs_the_same_claims_again_and_shows_an_opaque_token_for_a_minute() {
    let mut node = Node::start().await;
    let first = issue(&node.root().keyed(KEY), everything()).await;
    let opaque = json!({"subject": "a", "format": "opaque"});
    let shown = issue(&node.root().keyed("another-key-0001"), opaque.clone()).await;
    assert_eq!(issue(&node.root().keyed("another-key-0001"), opaque.clone()).await.body, shown.body);
    node.clock.advance(60_000);
    node.restart().await;
    let again = issue(&node.root().keyed(KEY), everything()).await;
    assert_eq!(claims(&again), claims(&first));
    assert!(is_active(&node, again.text("token")).await);
    let late = node.root().keyed("another-key-0001").post("/v1/tokens", opaque).await;
    assert_eq!((late.outcome(), late.text("id")), ((409, "secret-already-shown".to_owned()), shown.text("id")));
}

#[tokio::test]
async fn claims_that_the_ledger_says_itself_and_claims_without_bound_are_refused() {
    let node = Node::start().await;
    let head = node.head();
    for reserved in authledger::service::RESERVED_CLAIMS {
        let body = json!({"subject": "a", "claims": {reserved: 1}});
        assert_eq!(node.root().post("/v1/tokens", body).await.outcome(), (400, "reserved-claim".to_owned()));
    }
    assert_eq!(node.head(), head);
    let body = json!({"subject": "a", "claims": {"many": "x".repeat(32 * 1_024)}});
    assert_eq!(node.root().post("/v1/tokens", body).await.outcome(), (413, "too-personal".to_owned()));
}
