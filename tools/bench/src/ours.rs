//! Servers of this project, started as an operator starts them, and what must hold of them after every run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use authledger::domain::Position;
use authledger::event_log::Reader;
use authledger::index::{self, Finder};
use rustix::process::Signal;
use serde_json::Value;

use crate::children::{Program, finish};
use crate::load::{Http, ask};

/// How long a start may take: a long log is folded.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// How long verifying a log may take.
const VERIFY_PATIENCE: Duration = Duration::from_secs(900);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So many of the newest events have no file in the index yet: the server finds them in memory.
const UNINDEXED: u64 = 262_144;

/// What a server is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where `authledger-audit` is.
    pub programs: PathBuf,
    /// The `authledger` that is started.
    pub server: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
}

/// A server that runs.
pub struct Server {
    program: Program,
    setup: Setup,
    /// Where it listens.
    pub address: SocketAddr,
    /// Root's, by which every call is allowed.
    secret: String,
    /// From its start to the line that says where it listens.
    pub started_in: Duration,
}

/// What was acknowledged of a ticket, kept of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its public id.
    pub id: String,
    /// Where its record must be.
    pub position: u64,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(setup: &Setup) -> anyhow::Result<Self> {
        let secret = random_secret()?;
        let mut command = Command::new(&setup.server);
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUTHLEDGER_")).for_each(
            |(name, _)| {
                command.env_remove(name);
            },
        );
        command.args(["serve", "--bench", "--log", "warn", "--listen", "127.0.0.1:0", "--data"]).arg(&setup.data);
        command.args(&setup.arguments).env("AUTHLEDGER_ROOT_TOKEN", &secret);
        let started = Instant::now();
        let log = setup.data.with_extension("log");
        let mut program = Program::start("authledger serve", &mut command, &log, Signal::TERM)?;
        let address = program
            .wait_for(START_PATIENCE, |line| line.strip_prefix("authledger: listening on http://")?.parse().ok())?;
        Ok(Self { program, setup: setup.clone(), address, secret, started_in: started.elapsed() })
    }

    /// The header by which its root is known.
    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.secret)
    }

    /// Root's secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Bytes of memory that it has of its own.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        self.program.memory_bytes()
    }

    /// `GET /v1/status`.
    pub fn status(&self) -> anyhow::Result<Value> {
        ask(self.address, &Http::get("/v1/status", &self.authorization(), 200), "")?.json()
    }

    /// The newest durable position.
    pub fn head(&self) -> anyhow::Result<u64> {
        self.status()?["head"]["position"].as_u64().context("the status has no head")
    }

    /// Waits until trees and index have followed the log to its end, so that they disturb no measurement; how long that took.
    pub fn wait_for_derived(&self, setup: &Setup, patience: Duration) -> anyhow::Result<Duration> {
        let (started, log) = (Instant::now(), setup.data.join("ledger.db"));
        loop {
            let status = self.status()?;
            let head = status["head"]["position"].as_u64().unwrap_or(u64::MAX);
            let signed = status["origins"][0]["checkpoint"]["size"].as_u64().unwrap_or(0);
            let reader = Reader::open(&log)?;
            let indexed = Finder::new(&reader, &index::beside(&log), None)?.coverage().indexed;
            if signed >= head && indexed + UNINDEXED >= head {
                return Ok(started.elapsed());
            }
            ensure!(
                started.elapsed() < patience,
                "after {patience:?}, {signed} of {head} events are signed and {indexed} indexed"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it as an operator does, and has its log verified; the number of its events.
    ///
    /// Fails unless the log ends at the head, each of the acknowledged is where it was said to be, and all of it verifies.
    pub fn settle(self, head: u64, sample: &[Acknowledged]) -> anyhow::Result<u64> {
        let setup = self.setup.clone();
        self.stop()?;
        settle(&setup, head, sample)
    }

    /// Ends it as an operator does.
    pub fn stop(self) -> anyhow::Result<()> {
        let status = self.program.end()?;
        ensure!(status.success(), "authledger did not end well: {status}");
        Ok(())
    }
}

/// Checks the log of a server that has ended.
fn settle(setup: &Setup, head: u64, sample: &[Acknowledged]) -> anyhow::Result<u64> {
    look_for(&setup.data.join("ledger.db"), sample)?;
    let verified = verify(&setup.programs, &setup.data)?;
    ensure!(verified >= head, "the log ends at {verified}, and {head} was acknowledged");
    Ok(verified)
}

/// Fails unless each of these is in the log where it was said to be.
pub fn look_for(log: &Path, sample: &[Acknowledged]) -> anyhow::Result<()> {
    let reader = Reader::open(log)?;
    for Acknowledged { id, position } in sample {
        let found = reader.find(Position(*position))?;
        let stored = found.with_context(|| format!("what was acknowledged at position {position} is missing"))?;
        // A ticket's id is the first half of its digest.
        let is_it = stored.record.contains(&format!("\"digest\":\"{id}"));
        ensure!(is_it, "position {position} does not hold ticket {id}, which was acknowledged there");
    }
    Ok(())
}

/// Has a log verified; the number of its events.
pub fn verify(programs: &Path, data: &Path) -> anyhow::Result<u64> {
    let mut command = Command::new(programs.join("authledger-audit"));
    let ran = finish(command.arg("verify").arg(data).arg("--json"), VERIFY_PATIENCE)?;
    if !ran.success {
        bail!("authledger-audit verify {} found damage: {}", data.display(), ran.output.trim());
    }
    let report: Value = serde_json::from_str(&ran.output).context("read what verify printed")?;
    report["events"].as_u64().context("verify did not say how many events there are")
}

/// A secret of 64 characters, as root's must be at least 32.
fn random_secret() -> anyhow::Result<String> {
    Ok(format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
}
