//! Builds the state at a start: from a snapshot and the tail of the log, or from the log alone.

use std::path::Path;

use super::Projection;
use super::snapshot::{self, SnapshotError};
use crate::domain::{Position, Timestamp};
use crate::event_log::{ReadError, Reader};

/// Records between two prunings while the log is folded: memory follows what is live, not what ever was.
const PRUNE_EVERY: u64 = 1_000_000;

/// The source of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateSource {
    /// A snapshot at that position.
    Snapshot(Position),
    /// The log from its beginning.
    Log,
}

/// A state that has reached the end of the log.
pub struct Rebuilt {
    /// The state.
    pub projection: Projection,
    /// The source of the state.
    pub source: StateSource,
    /// How many records were read for it.
    pub records_read: u64,
}

/// The two times by which a state is put together.
#[derive(Clone, Copy, Debug)]
pub struct RebuildTimes {
    /// Entries that have expired at this instant may be left out.
    pub forget_at: Timestamp,
    /// The state will be judged at this instant or later, so no entry may be missing that had not expired then.
    pub judged_at: Timestamp,
}

/// Loads the snapshot in that directory and replays the tail, or replays the whole log if there is no usable snapshot.
///
/// `progress` is called with the position reached and the head, every few thousand records.
pub fn rebuild(
    reader: &Reader,
    snapshots: &Path,
    times: RebuildTimes,
    mut progress: impl FnMut(Position, Position),
) -> Result<Rebuilt, ReadError> {
    let usable = |projection: Projection| match projection.forgotten_at() {
        at if at > times.judged_at => Err(SnapshotError::TooForgetful(at)),
        _ => Ok(projection),
    };
    let (projection, source) = match load_on(reader, snapshots)?.and_then(usable) {
        Ok(projection) => {
            let position = projection.base().position;
            (projection, StateSource::Snapshot(position))
        }
        Err(SnapshotError::Absent) => (Projection::default(), StateSource::Log),
        Err(error) => {
            let path = snapshots.join("state");
            tracing::warn!(path = %path.display(), %error, "the snapshot is ignored; the state is folded from the log");
            (Projection::default(), StateSource::Log)
        }
    };
    let records_read = catch_up(&projection, reader, None, times.forget_at, &mut progress)?;
    Ok(Rebuilt { projection, source, records_read })
}

/// Folds in the records beyond the projection's base, up to that position if one is named; returns how many they were.
///
/// Entries that have expired at `forget_at`, and by the log's own clock, are removed on the way: memory follows what is
/// live.
pub fn catch_up(
    projection: &Projection,
    reader: &Reader,
    until: Option<Position>,
    forget_at: Timestamp,
    progress: &mut impl FnMut(Position, Position),
) -> Result<u64, ReadError> {
    let mut base = projection.base();
    let (first, mut unpruned) = (base.position, 0);
    loop {
        let (before, head) = (base.position, reader.head()?);
        let last = until.map_or(head, |until| until.min(head));
        reader.read_ordered(
            &mut base,
            last,
            |row| row.decode(),
            |base, records| {
                records.iter().for_each(|recorded| projection.fold(recorded));
                unpruned += records.len() as u64;
                if let Some(last) = records.last().filter(|_| unpruned >= PRUNE_EVERY) {
                    // By the log's clock: a later record may still be about a credential that has expired only by ours.
                    // And not by a clock that was ahead: entries that were removed by it would be missing.
                    projection.prune(last.recorded_at.min(forget_at));
                    unpruned = 0;
                }
                projection.reached(base.clone());
                progress(base.position, until.unwrap_or(head));
                Ok(())
            },
        )?;
        // Records that were appended meanwhile are read too.
        if base.position == before {
            return Ok(base.position.0 - first.0);
        }
    }
}

/// The snapshot in that directory, if it was made of this very log.
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
        return Ok(Err(SnapshotError::Foreign("it does not name a ledger")));
    }
    Ok(Ok(projection))
}
