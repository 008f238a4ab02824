//! Sealing: personal data is in the log under a key of its subject, and the key is outside the log, so that destroying
//! the key erases the data.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::slots::{self, KeySlot, SlotKey, Slots};
use super::{KeyError, file};

const TAG_BYTES: usize = 16;
/// The longest plain text: a record has no room for more.
const MAX_PLAIN_BYTES: usize = 64 * 1024;

/// The keys under which personal data is sealed, one in each slot of `DATA/keys/sealing.keys`.
///
/// Slot 0 is the node's own; subjects have those from 1. A key is read from its slot for each use, which takes about a
/// microsecond, so ten million of them take no memory. At most 2^32 things may be sealed under one key.
pub struct SealingKeys {
    slots: Slots,
}

/// Why data was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The slot's key was destroyed.
    #[error("seal under slot {slot}: its key was erased")]
    Erased { slot: u64 },
    /// The slot does not exist.
    #[error("seal under slot {slot}: there is no such slot")]
    Missing { slot: u64 },
    /// It is longer than any record could hold.
    #[error("seal {bytes} bytes: {MAX_PLAIN_BYTES} are the most")]
    TooLong { bytes: usize },
    /// The file did not give the key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why sealed data was not opened.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// The slot's key was destroyed: the data that it sealed is erased.
    #[error("open what slot {slot} sealed: its key was erased")]
    Erased { slot: u64 },
    /// The slot does not exist.
    #[error("open what slot {slot} sealed: there is no such slot")]
    Missing { slot: u64 },
    /// The bytes, their context or the slot are not those of the sealing.
    #[error("open what slot {slot} sealed: it was changed, or sealed for something else or under another key")]
    NotAuthentic { slot: u64 },
    /// The file did not give the key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SealingKeys {
    /// How much longer the sealed form is than the plain one: nonce and tag.
    pub const OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;

    /// Opens `sealing.keys` in that directory, or makes directory (0700) and file (0600) if they do not exist, and
    /// makes the first slots. Only one process at a time may hold it.
    ///
    /// It fails if a mode lets others in, the file is of another kind or format, or the disk refuses; and if a slot of
    /// the last step is damaged, because new keys would then hide that an old one is lost. A damaged slot elsewhere is
    /// found when it is used.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        file::private_directory(dir)?;
        Ok(Self { slots: Slots::open(dir.join(slots::FILE_NAME))? })
    }

    /// Whether the file in that directory exists and is long enough to hold that slot.
    pub fn has_had(dir: &Path, slot: u64) -> bool {
        let file = std::fs::metadata(dir.join(slots::FILE_NAME));
        file.is_ok_and(|file| file.len() >= slots::offset(slot + 1))
    }

    /// Makes slots until that one exists. When this returns, its key survives a loss of power.
    pub fn ensure(&self, slot: u64) -> Result<(), KeyError> {
        self.slots.ensure(slot)
    }

    /// Seals with AES-256-GCM and a fresh random nonce: nonce, cipher text, tag. The context is authenticated, not kept.
    pub fn seal(&self, slot: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        if plain.len() > MAX_PLAIN_BYTES {
            return Err(SealError::TooLong { bytes: plain.len() });
        }
        let key = match self.slots.load(slot)? {
            KeySlot::Filled(key) => key,
            KeySlot::Erased => return Err(SealError::Erased { slot }),
            KeySlot::Unfilled => return Err(SealError::Missing { slot }),
        };
        let mut sealed = Vec::with_capacity(plain.len() + Self::OVERHEAD_BYTES);
        sealed.extend_from_slice(&[0; NONCE_LEN]);
        sealed.extend_from_slice(plain);
        // The plain text is encrypted in place, so no copy of it is left.
        let (nonce, tag) = cipher(&key)
            .and_then(|cipher| cipher.seal_in_place_separate_tag(Aad::from(context), &mut sealed[NONCE_LEN..]).ok())
            .ok_or(KeyError::NoRandomness)?;
        sealed[..NONCE_LEN].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens data that was sealed under that slot for that context. A caller must not keep the plain text longer than
    /// needed.
    pub fn open_sealed(&self, slot: u64, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let key = match self.slots.load(slot)? {
            KeySlot::Filled(key) => key,
            KeySlot::Erased => return Err(UnsealError::Erased { slot }),
            KeySlot::Unfilled => return Err(UnsealError::Missing { slot }),
        };
        unseal(&key, context, sealed).ok_or(UnsealError::NotAuthentic { slot })
    }

    /// The slot's key in base64url, for another member of the ledger; nothing if it was destroyed or never made.
    pub fn lend(&self, slot: u64) -> Option<String> {
        match self.slots.load(slot) {
            Ok(KeySlot::Filled(key)) => Some(URL_SAFE_NO_PAD.encode(key.as_bytes())),
            Ok(KeySlot::Erased | KeySlot::Unfilled) | Err(_) => None,
        }
    }

    /// Destroys the slot's key: overwrites it in the file and syncs. From then on seal and open report that it was
    /// erased; a call at the same moment may still have it. Erasing again does the same again.
    ///
    /// It promises no more than the disk gives: a file system that copies on write, a snapshot of a volume, a cell that
    /// the drive has retired, and every older backup of the keys may still hold it.
    pub fn erase(&self, slot: u64) -> Result<(), KeyError> {
        self.erase_all(&[slot])
    }

    /// Like [`SealingKeys::erase`] for several slots, with one sync. A slot that was never made is an error, and then
    /// none is erased.
    pub fn erase_all(&self, slots: &[u64]) -> Result<(), KeyError> {
        self.slots.erase(slots)
    }

    /// Whether that slot was made.
    pub fn has(&self, slot: u64) -> bool {
        slot < self.slots.filled()
    }

    /// Whether the slot's key was destroyed. A key that can't be read may still be there.
    pub fn is_erased(&self, slot: u64) -> bool {
        matches!(self.slots.load(slot), Ok(KeySlot::Erased))
    }
}

impl fmt::Debug for SealingKeys {
    /// The path and the number of keys, never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SealingKeys");
        shown.field("path", &self.slots.path()).field("slots", &self.slots.filled()).finish()
    }
}

fn cipher(key: &SlotKey) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key.as_bytes()).ok()
}

pub(super) fn unseal(key: &SlotKey, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = rest.to_vec();
    let length = cipher(key)?.open_in_place(nonce, Aad::from(context), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

#[cfg(test)]
mod tests;
