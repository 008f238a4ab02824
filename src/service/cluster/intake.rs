//! What a node takes in from other nodes: how much of it at a time, the parcels on their way to the log, and the heads by which a
//! repeated parcel is recognised.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::cluster::{Refusal, SignedHead};
use crate::domain::Origin;
use crate::event_log::Head;
use crate::service::shares::{Bounds, FairShare};

/// Heads of each origin by which a repeated parcel is recognised.
const RECENT_HEADS: usize = 1_024;
/// Origins whose parcels are judged side by side.
const JUDGED_AT_A_TIME: usize = 16;
/// How many bodies with announcements are read at the same time: of one member, and of all.
const ANNOUNCEMENTS: Bounds = Bounds { turns: 0, turns_of_tenant: 0, caller: 8, tenant: 8, all: 256 };
/// How many bodies with offered records are read at the same time: their senders have shown only that they have a head
/// of that origin.
const OFFERS_AT_A_TIME: usize = 2;

/// What is taken in.
pub struct Intake {
    /// Permits for bodies with offered records: with too many, a sender is told to come again.
    pub offers: Semaphore,
    /// Bodies with announcements that are being read, by the sending member.
    pub announcements: Arc<FairShare>,
    refused: [AtomicU64; Refusal::ALL.len()],
    judging: [tokio::sync::Mutex<()>; JUDGED_AT_A_TIME],
    /// For each origin with records on their way to the writer: its head with them, and how many parcels they are.
    queued: Mutex<BTreeMap<Origin, (Head, usize)>>,
    /// The newest heads of each origin that were verified and are held: most parcels come twice, and the second is
    /// recognised by them.
    recent: Mutex<BTreeMap<Origin, VecDeque<SignedHead>>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            offers: Semaphore::new(OFFERS_AT_A_TIME),
            announcements: FairShare::new(ANNOUNCEMENTS),
            refused: Default::default(),
            judging: Default::default(),
            queued: Mutex::default(),
            recent: Mutex::default(),
        }
    }
}

impl Intake {
    /// Whether the records that lead to that very head have been taken lately.
    pub(in crate::service) fn is_recent(&self, head: &SignedHead) -> bool {
        let recent = self.recent.lock();
        recent.get(&head.place.origin).is_some_and(|heads| heads.iter().rev().any(|one| one == head))
    }

    pub(in crate::service) fn is_taken(&self, head: SignedHead) {
        let mut recent = self.recent.lock();
        let heads = recent.entry(head.place.origin).or_default();
        heads.push_back(head);
        if heads.len() > RECENT_HEADS {
            heads.pop_front();
        }
    }

    pub(in crate::service) fn is_queued(&self, origin: Origin, head: Head) {
        let mut queued = self.queued.lock();
        let (last, parcels) = queued.entry(origin).or_default();
        (*last, *parcels) = (head, *parcels + 1);
    }

    /// A queued parcel is durable, or was not taken: then the ones after it are not taken either, and the durable head
    /// counts.
    pub(in crate::service) fn is_settled(&self, origin: Origin, taken: bool) {
        let mut queued = self.queued.lock();
        let Some((_, parcels)) = queued.get_mut(&origin) else { return };
        *parcels -= 1;
        if *parcels == 0 || !taken {
            queued.remove(&origin);
        }
    }

    pub(in crate::service) fn refuse(&self, refusal: Refusal) {
        let known = Refusal::ALL.iter().position(|one| *one == refusal);
        if let Some(count) = known.and_then(|at| self.refused.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(in crate::service) async fn one_at_a_time(&self, origin: Origin) -> tokio::sync::MutexGuard<'_, ()> {
        let sum =
            origin.as_bytes().iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.judging[sum % JUDGED_AT_A_TIME].lock().await
    }

    /// How many parcels were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The head that the next parcel of an origin has to follow: the one that the queue leads to, or else the durable one.
    pub(super) fn head_to_follow(&self, origin: Origin, durable: Head) -> Head {
        let queued = self.queued.lock().get(&origin).map(|(head, _)| *head);
        queued.filter(|queued| queued.sequence > durable.sequence).unwrap_or(durable)
    }
}
