//! Removes what has expired: a little at a time, so that no request waits for it.

use std::sync::atomic::Ordering;

use super::handle::SHARDS;
use super::store::{RemovedCredential, Swept};
use super::{Projection, SMALL_SHARDS};
use crate::domain::{CredentialKey, Kind, RecordId, Timestamp, forget_use_at};

/// How long a round of the sweep is planned to take: about so long does anything stay beyond its expiry.
const SWEEP_MILLIS: u64 = 60_000;
/// The least number of slots of each kind that one step of the sweep reads while it locks a shard.
const SWEEP_SLOTS: usize = 4_096;
/// Shards that one step reads, if they are small.
const SWEEP_SHARDS: usize = 8;

/// The place of the sweep. Its steps are spread over a round.
#[derive(Default)]
pub(super) struct Sweep {
    shard: usize,
    slot: u32,
    next_at: Timestamp,
}

impl Projection {
    /// Removes a little of what had expired at `forget_at`, if it is time for that: `now` paces the steps. Called often
    /// by the writer.
    pub fn sweep(&self, now: Timestamp, forget_at: Timestamp) {
        let mut sweep = self.sweep.lock();
        // A longer wait than a round is due to a clock that was ahead.
        if (1..=SWEEP_MILLIS).contains(&sweep.next_at.millis_since(now)) {
            return;
        }
        let _writing = self.writing.lock();
        let most = self.tickets.store.slots().max(self.sessions.store.slots()).max(self.tokens.slots());
        let steps = (most / SWEEP_SLOTS + SHARDS / SWEEP_SHARDS) as u64;
        sweep.next_at = now.plus_millis((SWEEP_MILLIS / steps).max(1));
        self.forgets(forget_at);
        let mut slots = SWEEP_SLOTS;
        for _ in 0..SWEEP_SHARDS {
            let Some(rest) = self.sweep_shard(&mut sweep, slots, forget_at) else { return };
            slots = rest;
        }
    }

    /// Removes everything that has expired at `now`.
    pub fn prune(&self, now: Timestamp) {
        let _writing = self.writing.lock();
        self.forgets(now);
        let mut sweep = Sweep::default();
        for _ in 0..SHARDS {
            while self.sweep_shard(&mut sweep, SWEEP_SLOTS, now).is_none() {}
        }
    }

    /// Before the first of it is removed: a snapshot that is written meanwhile has to say so.
    fn forgets(&self, at: Timestamp) {
        self.forgotten_at.fetch_max(at.as_millis(), Ordering::AcqRel);
    }

    /// The latest instant by which anything was removed because it had expired. Judgements with this state are made
    /// then or later: a credential that is not in it may have been revoked.
    pub fn forgotten_at(&self) -> Timestamp {
        Timestamp::from_millis(self.forgotten_at.load(Ordering::Acquire)).unwrap_or(Timestamp::MAX)
    }

    /// Sweeps so many slots of a shard; returns how many are left for the next one, or nothing if this one has more.
    fn sweep_shard(&self, sweep: &mut Sweep, slots: usize, now: Timestamp) -> Option<usize> {
        let Sweep { shard, slot, .. } = *sweep;
        let rests = [
            self.sweep_kind(Kind::Ticket, self.tickets.sweep(shard, slot, slots, now, &self.shared)),
            self.sweep_kind(Kind::Session, self.sessions.store.sweep(shard, slot, slots, now, &self.shared)),
            self.sweep_kind(Kind::Token, self.tokens.sweep(shard, slot, slots, now, &self.shared)),
        ];
        if rests.iter().any(Option::is_some) {
            sweep.slot = slot + slots as u32;
            return None;
        }
        let emptied = |tenant, subject| self.revoked.remove_subject(tenant, subject);
        self.shared.subjects.sweep(shard, now, emptied);
        if shard < SMALL_SHARDS {
            self.sweep_small(shard, now);
        }
        *sweep = Sweep { shard: (shard + 1) % SHARDS, slot: 0, next_at: sweep.next_at };
        // A nearly empty shard takes a little too.
        Some(slots.saturating_sub(SWEEP_SLOTS / SWEEP_SHARDS).max(1))
    }

    fn sweep_kind(&self, kind: Kind, Swept { gone, past, rest }: Swept) -> Option<u32> {
        for RemovedCredential { handle, id, issued, unknown_revokers, revoked_in } in gone {
            self.count_unknown(&unknown_revokers, &[]);
            let Some(handle) = handle else { continue };
            self.revoked.remove(&revoked_in, handle);
            if kind == Kind::Token {
                self.lists.forget(handle);
            }
            let (Some(issued), key) = (issued, CredentialKey { kind, id }) else { continue };
            self.forget(key, handle, &issued);
            self.shared.subjects.remove(issued.subject, handle, key);
        }
        for (id, changed) in past {
            // No entry was looked up for it.
            let _ = self.changed(CredentialKey { kind, id }, &changed, None);
        }
        rest
    }

    fn sweep_cohorts(&self, now: Timestamp) {
        if !self.cohorts.read().is_empty() {
            self.change_cohorts(|cohorts| cohorts.prune(now));
        }
    }

    fn sweep_small(&self, shard: usize, now: Timestamp) {
        if shard == 0 {
            self.sweep_cohorts(now);
            self.lists.prune(now);
        }
        self.answered.shards[shard].write().retain(|_, answered| now < answered.retain_until());
        let base = self.base.read();
        let awaited =
            |place: &RecordId| base.heads.get(&place.origin).is_none_or(|head| head.sequence < place.sequence);
        self.early_uses.lock().retain(|place, used_at| awaited(place) && now < forget_use_at(*used_at));
    }
}
