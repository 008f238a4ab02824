//! An answer means durable: counted syncs, and syncs that fail.
//!
//! SIGKILL keeps the page cache, so that a server which never synced would survive it. Here each answer is held against the
//! syncs of the write-ahead log that began after its command was sent.

use std::path::Path;
use std::sync::Arc;

use authledger::event_log::{Base, Reader};
use reqwest::Method;
use serde_json::{Value, json};

use super::disk::{Disk, Failure};
use super::node::{Api, Launch, NodeProcess, text};

const CONCURRENT: usize = 64;
const EACH: usize = 4;

/// Sends a command, and expects that a sync which began after it was sent has succeeded by the time of its answer.
async fn durable(disk: &Disk, api: &Api, method: Method, path: &str, body: Option<Value>) -> Value {
    let began = disk.began();
    let answer = api.send(method, path, body.as_ref()).await.expect("an answer");
    assert!(disk.succeeded() > began, "{path} was answered {} without a sync", answer.status);
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn every_answer_has_a_sync_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let node = disk.under(Launch::new(&directory.path().join("data"))).start();
    for number in 0..20 {
        let post = |path, body| durable(&disk, &node.api, Method::POST, path, Some(body));
        let issued = post("/v1/tickets", json!({"subject": format!("subject-{number}")})).await;
        post("/v1/revocations", json!({"credential": issued["ticket"]})).await;
        post("/v1/revocations", json!({"subject": format!("subject-{number}"), "hold": 60})).await;
        let made = post("/v1/applications", json!({"name": "one", "scopes": ["issue"], "tenants": ["*"]})).await;
        let path = format!("/v1/applications/{}", text(&made, "id"));
        durable(&disk, &node.api, Method::DELETE, &path, None).await;
    }
    let before = disk.began();
    assert_eq!(node.api.get("/v1/status").await.status, 200);
    assert_eq!(disk.began(), before, "a read syncs nothing");
}

#[tokio::test]
async fn commands_that_share_a_sync_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(directory.path()));
    let node = disk.under(Launch::new(&directory.path().join("data"))).start();
    let before = disk.succeeded();
    let clients = (0..CONCURRENT).map(|client| {
        let (disk, api) = (disk.clone(), node.api.clone());
        tokio::spawn(async move {
            for _ in 0..EACH {
                let body = json!({"subject": format!("subject-{client}")});
                durable(&disk, &api, Method::POST, "/v1/tickets", Some(body)).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let syncs = disk.succeeded() - before;
    println!("{} commands shared {syncs} syncs", CONCURRENT * EACH);
    assert!(syncs < (CONCURRENT * EACH) as u64, "commands that wait together share a sync");
}

/// Every record that the log holds, the chain checked.
fn whole(data: &Path) -> (Base, Vec<String>) {
    let reader = Reader::open(&data.join("ledger.db")).unwrap();
    let (mut base, mut records) = (Base::default(), Vec::new());
    loop {
        let page = reader.next_page(&mut base, 10_000).unwrap();
        if page.is_empty() {
            return (base, records);
        }
        records.extend(page.into_iter().map(|stored| stored.record.into()));
    }
}

/// A server whose disk has failed halts, whichever way it failed.
async fn assert_halts(failure: Failure) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let data = directory.path().join("data");
    let node = disk.under(Launch::new(&data)).args(&["--heartbeat", "1"]).start();
    let kept = node.api.issue("kept").await;
    let revoked = node.api.issue_and_revoke("default", "revoked").await;
    let mut stream = node.api.follow("text/event-stream", "?after=0").await;
    assert_eq!(stream.ids(1).await, [&*revoked]);

    disk.fail(failure);
    let lost = node.api.post("/v1/tickets", json!({"subject": "in flight"})).await;
    assert_eq!(lost.status, 503, "{}", lost.body);
    assert!(disk.failed() > 0);
    // A disk that works again is not trusted: nobody knows what it lost meanwhile.
    disk.mend();
    let halted = files(&data);
    assert_refuses_commands(&node, &text(&kept, "ticket")).await;
    assert!(node.api.is_active(&text(&kept, "ticket")).await, "reads go on");
    stream.expect("heartbeat").await;
    let page = node.api.get("/v1/revocations?after=0").await.expect(200);
    assert_eq!(page["items"][0]["id"], *revoked, "the log can be read");

    let cursor = stream.cursor.clone().unwrap();
    let (last, stopped) = tokio::join!(stream.expect("end"), node.stop());
    assert_eq!(last.data["cursor"], *last.id.unwrap());
    assert_eq!(stopped.0, Some(1), "{}", stopped.1);
    assert!(stopped.1.contains("the event log has halted"), "{}", stopped.1);
    assert!(files(&data) == halted, "nothing more is written");
    assert_goes_on(&data, &kept, &revoked, &cursor).await;
}

/// The ledger's bytes.
fn files(data: &Path) -> (Vec<u8>, Option<Vec<u8>>) {
    (std::fs::read(data.join("ledger.db")).unwrap(), std::fs::read(data.join("ledger.db-wal")).ok())
}

async fn assert_refuses_commands(node: &NodeProcess, ticket: &str) {
    let commands = [
        ("/v1/tickets", json!({"subject": "later"})),
        ("/v1/revocations", json!({"credential": ticket})),
        ("/v1/applications", json!({"name": "later", "scopes": ["issue"], "tenants": ["*"]})),
    ];
    for (path, body) in commands {
        let refused = node.api.post(path, body).await.expect(503);
        assert_eq!(refused["type"], "/problems/log-halted");
    }
    let ready = node.api.get("/health/ready").await.expect(503);
    assert_eq!(ready["title"], "The event log has halted");
    let cause = text(&ready, "detail");
    assert!(cause.starts_with("write the event log: ") && cause.contains("disk"), "{ready}");
    assert_eq!(node.api.get("/health/live").await.status, 200);
}

/// After the cause is mended: everything acknowledged is there; a command in flight is there whole or not at all.
async fn assert_goes_on(data: &Path, kept: &Value, revoked: &str, cursor: &str) {
    let node = NodeProcess::start(data);
    assert!(node.api.is_active(&text(kept, "ticket")).await);
    let page = node.api.get(&format!("/v1/revocations?after={cursor}")).await.expect(200);
    assert_eq!(page["gap"], Value::Null, "the stream's cursor is known");
    let (base, records) = whole(data);
    assert!(records.iter().any(|record| record.contains(revoked) && record.contains("ticket.revoked")));
    assert!(!records.iter().any(|record| record.contains("later")), "a refused command is not there");
    let next = node.api.issue("after the repair").await;
    assert_eq!(next["position"].as_u64(), Some(base.position.0 + 1));
    assert_eq!(node.stop().await.0, Some(0));
}

#[tokio::test]
async fn a_sync_that_fails_halts_the_log_and_nothing_else() {
    assert_halts(Failure::Syncs).await;
}

#[tokio::test]
async fn a_full_disk_halts_the_log_and_nothing_else() {
    assert_halts(Failure::Writes).await;
}

#[tokio::test]
async fn a_checkpoint_that_fails_halts_the_log_too() {
    /// More than the commits between two checkpoints, by far.
    const COMMANDS: usize = 5_000;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let disk = Disk::new(directory.path());
    let node = disk.under(Launch::new(&data)).start();
    disk.fail(Failure::Checkpoints);
    let mut acknowledged = 0;
    let refused = loop {
        assert!(acknowledged < COMMANDS, "the log goes on though its database can't be synced");
        let answer = node.api.post("/v1/tickets", json!({"subject": "somebody"})).await;
        if answer.status != 201 {
            break answer.expect(503);
        }
        acknowledged += 1;
    };
    assert_eq!(refused["type"], "/problems/log-halted");
    assert!(disk.failed() > 0);
    assert_eq!(node.api.get("/health/ready").await.status, 503);
    disk.mend();
    assert_eq!(node.stop().await.0, Some(1));
    let tickets = NodeProcess::start(&data).api.get("/v1/status").await.expect(200)["counts"]["tickets"].clone();
    assert_eq!(tickets, acknowledged, "everything acknowledged is in the WAL, and there after a restart");
}
