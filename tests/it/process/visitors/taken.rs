//! Files that are deleted or replaced under a running server: the log halts, and everything acknowledged is saved.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::node::{Launch, NodeProcess, text};
use super::{Crowd, SOME, assert_held, verify};

/// A deed of somebody to a file of a running server.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Delete,
    /// Another file gets its name.
    Replace,
    /// It gets an empty file's name, as editors and log rotation do.
    Empty,
    /// It is moved elsewhere.
    Move,
}

fn commit(deed: Deed, file: &Path) {
    let other = file.with_extension("other");
    match deed {
        Deed::Delete => fs::remove_file(file).unwrap(),
        Deed::Replace => {
            fs::copy(file, &other).unwrap();
            fs::rename(&other, file).unwrap();
        }
        Deed::Empty => {
            fs::write(&other, "").unwrap();
            fs::rename(&other, file).unwrap();
        }
        Deed::Move => fs::rename(file, &other).unwrap(),
    }
}

/// Waits until readiness says that something was saved, and gives its words.
async fn told(node: &NodeProcess) -> String {
    told_of(node, "ledger.rescued.db").await
}

/// Waits until readiness says that, and gives all of it.
async fn told_of(node: &NodeProcess, due: &str) -> String {
    let until = std::time::Instant::now() + super::super::node::PATIENCE;
    loop {
        let ready = node.api.get("/health/ready").await;
        let detail = ready.body["detail"].as_str().unwrap_or_default().to_owned();
        if ready.status == 503 && detail.contains(due) {
            return detail;
        }
        assert!(std::time::Instant::now() < until, "{}", ready.body);
        tokio::task::yield_now().await;
    }
}

/// Puts the saved log in the place of the one that was taken away, as the message says.
fn put_back(data: &Path, saved: &Path) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        // One of them was deleted.
        let _ = fs::rename(data.join(name), data.join(format!("old-{name}")));
    }
    fs::rename(saved, data.join("ledger.db")).unwrap();
}

fn saved(data: &Path) -> PathBuf {
    data.join("ledger.rescued.db")
}

async fn assert_refused(node: &NodeProcess) {
    let refused = node.api.post("/v1/tickets", json!({"subject": "later"})).await.expect(503);
    assert_eq!(refused["type"], "/problems/log-halted");
}

async fn assert_saved(name: &str, deed: Deed) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let kept: Vec<Value> = [node.api.issue("first").await, node.api.issue("second").await].into();
    let crowd = Crowd::start(&node.api);
    crowd.work(SOME).await;
    commit(deed, &data.join(name));
    // They go on until they are refused.
    let mut acknowledged = crowd.told().await;
    acknowledged.extend(kept.iter().map(|one| (text(one, "id"), one["position"].as_u64().unwrap())));
    assert_refused(&node).await;
    let detail = told(&node).await;
    assert!(detail.contains(name) && detail.contains("ledger.rescued.db"), "{detail}");
    assert_held(&acknowledged, &saved(&data));
    verify(&saved(&data));
    assert!(node.api.is_active(&text(&kept[0], "ticket")).await, "reads go on");
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the event log has halted") && log.contains("ledger.rescued.db"), "{log}");
    let (code, said) = Launch::new(&data).refuse();
    assert_eq!(code, Some(1));
    assert!(said.contains("ledger.rescued.db holds what a running server saved"), "{said}");
    put_back(&data, &saved(&data));
    let node = NodeProcess::start(&data);
    assert_held(&acknowledged, &data.join("ledger.db"));
    node.api.issue("afterwards").await;
    assert_eq!(node.stop().await.0, Some(0));
    verify(&data);
    println!("{name} {deed:?}: {} acknowledged, all in ledger.rescued.db", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_halts_the_log_and_what_was_acknowledged_is_saved() {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        assert_saved(name, Deed::Delete).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_or_moved_halts_the_log_and_what_was_acknowledged_is_saved() {
    for (name, deed) in [
        ("ledger.db", Deed::Replace),
        ("ledger.db", Deed::Move),
        ("ledger.db-wal", Deed::Empty),
        ("ledger.db-shm", Deed::Replace),
    ] {
        assert_saved(name, deed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_notices_too() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let kept = node.api.issue("kept").await;
    commit(Deed::Delete, &data.join("ledger.db"));
    // Nobody sends a command.
    assert!(told(&node).await.contains("ledger.db was deleted"));
    assert!(super::held(&saved(&data)).contains_key(&text(&kept, "id")));
    assert_refused(&node).await;
    assert_eq!(node.stop().await.0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_that_failed_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let kept = node.api.issue("kept").await;
    // As many copies as may lie next to a log.
    let copies: Vec<PathBuf> = (2..100).map(|number| data.join(format!("ledger.rescued.{number}.db"))).collect();
    copies.iter().chain([&saved(&data)]).for_each(|copy| fs::write(copy, "").unwrap());
    commit(Deed::Delete, &data.join("ledger.db"));
    let detail = told_of(&node, "could not be saved yet").await;
    assert!(detail.contains("do not stop the server (99 copies are there already)"), "{detail}");
    assert_refused(&node).await;
    fs::remove_file(saved(&data)).unwrap();
    told_of(&node, "is in ledger.rescued.db, verified").await;
    assert!(super::held(&saved(&data)).contains_key(&text(&kept, "id")));
    assert_eq!(node.stop().await.0, Some(1));
}

/// An older log put in the place of the newer one through SQLite, so that no file changes its name: the server says so before it
/// acknowledges anything on top of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_rewritten_through_sqlite_halts_before_the_next_command_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    node.api.issue("first").await;
    let log = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    let second = node.api.issue("second").await;
    // As a restore into the open file does: the newest record is gone, and the file is the same.
    log.execute_batch(
        "DROP TRIGGER event_is_never_deleted; DELETE FROM event WHERE position = (SELECT max(position) FROM event);",
    )
    .unwrap();
    let refused = node.api.post("/v1/tickets", json!({"subject": "third"})).await.expect(503);
    assert_eq!(refused["type"], "/problems/log-halted");
    let told = node.api.get("/v1/status").await.expect(200)["fault"].to_string();
    assert!(told.contains("another program has written to ledger.db"), "{told}");
    assert!(told.contains(&format!("this server has written up to position {}", second["position"])), "{told}");
    assert_eq!(node.stop().await.0, Some(1));
}

/// The triggers let a tool insert at the next position. The server halts, and the pages for operators tell the way out.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_tool_has_inserted_halts_the_server_and_can_be_taken_out_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let kept = node.api.issue("kept").await;
    let position = kept["position"].as_u64().unwrap();
    let log = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    let insert =
        "INSERT INTO event SELECT max(position) + 1, origin, max(sequence) + 1, stored_at, record, hash FROM event";
    log.execute(insert, []).unwrap();
    // Nobody sends a command.
    let told = told_of(&node, "another program has written to ledger.db").await;
    assert!(told.contains(&format!("it ends at position {}", position + 1)), "{told}");
    assert_eq!(node.stop().await.0, Some(1));
    let schema = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/ledger.sql")).unwrap();
    let trigger = schema.find("CREATE TRIGGER event_is_never_deleted").map(|at| &schema[at..]).unwrap();
    let trigger = &trigger[..trigger.find("END;").unwrap() + 4];
    log.execute_batch(&format!(
        "DROP TRIGGER event_is_never_deleted; DELETE FROM event WHERE position = {}; {trigger}",
        position + 1
    ))
    .unwrap();
    drop(log);
    verify(&data);
    let node = NodeProcess::start(&data);
    assert!(node.api.is_active(&text(&kept, "ticket")).await);
    node.api.issue("afterwards").await;
    assert_eq!(node.stop().await.0, Some(0));
}
