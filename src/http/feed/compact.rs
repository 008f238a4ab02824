//! The snapshot for machines: marks of the same revocations, sorted into blocks.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::time::Instant;

use super::walk::Walk;
use crate::compact::{Frame, Head, Sorter, Unsorted};
use crate::feed::{FeedFilter, OpenSnapshot, snapshot_items};
use crate::http::SharedApp;
use crate::service::{Pace, Party};

/// How long a reader hears nothing while marks are gathered.
const QUIET: Duration = Duration::from_millis(500);

struct CompactSnapshot {
    walk: Walk,
    sorter: Sorter,
    open: OpenSnapshot,
    step: SnapshotStep,
}

enum SnapshotStep {
    First,
    Gather,
    /// The walk is over; blocks are left.
    Rest,
    Done,
}

/// The snapshot: its head, blocks of marks, subjects and cohorts, and the count of them.
///
/// The cursor is taken first, as in the other form. Blocks go out when enough marks for them are gathered; the more snapshots
/// are read at the same time, the smaller are the blocks.
pub(super) fn body(app: SharedApp, filter: FeedFilter, pace: Pace, party: Party) -> Body {
    let open = app.hub.snapshots.open(party);
    let walk = Walk::new(app, filter, pace);
    let sorter = Sorter::new(walk.now());
    let snapshot = CompactSnapshot { walk, sorter, open, step: SnapshotStep::First };
    Body::from_stream(stream::unfold(snapshot, |mut snapshot| async move {
        let chunk = snapshot.chunk().await?;
        // The reader may take its time, and holds nobody up meanwhile.
        snapshot.walk.pace().rest();
        Some((Ok::<_, Infallible>(chunk), snapshot))
    }))
}

impl CompactSnapshot {
    /// The next chunk. A body that ends without its last frame is cut off, and its reader knows.
    async fn chunk(&mut self) -> Option<Bytes> {
        match self.step {
            SnapshotStep::First => {
                self.step = SnapshotStep::Gather;
                Some(self.head())
            }
            SnapshotStep::Gather => {
                let gathered = self.gather().await;
                if self.walk.is_over() {
                    self.step = SnapshotStep::Rest;
                }
                self.frame(gathered).await
            }
            SnapshotStep::Rest => match self.sorter.take(0) {
                Some(unsorted) => self.frame(Some(unsorted)).await,
                None => {
                    self.step = SnapshotStep::Done;
                    Some(self.sorter.complete().to_bytes().into())
                }
            },
            SnapshotStep::Done => None,
        }
    }

    fn head(&self) -> Bytes {
        let service = &self.walk.app().service;
        let (ledger, key, cursor) = (service.ledger(), service.mark_key().clone(), self.walk.cursor().to_string());
        Frame::Head(Head { ledger, key, now: self.walk.now(), cursor }).to_bytes().into()
    }

    /// Walks on until there is enough for a frame, the walk is over, or the reader has heard nothing for a while.
    async fn gather(&mut self) -> Option<Unsorted> {
        let since = Instant::now();
        while !self.walk.is_over() && since.elapsed() < QUIET {
            let revocations = self.walk.step().await;
            for item in revocations.iter().flat_map(|revocation| snapshot_items(revocation, self.walk.filter())) {
                self.sorter.add(item.change(self.walk.app().service.mark_key()));
            }
            let unsorted = self.sorter.take(self.open.room());
            if unsorted.is_some() {
                return unsorted;
            }
        }
        None
    }

    async fn frame(&mut self, unsorted: Option<Unsorted>) -> Option<Bytes> {
        let Some(unsorted) = unsorted else { return Some(Frame::Pause.to_bytes().into()) };
        self.walk.pace().rest();
        let sorted = self.open.sort(unsorted).await.ok()?;
        self.sorter.given_out(&sorted);
        Some(sorted.bytes.into())
    }
}
