//! Subjects: revocations of everything that one had, holds, and erasures.

use std::collections::{BTreeMap, BTreeSet};

use super::credential::Kind;
use super::ids::{Origin, RecordId, Sequence};
use super::time::Timestamp;

/// A generation: for each origin, the sequence of its latest revocation of the subject, or of a cohort, that names the
/// kind.
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

/// One origin's latest revocation of everything that a subject or cohort has of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRevocation {
    /// The record's place in its origin.
    pub sequence: Sequence,
    /// When it was recorded.
    pub revoked_at: Timestamp,
    /// Whole seconds since 1970: a foreign token that was issued then or earlier is revoked.
    pub not_before: u64,
    /// Until when the entry is kept.
    pub retain_until: Timestamp,
}

impl KindRevocation {
    fn merge(&mut self, other: Self) {
        self.sequence = self.sequence.max(other.sequence);
        self.revoked_at = self.revoked_at.max(other.revoked_at);
        self.not_before = self.not_before.max(other.not_before);
        self.retain_until = self.retain_until.max(other.retain_until);
    }
}

/// The revocation of what a subject had been issued before an instant, such as a change of its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeRevocation {
    /// What was issued earlier is revoked.
    pub issued_before: Timestamp,
    /// The record.
    pub place: RecordId,
    /// When it was recorded.
    pub revoked_at: Timestamp,
    /// Until when the entry is kept.
    pub retain_until: Timestamp,
}

impl AgeRevocation {
    /// Whether it reaches everything that the other does, and is kept as long.
    fn covers(&self, other: &Self) -> bool {
        self.place.origin == other.place.origin
            && self.place.sequence >= other.place.sequence
            && self.issued_before >= other.issued_before
            && self.retain_until >= other.retain_until
    }

    /// The record, and when it was made, if that reaches a credential of that age and generation: one whose issuer's node
    /// knew of the record was issued afterwards, whatever its clock said.
    fn reaches(&self, generation: &Generation, issued_at: Timestamp) -> Option<(RecordId, Timestamp)> {
        let RecordId { origin, sequence } = self.place;
        let is_known = generation.get(origin).is_some_and(|own| own >= sequence);
        (issued_at < self.issued_before && !is_known).then_some((self.place, self.revoked_at))
    }
}

/// Revocations by age, none of which covers another one. Nearly always there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgeRevocations(Vec<AgeRevocation>);

impl AgeRevocations {
    /// The revocation of one record.
    pub fn one(revocation: AgeRevocation) -> Self {
        Self(vec![revocation])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The revocations, in the order of their records.
    pub fn iter(&self) -> impl Iterator<Item = &AgeRevocation> {
        self.0.iter()
    }

    /// The earliest record that revokes a credential of that generation and age.
    fn revokes(&self, generation: &Generation, issued_at: Timestamp) -> Option<(RecordId, Timestamp)> {
        self.0.iter().filter_map(|one| one.reaches(generation, issued_at)).min_by_key(|(place, at)| (*at, *place))
    }

    /// The earliest record that revokes a token of a foreign issuer, which carries no generation.
    fn revokes_foreign(&self, issued_at: Timestamp) -> Option<(RecordId, Timestamp)> {
        self.revokes(&Generation::default(), issued_at)
    }

    fn merge(&mut self, other: Self) {
        for revocation in other.0 {
            if self.0.iter().any(|mine| mine.covers(&revocation)) {
                continue;
            }
            self.0.retain(|mine| !revocation.covers(mine));
            let at = self.0.partition_point(|mine| mine.place < revocation.place);
            self.0.insert(at, revocation);
        }
    }

    fn prune(&mut self, now: Timestamp) {
        self.0.retain(|revocation| now < revocation.retain_until);
    }
}

impl FromIterator<AgeRevocation> for AgeRevocations {
    fn from_iter<T: IntoIterator<Item = AgeRevocation>>(revocations: T) -> Self {
        let mut all = Self::default();
        all.merge(Self(revocations.into_iter().collect()));
        all
    }
}

/// The folded state of a subject or cohort for one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindState {
    /// Each origin's latest revocation.
    pub revocations: BTreeMap<Origin, KindRevocation>,
    /// The revocations of what is older than an instant. A credential need not reach them by its generation.
    pub by_age: AgeRevocations,
    /// Until when nothing new is issued: a hold.
    pub hold_until: Option<Timestamp>,
}

impl KindState {
    /// The state in which nothing is known.
    const NOTHING: Self = Self { revocations: BTreeMap::new(), by_age: AgeRevocations(Vec::new()), hold_until: None };

    /// The generation that a credential must reach to be active.
    pub fn generation(&self) -> Generation {
        self.revocations.iter().map(|(origin, revocation)| (*origin, revocation.sequence)).collect()
    }

    /// The generation of a credential that is issued now: it reaches every revocation that is known here.
    pub fn known(&self) -> Generation {
        let mut known = self.generation();
        for AgeRevocation { place, .. } in self.by_age.iter() {
            known.merge(&Generation::from_iter([(place.origin, place.sequence)]));
        }
        known
    }

    /// The earliest revocation that a credential of that generation does not reach.
    pub fn revokes(&self, generation: &Generation) -> Option<(RecordId, &KindRevocation)> {
        let unreached = |(origin, revocation): &(&Origin, &KindRevocation)| {
            generation.get(**origin).is_none_or(|own| own < revocation.sequence)
        };
        self.revocations
            .iter()
            .filter(unreached)
            .map(|(origin, revocation)| (RecordId { origin: *origin, sequence: revocation.sequence }, revocation))
            .min_by_key(|(place, revocation)| (revocation.revoked_at, *place))
    }

    /// The revocation that reaches a token of a foreign issuer, which carries no generation: one that was made no
    /// earlier than `leeway_seconds` before the token's `iat`, or any if the token does not say when it was issued.
    pub fn revokes_foreign(
        &self,
        issued_at_seconds: Option<u64>,
        leeway_seconds: u64,
    ) -> Option<(RecordId, &KindRevocation)> {
        let inactive = |(_, revocation): &(&Origin, &KindRevocation)| {
            issued_at_seconds.is_none_or(|issued_at| issued_at <= revocation.not_before.saturating_add(leeway_seconds))
        };
        self.revocations
            .iter()
            .filter(inactive)
            .map(|(origin, revocation)| (RecordId { origin: *origin, sequence: revocation.sequence }, revocation))
            .min_by_key(|(place, revocation)| (revocation.revoked_at, *place))
    }

    /// Whether nothing of this kind is issued at `now`.
    pub fn on_hold(&self, now: Timestamp) -> bool {
        self.hold_until.is_some_and(|until| now < until)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.revocations.is_empty() && self.by_age.is_empty() && self.hold_until.is_none()
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        for (origin, revocation) in other.revocations {
            self.revocations.entry(origin).and_modify(|mine| mine.merge(revocation)).or_insert(revocation);
        }
        self.by_age.merge(other.by_age);
        self.hold_until = self.hold_until.max(other.hold_until);
    }

    /// Whether there is a revocation, of everything or by age.
    pub fn is_ever_revoked(&self) -> bool {
        !self.revocations.is_empty() || !self.by_age.is_empty()
    }

    /// Whether anything of it is to be removed at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.revocations.values().any(|revocation| revocation.retain_until <= now)
            || self.by_age.iter().any(|revocation| revocation.retain_until <= now)
            || self.hold_until.is_some_and(|until| until <= now)
    }

    /// Removes entries that have passed their `retain_until`.
    pub fn prune(&mut self, now: Timestamp) {
        self.revocations.retain(|_, revocation| now < revocation.retain_until);
        self.by_age.prune(now);
        self.hold_until = self.hold_until.filter(|until| now < *until);
    }
}

/// A subject's erasure: permanent, and kept permanently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The record that erased it first.
    pub place: RecordId,
    /// When that was recorded.
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

/// The folded state of a subject, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectState {
    /// In the order of [`Kind::ALL`], if one of them is not empty: nearly always all are, and every judgement and decision
    /// copies this.
    kinds: Option<Box<[KindState; 3]>>,
    /// Its erasure, if it was erased.
    pub erasure: Option<Box<Erasure>>,
}

static NOTHING: KindState = KindState::NOTHING;

impl SubjectState {
    /// The state with these kinds, in the order of [`Kind::ALL`].
    pub fn new(kinds: [KindState; 3], erasure: Option<Box<Erasure>>) -> Self {
        let is_empty = kinds.iter().all(KindState::is_empty);
        Self { kinds: (!is_empty).then(|| Box::new(kinds)), erasure }
    }

    /// The state for that kind.
    pub fn of(&self, kind: Kind) -> &KindState {
        self.kinds.as_ref().map_or(&NOTHING, |kinds| &kinds[kind.index()])
    }

    /// Whether the subject may get no credential of that kind at `now`.
    pub fn on_hold(&self, kind: Kind, now: Timestamp) -> bool {
        self.of(kind).on_hold(now)
    }

    /// The earliest record that revokes a credential of that kind, generation and age. After an erasure no generation
    /// reaches far enough.
    pub fn revokes(&self, kind: Kind, generation: &Generation, issued_at: Timestamp) -> Option<(RecordId, Timestamp)> {
        let state = self.of(kind);
        self.earliest(state.revokes(generation), state.by_age.revokes(generation, issued_at))
    }

    /// The earliest record that revokes a foreign token: see [`KindState::revokes_foreign`].
    pub fn revokes_foreign(
        &self,
        issued_at_seconds: Option<u64>,
        leeway_seconds: u64,
    ) -> Option<(RecordId, Timestamp)> {
        let state = self.of(Kind::Token);
        let issued_at = issued_at_seconds.unwrap_or_default().saturating_sub(leeway_seconds).saturating_mul(1_000);
        let issued_at = Timestamp::default().plus_millis(issued_at);
        let by_age = state.by_age.revokes_foreign(issued_at);
        self.earliest(state.revokes_foreign(issued_at_seconds, leeway_seconds), by_age)
    }

    fn earliest(
        &self,
        revocation: Option<(RecordId, &KindRevocation)>,
        by_age: Option<(RecordId, Timestamp)>,
    ) -> Option<(RecordId, Timestamp)> {
        let erasure = self.erasure.as_ref().map(|erasure| (erasure.place, erasure.erased_at));
        let revocation = revocation.map(|(place, revocation)| (place, revocation.revoked_at));
        revocation.into_iter().chain(by_age).chain(erasure).min_by_key(|(place, at)| (*at, *place))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.erasure.is_none() && self.kinds.is_none()
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.kinds, other.kinds) {
            (Some(mine), Some(other)) => mine.iter_mut().zip(*other).for_each(|(mine, other)| mine.merge(other)),
            (mine, other) => *mine = mine.take().or(other),
        }
        match (&mut self.erasure, other.erasure) {
            (Some(mine), Some(other)) => mine.merge(*other),
            (mine, other) => *mine = mine.take().or(other),
        }
    }

    /// Removes entries that have passed their `retain_until`.
    pub fn prune(&mut self, now: Timestamp) {
        let Some(kinds) = &mut self.kinds else { return };
        kinds.iter_mut().for_each(|kind| kind.prune(now));
        if kinds.iter().all(KindState::is_empty) {
            self.kinds = None;
        }
    }
}
