//! `authledger backup`: a complete copy of the log, verified before this reports success.
//!
//! It reads the file itself, in short transactions, so it works beside a running server and without one. Records that
//! arrive after it has started are not in it: a backup is a prefix of the log. The checkpoints are copied before the
//! records are read, so that they cover only records that are in it, and the copy is compared with them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Progress;
use super::directory::{DirectoryError, Filling};
use crate::audit::{
    self, AuditError, EvidenceCheckError, Finding, Flaw, MANIFEST, Manifest, ManifestCheckpoint, Trust, VerifiedLog,
};
use crate::clock::wall_clock;
use crate::domain::Position;
use crate::event_log::{Base, CopyError, CopyWriter, MAX_PAGE_ROWS, OpenError, ReadError, Reader};
use crate::json;
use crate::keys::{self, KeyError};
use crate::say;
use crate::tlog::Checkpoint;
use crate::tree::{Checkpoints, TreeError};

const LEDGER: &str = "ledger.db";
/// The name of a copy until it has been verified.
const UNVERIFIED: &str = "ledger.db.unverified";

/// What to back up, and to where.
#[derive(Args)]
pub struct BackupArgs {
    /// The directory to make; a directory that is not empty is refused.
    destination: PathBuf,

    /// The ledger's directory, on this host; a server may be running on it
    #[arg(long, env = "AUTHLEDGER_DATA", default_value = "./authledger-data", value_name = "DIR")]
    data: PathBuf,

    /// Also copy the keys that sign tokens and seal personal data, into a directory of their own: keep it apart from
    /// the backup
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,

    /// Print the manifest instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Why the backup failed. Everything that had been written of it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The destination is not empty, or can't be used.
    #[error(transparent)]
    Destination(#[from] DirectoryError),
    /// The keys would be with the log.
    #[error("back up the keys into {}: that is in the backup itself; keys are kept apart from the log, name another directory", .0.display())]
    KeysInside(PathBuf),
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action: a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read.
    #[error("{0}; the log itself is damaged or can't be read: check it with authledger-audit verify")]
    Read(#[from] ReadError),
    /// The copy can't be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A checkpoint can't be read or copied.
    #[error("{0}; check it with authledger-audit verify")]
    Checkpoint(#[from] TreeError),
    /// The copy can't be read back.
    #[error(transparent)]
    Evidence(#[from] EvidenceCheckError),
    /// The copy is complete, but contradicts a checkpoint.
    #[error("{0}; the log contradicts its signed checkpoints: keep both, and check them with authledger-audit verify")]
    Contradicted(String),
    /// The copy failed its verification.
    #[error("the copy is not complete: {0}; check the disk that it was written to, and start again")]
    Audit(#[from] AuditError),
    /// The copy is complete, but of another length.
    #[error(
        "the copy ends at position {found}, and {expected} records were written to it; check the disk, and start again"
    )]
    Differs {
        /// The end of the copy.
        found: Position,
        /// The expected end.
        expected: Position,
    },
    /// A key can't be copied.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a backup, and verifies it.
pub fn run(arguments: &BackupArgs) -> Result<(), BackupError> {
    let BackupArgs { destination, data, keys, json } = arguments;
    let reader = Reader::open(&data.join(LEDGER))?;
    let filling = Filling::start(destination)?;
    let keys_filling = keys.as_deref().map(|keys| refuse_inside(keys, destination).map(|()| keys)).transpose()?;
    let keys_filling = keys_filling.map(Filling::start).transpose()?;
    let manifest = copy(&reader, data, destination)?;
    let copied =
        keys.as_deref().map(|keys| keys::copy(&data.join("keys"), keys).map(|count| (keys, count))).transpose()?;
    keys_filling.map_or(Ok(()), Filling::keep)?;
    filling.keep()?;
    print(destination, &manifest, copied, *json);
    Ok(())
}

/// The checkpoints and the log. The root token is not copied: it lies beside the keys' directory, and is in no backup.
fn copy(reader: &Reader, data: &Path, destination: &Path) -> Result<Manifest, BackupError> {
    let checkpoints = copy_checkpoints(&Checkpoints::of(data), &Checkpoints::of(destination))?;
    let unverified = destination.join(UNVERIFIED);
    let base = copy_rows(reader, &unverified)?;
    let verified = verify(&unverified, destination)?;
    if verified.base != base {
        return Err(BackupError::Differs { found: verified.base.position, expected: base.position });
    }
    let manifest = manifest(&unverified, &verified, checkpoints)?;
    let ledger = destination.join(LEDGER);
    fs::rename(&unverified, &ledger).map_err(io("name", &ledger))?;
    write_manifest(&destination.join(MANIFEST), &manifest)?;
    Ok(manifest)
}

fn copy_checkpoints(from: &Checkpoints, to: &Checkpoints) -> Result<BTreeMap<String, ManifestCheckpoint>, BackupError> {
    let mut copied = BTreeMap::new();
    for origin in from.list()? {
        let Some(note) = from.find(origin)? else { continue };
        to.store(origin, &note)?;
        // An unreadable one is found when the copy is compared with it.
        let said = Checkpoint::parse(note.text()).ok();
        let said = said.map(|said| ManifestCheckpoint { size: said.size, root: said.root.to_string() });
        copied.extend(said.map(|said| (origin.to_string(), said)));
    }
    Ok(copied)
}

/// The copy as it reads back, compared with the checkpoints beside it.
fn verify(unverified: &Path, destination: &Path) -> Result<VerifiedLog, BackupError> {
    let checkpoints = audit::checkpoints_in(&destination.join("checkpoints"))?;
    let trust = Trust { checkpoints, ..Trust::default() };
    let mut progress = Progress::new("verified");
    let report = audit::verify_evidence(unverified, &trust, |reached, head| progress.show(reached, head))?;
    drop(progress);
    match (report.findings.into_iter().next(), report.verified) {
        (None, Some(verified)) => Ok(verified),
        (Some(Finding { flaw: Flaw::Log(error), .. }), _) => Err(error.into()),
        (Some(finding), _) => Err(BackupError::Contradicted(finding.to_string())),
        (None, None) => Err(BackupError::Contradicted("the copy holds no log".to_owned())),
    }
}

/// Copies the current records of the log.
fn copy_rows(reader: &Reader, to: &Path) -> Result<Base, BackupError> {
    let head = reader.head()?;
    let mut progress = Progress::new("copied");
    let mut copy = CopyWriter::create(to)?;
    let mut base = Base::default();
    while base.position < head {
        let limit = (head.0 - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
        let page = reader.next_page(&mut base, limit)?;
        if page.is_empty() {
            return Err(BackupError::Differs { found: base.position, expected: head });
        }
        copy.append(&page)?;
        progress.show(base.position, head);
    }
    copy.finish()?;
    Ok(base)
}

fn manifest(
    copy: &Path,
    verified: &VerifiedLog,
    checkpoints: BTreeMap<String, ManifestCheckpoint>,
) -> Result<Manifest, BackupError> {
    let (bytes, blake3) = Manifest::digest(copy).map_err(io("read", copy))?;
    Ok(Manifest {
        ledger: verified.ledger.map(|ledger| ledger.to_string()),
        position: verified.base.position.0,
        origins: Manifest::heads(verified),
        checkpoints,
        created_at: wall_clock().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bytes,
        blake3,
    })
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let text = json::pretty(manifest);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(io("write", path))
}

/// Keys are not put where the log is.
fn refuse_inside(keys: &Path, destination: &Path) -> Result<(), BackupError> {
    let destination = destination.canonicalize().map_err(io("look into", destination))?;
    let absolute = std::path::absolute(keys).map_err(io("look for", keys))?;
    // It need not exist yet, but its parent may be reached by several names.
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or_default();
    if existing.starts_with(&destination) || absolute.starts_with(&destination) {
        return Err(BackupError::KeysInside(keys.to_owned()));
    }
    Ok(())
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path, source }
}

fn print(destination: &Path, manifest: &Manifest, keys: Option<(&Path, usize)>, json: bool) {
    if json {
        say!("{}", json::text(manifest));
        return;
    }
    say!("{}: {} events, whole", destination.display(), manifest.position);
    say!("ledger  {}", manifest.ledger.as_deref().unwrap_or("none yet"));
    for (origin, head) in &manifest.origins {
        say!("head    {origin} {} {}", head.sequence, head.hash);
    }
    for (origin, signed) in &manifest.checkpoints {
        say!("signed  {origin} {} {}", signed.size, signed.root);
    }
    say!("file    {} bytes, blake3 {}", manifest.bytes, manifest.blake3);
    match keys {
        Some((path, count)) => say!("keys    {count} in {}: keep them apart from the log", path.display()),
        None => say!("keys    not copied; --keys DIR copies them"),
    }
}
