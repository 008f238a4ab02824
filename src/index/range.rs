//! Ranges of positions, which segments cover and files are named by.

use crate::domain::Position;

/// Positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PositionRange {
    pub first: u64,
    pub last: u64,
}

impl PositionRange {
    pub(super) fn contains(self, position: Position) -> bool {
        (self.first..=self.last).contains(&position.0)
    }

    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// The common part.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}
