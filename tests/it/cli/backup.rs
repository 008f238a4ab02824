//! `authledger backup`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use authledger::audit;
use authledger::event_log::{Base, Reader};
use rustix::process::Signal;
use tokio::sync::watch;

use super::*;

fn manifest(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Asserts that the copy is whole, says so itself, and begins as the log does from which it was made.
fn assert_is_prefix(copy: &Path, data: &Path) -> u64 {
    let verified = audit::verify(&copy.join("ledger.db"), |_, _| {}).unwrap();
    let manifest = manifest(copy);
    assert_eq!(manifest["position"], json!(verified.events));
    assert_eq!(manifest["ledger"], json!(verified.ledger.unwrap().to_string()));
    let bytes = fs::read(copy.join("ledger.db")).unwrap();
    assert_eq!(manifest["blake3"], json!(blake3::hash(&bytes).to_string()));
    let (copied, live) =
        (Reader::open(&copy.join("ledger.db")).unwrap(), Reader::open(&data.join("ledger.db")).unwrap());
    let (mut left, mut right) = (Base::default(), Base::default());
    while left.position.0 < verified.events {
        let rest = verified.events - left.position.0;
        let page = copied.next_page(&mut left, rest.min(100) as usize).unwrap();
        assert_eq!(page, live.next_page(&mut right, page.len()).unwrap());
    }
    for (origin, head) in &verified.base.heads {
        let shown = &manifest["origins"][origin.as_str()];
        assert_eq!(*shown, json!({"sequence": head.sequence.0, "hash": head.hash.to_string()}));
    }
    verified.events
}

/// Waits until a checkpoint covers that position.
async fn signed(client: &Client, position: u64) {
    let proof = client.request(Method::GET, &format!("/v1/events/{position}/proof"));
    client.text(proof).await.unwrap();
}

async fn write_until(client: Client, mut stop: watch::Receiver<bool>, written: watch::Sender<u64>) {
    while !*stop.borrow_and_update() {
        issue_and_revoke(&client, "busy").await;
        written.send_modify(|count| *count += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_is_whole_and_a_prefix_of_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let (stop, stopped) = watch::channel(false);
    let (written, mut writing) = watch::channel(0);
    let writer = tokio::spawn(write_until(served.client(), stopped, written));
    let mut last = 0;
    for round in 1..=3 {
        // Something is new since the last time, and the writer goes on meanwhile.
        writing.wait_for(|count| *count >= round * 20).await.unwrap();
        let copy = directory.path().join(format!("copy-{round}"));
        let data = served.data.clone();
        let backed_up = tokio::task::spawn_blocking(move || {
            let (to, data) = (copy.to_str().unwrap(), data.to_str().unwrap());
            run(&["backup", to, "--data", data]).succeeded();
            copy
        });
        let events = assert_is_prefix(&backed_up.await.unwrap(), &served.data);
        assert!(events > last, "{events} events, and {last} before");
        last = events;
    }
    stop.send_replace(true);
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_needs_no_server_and_serves_again_with_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let served = Served::start(&path("data"));
    issue_and_revoke(&served.client(), "alice").await;
    signed(&served.client(), 3).await;
    // The process that was killed has left a write-ahead log behind.
    served.process.signal(Signal::KILL);
    let data = served.data.clone();
    drop(served);
    fs::write(data.join("root-token"), "not to be copied").unwrap();
    let (copy, keys) = (path("copy"), path("keys"));
    let arguments =
        ["backup", copy.to_str().unwrap(), "--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let said = run(&arguments).succeeded();
    assert!(said.contains("whole") && said.contains("keep them apart"), "{said}");
    let events = assert_is_prefix(&copy, &data);
    assert_eq!(names(&copy), ["checkpoints", "ledger.db", "manifest.json"]);
    let copied = names(&keys);
    let (token, others): (Vec<_>, Vec<_>) =
        copied.iter().map(String::as_str).partition(|name| name.starts_with("token-"));
    assert_eq!(token.len(), 2, "{token:?}");
    assert_eq!(others, ["marks.key", "sealing.keys"], "a holder of the origin's key could fork it");
    let modes = [mode(&copy), mode(&copy.join("ledger.db")), mode(&copy.join("manifest.json")), mode(&keys)];
    assert_eq!((modes, mode(&keys.join("sealing.keys"))), ([0o700, 0o600, 0o600, 0o700], 0o600));

    fs::rename(&keys, copy.join("keys")).unwrap();
    let restored = Served::start(&copy);
    issue_and_revoke(&restored.client(), "bob").await;
    restored.stop();
    let continued = audit::verify(&copy.join("ledger.db"), |_, _| {}).unwrap();
    assert_eq!(
        (continued.events, continued.base.heads.len()),
        (events + 7, 2),
        "another origin goes on, and says from where"
    );
}

#[test]
fn a_backup_overwrites_nothing_and_puts_no_key_next_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    Served::start(&data).stop();
    let (full, fresh) = (directory.path().join("full"), directory.path().join("fresh"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("note"), "mine").unwrap();
    let data = data.to_str().unwrap();
    let refusal = run(&["backup", full.to_str().unwrap(), "--data", data]).refused();
    assert!(refusal.contains("it holds files already"), "{refusal}");
    assert_eq!((names(&full), fs::read_to_string(full.join("note")).unwrap()), (vec!["note".into()], "mine".into()));

    let inside = fresh.join("keys");
    let refusals = [
        run(&["backup", fresh.to_str().unwrap(), "--data", data, "--keys", inside.to_str().unwrap()]).refused(),
        run(&["backup", fresh.to_str().unwrap(), "--data", data, "--keys", full.to_str().unwrap()]).refused(),
    ];
    assert!(refusals[0].contains("kept apart") && refusals[1].contains("it holds files already"), "{refusals:?}");
    assert!(!fresh.exists(), "nothing is left of the backup that failed");
}

/// Tickets in a round; the environment can ask for more.
const ROUND_TICKETS: usize = 800;
const CLIENTS: usize = 16;
const ROUNDS: usize = 6;
const MAX_WAL_BYTES: u64 = 256 << 20;

/// Every client issues its share, one ticket after another; how long each answer took.
async fn round(client: &std::sync::Arc<Client>) -> Vec<Duration> {
    let tickets = std::env::var("AUTHLEDGER_MANY").map_or(ROUND_TICKETS, |many| many.parse().unwrap());
    let clients = (0..CLIENTS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..tickets / CLIENTS {
                let asked = Instant::now();
                post(&client, "/v1/tickets", json!({"subject": "busy"})).await;
                took.push(asked.elapsed());
            }
            took
        })
    });
    let took = futures_util::future::join_all(clients).await.into_iter().flat_map(Result::unwrap);
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_waits_for_a_backup_and_the_write_ahead_log_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(&directory.path().join("data"));
    let client = std::sync::Arc::new(served.client());
    signed(&client, 1).await;
    let wal = served.data.join("ledger.db-wal");
    let (mut largest_wal, mut slowest) = (0, Duration::ZERO);
    for number in 0..ROUNDS {
        let copy = directory.path().join(format!("copy-{number}"));
        let data = served.data.clone();
        let backup = (number % 2 == 1).then(|| {
            let copy = copy.clone();
            tokio::task::spawn_blocking(move || {
                run(&["backup", copy.to_str().unwrap(), "--data", data.to_str().unwrap()]).succeeded()
            })
        });
        let took = round(&client).await;
        largest_wal = largest_wal.max(fs::metadata(&wal).map_or(0, |wal| wal.len()));
        let with = if backup.is_some() { "with a backup" } else { "without" };
        let (p99, max) = (took[took.len() * 99 / 100], took[took.len() - 1]);
        println!("{} tickets {with}: p99 {p99:?}, slowest {max:?}, write-ahead log {largest_wal} bytes", took.len());
        slowest = slowest.max(max);
        if let Some(backup) = backup {
            backup.await.unwrap();
            let report = audit::verify_evidence(&copy, &audit::Trust::default(), |_, _| {}).unwrap();
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            assert_eq!(manifest(&copy)["checkpoints"].as_object().unwrap().len(), 1, "the checkpoint is in it");
        }
    }
    assert!(largest_wal < MAX_WAL_BYTES, "{largest_wal}");
    assert!(slowest < LIMIT, "{slowest:?}");
}
