//! `POST /v1/imports`, through the router.

use authledger::domain::Digest;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, ServedNode};

fn digest(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_string()
}

/// A ticket that was issued an hour ago, and used a minute ago.
pub fn ticket(secret: &str) -> Value {
    json!({
        "kind": "ticket", "subject": "a", "digest": digest(secret), "ttl": 900,
        "issued_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-15T08:14:00Z",
    })
}

fn with(mut line: Value, member: &str, value: Value) -> Value {
    line[member] = value;
    line
}

fn without(mut line: Value, member: &str) -> Value {
    line.as_object_mut().expect("an object").remove(member);
    line
}

pub async fn send(actor: &Actor, body: String) -> Answer {
    actor.with("content-type", "application/x-ndjson").send(Method::POST, "/v1/imports", body).await
}

async fn import(actor: &Actor, lines: &[Value]) -> Vec<Value> {
    let body = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = send(actor, body).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    let text = std::str::from_utf8(&answer.body).expect("UTF-8");
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(told.iter().zip(1..).all(|(told, number)| told["line"] == number), "{text}");
    told
}

async fn asked(node: &ServedNode, credential: &str) -> Value {
    node.root().post("/v1/introspect", json!({"credential": credential})).await.json()
}

async fn outcome(node: &ServedNode, line: Value) -> String {
    let told = import(&node.root(), &[line]).await;
    let code = told[0]["code"].as_str().map(|code| format!(" {code}: {}", told[0]["detail"]));
    format!("{}{}", told[0]["outcome"].as_str().expect("a text"), code.unwrap_or_default())
}

#[tokio::test]
async fn every_kind_is_made_once_and_active_under_its_own_secret() {
    let node = ServedNode::start().await;
    let id = "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10";
    let times = |line: Value| {
        let line = with(line, "issued_at", json!("2027-01-15T07:00:00Z"));
        with(line, "expires_at", json!("2027-01-16T08:00:00Z"))
    };
    let lines = [
        ticket("t"),
        times(json!({"kind": "session", "subject": "a", "id": id, "digest": digest("s"), "aal": "aal2"})),
        times(json!({"kind": "session", "tenant": "acme", "subject": "a", "digest": digest("nameless")})),
        times(json!({"kind": "token", "subject": "a", "digest": digest("o")})),
    ];
    let made = import(&node.root(), &lines).await;
    assert!(made.iter().all(|told| told["outcome"] == "made"), "{made:?}");
    let head = node.head();
    let known = import(&node.root(), &lines).await;
    assert!(known.iter().zip(&made).all(|(known, made)| *known == with(made.clone(), "outcome", json!("known"))));
    assert_eq!(node.head(), head);
    for (secret, told) in ["t", "s", "nameless", "o"].into_iter().zip(&made) {
        let found = asked(&node, secret).await;
        assert_eq!((&found["active"], &found["kind"], &found["id"]), (&json!(true), &told["kind"], &told["id"]));
    }
    assert_eq!(asked(&node, "nameless").await["tenant"], "acme");
    let session = node.root().get(&format!("/v1/sessions/{id}")).await.json();
    assert_eq!((&session["aal"], &session["issued_at"]), (&json!("aal2"), &json!("2027-01-15T07:00:00.000Z")));
    let named = with(lines[2].clone(), "id", json!(id));
    assert!(outcome(&node, named).await.starts_with("refused id-unavailable"));
}

#[tokio::test]
async fn an_imported_ticket_slides_from_its_last_use_on_as_far_as_it_may() {
    let mut node = ServedNode::start().await;
    let limited = with(ticket("limited"), "not_after", json!("2027-01-15T08:20:00Z"));
    let whole = without(ticket("whole"), "ttl");
    import(&node.root(), &[ticket("t"), limited, whole]).await;
    let found = asked(&node, "t").await;
    assert_eq!(found["issued_at"], "2027-01-15T07:00:00.000Z");
    assert_eq!(found["expires_at"], "2027-01-15T08:14:00.000Z", "not a life after its issue, which has passed");
    assert_eq!(found["not_after"], "2027-01-16T07:00:00.000Z");
    assert_eq!(asked(&node, "limited").await["not_after"], "2027-01-15T08:20:00.000Z");
    assert_eq!(asked(&node, "whole").await["expires_at"], "2027-01-15T08:14:00.000Z");
    node.restart().await;
    assert_eq!(asked(&node, "t").await, found);
    node.clock.advance(14 * 60_000);
    assert_eq!(asked(&node, "t").await, json!({"active": false}));
}

#[tokio::test]
async fn a_line_that_is_refused_says_why_and_stops_no_other() {
    let node = ServedNode::start().await;
    let session = json!({
        "kind": "session", "subject": "a", "issued_at": "2027-01-15T07:00:00Z", "expires_at": "2027-01-16T07:00:00Z",
    });
    import(&node.root(), &[ticket("taken")]).await;
    let lines = [
        with(ticket("1"), "secret", json!("x")),
        with(ticket("2"), "kind", json!("cookie")),
        with(ticket("3"), "digest", json!("3")),
        without(ticket("4"), "digest"),
        with(ticket("5"), "id", json!("0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10")),
        with(ticket("6"), "aal", json!("aal1")),
        with(with(without(ticket("7"), "ttl"), "kind", json!("token")), "not_after", json!("2028-01-01T00:00:00Z")),
        with(session.clone(), "ttl", json!(5)),
        session,
        with(ticket("8"), "issued_at", json!("2027-01-15T08:05:01Z")),
        with(ticket("9"), "issued_at", json!("2027-01-15T08:14:00Z")),
        with(ticket("10"), "expires_at", json!("2028-06-01T00:00:00Z")),
        with(ticket("12"), "not_after", json!("2027-01-15T08:13:59Z")),
        with(with(ticket("13"), "expires_at", json!("2027-01-15T07:30:00Z")), "ttl", json!(60)),
        with(ticket("taken"), "subject", json!("b")),
    ];
    let told = import(&node.root(), &[&lines[..], &[ticket("good")]].concat()).await;
    let (made, refused) = told.split_last().expect("lines");
    assert_eq!(made["outcome"], "made");
    let shown: String = refused.iter().map(|line| format!("{} {}\n", line["code"], line["detail"])).collect();
    insta::assert_snapshot!(shown);
    assert_eq!(node.head().0, 3, "those that were refused are in no record");
}

#[tokio::test]
async fn a_body_of_too_many_lines_or_of_another_type_is_refused_whole() {
    let node = ServedNode::start().await;
    let line = format!("{}\n", json!({}));
    assert_eq!(send(&node.root(), line.repeat(1_000)).await.status, 200);
    assert_eq!(send(&node.root(), line.repeat(1_001)).await.outcome(), (400, "invalid-body".to_owned()));
    assert_eq!(send(&node.root(), " ".repeat(65_537)).await.outcome(), (413, "body-too-large".to_owned()));
    let typed = node.root().post("/v1/imports", ticket("t")).await;
    assert_eq!(typed.outcome(), (415, "unsupported-media-type".to_owned()));
    assert_eq!(send(&node.nobody(), line.repeat(1_001)).await.outcome(), (401, "unauthenticated".to_owned()));
    let other = node.application(&[("*", &["issue"])]).await;
    assert_eq!(send(&other, line).await.outcome(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn an_administrator_of_one_tenant_imports_there_and_nowhere_else() {
    let node = ServedNode::start().await;
    let admin = node.application(&[("acme", &["admin"])]).await;
    let told = import(&admin, &[with(ticket("a"), "tenant", json!("acme")), ticket("b")]).await;
    assert_eq!((&told[0]["outcome"], &told[1]["code"]), (&json!("made"), &json!("forbidden")));
}

#[tokio::test]
async fn a_key_that_comes_with_the_body_makes_one_of_many_lines_no_repetition() {
    let node = ServedNode::start().await;
    let lines = [ticket("a"), ticket("b"), ticket("a")];
    let told = import(&node.root().keyed("0123456789abcdef"), &lines).await;
    let outcomes: Vec<&str> = told.iter().map(|told| told["outcome"].as_str().expect("a text")).collect();
    assert_eq!(outcomes, ["made", "made", "known"]);
}

#[tokio::test]
async fn after_an_import_revocations_of_unknown_credentials_are_kept_and_hold_for_what_comes_later() {
    let node = ServedNode::start().await;
    let revoke = async |secret: &str| node.root().post("/v1/revocations", json!({"credential": secret})).await;
    assert_eq!(revoke("later").await.outcome(), (404, "unknown-credential".to_owned()));
    import(&node.root(), &[ticket("first")]).await;
    let revoked = revoke("later").await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["revocations"][0]["known"]), (201, &json!(false)));
    assert_eq!(revoke("later").await.status, 200);
    assert_eq!(import(&node.root(), &[ticket("later")]).await[0]["outcome"], "made");
    assert_eq!(asked(&node, "later").await, json!({"active": false}));

    node.root().post("/v1/revocations", json!({"subject": "a"})).await;
    import(&node.root(), &[ticket("of a subject that was revoked since")]).await;
    assert_eq!(asked(&node, "of a subject that was revoked since").await, json!({"active": false}));
    node.clock.advance(60_000);
    let fresh = with(ticket("fresh"), "issued_at", json!("2027-01-15T08:00:50Z"));
    import(&node.root(), &[without(fresh, "ttl")]).await;
    assert_eq!(asked(&node, "fresh").await["active"], true, "it was issued after that");
}
