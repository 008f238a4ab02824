//! What only the log holds of an issue, kept in a bounded cache once it has been read.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::RecordId;

/// About how many bytes a cache holds at most: two halves of 32 MiB.
const HALF_BYTES: usize = 32 << 20;

/// Facts that know about how much memory they take.
pub(super) trait Weighed {
    /// About how many bytes, the entry in the cache included.
    fn bytes(&self) -> usize;
}

/// Recently used facts. Facts that were not used while a half filled up are dropped with the half before.
pub(super) struct FactsCache<T>(Mutex<Halves<T>>);

/// How often the cache had been emptied at the time of a reading.
#[derive(Clone, Copy)]
pub(super) struct Emptied(u64);

struct Halves<T> {
    young: HashMap<RecordId, Arc<T>>,
    young_bytes: usize,
    old: HashMap<RecordId, Arc<T>>,
    emptied: u64,
}

// Not derived: that would ask for a default of the facts.
impl<T> Default for FactsCache<T> {
    fn default() -> Self {
        Self(Mutex::new(Halves::default()))
    }
}

impl<T> Default for Halves<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), young_bytes: 0, old: HashMap::new(), emptied: 0 }
    }
}

impl<T: Weighed> FactsCache<T> {
    pub(super) fn find(&self, place: RecordId) -> Option<Arc<T>> {
        let mut halves = self.0.lock();
        if let Some(facts) = halves.young.get(&place) {
            return Some(facts.clone());
        }
        let facts = halves.old.remove(&place)?;
        halves.insert(place, facts.clone());
        Some(facts)
    }

    pub(super) fn emptied(&self) -> Emptied {
        Emptied(self.0.lock().emptied)
    }

    /// Keeps the facts that were read since; facts that were opened before the cache was emptied may be the reason for
    /// emptying it.
    pub(super) fn keep(&self, place: RecordId, facts: Arc<T>, since: Emptied) {
        let mut halves = self.0.lock();
        if halves.emptied == since.0 {
            halves.insert(place, facts);
        }
    }

    /// Removes everything.
    pub(super) fn empty(&self) {
        let mut halves = self.0.lock();
        *halves = Halves { emptied: halves.emptied + 1, ..Halves::default() };
    }
}

impl<T: Weighed> Halves<T> {
    fn insert(&mut self, place: RecordId, facts: Arc<T>) {
        self.young_bytes += facts.bytes();
        self.young.insert(place, facts);
        if self.young_bytes > HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}
