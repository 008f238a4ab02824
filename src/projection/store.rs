//! Credentials of one kind in shards: rows behind locks that readers share.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use super::forms::{Form, Issued, Known, Row as _};
use super::handle::{Handle, SHARDS, SubjectHandle};
use super::packed::Shared;
use super::revoked::tenants_of;
use super::slab::Slab;
use crate::domain::{CredentialId, CredentialKey, Hashing, Stranger, Tenant, Timestamp};

/// A credential: a row, or whatever does not fit one. Vacant without either.
enum Slot<F: Form> {
    Packed(F),
    Apart(Option<Box<Apart<F::Value>>>),
}

/// What was ended, was never issued here, or is rare in another way.
struct Apart<V> {
    id: CredentialId,
    /// Whose it is, if it was issued.
    subject: Option<SubjectHandle>,
    value: V,
}

impl<F: Form> Default for Slot<F> {
    fn default() -> Self {
        Self::Apart(None)
    }
}

impl<F: Form> Slot<F> {
    fn of(id: CredentialId, value: F::Value, subject: Option<SubjectHandle>, shared: &Shared) -> Self {
        match subject.and_then(|subject| F::pack(id, &value, subject, shared)) {
            Some(packed) => Self::Packed(packed),
            None => Self::Apart(Some(Box::new(Apart { id, subject, value }))),
        }
    }

    fn id(&self) -> Option<CredentialId> {
        match self {
            Self::Packed(packed) => Some(packed.row().id()),
            Self::Apart(apart) => apart.as_ref().map(|apart| apart.id),
        }
    }

    fn subject(&self) -> Option<SubjectHandle> {
        match self {
            Self::Packed(packed) => Some(packed.row().subject()),
            Self::Apart(apart) => apart.as_ref()?.subject,
        }
    }

    fn value(&self, shared: &Shared) -> Option<F::Value> {
        match self {
            Self::Packed(packed) => packed.unpack(shared),
            Self::Apart(apart) => apart.as_ref().map(|apart| apart.value.clone()),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Packed(packed) => packed.row().not_after() <= now,
            Self::Apart(apart) => apart.as_ref().is_some_and(|apart| apart.value.retain_until() <= now),
        }
    }

    fn release(&self, shared: &Shared) {
        if let Self::Packed(packed) = self {
            packed.release(shared);
        }
    }
}

/// What a slot holds, for those who may look at its row.
pub(super) enum Held<'a, F: Form> {
    /// It fits a row.
    Packed(&'a F),
    /// It does not.
    Apart(CredentialId, &'a F::Value),
}

struct Shard<F: Form> {
    slots: Slab<Slot<F>>,
    by_id: HashTable<u32>,
    /// Seeded by chance: who imports chooses ids, and could else choose many that meet in one place of the table.
    hasher: Hashing,
}

impl<F: Form> Default for Shard<F> {
    fn default() -> Self {
        Self { slots: Slab::default(), by_id: HashTable::new(), hasher: Hashing::default() }
    }
}

impl<F: Form> Shard<F> {
    fn find(&self, id: &CredentialId) -> Option<u32> {
        let is = |at: &u32| self.slots.get(*at).and_then(Slot::id).is_some_and(|own| own == *id);
        self.by_id.find(self.hasher.hash_one(id), is).copied()
    }

    fn add(&mut self, id: &CredentialId, slot: Slot<F>) -> u32 {
        let at = self.slots.put(slot);
        let Self { slots, by_id, hasher } = self;
        by_id.insert_unique(hasher.hash_one(id), at, |at| rehash(slots, hasher, *at));
        at
    }

    fn remove(&mut self, at: u32, id: &CredentialId) -> Slot<F> {
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(id), |found| *found == at) {
            entry.remove();
        }
        self.slots.vacate(at)
    }
}

fn rehash<F: Form>(slots: &Slab<Slot<F>>, hasher: &Hashing, at: u32) -> u64 {
    slots.get(at).and_then(Slot::id).map_or(0, |id| hasher.hash_one(id))
}

fn place(id: &CredentialId) -> usize {
    let bytes = id.as_bytes();
    usize::from(u16::from_be_bytes([bytes[14], bytes[15]])) % SHARDS
}

/// What a join changed, beyond the credential itself.
pub(super) struct Changed {
    /// Where the credential stands.
    pub(super) handle: Handle,
    /// The issue that another one has taken the place of.
    pub(super) lost: Option<Issued>,
    /// The issue that is new.
    pub(super) gained: Option<Issued>,
    /// Who had recorded endings of it without knowing it, and who has now.
    pub(super) strangers: [Vec<Stranger>; 2],
}

/// What was forgotten.
pub(super) struct Gone {
    pub(super) handle: Handle,
    pub(super) id: CredentialId,
    pub(super) issued: Option<Issued>,
    pub(super) strangers: Vec<Stranger>,
    /// The tenants in which it was ended.
    pub(super) ended_in: Vec<Option<Tenant>>,
}

/// All credentials of one kind.
pub(super) struct Store<F: Form> {
    shards: Box<[RwLock<Shard<F>>]>,
}

impl<F: Form> Default for Store<F> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl<F: Form> Store<F> {
    /// What is known of a credential.
    pub(super) fn get(&self, id: CredentialId, shared: &Shared) -> F::Value {
        self.find(id, |_, _, slot| slot.value(shared)).flatten().unwrap_or_default()
    }

    /// Looks at what is held of a credential, and where, while its shard is shared.
    pub(super) fn look<R>(&self, id: CredentialId, look: impl FnOnce(Handle, Held<'_, F>) -> R) -> Option<R> {
        let seen = |shard, at, slot: &Slot<F>| held(slot).map(|held| look(Handle::new(F::KIND, shard, at), held));
        self.find(id, seen).flatten()
    }

    /// Reads the row there.
    pub(super) fn at<R>(&self, handle: Handle, read: impl FnOnce(Held<'_, F>) -> R) -> Option<R> {
        // Also while the writer waits for the lock: whoever asks may hold that of a subject, which the writer needs next.
        let shard = self.shards[handle.shard()].read_recursive();
        shard.slots.get(handle.at()).and_then(held).map(read)
    }

    /// What the handle stands for.
    pub(super) fn key_at(&self, handle: Handle) -> Option<CredentialKey> {
        let id = self.at(handle, |held| match held {
            Held::Packed(packed) => packed.row().id(),
            Held::Apart(id, _) => id,
        });
        id.map(|id| CredentialKey { kind: F::KIND, id })
    }

    /// Joins what a record says. Only one thread at a time may join what is there already.
    pub(super) fn join(
        &self,
        id: CredentialId,
        patch: F::Value,
        subject: Option<SubjectHandle>,
        shared: &Shared,
    ) -> Changed {
        let number = place(&id);
        let mut shard = self.shards[number].write();
        let Some(at) = shard.find(&id) else {
            let (gained, strangers) = (Issued::of(&patch, subject), patch.endings().strangers());
            let at = shard.add(&id, Slot::of(id, patch, subject, shared));
            let handle = Handle::new(F::KIND, number, at);
            return Changed { handle, lost: None, gained, strangers: [Vec::new(), strangers] };
        };
        drop(shard);
        self.change(Handle::new(F::KIND, number, at), subject, shared, |value| value.merge(patch))
    }

    /// Changes what is known of a credential. Only one thread at a time may.
    pub(super) fn change(
        &self,
        handle: Handle,
        subject: Option<SubjectHandle>,
        shared: &Shared,
        change: impl FnOnce(&mut F::Value),
    ) -> Changed {
        // What a row has numbers of is not to be looked up while the shard is locked for writing.
        let before = {
            let shard = self.shards[handle.shard()].read();
            let slot = shard.slots.get(handle.at());
            slot.and_then(|slot| Some((slot.id()?, slot.subject(), slot.value(shared)?)))
        };
        let Some((id, whose, mut value)) = before else {
            return Changed { handle, lost: None, gained: None, strangers: Default::default() };
        };
        let (lost, strangers_before) = (Issued::of(&value, whose), value.endings().strangers());
        change(&mut value);
        let same = value.issued().map(|(place, ..)| place) == lost.map(|issued| issued.place);
        let whose = if same { whose } else { subject };
        let (gained, strangers) = (Issued::of(&value, whose), [strangers_before, value.endings().strangers()]);
        let slot = Slot::of(id, value, whose, shared);
        let old =
            self.shards[handle.shard()].write().slots.get_mut(handle.at()).map(|old| std::mem::replace(old, slot));
        old.iter().for_each(|old| old.release(shared));
        if same {
            return Changed { handle, lost: None, gained: None, strangers };
        }
        Changed { handle, lost, gained, strangers }
    }

    /// Adds a row, unless something is known of the credential already: then the row is handed back.
    pub(super) fn insert(&self, row: F) -> Result<Handle, F> {
        let (id, number) = (row.row().id(), place(&row.row().id()));
        let mut shard = self.shards[number].write();
        if shard.find(&id).is_some() {
            return Err(row);
        }
        Ok(Handle::new(F::KIND, number, shard.add(&id, Slot::Packed(row))))
    }

    /// Makes room for so many more in a shard.
    pub(super) fn reserve(&self, shard: usize, more: usize) {
        let mut shard = self.shards[shard].write();
        let Shard { slots, by_id, hasher } = &mut *shard;
        by_id.reserve(more, |at| rehash(slots, hasher, *at));
    }

    /// Changes a row in place. False if there is none, or `change` says that it can't.
    pub(super) fn with_row(&self, handle: Handle, change: impl FnOnce(&mut F) -> bool) -> bool {
        match self.shards[handle.shard()].write().slots.get_mut(handle.at()) {
            Some(Slot::Packed(packed)) => change(packed),
            _ => false,
        }
    }

    /// Removes what is over among that many slots of a shard; returns it, and where to go on in the shard.
    pub(super) fn sweep(
        &self,
        shard: usize,
        from: u32,
        slots: usize,
        now: Timestamp,
        shared: &Shared,
    ) -> (Vec<Gone>, Option<u32>) {
        let over: Vec<u32> = {
            let shard = self.shards[shard].read();
            shard.slots.iter_from(from).take(slots).filter(|(_, slot)| slot.is_over(now)).map(|(at, _)| at).collect()
        };
        let gone = over.into_iter().filter_map(|at| self.remove(Handle::new(F::KIND, shard, at), shared)).collect();
        let end = from as usize + slots;
        (gone, (end < self.shards[shard].read().slots.len()).then_some(end as u32))
    }

    fn remove(&self, handle: Handle, shared: &Shared) -> Option<Gone> {
        let mut shard = self.shards[handle.shard()].write();
        let id = shard.slots.get(handle.at())?.id()?;
        let slot = shard.remove(handle.at(), &id);
        drop(shard);
        let gone = match &slot {
            Slot::Packed(packed) => {
                let issued = Issued::of_row(packed, shared);
                Gone { handle, id, issued, strangers: Vec::new(), ended_in: Vec::new() }
            }
            Slot::Apart(apart) => {
                let Apart { subject, value, .. } = &**apart.as_ref()?;
                let (strangers, ended_in) = (value.endings().strangers(), tenants_of(value.endings()));
                Gone { handle, id, issued: Issued::of(value, *subject), strangers, ended_in }
            }
        };
        slot.release(shared);
        Some(gone)
    }

    /// Visits what is known of every credential of a shard while its lock is shared.
    pub(super) fn visit(&self, shard: usize, shared: &Shared, mut visit: impl FnMut(CredentialKey, F::Value)) {
        for (_, slot) in self.shards[shard].read().slots.iter_from(0) {
            if let (Some(id), Some(value)) = (slot.id(), slot.value(shared)) {
                visit(CredentialKey { kind: F::KIND, id }, value);
            }
        }
    }

    /// Visits so many slots of a shard from that one on while its lock is shared; where to go on.
    pub(super) fn visit_slots(
        &self,
        shard: usize,
        from: u32,
        slots: usize,
        mut visit: impl FnMut(Held<'_, F>),
    ) -> Option<u32> {
        let shard = self.shards[shard].read();
        shard.slots.iter_from(from).take(slots).filter_map(|(_, slot)| held(slot)).for_each(&mut visit);
        let end = from as usize + slots;
        (end < shard.slots.len()).then_some(end as u32)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().by_id.len()).sum()
    }

    /// Slots of all shards, for planning a sweep.
    pub(super) fn slots(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().slots.len()).sum()
    }

    fn find<R>(&self, id: CredentialId, read: impl FnOnce(usize, u32, &Slot<F>) -> R) -> Option<R> {
        let number = place(&id);
        let shard: RwLockReadGuard<'_, Shard<F>> = self.shards[number].read();
        let at = shard.find(&id)?;
        shard.slots.get(at).map(|slot| read(number, at, slot))
    }
}

fn held<F: Form>(slot: &Slot<F>) -> Option<Held<'_, F>> {
    match slot {
        Slot::Packed(packed) => Some(Held::Packed(packed)),
        Slot::Apart(apart) => apart.as_ref().map(|apart| Held::Apart(apart.id, &apart.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::{SessionForm, TicketForm, TokenForm};
    use super::*;

    #[test]
    fn what_does_not_fit_a_row_makes_rows_no_larger() {
        assert_eq!(size_of::<Slot<TicketForm>>(), 72);
        assert_eq!(size_of::<Slot<TokenForm>>(), 72);
        assert_eq!(size_of::<Slot<SessionForm>>(), 88);
    }
}
