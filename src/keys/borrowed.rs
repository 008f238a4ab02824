//! Copies of the keys under which other nodes sealed personal data, so that this one can open it too.
//!
//! They travel apart from the records, and are destroyed here as well when their subject is erased. A key that arrives
//! after that finds its slot marked as erased.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::sealing::unseal;
use super::slots::{KeySlot, SlotKey, Slots, wipe};
use super::{KeyError, file};
use crate::domain::Origin;

/// The copies, one file for each origin: `DATA/keys/borrowed/ORIGIN.keys`, of the form of `sealing.keys` with gaps.
pub struct BorrowedKeys {
    directory: PathBuf,
    origins: Mutex<BTreeMap<Origin, Arc<Slots>>>,
}

impl BorrowedKeys {
    /// The copies in a directory of keys. Nothing is made before the first comes.
    pub fn new(keys: &Path) -> Self {
        Self { directory: keys.join("borrowed"), origins: Mutex::default() }
    }

    /// Whether that slot is settled: its key is here, or was destroyed.
    pub fn is_settled(&self, origin: Origin, slot: u64) -> Result<bool, KeyError> {
        let Some(slots) = self.find(origin)? else { return Ok(false) };
        Ok(!matches!(slots.load_sparse(slot)?, KeySlot::Unfilled))
    }

    /// Keeps keys that another node lent: slots, each with a key in base64url. Texts that are not keys are left out,
    /// and so are keys that were destroyed here before.
    pub fn keep(&self, origin: Origin, lent: &[(u64, String)]) -> Result<(), KeyError> {
        let keys = lent.iter().filter_map(|(slot, text)| {
            let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let key = SlotKey::from_slice(&bytes);
            wipe(&mut bytes);
            key.map(|key| (*slot, key))
        });
        self.make(origin)?.put(&keys.collect::<Vec<_>>())
    }

    /// The slot's key in base64url, for another member of the ledger.
    pub fn lend(&self, origin: Origin, slot: u64) -> Option<String> {
        match self.find(origin).ok()??.load_sparse(slot) {
            Ok(KeySlot::Filled(key)) => Some(URL_SAFE_NO_PAD.encode(key.as_bytes())),
            Ok(KeySlot::Erased | KeySlot::Unfilled) | Err(_) => None,
        }
    }

    /// Opens what a record of that origin sealed under that slot, if its key is here.
    pub fn open_sealed(&self, origin: Origin, slot: u64, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self.find(origin).ok()??.load_sparse(slot) {
            Ok(KeySlot::Filled(key)) => unseal(&key, context, sealed),
            Ok(KeySlot::Erased | KeySlot::Unfilled) | Err(_) => None,
        }
    }

    /// Destroys keys, and prevents those that arrive later from being kept.
    pub fn erase(&self, origin: Origin, slots: &[u64]) -> Result<(), KeyError> {
        if slots.is_empty() {
            return Ok(());
        }
        self.make(origin)?.erase(slots)
    }

    fn path(&self, origin: Origin) -> PathBuf {
        self.directory.join(format!("{origin}.keys"))
    }

    fn find(&self, origin: Origin) -> Result<Option<Arc<Slots>>, KeyError> {
        let known = self.origins.lock().get(&origin).cloned();
        if known.is_some() || !self.path(origin).exists() {
            return Ok(known);
        }
        self.make(origin).map(Some)
    }

    fn make(&self, origin: Origin) -> Result<Arc<Slots>, KeyError> {
        let mut origins = self.origins.lock();
        if let Some(slots) = origins.get(&origin) {
            return Ok(slots.clone());
        }
        file::private_directory(&self.directory)?;
        let slots = Arc::new(Slots::open_sparse(self.path(origin))?);
        origins.insert(origin, slots.clone());
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        "k7m2qx4dnzr5a".parse().expect("an origin")
    }

    fn key(byte: u8) -> String {
        URL_SAFE_NO_PAD.encode([byte; 32])
    }

    #[test]
    fn a_copy_is_kept_over_a_restart_and_never_comes_back_once_it_was_destroyed() {
        let data = tempfile::tempdir().expect("a directory");
        let keys = BorrowedKeys::new(data.path());
        assert!(!keys.is_settled(origin(), 7).expect("readable"), "nothing is there yet");
        keys.keep(origin(), &[(7, key(1)), (9_000, key(2)), (8, "no key".to_owned())]).expect("kept");
        let again = BorrowedKeys::new(data.path());
        assert_eq!((again.lend(origin(), 7), again.lend(origin(), 9_000)), (Some(key(1)), Some(key(2))));
        assert_eq!((again.lend(origin(), 8), again.lend(origin(), 6)), (None, None));
        again.erase(origin(), &[7, 100]).expect("erased");
        again.keep(origin(), &[(7, key(1)), (100, key(3))]).expect("refused silently");
        assert_eq!((again.lend(origin(), 7), again.lend(origin(), 100)), (None, None), "neither late nor early");
        assert!(again.is_settled(origin(), 100).expect("readable") && again.lend(origin(), 9_000).is_some());
        let file = std::fs::read(data.path().join("borrowed").join(format!("{}.keys", origin()))).expect("there");
        assert!(!file.windows(32).any(|bytes| bytes == [1; 32]), "the key is not in the file any more");
    }
}
