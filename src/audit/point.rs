//! Points in the past: the records that were there, and the instant at which they are judged.

use std::fmt;
use std::str::FromStr;

use super::QuestionError;
use crate::domain::{Malformed, Position, RecordId, Recorded, Sequence, Timestamp};
use crate::event_log::{Damage, ReadError, Reader};

/// A point in the past, as a question names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// An instant: for each origin the records that it had recorded by then, on its own clock.
    Recorded(Timestamp),
    /// An instant: the records that this node had stored by then, on its own clock.
    KnownHere(Timestamp),
    /// The first so many records, judged when the last of them was recorded.
    Position(Position),
}

impl Point {
    /// The same instant by what this node had stored then. A position stays as it is.
    #[must_use]
    pub const fn known_here(self) -> Self {
        match self {
            Self::Recorded(at) => Self::KnownHere(at),
            other => other,
        }
    }
}

impl FromStr for Point {
    type Err = Malformed;

    /// A whole number is a position, and everything else an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed =
            Malformed("an RFC 3339 time such as 2026-06-01T14:03:00Z, not seconds since 1970, or a position from 1");
        if let Ok(position) = text.parse() {
            return if position == 0 { Err(FORM) } else { Ok(Self::Position(Position(position))) };
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| FORM)?;
        let millis = u64::try_from(instant.as_millisecond()).ok().and_then(Timestamp::from_millis);
        millis.map(Self::Recorded).ok_or(FORM)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(at) => at.fmt(f),
            Self::KnownHere(at) => write!(f, "{at} as stored here"),
            Self::Position(position) => write!(f, "position {position}"),
        }
    }
}

/// The records of a log up to a point: per origin a prefix, so that the fold over them is a state that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPrefix {
    /// The instant at which they are judged.
    pub at: Timestamp,
    /// The last position that can be among them.
    pub until: Position,
    /// The instant after which no record counts.
    pub recorded_by: Option<Timestamp>,
}

impl LogPrefix {
    /// Finds the prefix of that point in a log that goes to `head`.
    pub fn of(point: Point, reader: &Reader, head: Position) -> Result<Self, QuestionError> {
        match point {
            // An origin's clock never goes back, so the records that it had made by then are a prefix.
            Point::Recorded(at) => Ok(Self { at, until: head, recorded_by: Some(at) }),
            Point::KnownHere(at) => Ok(Self { at, until: stored_by(reader, at, head)?, recorded_by: None }),
            Point::Position(position) if position > head => Err(QuestionError::Beyond { position, head }),
            Point::Position(position) => {
                let absent = ReadError::Damaged { position, damage: Damage::Absent };
                let at = reader.find(position)?.ok_or(absent)?.decode()?.recorded_at;
                Ok(Self { at, until: position, recorded_by: None })
            }
        }
    }

    /// Whether the record at that position is one of them.
    pub fn holds(&self, position: Position, recorded: &Recorded) -> bool {
        position <= self.until && self.recorded_by.is_none_or(|by| recorded.recorded_at <= by)
    }
}

/// The last position that was stored by then. A node's ledger time goes back only if an earlier time was accepted, and
/// then the node continues under a new origin: between two openings of origins the times are in order.
fn stored_by(reader: &Reader, at: Timestamp, head: Position) -> Result<Position, ReadError> {
    let mut ends = vec![head.0];
    for origin in reader.origins()? {
        let opening = reader.find_place(RecordId { origin, sequence: Sequence(1) })?.map(|stored| stored.position.0);
        ends.extend(opening.map(|opening| opening.saturating_sub(1)).filter(|end| *end < head.0));
    }
    ends.sort_unstable();
    while let Some(end) = ends.pop() {
        let before = ends.last().copied().unwrap_or_default();
        let (mut low, mut high) = (before, end);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let position = Position(middle);
            let absent = ReadError::Damaged { position, damage: Damage::Absent };
            let stored = reader.find(position)?.ok_or(absent)?;
            if stored.stored_at <= at { low = middle } else { high = middle - 1 }
        }
        if low > before {
            return Ok(Position(low));
        }
    }
    Ok(Position(0))
}
