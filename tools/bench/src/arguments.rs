//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Build first, because the programs are taken from where this one lies:
  cargo build --profile ship && cargo build --profile ship -p authledger-bench

Examples:
  target/ship/authledger-bench --quick                     all scenarios, within ten minutes
  target/ship/authledger-bench --only commands,checks      two of them, as long as it takes
  target/ship/authledger-bench --resume                    those that are not there yet for this same program
  target/ship/authledger-bench --only commands --rounds 5 --seconds 10
  target/ship/authledger-bench --compare ../before/target/ship/authledger --at-least 0.98

How it measures:
  Servers are started on loopback with data directories below --work, so choose a --work on the disk that is meant. The systems
  that are compared take turns in every round (A, B, C, A, B, C, …), and the table has the median of the rounds. A rate comes from
  a closed loop: each connection asks again once it has an answer. A latency comes from an open loop where it says so:
  requests fall due on a schedule, and latency counts from then. After each run of authledger's, what was acknowledged must be
  in the log and `authledger-audit verify` must pass; otherwise that scenario is marked, and the exit code is 1.

Two builds:
  --compare starts this authledger (after) and another one (before), and asks them in turn, in pairs, for commands and checks. What
  counts is the ratio within each pair: the median of them, their middle half, and the least and the most.

Results:
  WORK/results.json has every number of every round, WORK/results.md the tables, WORK/*.svg the plots.
  The tables of the scenarios that ran are printed on the standard output, progress goes to the standard error.

Rivals, left out with a sentence where they are missing:
  Redis (redis-server) and PostgreSQL (postgresql) are started by the benchmark; Ory Kratos and Ory Hydra are yours,
  named by --kratos and --hydra.

Exit codes:
  0  all of it ran, and what was acknowledged is in the log
  1  something did not hold: that scenario's numbers don't count; or commands are slower than --at-least says
  2  it could not run";

/// Measures authledger on this machine, beside what people would build instead.
#[derive(Parser, Clone, Debug)]
#[command(name = "authledger-bench", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Short rounds and small ledgers: all of it within ten minutes.
    #[arg(long)]
    pub quick: bool,
    /// These scenarios only, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub only: Vec<Scenario>,
    /// Skip the scenarios that WORK/results.json has already for this same program, in the same form.
    #[arg(long)]
    pub resume: bool,
    /// Where data directories, logs and results go; on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub work: PathBuf,
    /// Where `authledger` and `authledger-audit` are [default: where this program is].
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Rounds of each comparison [default: 3, quick 2].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: Option<u64>,
    /// Seconds of each measurement of a rate or a latency [default: 5, quick 1].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: Option<u64>,
    /// Threads of the load generator.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub threads: usize,
    /// Connections at which commands are measured [default: 1,16,64,256,1024; quick 1,64,256].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub connections: Vec<usize>,
    /// Events or credentials of the big ledgers, for trying a scenario out [default: as the scenario has it].
    #[arg(long, value_name = "COUNT")]
    pub size: Option<u64>,
    /// Followers at which the feed is measured [default: 1,100,1000,10000].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub followers: Vec<usize>,
    /// Ory Kratos's public address: its whoami is measured too, with the session token in AUTHLEDGER_BENCH_KRATOS_TOKEN.
    #[arg(long, value_name = "ADDR")]
    pub kratos: Option<SocketAddr>,
    /// Ory Hydra's admin address: its introspection is measured too, with the access token in AUTHLEDGER_BENCH_HYDRA_TOKEN.
    #[arg(long, value_name = "ADDR")]
    pub hydra: Option<SocketAddr>,
    /// Compare this build with another `authledger`, in commands and checks (--only takes one of them), and run nothing else.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["resume", "rounds", "size", "followers", "kratos", "hydra"])]
    pub compare: Option<PathBuf>,
    /// Fail where the median of a command's ratios, after : before, is less.
    #[arg(long, value_name = "RATIO", requires = "compare")]
    pub at_least: Option<f64>,
    /// Pairs of a comparison.
    #[arg(long, value_name = "COUNT", default_value_t = 11, value_parser = clap::value_parser!(u64).range(1..=1_001))]
    pub pairs: u64,
    /// Leave data directories behind for looking at.
    #[arg(long)]
    pub keep: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Durable issues and revocations, beside handlers that do nothing, Redis, PostgreSQL and the disk.
    Commands,
    /// Whether something is good: introspection, Ory's whoami, Crafter's ticket, SlashID's token; beside Redis.
    Checks,
    /// OAuth's introspection, signed answers and status lists beside the native calls and Ory Hydra.
    Oauth,
    /// Revocations to many followers at once, and what a follower costs; beside Redis.
    Fanout,
    /// Verifying, folding and asking a log of millions of events, beside a scan and BLAKE3.
    Audit,
    /// Rates, memory, disk and start-up as a ledger grows to millions of credentials, as a table and a plot.
    Growth,
    /// Many sessions revoked at once while checks go on and followers listen.
    Storm,
    /// A follower that is millions of revocations behind catches up.
    Stream,
    /// What a follower loads and holds of millions of revocations: both forms of the snapshot, and the file of what it held.
    Snapshots,
    /// Checks at an edge, from memory and at first sight, and how soon it refuses what is revoked.
    Edge,
}

impl Scenario {
    /// As it is called on the command line and in the results.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Arguments {
    /// Rounds of each comparison.
    pub fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 3 })
    }

    /// How long each measurement lasts.
    pub fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 1 } else { 5 }))
    }

    /// One size or the other, unless one was given.
    pub fn sized(&self, full: u64, quick: u64) -> u64 {
        self.size.unwrap_or(if self.quick { quick } else { full })
    }
}
