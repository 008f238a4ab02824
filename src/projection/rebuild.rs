//! How the state comes to be at a start: from a snapshot and the tail of the log, or from the log alone.

use std::path::Path;

use super::Projection;
use super::snapshot::{self, SnapshotError};
use crate::domain::{Position, Timestamp};
use crate::event_log::{MAX_PAGE_ROWS, ReadError, Reader};

/// Records between two prunings while the log is folded: memory follows what is alive, not what ever was.
const PRUNE_EVERY: u64 = 1_000_000;

/// Where the state came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A snapshot that stands at that position.
    Snapshot(Position),
    /// The log from its beginning.
    Log,
}

/// A state that has reached the end of the log.
pub struct Rebuilt {
    /// The state.
    pub projection: Projection,
    /// Where it came from.
    pub source: Source,
    /// How many records were read for it.
    pub records_read: u64,
}

/// Loads the snapshot in that directory and replays the tail, or replays the whole log where no snapshot can be used.
///
/// `progress` is called with the position reached and the head, once a page.
pub fn rebuild(
    reader: &Reader,
    snapshots: &Path,
    mut progress: impl FnMut(Position, Position),
) -> Result<Rebuilt, ReadError> {
    let (projection, source) = match load_on(reader, snapshots)? {
        Ok(projection) => {
            let position = projection.base().position;
            (projection, Source::Snapshot(position))
        }
        Err(SnapshotError::Absent) => (Projection::default(), Source::Log),
        Err(error) => {
            let path = snapshots.join("state");
            tracing::warn!(path = %path.display(), %error, "the snapshot is ignored; the state is folded from the log");
            (Projection::default(), Source::Log)
        }
    };
    let records_read = catch_up(&projection, reader, None, &mut progress)?;
    Ok(Rebuilt { projection, source, records_read })
}

/// Folds in what the log has beyond the projection's base, up to that position if one is named; how many records that were.
pub fn catch_up(
    projection: &Projection,
    reader: &Reader,
    until: Option<Position>,
    progress: &mut impl FnMut(Position, Position),
) -> Result<u64, ReadError> {
    let head = until.map_or_else(|| reader.head(), Ok)?;
    let mut base = projection.base();
    let (mut read, mut unpruned) = (0, 0);
    loop {
        let rest = until.map_or(u64::MAX, |until| until.0.saturating_sub(base.position.0));
        let page = reader.next_page(&mut base, rest.min(MAX_PAGE_ROWS as u64) as usize)?;
        let mut recorded_at = Timestamp::default();
        for stored in &page {
            let recorded = stored.decode()?;
            projection.fold(&recorded);
            recorded_at = recorded.recorded_at;
        }
        if page.is_empty() {
            return Ok(read);
        }
        read += page.len() as u64;
        unpruned += page.len() as u64;
        if unpruned >= PRUNE_EVERY {
            // By the log's clock: a record further on may still be about what is over only by ours.
            projection.prune(recorded_at);
            unpruned = 0;
        }
        projection.reached(base.clone());
        progress(base.position, head);
    }
}

/// The snapshot in that directory, if it stands on this very log.
pub fn load_on(reader: &Reader, snapshots: &Path) -> Result<Result<Projection, SnapshotError>, ReadError> {
    let projection = match snapshot::load(snapshots) {
        Ok(projection) => projection,
        Err(error) => return Ok(Err(error)),
    };
    let base = projection.base();
    if base.position > reader.head()? {
        return Ok(Err(SnapshotError::Foreign("it is ahead of the log")));
    }
    if reader.base_at(base.position)? != base {
        return Ok(Err(SnapshotError::Foreign("the chain is another one where it stands")));
    }
    if base.position.0 > 0 && snapshot::ledger(&projection).is_none() {
        return Ok(Err(SnapshotError::Foreign("it names no ledger")));
    }
    Ok(Ok(projection))
}
