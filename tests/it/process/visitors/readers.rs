//! A reader that stays in its transaction: the WAL grows, readiness names the reader, and the WAL is shortened when that one goes.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::json;

use super::super::node::{NodeProcess, PATIENCE};
use super::{quiet, warned};

/// The size from which readiness warns.
const LARGE: u64 = 256 << 20;
/// The largest size of the file when nobody needs more.
const KEPT: u64 = 128 << 20;

fn wal_bytes(data: &Path) -> u64 {
    std::fs::metadata(data.join("ledger.db-wal")).unwrap().len()
}

/// Tickets one after another until the WAL is that large: each commit rewrites some pages.
async fn grow(node: &NodeProcess, data: &Path, bytes: u64) {
    let clients = (0..4).map(|client| {
        let api = node.api.apart();
        let data = data.to_owned();
        tokio::spawn(async move {
            while wal_bytes(&data) < bytes {
                api.post("/v1/tickets", json!({"subject": format!("client-{client}")})).await.expect(201);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stays_is_named_and_the_wal_is_shortened_when_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    node.api.issue("first").await;
    let reader = Connection::open(data.join("ledger.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM event").unwrap();
    grow(&node, &data, LARGE).await;
    let warning = warned(&node, "does not end its transaction").await;
    assert!(warning.contains(&format!("(process {})", std::process::id())), "{warning}");
    let metrics = node.api.get("/metrics").await.body.as_str().unwrap().to_owned();
    let gauge = metrics.lines().find_map(|line| line.strip_prefix("authledger_wal_bytes ")).expect("a gauge");
    assert!(gauge.parse::<u64>().unwrap() >= LARGE, "{gauge}");
    println!("{warning}");
    drop(reader);
    let (left, until) = (Instant::now(), Instant::now() + PATIENCE);
    // Nobody sends a command meanwhile.
    while wal_bytes(&data) > KEPT {
        assert!(Instant::now() < until, "the WAL stays at {} bytes", wal_bytes(&data));
        tokio::task::yield_now().await;
    }
    println!("shortened {:?} after the reader had gone", left.elapsed());
    quiet(&node).await;
    node.api.issue("last").await;
    assert_eq!(node.stop().await.0, Some(0));
}
