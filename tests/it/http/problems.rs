//! The refusals of the native surface, and how they read.

use std::sync::Arc;

use authledger::domain::{RecordId, Rejection, Sequence};
use authledger::event_log::{Fault, ReadError};
use authledger::http::Surface;
use authledger::http::body::BodyError;
use authledger::http::problem::{Code, Problem};
use authledger::service::{Error, Failure, Refusal};
use axum::body::Body;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::json;

use crate::support::served::{Answer, Made, ServedNode};

async fn answer(problem: Problem) -> Answer {
    let (parts, body) = problem.into_response().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    Answer { status: parts.status, headers: parts.headers, body }
}

#[tokio::test]
async fn the_table() {
    let mut table = String::new();
    for code in Code::ALL {
        let answer = answer(Problem::new(*code)).await;
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let retry = answer.header("retry-after");
        let retry = if retry.is_empty() { String::new() } else { format!(" (retry after {retry} s)") };
        table +=
            &format!("{} {}{retry}: {}\n    {}\n", answer.status.as_u16(), code.as_str(), code.title(), code.meaning());
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn every_error_has_its_code() {
    let unreadable = Failure::Unreadable(Arc::new(ReadError::Sqlite(rusqlite::Error::InvalidQuery)));
    let errors = Rejection::ALL.into_iter().map(|rejection| Error::Refused(Refusal::Rejected(rejection))).chain([
        Error::SecretAlreadyShown { id: "the-id".to_owned() },
        Failure::Overloaded.into(),
        Failure::Locked.into(),
        Failure::Stopping.into(),
        Error::ConsistencyTimeout(RecordId { origin: "k7m2qx4dnzr5a".parse().unwrap(), sequence: Sequence(13) }),
        Failure::Fault(Fault("disk I/O error in /a/path".into())).into(),
        unreadable.into(),
        Failure::NoRandomness.into(),
    ]);
    let mut lines = String::new();
    for error in errors {
        let name = match &error {
            Error::Refused(refusal) => format!("{refusal:?}"),
            Error::Failed(failure) => format!("{failure:?}"),
            other => format!("{other:?}"),
        };
        let problem = answer(error.into()).await;
        assert!(!String::from_utf8_lossy(&problem.body).contains("/a/path"));
        lines += &format!("{name} -> {:?} {}\n", problem.outcome(), problem.json()["id"]);
    }
    for error in [BodyError::TooLarge, BodyError::Slow, BodyError::Broken, BodyError::Encoded] {
        lines += &format!("{error:?} -> {:?}\n", answer(error.into()).await.outcome());
    }
    insta::assert_snapshot!(lines);
}

#[tokio::test]
async fn a_secret_that_was_shown_already_is_named_by_its_id() {
    let problem = answer(Error::<Refusal>::SecretAlreadyShown { id: "the-id".to_owned() }.into()).await;
    insta::assert_snapshot!(problem.shown());
}

#[tokio::test]
async fn a_path_or_method_that_no_route_has_is_a_problem_too() {
    let node = ServedNode::start().await;
    insta::assert_snapshot!("no_such_path", node.nobody().get("/v1/nothing?secret=1").await.shown());
    insta::assert_snapshot!("no_such_method", node.nobody().send(Method::PUT, "/v1/applications", "").await.shown());
    insta::assert_snapshot!("no_secret", node.nobody().post("/v1/tickets", json!({})).await.shown());
}

#[tokio::test]
async fn a_surface_that_is_switched_off_is_not_there() {
    let mut made = Made::default();
    made.options.surfaces = vec![Surface::Feed];
    let node = ServedNode::made(made).await;
    for path in ["/v1/status", "/v1/applications", "/openapi.json", "/metrics", "/v1/noop"] {
        assert_eq!(node.root().get(path).await.outcome(), (404, "not-found".to_owned()), "{path}");
    }
    assert_eq!(node.nobody().get("/health/ready").await.status, 200);
    assert_eq!(node.nobody().get("/problems/overloaded").await.status, 200);
}

#[tokio::test]
async fn every_type_resolves_to_a_page_and_to_json() {
    let node = ServedNode::start().await;
    for code in Code::ALL {
        let path = format!("/problems/{}", code.as_str());
        let page = node.nobody().get(&path).await;
        assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{path}");
        let json = node.nobody().with("accept", "application/json").get(&path).await;
        assert_eq!((json.status.as_u16(), json.text("type")), (200, &*path));
    }
    insta::assert_snapshot!("page", node.nobody().get("/problems/forbidden").await.shown());
    assert_eq!(node.nobody().get("/problems/nonsense").await.outcome(), (404, "unknown-problem".to_owned()));
    assert_eq!(node.nobody().get("/problems/%ff").await.outcome(), (400, "invalid-path".to_owned()));
}

/// Bodies that `POST` to that path refuses.
fn bad_bodies() -> Vec<(&'static str, String)> {
    let tickets = |body: serde_json::Value| ("/v1/tickets", body.to_string());
    let revocations = |body: serde_json::Value| ("/v1/revocations", body.to_string());
    let applications = |body: serde_json::Value| ("/v1/applications", body.to_string());
    let sessions = |body: serde_json::Value| ("/v1/sessions", body.to_string());
    let tokens = |body: serde_json::Value| ("/v1/tokens", body.to_string());
    let raw = |body: &str| ("/v1/tickets", body.to_owned());
    vec![
        raw(""),
        raw("{"),
        raw("{}"),
        raw("[]"),
        raw(r#"["default","someone"]"#),
        raw("null"),
        raw(r#"{"subject":"a"} {}"#),
        raw(r#"{"subject":"a","subject":"b"}"#),
        raw(r#"{"subject":"\ud800"}"#),
        raw(&format!("{}{}", "[".repeat(200), "]".repeat(200))),
        tickets(json!({"subject": "a", "note": "hi"})),
        tickets(json!({"subject": 5})),
        tickets(json!({"subject": null})),
        tickets(json!({"subject": ""})),
        tickets(json!({"subject": "s".repeat(256)})),
        tickets(json!({"subject": "a\u{0}b"})),
        tickets(json!({"subject": "a", "tenant": null})),
        tickets(json!({"subject": "a", "tenant": ""})),
        tickets(json!({"subject": "a", "tenant": "*"})),
        tickets(json!({"subject": "a", "tenant": "\u{7f}"})),
        tickets(json!({"subject": "a", "ttl": 0})),
        tickets(json!({"subject": "a", "ttl": -1})),
        tickets(json!({"subject": "a", "ttl": 1.5})),
        tickets(json!({"subject": "a", "ttl": "60"})),
        tickets(json!({"subject": "a", "ttl": 366 * 86_400 + 1})),
        tickets(json!({"subject": "a", "ttl": u64::MAX})),
        revocations(json!({})),
        revocations(json!({"credential": "a", "subject": "b"})),
        revocations(json!({"credential": "a", "id": "b"})),
        revocations(json!({"kind": "ticket"})),
        revocations(json!({"id": "00112233445566778899aabbccddeeff"})),
        revocations(json!({"kind": "ticket", "id": "zz"})),
        revocations(json!({"kind": "session", "id": "00"})),
        revocations(json!({"kind": "cookie", "id": "zz"})),
        revocations(json!({"credential": "a", "hold": 5})),
        revocations(json!({"credential": "a", "tenant": "b"})),
        revocations(json!({"credential": 7})),
        revocations(json!({"credential": "a", "reason": "Because I say so"})),
        revocations(json!({"credential": "a", "note": ""})),
        revocations(json!({"subject": "a", "kinds": []})),
        revocations(json!({"subject": "a", "kinds": ["cookie"]})),
        revocations(json!({"subject": "a", "kinds": null})),
        revocations(json!({"subject": "a", "hold": 0})),
        revocations(json!({"subject": "a", "hold": 30 * 86_400 + 1})),
        revocations(json!({"subject": "a", "ttl": 366 * 86_400 + 1})),
        revocations(json!({"subject": ""})),
        applications(json!({"name": "a"})),
        applications(json!({"name": "", "scopes": ["issue"], "tenants": ["*"]})),
        applications(json!({"name": "a", "scopes": ["issue"]})),
        applications(json!({"name": "a", "scopes": [], "tenants": ["*"]})),
        applications(json!({"name": "a", "scopes": ["issue"], "tenants": []})),
        applications(json!({"name": "a", "scopes": ["everything"], "tenants": ["*"]})),
        applications(json!({"name": "a", "scopes": ["issue"], "tenants": [""]})),
        applications(json!({"name": "a", "grants": []})),
        applications(json!({"name": "a", "grants": [["*", ["issue"]]]})),
        applications(json!({"name": "a", "grants": [{"tenant": "*", "scopes": ["issue"], "more": 1}]})),
        applications(json!({"name": "a", "grants": vec![json!({"tenant": "t", "scopes": ["issue"]}); 65]})),
        applications(json!({"name": "a", "scopes": ["issue"], "tenants": ["*"], "expires_at": "tomorrow"})),
        applications(json!({"name": "a", "scopes": ["issue"], "tenants": ["*"], "expires_at": "2020-01-01T00:00:00Z"})),
        applications(json!({"name": "a", "scopes": ["issue"], "tenants": ["*"], "secret": "my-own"})),
        sessions(json!({"subject": "a", "aal": "aal4"})),
        sessions(json!({"subject": "a", "methods": "password"})),
        sessions(json!({"subject": "a", "methods": ["pass word"]})),
        sessions(json!({"subject": "a", "methods": [7]})),
        sessions(json!({"subject": "a", "methods": [{"name": "password"}]})),
        sessions(json!({"subject": "a", "methods": [{"method": "password", "aal": "high"}]})),
        sessions(json!({"subject": "a", "methods": vec!["password"; 17]})),
        sessions(json!({"subject": "a", "identity": null})),
        sessions(json!({"subject": "a", "identity": "ada"})),
        sessions(json!({"subject": "a", "device": {"os": "linux"}})),
        sessions(json!({"subject": "a", "device": {"ip_address": 7}})),
        sessions(json!({"subject": "a", "device": ["192.0.2.7"]})),
        sessions(json!({"subject": "a", "ttl": 0})),
        sessions(json!({"subject": "a", "id": "mine"})),
        tokens(json!({"subject": "a", "format": "paseto"})),
        tokens(json!({"subject": "a", "session_id": "x"})),
        tokens(json!({"subject": "a", "audience": 7})),
        tokens(json!({"subject": "a", "audience": ""})),
        tokens(json!({"subject": "a", "audience": []})),
        tokens(json!({"subject": "a", "audience": ["x".repeat(256)]})),
        tokens(json!({"subject": "a", "audience": vec!["api"; 17]})),
        tokens(json!({"subject": "a", "scope": ""})),
        tokens(json!({"subject": "a", "scope": "read  write"})),
        tokens(json!({"subject": "a", "scope": "read\\write"})),
        tokens(json!({"subject": "a", "scope": "x".repeat(1_025)})),
        tokens(json!({"subject": "a", "claims": []})),
        ("/v1/introspect", json!({"credential": {}}).to_string()),
        ("/v1/introspect", json!({"credential": "a", "token_type_hint": "b"}).to_string()),
    ]
}

#[tokio::test]
async fn bad_bodies_name_what_is_wrong_and_append_nothing() {
    let node = ServedNode::start().await;
    let head = node.head();
    let mut lines = String::new();
    for (path, body) in bad_bodies() {
        let answer = node.root().post_text(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        let body = if body.len() > 110 { format!("{}…", &body[..100]) } else { body };
        lines += &format!("{path} {body}\n    {}: {}\n", answer.outcome().1, answer.json()["detail"]);
    }
    assert_eq!(node.head(), head);
    insta::assert_snapshot!(lines);
}

#[tokio::test]
async fn bad_paths_queries_and_headers_are_refused_and_append_nothing() {
    let node = ServedNode::start().await;
    let head = node.head();
    let mut lines = String::new();
    for path in ["/v1/applications/x", "/v1/applications/%ff"] {
        let answer = node.root().delete(path).await;
        lines += &format!("DELETE {path}\n    {:?}: {}\n", answer.outcome(), answer.json()["detail"]);
    }
    let long = format!("/v1/subjects/{}", "s".repeat(256));
    for path in [
        "/v1/subjects/%ff",
        "/v1/subjects/%zz",
        "/v1/subjects/a%00b",
        &long,
        "/v1/subjects/",
        "/v1/subjects/a?tenant=",
        "/v1/revocations?tenant=*",
        "/v1/revocations/snapshot?tenant=*",
        "/v1/subjects/a?tenant=%C3",
        "/v1/subjects/a?tenant=a&tenant=b",
        "/v1/subjects/a?tenants=a",
        "/v1/subjects/a?after=zz",
        "/v1/subjects/a?limit=0",
        "/v1/subjects/a?limit=1001",
        "/v1/subjects/a?limit=x",
        "/v1/events?after=-1",
        "/v1/events?after=x",
        "/v1/events?after=9007199254740992",
        "/v1/events?limit=0",
        "/v1/events?limit=10001",
        "/v1/events/x",
        "/v1/events/18446744073709551615",
        "/v1/events/0",
        "/v1/events/99",
    ] {
        let answer = node.root().get(path).await;
        assert!(answer.status.is_client_error(), "{path}");
        let path = if path.len() > 100 { "/v1/subjects/s…" } else { path };
        lines += &format!("GET {path}\n    {:?}: {}\n", answer.outcome(), answer.json()["detail"]);
    }
    let long_key = "k".repeat(256);
    for (name, value) in [
        ("idempotency-key", "short"),
        ("idempotency-key", &*long_key),
        ("ledger-consistency", "everywhere"),
        ("ledger-consistency-timeout", "0"),
        ("ledger-consistency-timeout", "121"),
        ("ledger-consistency-timeout", "soon"),
    ] {
        let answer = node.root().with(name, value).post("/v1/tickets", json!({"subject": "a"})).await;
        let value = if value.len() > 100 { "kkk…" } else { value };
        lines += &format!("{name}: {value}\n    {:?}: {}\n", answer.outcome(), answer.json()["detail"]);
    }
    let twice = node.root().keyed("0123456789abcdef").keyed("0123456789abcdef");
    let answer = twice.post("/v1/tickets", json!({"subject": "a"})).await;
    lines += &format!("two keys\n    {:?}: {}\n", answer.outcome(), answer.json()["detail"]);
    assert_eq!(node.head(), head);
    insta::assert_snapshot!(lines);
}

#[tokio::test]
async fn a_body_that_is_too_large_not_json_or_not_utf8_is_refused_and_appends_nothing() {
    let node = ServedNode::start().await;
    let head = node.head();
    let large = format!("{{\"subject\":\"{}\"}}", "s".repeat(10 << 20));
    let mut outcomes = vec![node.root().post_text("/v1/tickets", large.clone()).await.outcome()];
    outcomes.push(node.root().send(Method::DELETE, "/v1/applications/x", large).await.outcome());
    outcomes.push(node.root().post_text("/v1/tickets", Body::from(&b"{\"subject\":\"\xff\"}"[..])).await.outcome());
    let good = || json!({"subject": "a"}).to_string();
    outcomes.push(node.root().send(Method::POST, "/v1/tickets", good()).await.outcome());
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"] {
        let actor = node.root().with("content-type", media_type);
        outcomes.push(actor.send(Method::POST, "/v1/tickets", good()).await.outcome());
    }
    assert_eq!(node.head(), head);
    insta::assert_debug_snapshot!(outcomes);
}

#[tokio::test]
async fn authority_comes_before_the_body_and_before_existence() {
    let node = ServedNode::start().await;
    let unauthenticated = (401, "unauthenticated".to_owned());
    for actor in [
        node.nobody(),
        node.holder("not-a-secret"),
        node.nobody().with("authorization", "Basic cm9vdDpyb290"),
        node.nobody().with("authorization", "Bearer"),
        node.root().with("authorization", "Bearer another"),
    ] {
        assert_eq!(actor.post_text("/v1/tickets", "no json").await.outcome(), unauthenticated);
        assert_eq!(actor.get("/v1/events/99").await.outcome(), unauthenticated);
        assert_eq!(actor.get("/v1/subjects/%ff").await.outcome(), unauthenticated);
        assert_eq!(actor.delete("/v1/applications/x").await.outcome(), unauthenticated);
    }
    let follower = node.application(&[("*", &["follow"])]).await;
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(follower.post_text("/v1/tickets", "no json").await.outcome(), forbidden);
    assert_eq!(follower.get("/v1/events?limit=x").await.outcome(), forbidden);
    assert_eq!(follower.delete("/v1/applications/x").await.outcome(), forbidden);
    let lower = node.nobody().with("authorization", &format!("bearer {}", crate::support::served::ROOT));
    assert_eq!(lower.get("/v1/status").await.status, 200);
}
