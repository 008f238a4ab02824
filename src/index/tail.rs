//! The tail: the entries that a server has in memory and has not yet written to a file.

use super::about::about;
use super::key::{IndexKey, IndexKeyHasher};
use super::range::PositionRange;
use super::segment::SegmentEntry;
use crate::domain::{Position, Recorded};

/// Entries of the newest positions, in the order of the positions.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    range: Option<PositionRange>,
    entries: Vec<SegmentEntry>,
}

impl Tail {
    /// The positions that it covers.
    pub(super) fn range(&self) -> Option<PositionRange> {
        self.range
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Adds the next record.
    pub(super) fn add(&mut self, keys: &IndexKeyHasher, position: Position, recorded: &Recorded) {
        let first = self.range.map_or(position.0, |range| range.first);
        self.range = Some(PositionRange { first, last: position.0 });
        about(recorded, |about| self.entries.push(SegmentEntry { key: keys.of(&about), position }));
    }

    /// Takes all entries, sorted by key.
    pub(super) fn take_sorted(&mut self) -> Option<(PositionRange, Vec<SegmentEntry>)> {
        let range = self.range.take()?;
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable();
        // A record may have one name twice.
        entries.dedup();
        Some((range, entries))
    }

    pub(super) fn positions(&self, keys: &[IndexKey], within: PositionRange, found: &mut Vec<Position>) {
        let wanted = |entry: &&SegmentEntry| keys.binary_search(&entry.key).is_ok() && within.contains(entry.position);
        found.extend(self.entries.iter().filter(wanted).map(|entry| entry.position));
    }
}
