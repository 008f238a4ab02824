//! Reads a log from its beginning, with every core.

use super::AuditError;
use crate::domain::Position;
use crate::event_log::{Base, ReadError, Reader, RowRecord};

/// Reads the log up to that position: `make` makes a value of each record on one of several threads, and `take` is
/// given the values, in the order of positions, on this one.
///
/// Returns where the reading ended. The first error in the order of positions wins. `progress` is called every few
/// thousand records with the position reached and the last one.
pub(super) fn read<T: Send>(
    reader: &Reader,
    until: Position,
    progress: &mut impl FnMut(Position, Position),
    make: impl Fn(&RowRecord<'_>) -> Result<T, ReadError> + Sync,
    mut take: impl FnMut(Vec<T>) -> Result<(), ReadError>,
) -> Result<Base, AuditError> {
    let mut base = Base::default();
    let read = reader.read_ordered(&mut base, until, make, |base, made| {
        take(made)?;
        progress(base.position, until);
        Ok(())
    });
    read.map(|()| base.clone()).map_err(|error| AuditError::from_read(error, &base))
}
