//! Kept heads of other origins, signed by them, so that this node can prove their records to a third node when they are
//! gone.
//!
//! The newest head of each origin is kept, and one for some hundreds of records before it, because each page that is
//! shown must end at one. `DATA/members/heads/ORIGIN` holds them, 104 bytes each: sequence (big-endian), hash,
//! signature. The last entry is overwritten until it is far enough beyond the one before it. A half-written entry of a
//! crash is recognised by its signature.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::head::SignedHead;
use super::sign::Signature;
use crate::domain::{Origin, RecordId, Sequence};
use crate::event_log::ChainHash;

/// The least distance of two kept heads in records, except for the newest.
///
/// Few enough that the records between two heads, each as large as can be, fit a parcel together with those of the
/// last.
const SPARSE_RECORDS: u64 = 256;
const ENTRY_BYTES: usize = 8 + 32 + 64;

/// Why heads can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("keep the heads of other origins in {}: {source}", path.display())]
pub struct KeptError {
    path: PathBuf,
    source: io::Error,
}

/// The kept heads of every origin except this node's own, which it signs on request. Of its own origin a head is kept
/// only if the log ends before it: it proves that the directory was rolled back.
pub struct KeptHeads {
    directory: PathBuf,
    origins: Mutex<BTreeMap<Origin, HeadsFile>>,
}

struct HeadsFile {
    file: File,
    heads: Vec<SignedHead>,
}

impl KeptHeads {
    /// The heads of a data directory. `is_good` says whether a head that was read is valid: the last may be
    /// half-written.
    pub fn open(data: &Path, is_good: impl Fn(&SignedHead) -> bool) -> Result<Self, KeptError> {
        let directory = data.join("members").join("heads");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeptError { path, source }
        };
        let mut origins = BTreeMap::new();
        let entries = match fs::read_dir(&directory) {
            // A node that never had members has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { directory, origins: Mutex::new(origins) });
            }
            entries => entries.map_err(failed(&directory))?,
        };
        for entry in entries {
            let path = entry.map_err(failed(&directory))?.path();
            let Some(origin) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            origins.insert(origin, load(origin, &path, &is_good).map_err(failed(&path))?);
        }
        Ok(Self { directory, origins: Mutex::new(origins) })
    }

    /// Keeps a head that has been verified, and up to which this node holds the records.
    pub fn keep(&self, head: SignedHead) -> Result<(), KeptError> {
        let origin = head.place.origin;
        let path = self.directory.join(origin.as_str());
        let failed = |source: io::Error| KeptError { path: path.clone(), source };
        make_directory(&self.directory).map_err(failed)?;
        let mut origins = self.origins.lock();
        let kept = match origins.entry(origin) {
            std::collections::btree_map::Entry::Occupied(kept) => kept.into_mut(),
            std::collections::btree_map::Entry::Vacant(empty) => {
                empty.insert(HeadsFile { file: open(&path).map_err(failed)?, heads: Vec::new() })
            }
        };
        kept.keep(head).map_err(failed)
    }

    /// The newest head of that origin.
    pub fn newest(&self, origin: Origin) -> Option<SignedHead> {
        self.origins.lock().get(&origin)?.heads.last().copied()
    }

    /// A head beyond that record to end a page at: the farthest that is not more than `records` beyond it, else the
    /// next.
    pub fn beyond(&self, origin: Origin, after: Sequence, records: u64) -> Option<SignedHead> {
        let origins = self.origins.lock();
        let heads = &origins.get(&origin)?.heads;
        let next = heads.partition_point(|head| head.place.sequence <= after);
        let far = heads.partition_point(|head| head.place.sequence.0 <= after.0 + records);
        heads.get(far.saturating_sub(1).max(next)).copied()
    }
}

impl HeadsFile {
    fn keep(&mut self, head: SignedHead) -> io::Result<()> {
        let newest = self.heads.last().map(|newest| newest.place.sequence);
        if newest.is_some_and(|newest| head.place.sequence <= newest) {
            return Ok(());
        }
        // The one before the newest stays only if it is far enough from the one before it.
        if let [.., before, newest] = &*self.heads
            && newest.place.sequence.0 - before.place.sequence.0 < SPARSE_RECORDS
        {
            self.heads.pop();
        }
        self.heads.push(head);
        let at = (self.heads.len() - 1) * ENTRY_BYTES;
        self.file.write_all_at(&entry(&head), at as u64)
    }
}

fn entry(head: &SignedHead) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&head.place.sequence.0.to_be_bytes());
    bytes[8..40].copy_from_slice(&head.hash.0);
    bytes[40..].copy_from_slice(&head.signature.0);
    bytes
}

fn parsed(origin: Origin, bytes: &[u8]) -> Option<SignedHead> {
    let (sequence, rest) = bytes.split_first_chunk::<8>()?;
    let (hash, signature) = rest.split_first_chunk::<32>()?;
    let place = RecordId { origin, sequence: Sequence(u64::from_be_bytes(*sequence)) };
    Some(SignedHead { place, hash: ChainHash(*hash), signature: Signature(signature.try_into().ok()?) })
}

/// Reads up to the first invalid head: the ones after it can be had again.
fn load(origin: Origin, path: &Path, is_good: &impl Fn(&SignedHead) -> bool) -> io::Result<HeadsFile> {
    let bytes = fs::read(path)?;
    let heads = bytes.chunks_exact(ENTRY_BYTES).map_while(|bytes| parsed(origin, bytes).filter(is_good)).collect();
    Ok(HeadsFile { file: open(path)?, heads })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file of this folder, whole or not at all; when this returns, it survives a loss of power.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory)?;
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}
