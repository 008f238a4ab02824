//! Handles by the hash of a key that is kept elsewhere: eight bytes and a control byte for each.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::handle::{SHARDS, spread};
use crate::domain::Hashing;

/// A part of the key's hash, and the handle.
type TaggedHandle = (u32, u32);

/// Handles of 32 bits by a hash of 64, randomly seeded. A look-up says which of the handles with the same hash it
/// means.
pub(super) struct Index {
    shards: Box<[RwLock<HashTable<TaggedHandle>>]>,
    hasher: Hashing,
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: Hashing::default() }
    }
}

impl Index {
    /// The handle under that key for which `is` holds.
    pub(super) fn find(&self, key: &impl Hash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let (shard, tag) = self.place(key);
        let shard = shard.read();
        shard.find(rehash(tag), |(own, handle)| *own == tag && is(*handle)).map(|(_, handle)| *handle)
    }

    /// Visits each handle that may be under that key.
    pub(super) fn each(&self, key: &impl Hash, mut look: impl FnMut(u32)) {
        let (shard, tag) = self.place(key);
        let shard = shard.read();
        shard.iter_hash(rehash(tag)).filter(|(own, _)| *own == tag).for_each(|(_, handle)| look(*handle));
    }

    pub(super) fn insert(&self, key: &impl Hash, handle: u32) {
        let (shard, tag) = self.place(key);
        shard.write().insert_unique(rehash(tag), (tag, handle), |(tag, _)| rehash(*tag));
    }

    /// Removes the handle, if it is there under that key.
    pub(super) fn remove(&self, key: &impl Hash, handle: u32) {
        let (shard, tag) = self.place(key);
        let mut shard = shard.write();
        if let Ok(entry) = shard.find_entry(rehash(tag), |entry| *entry == (tag, handle)) {
            entry.remove();
        }
    }

    fn place(&self, key: &impl Hash) -> (&RwLock<HashTable<TaggedHandle>>, u32) {
        let hash = self.hasher.hash_one(key);
        (&self.shards[(hash >> 32) as usize % SHARDS], hash as u32)
    }
}

const fn rehash(tag: u32) -> u64 {
    spread(tag as u64)
}
