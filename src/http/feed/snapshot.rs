//! Every revocation in force: the start for a follower without a cursor, or with a useless one.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde::Serialize;

use super::walk::Walk;
use crate::feed::{FeedFilter, snapshot_items};
use crate::http::SharedApp;
use crate::json;
use crate::service::Pace;

/// A chunk of the body takes no further revocations beyond that.
const CHUNK_BYTES: usize = 16 << 10;

#[derive(Serialize)]
struct SnapshotFirstLine<'a> {
    ledger: String,
    cursor: &'a str,
}

#[derive(Serialize)]
struct SnapshotLastLine {
    end: bool,
    count: u64,
}

struct LinesSnapshot {
    walk: Walk,
    step: SnapshotStep,
    count: u64,
}

enum SnapshotStep {
    First,
    Walk,
    Done,
}

/// The snapshot as lines of JSON: `{ledger, cursor}`, the revocations, `{end, count}`.
///
/// The cursor is taken first, so that a follower that continues from it misses nothing; a revocation that is recorded
/// meanwhile may come twice.
pub(super) fn body(app: SharedApp, filter: FeedFilter, pace: Pace) -> Body {
    let snapshot = LinesSnapshot { walk: Walk::new(app, filter, pace), step: SnapshotStep::First, count: 0 };
    Body::from_stream(stream::unfold(snapshot, |mut snapshot| async move {
        let chunk = snapshot.chunk().await?;
        // The reader may take its time, and holds nobody up meanwhile.
        snapshot.walk.pace().rest();
        Some((Ok::<_, Infallible>(chunk), snapshot))
    }))
}

impl LinesSnapshot {
    async fn chunk(&mut self) -> Option<Bytes> {
        match self.step {
            SnapshotStep::First => {
                self.step = SnapshotStep::Walk;
                let (ledger, cursor) = (self.walk.app().service.ledger().to_string(), self.walk.cursor().to_string());
                let mut first = Vec::new();
                write(&mut first, &SnapshotFirstLine { ledger, cursor: &cursor });
                Some(first.into())
            }
            SnapshotStep::Walk => Some(self.lines().await.into()),
            SnapshotStep::Done => None,
        }
    }

    /// The next lines, and after the last revocation the closing line.
    async fn lines(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        while !self.walk.is_over() {
            let revocations = self.walk.step().await;
            for item in revocations.iter().flat_map(|revocation| snapshot_items(revocation, self.walk.filter())) {
                write(&mut lines, &item);
                self.count += 1;
            }
            let is_enough = lines.len() >= CHUNK_BYTES || self.walk.pace().is_over() && !lines.is_empty();
            if is_enough && !self.walk.is_over() {
                return lines;
            }
        }
        self.step = SnapshotStep::Done;
        write(&mut lines, &SnapshotLastLine { end: true, count: self.count });
        lines
    }
}

fn write(lines: &mut Vec<u8>, value: &impl Serialize) {
    json::append(lines, value);
    lines.push(b'\n');
}
