//! The file of sealing keys: a header, then slots of 64 bytes. `schema/sealing.md` defines its bytes.
//!
//! Slots are made a step at a time and synced before they count, so a key is durable before anything names it.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{KeyError, file};

/// The file's name in the directory of the keys.
pub(super) const FILE_NAME: &str = "sealing.keys";
/// Slots that are made and synced at once.
pub(super) const STEP_SLOTS: u64 = 4_096;
/// The most slots: a wrong number must not fill the disk. It comes to 256 GiB.
const MAX_SLOTS: u64 = 1 << 32;
pub(super) const KEY_BYTES: usize = 32;
/// It divides a sector, so that no slot lies across two.
const SLOT_BYTES: usize = 64;
const STEP_BYTES: usize = STEP_SLOTS as usize * SLOT_BYTES;
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 24] = b"authledger sealing keys\n";
const FORMAT: u32 = 1;
/// A slot that is read while it is overwritten is neither; it is read again this often at most.
const COPY_TRIES: usize = 3;

const HEADER_CONTEXT: &str = "authledger 2026 sealing keys header v1";
const FILLED_CONTEXT: &str = "authledger 2026 sealing key slot v1";
const ERASED_CONTEXT: &str = "authledger 2026 sealing key erased v1";

/// A key in memory, zeroed when it is dropped.
pub(super) struct SlotKey([u8; KEY_BYTES]);

impl SlotKey {
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Drop for SlotKey {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The content of a slot.
pub(super) enum KeySlot {
    Unfilled,
    Filled(SlotKey),
    Erased,
}

/// The open file. All of it may be called from any thread.
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    /// Slots that are synced, a multiple of the step.
    filled: AtomicU64,
    filling: Mutex<()>,
    /// Held to write while a slot is overwritten, so that no call reads half of it.
    erasing: RwLock<()>,
}

impl Slots {
    /// Opens the file, or makes it (0600) if it does not exist, and completes its last step.
    pub(super) fn open(path: PathBuf) -> Result<Self, KeyError> {
        if !path.try_exists().map_err(KeyError::io("look for", &path))? {
            file::create(&path, &header())?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(KeyError::io("open", &path))?;
        file::refuse_if_open(&path, file::FILE_MODE)?;
        let whole = whole_slots(&file, &path)?;
        let slots = Self { file, path, filled: AtomicU64::new(0), filling: Mutex::new(()), erasing: RwLock::new(()) };
        // A crash may have torn the last step, or left it in memory alone: it is written again before it counts.
        let last = whole.saturating_sub(1) / STEP_SLOTS * STEP_SLOTS;
        slots.complete_step(last)?;
        Ok(slots)
    }

    /// Opens a file whose slots are written one by one, such as copies of another node's: a slot that was not written
    /// is empty.
    pub(super) fn open_sparse(path: PathBuf) -> Result<Self, KeyError> {
        if !path.try_exists().map_err(KeyError::io("look for", &path))? {
            file::create(&path, &header())?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(KeyError::io("open", &path))?;
        file::refuse_if_open(&path, file::FILE_MODE)?;
        whole_slots(&file, &path)?;
        Ok(Self { file, path, filled: AtomicU64::new(MAX_SLOTS), filling: Mutex::new(()), erasing: RwLock::new(()) })
    }

    /// The content of a slot of a sparse file.
    pub(super) fn load_sparse(&self, slot: u64) -> Result<KeySlot, KeyError> {
        let mut bytes = [0; SLOT_BYTES];
        let reading = self.erasing.read();
        let read = read_up_to(&self.file, &mut bytes, offset(slot));
        drop(reading);
        let found = decode(slot, &bytes);
        wipe(&mut bytes);
        read.map_err(KeyError::io("read", &self.path))?;
        found.ok_or_else(|| self.damaged(slot))
    }

    /// Writes keys into empty slots of a sparse file, and syncs: an erased slot stays erased.
    pub(super) fn put(&self, keys: &[(u64, SlotKey)]) -> Result<(), KeyError> {
        let _one_at_a_time = self.filling.lock();
        for (slot, key) in keys.iter().filter(|(slot, _)| *slot < MAX_SLOTS) {
            if !matches!(self.load_sparse(*slot)?, KeySlot::Unfilled) {
                continue;
            }
            let mut bytes = filled(*slot, key);
            let written = self.file.write_all_at(&bytes, offset(*slot));
            wipe(&mut bytes);
            written.map_err(KeyError::io("write", &self.path))?;
        }
        self.file.sync_data().map_err(KeyError::io("write", &self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of slots that may be used.
    pub(super) fn filled(&self) -> u64 {
        self.filled.load(Ordering::Acquire)
    }

    /// Makes slots until that one exists, durably.
    pub(super) fn ensure(&self, slot: u64) -> Result<(), KeyError> {
        if slot < self.filled() {
            return Ok(());
        }
        if slot >= MAX_SLOTS {
            return Err(KeyError::TooManySlots { path: self.path.clone(), slot, most: MAX_SLOTS });
        }
        let _one_at_a_time = self.filling.lock();
        while self.filled() <= slot {
            self.complete_step(self.filled())?;
        }
        Ok(())
    }

    pub(super) fn load(&self, slot: u64) -> Result<KeySlot, KeyError> {
        if slot >= self.filled() {
            return Ok(KeySlot::Unfilled);
        }
        let mut bytes = [0; SLOT_BYTES];
        let reading = self.erasing.read();
        let read = self.file.read_exact_at(&mut bytes, offset(slot));
        drop(reading);
        let found = decode(slot, &bytes);
        wipe(&mut bytes);
        read.map_err(KeyError::io("read", &self.path))?;
        match found {
            // Zeros below the last step are not a torn write: they were a key.
            None | Some(KeySlot::Unfilled) => Err(self.damaged(slot)),
            Some(found) => Ok(found),
        }
    }

    /// Overwrites the slots and syncs, even if one is erased or damaged already.
    pub(super) fn erase(&self, slots: &[u64]) -> Result<(), KeyError> {
        if let Some(slot) = slots.iter().copied().find(|slot| *slot >= self.filled()) {
            return Err(KeyError::NoSlot { path: self.path.clone(), slot });
        }
        // No other call writes a key that this one found missing.
        let _one_at_a_time = self.filling.lock();
        let writing = self.erasing.write();
        let written = slots.iter().try_for_each(|slot| self.file.write_all_at(&erased(*slot), offset(*slot)));
        drop(writing);
        written.and_then(|()| self.file.sync_data()).map_err(KeyError::io("erase in", &self.path))
    }

    /// Gives the step's empty slots a key each, writes the whole step, syncs, and only then lets it count.
    ///
    /// The whole step is written, so after a failed sync the next one covers these very pages.
    fn complete_step(&self, first: u64) -> Result<(), KeyError> {
        let mut step = vec![0; STEP_BYTES];
        let outcome = self.write_step(first, &mut step);
        wipe(&mut step);
        outcome?;
        self.filled.store(first + STEP_SLOTS, Ordering::Release);
        Ok(())
    }

    fn write_step(&self, first: u64, step: &mut [u8]) -> Result<(), KeyError> {
        let read = read_up_to(&self.file, step, offset(first)).map_err(KeyError::io("read", &self.path))?;
        // The part of a slot at the end of the file was never used.
        step[read / SLOT_BYTES * SLOT_BYTES..].fill(0);
        for (slot, bytes) in (first..).zip(slots_in(step)) {
            match decode(slot, bytes) {
                Some(KeySlot::Unfilled) => fill(slot, bytes)?,
                Some(KeySlot::Filled(_) | KeySlot::Erased) => {}
                None => return Err(self.damaged(slot)),
            }
        }
        let written = self.file.write_all_at(step, offset(first));
        written.and_then(|()| self.file.sync_data()).map_err(KeyError::io("write", &self.path))
    }

    fn damaged(&self, slot: u64) -> KeyError {
        KeyError::DamagedSlot { path: self.path.clone(), slot }
    }
}

/// Copies the present slots, a step at a time, each checked. The server may add and erase meanwhile.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), KeyError> {
    let source = File::open(from).map_err(KeyError::io("read", from))?;
    let whole = whole_slots(&source, from)?;
    file::create_with(to, |copy| {
        copy.write_all(&header()).map_err(KeyError::io("write", to))?;
        let mut step = vec![0; STEP_BYTES];
        let outcome = copy_steps(&source, from, whole, &mut step, |bytes| {
            copy.write_all(bytes).map_err(KeyError::io("write", to))
        });
        wipe(&mut step);
        outcome
    })
}

fn copy_steps(
    source: &File,
    path: &Path,
    whole: u64,
    step: &mut [u8],
    mut write: impl FnMut(&[u8]) -> Result<(), KeyError>,
) -> Result<(), KeyError> {
    for first in (0..whole).step_by(STEP_SLOTS as usize) {
        let count = STEP_SLOTS.min(whole - first);
        let bytes = &mut step[..count as usize * SLOT_BYTES];
        source.read_exact_at(bytes, offset(first)).map_err(KeyError::io("read", path))?;
        let is_last = first + count == whole;
        for (slot, bytes) in (first..).zip(slots_in(bytes)) {
            settle(source, path, slot, bytes, is_last)?;
        }
        write(bytes)?;
    }
    Ok(())
}

/// Reads the slot again if it was caught half overwritten. Only the last step may have empty ones.
fn settle(source: &File, path: &Path, slot: u64, bytes: &mut [u8; SLOT_BYTES], is_last: bool) -> Result<(), KeyError> {
    for _ in 0..COPY_TRIES {
        match decode(slot, bytes) {
            Some(KeySlot::Unfilled) if !is_last => break,
            Some(_) => return Ok(()),
            None => source.read_exact_at(bytes, offset(slot)).map_err(KeyError::io("read", path))?,
        }
    }
    Err(KeyError::DamagedSlot { path: path.into(), slot })
}

/// Overwrites bytes that must not stay in memory, in a way that the compiler does not remove.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

/// The number of whole slots in a file whose header is as it should be.
fn whole_slots(file: &File, path: &Path) -> Result<u64, KeyError> {
    let mut found = [0; HEADER_BYTES];
    let read = read_up_to(file, &mut found, 0).map_err(KeyError::io("read", path))?;
    if read < HEADER_BYTES || found != header() {
        return Err(KeyError::Malformed { path: path.into(), wanted: "sealing keys of format 1" });
    }
    let length = file.metadata().map_err(KeyError::io("inspect", path))?.len();
    Ok(length.saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64)
}

fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..24].copy_from_slice(MAGIC);
    header[24..28].copy_from_slice(&FORMAT.to_le_bytes());
    header[28..32].copy_from_slice(&(SLOT_BYTES as u32).to_le_bytes());
    let check = blake3::derive_key(HEADER_CONTEXT, &header[..32]);
    header[32..].copy_from_slice(&check);
    header
}

pub(super) const fn offset(slot: u64) -> u64 {
    HEADER_BYTES as u64 + slot * SLOT_BYTES as u64
}

fn slots_in(step: &mut [u8]) -> impl Iterator<Item = &mut [u8; SLOT_BYTES]> {
    step.as_chunks_mut().0.iter_mut()
}

/// The slot in these bytes; nothing if they are neither a key, nor the mark of an erased one, nor empty.
fn decode(slot: u64, bytes: &[u8; SLOT_BYTES]) -> Option<KeySlot> {
    let mut key = SlotKey([0; KEY_BYTES]);
    key.0.copy_from_slice(&bytes[..KEY_BYTES]);
    if bytes[KEY_BYTES..] == check(FILLED_CONTEXT, slot, &key.0) {
        Some(KeySlot::Filled(key))
    } else if *bytes == erased(slot) {
        Some(KeySlot::Erased)
    } else {
        (*bytes == [0; SLOT_BYTES]).then_some(KeySlot::Unfilled)
    }
}

fn fill(slot: u64, bytes: &mut [u8; SLOT_BYTES]) -> Result<(), KeyError> {
    let (key, sum) = bytes.split_at_mut(KEY_BYTES);
    getrandom::fill(key).map_err(|_| KeyError::NoRandomness)?;
    sum.copy_from_slice(&check(FILLED_CONTEXT, slot, key));
    Ok(())
}

fn filled(slot: u64, key: &SlotKey) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..KEY_BYTES].copy_from_slice(&key.0);
    bytes[KEY_BYTES..].copy_from_slice(&check(FILLED_CONTEXT, slot, &key.0));
    bytes
}

fn erased(slot: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let sum = check(ERASED_CONTEXT, slot, &bytes[..KEY_BYTES]);
    bytes[KEY_BYTES..].copy_from_slice(&sum);
    bytes
}

/// The slot's number is in it, so a key in the wrong place is noticed.
fn check(context: &str, slot: u64, key: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&slot.to_le_bytes()).update(key);
    *hasher.finalize().as_bytes()
}

/// As many bytes as there are, up to the end of the file.
fn read_up_to(file: &File, into: &mut [u8], start: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], start + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
