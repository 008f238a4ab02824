//! A server in this process whose two clocks the test moves apart.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::served::{Actor, START, ServedNode};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

async fn is_active(root: &Actor, credential: &str) -> bool {
    let answer = root.post("/v1/introspect", json!({"credential": credential})).await;
    answer.json()["active"].as_bool().expect("active")
}

async fn warning(root: &Actor) -> String {
    let ready = root.get("/health/ready").await;
    assert_eq!(ready.status, StatusCode::OK);
    ready.json()["warning"].as_str().unwrap_or_default().to_owned()
}

/// The answer of every command that gives something a life.
async fn issues(root: &Actor, session: &str) -> Vec<(u16, String)> {
    let subject = json!({"subject": "alice"});
    let at =
        |millis: u64| jiff::Timestamp::from_millisecond((START + millis).cast_signed()).expect("a time").to_string();
    let line = json!({"kind": "session", "id": uuid::Uuid::new_v4(), "subject": "alice", "issued_at": at(0), "expires_at": at(24 * HOUR)});
    let imports = root.with("content-type", "application/x-ndjson");
    let imported = imports.send(axum::http::Method::POST, "/v1/imports", format!("{line}\n")).await;
    let imported: Value = serde_json::from_slice(&imported.body).expect("one line");
    let imported = imported["code"].as_str().unwrap_or_default().to_owned();
    let crafter = "/crafter-profile/api/1/authentication/ticket/create.json?profileId=alice&accessTokenId=";
    let crafter = root.post(&format!("{crafter}{}", crate::support::served::ROOT), Value::Null).await;
    vec![
        root.post("/v1/tickets", subject.clone()).await.outcome(),
        root.post("/v1/sessions", subject.clone()).await.outcome(),
        root.post("/v1/tokens", json!({"subject": "alice", "format": "jwt"})).await.outcome(),
        root.post("/v1/tokens", json!({"subject": "alice", "format": "opaque"})).await.outcome(),
        root.post(&format!("/v1/sessions/{session}/extend"), json!({"ttl": 90_000})).await.outcome(),
        (0, imported),
        (crafter.status.as_u16(), String::new()),
    ]
}

#[tokio::test]
async fn after_an_hour_of_an_unsettled_jump_nothing_is_issued_and_everything_else_goes_on() {
    for jump in [70 * MINUTE.cast_signed(), -70 * MINUTE.cast_signed()] {
        let node = ServedNode::start().await;
        let root = node.root();
        let session = root.post("/v1/sessions", json!({"subject": "alice", "ttl": 80_000})).await;
        let session = session.json()["session"]["id"].as_str().expect("an id").to_owned();
        let token = root.post("/v1/tokens", json!({"subject": "bob", "format": "jwt", "ttl": 80_000})).await;
        let ticket = root.post("/v1/tickets", json!({"subject": "bob", "ttl": 80_000})).await;
        node.clock.step_wall(jump);
        let made = vec![
            (201, String::new()),
            (201, String::new()),
            (201, String::new()),
            (201, String::new()),
            (200, String::new()),
            (0, String::new()),
            (200, String::new()),
        ];
        assert_eq!(issues(&root, &session).await, made);
        let said = warning(&root).await;
        for part in ["2027-01-15T08:00:00.000Z", if jump > 0 { "09:10:00.000Z" } else { "06:50:00.000Z" }] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        // The first look at the jump was at the first command.
        node.clock.advance(HOUR);
        let refused = (503, "clock-unsettled".to_owned());
        let refusals = issues(&root, &session).await;
        assert_eq!(refusals[..5], vec![refused; 5]);
        assert_eq!(refusals[5..], [(0, "clock-unsettled".to_owned()), (503, String::new())]);
        assert!(warning(&root).await.contains("Until then nothing is issued"));
        // Authority is looked at first.
        let stranger = node.application(&[("acme", &["revoke"])]).await;
        assert_eq!(stranger.post("/v1/tickets", json!({"subject": "alice"})).await.outcome().0, 403);
        // Answering, revoking and erasing go on.
        assert!(is_active(&root, token.text("token")).await && is_active(&root, ticket.text("ticket")).await);
        for credential in [token.text("token"), ticket.text("ticket")] {
            let revoked = root.post("/v1/revocations", json!({"credential": credential})).await;
            assert_eq!(revoked.status, StatusCode::CREATED);
            assert!(!is_active(&root, credential).await);
        }
        assert_eq!(root.post("/v1/revocations", json!({"subject": "alice"})).await.status, StatusCode::CREATED);
        assert!(root.delete("/v1/subjects/alice/personal-data").await.status.is_success());
        let metrics = String::from_utf8(root.get("/metrics").await.body.to_vec()).expect("UTF-8");
        assert!(metrics.contains("authledger_clock_unsettled_milliseconds 3600000"), "{metrics}");
    }
}

#[tokio::test]
async fn a_jump_that_is_accepted_is_settled_at_once() {
    let node = ServedNode::start().await;
    let root = node.root();
    node.clock.step_wall((5 * HOUR).cast_signed());
    let before = root.get("/v1/clock").await.json();
    assert_eq!((&before["settled"], &before["ledger_time"]), (&json!(false), &json!("2027-01-15T08:00:00.000Z")));
    node.clock.advance(HOUR);
    assert_eq!(root.post("/v1/tickets", json!({"subject": "alice"})).await.outcome().1, "clock-unsettled");
    let stranger = node.application(&[("acme", &["admin"])]).await;
    assert_eq!(stranger.post("/v1/clock/accept", Value::Null).await.outcome(), (403, "forbidden".to_owned()));
    assert_eq!(stranger.get("/v1/clock").await.outcome(), (403, "forbidden".to_owned()));
    let accepted = root.post("/v1/clock/accept", Value::Null).await.json();
    assert_eq!((&accepted["changed"], &accepted["starts_again"]), (&json!(true), &json!(false)));
    let after = root.get("/v1/clock").await.json();
    assert_eq!((&after["settled"], &after["ledger_time"]), (&json!(true), &json!("2027-01-15T14:00:00.000Z")));
    assert_eq!(root.post("/v1/tickets", json!({"subject": "alice"})).await.status, StatusCode::CREATED);
    assert_eq!(root.post("/v1/clock/accept", Value::Null).await.json()["changed"], json!(false));
}

#[tokio::test]
async fn the_sweep_forgets_nothing_by_a_clock_that_has_jumped() {
    let mut node = ServedNode::start().await;
    let root = node.root();
    let token = root.post("/v1/tokens", json!({"subject": "alice", "format": "jwt", "ttl": 3_600})).await;
    let token = token.text("token").to_owned();
    let session = root.post("/v1/sessions", json!({"subject": "bob", "ttl": 3_600})).await.json();
    let id = session["session"]["id"].as_str().expect("an id").to_owned();
    let of_session = root.post("/v1/tokens", json!({"subject": "bob", "format": "jwt", "session_id": id})).await;
    let of_session = of_session.text("token").to_owned();
    root.post("/v1/revocations", json!({"credential": token})).await;
    root.post("/v1/revocations", json!({"kind": "session", "id": id})).await;
    for jump in [70 * MINUTE, 40 * 24 * HOUR] {
        node.clock.step_wall(jump.cast_signed());
        // A round of the sweep takes a minute.
        for _ in 0..300 {
            node.clock.advance(250);
            let now = node.clock.now();
            let forget_at = node.clock.forgets_at();
            node.service().projection().sweep(now, forget_at);
        }
        node.clock.step_wall(-jump.cast_signed());
        assert!(!is_active(&root, &token).await && !is_active(&root, &of_session).await);
    }
    // Nor by a start that finds the clock ahead, and a second one that does not.
    for _ in 0..2 {
        node.clock.step_wall((2 * HOUR).cast_signed());
        node.restart().await;
        let projection = node.service().projection().clone();
        projection.prune(node.clock.forgets_at());
        node.clock.step_wall(-(2 * HOUR).cast_signed());
        node.restart().await;
        assert!(!is_active(&node.root(), &token).await && !is_active(&node.root(), &of_session).await);
        let accepted = node.root().post("/v1/clock/accept", Value::Null).await.json();
        assert_eq!(accepted["changed"], json!(true), "{accepted}");
        assert!(!is_active(&node.root(), &token).await && !is_active(&node.root(), &of_session).await);
    }
}
