//! Answers that are signed: RFC 9701.

use authledger::jose::{KeySet, ParsedToken, verify_signature};
use authledger::keys::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Client, INTROSPECT, post};
use crate::support::served::{Answer, Made, ServedNode};

const SIGNED: &str = "application/token-introspection+jwt";

async fn opened(node: &ServedNode, answer: &Answer) -> (Value, Value) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, SIGNED), "{}", answer.shown());
    assert_eq!(answer.header("cache-control"), "no-store");
    let text = std::str::from_utf8(&answer.body).expect("ASCII");
    let published = node.nobody().get("/.well-known/jwks.json").await;
    let keys = KeySet::from_json(&published.body).expect("a set");
    let parsed = ParsedToken::new(text).expect("a JWT");
    let key = keys.find(parsed.kid.as_deref(), parsed.algorithm).expect("it is published");
    verify_signature(&parsed, key).expect("signed by it");
    let header = URL_SAFE_NO_PAD.decode(text.split('.').next().expect("a header")).expect("base64url");
    (serde_json::from_slice(&header).expect("JSON"), Value::Object(parsed.claims))
}

#[tokio::test]
async fn an_answer_is_signed_for_the_client_that_asks_for_that() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let node = ServedNode::made(Made { algorithm, ..Made::default() }).await;
        let client = Client::new(&node, &[("default", &["introspect"])]).await;
        let ticket = node.root().post("/v1/tickets", json!({"subject": "a"})).await.text("ticket").to_owned();
        let plain = post(&client.on(&node), INTROSPECT, &[("token", &ticket)]).await.json();
        let asks = client.on(&node).with("accept", SIGNED);
        let head = node.head();
        let (header, claims) = opened(&node, &post(&asks, INTROSPECT, &[("token", &ticket)]).await).await;
        assert_eq!((&header["typ"], &header["alg"]), (&json!("token-introspection+jwt"), &json!(algorithm.as_str())));
        assert!(header["kid"].is_string());
        let now = node.clock.now().as_seconds();
        let due = json!({"iss": "http://ledger.test", "aud": client.id, "iat": now, "token_introspection": plain});
        assert_eq!(claims, due);
        let (_, claims) = opened(&node, &post(&asks, INTROSPECT, &[("token", "t")]).await).await;
        assert_eq!(claims["token_introspection"], json!({"active": false}));
        assert!(node.head().0 <= head.0 + 2, "the keys alone are on record");
        let members = node.nobody().get("/.well-known/oauth-authorization-server").await.json();
        assert_eq!(members["introspection_signing_alg_values_supported"], json!([algorithm.as_str()]));
    }
}

#[tokio::test]
async fn weights_decide_between_the_forms_and_a_stranger_is_told_that_none_is_for_it() {
    let node = ServedNode::start().await;
    let client = Client::new(&node, &[("default", &["introspect"])]).await;
    for (accept, is_signed) in [
        ("*/*".to_owned(), false),
        ("application/*".to_owned(), false),
        ("application/json".to_owned(), false),
        (format!("{SIGNED}, application/json;q=0.5"), true),
        (format!("{SIGNED};q=0.5, application/json"), false),
        (format!("application/json, {SIGNED}"), false),
        (format!("*/*;q=0.1, {SIGNED}"), true),
        (format!("{SIGNED};q=0, */*"), false),
    ] {
        let answer = post(&client.on(&node).with("accept", &accept), INTROSPECT, &[("token", "t")]).await;
        let due = if is_signed { SIGNED } else { "application/json" };
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, due), "{accept}");
    }
    // RFC 9701, section 5.
    let nobody = post(&node.nobody().with("accept", SIGNED), INTROSPECT, &[("token", "t")]).await;
    assert_eq!((nobody.status.as_u16(), &nobody.json()["error"]), (400, &json!("invalid_request")));
    let wrong = node.nobody().with("authorization", &super::basic("x", "y")).with("accept", SIGNED);
    assert_eq!(post(&wrong, INTROSPECT, &[("token", "t")]).await.status, 401);
}
