//! `authledger import`: credentials that were issued elsewhere, from a dump into the ledger.
//!
//! The dump is read once, a batch at a time, and is never in memory as a whole. Secrets in it become digests in this
//! process. A line that is imported again is known, so an import that broke off is started again from the beginning.

mod courier;
mod crafter;
mod csv;
mod documents;
mod entry;
mod input;
mod instant;
mod kratos;
mod ndjson;
mod source;
mod tally;
mod unpacked;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::client::{CallError, Client, ServerArgs};
use crate::clock::wall_clock;
use crate::domain::{Kind, Timestamp, Ttl};
use crate::{tell, terminal};
use courier::{BatchSender, LineAnswer};
use input::{DumpInput, SourceError};
use source::{Batches, ImportBatch};
use tally::ImportTally;

/// The longest line of a dump, including its personal data, which is not read.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Batches that are sent and not answered yet: while one syncs, the next is on its way.
const MAX_IN_FLIGHT: usize = 4;
/// Batches that are read ahead.
const MAX_READ_AHEAD: usize = 2;

const NOTES: &str = "\
Formats of a dump, in UTF-8 with or without a byte-order mark; gzip and zstd are
unpacked:
  ndjson   One object on each line: kind (ticket, session, token), subject, issued_at,
           expires_at; and tenant, id, digest or secret, ttl, not_after, aal.
           A secret is digested here. Any other member is refused, because it may
           be a secret.
  crafter  The collection `ticket` of Crafter Profile, as mongoexport writes it,
           with or without --jsonArray.
  kratos   The table `sessions` of Ory Kratos, from PostgreSQL, MariaDB, MySQL or
           SQLite: CSV with a header, lines of JSON, or an array of them. A column
           `digest` replaces `token`.

Examples:
  mongoexport -d crafterprofile -c ticket |
      authledger import - --from crafter --ttl 900
  psql -c '\\copy sessions TO STDOUT CSV HEADER' kratos |
      authledger import - --from kratos
  authledger import sessions.csv --from kratos --dry-run --json

The exit code is 0 only if no line was refused. Importing again is harmless:
a credential that the ledger has is known. With --json every line of the standard output is
an object with `line` and `outcome`, the last one with `end` and the counts.";

/// What to import, and how to read it.
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct ImportArgs {
    /// The dump; - is the standard input
    file: PathBuf,

    /// What the dump is
    #[arg(long, value_enum, default_value_t = DumpFormat::Ndjson)]
    from: DumpFormat,

    /// The tenant of lines that do not name one; absent: default
    #[arg(long)]
    tenant: Option<String>,

    /// Seconds that a ticket lives after its last use, as Crafter's maxAge is set; with --from crafter only
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=Ttl::MAX.as_seconds()), value_name = "SECONDS")]
    ttl: u64,

    /// Read all of it, say what would be sent, and send nothing; with --json, print that instead
    #[arg(long)]
    dry_run: bool,

    /// Write every refused line's number, code and reason to this file, one JSON object on each line; an existing file
    /// is emptied
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,

    /// One JSON object on each line of the standard output
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// The format of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// The server's own lines
    Ndjson,
    /// Crafter Profile's tickets
    Crafter,
    /// Ory Kratos's sessions
    Kratos,
}

/// The settings for reading every line.
#[derive(Clone, Debug)]
struct ImportSettings {
    tenant: Option<String>,
    ttl: Ttl,
    /// A credential that expires at this instant or earlier has expired.
    now: Timestamp,
}

/// Why an import failed, or is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A call failed, and trying again would not help, or has not.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer can't be read.
    #[error("read the server's answer: {0}; is it of another version than this program?")]
    Answer(String),
    /// The dump can't be opened.
    #[error("open {}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    /// The dump can't be read to its end.
    #[error("read {}: {source}; nothing after that place was read", path.display())]
    Read {
        path: PathBuf,
        /// The problem.
        source: SourceError,
    },
    /// The file of refusals can't be written.
    #[error("write the refused lines to {}: {source}", path.display())]
    Refusals { path: PathBuf, source: io::Error },
    /// The result can't be shown.
    #[error("write to the standard output: {0}")]
    Output(io::Error),
    /// Signals can't be waited for.
    #[error("wait for signals: {0}")]
    Signal(io::Error),
    /// The dump's reader can't be started, or is gone.
    #[error("read in a thread of its own: {0}")]
    Thread(io::Error),
    /// Some lines were refused.
    #[error("import every line: {0} were refused; correct them and import again, which is harmless")]
    Refused(u64),
    /// A signal came.
    #[error("import to the end: interrupted")]
    Interrupted,
}

/// Imports the dump, or says what it would import.
pub async fn run(arguments: ImportArgs) -> Result<(), ImportError> {
    let input = source::open(&arguments.file)?;
    // Everything that can't work is found out before anything is sent.
    let client = if arguments.dry_run { None } else { Some(Client::new(&arguments.server)?) };
    let mut tally = ImportTally::new(arguments.json, arguments.refused.clone())?;
    let Some(client) = client else { return rehearse(&arguments, input, &mut tally) };
    let sent = tokio::select! {
        sent = send(&arguments, input, client, &mut tally) => sent,
        interrupted = interruption() => interrupted,
    };
    if let Err(error) = sent {
        tally.end()?;
        notice(&format!(
            "stopped after {} lines; begin again: lines that were made are known then",
            tally.counts.lines()
        ));
        return Err(error);
    }
    tally.finish()?;
    all_taken(&tally)
}

fn all_taken(tally: &ImportTally) -> Result<(), ImportError> {
    match tally.counts.refused {
        0 => Ok(()),
        refused => Err(ImportError::Refused(refused)),
    }
}

async fn interruption() -> Result<(), ImportError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ImportError::Signal)?;
    tokio::select! {
        _ = terminate.recv() => Err(ImportError::Interrupted),
        _ = tokio::signal::ctrl_c() => Err(ImportError::Interrupted),
    }
}

/// Reads everything, and sends nothing.
fn rehearse(arguments: &ImportArgs, input: DumpInput, tally: &mut ImportTally) -> Result<(), ImportError> {
    let failed = |source| ImportError::Read { path: arguments.file.clone(), source };
    let mut kinds = [0; Kind::ALL.len()];
    let mut batches = Batches::open(input, arguments.from, arguments.settings()).map_err(failed)?;
    while let Some(batch) = batches.next().map_err(failed)? {
        kinds.iter_mut().zip(batch.kinds).for_each(|(sum, more)| *sum += more);
        tally.rehearse(batch)?;
    }
    tally.finish_rehearsal(kinds)?;
    all_taken(tally)
}

/// The bodies that would be sent for a dump, with default settings. For the fuzzer.
#[doc(hidden)]
pub fn read_dump(dump: Vec<u8>, format: DumpFormat, now: Timestamp) -> Result<Vec<String>, SourceError> {
    let settings = ImportSettings { tenant: None, ttl: Ttl::from_seconds(900).unwrap_or(Ttl::MAX), now };
    let mut batches = Batches::open(Box::new(io::Cursor::new(dump)), format, settings)?;
    let mut bodies = Vec::new();
    while let Some(batch) = batches.next()? {
        bodies.push(batch.body);
    }
    Ok(bodies)
}

/// Sends batch after batch. A few are on their way at once; they are settled in the dump's order.
async fn send(
    arguments: &ImportArgs,
    input: DumpInput,
    client: Client,
    tally: &mut ImportTally,
) -> Result<(), ImportError> {
    let mut batches = read_ahead(input, arguments.from, arguments.settings()).map_err(ImportError::Thread)?;
    let courier = Arc::new(BatchSender::new(client));
    let mut in_flight = VecDeque::with_capacity(MAX_IN_FLIGHT);
    let mut read = Ok(());
    while let Some(batch) = batches.recv().await {
        match batch {
            Ok(batch) => in_flight.push_back(bring(&courier, batch)),
            Err(source) => read = Err(ImportError::Read { path: arguments.file.clone(), source }),
        }
        if in_flight.len() == MAX_IN_FLIGHT {
            settle(&mut in_flight, tally).await?;
        }
    }
    while !in_flight.is_empty() {
        settle(&mut in_flight, tally).await?;
    }
    read
}

type Brought = JoinHandle<Result<(ImportBatch, Vec<LineAnswer>), ImportError>>;

fn bring(courier: &Arc<BatchSender>, batch: ImportBatch) -> Brought {
    let courier = Arc::clone(courier);
    tokio::spawn(async move {
        // If every line was refused or has expired, there is nothing to ask.
        let answers =
            if batch.sent.is_empty() { Vec::new() } else { courier.bring(&batch.body, batch.sent.len()).await? };
        Ok((batch, answers))
    })
}

async fn settle(in_flight: &mut VecDeque<Brought>, tally: &mut ImportTally) -> Result<(), ImportError> {
    let Some(oldest) = in_flight.pop_front() else { return Ok(()) };
    let (batch, answers) = oldest.await.map_err(|error| ImportError::Thread(error.into()))??;
    tally.settle(batch, answers)
}

/// Reads in a thread of its own: a pipe may be silent for as long as it likes.
fn read_ahead(
    input: DumpInput,
    format: DumpFormat,
    settings: ImportSettings,
) -> io::Result<mpsc::Receiver<Result<ImportBatch, SourceError>>> {
    let (give, taken) = mpsc::channel(MAX_READ_AHEAD);
    std::thread::Builder::new().name("dump".to_owned()).spawn(move || {
        let mut opened = Batches::open(input, format, settings);
        loop {
            let next = match &mut opened {
                Ok(batches) => batches.next().transpose(),
                Err(_) => None,
            };
            let Some(next) = next else { break };
            let over = next.is_err();
            // The receiver may have stopped.
            if give.blocking_send(next).is_err() || over {
                break;
            }
        }
        if let Err(error) = opened {
            let _ = give.blocking_send(Err(error));
        }
    })?;
    Ok(taken)
}

impl ImportArgs {
    fn settings(&self) -> ImportSettings {
        // The range was checked when the argument was read.
        let ttl = Ttl::from_seconds(self.ttl).unwrap_or(Ttl::MAX);
        ImportSettings { tenant: self.tenant.clone(), ttl, now: wall_clock() }
    }
}

fn notice(text: &str) {
    // A line of progress may be open.
    if io::stderr().is_terminal() {
        terminal::clear_progress();
    }
    tell!("authledger import: {text}");
}

#[cfg(test)]
mod tests {
    use super::entry::{DumpRow, EntryRefusal};
    use super::*;

    /// 2026-11-21T09:10:00Z, with the defaults of the arguments.
    pub fn settings() -> ImportSettings {
        let now = Timestamp::from_millis(1_795_252_200_000).expect("as it was written");
        ImportSettings { tenant: None, ttl: Ttl::from_seconds(900).expect("as it was written"), now }
    }

    /// The line that is sent.
    #[track_caller]
    pub fn entry(row: Result<DumpRow, EntryRefusal>) -> String {
        match row {
            Ok(DumpRow::Entry(entry)) => serde_json::to_string(&entry).expect("as it was written"),
            Ok(DumpRow::Inactive) => panic!("it is not active any more"),
            Err(refusal) => panic!("{}", refusal.detail),
        }
    }
}
