//! Tickets in shards: slabs behind locks that readers share.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::domain::{CredentialId, Endings, Place, Stranger, Subject, Tenant, Ticket, TicketIssue, Timestamp};

/// A power of two: the id's first byte chooses. Many, so that a snapshot or sweep holds few readers up, and briefly.
pub(super) const SHARDS: usize = 256;

/// A ticket with what only memory knows of it.
struct Slot {
    id: CredentialId,
    issue: Option<Box<TicketIssue>>,
    last_use_at: Timestamp,
    endings: Option<Box<Endings>>,
    /// The latest request, in milliseconds since 1970; on record only once a tenth of the ticket's life has gone by.
    seen_at: AtomicU64,
    /// The latest use that is to go on record, in milliseconds since 1970, times two; odd while it waits for the next flush.
    due: AtomicU64,
}

impl Slot {
    fn ticket(&self) -> Ticket {
        Ticket {
            issue: self.issue.as_deref().cloned(),
            last_use_at: self.last_use_at,
            endings: self.endings.as_deref().cloned().unwrap_or_default(),
        }
    }

    /// The ticket itself, to be set again.
    fn take(&mut self) -> Ticket {
        Ticket {
            issue: self.issue.take().map(|issue| *issue),
            last_use_at: self.last_use_at,
            endings: self.endings.take().map(|endings| *endings).unwrap_or_default(),
        }
    }

    fn set(&mut self, ticket: Ticket) {
        self.issue = ticket.issue.map(Box::new);
        self.last_use_at = ticket.last_use_at;
        self.endings = (!ticket.endings.is_empty()).then(|| Box::new(ticket.endings));
        self.seen_at.fetch_max(self.last_use_at.as_millis(), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Shard {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
}

/// Ids are parts of digests or random: their last bytes are a hash already.
fn hash(id: &CredentialId) -> u64 {
    let mut tail = [0; 8];
    tail.copy_from_slice(&id.as_bytes()[8..]);
    u64::from_ne_bytes(tail)
}

impl Shard {
    fn find(&self, id: &CredentialId) -> Option<&Slot> {
        let is = |at: &u32| self.slots[*at as usize].as_ref().is_some_and(|slot| slot.id == *id);
        self.by_id.find(hash(id), is).and_then(|at| self.slots[*at as usize].as_ref())
    }

    fn find_mut(&mut self, id: &CredentialId) -> Option<&mut Slot> {
        let slots = &self.slots;
        let is = |at: &u32| slots[*at as usize].as_ref().is_some_and(|slot| slot.id == *id);
        let at = *self.by_id.find(hash(id), is)?;
        self.slots[at as usize].as_mut()
    }

    fn entry(&mut self, id: CredentialId) -> &mut Slot {
        let slots = &self.slots;
        let is = |at: &u32| slots[*at as usize].as_ref().is_some_and(|slot| slot.id == id);
        let at = match self.by_id.find(hash(&id), is) {
            Some(at) => *at,
            None => self.add(id),
        };
        self.slots[at as usize].get_or_insert_with(|| empty(id))
    }

    fn add(&mut self, id: CredentialId) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[at as usize] = Some(empty(id));
        let slots = &self.slots;
        self.by_id.insert_unique(hash(&id), at, |at| slots[*at as usize].as_ref().map_or(0, |slot| hash(&slot.id)));
        at
    }

    fn remove(&mut self, at: usize) {
        let Some(slot) = self.slots[at].take() else { return };
        if let Ok(entry) = self.by_id.find_entry(hash(&slot.id), |found| *found as usize == at) {
            entry.remove();
        }
        self.free.push(at as u32);
    }
}

fn empty(id: CredentialId) -> Slot {
    Slot {
        id,
        issue: None,
        last_use_at: Timestamp::default(),
        endings: None,
        seen_at: AtomicU64::new(0),
        due: AtomicU64::new(0),
    }
}

/// What a join changed, beyond the ticket itself.
#[derive(Default)]
pub(super) struct Changed {
    /// The issue that another one has taken the place of.
    pub(super) lost: Option<Issued>,
    /// The issue that is new.
    pub(super) gained: Option<Issued>,
    /// Who had recorded endings of it without knowing it, and who has now.
    pub(super) strangers: [Vec<Stranger>; 2],
}

/// Where and for whom a ticket was issued.
#[derive(PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) place: Place,
    pub(super) tenant: Tenant,
    pub(super) subject: Subject,
}

impl Issued {
    fn of(issue: &TicketIssue) -> Self {
        Self { place: issue.place, tenant: issue.tenant.clone(), subject: issue.subject.clone() }
    }
}

/// All tickets.
pub(super) struct Tickets {
    shards: Box<[RwLock<Shard>]>,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Tickets {
    pub(super) fn get(&self, id: CredentialId) -> Ticket {
        self.shard(&id).read().find(&id).map(Slot::ticket).unwrap_or_default()
    }

    /// The ticket, and its latest use that is to go on record.
    pub(super) fn get_with_use(&self, id: CredentialId) -> (Ticket, Timestamp) {
        let shard = self.shard(&id).read();
        let Some(slot) = shard.find(&id) else { return Default::default() };
        (slot.ticket(), used_at(slot.due.load(Ordering::Relaxed)))
    }

    pub(super) fn join(&self, id: CredentialId, patch: Ticket) -> Changed {
        let mut shard = self.shard(&id).write();
        let slot = shard.entry(id);
        let mut ticket = slot.take();
        let before = ticket.issue.as_ref().map(Issued::of);
        let strangers_before = ticket.endings.strangers();
        ticket.merge(patch);
        let after = ticket.issue.as_ref().map(Issued::of);
        let strangers = [strangers_before, ticket.endings.strangers()];
        slot.set(ticket);
        if before == after {
            return Changed { strangers, ..Changed::default() };
        }
        // A use belongs to the issue that it was made of.
        slot.due.store(0, Ordering::Relaxed);
        Changed { lost: before, gained: after, strangers }
    }

    /// Joins a use of the ticket that was issued at that place. True if there is that ticket.
    pub(super) fn used(&self, id: CredentialId, issued: Place, used_at: Timestamp) -> bool {
        let mut shard = self.shard(&id).write();
        let Some(slot) = shard.find_mut(&id) else { return false };
        let mut ticket = slot.take();
        let is_this = ticket.used(issued, used_at);
        slot.set(ticket);
        is_this
    }

    /// The latest request that memory knows of.
    pub(super) fn seen_at(&self, id: CredentialId) -> Timestamp {
        let shard = self.shard(&id).read();
        let seen_at = shard.find(&id).map_or(0, |slot| slot.seen_at.load(Ordering::Relaxed));
        Timestamp::from_millis(seen_at).unwrap_or_default()
    }

    /// Notes a request: strictly later than the one before it, in milliseconds.
    pub(super) fn touch(&self, id: CredentialId, now: Timestamp) -> Option<Timestamp> {
        let shard = self.shard(&id).read();
        let slot = shard.find(&id)?;
        let later = |seen_at: u64| Some(now.as_millis().max(seen_at + 1));
        let before = slot.seen_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).ok()?;
        later(before).and_then(Timestamp::from_millis)
    }

    /// Notes a use that is to go on record. True if the ticket did not wait for the next flush yet, and does from now on.
    pub(super) fn queue(&self, id: CredentialId, used_at: Timestamp) -> bool {
        let shard = self.shard(&id).read();
        let Some(slot) = shard.find(&id) else { return false };
        let waits = |due: u64| Some((due >> 1).max(used_at.as_millis()) << 1 | 1);
        slot.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, waits).is_ok_and(|due| due & 1 == 0)
    }

    /// Takes the ticket off the queue; its latest use that is to go on record.
    pub(super) fn dequeue(&self, id: CredentialId) -> Option<Timestamp> {
        let shard = self.shard(&id).read();
        Some(used_at(shard.find(&id)?.due.fetch_and(!1, Ordering::Relaxed)))
    }

    /// Removes what is over among that many slots of a shard; returns those tickets, and where to go on in the shard.
    pub(super) fn sweep(
        &self,
        shard: usize,
        from: usize,
        slots: usize,
        now: Timestamp,
    ) -> (Vec<(CredentialId, Ticket)>, Option<usize>) {
        let mut shard = self.shards[shard].write();
        let end = (from + slots).min(shard.slots.len());
        let mut over = Vec::new();
        for at in from..end {
            let Some(slot) = &shard.slots[at] else { continue };
            if is_over(slot, now) {
                over.push((slot.id, slot.ticket()));
                shard.remove(at);
            }
        }
        let rest = (end < shard.slots.len()).then_some(end);
        (over, rest)
    }

    /// Visits every ticket of a shard while its lock is shared.
    pub(super) fn visit(&self, shard: usize, mut visit: impl FnMut(CredentialId, Ticket)) {
        for slot in self.shards[shard].read().slots.iter().flatten() {
            visit(slot.id, slot.ticket());
        }
    }

    /// Visits every ticket of a shard that has an ending.
    pub(super) fn visit_ended(&self, shard: usize, mut visit: impl FnMut(CredentialId, Ticket)) {
        for slot in self.shards[shard].read().slots.iter().flatten().filter(|slot| slot.endings.is_some()) {
            visit(slot.id, slot.ticket());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().by_id.len()).sum()
    }

    /// Slots of all shards, for planning a sweep.
    pub(super) fn slots(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().slots.len()).sum()
    }

    fn shard(&self, id: &CredentialId) -> &RwLock<Shard> {
        &self.shards[usize::from(id.as_bytes()[0]) % SHARDS]
    }
}

fn used_at(due: u64) -> Timestamp {
    Timestamp::from_millis(due >> 1).unwrap_or_default()
}

fn is_over(slot: &Slot, now: Timestamp) -> bool {
    let life = slot.issue.as_ref().map(|issue| issue.not_after);
    let kept = slot.endings.as_ref().and_then(|endings| endings.retain_until());
    life.max(kept).is_none_or(|until| until <= now)
}
