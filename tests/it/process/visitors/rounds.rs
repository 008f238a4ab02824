//! SIGKILL at a random moment, over and over, while `sqlite3` looks into the file in a loop.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use authledger::clock;
use authledger::domain::{Event, Position};
use authledger::event_log::Reader;

use super::super::node::{Launch, NodeProcess};
use super::{Acknowledged, Crowd, program, verify};

const ROUNDS: u64 = 8;
/// Between two looks of the audit tool at the whole log, in rounds.
const VERIFY_EVERY: u64 = 25;
/// How long the clients work before the server is killed, in milliseconds.
const WORK_MILLIS: std::ops::RangeInclusive<u64> = 20..=400;
/// The visitor's calls, in turn.
const STATEMENTS: [&str; 5] = [
    "SELECT count(*) FROM event",
    "INSERT INTO event VALUES (1, 'aaaaaaaaaaaaa', 1, 0, '{}', zeroblob(32))",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "BEGIN IMMEDIATE; ROLLBACK",
    "SELECT max(position) FROM event",
];

fn rounds() -> u64 {
    std::env::var("AUTHLEDGER_VISITOR_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

fn random_time() -> Duration {
    let random = u64::from_le_bytes(clock::random().expect("randomness"));
    let (low, high) = WORK_MILLIS.into_inner();
    Duration::from_millis(low + random % (high - low + 1))
}

/// Visits until it is told to stop, also while nobody runs; how often.
fn visit(sqlite3: &Path, database: &Path, stop: &AtomicBool, visits: &AtomicU64) {
    for statement in STATEMENTS.iter().cycle() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let mut command = Command::new(sqlite3);
        command.arg(database).arg(statement).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Some are refused, and some find the log locked.
        command.status().expect("it runs");
        visits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Everything of this round is where its answer said.
fn check(acknowledged: &Acknowledged, ledger: &Path) {
    let reader = Reader::open(ledger).expect("a log");
    for (id, position) in acknowledged {
        let stored = reader.find(Position(*position)).expect("a chain that is whole").expect("an acknowledged record");
        match stored.decode().expect("a record").event {
            Event::TicketIssued(issued) => assert_eq!(issued.digest.id().to_string(), *id),
            other => panic!("position {position} holds {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_survives_kills_next_to_a_visitor() {
    let Some(sqlite3) = program(&["sqlite3"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    assert_eq!(NodeProcess::start(&data).stop().await.0, Some(0));
    let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let visiting = {
        let (database, stop, visits): (PathBuf, _, _) = (data.join("ledger.db"), stop.clone(), visits.clone());
        tokio::task::spawn_blocking(move || visit(&sqlite3, &database, &stop, &visits))
    };
    let mut total = 0;
    let started = Instant::now();
    for round in 1..=rounds() {
        let node = Launch::new(&data).args(&["--snapshot-every", "1000", "--log", "warn"]).start();
        let crowd = Crowd::start(&node.api);
        // The random moment is under test; nothing waits for it to be long enough.
        tokio::time::sleep(random_time()).await;
        let killed = tokio::task::spawn_blocking(move || node.kill());
        killed.await.expect("killed");
        let acknowledged = crowd.told().await;
        check(&acknowledged, &data.join("ledger.db"));
        total += acknowledged.len();
        if round % VERIFY_EVERY == 0 || round == rounds() {
            verify(&data);
            println!("round {round}: {total} acknowledged, none missing, {} visits", visits.load(Ordering::Relaxed));
        }
    }
    stop.store(true, Ordering::Release);
    visiting.await.unwrap();
    println!("{} rounds in {:.0} s", rounds(), started.elapsed().as_secs_f64());
}
