//! What compact snapshots share: the memory in which they gather marks, and the turns to sort them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::compact::{SortedFrame, Unsorted};
use crate::service::{Bounds, Failure, FairShare, Party};

/// Marks that all snapshots together gather: some 50 MB.
const ROOM: usize = 4 << 20;
/// Marks that each may gather, however many there are. Its blocks are then a tenth larger than they could be.
const LEAST_ROOM: usize = 16 << 10;
/// Blocks that are sorted at the same time. Each open snapshot waits for one at most, and each holds a connection.
const SORTING: Bounds = Bounds { turns: 2, turns_of_tenant: 1, caller: 1 << 20, tenant: 1 << 20, all: 1 << 20 };

/// The compact snapshots that are being read.
pub struct Snapshots {
    open: AtomicUsize,
    sorting: Arc<FairShare>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), sorting: FairShare::new(SORTING) }
    }
}

/// A snapshot that is being read, for as long as this exists.
pub struct OpenSnapshot {
    all: Arc<Snapshots>,
    party: Party,
}

impl Snapshots {
    /// A snapshot for that caller begins.
    pub fn open(self: &Arc<Self>, party: Party) -> OpenSnapshot {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenSnapshot { all: self.clone(), party }
    }
}

impl Drop for OpenSnapshot {
    fn drop(&mut self) {
        self.all.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OpenSnapshot {
    /// The marks that it may gather now.
    pub fn room(&self) -> usize {
        (ROOM / self.all.open.load(Ordering::Relaxed).max(1)).max(LEAST_ROOM)
    }

    /// Sorts a block when it is the caller's turn, away from the threads that answer.
    pub async fn sort(&self, unsorted: Unsorted) -> Result<SortedFrame, Failure> {
        let admitted = self.all.sorting.admit(&self.party)?;
        let turn = admitted.turn().await;
        // It keeps its turn to its end, even if its caller no longer waits.
        let sort = move || {
            let _turn = (turn, admitted);
            unsorted.sort()
        };
        tokio::task::spawn_blocking(sort).await.map_err(|_| Failure::Stopping)
    }
}
