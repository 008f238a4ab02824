//! `verify`, `prove` and `export`: checks evidence, and makes it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use authledger::audit::{self, BundleRange, EvidenceCheckError, KeptCheckpoint, Trust, Which};
use authledger::domain::{Origin, Position, RecordId, Sequence};
use authledger::tlog::VerifierKeyError;
use authledger::{say, terminal, utf8};
use clap::Args;

use super::{ledger_file, print};

/// The longest file that `--key @FILE` reads, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1_024;

const VERIFY_EXAMPLES: &str = "\
Examples:
  authledger-audit verify ./authledger-data
  authledger-audit verify ./authledger-data --key @ledger.vkey --checkpoint last-week.checkpoint
  authledger-audit verify june.bundle --key @ledger.vkey
  authledger-audit verify 4711.proof --key authledger/abcdefghijklm+1a2b3c4d+AY0…";

#[derive(Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct Verify {
    /// A data directory, a ledger.db, a backup, a bundle, a proof or a checkpoint.
    path: PathBuf,
    /// A verifier key that is known from elsewhere, NAME+ID+KEY, or @FILE with such lines; for several origins, repeated.
    /// A witness's key (type 4 of c2sp.org/tlog-cosignature) verifies cosignatures on checkpoints.
    ///
    /// Without one, the checkpoints of a log are checked with the key that the log itself names. Proofs and checkpoints
    /// need one.
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// A checkpoint that was kept elsewhere: does the verified log continue it? Repeatable.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// One JSON object on the standard output instead of lines for people.
    #[arg(long)]
    json: bool,
}

const PROVE_EXAMPLES: &str = "\
Examples:
  authledger-audit prove ./authledger-data --position 4711 -o 4711.proof
  authledger-audit prove ./authledger-data --from last-week.checkpoint -o since-last-week.proof
  authledger-audit verify 4711.proof --key @ledger.vkey";

#[derive(Args)]
#[command(after_help = PROVE_EXAMPLES)]
pub(crate) struct Prove {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// The event at that position of this file.
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["origin", "from"], required_unless_present_any = ["origin", "from"])]
    position: Option<u64>,
    /// The event of that origin, with --sequence.
    #[arg(long, value_name = "ORIGIN", requires = "sequence", conflicts_with = "from")]
    origin: Option<Origin>,
    /// The event's sequence in its origin.
    #[arg(long, value_name = "SEQUENCE", requires = "origin")]
    sequence: Option<u64>,
    /// The checkpoint that the event is proven to be in; absent, the newest beside the log.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    checkpoint: Option<PathBuf>,
    /// Prove instead that the log continues this earlier checkpoint.
    #[arg(long, value_name = "OLD")]
    from: Option<PathBuf>,
    /// The checkpoint that continues it; absent, the newest beside the log.
    #[arg(long, value_name = "NEW", requires = "from")]
    to: Option<PathBuf>,
    /// A verifier key that is known from elsewhere, NAME+ID+KEY, or @FILE with such lines.
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// Where to write the proof, a file that does not exist yet; absent, the standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Export {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// The bundle to write, a file that does not exist yet.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The first position; absent, 1. Only a bundle from position 1 can be restored.
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// The last position; absent, the current end of the log.
    #[arg(long, value_name = "POSITION")]
    to: Option<u64>,
}

/// True if everything held.
pub(crate) fn verify(arguments: &Verify) -> anyhow::Result<bool> {
    let checkpoints = arguments.checkpoint.iter().map(|path| KeptCheckpoint::read(path)).collect::<Result<_, _>>()?;
    let trust = Trust { checkpoints, ..keys(&arguments.key)? };
    let mut progress = print::Progress::new("verified");
    let verified = audit::verify_evidence(&arguments.path, &trust, |reached, head| progress.show(reached, head));
    drop(progress);
    let report = verified.map_err(|error| match error {
        // Its sentence is complete.
        EvidenceCheckError::Log(error) => anyhow::Error::from(error),
        error => error.into(),
    })?;
    print::report(&arguments.path, &report, arguments.json);
    Ok(report.findings.is_empty())
}

/// True if there is a proof.
pub(crate) fn prove(arguments: &Prove) -> anyhow::Result<bool> {
    let ledger = ledger_file(&arguments.ledger);
    let trust = keys(&arguments.key)?;
    let read = |path: &Option<PathBuf>| path.as_deref().map(KeptCheckpoint::read).transpose();
    let mut progress = print::Progress::new("read");
    let progress = |reached, head| progress.show(reached, head);
    let proven = match (&arguments.from, which(arguments)) {
        (Some(from), _) => {
            let (from, to) = (KeptCheckpoint::read(from)?, read(&arguments.to)?);
            audit::prove_consistency(&ledger, &from, to, &trust, progress).map(|proof| proof.to_string())
        }
        (None, Some(which)) => {
            let checkpoint = read(&arguments.checkpoint)?;
            audit::prove_inclusion(&ledger, which, checkpoint, &trust, progress).map(|proof| proof.to_string())
        }
        (None, None) => anyhow::bail!("prove what? name an event with --position, or --origin and --sequence"),
    };
    match proven {
        Ok(proof) => write(arguments.output.as_deref(), &proof).map(|()| true),
        Err(error) if error.is_damage() => {
            print::damage(&ledger, &error, None, false);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// True if the bundle was written.
pub(crate) fn export(arguments: &Export) -> anyhow::Result<bool> {
    let ledger = ledger_file(&arguments.ledger);
    let range = BundleRange { from: arguments.from.map(Position), to: arguments.to.map(Position) };
    let mut progress = print::Progress::new("exported");
    let exported = audit::export(&ledger, &arguments.output, range, |reached, head| progress.show(reached, head));
    drop(progress);
    match exported {
        Ok(exported) => {
            let audit::Exported { records, from, to, bytes, .. } = exported;
            say!("{}: {records} records, positions {from} to {to}, {bytes} bytes", arguments.output.display());
            for (origin, checkpoint) in &exported.checkpoints {
                say!("checkpoint  {origin} {} {}", checkpoint.size, checkpoint.root);
            }
            if exported.checkpoints.is_empty() {
                say!("there is no checkpoint in it: its records are chained, but not signed");
            }
            Ok(true)
        }
        Err(error) if error.is_damage() => {
            print::damage(&ledger, &error, None, false);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn which(arguments: &Prove) -> Option<Which> {
    match (arguments.position, arguments.origin, arguments.sequence) {
        (Some(position), ..) => Some(Which::Position(Position(position))),
        (None, Some(origin), Some(sequence)) => Some(Which::Place(RecordId { origin, sequence: Sequence(sequence) })),
        _ => None,
    }
}

/// Keys of logs and witnesses as text, and those in files, one on each line.
pub(crate) fn keys(given: &[String]) -> anyhow::Result<Trust> {
    let mut trust = Trust::default();
    for text in given {
        let Some(path) = text.strip_prefix('@') else {
            take_key(text, &mut trust).with_context(|| format!("use --key {text:?}"))?;
            continue;
        };
        let length = fs::metadata(path).with_context(|| format!("read {path}"))?.len();
        anyhow::ensure!(length <= MAX_KEY_FILE_BYTES, "read {path}: it is longer than any file of verifier keys");
        let lines = utf8::read(Path::new(path)).with_context(|| format!("read {path}"))?;
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            take_key(line, &mut trust).with_context(|| format!("use the verifier key in {path}"))?;
        }
    }
    Ok(trust)
}

/// The mark in the key says whose it is.
fn take_key(text: &str, trust: &mut Trust) -> Result<(), VerifierKeyError> {
    match text.parse() {
        Ok(key) => trust.keys.push(key),
        Err(VerifierKeyError::Algorithm) => trust.witnesses.push(text.parse()?),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Writes to a new file, durably, or to the standard output.
fn write(output: Option<&Path>, text: &str) -> anyhow::Result<()> {
    let Some(path) = output else {
        return terminal::data(text).context("write to the standard output");
    };
    let made: Result<File, _> = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.with_context(|| format!("write {}", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("write {}", path.display()))
}
