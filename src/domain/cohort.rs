//! Cohorts: credentials that have more in common than their subject, and can be revoked together.
//!
//! A cohort is revoked as a subject is: by generation. The revocation reaches what was issued before its issuer's node
//! had heard of it, and nothing that was issued afterwards. A credential has one generation for its subject and all of
//! its cohorts: each origin's records are heard of in order, so a node that has heard of one has heard of all before it.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use super::credential::{Issue, IssuedAs, Kind};
use super::ids::{ApplicationId, Issuer, KeyId, Origin, RecordId, Sequence, Tenant};
use super::subject::{Generation, KindState};
use super::time::Timestamp;

/// A cohort of credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cohort {
    /// Everything that an application issued or imported.
    Application(ApplicationId),
    /// The JWTs that a key of this ledger signed.
    Key(KeyId),
    /// The JWTs of an issuer: this ledger, or one that it trusts.
    Issuer(Issuer),
    /// Everything in a tenant.
    Tenant(Tenant),
}

impl Cohort {
    /// What it has in common, and the name of that.
    pub fn named(&self) -> (&'static str, String) {
        match self {
            Self::Application(id) => ("application", id.to_string()),
            Self::Key(id) => ("key", id.as_str().to_owned()),
            Self::Issuer(issuer) => ("issuer", issuer.as_str().to_owned()),
            Self::Tenant(tenant) => ("tenant", tenant.as_str().to_owned()),
        }
    }
}

/// The cohorts that one credential belongs to.
#[derive(Clone, Copy, Debug)]
pub struct CohortsOf<'a> {
    pub tenant: &'a Tenant,
    /// The application that issued it, if one did.
    pub application: Option<ApplicationId>,
    /// Of a JWT: its issuer.
    pub issuer: Option<&'a Issuer>,
    /// Of a JWT of this ledger: the key that signed it.
    pub key: Option<&'a KeyId>,
}

impl<'a> CohortsOf<'a> {
    /// The cohorts of a credential whose issue is known.
    pub fn issue(issue: &'a Issue) -> Self {
        let (issuer, key) = match &issue.name {
            IssuedAs::Secret(_) => (None, None),
            IssuedAs::Jwt(jwt) => (jwt.name.issuer(), jwt.key.as_ref()),
        };
        Self { tenant: &issue.tenant, application: issue.application, issuer, key }
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Cohort> {
        let application = self.application.map(Cohort::Application);
        let key = self.key.cloned().map(Cohort::Key);
        let issuer = self.issuer.cloned().map(Cohort::Issuer);
        [application, key, issuer, Some(Cohort::Tenant(self.tenant.clone()))].into_iter().flatten()
    }

    /// Whether that cohort is one of them.
    pub fn contains(self, cohort: &Cohort) -> bool {
        match cohort {
            Cohort::Application(id) => self.application == Some(*id),
            Cohort::Key(id) => self.key == Some(id),
            Cohort::Issuer(issuer) => self.issuer == Some(issuer),
            Cohort::Tenant(tenant) => self.tenant == tenant,
        }
    }

    /// The cohorts of a credential with a secret.
    pub const fn with_secret(tenant: &'a Tenant, application: Option<ApplicationId>) -> Self {
        Self { tenant, application, issuer: None, key: None }
    }
}

/// The folded state of a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortState {
    /// In the order of [`Kind::ALL`].
    pub kinds: [KindState; 3],
    /// The tenants that it can reach, each until when that is kept; none stands for all of them.
    pub reach: BTreeMap<Option<Tenant>, Timestamp>,
    /// Of a key that was withdrawn. No generation reaches that.
    pub withdrawal: Option<Withdrawal>,
}

/// The withdrawal of a key, by the earliest record if there are several. It is kept permanently: a thief who has the key can
/// sign a token of any life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawal {
    pub withdrawn_at: Timestamp,
    pub place: RecordId,
}

impl CohortState {
    /// The state for that kind.
    pub const fn of(&self, kind: Kind) -> &KindState {
        &self.kinds[kind.index()]
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        for (mine, other) in self.kinds.iter_mut().zip(other.kinds) {
            mine.merge(other);
        }
        for (tenant, until) in other.reach {
            let mine = self.reach.entry(tenant).or_default();
            *mine = until.max(*mine);
        }
        self.withdrawal = self.withdrawal.into_iter().chain(other.withdrawal).min();
    }

    /// Whether anything of it is to be removed at `now`.
    fn is_due(&self, now: Timestamp) -> bool {
        self.reach.values().any(|until| *until <= now) || self.kinds.iter().any(|kind| kind.is_due(now))
    }

    fn prune(&mut self, now: Timestamp) {
        for kind in &mut self.kinds {
            kind.prune(now);
        }
        self.reach.retain(|_, until| now < *until);
    }

    fn is_empty(&self) -> bool {
        self.withdrawal.is_none() && self.kinds.iter().all(KindState::is_empty)
    }
}

/// The cohorts that were revoked. Nearly always there are none, and never many: a caller that revokes one may revoke
/// everything in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedCohorts {
    applications: BTreeMap<ApplicationId, Arc<CohortState>>,
    keys: BTreeMap<KeyId, Arc<CohortState>>,
    issuers: BTreeMap<Issuer, Arc<CohortState>>,
    tenants: BTreeMap<Tenant, Arc<CohortState>>,
}

/// The cohorts that were revoked, durably or in the batch that is being decided: looked up in both, because to join them
/// would cost a copy with every command.
#[derive(Clone, Debug, Default)]
pub struct Cohorts {
    durable: Option<Arc<RevokedCohorts>>,
    pending: Option<Arc<RevokedCohorts>>,
}

impl Cohorts {
    /// These alone.
    pub const fn durable(durable: Arc<RevokedCohorts>) -> Self {
        Self { durable: Some(durable), pending: None }
    }

    /// Those, and the pending ones of another view.
    #[must_use]
    pub fn with_pending(self, pending: Self) -> Self {
        Self { pending: pending.durable, ..self }
    }

    /// The earliest record that revokes a credential of that kind, generation and cohorts.
    pub fn revokes(
        &self,
        kind: Kind,
        cohorts: CohortsOf<'_>,
        generation: &Generation,
    ) -> Option<(RecordId, Timestamp)> {
        self.earliest(|layer| layer.revokes(kind, cohorts, generation))
    }

    /// The earliest record that revokes a token of a foreign issuer: see [`KindState::revokes_foreign`].
    pub fn revokes_foreign(
        &self,
        cohorts: CohortsOf<'_>,
        issued_at_seconds: Option<u64>,
        leeway_seconds: u64,
    ) -> Option<(RecordId, Timestamp)> {
        self.earliest(|layer| layer.revokes_foreign(cohorts, issued_at_seconds, leeway_seconds))
    }

    /// The state, by kind, of each cohort that was revoked among these.
    pub fn of(&self, kind: Kind, cohorts: CohortsOf<'_>) -> impl Iterator<Item = &KindState> {
        self.layers().flat_map(move |layer| layer.of(kind, cohorts))
    }

    /// The state, by kind, of what that application issued, if that was revoked.
    pub fn of_application(&self, kind: Kind, id: ApplicationId) -> impl Iterator<Item = &KindState> {
        self.layers().filter_map(move |layer| layer.applications.get(&id)).map(move |state| state.of(kind))
    }

    /// Whether a cohort gets no credential of that kind at `now`.
    pub fn on_hold(&self, kind: Kind, cohorts: CohortsOf<'_>, now: Timestamp) -> bool {
        self.of(kind, cohorts).any(|state| state.on_hold(now))
    }

    /// The record that withdrew that key, if it was withdrawn.
    pub fn withdrawn_by(&self, key: &KeyId) -> Option<RecordId> {
        self.layers().find_map(|layer| layer.keys.get(key)?.withdrawal).map(|withdrawal| withdrawal.place)
    }

    fn layers(&self) -> impl Iterator<Item = &RevokedCohorts> {
        self.durable.iter().chain(&self.pending).map(|layer| &**layer)
    }

    fn earliest(
        &self,
        revokes: impl Fn(&RevokedCohorts) -> Option<(RecordId, Timestamp)>,
    ) -> Option<(RecordId, Timestamp)> {
        self.layers().filter_map(revokes).min_by_key(|(place, at)| (*at, *place))
    }
}

impl RevokedCohorts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let Self { applications, keys, issuers, tenants } = self;
        applications.is_empty() && keys.is_empty() && issuers.is_empty() && tenants.is_empty()
    }

    /// The earliest record that revokes a credential of that kind, generation and cohorts.
    fn revokes(&self, kind: Kind, cohorts: CohortsOf<'_>, generation: &Generation) -> Option<(RecordId, Timestamp)> {
        let by_generation = self.states(cohorts).filter_map(|state| state.of(kind).revokes(generation));
        let by_generation = by_generation.map(|(place, revocation)| (revocation.revoked_at, place));
        let withdrawn = self.states(cohorts).filter_map(|state| state.withdrawal);
        let withdrawn = withdrawn.map(|withdrawal| (withdrawal.withdrawn_at, withdrawal.place));
        by_generation.chain(withdrawn).min().map(|(at, place)| (place, at))
    }

    /// The earliest record that revokes a token of a foreign issuer: see [`KindState::revokes_foreign`].
    fn revokes_foreign(
        &self,
        cohorts: CohortsOf<'_>,
        issued_at_seconds: Option<u64>,
        leeway_seconds: u64,
    ) -> Option<(RecordId, Timestamp)> {
        let revokes = |state: &'_ CohortState| {
            let (place, revocation) = state.of(Kind::Token).revokes_foreign(issued_at_seconds, leeway_seconds)?;
            Some((revocation.revoked_at, place))
        };
        self.states(cohorts).filter_map(revokes).min().map(|(at, place)| (place, at))
    }

    /// The state, by kind, of each cohort that was revoked among these.
    fn of(&self, kind: Kind, cohorts: CohortsOf<'_>) -> impl Iterator<Item = &KindState> {
        self.states(cohorts).map(move |state| state.of(kind))
    }

    /// The cohorts, each with its state.
    pub fn iter(&self) -> impl Iterator<Item = (Cohort, &CohortState)> {
        let applications = self.applications.iter().map(|(id, state)| (Cohort::Application(*id), &**state));
        let keys = self.keys.iter().map(|(id, state)| (Cohort::Key(id.clone()), &**state));
        let issuers = self.issuers.iter().map(|(issuer, state)| (Cohort::Issuer(issuer.clone()), &**state));
        let tenants = self.tenants.iter().map(|(tenant, state)| (Cohort::Tenant(tenant.clone()), &**state));
        applications.chain(keys).chain(issuers).chain(tenants)
    }

    /// Joins the state of one cohort.
    pub fn join(&mut self, cohort: Cohort, state: CohortState) {
        match cohort {
            Cohort::Application(id) => join(&mut self.applications, id, state),
            Cohort::Key(id) => join(&mut self.keys, id, state),
            Cohort::Issuer(issuer) => join(&mut self.issuers, issuer, state),
            Cohort::Tenant(tenant) => join(&mut self.tenants, tenant, state),
        }
    }

    /// Removes entries that have passed their `retain_until`.
    pub fn prune(&mut self, now: Timestamp) {
        prune(&mut self.applications, now);
        prune(&mut self.keys, now);
        prune(&mut self.issuers, now);
        prune(&mut self.tenants, now);
    }

    fn states(&self, cohorts: CohortsOf<'_>) -> impl Iterator<Item = &CohortState> {
        let CohortsOf { tenant, application, issuer, key } = cohorts;
        [
            application.and_then(|id| self.applications.get(&id)),
            key.and_then(|key| self.keys.get(key)),
            issuer.and_then(|issuer| self.issuers.get(issuer)),
            self.tenants.get(tenant),
        ]
        .into_iter()
        .flatten()
        .map(|state| &**state)
    }
}

fn join<K: Ord>(states: &mut BTreeMap<K, Arc<CohortState>>, key: K, state: CohortState) {
    match states.entry(key) {
        Entry::Vacant(vacant) => drop(vacant.insert(Arc::new(state))),
        Entry::Occupied(mut own) => Arc::make_mut(own.get_mut()).merge(state),
    }
}

fn prune<K: Ord>(states: &mut BTreeMap<K, Arc<CohortState>>, now: Timestamp) {
    states.retain(|_, state| {
        if state.is_due(now) {
            Arc::make_mut(state).prune(now);
        }
        !state.is_empty()
    });
}

/// The generation of a credential that is issued now: all revocations of its subject and cohorts that are known here.
pub fn generation_now<S: Borrow<KindState>>(states: impl IntoIterator<Item = S>) -> Generation {
    let mut generation = Generation::default();
    // Most subjects have no revocations, and then there is nothing to join.
    for state in states {
        let state: &KindState = state.borrow();
        if state.is_ever_revoked() {
            generation.merge(&state.known());
        }
    }
    generation
}

/// The generation of a credential that was issued elsewhere at that instant and is imported now: it reaches the
/// revocations before the instant, and all of the application that imports it, to which it belongs only from now on.
///
/// An entry reaches every revocation of its origin with a lower sequence. So it is not beyond the first one that the
/// credential does not reach, which may have been recorded while the clock was ahead.
pub fn generation_at<S: Borrow<KindState>>(
    states: impl IntoIterator<Item = S>,
    of_importer: impl IntoIterator<Item = S>,
    issued_at_seconds: u64,
    leeway_seconds: u64,
) -> Generation {
    let mut reached: BTreeMap<Origin, BTreeSet<Sequence>> = BTreeMap::new();
    let mut unreached: BTreeMap<Origin, Sequence> = BTreeMap::new();
    for state in states {
        for (origin, revocation) in &state.borrow().revocations {
            if revocation.not_before.saturating_add(leeway_seconds) < issued_at_seconds {
                reached.entry(*origin).or_default().insert(revocation.sequence);
            } else {
                let first = unreached.entry(*origin).or_insert(revocation.sequence);
                *first = revocation.sequence.min(*first);
            }
        }
    }
    for (origin, sequence) in generation_now(of_importer).iter() {
        reached.entry(origin).or_default().insert(sequence);
    }
    let entry = |(origin, sequences): (Origin, BTreeSet<Sequence>)| {
        let bound = unreached.get(&origin);
        let last = sequences.into_iter().rfind(|sequence| bound.is_none_or(|bound| sequence < bound))?;
        Some((origin, last))
    };
    reached.into_iter().filter_map(entry).collect()
}
