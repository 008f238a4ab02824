//! Subjects in shards: the revocations and the credentials of each.
//!
//! A credential has a handle of its subject, and a subject the handles of its credentials. An entry keeps its place
//! while a credential is on its list, so a thread that holds the lock of the credential's shard may follow the first
//! handle, and a thread that holds that of the subject's shard the others. A thread that writes to a credential's shard
//! must not lock a subject's.

mod list;
mod timeline;

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;
use uuid::Uuid;

use super::handle::{Handle, Layout, SubjectHandle, spread};
use super::index::Index;
use super::names::{NameArena, Spelled};
use super::numbers::{Number, Numbers};
use super::slab::Slab;
use crate::domain::{CredentialKey, HashMap, Hashing, Kind, Kinds, Subject, SubjectState, Tenant, Timestamp};
use list::{Credentials, Lists};

pub(super) use super::handle::SHARDS;
pub(super) use timeline::Place;

/// Finds what a handle on a subject's list leads to.
pub(super) trait Locate {
    /// The key of the credential.
    fn key(&self, handle: Handle) -> Option<CredentialKey>;
    /// The place of the session.
    fn place(&self, handle: Handle) -> Option<Place>;
}

/// A subject with a credential or a revocation.
struct SubjectEntry {
    tenant: Number,
    name: u32,
    /// A part of the hash of tenant and name, so that a table that grows need not read them.
    tag: u32,
    credentials: Credentials,
}

#[derive(Default)]
struct SubjectShard {
    entries: Slab<Option<SubjectEntry>>,
    by_name: HashTable<u32>,
    names: NameArena,
    lists: Lists,
    /// Revocations, by the entry's place.
    states: HashMap<u32, Box<SubjectState>>,
}

impl SubjectShard {
    fn entry(&self, at: u32) -> Option<&SubjectEntry> {
        self.entries.get(at)?.as_ref()
    }

    fn find(&self, tenant: Number, name: &Spelled, tag: u32) -> Option<u32> {
        let is = |at: &u32| {
            self.entry(*at).is_some_and(|entry| {
                entry.tag == tag && entry.tenant == tenant && self.names.get(entry.name).parts() == name.parts()
            })
        };
        self.by_name.find(rehash(tag), is).copied()
    }

    fn add(&mut self, tenant: Number, name: &Spelled, tag: u32) -> u32 {
        let name = self.names.put(name);
        let at = self.entries.put(Some(SubjectEntry { tenant, name, tag, credentials: Credentials::None }));
        let Self { entries, by_name, .. } = self;
        let hash = |at: &u32| entries.get(*at).and_then(Option::as_ref).map_or(0, |entry| rehash(entry.tag));
        by_name.insert_unique(rehash(tag), at, hash);
        at
    }

    /// Removes the entry if it is empty; returns the tenant that it held.
    fn forget_empty(&mut self, at: u32) -> Option<Number> {
        let entry = self.entry(at)?;
        if !entry.credentials.is_empty() || self.states.contains_key(&at) {
            return None;
        }
        let (tenant, name, tag) = (entry.tenant, entry.name, entry.tag);
        if let Ok(found) = self.by_name.find_entry(rehash(tag), |other| *other == at) {
            found.remove();
        }
        self.names.remove(name);
        self.entries.vacate(at);
        Some(tenant)
    }
}

const fn rehash(tag: u32) -> u64 {
    spread(tag as u64)
}

/// All subjects.
pub(super) struct Subjects {
    shards: Box<[RwLock<SubjectShard>]>,
    /// Each is held by every entry of it.
    tenants: Numbers<Tenant>,
    /// Subjects that have a session and whose name is not a UUID, by the UUID that stands for them.
    by_uuid: Index,
    hasher: Hashing,
    layout: Layout,
    entries: AtomicUsize,
    /// Revocations of subjects that have no entry, because their shard is full.
    alone: RwLock<HashMap<(Tenant, Subject), Box<SubjectState>>>,
    any_alone: AtomicBool,
}

impl Subjects {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            tenants: Numbers::default(),
            by_uuid: Index::default(),
            hasher: Hashing::default(),
            layout,
            entries: AtomicUsize::new(0),
            alone: RwLock::default(),
            any_alone: AtomicBool::new(false),
        }
    }

    /// Whether the subject has an entry, or there is room for one if something is issued to it here.
    pub(super) fn has_room(&self, tenant: &Tenant, subject: &Subject) -> bool {
        // Names are spread evenly: no shard is full while half of all places are vacant.
        if self.entries.load(Ordering::Relaxed) < self.layout.subjects as usize * SHARDS / 2 {
            return true;
        }
        let name = Spelled::of(subject.as_str());
        // A subject that has nothing in a tenant without a number is in no shard; any of them says as much as its
        // future one.
        let hash = self.tenants.find(tenant).map_or(0, |tenant| self.hash(tenant, &name));
        let known = self.find(tenant, subject).is_some();
        known || self.shards[shard_of(hash)].read().entries.used() < self.layout.full_of_subjects()
    }

    /// The subject's entry, made if there is none and its shard has room. Give one that stays empty to
    /// [`Subjects::tidy`].
    pub(super) fn enter(&self, tenant: &Tenant, subject: &Subject) -> Option<SubjectHandle> {
        let name = Spelled::of(subject.as_str());
        // A tenant that has a number keeps it: numbers are only released between joins.
        if let Some(tenant) = self.tenants.find(tenant) {
            return self.enter_spelled(tenant, &name);
        }
        let number = self.tenants.hold(tenant);
        let handle = self.enter_spelled(number, &name);
        self.tenants.release(number);
        handle
    }

    /// The entry of that name in a tenant whose number is held, made if there is none.
    pub(super) fn enter_spelled(&self, tenant: Number, name: &Spelled) -> Option<SubjectHandle> {
        let hash = self.hash(tenant, name);
        let (place, tag) = (shard_of(hash), hash as u32);
        let mut shard = self.shards[place].write();
        let at = match shard.find(tenant, name, tag) {
            Some(at) => at,
            None if shard.entries.has_room(self.layout.subjects) => {
                self.tenants.hold_again(tenant);
                self.entries.fetch_add(1, Ordering::Relaxed);
                shard.add(tenant, name, tag)
            }
            None => return None,
        };
        Some(SubjectHandle::new(place, at))
    }

    /// The number of a tenant, until it is released.
    pub(super) fn hold_tenant(&self, tenant: &Tenant) -> Number {
        self.tenants.hold(tenant)
    }

    pub(super) fn release_tenant(&self, tenant: Number) {
        self.tenants.release(tenant);
    }

    pub(super) fn tenant_with(&self, number: Number) -> Option<Tenant> {
        self.tenants.get(number)
    }

    /// Reads the tenant's number and the name of an entry as they are kept.
    pub(super) fn with_spelled(&self, subject: SubjectHandle, read: impl FnOnce(Number, Spelled)) {
        let shard = self.shards[subject.shard()].read();
        if let Some(entry) = shard.entry(subject.at()) {
            read(entry.tenant, shard.names.get(entry.name));
        }
    }

    /// The name space and name of an entry.
    pub(super) fn names(&self, subject: SubjectHandle) -> Option<(Tenant, Subject)> {
        self.with_names(subject, |tenant, name| Some((tenant.clone(), Subject::new(name).ok()?))).flatten()
    }

    /// Reads the name space and name of an entry.
    pub(super) fn with_names<R>(&self, subject: SubjectHandle, read: impl FnOnce(&Tenant, &str) -> R) -> Option<R> {
        let shard = self.shards[subject.shard()].read();
        let entry = shard.entry(subject.at())?;
        let tenant = self.tenants.get(entry.tenant)?;
        Some(shard.names.get(entry.name).with_text(|name| read(&tenant, name)))
    }

    /// The name space of an entry.
    pub(super) fn tenant(&self, subject: SubjectHandle) -> Option<Tenant> {
        let shard = self.shards[subject.shard()].read();
        self.tenants.get(shard.entry(subject.at())?.tenant)
    }

    pub(super) fn state(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        let mut state = match self.find(tenant, subject) {
            // Most have no revocations, and then there is nothing to allocate.
            Some(entry) => {
                let shard = self.shards[entry.shard()].read();
                shard.states.get(&entry.at()).map(|state| (**state).clone()).unwrap_or_default()
            }
            None => SubjectState::default(),
        };
        if self.any_alone.load(Ordering::Acquire)
            && let Some(alone) = self.alone.read().get(&(tenant.clone(), subject.clone()))
        {
            state.merge((**alone).clone());
        }
        state
    }

    /// Joins revocations of a subject; returns its entry, unless there is no room for one.
    pub(super) fn join(&self, tenant: &Tenant, subject: &Subject, patch: SubjectState) -> Option<SubjectHandle> {
        let Some(handle) = self.enter(tenant, subject) else {
            let mut alone = self.alone.write();
            alone.entry((tenant.clone(), subject.clone())).or_default().merge(patch);
            self.any_alone.store(true, Ordering::Release);
            return None;
        };
        let mut shard = self.shards[handle.shard()].write();
        shard.states.entry(handle.at()).or_default().merge(patch);
        Some(handle)
    }

    /// The revocations of an entry, if there are any.
    pub(super) fn revoked(&self, subject: SubjectHandle) -> Option<(Tenant, Subject, SubjectState)> {
        let shard = self.shards[subject.shard()].read();
        let (entry, state) = (shard.entry(subject.at())?, shard.states.get(&subject.at())?);
        let name = shard.names.get(entry.name).with_text(Subject::new).ok()?;
        Some((self.tenants.get(entry.tenant)?, name, (**state).clone()))
    }

    /// Puts the credential on the subject's list.
    pub(super) fn add(&self, subject: SubjectHandle, credential: Handle, locate: &impl Locate) {
        let mut shard = self.shards[subject.shard()].write();
        let SubjectShard { entries, lists, .. } = &mut *shard;
        let Some(Some(entry)) = entries.get_mut(subject.at()) else { return };
        let first_session = credential.kind() == Kind::Session && !lists.has_session(entry.credentials);
        entry.credentials = lists.insert(entry.credentials, credential, locate);
        drop(shard);
        if first_session && let Some(uuid) = self.stand_in(subject) {
            self.by_uuid.insert(&uuid, subject.bits());
        }
    }

    /// Takes the credential off the subject's list, and removes the subject with its last one.
    pub(super) fn remove(&self, subject: SubjectHandle, credential: Handle, key: CredentialKey) {
        let mut shard = self.shards[subject.shard()].write();
        let SubjectShard { entries, lists, .. } = &mut *shard;
        let Some(Some(entry)) = entries.get_mut(subject.at()) else { return };
        entry.credentials = lists.remove(entry.credentials, credential, key);
        let last_session = key.kind == Kind::Session && !lists.has_session(entry.credentials);
        drop(shard);
        if last_session && let Some(uuid) = self.stand_in(subject) {
            self.by_uuid.remove(&uuid, subject.bits());
        }
        self.tidy(subject);
    }

    /// Removes a subject without credentials and revocations.
    pub(super) fn tidy(&self, subject: SubjectHandle) {
        let tenant = self.shards[subject.shard()].write().forget_empty(subject.at());
        if let Some(tenant) = tenant {
            self.entries.fetch_sub(1, Ordering::Relaxed);
            self.tenants.release(tenant);
        }
    }

    /// The subject that a UUID stands for, if that is not the UUID itself; known of subjects that have a session.
    pub(super) fn by_uuid(&self, uuid: Uuid) -> Option<(Tenant, Subject)> {
        let mut found = None;
        self.by_uuid.find(&uuid, |bits| {
            let names = SubjectHandle::from_bits(bits).and_then(|handle| self.names(handle));
            found = names.filter(|(tenant, subject)| subject.uuid(tenant) == uuid);
            found.is_some()
        });
        found
    }

    /// The subject's credentials of these kinds beyond that one, by kind and in the order of their ids.
    pub(super) fn credentials(
        &self,
        (tenant, subject): (&Tenant, &Subject),
        kinds: Kinds,
        after: Option<CredentialKey>,
        limit: usize,
        locate: &impl Locate,
    ) -> Vec<CredentialKey> {
        let Some(subject) = self.find(tenant, subject) else { return Vec::new() };
        let shard = self.shards[subject.shard()].read();
        let Some(entry) = shard.entry(subject.at()) else { return Vec::new() };
        shard.lists.after(entry.credentials, kinds, after, limit, locate)
    }

    /// The subject's sessions that were issued before that one, the newest first, without the first so many: at most
    /// `limit`; and the number of all that it has.
    pub(super) fn sessions(
        &self,
        (tenant, subject): (&Tenant, &Subject),
        before: Option<Place>,
        skip: usize,
        limit: usize,
        locate: &impl Locate,
    ) -> (Vec<Place>, usize) {
        let Some(subject) = self.find(tenant, subject) else { return Default::default() };
        let shard = self.shards[subject.shard()].read();
        let Some(entry) = shard.entry(subject.at()) else { return Default::default() };
        shard.lists.sessions(entry.credentials, before, skip, limit, locate)
    }

    /// Takes the session out of the order of issues. It stays on the subject's list until it is removed.
    pub(super) fn forget_session(&self, subject: SubjectHandle, place: Place) {
        let mut shard = self.shards[subject.shard()].write();
        if let Some(credentials) = shard.entry(subject.at()).map(|entry| entry.credentials) {
            shard.lists.forget_session(credentials, place);
        }
    }

    /// Removes what has expired in a shard, and returns the subjects of which nothing is left.
    pub(super) fn sweep(&self, shard: usize, now: Timestamp, emptied: impl Fn(Tenant, SubjectHandle)) {
        let mut empty = Vec::new();
        self.shards[shard].write().states.retain(|at, state| {
            state.prune(now);
            empty.extend(state.is_empty().then_some(*at));
            !state.is_empty()
        });
        for subject in empty.into_iter().map(|at| SubjectHandle::new(shard, at)) {
            self.tenant(subject).into_iter().for_each(|tenant| emptied(tenant, subject));
            self.tidy(subject);
        }
        if shard == 0 && self.any_alone.load(Ordering::Acquire) {
            let mut alone = self.alone.write();
            alone.retain(|_, state| {
                state.prune(now);
                !state.is_empty()
            });
            self.any_alone.store(!alone.is_empty(), Ordering::Release);
        }
    }

    /// Visits every subject of a shard with revocations.
    pub(super) fn visit(&self, shard: usize, mut visit: impl FnMut(&Tenant, &Subject, &SubjectState)) {
        if shard == 0 {
            self.visit_alone(&mut visit);
        }
        let shard = self.shards[shard].read();
        for (at, state) in &shard.states {
            let Some(entry) = shard.entry(*at) else { continue };
            let Some(tenant) = self.tenants.get(entry.tenant) else { continue };
            let subject = shard.names.get(entry.name).with_text(Subject::new);
            subject.iter().for_each(|subject| visit(&tenant, subject, state));
        }
    }

    /// Visits the revocations of subjects that have no entry.
    pub(super) fn visit_alone(&self, mut visit: impl FnMut(&Tenant, &Subject, &SubjectState)) {
        if self.any_alone.load(Ordering::Acquire) {
            let alone = self.alone.read();
            alone.iter().for_each(|((tenant, subject), state)| visit(tenant, subject, state));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    fn find(&self, tenant: &Tenant, subject: &Subject) -> Option<SubjectHandle> {
        self.find_spelled(self.tenants.find(tenant)?, &Spelled::of(subject.as_str()))
    }

    fn find_spelled(&self, tenant: Number, name: &Spelled) -> Option<SubjectHandle> {
        let hash = self.hash(tenant, name);
        let at = self.shards[shard_of(hash)].read().find(tenant, name, hash as u32)?;
        Some(SubjectHandle::new(shard_of(hash), at))
    }

    fn hash(&self, tenant: Number, name: &Spelled) -> u64 {
        let (mark, bytes) = name.parts();
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(tenant.get());
        hasher.write_u8(mark);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The UUID that stands for the subject, if its name is not a UUID.
    fn stand_in(&self, subject: SubjectHandle) -> Option<Uuid> {
        let (tenant, subject) = self.names(subject)?;
        subject.uuid_itself().is_none().then(|| subject.uuid(&tenant))
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}
