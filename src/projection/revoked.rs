//! What was ended, by the tenant that it was ended in: whoever asks what is in force in one tenant looks at nothing of another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::RwLock;

use super::handle::{Handle, SubjectHandle};
use super::store::Held;
use super::{InForce, Projection};
use crate::domain::{CredentialKey, Ending, Endings, Kind, Kinds, Lasting, Tenant, Timestamp};

/// Where a walk over a tenant's endings stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndingMark {
    /// Behind that credential.
    Credential(u32),
    /// Behind that subject.
    Subject(u32),
}

/// Four bytes for each credential and subject of which something was ended, and as much again for the tree; nothing for all others.
#[derive(Default)]
struct Ended {
    credentials: BTreeSet<u32>,
    subjects: BTreeSet<u32>,
    /// Whether anything was ended that no handle leads to, because memory was full. It stays so until the next start.
    any_alone: bool,
}

/// All of it, by tenant; what ends a credential whosever it is stands under none.
#[derive(Default)]
pub(super) struct Revoked(RwLock<BTreeMap<Option<Tenant>, Ended>>);

impl Revoked {
    pub(super) fn add(&self, tenants: &[Option<Tenant>], credential: Option<Handle>) {
        if tenants.is_empty() {
            return;
        }
        let mut revoked = self.0.write();
        for tenant in tenants {
            let ended = revoked.entry(tenant.clone()).or_default();
            match credential {
                Some(credential) => drop(ended.credentials.insert(credential.bits())),
                None => ended.any_alone = true,
            }
        }
    }

    pub(super) fn remove(&self, tenants: &[Option<Tenant>], credential: Handle) {
        tenants.iter().for_each(|tenant| self.change(tenant, |ended| ended.credentials.remove(&credential.bits())));
    }

    pub(super) fn add_subject(&self, tenant: &Tenant, subject: Option<SubjectHandle>) {
        let mut revoked = self.0.write();
        let ended = revoked.entry(Some(tenant.clone())).or_default();
        match subject {
            Some(subject) => drop(ended.subjects.insert(subject.bits())),
            None => ended.any_alone = true,
        }
    }

    pub(super) fn remove_subject(&self, tenant: Tenant, subject: SubjectHandle) {
        self.change(&Some(tenant), |ended| ended.subjects.remove(&subject.bits()));
    }

    fn change(&self, tenant: &Option<Tenant>, change: impl FnOnce(&mut Ended) -> bool) {
        let mut revoked = self.0.write();
        let Some(ended) = revoked.get_mut(tenant) else { return };
        change(ended);
        if ended.credentials.is_empty() && ended.subjects.is_empty() && !ended.any_alone {
            revoked.remove(tenant);
        }
    }

    /// The first tenant behind that one in which something was ended; none comes before all others.
    fn after(&self, tenant: Option<&Option<Tenant>>) -> Option<Option<Tenant>> {
        let start = tenant.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.read().range((start, Bound::Unbounded)).next().map(|(tenant, _)| tenant.clone())
    }

    fn has_alone(&self, tenant: &Option<Tenant>) -> bool {
        self.0.read().get(tenant).is_some_and(|ended| ended.any_alone)
    }

    fn page(&self, tenant: &Option<Tenant>, kinds: Kinds, after: Option<EndingMark>, limit: usize) -> Vec<EndingMark> {
        let revoked = self.0.read();
        let Some(Ended { credentials, subjects, .. }) = revoked.get(tenant) else { return Vec::new() };
        let credentials = kinds.iter().flat_map(|kind| of_kind(credentials, kind, after));
        let subjects = match after {
            Some(EndingMark::Subject(after)) => subjects.range((Bound::Excluded(after), Bound::Unbounded)),
            Some(EndingMark::Credential(_)) | None => subjects.range(..),
        };
        credentials.chain(subjects.map(|subject| EndingMark::Subject(*subject))).take(limit).collect()
    }
}

/// A kind at a time, so that very many of one need not be passed to get to another.
fn of_kind(all: &BTreeSet<u32>, kind: Kind, after: Option<EndingMark>) -> impl Iterator<Item = EndingMark> {
    let of = Handle::all_of(kind);
    let rest = match after {
        None => Some((Bound::Included(*of.start()), Bound::Included(*of.end()))),
        Some(EndingMark::Credential(after)) if after < *of.start() => {
            Some((Bound::Included(*of.start()), Bound::Included(*of.end())))
        }
        Some(EndingMark::Credential(after)) if after < *of.end() => {
            Some((Bound::Excluded(after), Bound::Included(*of.end())))
        }
        Some(EndingMark::Credential(_) | EndingMark::Subject(_)) => None,
    };
    rest.map(|range| all.range(range)).into_iter().flatten().map(|handle| EndingMark::Credential(*handle))
}

/// The tenants in which a credential was ended.
pub(super) fn tenants_of(endings: &Endings) -> Vec<Option<Tenant>> {
    endings.iter().map(|ending| ending.whose.tenant.clone()).collect()
}

impl Projection {
    /// The tenant behind that one in which something was ended. First comes none, whose endings hold in every tenant.
    pub fn ended_after(&self, tenant: Option<&Option<Tenant>>) -> Option<Option<Tenant>> {
        self.revoked.after(tenant)
    }

    /// The endings in that tenant that are in force at `now`, of at most `limit` credentials of these kinds and subjects behind that
    /// mark; and where to go on. Without a tenant those that hold in every one.
    pub fn endings(
        &self,
        tenant: &Option<Tenant>,
        kinds: Kinds,
        after: Option<EndingMark>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<InForce>, Option<EndingMark>) {
        let marks = self.revoked.page(tenant, kinds, after, limit);
        let mut endings = Vec::new();
        if after.is_none() && self.revoked.has_alone(tenant) {
            self.endings_alone(tenant, kinds, now, &mut endings);
        }
        for mark in &marks {
            match mark {
                EndingMark::Credential(bits) => self.endings_of(Handle::from_bits(*bits), tenant, now, &mut endings),
                EndingMark::Subject(bits) => endings.extend(self.subject_ending(*bits, tenant, now)),
            }
        }
        (endings, marks.last().copied().filter(|_| marks.len() == limit))
    }

    fn endings_of(&self, handle: Handle, tenant: &Option<Tenant>, now: Timestamp, endings: &mut Vec<InForce>) {
        let in_force = |ending: &&Ending| ending.whose.tenant == *tenant && now < ending.retain_until;
        let first = endings.len();
        match handle.kind() {
            Kind::Ticket => self.tickets.store.at(handle, |held| {
                let Held::Apart(id, ticket) = held else { return };
                let found = ticket.endings.iter().filter(in_force);
                endings.extend(found.map(|ending| InForce::Ticket(id, ticket.issue.clone(), ending.clone())));
            }),
            kind => {
                let mut take = |id, lasting: &Lasting| {
                    let found = lasting.endings.iter().filter(in_force);
                    let key = CredentialKey { kind, id };
                    endings.extend(found.map(|ending| InForce::Lasting(key, lasting.clone(), ending.clone())));
                };
                if kind == Kind::Session {
                    self.sessions.store.at(handle, |held| match held {
                        Held::Apart(id, lasting) => take(id, lasting),
                        Held::Packed(_) => {}
                    })
                } else {
                    self.tokens.at(handle, |held| match held {
                        Held::Apart(id, lasting) => take(id, lasting),
                        Held::Packed(_) => {}
                    })
                }
            }
        };
        // Only now: their shard must not be held while others are looked into.
        endings[first..].iter_mut().for_each(|ending| self.name_by_id(ending));
    }

    /// The endings of what no handle leads to. There are some only where memory is full, and then they come all at once.
    fn endings_alone(&self, of: &Option<Tenant>, kinds: Kinds, now: Timestamp, endings: &mut Vec<InForce>) {
        let in_force = |ending: &&Ending| ending.whose.tenant == *of && now < ending.retain_until;
        let mut found = Vec::new();
        self.tickets.store.visit_ended_alone(|key, ticket| {
            let ended = ticket.endings.iter().filter(in_force);
            found.extend(ended.map(|ending| InForce::Ticket(key.id, ticket.issue.clone(), ending.clone())));
        });
        let mut take = |key, lasting: &Lasting| {
            let ended = lasting.endings.iter().filter(in_force);
            found.extend(ended.map(|ending| InForce::Lasting(key, lasting.clone(), ending.clone())));
        };
        self.sessions.store.visit_ended_alone(&mut take);
        self.tokens.visit_ended_alone(&mut take);
        found.retain(|one| match one {
            InForce::Ticket(..) => kinds.contains(Kind::Ticket),
            InForce::Lasting(key, ..) => kinds.contains(key.kind),
            InForce::Subject(..) => true,
        });
        // Only now: what was visited must not be held while others are looked into.
        found.iter_mut().for_each(|ending| self.name_by_id(ending));
        endings.append(&mut found);
        self.shared.subjects.visit_alone(|tenant, subject, state| {
            let mut state = state.clone();
            state.prune(now);
            if of.as_ref() == Some(tenant) && !state.is_empty() {
                endings.push(InForce::Subject(tenant.clone(), subject.clone(), state));
            }
        });
    }

    fn subject_ending(&self, bits: u32, of: &Option<Tenant>, now: Timestamp) -> Option<InForce> {
        let (tenant, subject, mut state) = self.shared.subjects.ended(SubjectHandle::from_bits(bits)?)?;
        state.prune(now);
        // The place may have become another tenant's since it was looked up.
        (of.as_ref() == Some(&tenant) && !state.is_empty()).then_some(InForce::Subject(tenant, subject, state))
    }
}
