//! Issues and revocations, day by day.

use std::collections::BTreeMap;

use super::changes::{Change, ChangeTotals};
use super::{AuditError, pages};
use crate::domain::{Position, Recorded, Timestamp};
use crate::event_log::{Base, Reader};

const DAY_MILLIS: u64 = 86_400_000;

/// A day of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    /// The day of that instant.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.as_millis() / DAY_MILLIS)
    }

    /// The day before this.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let midnight = Timestamp::default().plus_millis(self.0 * DAY_MILLIS).to_string();
        f.write_str(midnight.split('T').next().unwrap_or_default())
    }
}

/// The issues and revocations in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub records: u64,
    /// In all.
    pub counted: ChangeTotals,
    /// Each day with any, by the clocks of the origins.
    pub days: BTreeMap<Day, ChangeTotals>,
}

/// Counts the issues and revocations of a log, from its beginning to its end when the count starts.
///
/// `progress` is called once for each page with the position reached and the last one.
pub fn stats(reader: &Reader, mut progress: impl FnMut(Position, Position)) -> Result<Stats, AuditError> {
    let head = reader.head().map_err(|error| AuditError::from_read(error, &Base::default()))?;
    let mut stats = Stats::default();
    pages::read(
        reader,
        head,
        &mut progress,
        |row| row.decode(),
        |records| {
            records.iter().for_each(|recorded| stats.count(recorded));
            Ok(())
        },
    )?;
    Ok(stats)
}

impl Stats {
    fn count(&mut self, recorded: &Recorded) {
        self.records += 1;
        if let Some(change) = Change::of(recorded) {
            let who = recorded.actor.as_ref().into();
            self.counted.add(who, change);
            self.days.entry(Day::of(recorded.recorded_at)).or_default().add(who, change);
        }
    }
}
