//! What is revoked as a whole: subjects and cohorts, by their marks and by kind.

use parking_lot::RwLock;

use crate::compact::{AgeLimit, MARK_BYTES, Mark, MarkedKinds, WholeChange};
use crate::domain::{HashMap, Origin, Sequence, Timestamp};

/// Tables, so that a change of one holds up few checks.
const TABLES: usize = 256;

/// A mark, and the index of the kind.
pub(super) type WholeKey = (Mark, u8);

/// The revocations of a subject or cohort, for one kind of credential. Nearly all are of one record: what others need is apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Whole {
    pub first: Option<(Origin, Sequence)>,
    pub erased: bool,
    pub withdrawn: bool,
    pub not_before: u64,
    pub retain_until: Timestamp,
    pub more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct More {
    pub generation: Vec<(Origin, Sequence)>,
    pub ages: Vec<AgeLimit>,
}

impl Whole {
    /// The generation that a credential must reach.
    pub fn generation(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        let more = self.more.iter().flat_map(|more| more.generation.iter().copied());
        self.first.into_iter().chain(more)
    }

    /// The revocations by age.
    pub fn ages(&self) -> impl Iterator<Item = AgeLimit> {
        self.more.iter().flat_map(|more| more.ages.iter().copied())
    }

    /// Joins a revocation: nothing becomes less.
    fn merge(&mut self, change: &WholeChange) {
        self.erased |= change.erased;
        self.withdrawn |= change.withdrawn;
        self.not_before = self.not_before.max(change.not_before);
        let retain_until = if change.erased { Timestamp::MAX } else { change.retain_until };
        self.retain_until = self.retain_until.max(retain_until);
        change.generation.iter().for_each(|entry| self.reach(*entry));
        if let Some(age) = change.age {
            self.limit(age);
        }
    }

    fn reach(&mut self, (origin, sequence): (Origin, Sequence)) {
        let (own, own_sequence) = self.first.get_or_insert((origin, sequence));
        if *own == origin {
            *own_sequence = sequence.max(*own_sequence);
            return;
        }
        let generation = &mut self.more.get_or_insert_default().generation;
        match generation.iter_mut().find(|(own, _)| *own == origin) {
            Some((_, own)) => *own = sequence.max(*own),
            None => generation.push((origin, sequence)),
        }
    }

    fn limit(&mut self, age: AgeLimit) {
        let covers = |one: &AgeLimit, other: &AgeLimit| {
            one.origin == other.origin && one.sequence >= other.sequence && one.issued_before >= other.issued_before
        };
        let ages = &mut self.more.get_or_insert_default().ages;
        if !ages.iter().any(|own| covers(own, &age)) {
            ages.retain(|own| !covers(&age, own));
            ages.push(age);
        }
    }
}

#[derive(Debug)]
pub(super) struct Wholes(Box<[RwLock<HashMap<WholeKey, Whole>>]>);

impl Default for Wholes {
    fn default() -> Self {
        Self((0..TABLES).map(|_| RwLock::default()).collect())
    }
}

impl Wholes {
    pub fn insert(&self, change: &WholeChange) {
        let mut table = self.table(&change.mark).write();
        for index in change.kinds.indexes() {
            table.entry((change.mark, index)).or_default().merge(change);
        }
    }

    /// Looks at the revocations of that subject or cohort for that kind, if there are any.
    pub fn look<T>(&self, mark: &Mark, kind: &str, look: impl FnOnce(&Whole) -> Option<T>) -> Option<T> {
        let table = self.table(mark).read();
        if table.is_empty() {
            return None;
        }
        look(table.get(&(*mark, MarkedKinds::index_of(kind)))?)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|table| table.read().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|table| table.read().is_empty())
    }

    /// Drops what need not be kept any longer.
    pub fn forget(&self, now: Timestamp) -> usize {
        let mut dropped = 0;
        for table in &self.0 {
            if !table.read().values().any(|whole| whole.retain_until <= now) {
                continue;
            }
            let mut table = table.write();
            let before = table.len();
            table.retain(|_, whole| whole.retain_until > now);
            dropped += before - table.len();
        }
        dropped
    }

    /// Calls back with each of them.
    pub fn visit(&self, mut visit: impl FnMut(&WholeKey, &Whole)) {
        self.0.iter().for_each(|table| table.read().iter().for_each(|(key, whole)| visit(key, whole)));
    }

    fn table(&self, mark: &Mark) -> &RwLock<HashMap<WholeKey, Whole>> {
        &self.0[usize::from(mark.0[MARK_BYTES - 1]) % TABLES]
    }
}
