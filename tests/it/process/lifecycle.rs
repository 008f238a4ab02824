//! Starting and stopping: the files that a clean stop leaves, and how a start uses them.

use crate::support::settings::settings;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use authledger::clock::Clock;
use authledger::domain::{Caller, Digest, Grants, Subject, Tenant};
use authledger::event_log::DataDirectory;
use authledger::service::{self, Call, CallerIdentity, NewTicket, Running, SingleNode};
use serde_json::Value;
use tokio::sync::mpsc;

use super::node::{Api, Launch, NodeProcess, ROOT, client, text};

/// Tickets in the ledger that is stopped and started; the environment can ask for a million.
const TICKETS: usize = 20_000;
const AT_ONCE: usize = 4_000;

fn tickets() -> usize {
    std::env::var("AUTHLEDGER_MANY").map_or(TICKETS, |tickets| tickets.parse().expect("a number of tickets"))
}

/// A ledger in this process, as the server would open it.
async fn open(data: &Path) -> Running {
    let settings = settings(data.to_owned(), &Clock::system());
    let directory = DataDirectory::lock(data).unwrap();
    let root = Digest::of(ROOT.as_bytes());
    service::open(directory, settings, Clock::system(), root, Arc::new(SingleNode), |_, _| Vec::new(), |_, _| {})
        .await
        .unwrap()
}

/// Fills a ledger with tickets, and stops it as a server stops.
async fn fill(data: &Path, tickets: usize) {
    let running = open(data).await;
    let identity = CallerIdentity { caller: Caller::Root, grants: Arc::new(Grants::everything()), registration: None };
    let call = Call { identity, request: None, idempotency: None, consistency: None };
    let mut issued = 0;
    while issued < tickets {
        let several = (issued..tickets.min(issued + AT_ONCE)).map(|number| {
            let subject = Subject::new(&format!("subject-{number}")).unwrap();
            let ttl = authledger::domain::Ttl::from_seconds(86_400);
            running.service.issue_ticket(&call, NewTicket { tenant: Tenant::default(), subject, ttl, parent: None })
        });
        let several: Vec<_> = several.collect();
        issued += several.len();
        for answer in futures_util::future::join_all(several).await {
            answer.unwrap();
        }
    }
    tokio::task::spawn_blocking(move || running.stop()).await.unwrap().unwrap();
}

/// The server's words about its start, and about its state.
async fn status(node: &NodeProcess) -> (Value, Value) {
    let status = node.api.get("/v1/status").await.expect(200);
    (status["start"].clone(), status["counts"].clone())
}

#[tokio::test]
async fn a_start_after_a_clean_stop_reads_the_snapshot_and_not_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let many = tickets();
    fill(&data, many).await;
    let node = NodeProcess::start(&data);
    let (start, counts) = status(&node).await;
    println!("{many} tickets: started in {:?}, {start}", node.took);
    assert_eq!(start["source"], "snapshot");
    assert!(start["records_read"].as_u64().unwrap() < 10_000, "{start}");
    assert_eq!(counts["tickets"].as_u64(), Some(many as u64));
    assert_eq!(node.stop().await.0, Some(0));
    assert_snapshot_is_dispensable(&data, &counts).await;
}

/// Without the snapshot, and with one that is damaged or cut, the state is the same; only its source differs.
async fn assert_snapshot_is_dispensable(data: &Path, counts: &Value) {
    let snapshot = data.join("snapshot").join("state");
    let whole = fs::read(&snapshot).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [None, Some(flipped), Some(whole[..whole.len() / 2].to_vec()), Some(Vec::new())] {
        match &damaged {
            None => fs::remove_file(&snapshot).unwrap(),
            Some(bytes) => fs::write(&snapshot, bytes).unwrap(),
        }
        let node = NodeProcess::start(data);
        let (start, rebuilt) = status(&node).await;
        assert_eq!(start["source"], "log", "{start}");
        assert_eq!(rebuilt, *counts);
        let (code, said) = node.stop().await;
        assert_eq!(code, Some(0));
        assert_eq!(said.contains("the snapshot is ignored"), damaged.is_some(), "{said}");
    }
    let node = NodeProcess::start(data);
    assert_eq!(status(&node).await.0["source"], "snapshot", "the stop has written a usable one");
}

#[tokio::test]
async fn a_termination_ends_streams_with_their_cursor_and_exits_0() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let mut sse = node.api.follow("text/event-stream", "").await;
    let mut lines = node.api.follow("application/x-ndjson", "").await;
    let revoked = node.api.issue_and_revoke("default", "before the end").await;
    assert_eq!((sse.ids(1).await, lines.ids(1).await), (vec![revoked.clone()], vec![revoked]));
    let idle = node.api.apart();
    assert_eq!(idle.get("/health/live").await.status, 200);
    let (one, other, stopped) = tokio::join!(sse.expect("end"), lines.expect("end"), node.stop());
    assert_eq!(stopped.0, Some(0), "{}", stopped.1);
    assert_eq!(one.data["reason"], "stopping");
    assert!(sse.next().await.is_none() && lines.next().await.is_none(), "nothing follows the last frame");

    let node = NodeProcess::start(&data);
    let (start, _) = status(&node).await;
    assert_eq!((&start["source"], start["records_read"].as_u64()), (&Value::from("snapshot"), Some(0)));
    let missed = node.api.issue_and_revoke("default", "after the restart").await;
    for cursor in [one.id.unwrap(), text(&other.data, "cursor")] {
        let mut resumed = node.api.follow("text/event-stream", &format!("?after={cursor}")).await;
        assert_eq!(resumed.ids(1).await, [&*missed]);
    }
}

#[test]
fn a_termination_stops_a_start_that_takes_long() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("certificate.pem");
    assert!(Command::new("mkfifo").arg(&certificate).status().unwrap().success());
    let launch = Launch::new(&directory.path().join("data"));
    let launch = launch.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&certificate);
    // The pipe opens once the start reads it, and as long as it is open the start waits for more.
    let status = launch.terminate_when(|| fs::OpenOptions::new().write(true).open(&certificate).unwrap());
    assert_eq!(status.signal(), Some(15), "{status}");
}

#[tokio::test]
async fn commands_in_flight_at_a_termination_are_answered_and_durable() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let (tell, mut told) = mpsc::unbounded_channel();
    let issue = |client| tokio::spawn(issue_until_refused(node.api.apart(), client, tell.clone()));
    let clients: Vec<_> = (0..16).map(issue).collect();
    for _ in 0..100 {
        told.recv().await.unwrap();
    }
    assert_eq!(node.stop().await.0, Some(0));
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    let node = NodeProcess::start(&data);
    for ticket in &acknowledged {
        assert!(node.api.is_active(ticket).await);
    }
    println!("{} acknowledged before the stop", acknowledged.len());
}

async fn issue_until_refused(api: Api, client: usize, tell: mpsc::UnboundedSender<()>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let body = serde_json::json!({"subject": format!("client-{client}")});
    while let Ok(answer) = api.send(reqwest::Method::POST, "/v1/tickets", Some(&body)).await {
        if answer.status != 201 {
            break;
        }
        acknowledged.push(text(&answer.body, "ticket"));
        tell.send(()).unwrap();
    }
    acknowledged
}

#[tokio::test]
async fn checking_says_what_a_start_would_and_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    assert_eq!(Launch::new(&data).arg("--check").refuse().0, Some(0));
    assert!(!data.join("ledger.db").exists());
    let (code, said) = Launch::new(&data).args(&["--check", "--heartbeat", "0"]).refuse();
    assert_eq!(code, Some(1));
    assert!(said.contains("--heartbeat"), "{said}");
    let node = NodeProcess::start(&data);
    let (code, said) = Launch::new(&data).arg("--check").refuse();
    assert_eq!((code, said.contains("in use by another")), (Some(1), true));
    assert_eq!(node.stop().await.0, Some(0));
    assert_eq!(Launch::new(&data).arg("--check").refuse().0, Some(0));
}

#[tokio::test]
async fn with_a_certificate_everything_is_served_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let launch = Launch::new(&data).arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
    let node = launch.start();
    assert!(node.api.url().starts_with("https://"));
    let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let trusting = client().tls_certs_only([root]).build().unwrap();
    let api = Api::with_client(trusting, node.api.url(), ROOT);
    let mut stream = api.follow("text/event-stream", "").await;
    let revoked = api.issue_and_revoke("default", "somebody").await;
    assert_eq!(stream.ids(1).await, [&*revoked]);
    let (end, stopped) = tokio::join!(stream.expect("end"), node.stop());
    assert!(end.id.is_some());
    assert_eq!(stopped.0, Some(0));
}

#[tokio::test]
async fn roots_secret_is_in_a_file_unless_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let launch = || Launch::with(std::process::Command::new(super::node::BINARY), &data);
    let node = launch().start();
    let secret = fs::read_to_string(data.join("root-token")).unwrap();
    assert_eq!(node.api.get("/v1/status").await.status, 401, "the tests' own secret was not given");
    let api = node.api.as_caller(secret.trim());
    assert_eq!(api.get("/v1/status").await.status, 200);
    assert!(text(&api.get("/health/ready").await.expect(200), "warning").contains("root-token"));
    let (code, said) = node.stop().await;
    assert_eq!((code, said.contains(secret.trim())), (Some(0), false), "the secret is in no log");

    let node = NodeProcess::start(&data);
    assert_eq!(node.api.get("/v1/status").await.status, 200);
    assert_eq!(node.api.as_caller(secret.trim()).get("/v1/status").await.status, 401, "the file's secret is refused");
}
