//! A lock that another program holds for long: nothing was written, so the batch is refused and the log goes on.

use std::path::Path;
use std::time::Instant;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::json;

use super::super::node::{Api, Launch, NodeProcess, text};

/// The write lock, held from another process's point of view: this test's.
fn lock(data: &Path) -> Connection {
    let other = Connection::open(data.join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// A command that is refused because of a lock; the seconds after which to try again.
async fn assert_locked(api: &Api, path: &str, body: serde_json::Value) -> u64 {
    let response = api.request(Method::POST, path).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let retry = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/log-locked");
    let said = problem.to_string();
    assert!(said.contains("lock") && !said.contains("write to the disk failed"), "{said}");
    retry
}

/// Readiness, once it has no warning of a lock.
async fn assert_unlocked(node: &NodeProcess) {
    let until = Instant::now() + super::super::node::PATIENCE;
    while node.api.get("/health/ready").await.expect(200).to_string().contains("locked for writing") {
        assert!(Instant::now() < until, "the warning stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_refuses_commands_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Launch::new(&data).start();
    let kept = node.api.issue("kept").await;
    let gone = node.api.issue("gone").await;
    node.api.revoke(&text(&gone, "ticket")).await;
    let other = lock(&data);
    // The revocation of a credential that is revoked already needs no lock, and no writer.
    node.api.post("/v1/revocations", json!({"credential": gone["ticket"]})).await.expect(200);
    assert!(assert_locked(&node.api, "/v1/tickets", json!({"subject": "refused"})).await > 0);
    let ready = node.api.get("/health/ready").await.expect(200);
    assert!(text(&ready, "warning").contains("ledger.db is locked for writing by"), "{ready}");
    assert!(text(&ready, "warning").contains(&format!("(process {})", std::process::id())), "{ready}");
    // The decisions of a refused batch are forgotten: the ticket is active, and the revocation can be made later.
    assert_locked(&node.api, "/v1/revocations", json!({"credential": kept["ticket"]})).await;
    assert!(node.api.is_active(&text(&kept, "ticket")).await);
    other.execute_batch("ROLLBACK").unwrap();
    assert_unlocked(&node).await;
    let next = node.api.issue("next").await;
    assert_eq!(
        next["position"].as_u64(),
        kept["position"].as_u64().map(|position| position + 3),
        "no trace of the refused"
    );
    node.api.revoke(&text(&kept, "ticket")).await;
    let status = node.api.get("/v1/status").await.expect(200);
    assert_eq!(status["counts"]["tickets"], 3);
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("another process has locked the event log"), "{log}");
    super::verify(&data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_idempotency_key_works_when_the_lock_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Launch::new(&data).start();
    node.api.issue("first").await;
    let other = lock(&data);
    let ask = || {
        let request = node.api.request(Method::POST, "/v1/tickets").header("idempotency-key", "a key of sixteen bytes");
        request.json(&json!({"subject": "somebody"})).send()
    };
    assert_eq!(ask().await.unwrap().status(), 503);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(ask().await.unwrap().status(), 201, "the refused command was not remembered");
    assert_eq!(node.api.get("/v1/status").await.expect(200)["counts"]["tickets"], 2);
}
