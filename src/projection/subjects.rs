//! Subjects in shards: what was ended of each, and which credentials each has.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::domain::{CredentialId, CredentialKey, Kind, Kinds, Subject, SubjectState, Tenant, Timestamp};

pub(super) const SHARDS: usize = 256;

/// Credentials of one subject, in the order of their ids. Most subjects have one, and then it takes no memory of its own.
#[derive(Default)]
enum Ids {
    #[default]
    None,
    One(CredentialKey),
    Few(Vec<CredentialKey>),
    Many(BTreeSet<CredentialKey>),
}

/// From this number on, inserting into a sorted vector costs more than a tree.
const FEW: usize = 32;

impl Ids {
    fn insert(&mut self, id: CredentialKey) {
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

    fn remove(&mut self, id: &CredentialKey) {
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

    /// Those of the kinds beyond that one, in order.
    fn after(&self, kinds: Kinds, after: Option<CredentialKey>, limit: usize) -> Vec<CredentialKey> {
        let wanted = |key: &&CredentialKey| kinds.contains(key.kind) && after.is_none_or(|after| **key > after);
        match self {
            Self::None => Vec::new(),
            Self::One(one) => Some(one).into_iter().filter(wanted).take(limit).copied().collect(),
            Self::Few(few) => few.iter().filter(wanted).take(limit).copied().collect(),
            Self::Many(many) => {
                // Kind by kind, so that a hundred thousand of one do not have to be passed to get to another.
                let of_kind = |kind| {
                    let first = CredentialKey { kind, id: CredentialId::from_bytes([0; 16]) };
                    let last = CredentialKey { kind, id: CredentialId::from_bytes([255; 16]) };
                    let start = after.map_or(Bound::Included(first), |after| {
                        if after < first { Bound::Included(first) } else { Bound::Excluded(after.min(last)) }
                    });
                    // A range must not start beyond its end.
                    let some = after.is_none_or(|after| after < last);
                    some.then(|| many.range((start, Bound::Included(last)))).into_iter().flatten()
                };
                kinds.iter().flat_map(of_kind).take(limit).copied().collect()
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
    /// Subjects that are no UUID, by the one that stands for them.
    by_uuid: RwLock<HashMap<Uuid, (Tenant, Subject)>>,
    hasher: DefaultHashBuilder,
}

impl Default for Subjects {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_uuid: RwLock::default(),
            hasher: DefaultHashBuilder::default(),
        }
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

    pub(super) fn add(&self, tenant: Tenant, subject: Subject, credential: CredentialKey) {
        let key = (tenant, subject);
        let mut shard = self.shard(&key).write();
        if credential.kind == Kind::Session && key.1.uuid_itself().is_none() {
            self.by_uuid.write().entry(key.1.uuid(&key.0)).or_insert_with(|| key.clone());
        }
        shard.entry(key).or_default().credentials.insert(credential);
    }

    pub(super) fn remove(&self, tenant: Tenant, subject: Subject, credential: CredentialKey) {
        let key = (tenant, subject);
        let mut shard = self.shard(&key).write();
        let Some(entry) = shard.get_mut(&key) else { return };
        entry.credentials.remove(&credential);
        let no_session = entry.credentials.after(Kinds::from_iter([Kind::Session]), None, 1).is_empty();
        if credential.kind == Kind::Session && no_session {
            self.by_uuid.write().remove(&key.1.uuid(&key.0));
        }
        if entry.is_empty() {
            shard.remove(&key);
        }
    }

    /// The subject that a UUID stands for, if that is not the UUID itself; known of subjects that have a session.
    pub(super) fn by_uuid(&self, uuid: Uuid) -> Option<(Tenant, Subject)> {
        self.by_uuid.read().get(&uuid).cloned()
    }

    /// The subject's credentials of these kinds beyond that one, by kind and in the order of their ids.
    pub(super) fn credentials(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        kinds: Kinds,
        after: Option<CredentialKey>,
        limit: usize,
    ) -> Vec<CredentialKey> {
        let key = (tenant.clone(), subject.clone());
        let shard = self.shard(&key).read();
        shard.get(&key).map(|entry| entry.credentials.after(kinds, after, limit)).unwrap_or_default()
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
