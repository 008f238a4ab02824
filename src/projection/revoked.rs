//! Revocations by tenant: a question about one tenant reads nothing of another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::RwLock;

use super::handle::{Handle, SubjectHandle};
use super::{InForce, Projection};
use crate::domain::{Credential, CredentialKey, Kind, Kinds, Revocation, Revocations, Tenant, Timestamp};

/// The place of a walk over a tenant's revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationMark {
    /// After that credential.
    Credential(u32),
    /// After that subject.
    Subject(u32),
}

/// Four bytes for each credential and subject with a revocation, and as much again for the tree; nothing for all
/// others.
#[derive(Default)]
struct RevokedThere {
    credentials: BTreeSet<u32>,
    subjects: BTreeSet<u32>,
    /// Whether there is a revocation that no handle leads to, because memory was full. It stays so until the next
    /// start.
    any_alone: bool,
    /// Whether a cohort was revoked: only under no tenant, because one may reach several.
    any_cohort: bool,
}

/// All of them, by tenant; revocations that hold in every tenant are under none.
#[derive(Default)]
pub(super) struct RevocationsByTenant(RwLock<BTreeMap<Option<Tenant>, RevokedThere>>);

impl RevocationsByTenant {
    pub(super) fn add(&self, tenants: &[Option<Tenant>], credential: Option<Handle>) {
        if tenants.is_empty() {
            return;
        }
        let mut revoked = self.0.write();
        for tenant in tenants {
            let there = revoked.entry(tenant.clone()).or_default();
            match credential {
                Some(credential) => drop(there.credentials.insert(credential.bits())),
                None => there.any_alone = true,
            }
        }
    }

    pub(super) fn remove(&self, tenants: &[Option<Tenant>], credential: Handle) {
        tenants.iter().for_each(|tenant| self.change(tenant, |there| there.credentials.remove(&credential.bits())));
    }

    pub(super) fn add_subject(&self, tenant: &Tenant, subject: Option<SubjectHandle>) {
        let mut revoked = self.0.write();
        let there = revoked.entry(Some(tenant.clone())).or_default();
        match subject {
            Some(subject) => drop(there.subjects.insert(subject.bits())),
            None => there.any_alone = true,
        }
    }

    pub(super) fn remove_subject(&self, tenant: Tenant, subject: SubjectHandle) {
        self.change(&Some(tenant), |there| there.subjects.remove(&subject.bits()));
    }

    fn change(&self, tenant: &Option<Tenant>, change: impl FnOnce(&mut RevokedThere) -> bool) {
        let mut revoked = self.0.write();
        let Some(there) = revoked.get_mut(tenant) else { return };
        change(there);
        if there.credentials.is_empty() && there.subjects.is_empty() && !there.any_alone && !there.any_cohort {
            revoked.remove(tenant);
        }
    }

    pub(super) fn set_cohorts(&self, any: bool) {
        if any {
            self.0.write().entry(None).or_default().any_cohort = true;
        } else {
            self.change(&None, |there| std::mem::replace(&mut there.any_cohort, false));
        }
    }

    /// The first tenant after that one with a revocation; none comes before all tenants.
    fn after(&self, tenant: Option<&Option<Tenant>>) -> Option<Option<Tenant>> {
        let start = tenant.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.read().range((start, Bound::Unbounded)).next().map(|(tenant, _)| tenant.clone())
    }

    fn has_alone(&self, tenant: &Option<Tenant>) -> bool {
        self.0.read().get(tenant).is_some_and(|there| there.any_alone)
    }

    fn page(
        &self,
        tenant: &Option<Tenant>,
        kinds: Kinds,
        after: Option<RevocationMark>,
        limit: usize,
    ) -> Vec<RevocationMark> {
        let revoked = self.0.read();
        let Some(RevokedThere { credentials, subjects, .. }) = revoked.get(tenant) else { return Vec::new() };
        let credentials = kinds.iter().flat_map(|kind| of_kind(credentials, kind, after));
        let subjects = match after {
            Some(RevocationMark::Subject(after)) => subjects.range((Bound::Excluded(after), Bound::Unbounded)),
            Some(RevocationMark::Credential(_)) | None => subjects.range(..),
        };
        credentials.chain(subjects.map(|subject| RevocationMark::Subject(*subject))).take(limit).collect()
    }
}

/// One kind at a time, so that very many of one need not be passed to get to another.
fn of_kind(all: &BTreeSet<u32>, kind: Kind, after: Option<RevocationMark>) -> impl Iterator<Item = RevocationMark> {
    let of = Handle::all_of(kind);
    let rest = match after {
        None => Some((Bound::Included(*of.start()), Bound::Included(*of.end()))),
        Some(RevocationMark::Credential(after)) if after < *of.start() => {
            Some((Bound::Included(*of.start()), Bound::Included(*of.end())))
        }
        Some(RevocationMark::Credential(after)) if after < *of.end() => {
            Some((Bound::Excluded(after), Bound::Included(*of.end())))
        }
        Some(RevocationMark::Credential(_) | RevocationMark::Subject(_)) => None,
    };
    rest.map(|range| all.range(range)).into_iter().flatten().map(|handle| RevocationMark::Credential(*handle))
}

/// The tenants in which a credential was revoked.
pub(super) fn tenants_of(revocations: &Revocations) -> Vec<Option<Tenant>> {
    revocations.iter().map(|revocation| revocation.whose.tenant.clone()).collect()
}

impl Projection {
    /// The next tenant with a revocation. First comes none, whose revocations hold in every tenant.
    pub fn revoked_after(&self, tenant: Option<&Option<Tenant>>) -> Option<Option<Tenant>> {
        self.revoked.after(tenant)
    }

    /// The revocations in that tenant that are in force at `now`, of at most `limit` credentials of these kinds and
    /// subjects after that mark; and the next mark. Without a tenant those that hold in every one, and those of cohorts,
    /// which may reach several.
    pub fn revocations(
        &self,
        tenant: &Option<Tenant>,
        kinds: Kinds,
        after: Option<RevocationMark>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<InForce>, Option<RevocationMark>) {
        let marks = self.revoked.page(tenant, kinds, after, limit);
        let mut revocations = Vec::new();
        if after.is_none() && self.revoked.has_alone(tenant) {
            self.revocations_alone(tenant, kinds, now, &mut revocations);
        }
        if after.is_none() && tenant.is_none() {
            let mut cohorts = (**self.cohorts.read()).clone();
            cohorts.prune(now);
            revocations.extend(cohorts.iter().map(|(cohort, state)| InForce::Cohort(cohort, state.clone())));
        }
        for mark in &marks {
            match mark {
                RevocationMark::Credential(bits) => {
                    self.revocations_of(Handle::from_bits(*bits), tenant, now, &mut revocations)
                }
                RevocationMark::Subject(bits) => revocations.extend(self.subject_revocation(*bits, tenant, now)),
            }
        }
        (revocations, marks.last().copied().filter(|_| marks.len() == limit))
    }

    fn revocations_of(&self, handle: Handle, tenant: &Option<Tenant>, now: Timestamp, revocations: &mut Vec<InForce>) {
        let in_force = |revocation: &&Revocation| revocation.whose.tenant == *tenant && now < revocation.retain_until;
        let first = revocations.len();
        let kind = handle.kind();
        let mut take = |id, credential: &Credential| {
            let found = credential.revocations.iter().filter(in_force);
            let key = CredentialKey { kind, id };
            revocations
                .extend(found.map(|revocation| InForce::Credential(key, credential.clone(), revocation.clone())));
        };
        // A packed credential has no revocations.
        match kind {
            Kind::Ticket => self.tickets.store.apart_at(handle, &mut take),
            Kind::Session => self.sessions.store.apart_at(handle, &mut take),
            Kind::Token => self.tokens.apart_at(handle, &mut take),
        }
        // Only now: their shard must not be locked while others are read.
        revocations[first..].iter_mut().for_each(|revocation| self.name_by_id(revocation));
    }

    /// The revocations that no handle leads to. There are some only if memory was full, and then they come all at once.
    fn revocations_alone(&self, of: &Option<Tenant>, kinds: Kinds, now: Timestamp, revocations: &mut Vec<InForce>) {
        let in_force = |revocation: &&Revocation| revocation.whose.tenant == *of && now < revocation.retain_until;
        let mut found = Vec::new();
        let mut take = |key, credential: &Credential| {
            let there = credential.revocations.iter().filter(in_force);
            found.extend(there.map(|revocation| InForce::Credential(key, credential.clone(), revocation.clone())));
        };
        self.tickets.store.visit_revoked_alone(&mut take);
        self.sessions.store.visit_revoked_alone(&mut take);
        self.tokens.visit_revoked_alone(&mut take);
        found.retain(|one| match one {
            InForce::Credential(key, ..) => kinds.contains(key.kind),
            InForce::Subject(..) | InForce::Cohort(..) => true,
        });
        // Only now: the visited shard must not be locked while others are read.
        found.iter_mut().for_each(|revocation| self.name_by_id(revocation));
        revocations.append(&mut found);
        self.shared.subjects.visit_alone(|tenant, subject, state| {
            let mut state = state.clone();
            state.prune(now);
            if of.as_ref() == Some(tenant) && !state.is_empty() {
                revocations.push(InForce::Subject(tenant.clone(), subject.clone(), state));
            }
        });
    }

    fn subject_revocation(&self, bits: u32, of: &Option<Tenant>, now: Timestamp) -> Option<InForce> {
        let (tenant, subject, mut state) = self.shared.subjects.revoked(SubjectHandle::from_bits(bits)?)?;
        state.prune(now);
        // The place may belong to another tenant since it was looked up.
        (of.as_ref() == Some(&tenant) && !state.is_empty()).then_some(InForce::Subject(tenant, subject, state))
    }
}
