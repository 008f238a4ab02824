//! The courier's counters for the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Counters that only grow, from the start of the process.
#[derive(Debug, Default)]
pub struct CourierCounters {
    /// Parcels sent to a stream, including those that were sent again.
    pub published: AtomicU64,
    /// Parcels that a stream's servers acknowledged.
    pub acknowledged: AtomicU64,
    /// Parcels sent as plain messages.
    pub published_live: AtomicU64,
    /// Parcels that arrived as plain messages.
    pub received_live: AtomicU64,
    /// Plain messages that were dropped because too many waited; the streams have them.
    pub dropped_live: AtomicU64,
    /// Parcels that arrived from streams and held something new.
    pub received_from_streams: AtomicU64,
    /// Announcements that arrived.
    pub heard: AtomicU64,
    /// Connections that were made anew after one was lost.
    pub reconnects: AtomicU64,
    /// Own streams that were abandoned because they had lost something.
    pub abandoned: AtomicU64,
    /// How often an own stream was left alone because its settings weaken its acknowledgements.
    pub unfit: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl CourierCounters {
    /// How many parcels or announcements were refused, by the reason's code.
    pub fn refused_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.refused.lock().clone()
    }

    pub(super) fn refused(&self, reason: &'static str) {
        *self.refused.lock().entry(reason).or_default() += 1;
    }
}

/// Counts one more.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
