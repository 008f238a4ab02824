//! Sessions, through the native API.

use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, ServedNode};

const KEY: &str = "a-key-of-the-tests-0001";

async fn issue(actor: &Actor, body: Value) -> Answer {
    let answer = actor.post("/v1/sessions", body).await;
    assert_eq!(answer.status, 201, "{}", answer.shown());
    answer
}

fn everything() -> Value {
    json!({
        "tenant": "acme", "subject": "person-1", "ttl": 600, "aal": "aal2",
        "methods": ["password", {"method": "totp", "aal": "aal2", "completed_at": "2027-01-15T07:59:59Z"}],
        "identity": {"traits": {"email": "ada@example.org"}, "metadata_public": null, "schema_id": "person"},
        "device": {"ip_address": "192.0.2.7", "user_agent": "curl", "location": "Paris"},
    })
}

fn path(issued: &Answer) -> String {
    format!("/v1/sessions/{}", issued.json()["session"]["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_session_is_issued_shown_extended_and_expires() {
    let node = ServedNode::start().await;
    let issued = issue(&node.root(), everything()).await;
    insta::assert_snapshot!("session", issued.shown());
    node.clock.advance(1_000);
    insta::assert_snapshot!("session_now", node.root().get(&path(&issued)).await.shown());
    let extend = format!("{}/extend", path(&issued));
    insta::assert_snapshot!("session_extended", node.root().post(&extend, json!({"ttl": 3_600})).await.shown());
    let shorter = node.root().post(&extend, json!({"ttl": 1})).await;
    assert_eq!(shorter.json()["expires_at"], "2027-01-15T09:00:01.000Z", "never shorter by it");
    let longest = node.root().post(&extend, json!({"ttl": 366 * 86_400})).await.json();
    assert_eq!(longest["expires_at"], longest["not_after"]);
    let credential = json!({"credential": issued.text("session_token")});
    let asked = node.root().post("/v1/introspect", credential.clone()).await.json();
    assert_eq!((&asked["kind"], &asked["expires_at"]), (&json!("session"), &longest["expires_at"]));
    assert_eq!(node.root().post("/v1/revocations", credential.clone()).await.status, 201);
    let asked = node.root().post("/v1/introspect", credential).await;
    assert_eq!(&asked.body[..], br#"{"active":false}"#);
    assert_eq!(node.root().get(&path(&issued)).await.json()["active"], false);
    let inactive = node.root().post(&extend, json!({})).await;
    assert_eq!(inactive.outcome(), (409, "session-inactive".to_owned()));
}

#[tokio::test]
async fn members_that_are_left_out_get_the_operators_defaults() {
    let node = ServedNode::start().await;
    let session = issue(&node.root(), json!({"subject": "a"})).await.json()["session"].take();
    assert_eq!(session["tenant"], "default");
    assert_eq!((&session["aal"], &session["methods"]), (&json!("aal1"), &json!([])));
    assert_eq!(session["expires_at"], "2027-01-16T08:00:00.000Z");
    assert_eq!(session["not_after"], "2027-02-14T08:00:00.000Z");
    assert!(session.get("identity").is_none() && session.get("device").is_none() && session.get("active").is_none());
}

#[tokio::test]
async fn the_same_key_shows_the_token_again_for_a_minute_and_then_only_the_id() {
    let mut node = ServedNode::start().await;
    let first = issue(&node.root().keyed(KEY), everything()).await;
    let extend = format!("{}/extend", path(&first));
    assert_eq!(node.root().post(&extend, json!({"ttl": 7_200})).await.status, 200);
    node.clock.advance(59_999);
    let again = issue(&node.root().keyed(KEY), everything()).await;
    assert_eq!(again.body, first.body, "the first answer, although the session was extended since");
    node.clock.advance(1);
    for _ in 0..2 {
        let late = node.root().keyed(KEY).post("/v1/sessions", everything()).await;
        assert_eq!(late.outcome(), (409, "secret-already-shown".to_owned()));
        assert_eq!(late.json()["id"], first.json()["session"]["id"]);
        node.restart().await;
    }
    let other = node.root().keyed(KEY).post("/v1/sessions", json!({"subject": "other"})).await;
    assert_eq!(other.outcome(), (422, "idempotency-mismatch".to_owned()));
}

#[tokio::test]
async fn personal_data_is_bounded() {
    let node = ServedNode::start().await;
    let head = node.head();
    let body = json!({"subject": "a", "identity": {"traits": "x".repeat(32 * 1_024)}});
    let answer = node.root().post("/v1/sessions", body).await;
    assert_eq!(answer.outcome(), (413, "personal-data-too-large".to_owned()));
    assert_eq!(node.head(), head);
    let body = json!({"subject": "a", "identity": {"traits": "x".repeat(32 * 1_024 - 40)}});
    issue(&node.root(), body).await;
}

#[tokio::test]
async fn a_session_belongs_to_its_tenant() {
    let node = ServedNode::start().await;
    let issued = issue(&node.root(), everything()).await;
    let unknown = (404, "unknown-credential".to_owned());
    let elsewhere = node.application(&[("default", &["issue", "introspect", "revoke"])]).await;
    let extend = format!("{}/extend", path(&issued));
    assert_eq!(elsewhere.get(&path(&issued)).await.outcome(), unknown);
    assert_eq!(elsewhere.post(&extend, json!({})).await.outcome(), unknown);
    assert_eq!(elsewhere.post("/v1/sessions", everything()).await.outcome(), (403, "forbidden".to_owned()));
    let own = node.application(&[("acme", &["introspect"])]).await;
    assert_eq!(own.get(&path(&issued)).await.status, 200);
    assert_eq!(own.post(&extend, json!({})).await.outcome(), (403, "forbidden".to_owned()));
    let nobodys = format!("/v1/sessions/{}", uuid::Uuid::nil());
    assert_eq!(node.root().get(&nobodys).await.outcome(), unknown);
    assert_eq!(node.root().get("/v1/sessions/x").await.outcome(), (400, "invalid-path".to_owned()));
}
