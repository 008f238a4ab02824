//! Requests as clients really send them: headers in other spellings, bodies left out, a plus in a query, times in seconds.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::served::ServedNode;

/// `Accept` lines, and the media type of the answer.
const LAYOUTS: [(&[&str], &str); 11] = [
    (&[], "application/json"),
    (&["*/*"], "application/json"),
    (&["text/html"], "application/json"),
    (&["Text/Event-Stream"], "text/event-stream"),
    (&["text/*"], "text/event-stream"),
    (&["application/json;q=0.5, text/event-stream"], "text/event-stream"),
    (&["application/json", "text/event-stream;q=0.9"], "application/json"),
    (&["text/event-stream;q=0, */*"], "application/json"),
    (&["image/png", "application/x-ndjson;charset=\"utf-8\""], "application/x-ndjson"),
    (&["application/x-ndjson, text/event-stream"], "application/x-ndjson"),
    (&["*/*;q=0.1, text/event-stream;q=0.2"], "text/event-stream"),
];

#[tokio::test]
async fn the_feed_is_laid_out_as_the_client_weighs_its_media_types() {
    let node = ServedNode::start().await;
    for (lines, media_type) in LAYOUTS {
        let asking = lines.iter().fold(node.root(), |asking, line| asking.with("accept", line));
        let head = asking.head_of("/v1/revocations?after=0").await;
        assert_eq!(head.get("content-type").unwrap(), media_type, "{lines:?}");
        assert_eq!(head.get("vary").unwrap(), "accept", "{lines:?}");
    }
}

#[tokio::test]
async fn a_page_is_waited_for_however_the_wait_is_spelled() {
    let node = ServedNode::start().await;
    tokio::time::pause();
    for (prefer, seconds) in [
        (&["wait=2"][..], 2),
        (&["Wait = 2"], 2),
        (&["wait=\"2\"; a=b, wait=9"], 2),
        (&["respond-async", "handling=lenient, WAIT=2"], 2),
        (&["wait=500"], 120),
        (&["wait=x"], 0),
        (&["await=2"], 0),
        (&[], 0),
    ] {
        let asking = prefer.iter().fold(node.root(), |asking, line| asking.with("prefer", line));
        let started = tokio::time::Instant::now();
        assert_eq!(asking.get("/v1/revocations").await.json()["items"], json!([]));
        assert_eq!(started.elapsed().as_secs(), seconds, "{prefer:?}");
    }
}

#[tokio::test]
async fn a_cursor_is_taken_from_wherever_a_client_can_put_it() {
    let node = ServedNode::start().await;
    let mut cursors = Vec::new();
    for subject in ["a", "b", "c"] {
        let revoked = node.root().post("/v1/revocations", json!({"subject": subject})).await;
        assert_eq!(revoked.status, 201);
        cursors.push(node.root().get("/v1/revocations").await.text("cursor").to_owned());
    }
    let subjects = |page: Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()).collect()
    };
    let [first, second, _] = &*cursors else { unreachable!() };
    let root = node.root();
    for (what, asking, query, expected) in [
        ("after", root.clone(), format!("after={first}"), &["b", "c"][..]),
        ("the header", root.with("last-event-id", second), format!("after={first}"), &["c"]),
        ("an empty header", root.with("last-event-id", ""), format!("after={first}"), &["b", "c"]),
        ("an empty header alone", root.with("last-event-id", ""), String::new(), &[]),
        ("a polyfill's parameter", root.clone(), format!("after={first}&lastEventId={second}"), &["c"]),
        ("an empty one", root.clone(), format!("lastEventId=&after={first}"), &["b", "c"]),
        ("the header before a polyfill's", root.with("last-event-id", second), format!("lastEventId={first}"), &["c"]),
    ] {
        let page = asking.get(&format!("/v1/revocations?{query}")).await;
        assert_eq!(subjects(page.json()), expected, "{what}");
    }
    // A cursor that its follower has lost must not mean "from now on".
    assert_eq!(root.get("/v1/revocations?after=").await.outcome(), (400, "invalid-cursor".to_owned()));

    let in_body = async |body: Value| root.post("/v1/revocations/follow", body).await;
    assert_eq!(subjects(in_body(json!({"after": first})).await.json()), ["b", "c"]);
    assert_eq!(subjects(in_body(json!({"after": "0", "limit": 1, "kind": "session,token"})).await.json()), ["a"]);
    assert_eq!(subjects(in_body(json!({})).await.json()), Vec::<String>::new());
    assert_eq!(in_body(json!({"after": "0", "limit": 0})).await.outcome(), (400, "invalid-body".to_owned()));
    assert_eq!(in_body(json!({"after": ""})).await.outcome(), (400, "invalid-cursor".to_owned()));
    assert_eq!(in_body(json!({"afer": "0"})).await.outcome(), (400, "invalid-body".to_owned()));
    let stranger = node.application(&[("default", &["issue"])]).await;
    let refused = stranger.post("/v1/revocations/follow", json!({"after": "x".repeat(100_000)})).await;
    assert_eq!(refused.outcome(), (403, "forbidden".to_owned()));
    // More than a head or the usual body may hold: a thousand origins and more.
    let long = in_body(json!({"after": "A".repeat(65_000)})).await;
    assert_eq!(long.outcome(), (400, "invalid-cursor".to_owned()));
}

#[tokio::test]
async fn a_plus_is_never_taken_for_a_space() {
    let node = ServedNode::start().await;
    let root = node.root();
    let session = root.post("/v1/sessions", json!({"subject": "user+tag@example.org"})).await;
    assert_eq!(session.status, 201);
    let found = root.get("/v1/history?subject=user%2Btag@example.org").await;
    assert!(String::from_utf8_lossy(&found.body).contains("session.issued"), "{found:?}");
    for path in [
        "/v1/history?subject=user+tag@example.org",
        "/v1/as-of?subject=user+tag@example.org&at=1",
        "/v1/history?subject=x&tenant=a+b",
        "/v1/revocations?tenant=a+b",
    ] {
        let refused = root.get(path).await;
        assert_eq!(refused.outcome(), (400, "invalid-query".to_owned()), "{path}");
        assert!(refused.text("detail").contains("write a plus as %2B"), "{path}: {}", refused.text("detail"));
    }
    // In a time it can only be itself, and in a path it is itself everywhere.
    let as_of = root.get("/v1/as-of?subject=user%2Btag@example.org&at=2027-01-15T10:00:00+02:00").await;
    assert_eq!(as_of.status, 200, "{as_of:?}");
    assert_eq!(root.get("/v1/subjects/user+tag@example.org").await.json()["subject"], "user+tag@example.org");
}

#[tokio::test]
async fn seconds_since_1970_are_refused_with_the_form_that_a_time_has() {
    let node = ServedNode::start().await;
    for (problem, at) in [("an RFC 3339 time", "1800000000.5"), ("an RFC 3339 time", "now")] {
        let refused = node.root().get(&format!("/v1/as-of?subject=a&at={at}")).await;
        assert_eq!(refused.outcome(), (400, "invalid-query".to_owned()), "{at}");
        assert!(refused.text("detail").contains(problem), "{}", refused.text("detail"));
    }
    // A whole number is a position.
    let beyond = node.root().get("/v1/as-of?subject=a&at=1800000000").await;
    assert_eq!(beyond.outcome(), (404, "unknown-position".to_owned()));
    assert!(beyond.text("detail").contains("RFC 3339"), "{}", beyond.text("detail"));
    let application = json!({"name": "a", "grants": [], "expires_at": 1_800_000_000});
    let refused = node.root().post("/v1/applications", application).await;
    assert!(refused.text("detail").contains("RFC 3339"), "{}", refused.text("detail"));
}

#[tokio::test]
async fn a_session_is_extended_without_a_body() {
    let node = ServedNode::start().await;
    let session = node.root().post("/v1/sessions", json!({"subject": "a", "ttl": 60})).await.json();
    let path = format!("/v1/sessions/{}/extend", session["session"]["id"].as_str().unwrap());
    let short = node.root().post(&path, json!({"ttl": 120})).await.json();
    assert_eq!(short["expires_at"], "2027-01-15T08:02:00.000Z");
    let default = node.root().send(Method::POST, &path, Body::empty()).await;
    assert_eq!((default.status.as_u16(), default.text("expires_at")), (200, "2027-01-16T08:00:00.000Z"));
    let text = node.root().send(Method::POST, &path, "{}").await;
    assert_eq!(text.outcome(), (415, "unsupported-media-type".to_owned()));
    let empty = node.root().post_text(&path, " ").await;
    assert_eq!(empty.outcome(), (400, "malformed-json".to_owned()));
}

#[tokio::test]
async fn no_cache_keeps_a_refusal() {
    let node = ServedNode::start().await;
    for path in ["/tile/0/x001/000", "/nowhere", "/v1/status", "/problems/nothing", "/v1/events/99"] {
        let asking = if path == "/v1/status" { node.nobody() } else { node.root() };
        let refused = asking.get(path).await;
        assert!(refused.status.is_client_error(), "{path}");
        assert_eq!(refused.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn dots_in_a_path_name_nothing() {
    let node = ServedNode::start().await;
    for (method, path) in [
        (Method::GET, "/v1/subjects/.."),
        (Method::GET, "/v1/subjects/%2e%2E"),
        (Method::DELETE, "/v1/subjects/./personal-data"),
        (Method::DELETE, "/v1/applications/.."),
        (Method::GET, "/v1/sessions/%2e"),
        (Method::POST, "/v1/sessions/../extend"),
        (Method::DELETE, "/v1/nodes/.."),
    ] {
        let refused = node.root().send(method.clone(), path, Body::empty()).await;
        assert_eq!(refused.outcome(), (400, "invalid-path".to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn claims_and_identities_are_kept_exactly_or_refused_by_name() {
    let node = ServedNode::start().await;
    let root = node.root();
    for (member, path, rest) in [("claims", "/v1/tokens", ""), ("identity", "/v1/sessions", "")] {
        for (value, problem) in [
            (r#"{"x":18446744073709551616}"#, "`x`: the number 18446744073709551616 would become"),
            (r#"{"a":[{"n":0.1000000000000000055}]}"#, "`a[0].n`: the number"),
            (r#"{"role":"user","role":"admin"}"#, "`role`: the member is given twice"),
            (r#"{"a":{"b":1,"c":2,"b":1}}"#, "`a.b`: the member is given twice"),
        ] {
            let body = format!(r#"{{"subject":"a"{rest},"{member}":{value}}}"#);
            let refused = root.post_text(path, body).await;
            assert_eq!(refused.outcome(), (400, "invalid-body".to_owned()), "{member} {value}");
            let detail = refused.text("detail");
            assert!(detail.contains(problem) && detail.contains(member), "{detail}");
        }
    }
    let kept = json!({"big": u64::MAX, "small": i64::MIN, "ratio": 0.1, "list": [1, 2.5, {"deep": null}]});
    let session = root.post("/v1/sessions", json!({"subject": "a", "identity": kept})).await;
    assert_eq!(session.json()["session"]["identity"], kept);
}
