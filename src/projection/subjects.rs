//! Subjects in shards: what was ended of each, and which credentials each has.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::RwLock;

use crate::domain::{CredentialId, Subject, SubjectState, Tenant, Timestamp};

pub(super) const SHARDS: usize = 256;

/// Credentials of one subject, in the order of their ids. Most subjects have one, and then it takes no memory of its own.
#[derive(Default)]
enum Ids {
    #[default]
    None,
    One(CredentialId),
    Few(Vec<CredentialId>),
    Many(BTreeSet<CredentialId>),
}

/// From this number on, inserting into a sorted vector costs more than a tree.
const FEW: usize = 32;

impl Ids {
    fn insert(&mut self, id: CredentialId) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(one) if *one == id => {}
            Self::One(one) => *self = Self::Few(if *one < id { vec![*one, id] } else { vec![id, *one] }),
            Self::Few(few) => {
                if let Err(at) = few.binary_search(&id) {
                    few.insert(at, id);
                }
                if few.len() > FEW {
                    *self = Self::Many(few.drain(..).collect());
                }
            }
            Self::Many(many) => drop(many.insert(id)),
        }
    }

    fn remove(&mut self, id: &CredentialId) {
        match self {
            Self::None => {}
            Self::One(one) => {
                if one == id {
                    *self = Self::None;
                }
            }
            Self::Few(few) => {
                few.retain(|other| other != id);
                match few[..] {
                    [] => *self = Self::None,
                    [one] => *self = Self::One(one),
                    _ => {}
                }
            }
            Self::Many(many) => {
                many.remove(id);
                if many.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn after(&self, after: Option<CredentialId>, limit: usize) -> Vec<CredentialId> {
        let beyond = |id: &&CredentialId| after.is_none_or(|after| **id > after);
        match self {
            Self::None => Vec::new(),
            Self::One(one) => Some(one).into_iter().filter(beyond).take(limit).copied().collect(),
            Self::Few(few) => few.iter().filter(beyond).take(limit).copied().collect(),
            Self::Many(many) => {
                let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
                many.range((start, std::ops::Bound::Unbounded)).take(limit).copied().collect()
            }
        }
    }
}

#[derive(Default)]
struct Entry {
    state: Option<Box<SubjectState>>,
    credentials: Ids,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.state.is_none() && self.credentials.is_empty()
    }
}

type Shard = HashMap<(Tenant, Subject), Entry>;

pub(super) struct Subjects {
    shards: Box<[RwLock<Shard>]>,
    hasher: DefaultHashBuilder,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: DefaultHashBuilder::default() }
    }
}

impl Subjects {
    pub(super) fn state(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        let key = (tenant.clone(), subject.clone());
        let shard = self.shard(&key).read();
        shard.get(&key).and_then(|entry| entry.state.as_deref().cloned()).unwrap_or_default()
    }

    pub(super) fn join(&self, tenant: Tenant, subject: Subject, patch: SubjectState) {
        let key = (tenant, subject);
        let mut shard = self.shard(&key).write();
        shard.entry(key).or_default().state.get_or_insert_default().merge(patch);
    }

    pub(super) fn add(&self, tenant: Tenant, subject: Subject, id: CredentialId) {
        let key = (tenant, subject);
        self.shard(&key).write().entry(key).or_default().credentials.insert(id);
    }

    pub(super) fn remove(&self, tenant: Tenant, subject: Subject, id: CredentialId) {
        let key = (tenant, subject);
        let mut shard = self.shard(&key).write();
        if let Some(entry) = shard.get_mut(&key) {
            entry.credentials.remove(&id);
            if entry.is_empty() {
                shard.remove(&key);
            }
        }
    }

    /// The subject's credentials beyond that id, in the order of their ids.
    pub(super) fn credentials(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Vec<CredentialId> {
        let key = (tenant.clone(), subject.clone());
        self.shard(&key).read().get(&key).map(|entry| entry.credentials.after(after, limit)).unwrap_or_default()
    }

    /// Forgets what is over in a shard.
    pub(super) fn sweep(&self, shard: usize, now: Timestamp) {
        self.shards[shard].write().retain(|_, entry| {
            if let Some(state) = &mut entry.state {
                state.prune(now);
                if state.is_empty() {
                    entry.state = None;
                }
            }
            !entry.is_empty()
        });
    }

    /// Visits every subject of a shard of which something was ended.
    pub(super) fn visit(&self, shard: usize, mut visit: impl FnMut(&Tenant, &Subject, &SubjectState)) {
        for ((tenant, subject), entry) in self.shards[shard].read().iter() {
            if let Some(state) = &entry.state {
                visit(tenant, subject, state);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn shard(&self, key: &(Tenant, Subject)) -> &RwLock<Shard> {
        &self.shards[(self.hasher.hash_one(key) >> 32) as usize % SHARDS]
    }
}
