//! Handles by the hash of a key that is kept elsewhere: eight bytes and a control byte for each.

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::handle::{SHARDS, spread};

/// A part of the key's hash, and what it leads to.
type Entry = (u32, u32);

/// Handles of 32 bits by a hash of 64. Whoever looks something up says which of those with the same hash he means.
pub(super) struct Index {
    shards: Box<[RwLock<HashTable<Entry>>]>,
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Index {
    /// The handle with that hash that `is` the one.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let shard = self.shard(hash).read();
        shard.find(rehash(tag), |(own, handle)| *own == tag && is(*handle)).map(|(_, handle)| *handle)
    }

    /// Looks at each handle with that hash.
    pub(super) fn each(&self, hash: u64, mut look: impl FnMut(u32)) {
        let tag = hash as u32;
        let shard = self.shard(hash).read();
        shard.iter_hash(rehash(tag)).filter(|(own, _)| *own == tag).for_each(|(_, handle)| look(*handle));
    }

    pub(super) fn insert(&self, hash: u64, handle: u32) {
        let tag = hash as u32;
        self.shard(hash).write().insert_unique(rehash(tag), (tag, handle), |(tag, _)| rehash(*tag));
    }

    /// Removes the handle, if it is there under that hash.
    pub(super) fn remove(&self, hash: u64, handle: u32) {
        let tag = hash as u32;
        let mut shard = self.shard(hash).write();
        if let Ok(entry) = shard.find_entry(rehash(tag), |entry| *entry == (tag, handle)) {
            entry.remove();
        }
    }

    fn shard(&self, hash: u64) -> &RwLock<HashTable<Entry>> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

const fn rehash(tag: u32) -> u64 {
    spread(tag as u64)
}
