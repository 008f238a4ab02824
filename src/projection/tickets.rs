//! Tickets, the place of issue of each, and the uses that only memory knows.

use parking_lot::Mutex;

use super::forms::{RowKind as _, TicketRow};
use super::handle::{Handle, Layout, SHARDS, SubjectHandle};
use super::index::Index;
use super::packed::InternedValues;
use super::store::{JoinChanges, SlotContent, Store, Swept};
use crate::domain::{Credential, CredentialId, Digest, HashMap, RecordId, Timestamp};

/// The use of a ticket that only memory knows. Most of the time a ticket has none: it is dropped once it is on record.
#[derive(Clone, Copy, Default)]
struct Use {
    /// The latest request; on record only once a tenth of the ticket's life has passed.
    seen_at: Timestamp,
    /// The latest use that is to be recorded, in milliseconds since 1970, times two; odd while it waits for the next
    /// flush.
    due: u64,
}

impl Use {
    fn due_at(self) -> Timestamp {
        Timestamp::from_millis(self.due >> 1).unwrap_or_default()
    }

    const fn waits(self) -> bool {
        self.due & 1 == 1
    }
}

/// All tickets.
pub(super) struct Tickets {
    pub(super) store: Store<TicketRow>,
    /// The places of their issues, for renewals, which name them so.
    places: Index,
    /// By the ticket's place in its shard. Locked after the shard.
    uses: Box<[Mutex<HashMap<u32, Use>>]>,
}

impl Tickets {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            store: Store::new(layout),
            places: Index::default(),
            uses: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The ticket, and its latest use that is to be recorded.
    pub(super) fn get_with_use(&self, id: CredentialId, shared: &InternedValues) -> (Credential, Timestamp) {
        let found = self.store.look(id, |handle, held| (value(held, shared), self.in_use(handle).due_at()));
        found.unwrap_or_default()
    }

    /// Whether a ticket with that secret was issued.
    pub(super) fn is_issued(&self, digest: &Digest) -> bool {
        let is = |held: SlotContent<'_, TicketRow>| match held {
            SlotContent::Packed(row) => row.0.name == *digest.as_bytes(),
            SlotContent::Apart(_, ticket) => ticket.issue.as_ref().is_some_and(|issue| issue.digest() == Some(digest)),
        };
        self.store.look(digest.id(), |_, held| is(held)).unwrap_or_default()
    }

    pub(super) fn join(
        &self,
        id: CredentialId,
        patch: Credential,
        subject: Option<SubjectHandle>,
        shared: &InternedValues,
    ) -> JoinChanges {
        let changed = self.store.join(id, patch, subject, shared);
        if let (Some(handle), Some(_)) = (changed.handle, &changed.lost) {
            // A use belongs to the issue that it was made of.
            self.uses[handle.shard()].lock().entry(handle.at()).and_modify(|one| one.due = 0);
        }
        changed
    }

    pub(super) fn issued_at_place(&self, place: RecordId, handle: Handle) {
        self.places.insert(&place, handle.bits());
    }

    pub(super) fn forget_place(&self, place: RecordId, handle: Handle) {
        self.places.remove(&place, handle.bits());
    }

    /// Joins a use of the ticket that was issued at that place. True if there is that ticket.
    pub(super) fn used(&self, place: RecordId, used_at: Timestamp, shared: &InternedValues) -> bool {
        let is = |bits| self.store.at(Handle::from_bits(bits), |held| issued_at(held, shared) == Some(place));
        let Some(bits) = self.places.find(&place, |bits| is(bits).unwrap_or_default()) else { return false };
        let handle = Handle::from_bits(bits);
        let in_row = |row: &mut TicketRow| used_at <= row.0.latest() || row.0.set_latest(used_at);
        if !self.store.with_row(handle, in_row) {
            self.store.change(handle, None, shared, |ticket| {
                ticket.used(place, used_at);
            });
        }
        // Memory need not keep what the record says.
        let mut uses = self.uses[handle.shard()].lock();
        if uses.get(&handle.at()).is_some_and(|one| !one.waits() && one.seen_at.max(one.due_at()) <= used_at) {
            uses.remove(&handle.at());
        }
        true
    }

    /// The latest request that memory knows of.
    pub(super) fn seen_at(&self, id: CredentialId) -> Timestamp {
        self.store.look(id, |handle, held| self.in_use(handle).seen_at.max(last_use_at(held))).unwrap_or_default()
    }

    /// Notes a request: strictly later than the one before it, in milliseconds.
    pub(super) fn touch(&self, id: CredentialId, now: Timestamp) -> Option<Timestamp> {
        self.store.look(id, |handle, held| {
            // A ticket that is found by its id alone has no uses: it lives as long as the log says.
            let Some(handle) = handle else { return now };
            let mut uses = self.uses[handle.shard()].lock();
            let one = uses.entry(handle.at()).or_default();
            one.seen_at = now.max(one.seen_at.max(last_use_at(held)).plus_millis(1));
            one.seen_at
        })
    }

    /// Notes a request that another process has seen. It is nothing new where a later one is known.
    pub(super) fn saw(&self, id: CredentialId, seen_at: Timestamp) {
        self.store.look(id, |handle, held| {
            let Some(handle) = handle.filter(|_| last_use_at(held) < seen_at) else { return };
            let mut uses = self.uses[handle.shard()].lock();
            let one = uses.entry(handle.at()).or_default();
            one.seen_at = one.seen_at.max(seen_at);
        });
    }

    /// Notes a use that is to be recorded. True if the ticket did not wait for the next flush yet, and does from now
    /// on.
    pub(super) fn queue(&self, id: CredentialId, used_at: Timestamp) -> bool {
        let queued = self.store.look(id, |handle, _| {
            let Some(handle) = handle else { return false };
            let mut uses = self.uses[handle.shard()].lock();
            let one = uses.entry(handle.at()).or_default();
            let waited = one.waits();
            one.due = one.due_at().max(used_at).as_millis() << 1 | 1;
            !waited
        });
        queued.unwrap_or_default()
    }

    /// Takes the ticket off the queue; returns its latest use that is to be recorded.
    pub(super) fn dequeue(&self, id: CredentialId) -> Option<Timestamp> {
        let taken = self.store.look(id, |handle, _| {
            let handle = handle?;
            let mut uses = self.uses[handle.shard()].lock();
            let one = uses.get_mut(&handle.at())?;
            one.due &= !1;
            Some(one.due_at())
        });
        taken.flatten()
    }

    /// Like [`Store::sweep`], with the uses that only memory knows.
    pub(super) fn sweep(
        &self,
        shard: usize,
        from: u32,
        slots: usize,
        now: Timestamp,
        shared: &InternedValues,
    ) -> Swept {
        let swept = self.store.sweep(shard, from, slots, now, shared);
        let mut uses = self.uses[shard].lock();
        let past = swept.past.iter().filter_map(|(_, changed)| changed.handle);
        for handle in swept.gone.iter().filter_map(|one| one.handle).chain(past) {
            uses.remove(&handle.at());
        }
        swept
    }

    fn in_use(&self, handle: Option<Handle>) -> Use {
        let Some(handle) = handle else { return Use::default() };
        self.uses[handle.shard()].lock().get(&handle.at()).copied().unwrap_or_default()
    }
}

fn value(held: SlotContent<'_, TicketRow>, shared: &InternedValues) -> Credential {
    match held {
        SlotContent::Packed(row) => row.unpack(shared).unwrap_or_default(),
        SlotContent::Apart(_, ticket) => ticket.clone(),
    }
}

fn last_use_at(held: SlotContent<'_, TicketRow>) -> Timestamp {
    match held {
        SlotContent::Packed(row) => row.0.latest(),
        SlotContent::Apart(_, ticket) => ticket.latest,
    }
}

fn issued_at(held: SlotContent<'_, TicketRow>, shared: &InternedValues) -> Option<RecordId> {
    match held {
        SlotContent::Packed(row) => shared.unpack_place(row.0.place).map(|(place, _)| place),
        SlotContent::Apart(_, ticket) => ticket.issue.as_ref().map(|issue| issue.place),
    }
}
