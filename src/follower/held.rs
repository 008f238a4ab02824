//! What is revoked, in the memory of a follower, and the verdict over a presented credential.
//!
//! Names are kept as marks, whether they came as compact frames or as JSON items. A check reads a few short lists, each behind a
//! lock of its own that is held for well below a microsecond, so checks wait neither for one another nor for a snapshot that is being loaded.

mod buckets;
mod feed;
mod item;
mod judge;
mod layer;
mod marks;
mod presented;
mod state;
mod wholes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use self::buckets::Buckets;
use self::layer::Layer;
use crate::compact::{Change, MarkBlock, MarkKey, WholeChange, bucket};
use crate::domain::{Origin, Sequence, Timestamp};

pub use feed::{CompactFeed, FeedError, Heard};
pub use item::{ItemError, RevocationItem};
pub use judge::RefusalReason;
pub use presented::{Ancestor, PresentedCredential, generation_of};
pub use state::StateError;

/// The most keys whose marks are held. Each node of a ledger may have a key of its own, and what is held under a key stays in force.
pub const MAX_KEYS: usize = 16;

/// The largest sequence of each origin among the generations that are held.
pub type HighestGeneration = Arc<BTreeMap<Origin, Sequence>>;

/// All revocations.
#[derive(Debug)]
pub struct Held {
    /// The marks of each key, in the order in which the keys came; none comes after one that is not set.
    layers: [OnceLock<Arc<Layer>>; MAX_KEYS],
    buckets: Buckets,
    highest: RwLock<HighestGeneration>,
    /// The latest instant that was heard of, in milliseconds.
    now: AtomicU64,
    version: AtomicU64,
    /// Changes come one after the other. Checks do not wait for it.
    changing: Mutex<()>,
}

/// More keys than a follower holds: it starts again without what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("marks of more than {MAX_KEYS} keys are held; restart this follower")]
pub struct TooManyKeys;

/// A key of which marks are held.
#[derive(Clone, Debug)]
pub struct HeldKey(Arc<Layer>);

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCounts {
    /// Names of revoked credentials: one for a ticket or a token, two for a session.
    pub marks: usize,
    /// Subjects and cohorts, for each kind.
    pub wholes: usize,
}

impl Held {
    /// Nothing is revoked. `now` need not be exact: it only decides how exactly is kept until when to keep a revocation.
    pub fn new(now: Timestamp) -> Self {
        Self {
            layers: Default::default(),
            buckets: Buckets::default(),
            highest: RwLock::default(),
            now: AtomicU64::new(now.as_millis()),
            version: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    /// The key to apply changes under. Marks of other keys stay in force.
    pub fn key(&self, key: &MarkKey) -> Result<HeldKey, TooManyKeys> {
        let _changing = self.changing.lock();
        let places = self.layers.iter().map(|place| place.get_or_init(|| Arc::new(Layer::new(key.clone()))));
        places.into_iter().find(|layer| layer.key() == key).map(|layer| HeldKey(layer.clone())).ok_or(TooManyKeys)
    }

    /// Takes a revocation. One that comes again, or late, changes nothing: a revocation is never taken back.
    pub fn apply(&self, HeldKey(layer): &HeldKey, change: &Change) {
        let _changing = self.changing.lock();
        let number = self.buckets.number(bucket(change.retain_until, self.now()));
        change.plain.iter().for_each(|mark| layer.plain.insert(mark, number, &self.buckets));
        change.scoped.iter().for_each(|mark| layer.scoped.insert(mark, number, &self.buckets));
        self.revoke_wholes(layer, &change.wholes);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes a block of a snapshot.
    pub fn apply_block(&self, HeldKey(layer): &HeldKey, block: &MarkBlock) {
        let _changing = self.changing.lock();
        let number = self.buckets.number(bucket(block.retain_until, self.now()));
        if block.scoped {
            block.marks.iter().for_each(|mark| layer.scoped.insert(mark, number, &self.buckets));
        } else {
            layer.plain.insert_sorted(&block.marks, number, &self.buckets);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes subjects and cohorts of a snapshot.
    pub fn apply_wholes(&self, HeldKey(layer): &HeldKey, wholes: &[WholeChange]) {
        let _changing = self.changing.lock();
        self.revoke_wholes(layer, wholes);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn revoke_wholes(&self, layer: &Layer, wholes: &[WholeChange]) {
        for whole in wholes {
            // Before the revocation itself: a credential that is introspected from now on was judged with it.
            self.note(&whole.generation);
            layer.wholes.insert(whole);
        }
    }

    fn note(&self, generation: &[(Origin, Sequence)]) {
        let is_higher = |highest: &BTreeMap<Origin, Sequence>| {
            generation.iter().any(|(origin, sequence)| highest.get(origin).is_none_or(|own| own < sequence))
        };
        if !is_higher(&self.highest.read()) {
            return;
        }
        let mut highest = self.highest.write();
        let entries = Arc::make_mut(&mut highest);
        for (origin, sequence) in generation {
            let own = entries.entry(*origin).or_default();
            *own = (*own).max(*sequence);
        }
    }

    /// Takes a JSON item, and says what it adds.
    pub fn apply_item(&self, item: &RevocationItem) -> Result<Change, ItemError> {
        let key = self.key_of_items()?;
        let change = item.change(key.0.key())?;
        self.apply(&key, &change);
        Ok(change)
    }

    /// Items bring no key: they are kept under the first one, which is a random one if none has come in a frame.
    fn key_of_items(&self) -> Result<HeldKey, ItemError> {
        if let Some(layer) = self.layers[0].get() {
            return Ok(HeldKey(layer.clone()));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| ItemError::NoRandomness)?;
        let _changing = self.changing.lock();
        let layer = self.layers[0].get_or_init(|| Arc::new(Layer::new(MarkKey::from_bytes(bytes))));
        Ok(HeldKey(layer.clone()))
    }

    /// For each origin the largest sequence among all generations held: what a credential that is introspected from now on is
    /// given as its own generation (rule 5).
    pub fn highest_generation(&self) -> HighestGeneration {
        self.highest.read().clone()
    }

    /// Grows with each change: a verdict that was reached at a version stands until the next one.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Hears what time it is: a later instant than before counts.
    pub fn hear(&self, now: Timestamp) {
        self.now.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// Forgets what need not be kept any longer. Says how many marks, subjects and cohorts that were.
    pub fn forget(&self, now: Timestamp) -> usize {
        self.hear(now);
        let _changing = self.changing.lock();
        let over = self.buckets.over(now);
        let layers = || self.layers.iter().map_while(OnceLock::get);
        let wholes: usize = layers().map(|layer| layer.wholes.forget(now)).sum();
        if over.is_empty() {
            return wholes;
        }
        let marks: usize = layers().map(|layer| layer.plain.forget(&over) + layer.scoped.forget(&over)).sum();
        self.buckets.free(&over);
        marks + wholes
    }

    /// How much is held.
    pub fn counts(&self) -> HeldCounts {
        let layers = self.layers.iter().map_while(OnceLock::get);
        layers.fold(HeldCounts::default(), |all, layer| HeldCounts {
            marks: all.marks + layer.plain.len() + layer.scoped.len(),
            wholes: all.wholes + layer.wholes.len(),
        })
    }

    /// The bytes that the marks take in memory.
    pub fn mark_bytes(&self) -> usize {
        let layers = self.layers.iter().map_while(OnceLock::get);
        layers.map(|layer| layer.plain.bytes() + layer.scoped.bytes()).sum()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }
}
