//! Credentials of one kind in shards: rows behind locks that readers share.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::forms::{IssuedRow, PackedRow as _, RowKind};
use super::handle::{Handle, Layout, SHARDS, SubjectHandle};
use super::packed::InternedValues;
use super::revoked::tenants_of;
use super::slab::Slab;
use crate::domain::{Credential, CredentialId, CredentialKey, HashMap, Hashing, Tenant, Timestamp, UnknownRevoker};

/// A credential: a row, or a whole credential that does not fit one. Vacant without either.
enum CredentialSlot<F: RowKind> {
    Packed(F),
    Apart(Option<Box<Apart>>),
}

/// A credential that was revoked, was never issued here, or is rare in another way.
struct Apart {
    id: CredentialId,
    /// Its subject, if it was issued.
    subject: Option<SubjectHandle>,
    credential: Credential,
}

impl<F: RowKind> Default for CredentialSlot<F> {
    fn default() -> Self {
        Self::Apart(None)
    }
}

impl<F: RowKind> CredentialSlot<F> {
    fn of(id: CredentialId, credential: Credential, subject: Option<SubjectHandle>, shared: &InternedValues) -> Self {
        match subject.and_then(|subject| F::pack(id, &credential, subject, shared)) {
            Some(packed) => Self::Packed(packed),
            None => Self::Apart(Some(Box::new(Apart { id, subject, credential }))),
        }
    }

    /// A credential whose subject has no entry that it could refer to.
    fn whole(id: CredentialId, credential: Credential) -> Self {
        Self::Apart(Some(Box::new(Apart { id, subject: None, credential })))
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

    fn credential(&self, shared: &InternedValues) -> Option<Credential> {
        match self {
            Self::Packed(packed) => packed.unpack(shared),
            Self::Apart(apart) => apart.as_ref().map(|apart| apart.credential.clone()),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Packed(packed) => packed.row().not_after() <= now,
            Self::Apart(apart) => apart.as_ref().is_some_and(|apart| apart.credential.retain_until() <= now),
        }
    }

    fn release(&self, shared: &InternedValues) {
        if let Self::Packed(packed) = self {
            packed.row().release(shared);
        }
    }
}

/// The content of a slot, for callers that may read its row.
pub(super) enum SlotContent<'a, F: RowKind> {
    /// It fits a row.
    Packed(&'a F),
    /// It does not.
    Apart(CredentialId, &'a Credential),
}

struct CredentialShard<F: RowKind> {
    slots: Slab<CredentialSlot<F>>,
    by_id: HashTable<u32>,
    /// Randomly seeded: importers choose ids and could force collisions.
    hasher: Hashing,
}

impl<F: RowKind> Default for CredentialShard<F> {
    fn default() -> Self {
        Self { slots: Slab::default(), by_id: HashTable::new(), hasher: Hashing::default() }
    }
}

impl<F: RowKind> CredentialShard<F> {
    fn find(&self, id: &CredentialId) -> Option<u32> {
        let is = |at: &u32| self.slots.get(*at).and_then(CredentialSlot::id).is_some_and(|own| own == *id);
        self.by_id.find(self.hasher.hash_one(id), is).copied()
    }

    fn add(&mut self, id: &CredentialId, slot: CredentialSlot<F>) -> u32 {
        let at = self.slots.put(slot);
        let Self { slots, by_id, hasher } = self;
        by_id.insert_unique(hasher.hash_one(id), at, |at| rehash(slots, hasher, *at));
        at
    }

    fn remove(&mut self, at: u32, id: &CredentialId) -> CredentialSlot<F> {
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(id), |found| *found == at) {
            entry.remove();
        }
        self.slots.vacate(at)
    }
}

fn rehash<F: RowKind>(slots: &Slab<CredentialSlot<F>>, hasher: &Hashing, at: u32) -> u64 {
    slots.get(at).and_then(CredentialSlot::id).map_or(0, |id| hasher.hash_one(id))
}

/// The place of a credential that its own shard had no room for.
enum Elsewhere<F: RowKind> {
    /// In another shard, where all indexes find it.
    In(Handle),
    /// In none, because all are full: it is found by its id alone. Nothing is issued here by then, but issues of other
    /// nodes, and everybody's revocations, are facts.
    Alone(CredentialSlot<F>),
}

/// The changes of a join, beyond the credential itself.
pub(super) struct JoinChanges {
    /// The place of the credential. None, if all shards are full: then no index entry was gained or lost.
    pub(super) handle: Option<Handle>,
    /// The issue that another one has replaced.
    pub(super) lost: Option<IssuedRow>,
    /// The issue that is new.
    pub(super) gained: Option<IssuedRow>,
    /// The callers that had recorded revocations of it without knowing it, and those that have now.
    pub(super) unknown_revokers: [Vec<UnknownRevoker>; 2],
}

impl JoinChanges {
    fn nothing(handle: Option<Handle>) -> Self {
        Self { handle, lost: None, gained: None, unknown_revokers: Default::default() }
    }
}

/// A credential that was removed.
pub(super) struct RemovedCredential {
    /// Its place, if an index led there.
    pub(super) handle: Option<Handle>,
    pub(super) id: CredentialId,
    pub(super) issued: Option<IssuedRow>,
    pub(super) unknown_revokers: Vec<UnknownRevoker>,
    /// The tenants in which it was revoked.
    pub(super) revoked_in: Vec<Option<Tenant>>,
}

/// The credentials that a step of the sweep has removed.
pub(super) struct Swept {
    pub(super) gone: Vec<RemovedCredential>,
    /// For revoked ones: their issue.
    pub(super) past: Vec<(CredentialId, JoinChanges)>,
    /// Where to continue in the shard, if it has more.
    pub(super) rest: Option<u32>,
}

/// All credentials of one kind.
pub(super) struct Store<F: RowKind> {
    layout: Layout,
    shards: Box<[RwLock<CredentialShard<F>>]>,
    /// Credentials that did not fit their own shard. Locked before any shard.
    elsewhere: RwLock<HashMap<CredentialId, Elsewhere<F>>>,
    /// The number of those: nearly always none, and then they are not searched.
    strays: AtomicUsize,
    used: AtomicUsize,
}

impl<F: RowKind> Store<F> {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            elsewhere: RwLock::default(),
            strays: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        }
    }

    /// Whether there is room for credentials that are issued here.
    pub(super) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.layout.full()
    }

    /// The state of a credential.
    pub(super) fn get(&self, id: CredentialId, shared: &InternedValues) -> Credential {
        self.find(id, |_, slot| slot.credential(shared)).flatten().unwrap_or_default()
    }

    /// Reads a credential and its place, while its shard is shared.
    pub(super) fn look<R>(
        &self,
        id: CredentialId,
        look: impl FnOnce(Option<Handle>, SlotContent<'_, F>) -> R,
    ) -> Option<R> {
        self.find(id, |handle, slot| held(slot).map(|held| look(handle, held))).flatten()
    }

    /// Reads the row there.
    pub(super) fn at<R>(&self, handle: Handle, read: impl FnOnce(SlotContent<'_, F>) -> R) -> Option<R> {
        // Also while the writer waits for the lock: the caller may hold the lock of a subject, which the writer needs
        // next.
        let shard = self.shards[handle.shard()].read_recursive();
        shard.slots.get(handle.at()).and_then(held).map(read)
    }

    /// Shows the credential there, if it does not fit a row.
    pub(super) fn apart_at(&self, handle: Handle, show: &mut impl FnMut(CredentialId, &Credential)) {
        self.at(handle, |held| {
            if let SlotContent::Apart(id, credential) = held {
                show(id, credential);
            }
        });
    }

    /// The key of the handle's credential.
    pub(super) fn key_at(&self, handle: Handle) -> Option<CredentialKey> {
        let id = self.at(handle, |held| match held {
            SlotContent::Packed(packed) => packed.row().id(),
            SlotContent::Apart(id, _) => id,
        });
        id.map(|id| CredentialKey { kind: F::KIND, id })
    }

    /// Joins the state of a record. Only one thread at a time may join into an existing credential.
    pub(super) fn join(
        &self,
        id: CredentialId,
        patch: Credential,
        subject: Option<SubjectHandle>,
        shared: &InternedValues,
    ) -> JoinChanges {
        let number = self.layout.shard_of(&id);
        let mut shard = self.shards[number].write();
        if let Some(at) = shard.find(&id) {
            drop(shard);
            return self.change(Handle::new(F::KIND, number, at), subject, shared, |value| value.merge(patch));
        }
        if self.is_simple(&shard) {
            let (gained, unknown_revokers) = (IssuedRow::of(&patch, subject), patch.revocations.unknown_revokers());
            let at = self.add(&mut shard, &id, CredentialSlot::of(id, patch, subject, shared));
            let handle = Some(Handle::new(F::KIND, number, at));
            return JoinChanges { handle, lost: None, gained, unknown_revokers: [Vec::new(), unknown_revokers] };
        }
        drop(shard);
        self.join_elsewhere(id, patch, subject, shared)
    }

    /// Whether a credential that is not in its shard is nowhere else, and fits it.
    fn is_simple(&self, shard: &CredentialShard<F>) -> bool {
        self.strays.load(Ordering::Acquire) == 0 && shard.slots.has_room(self.layout.room)
    }

    fn join_elsewhere(
        &self,
        id: CredentialId,
        patch: Credential,
        subject: Option<SubjectHandle>,
        shared: &InternedValues,
    ) -> JoinChanges {
        let mut elsewhere = self.elsewhere.write();
        match elsewhere.get_mut(&id) {
            Some(Elsewhere::In(handle)) => {
                let handle = *handle;
                drop(elsewhere);
                return self.change(handle, subject, shared, |value| value.merge(patch));
            }
            Some(Elsewhere::Alone(slot)) => {
                let Some(mut value) = slot.credential(shared) else { return JoinChanges::nothing(None) };
                let before = value.revocations.unknown_revokers();
                value.merge(patch);
                let unknown_revokers = [before, value.revocations.unknown_revokers()];
                *slot = CredentialSlot::whole(id, value);
                return JoinChanges { unknown_revokers, ..JoinChanges::nothing(None) };
            }
            None => {}
        }
        let number = self.layout.shard_of(&id);
        // Several threads put a snapshot together.
        let own = self.shards[number].read().find(&id);
        if let Some(at) = own {
            drop(elsewhere);
            return self.change(Handle::new(F::KIND, number, at), subject, shared, |value| value.merge(patch));
        }
        let (gained, unknown_revokers) =
            (IssuedRow::of(&patch, subject), [Vec::new(), patch.revocations.unknown_revokers()]);
        match self.add_anywhere(&mut elsewhere, id, patch, |patch| CredentialSlot::of(id, patch, subject, shared)) {
            Ok(handle) => JoinChanges { gained, unknown_revokers, ..JoinChanges::nothing(Some(handle)) },
            Err(patch) => {
                elsewhere.insert(id, Elsewhere::Alone(CredentialSlot::whole(id, patch)));
                self.strays.fetch_add(1, Ordering::Release);
                JoinChanges { unknown_revokers, ..JoinChanges::nothing(None) }
            }
        }
    }

    /// Adds a new credential to its own shard, or else to the next that has room; hands it back, if none has.
    fn add_anywhere<T>(
        &self,
        elsewhere: &mut HashMap<CredentialId, Elsewhere<F>>,
        id: CredentialId,
        what: T,
        slot: impl FnOnce(T) -> CredentialSlot<F>,
    ) -> Result<Handle, T> {
        let own = self.layout.shard_of(&id);
        for number in (own..SHARDS).chain(0..own) {
            let mut shard = self.shards[number].write();
            if !shard.slots.has_room(self.layout.room) {
                continue;
            }
            let handle = Handle::new(F::KIND, number, self.add(&mut shard, &id, slot(what)));
            if number != own {
                elsewhere.insert(id, Elsewhere::In(handle));
                self.strays.fetch_add(1, Ordering::Release);
            }
            return Ok(handle);
        }
        Err(what)
    }

    fn add(&self, shard: &mut CredentialShard<F>, id: &CredentialId, slot: CredentialSlot<F>) -> u32 {
        self.used.fetch_add(1, Ordering::Relaxed);
        shard.add(id, slot)
    }

    /// Changes the state of a credential. Only one thread at a time may.
    pub(super) fn change(
        &self,
        handle: Handle,
        subject: Option<SubjectHandle>,
        shared: &InternedValues,
        change: impl FnOnce(&mut Credential),
    ) -> JoinChanges {
        // Values whose numbers a row holds must not be looked up while the shard is locked for writing.
        let before = {
            let shard = self.shards[handle.shard()].read();
            let slot = shard.slots.get(handle.at());
            slot.and_then(|slot| Some((slot.id()?, slot.subject(), slot.credential(shared)?)))
        };
        let Some((id, whose, mut value)) = before else {
            return JoinChanges::nothing(Some(handle));
        };
        let issued_by = |credential: &Credential| credential.issue.as_ref().map(|issue| issue.place);
        let (issue, unknown_revokers_before) = (issued_by(&value), value.revocations.unknown_revokers());
        let lost = IssuedRow::of(&value, whose);
        change(&mut value);
        // Decided by the value: a credential without a handle of its subject is issued all the same, and keeps none.
        let same = issued_by(&value) == issue;
        let whose = if same { whose } else { subject };
        let (gained, unknown_revokers) =
            (IssuedRow::of(&value, whose), [unknown_revokers_before, value.revocations.unknown_revokers()]);
        let slot = CredentialSlot::of(id, value, whose, shared);
        let old =
            self.shards[handle.shard()].write().slots.get_mut(handle.at()).map(|old| std::mem::replace(old, slot));
        old.iter().for_each(|old| old.release(shared));
        if same {
            return JoinChanges { unknown_revokers, ..JoinChanges::nothing(Some(handle)) };
        }
        JoinChanges { handle: Some(handle), lost, gained, unknown_revokers }
    }

    /// Adds a row, unless something is known of the credential already, or there is no room: then the row is handed
    /// back.
    pub(super) fn insert(&self, row: F) -> Result<Handle, F> {
        let id = row.row().id();
        let number = self.layout.shard_of(&id);
        let mut shard = self.shards[number].write();
        if shard.find(&id).is_some() {
            return Err(row);
        }
        if self.is_simple(&shard) {
            return Ok(Handle::new(F::KIND, number, self.add(&mut shard, &id, CredentialSlot::Packed(row))));
        }
        drop(shard);
        let mut elsewhere = self.elsewhere.write();
        if elsewhere.contains_key(&id) || self.shards[number].read().find(&id).is_some() {
            return Err(row);
        }
        self.add_anywhere(&mut elsewhere, id, row, CredentialSlot::Packed)
    }

    /// Makes room for so many more in a shard, if there is one with that number.
    pub(super) fn reserve(&self, shard: usize, more: usize) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut shard = shard.write();
        let CredentialShard { slots, by_id, hasher } = &mut *shard;
        by_id.reserve(more, |at| rehash(slots, hasher, *at));
    }

    /// Changes a row in place. False if there is none, or `change` says that it can't.
    pub(super) fn with_row(&self, handle: Handle, change: impl FnOnce(&mut F) -> bool) -> bool {
        match self.shards[handle.shard()].write().slots.get_mut(handle.at()) {
            Some(CredentialSlot::Packed(packed)) => change(packed),
            _ => false,
        }
    }

    /// Removes expired credentials among that many slots of a shard, and the issue of revoked ones that have expired.
    pub(super) fn sweep(
        &self,
        shard: usize,
        from: u32,
        slots: usize,
        now: Timestamp,
        shared: &InternedValues,
    ) -> Swept {
        let (mut over, mut past) = (Vec::new(), Vec::new());
        for (at, slot) in self.shards[shard].read().slots.iter_from(from).take(slots) {
            if slot.is_over(now) {
                over.push(at);
            } else if let CredentialSlot::Apart(Some(apart)) = slot
                && apart.credential.issue.as_ref().is_some_and(|issue| issue.not_after <= now)
            {
                past.push((at, apart.id));
            }
        }
        let gone = over.into_iter().filter_map(|at| self.remove(Handle::new(F::KIND, shard, at), shared));
        let gone = gone.chain((shard == 0 && from == 0).then(|| self.sweep_alone(now)).into_iter().flatten()).collect();
        let past = past.into_iter().map(|(at, id)| {
            let handle = Handle::new(F::KIND, shard, at);
            (id, self.change(handle, None, shared, |value| value.forget_issue(now)))
        });
        let past = past.collect();
        let end = from as usize + slots;
        let rest = (end < self.shards[shard].read().slots.len()).then_some(end as u32);
        Swept { gone, past, rest }
    }

    /// Removes expired credentials that are in no shard.
    fn sweep_alone(&self, now: Timestamp) -> Vec<RemovedCredential> {
        let mut gone = Vec::new();
        if self.strays.load(Ordering::Acquire) == 0 {
            return gone;
        }
        self.elsewhere.write().retain(|id, one| {
            let Elsewhere::Alone(CredentialSlot::Apart(Some(apart))) = one else { return true };
            let expired = apart.credential.retain_until() <= now;
            apart.credential.forget_issue(now);
            if expired {
                let unknown_revokers = apart.credential.revocations.unknown_revokers();
                let revoked_in = tenants_of(&apart.credential.revocations);
                gone.push(RemovedCredential { handle: None, id: *id, issued: None, unknown_revokers, revoked_in });
            }
            !expired
        });
        self.strays.fetch_sub(gone.len(), Ordering::Release);
        gone
    }

    fn remove(&self, handle: Handle, shared: &InternedValues) -> Option<RemovedCredential> {
        let mut shard = self.shards[handle.shard()].write();
        let id = shard.slots.get(handle.at())?.id()?;
        let slot = shard.remove(handle.at(), &id);
        drop(shard);
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.forget_stray(&id, handle);
        let handle = Some(handle);
        let gone = match &slot {
            CredentialSlot::Packed(packed) => {
                let issued = IssuedRow::of_row(packed, shared);
                RemovedCredential { handle, id, issued, unknown_revokers: Vec::new(), revoked_in: Vec::new() }
            }
            CredentialSlot::Apart(apart) => {
                let Apart { subject, credential: value, .. } = &**apart.as_ref()?;
                let (unknown_revokers, revoked_in) =
                    (value.revocations.unknown_revokers(), tenants_of(&value.revocations));
                RemovedCredential { handle, id, issued: IssuedRow::of(value, *subject), unknown_revokers, revoked_in }
            }
        };
        slot.release(shared);
        Some(gone)
    }

    fn forget_stray(&self, id: &CredentialId, handle: Handle) {
        if self.strays.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut elsewhere = self.elsewhere.write();
        if matches!(elsewhere.get(id), Some(Elsewhere::In(there)) if *there == handle) {
            elsewhere.remove(id);
            self.strays.fetch_sub(1, Ordering::Release);
        }
    }

    /// Visits credentials that are in no shard, together with the first one.
    fn visit_alone(&self, shard: usize, mut visit: impl FnMut(&Apart)) {
        if shard > 0 || self.strays.load(Ordering::Acquire) == 0 {
            return;
        }
        for one in self.elsewhere.read().values() {
            if let Elsewhere::Alone(CredentialSlot::Apart(Some(apart))) = one {
                visit(apart);
            }
        }
    }

    /// Visits every credential of a shard while its lock is shared.
    pub(super) fn visit(
        &self,
        shard: usize,
        shared: &InternedValues,
        mut visit: impl FnMut(CredentialKey, Credential),
    ) {
        for (_, slot) in self.shards[shard].read().slots.iter_from(0) {
            if let (Some(id), Some(value)) = (slot.id(), slot.credential(shared)) {
                visit(CredentialKey { kind: F::KIND, id }, value);
            }
        }
        self.visit_alone(shard, |apart| visit(CredentialKey { kind: F::KIND, id: apart.id }, apart.credential.clone()));
    }

    /// Visits so many slots of a shard from that one on while its lock is shared; returns where to continue.
    pub(super) fn visit_slots(
        &self,
        shard: usize,
        from: u32,
        slots: usize,
        mut visit: impl FnMut(SlotContent<'_, F>),
    ) -> Option<u32> {
        if from == 0 {
            self.visit_alone(shard, |apart| visit(SlotContent::Apart(apart.id, &apart.credential)));
        }
        let shard = self.shards[shard].read();
        shard.slots.iter_from(from).take(slots).filter_map(|(_, slot)| held(slot)).for_each(&mut visit);
        let end = from as usize + slots;
        (end < shard.slots.len()).then_some(end as u32)
    }

    /// Visits revoked credentials that are in no shard: no index leads there.
    pub(super) fn visit_revoked_alone(&self, mut visit: impl FnMut(CredentialKey, &Credential)) {
        self.visit_alone(0, |apart| {
            if !apart.credential.revocations.is_empty() {
                visit(CredentialKey { kind: F::KIND, id: apart.id }, &apart.credential);
            }
        });
    }

    pub(super) fn len(&self) -> usize {
        let mut alone = 0;
        self.visit_alone(0, |_| alone += 1);
        self.used.load(Ordering::Relaxed) + alone
    }

    /// Slots of all shards, for planning a sweep.
    pub(super) fn slots(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().slots.len()).sum()
    }

    fn find<R>(&self, id: CredentialId, read: impl FnOnce(Option<Handle>, &CredentialSlot<F>) -> R) -> Option<R> {
        let number = self.layout.shard_of(&id);
        let shard = self.shards[number].read();
        if let Some(at) = shard.find(&id) {
            return shard.slots.get(at).map(|slot| read(Some(Handle::new(F::KIND, number, at)), slot));
        }
        drop(shard);
        if self.strays.load(Ordering::Acquire) == 0 {
            return None;
        }
        let elsewhere = self.elsewhere.read();
        let handle = match elsewhere.get(&id)? {
            Elsewhere::Alone(slot) => return Some(read(None, slot)),
            Elsewhere::In(handle) => *handle,
        };
        drop(elsewhere);
        let shard = self.shards[handle.shard()].read();
        // It may have been removed meanwhile, and its place used again.
        let slot = shard.slots.get(handle.at()).filter(|slot| slot.id() == Some(id))?;
        Some(read(Some(handle), slot))
    }
}

fn held<F: RowKind>(slot: &CredentialSlot<F>) -> Option<SlotContent<'_, F>> {
    match slot {
        CredentialSlot::Packed(packed) => Some(SlotContent::Packed(packed)),
        CredentialSlot::Apart(apart) => apart.as_ref().map(|apart| SlotContent::Apart(apart.id, &apart.credential)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::{SessionRow, TicketRow, TokenRow};
    use super::*;

    #[test]
    fn a_credential_that_does_not_fit_a_row_makes_rows_no_larger() {
        assert_eq!(size_of::<CredentialSlot<TicketRow>>(), 72);
        assert_eq!(size_of::<CredentialSlot<TokenRow>>(), 72);
        assert_eq!(size_of::<CredentialSlot<SessionRow>>(), 88);
    }
}
