//! What every scenario works with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::arguments::Arguments;
use crate::load::{self, Load, Pace, Protocol, Ran, Script};
use crate::ours::{Server, Setup};
use crate::report::Outcome;

/// A scenario that runs: its settings, its directory, and what came of it so far.
pub struct Bench<'a> {
    /// The command line.
    pub arguments: &'a Arguments,
    /// Where the programs are.
    pub programs: PathBuf,
    /// This scenario's own directory.
    pub work: PathBuf,
    /// What came of it so far.
    pub outcome: Outcome,
    /// Of what took part.
    pub versions: Vec<(String, String)>,
    started: Instant,
}

impl<'a> Bench<'a> {
    /// One in an empty directory of its own.
    pub fn new(arguments: &'a Arguments, programs: &Path, name: &str) -> anyhow::Result<Self> {
        let work = arguments.work.join(name);
        if work.exists() {
            std::fs::remove_dir_all(&work).with_context(|| format!("empty {}", work.display()))?;
        }
        std::fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
        let (outcome, versions) = (Outcome::default(), Vec::new());
        Ok(Self { arguments, programs: programs.to_owned(), work, outcome, versions, started: Instant::now() })
    }

    /// Says how far it is.
    pub fn say(&self, what: impl std::fmt::Display) {
        eprintln!("authledger-bench: {:6.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// What a server with that data directory is started with.
    pub fn setup(&self, name: &str, arguments: &[&str]) -> Setup {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let server = self.programs.join("authledger");
        Setup { programs: self.programs.clone(), server, data: self.work.join(name), arguments }
    }

    /// A server on a new ledger.
    pub fn server(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Server> {
        Server::start(&self.setup(name, arguments))
    }

    /// Asks as fast as answers come, for as long as a measurement lasts.
    pub fn full<P, S>(&self, target: SocketAddr, protocol: &P, scripts: Vec<S>) -> anyhow::Result<(Ran, Vec<S>)>
    where
        P: Protocol + Clone,
        S: Script,
    {
        self.load(target, Pace::Closed, self.arguments.lasting(), protocol, scripts)
    }

    /// Asks at that pace for that long.
    pub fn load<P, S>(
        &self,
        target: SocketAddr,
        pace: Pace,
        lasting: Duration,
        protocol: &P,
        scripts: Vec<S>,
    ) -> anyhow::Result<(Ran, Vec<S>)>
    where
        P: Protocol + Clone,
        S: Script,
    {
        load::run(&Load { target, threads: self.arguments.threads, pace, lasting }, protocol, scripts)
    }

    /// Notes rate and latencies of one round. Wrong answers make the scenario fail.
    pub fn record(&mut self, name: &str, at: u64, ran: &Ran) {
        self.outcome.add(name, "a second", at, ran.rate());
        self.record_latency(name, at, ran);
        let shown = format!("{name} at {at}: {:.0} a second, p99 {:.2} ms", ran.rate(), ran.latency.millis_at(0.99));
        self.say(shown);
    }

    /// Notes latencies of one round. Wrong answers make the scenario fail.
    pub fn record_latency(&mut self, name: &str, at: u64, ran: &Ran) {
        for (part, unit) in [(0.5, "p50 ms"), (0.99, "p99 ms"), (0.999, "p99.9 ms")] {
            self.outcome.add(name, unit, at, ran.latency.millis_at(part));
        }
        self.outcome.add(name, "max ms", at, ran.latency.max_millis());
        if ran.wrong > 0 {
            let first = ran.first_wrong.as_deref().unwrap_or_default();
            self.outcome.fail(format!("{name} at {at}: {} wrong answers, the first: {first}", ran.wrong));
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
