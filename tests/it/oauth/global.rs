//! Global Token Revocation, as Okta and Auth0 call it, and applications.

use authledger::http::oauth::EmailSubjects;
use authledger::jose::{sign, sign_as};
use authledger::keys::{Algorithm, SigningKey};
use axum::http::Method;
use serde_json::{Value, json};

use super::{Client, FOREIGN, trusting, trusting_with};
use crate::support::served::{Actor, Answer, Made, ServedNode};

const GLOBAL: &str = "/oauth2/global-token-revocation";
const ISSUER: &str = "http://ledger.test";

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn opaque(subject: &str) -> Value {
    json!({"sub_id": {"format": "opaque", "id": subject}})
}

fn is_done(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{}", answer.shown());
    assert_eq!(answer.header("cache-control"), "no-store");
}

async fn ticket(node: &ServedNode, tenant: &str, subject: &str) -> String {
    node.root().post("/v1/tickets", json!({"tenant": tenant, "subject": subject})).await.text("ticket").to_owned()
}

async fn is_active(node: &ServedNode, secret: &str) -> bool {
    node.root().post("/v1/introspect", json!({"credential": secret})).await.json()["active"] == true
}

/// The call of the trusted issuer, with those claims changed.
fn called(node: &ServedNode, key: &SigningKey, typ: &'static str, change: impl FnOnce(&mut Value)) -> Actor {
    let now = node.clock.now().as_seconds();
    let mut claims =
        json!({"iss": FOREIGN, "aud": format!("{ISSUER}{GLOBAL}"), "iat": now, "exp": now + 300, "jti": "call-1"});
    change(&mut claims);
    let jwt = if typ.is_empty() { sign(key, &claims) } else { sign_as(key, typ, &claims) };
    node.nobody().with("authorization", &format!("Bearer {}", jwt.expect("a JWT")))
}

#[tokio::test]
async fn an_issuer_that_may_revoke_ends_all_that_a_subject_of_its_tenants_has() {
    let (node, key, _directory) = trusting().await;
    let bodies = [
        // Okta's, and Auth0's for Okta.
        json!({"sub_id": {"format": "iss_sub", "iss": FOREIGN, "sub": "a"}, "txn": "ignored"}),
        json!({"subject": {"format": "iss_sub", "iss": FOREIGN, "sub": "a"}}),
        json!({"subject": {"format": "opaque", "id": "a"}, "sub_id": {"id": "a", "format": "opaque"}}),
        opaque("a"),
    ];
    for (body, typ) in bodies.iter().zip(["", "JWT", "global-token-revocation+jwt", ""]) {
        let held = ticket(&node, "acme", "a").await;
        let others = [ticket(&node, "acme", "b").await, ticket(&node, "default", "a").await];
        let head = node.head();
        is_done(&called(&node, &key, typ, |_| ()).post(GLOBAL, body.clone()).await);
        assert_eq!(node.head().0, head.0 + 1);
        assert!(!is_active(&node, &held).await);
        for other in others {
            assert!(is_active(&node, &other).await, "of another subject or tenant");
        }
        let record = node.root().get(&format!("/v1/events/{}", node.head().0)).await.json();
        assert_eq!(record["actor"], "bearer:https:%2F%2Flogin.example/call-1");
        assert_eq!(
            (&record["type"], &record["data"]["kinds"]),
            (&json!("subject.revoked"), &json!(["ticket", "session", "token"]))
        );
    }
    let fresh = ticket(&node, "acme", "a").await;
    assert!(is_active(&node, &fresh).await, "a new login is possible at once");
}

#[tokio::test]
async fn a_jwt_for_anything_else_is_refused_and_nothing_is_recorded() {
    let (node, key, directory) = trusting().await;
    ticket(&node, "acme", "a").await;
    let now = node.clock.now().as_seconds();
    let head = node.head();
    let changes: Vec<(&str, Value)> = vec![
        ("aud", json!("https://other.example")),
        ("aud", json!([ISSUER, "x"])),
        ("aud", Value::Null),
        ("exp", json!(now)),
        ("exp", json!(now + 3_606)),
        ("exp", Value::Null),
        ("iat", json!(now + 6)),
        ("nbf", json!("x")),
        ("iss", json!("https://unknown.example")),
        ("iss", Value::Null),
        ("jti", json!(7)),
        ("jti", json!("")),
    ];
    for (name, value) in changes {
        let actor = called(&node, &key, "", |claims| match &value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        });
        let answer = actor.post(GLOBAL, opaque("a")).await;
        assert_eq!(refused(&answer), (401, "invalid_token".to_owned()), "{name} {value}");
    }
    let typed = called(&node, &key, "at+jwt", |_| ()).post(GLOBAL, opaque("a")).await;
    assert_eq!(refused(&typed).0, 401);
    let stranger = SigningKey::generate(&directory.path().join("other"), Algorithm::Es256).expect("a key");
    assert_eq!(refused(&called(&node, &stranger, "", |_| ()).post(GLOBAL, opaque("a")).await).0, 401);
    let (tame, key, _directory) = trusting_with(false, Made::default()).await;
    assert_eq!(refused(&called(&tame, &key, "", |_| ()).post(GLOBAL, opaque("a")).await).0, 401, "it may not revoke");
    for aud in [json!(ISSUER), json!([ISSUER]), json!([format!("{ISSUER}{GLOBAL}")])] {
        let (node, key, _directory) = trusting().await;
        is_done(&called(&node, &key, "", |claims| claims["aud"] = aud).post(GLOBAL, opaque("nobody yet")).await);
    }
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn a_body_that_names_nobody_is_refused() {
    let (node, _key, _directory) = trusting().await;
    ticket(&node, "default", "a").await;
    let client = Client::new(&node, &[("default", &["revoke"])]).await;
    let head = node.head();
    for bad in [
        json!({}),
        json!({"sub_id": "a"}),
        json!({"sub_id": {}}),
        json!({"sub_id": {"format": "opaque"}}),
        json!({"sub_id": {"format": "opaque", "id": ""}}),
        json!({"sub_id": {"format": "opaque", "id": 1}}),
        json!({"sub_id": {"format": "iss_sub", "sub": "a"}}),
        json!({"sub_id": {"format": "iss_sub", "iss": "https://unknown.example", "sub": "a"}}),
        json!({"sub_id": {"format": "email", "email": "a@example.org"}}),
        json!({"sub_id": {"format": "account", "uri": "acct:a@example.org"}}),
        json!({"sub_id": {"format": "phone_number", "phone_number": "+1"}}),
        json!({"sub_id": {"format": "opaque", "id": "a"}, "subject": {"format": "opaque", "id": "b"}}),
    ] {
        let answer = client.on(&node).post(GLOBAL, bad.clone()).await;
        assert_eq!(refused(&answer), (400, "invalid_request".to_owned()), "{bad}");
    }
    for text in ["", "[]", "{", "{\"sub_id\":{\"format\":\"opaque\",\"id\":\"a\",\"id\":\"b\"}}"] {
        let answer = client.on(&node).post_text(GLOBAL, text).await;
        assert_eq!(refused(&answer), (400, "invalid_request".to_owned()), "{text}");
    }
    let form = client.on(&node).with("content-type", "application/x-www-form-urlencoded");
    assert_eq!(refused(&form.send(Method::POST, GLOBAL, "sub_id=a").await).0, 400);
    assert_eq!(node.head(), head);
}

#[tokio::test]
async fn callers_are_authenticated_and_confined_to_their_tenants() {
    let node = ServedNode::start().await;
    for tenant in ["default", "acme"] {
        ticket(&node, tenant, "a").await;
    }
    let nobody = node.nobody().post(GLOBAL, opaque("a")).await;
    assert_eq!(refused(&nobody), (401, "invalid_client".to_owned()));
    assert_eq!(refused(&node.holder("x").post(GLOBAL, opaque("a")).await), (401, "invalid_token".to_owned()));
    let asker = Client::new(&node, &[("default", &["introspect"])]).await;
    assert_eq!(refused(&asker.on(&node).post(GLOBAL, opaque("a")).await), (403, "insufficient_scope".to_owned()));
    let acme = Client::new(&node, &[("acme", &["revoke"])]).await;
    let other = acme.on(&node).with("x-tenant", "default");
    assert_eq!(refused(&other.post(GLOBAL, opaque("a")).await), (403, "insufficient_scope".to_owned()));
    let head = node.head();
    is_done(&acme.on(&node).post(GLOBAL, opaque("a")).await);
    let record = node.root().get(&format!("/v1/events/{}", head.0 + 1)).await.json();
    assert_eq!(record["tenant"], "acme", "its only one");
    is_done(&node.root().post(GLOBAL, opaque("a")).await);
    let record = node.root().get(&format!("/v1/events/{}", head.0 + 2)).await.json();
    assert_eq!(record["tenant"], "default");
    is_done(&node.root().with("x-tenant", "acme").post(GLOBAL, opaque("a")).await);
    assert_eq!(node.head().0, head.0 + 3);
    // A lone node without imports and other issuers knows everybody who can have anything.
    let unknown = node.root().post(GLOBAL, opaque("nobody")).await;
    assert_eq!((unknown.status.as_u16(), node.head().0), (404, head.0 + 3));
}

#[tokio::test]
async fn addresses_are_subjects_where_the_operator_says_so_and_a_hold_follows() {
    for (form, subject, named) in [
        (EmailSubjects::Exact, "Ada@example.org", "Ada@example.org"),
        (EmailSubjects::Lowercase, "ada@example.org", "ADA@Example.org"),
    ] {
        let mut made = Made::default();
        made.options.compat.oauth.email_subjects = form;
        made.options.compat.oauth.gtr_hold = authledger::domain::Ttl::from_seconds(60);
        let (node, key, _directory) = trusting_with(true, made).await;
        for sub_id in
            [json!({"format": "email", "email": named}), json!({"format": "account", "uri": format!("acct:{named}")})]
        {
            let held = ticket(&node, "acme", subject).await;
            is_done(&called(&node, &key, "", |_| ()).post(GLOBAL, json!({"sub_id": sub_id})).await);
            assert!(!is_active(&node, &held).await);
            let refused = node.root().post("/v1/tickets", json!({"tenant": "acme", "subject": subject})).await;
            assert_eq!(refused.outcome(), (409, "subject-on-hold".to_owned()));
            node.clock.advance(60_000);
        }
    }
}
