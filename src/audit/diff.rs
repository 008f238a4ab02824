//! The changes between two points.

use super::changes::{Change, ChangeTotals};
use super::{LogPrefix, QuestionError};
use crate::domain::{Origin, Position, RecordId, Recorded, Sequence, Timestamp};
use crate::event_log::{Damage, MAX_PAGE_ROWS, ReadError, Reader, StoredRecord};

/// The changes between two points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointDifference {
    /// Records between them.
    pub records: u64,
    /// The issues and revocations, with their actors.
    pub counted: ChangeTotals,
}

/// Counts the changes in the records of `to` that are not in `from`, and gives each change to `each`.
///
/// If the points are times, only the part of the log is read that can hold such records. `progress` is called once for
/// each page with the position reached and the last one.
pub fn diff(
    reader: &Reader,
    from: &LogPrefix,
    to: &LogPrefix,
    mut progress: impl FnMut(Position, Position),
    mut each: impl FnMut(&StoredRecord, &Recorded, Change),
) -> Result<PointDifference, QuestionError> {
    let positions = from.recorded_by.is_none() && to.recorded_by.is_none();
    if (positions && from.until > to.until) || from.at > to.at {
        return Err(QuestionError::Order);
    }
    let (first, last) = (first_beyond(reader, from)?, last_of(reader, to)?);
    let mut changed = PointDifference::default();
    let mut base = reader.base_at(Position(first.0.saturating_sub(1)))?;
    while base.position < last {
        let due = base.position.next();
        let page = reader.next_page(&mut base, (last.0 - due.0 + 1).min(MAX_PAGE_ROWS as u64) as usize)?;
        if page.is_empty() {
            return Err(ReadError::Damaged { position: due, damage: Damage::Absent }.into());
        }
        for stored in &page {
            let recorded = stored.decode()?;
            if from.holds(stored.position, &recorded) || !to.holds(stored.position, &recorded) {
                continue;
            }
            changed.records += 1;
            if let Some(change) = Change::of(&recorded) {
                changed.counted.add(recorded.actor.as_ref().into(), change);
                each(stored, &recorded, change);
            }
        }
        progress(base.position, last);
    }
    Ok(changed)
}

/// The first position that can be beyond the prefix.
fn first_beyond(reader: &Reader, prefix: &LogPrefix) -> Result<Position, QuestionError> {
    let Some(by) = prefix.recorded_by else { return Ok(prefix.until.next()) };
    let mut first = prefix.until.next();
    for origin in reader.origins()? {
        let last = recorded_by(reader, origin, by)?;
        first =
            reader.position_after(RecordId { origin, sequence: last })?.map_or(first, |position| position.min(first));
    }
    Ok(first)
}

/// The last position that the prefix can have.
fn last_of(reader: &Reader, prefix: &LogPrefix) -> Result<Position, QuestionError> {
    let Some(by) = prefix.recorded_by else { return Ok(prefix.until) };
    let mut last = Position(0);
    for origin in reader.origins()? {
        let place = RecordId { origin, sequence: recorded_by(reader, origin, by)? };
        last = last.max(reader.find_place(place)?.map_or(Position(0), |stored| stored.position));
    }
    Ok(last.min(prefix.until))
}

/// The last sequence that the origin had recorded by then: its clock never goes back.
fn recorded_by(reader: &Reader, origin: Origin, by: Timestamp) -> Result<Sequence, QuestionError> {
    let head = reader.current_base()?.heads.get(&origin).map_or(0, |head| head.sequence.0);
    let (mut low, mut high) = (0, head);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let absent = ReadError::Damaged { position: Position(0), damage: Damage::Absent };
        let stored = reader.find_place(RecordId { origin, sequence: Sequence(middle) })?.ok_or(absent)?;
        if stored.decode()?.recorded_at <= by { low = middle } else { high = middle - 1 }
    }
    Ok(Sequence(low))
}
