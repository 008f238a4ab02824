//! `authledger backup`: a copy of the log that is whole, and has been shown to be before this says done.
//!
//! It reads the file itself, in short transactions, so it works beside a running server, without its help and without one. What
//! arrives after it has started is not in it: a backup is a prefix of the log.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Progress;
use crate::audit::{self, AuditError, Verified};
use crate::clock::Clock;
use crate::domain::Position;
use crate::event_log::{Base, CopyError, CopyWriter, MAX_PAGE_ROWS, OpenError, ReadError, Reader};
use crate::keys::{self, KeyError};

const LEDGER: &str = "ledger.db";
const MANIFEST: &str = "manifest.json";
/// What a copy is called until it has been verified.
const UNVERIFIED: &str = "ledger.db.unverified";

/// What to back up, and to where.
#[derive(Args)]
pub struct BackupArgs {
    /// The directory to make; one that holds anything is refused.
    destination: PathBuf,

    /// The ledger's directory, on this host; a server may be running on it
    #[arg(long, env = "AUTHLEDGER_DATA", default_value = "./authledger-data", value_name = "DIR")]
    data: PathBuf,

    /// Copy the keys too, into a directory of their own: whoever has them can sign as this node
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,

    /// Print the manifest instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Why there is no backup. What had been written of it is gone again.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The destination holds something.
    #[error("back up into {}: it holds files already; name a directory that is empty, or none yet", .0.display())]
    NotEmpty(PathBuf),
    /// The keys would lie with the log.
    #[error("back up the keys into {}: that is in the backup itself; keys are kept apart from the log, name another directory", .0.display())]
    KeysInside(PathBuf),
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read.
    #[error("{0}; the log itself is damaged or can't be read: find out with authledger-audit verify")]
    Read(#[from] ReadError),
    /// The copy can't be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The copy did not pass.
    #[error("the copy is not whole: {0}; check the disk that it was written to, and start again")]
    Audit(#[from] AuditError),
    /// The copy is whole, and another one.
    #[error(
        "the copy ends at position {found}, and {expected} records were written to it; check the disk, and start again"
    )]
    Differs {
        /// Where the copy ends.
        found: Position,
        /// Where it should.
        expected: Position,
    },
    /// A key can't be copied.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What a backup holds.
#[derive(Serialize)]
struct Manifest {
    ledger: Option<String>,
    position: u64,
    origins: BTreeMap<String, ManifestHead>,
    created_at: String,
    version: &'static str,
    bytes: u64,
    blake3: String,
}

#[derive(Serialize)]
struct ManifestHead {
    sequence: u64,
    hash: String,
}

/// Makes a backup, and verifies it.
pub fn run(arguments: &BackupArgs) -> Result<(), BackupError> {
    let BackupArgs { destination, data, keys, json } = arguments;
    let reader = Reader::open(&data.join(LEDGER))?;
    let made = fresh_directory(destination)?;
    let written = write(&reader, data, destination, keys.as_deref());
    if written.is_err() {
        discard(destination, made);
    }
    let (manifest, keys) = written?;
    print(destination, &manifest, keys, *json);
    Ok(())
}

/// The log and the keys. The root token is none of them: it lies beside their directory, and is in no backup.
fn write(
    reader: &Reader,
    data: &Path,
    destination: &Path,
    keys: Option<&Path>,
) -> Result<(Manifest, Option<(PathBuf, usize)>), BackupError> {
    if let Some(keys) = keys {
        refuse_inside(keys, destination)?;
        fresh_directory(keys)?;
    }
    let manifest = copy(reader, destination)?;
    let Some(keys) = keys else { return Ok((manifest, None)) };
    let copied = keys::copy(&data.join("keys"), keys)?;
    Ok((manifest, Some((keys.to_owned(), copied))))
}

fn copy(reader: &Reader, destination: &Path) -> Result<Manifest, BackupError> {
    let unverified = destination.join(UNVERIFIED);
    let base = copy_rows(reader, &unverified)?;
    let mut progress = Progress::new("verified");
    let verified = audit::verify(&unverified, |reached, head| progress.show(reached, head))?;
    drop(progress);
    if verified.base != base {
        return Err(BackupError::Differs { found: verified.base.position, expected: base.position });
    }
    let manifest = manifest(&unverified, &verified)?;
    let ledger = destination.join(LEDGER);
    fs::rename(&unverified, &ledger).map_err(io("name", &ledger))?;
    write_manifest(&destination.join(MANIFEST), &manifest)?;
    sync_directory(destination)?;
    Ok(manifest)
}

/// Copies what is in the log now.
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

fn manifest(copy: &Path, verified: &Verified) -> Result<Manifest, BackupError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(copy).map_err(io("read", copy))?;
    let bytes = io::copy(&mut file, &mut hasher).map_err(io("read", copy))?;
    let heads = verified.base.heads.iter().map(|(origin, head)| {
        (origin.to_string(), ManifestHead { sequence: head.sequence.0, hash: head.hash.to_string() })
    });
    Ok(Manifest {
        ledger: verified.ledger.map(|ledger| ledger.to_string()),
        position: verified.base.position.0,
        origins: heads.collect(),
        created_at: Clock::system().now().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        bytes,
        blake3: hasher.finalize().to_string(),
    })
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let text = serde_json::to_string_pretty(manifest).unwrap_or_default() + "\n";
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(io("write", path))
}

/// Makes the directory, mode 0700, where there is none. Returns whether it did.
fn fresh_directory(path: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(path).map(Iterator::count) {
        Ok(1..) => Err(BackupError::NotEmpty(path.to_owned())),
        Ok(0) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))?;
            Ok(true)
        }
        Err(error) => Err(io("look into", path)(error)),
    }
}

/// Keys don't go where the log goes.
fn refuse_inside(keys: &Path, destination: &Path) -> Result<(), BackupError> {
    let destination = destination.canonicalize().map_err(io("look into", destination))?;
    let absolute = std::path::absolute(keys).map_err(io("look for", keys))?;
    // It need not exist yet, but what it will lie in may be reached by several names.
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or_default();
    if existing.starts_with(&destination) || absolute.starts_with(&destination) {
        return Err(BackupError::KeysInside(keys.to_owned()));
    }
    Ok(())
}

/// Takes away what was written. The directory was empty before.
fn discard(destination: &Path, made: bool) {
    for name in [MANIFEST, LEDGER, UNVERIFIED, "ledger.db.unverified-wal", "ledger.db.unverified-shm"] {
        // What can't be removed is not called a backup.
        let _ = fs::remove_file(destination.join(name));
    }
    if made {
        let _ = fs::remove_dir(destination);
    }
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io("sync", path))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path, source }
}

fn print(destination: &Path, manifest: &Manifest, keys: Option<(PathBuf, usize)>, json: bool) {
    if json {
        println!("{}", serde_json::to_string(manifest).unwrap_or_default());
        return;
    }
    println!("{}: {} events, whole", destination.display(), manifest.position);
    println!("ledger  {}", manifest.ledger.as_deref().unwrap_or("none yet"));
    for (origin, head) in &manifest.origins {
        println!("head    {origin} {} {}", head.sequence, head.hash);
    }
    println!("file    {} bytes, blake3 {}", manifest.bytes, manifest.blake3);
    match keys {
        Some((path, count)) => println!("keys    {count} in {}: keep them apart from the log", path.display()),
        None => println!("keys    not among them; --keys DIR copies them"),
    }
}
