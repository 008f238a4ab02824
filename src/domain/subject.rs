//! Subjects: whose credentials were ended all at once, and who may get no new ones for a while.

use std::collections::{BTreeMap, BTreeSet};

use super::credential::Kind;
use super::ids::{Origin, Place, Sequence};
use super::time::Timestamp;

/// A generation: for each origin, the sequence of its latest `subject.revoked` that names the kind.
///
/// Boxed, because nearly every credential carries the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every ticket")]
pub struct Generation(Option<Box<BTreeMap<Origin, Sequence>>>);

impl Generation {
    /// Whether no origin has an entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The entries, by origin.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        self.0.iter().flat_map(|entries| entries.iter().map(|(origin, sequence)| (*origin, *sequence)))
    }

    /// Whether this generation has every entry of that one, or a later one of the same origin.
    pub fn reaches(&self, required: &Self) -> bool {
        required.iter().all(|(origin, sequence)| self.get(origin).is_some_and(|own| own >= sequence))
    }

    /// Joins another: pointwise maximum.
    pub fn merge(&mut self, other: &Self) {
        for (origin, sequence) in other.iter() {
            let own = self.0.get_or_insert_default().entry(origin).or_default();
            *own = sequence.max(*own);
        }
    }

    /// How many origins have an entry.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |entries| entries.len())
    }

    fn get(&self, origin: Origin) -> Option<Sequence> {
        self.0.as_ref()?.get(&origin).copied()
    }
}

impl FromIterator<(Origin, Sequence)> for Generation {
    fn from_iter<T: IntoIterator<Item = (Origin, Sequence)>>(entries: T) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        Self((!entries.is_empty()).then(|| Box::new(entries)))
    }
}

/// One origin's latest ending of all that a subject has of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectEnding {
    /// The record's place in its origin.
    pub sequence: Sequence,
    /// When it was recorded.
    pub revoked_at: Timestamp,
    /// Whole seconds since 1970: a foreign token issued then or earlier is dead.
    pub not_before: u64,
    /// Until when the entry is kept.
    pub retain_until: Timestamp,
}

impl SubjectEnding {
    fn merge(&mut self, other: Self) {
        self.sequence = self.sequence.max(other.sequence);
        self.revoked_at = self.revoked_at.max(other.revoked_at);
        self.not_before = self.not_before.max(other.not_before);
        self.retain_until = self.retain_until.max(other.retain_until);
    }
}

/// What the fold knows of a subject and one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectKind {
    /// Each origin's latest ending.
    pub endings: BTreeMap<Origin, SubjectEnding>,
    /// Until when nothing new is issued.
    pub hold_until: Option<Timestamp>,
}

impl SubjectKind {
    /// The generation that a credential must reach to be good.
    pub fn generation(&self) -> Generation {
        self.endings.iter().map(|(origin, ending)| (*origin, ending.sequence)).collect()
    }

    /// The earliest ending that a credential of that generation does not reach.
    pub fn ends(&self, generation: &Generation) -> Option<(Place, &SubjectEnding)> {
        let unreached = |(origin, ending): &(&Origin, &SubjectEnding)| {
            generation.get(**origin).is_none_or(|own| own < ending.sequence)
        };
        self.endings
            .iter()
            .filter(unreached)
            .map(|(origin, ending)| (Place { origin: *origin, sequence: ending.sequence }, ending))
            .min_by_key(|(place, ending)| (ending.revoked_at, *place))
    }

    /// The ending that a token of a foreign issuer, which carries no generation, is dead by: one that was made no earlier than
    /// `leeway_seconds` before the token's `iat`, or any if the token does not say when it was issued.
    pub fn ends_foreign(&self, issued_at_seconds: Option<u64>, leeway_seconds: u64) -> Option<(Place, &SubjectEnding)> {
        let dead = |(_, ending): &(&Origin, &SubjectEnding)| {
            issued_at_seconds.is_none_or(|issued_at| issued_at <= ending.not_before.saturating_add(leeway_seconds))
        };
        self.endings
            .iter()
            .filter(dead)
            .map(|(origin, ending)| (Place { origin: *origin, sequence: ending.sequence }, ending))
            .min_by_key(|(place, ending)| (ending.revoked_at, *place))
    }

    /// The generation of a credential that was issued elsewhere at that instant: the endings before it, for which it was too
    /// late.
    pub fn generation_at(&self, issued_at_seconds: u64, leeway_seconds: u64) -> Generation {
        let before = |ending: &SubjectEnding| ending.not_before.saturating_add(leeway_seconds) < issued_at_seconds;
        let entries = self.endings.iter().filter(|(_, ending)| before(ending));
        entries.map(|(origin, ending)| (*origin, ending.sequence)).collect()
    }

    fn merge(&mut self, other: Self) {
        for (origin, ending) in other.endings {
            self.endings.entry(origin).and_modify(|mine| mine.merge(ending)).or_insert(ending);
        }
        self.hold_until = self.hold_until.max(other.hold_until);
    }

    fn prune(&mut self, now: Timestamp) {
        self.endings.retain(|_, ending| now < ending.retain_until);
        self.hold_until = self.hold_until.filter(|until| now < *until);
    }
}

/// That a subject was forgotten: never taken back, and never forgotten itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The record that did it first.
    pub place: Place,
    /// When that was.
    pub erased_at: Timestamp,
    /// The keys that were destroyed: for each origin, slots of its store.
    pub slots: BTreeMap<Origin, BTreeSet<u64>>,
}

impl Erasure {
    /// The slots in the one store that these origins share.
    pub fn slots_of(&self, lineage: &[Origin]) -> BTreeSet<u64> {
        lineage.iter().filter_map(|origin| self.slots.get(origin)).flatten().copied().collect()
    }

    fn merge(&mut self, other: Self) {
        if (other.erased_at, other.place) < (self.erased_at, self.place) {
            (self.erased_at, self.place) = (other.erased_at, other.place);
        }
        for (origin, slots) in other.slots {
            self.slots.entry(origin).or_default().extend(slots);
        }
    }
}

/// What the fold knows of a subject, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectState {
    /// In the order of [`Kind::ALL`].
    pub kinds: [SubjectKind; 3],
    /// Whether it was forgotten.
    pub erasure: Option<Box<Erasure>>,
}

impl SubjectState {
    /// What is known for that kind.
    pub fn of(&self, kind: Kind) -> &SubjectKind {
        &self.kinds[kind.index()]
    }

    /// Whether the subject may get no credential of that kind at `now`.
    pub fn on_hold(&self, kind: Kind, now: Timestamp) -> bool {
        self.of(kind).hold_until.is_some_and(|until| now < until)
    }

    /// The earliest record that a credential of that kind and generation is dead by. After an erasure none reaches far enough.
    pub fn ends(&self, kind: Kind, generation: &Generation) -> Option<(Place, Timestamp)> {
        self.earliest(self.of(kind).ends(generation))
    }

    /// The earliest record that a foreign token is dead by: see [`SubjectKind::ends_foreign`].
    pub fn ends_foreign(&self, issued_at_seconds: Option<u64>, leeway_seconds: u64) -> Option<(Place, Timestamp)> {
        self.earliest(self.of(Kind::Token).ends_foreign(issued_at_seconds, leeway_seconds))
    }

    fn earliest(&self, ending: Option<(Place, &SubjectEnding)>) -> Option<(Place, Timestamp)> {
        let erasure = self.erasure.as_ref().map(|erasure| (erasure.place, erasure.erased_at));
        let ending = ending.map(|(place, ending)| (place, ending.revoked_at));
        ending.into_iter().chain(erasure).min_by_key(|(place, at)| (*at, *place))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.erasure.is_none() && self.kinds.iter().all(|kind| kind.endings.is_empty() && kind.hold_until.is_none())
    }

    /// Joins what another node, or a later record, knows.
    pub fn merge(&mut self, other: Self) {
        for (mine, other) in self.kinds.iter_mut().zip(other.kinds) {
            mine.merge(other);
        }
        match (&mut self.erasure, other.erasure) {
            (Some(mine), Some(other)) => mine.merge(*other),
            (mine, other) => *mine = mine.take().or(other),
        }
    }

    /// Forgets what has passed its `retain_until`.
    pub fn prune(&mut self, now: Timestamp) {
        for kind in &mut self.kinds {
            kind.prune(now);
        }
    }
}
