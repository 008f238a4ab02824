//! The state between two runs: what is held, of which ledger, and the cursor. No secret of anybody but the keys of marks,
//! and no answer.
//!
//! It saves loading the snapshot, and nothing else: a follower that has read it is stale until it hears a heartbeat. Whatever
//! is wrong with the file, the snapshot is loaded instead.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::LedgerId;
use crate::follower::held::Held;

const FILE_NAME: &str = "follower.state";
const MAGIC: &[u8] = b"authledger follower 1\n";
const LEDGER_BYTES: usize = 16;

/// Why the directory of the state can't be used.
#[derive(Debug, thiserror::Error)]
#[error("keep the state in {}: {source}; name another directory with --state", path.display())]
pub struct StateDirectoryError {
    path: PathBuf,
    source: io::Error,
}

/// The file, in a directory that others may not read.
pub(super) struct StateFile {
    directory: PathBuf,
}

/// What the file holds.
pub(super) struct KeptState {
    pub(super) ledger: LedgerId,
    pub(super) cursor: String,
    pub(super) held: Held,
}

impl StateFile {
    /// The file in that directory, which is made with mode 0700 if it does not exist.
    pub(super) fn new(directory: PathBuf) -> Result<Self, StateDirectoryError> {
        match DirBuilder::new().recursive(true).mode(0o700).create(&directory) {
            Ok(()) => Ok(Self { directory }),
            Err(source) => Err(StateDirectoryError { path: directory, source }),
        }
    }

    /// What the last run has written; nothing if there is none, or it can't be used.
    pub(super) fn load(&self) -> Option<KeptState> {
        let path = self.directory.join(FILE_NAME);
        match read(&path) {
            Ok(kept) => Some(kept),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "the state of the last run can't be used; loading the snapshot");
                None
            }
        }
    }

    /// Replaces the whole file: after a loss of power it has the old state or the new one.
    pub(super) fn save(&self, ledger: LedgerId, cursor: &str, held: &Held) -> io::Result<()> {
        // Its mode is 0600.
        let mut fresh = BufWriter::new(tempfile::NamedTempFile::new_in(&self.directory)?);
        fresh.write_all(MAGIC)?;
        fresh.write_all(ledger.0.as_bytes())?;
        held.save(cursor, &mut fresh)?;
        let fresh = fresh.into_inner().map_err(io::IntoInnerError::into_error)?;
        fresh.as_file().sync_all()?;
        fresh.persist(self.directory.join(FILE_NAME))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<KeptState> {
    let bytes = fs::read(path)?;
    let other = || io::Error::new(ErrorKind::InvalidData, "it is not a follower's state of this release");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(other)?;
    let (ledger, held) = rest.split_first_chunk::<LEDGER_BYTES>().ok_or_else(other)?;
    let (held, cursor) = Held::restore(held).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok(KeptState { ledger: LedgerId(Uuid::from_bytes(*ledger)), cursor, held })
}
