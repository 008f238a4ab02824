//! The locks that a healthy SQLite process holds, throughout a run: a program that opens the file sees that the server is there.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::super::node::{BINARY, Launch, NodeProcess, text};
use super::{Crowd, SOME};

/// Bytes that every connection in WAL mode shares as long as it is open: `SHARED_FIRST` and 509 more of the database.
const SHARED: (u64, u64) = (0x4000_0002, 0x4000_0002 + 509);
/// The byte of the shared memory whose lock shows that a connection is open: `WAL_DMS` in SQLite.
const WAL_DMS: (u64, u64) = (128, 128);

/// The locks of a healthy process that are missing.
fn missing(process: u32, data: &Path) -> Vec<String> {
    let locks = std::fs::read_to_string("/proc/locks").expect("Linux");
    let holds = |name: &str, bytes: (u64, u64)| {
        let inode = std::fs::metadata(data.join(name)).expect("the file").ino().to_string();
        locks.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() == 8
                && words[1] == "POSIX"
                && words[4] == process.to_string()
                && words[5].rsplit(':').next() == Some(&inode)
                && (words[6].parse(), words[7].parse()) == (Ok(bytes.0), Ok(bytes.1))
        })
    };
    let due = [("ledger.db", SHARED), ("ledger.db-shm", WAL_DMS)];
    due.into_iter().filter(|(name, bytes)| !holds(name, *bytes)).map(|(name, _)| name.to_owned()).collect()
}

/// The locks missing in every one of several looks: the list is read in pages, and one that changes meanwhile skips a line now and
/// then. A lock that SQLite believes to hold and that is gone never comes back.
fn lost(process: u32, data: &Path) -> Vec<String> {
    const LOOKS: usize = 20;
    let mut lost = missing(process, data);
    for _ in 1..LOOKS {
        if lost.is_empty() {
            break;
        }
        let again = missing(process, data);
        lost.retain(|name| again.contains(name));
    }
    lost
}

/// Samples until it is told to stop; how many samples there were, and what any of them missed.
fn sample(process: u32, data: &Path, stop: &AtomicBool) -> (u64, Vec<String>) {
    let (mut samples, mut missed) = (0, Vec::new());
    while !stop.load(Ordering::Acquire) {
        missed.extend(lost(process, data));
        samples += 1;
        // As often as may be, and yet on two cores.
        std::thread::sleep(Duration::from_millis(1));
    }
    (samples, missed)
}

/// Everything that opens the log in the server's own process, one after another.
async fn use_all(node: &NodeProcess) {
    let api = &node.api;
    let issued = api.issue("somebody").await;
    api.revoke(&text(&issued, "ticket")).await;
    for path in [
        "/v1/events?after=0&limit=1000",
        "/v1/events/1",
        "/v1/history?subject=somebody",
        "/v1/as-of?at=2&subject=somebody",
        "/v1/as-of?position=2",
        "/v1/revocations?after=0",
        "/v1/revocations/snapshot",
        "/v1/status",
        "/v1/subjects/somebody",
        "/v1/nodes",
        "/metrics",
        "/health/ready",
    ] {
        assert!(api.get(path).await.status.as_u16() < 500, "{path}");
    }
    // More readers at once than connections are kept.
    let asked = (0..32).map(|_| {
        let api = api.apart();
        tokio::spawn(async move { api.get("/v1/events?after=0&limit=10000").await.status })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("answered"), 200);
    }
    api.post("/v1/history", json!({"subject": "somebody"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_s_locks_are_held_throughout_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Before a start, after a clean stop, and after a kill: the file is there already, and so are the bytes that are looked at.
    for way in ["stop", "kill", "stop"] {
        let node = Launch::new(&data).args(&["--snapshot-every", "1000"]).start();
        assert_eq!(lost(node.id(), &data), Vec::<String>::new(), "right after the start");
        let stop = Arc::new(AtomicBool::new(false));
        let process = node.id();
        let path = data.clone();
        let told = stop.clone();
        let sampling = tokio::task::spawn_blocking(move || sample(process, &path, &told));
        let crowd = Crowd::start(&node.api);
        while !data.join("snapshot/state").exists() {
            crowd.work(SOME).await;
        }
        use_all(&node).await;
        let backup = directory.path().join(format!("backup-{}", node.id()));
        let copied = Command::new(BINARY).arg("backup").arg(&backup).arg("--data").arg(&data).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        super::verify(&data);
        crowd.work(SOME).await;
        stop.store(true, Ordering::Release);
        let (samples, missed) = sampling.await.unwrap();
        println!("{samples} looks at /proc/locks, {} without a lock", missed.len());
        assert!(samples > 20 && missed.is_empty(), "{missed:?}");
        if way == "kill" {
            node.kill()
        } else {
            assert_eq!(node.stop().await.0, Some(0))
        }
        crowd.told().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_after_one_select() {
    let Some(sqlite3) = super::program(&["sqlite3"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    for number in 0..3 {
        node.api.issue(&format!("before-{number}")).await;
    }
    let wal = std::fs::metadata(data.join("ledger.db-wal")).unwrap().ino();
    let looked = Command::new(sqlite3).arg(data.join("ledger.db")).arg("select count(*) from event").output().unwrap();
    assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stderr));
    assert_eq!(
        std::fs::metadata(data.join("ledger.db-wal")).map(|wal| wal.ino()).ok(),
        Some(wal),
        "the visitor left the WAL"
    );
    for number in 0..5 {
        node.api.issue(&format!("after-{number}")).await;
    }
    node.api.get("/health/ready").await.expect(200);
    node.kill();
    super::verify(&data);
    let node = NodeProcess::start(&data);
    assert_eq!(node.api.get("/v1/status").await.expect(200)["counts"]["tickets"], 8);
}
