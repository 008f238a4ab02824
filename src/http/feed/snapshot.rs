//! Every revocation in force: the start for a follower without a cursor, or with a useless one.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde::Serialize;

use crate::domain::{Tenant, Timestamp};
use crate::feed::{FeedFilter, snapshot_items};
use crate::http::SharedApp;
use crate::json;
use crate::projection::RevocationMark;
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

struct Walk {
    app: SharedApp,
    filter: FeedFilter,
    pace: Pace,
    now: Timestamp,
    step: SnapshotStep,
    count: u64,
}

enum SnapshotStep {
    First,
    /// The tenants to walk through, the last in the list first, or all.
    Walk(Option<Vec<Option<Tenant>>>, WalkPlace),
    Done,
}

/// The tenant and the place in it that the walk has reached.
struct WalkPlace {
    tenant: Option<Option<Tenant>>,
    mark: Option<RevocationMark>,
}

/// The snapshot as lines of JSON: `{ledger, cursor}`, the revocations, `{end, count}`.
///
/// The cursor is taken first, so that a follower that continues from it misses nothing; a revocation that is recorded
/// meanwhile may come twice. Only the revocations of tenants that the reader may follow are looked at.
pub(super) fn body(app: SharedApp, filter: FeedFilter, pace: Pace) -> Body {
    let now = app.service.clock().now();
    let walk = Walk { app, filter, pace, now, step: SnapshotStep::First, count: 0 };
    Body::from_stream(stream::unfold(walk, |mut walk| async move {
        let chunk = walk.chunk().await?;
        // The reader may take its time, and holds nobody up meanwhile.
        walk.pace.rest();
        Some((Ok::<_, Infallible>(chunk), walk))
    }))
}

impl Walk {
    async fn chunk(&mut self) -> Option<Bytes> {
        match &mut self.step {
            SnapshotStep::First => {
                let cursor = self.app.hub.tip().cursor.to_string();
                let mut tenants = self.filter.tenants();
                tenants.iter_mut().for_each(|tenants| tenants.reverse());
                let mut place = WalkPlace { tenant: None, mark: None };
                self.next_tenant(&mut tenants, &mut place);
                self.step = SnapshotStep::Walk(tenants, place);
                let mut first = Vec::new();
                write(
                    &mut first,
                    &SnapshotFirstLine { ledger: self.app.service.ledger().to_string(), cursor: &cursor },
                );
                Some(first.into())
            }
            SnapshotStep::Walk(tenants, place) => {
                let (mut tenants, mut place) =
                    (tenants.take(), WalkPlace { tenant: place.tenant.take(), mark: place.mark });
                let lines = self.lines(&mut tenants, &mut place).await;
                self.step =
                    if place.tenant.is_some() { SnapshotStep::Walk(tenants, place) } else { SnapshotStep::Done };
                Some(lines.into())
            }
            SnapshotStep::Done => None,
        }
    }

    /// The next lines, and after the last tenant the closing line.
    async fn lines(&mut self, tenants: &mut Option<Vec<Option<Tenant>>>, place: &mut WalkPlace) -> Vec<u8> {
        let mut lines = Vec::new();
        while let Some(tenant) = &place.tenant {
            self.pace.go_on().await;
            let (revocations, next) =
                self.app.service.revocations_in_force(tenant, self.filter.kinds, place.mark, self.now);
            for item in revocations.iter().flat_map(|revocation| snapshot_items(revocation, &self.filter)) {
                write(&mut lines, &item);
                self.count += 1;
            }
            place.mark = next;
            if next.is_none() {
                self.next_tenant(tenants, place);
            }
            let is_enough = lines.len() >= CHUNK_BYTES || self.pace.is_over() && !lines.is_empty();
            if is_enough && place.tenant.is_some() {
                return lines;
            }
        }
        write(&mut lines, &SnapshotLastLine { end: true, count: self.count });
        lines
    }

    /// Goes on to the next tenant that is wanted, if there is one.
    fn next_tenant(&self, tenants: &mut Option<Vec<Option<Tenant>>>, place: &mut WalkPlace) {
        place.mark = None;
        place.tenant = match tenants {
            Some(tenants) => tenants.pop(),
            None => {
                let after = |tenant: Option<&Option<Tenant>>| self.app.service.revoked_after(tenant);
                let passes = |tenant: &Option<Tenant>| self.filter.passes_tenant(tenant.as_ref());
                // Tenants with fewer grants than the others are few: they stand in the grants.
                std::iter::successors(after(place.tenant.as_ref()), |tenant| after(Some(tenant))).find(passes)
            }
        };
    }
}

fn write(lines: &mut Vec<u8>, value: &impl Serialize) {
    json::append(lines, value);
    lines.push(b'\n');
}
