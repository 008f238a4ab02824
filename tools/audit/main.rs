//! `authledger-audit`: questions about a ledger's file, answered without its server.
//!
//! Arguments and printing; the logic is in `authledger::audit`.

mod evidence;
mod print;
mod questions;
mod status_list;
#[cfg(feature = "server")]
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use authledger::audit;
use authledger::domain::Timestamp;
use authledger::{tell, terminal};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Differing rows that are listed for each side.
const LISTED_ROWS: usize = 20;

const EXAMPLES: &str = "\
Examples:
  authledger-audit verify ./authledger-data --checkpoint last-week.checkpoint
  authledger-audit prove ./authledger-data --position 4711 -o 4711.proof
  authledger-audit verify 4711.proof --key @ledger.vkey
  authledger-audit replay ./authledger-data --against ./authledger-data
  authledger-audit history ./authledger-data --subject alice
  pass show ticket | authledger-audit as-of ./authledger-data 2026-06-01T14:03:00Z --credential -
  authledger-audit diff ./authledger-data 2026-06-01T00:00:00Z 2026-06-02T00:00:00Z --list
  authledger-audit stats ./authledger-data
  authledger-audit replay backup/ledger.db --at 2026-06-01T00:00:00Z --json

Exit codes:
  0  everything held
  1  damage or differences were found; each is named with its place
  2  the question could not be answered: wrong arguments, or a file that can't be read";

/// Answers questions about a ledger from its files alone: read-only, without the server, also while it runs.
#[derive(Parser)]
#[command(name = "authledger-audit", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// Is the log complete, and does it match its checkpoints? Checks a data directory, ledger, backup, bundle, proof
    /// or checkpoint, and everything in it.
    Verify(evidence::Verify),
    /// Prove that an event is covered by a checkpoint, or that a checkpoint continues an earlier one.
    Prove(evidence::Prove),
    /// Write a range of the log to one file with its proof: a bundle.
    Export(evidence::Export),
    /// Watch a server's checkpoints: does each continue the previous one?
    #[cfg(feature = "server")]
    Watch(watch::Watch),
    /// What state does the log lead to? Folds it from the beginning; prints counts and the fingerprint of the state.
    Replay(Replay),
    /// What happened to a subject or a credential? Its records in order: issued, used, extended, revoked, by whom and
    /// why.
    History(questions::History),
    /// What was active at a time or position? One credential, all of a subject's, or the count of everything.
    AsOf(questions::AsOf),
    /// What was issued and revoked between two points, and by whom?
    Diff(questions::Diff),
    /// What did a Token Status List say? Makes its token again from the log, byte for byte.
    StatusList(status_list::StatusList),
    /// How much was issued and revoked on each day? With a chart.
    Stats(questions::Stats),
}

#[derive(Args)]
struct Replay {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// Compare with the snapshot of the server whose data directory this is, and list the differences.
    ///
    /// The snapshot is brought to the same head first, so the server may be running and writing.
    #[arg(long, value_name = "DATA")]
    against: Option<PathBuf>,
    /// Leave out what has expired at this instant: RFC 3339, or milliseconds since 1970. Absent: now.
    ///
    /// Fingerprints compare only at the same instant. With --against it is at least the instant of the snapshot's last
    /// sweep.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
    /// One JSON object on the standard output instead of lines for people.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let answered = match Arguments::parse().question {
        Question::Verify(arguments) => evidence::verify(&arguments),
        Question::Prove(arguments) => evidence::prove(&arguments),
        Question::Export(arguments) => evidence::export(&arguments),
        #[cfg(feature = "server")]
        Question::Watch(arguments) => watch::watch(&arguments),
        Question::Replay(arguments) => replay(&arguments),
        Question::History(arguments) => questions::history(&arguments),
        Question::AsOf(arguments) => questions::as_of(&arguments),
        Question::Diff(arguments) => questions::diff(&arguments),
        Question::StatusList(arguments) => status_list::status_list(&arguments),
        Question::Stats(arguments) => questions::stats(&arguments),
    };
    match answered.and_then(|held| Ok(terminal::said().map(|()| held)?)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            tell!("authledger-audit: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True if the log can be folded, and a snapshot to compare with agrees.
fn replay(arguments: &Replay) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    let at = arguments.at.map_or_else(now, Ok)?;
    let mut progress = print::Progress::new("replayed");
    let progress = |reached, head| progress.show(reached, head);
    if let Some(data) = &arguments.against {
        return match audit::against(&path, data, at, LISTED_ROWS, progress) {
            Ok(compared) => {
                print::compared(&path, &compared, arguments.json);
                Ok(compared.differences.total == 0)
            }
            Err(error) if error.is_damage() => {
                let position = if let audit::AgainstError::Log(error) = &error { error.position() } else { None };
                print::damage(&path, &error, position, arguments.json);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        };
    }
    match audit::replay(&path, at, progress) {
        Ok(replayed) => {
            print::replayed(&path, &replayed, arguments.json);
            Ok(true)
        }
        Err(error) if error.is_damage() => {
            print::damage(&path, &error, error.position(), arguments.json);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn ledger_file(named: &Path) -> PathBuf {
    if named.is_dir() { named.join("ledger.db") } else { named.to_owned() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "authledger::clock belongs to the server, which this program does without"
)]
fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis =
        since.context("read the clock: it stands before 1970; set it, or name an instant with --at")?.as_millis();
    u64::try_from(millis).ok().and_then(Timestamp::from_millis).ok_or_else(|| anyhow!("the clock is out of bounds"))
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    const FORM: &str = "an instant is RFC 3339, such as 2026-06-01T00:00:00Z, or milliseconds since 1970";
    let millis = match text.parse::<u64>() {
        Ok(millis) => Some(millis),
        Err(_) => text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok()),
    };
    millis.and_then(Timestamp::from_millis).ok_or(FORM)
}
