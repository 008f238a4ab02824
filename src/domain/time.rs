//! Instants and durations as the ledger keeps them. Nothing here reads a clock.

use std::fmt;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, at most 2^53 − 1 so that every JSON reader keeps it exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The largest integer that a record may hold: 2^53 − 1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

impl Timestamp {
    /// The last instant that a record can hold: an entry that is kept until then is kept permanently.
    pub const MAX: Self = Self(MAX_INTEGER);

    /// The instant that many milliseconds after 1970, or nothing beyond 2^53 − 1.
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis <= MAX_INTEGER { Some(Self(millis)) } else { None }
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The instant that much later; stays at the largest one.
    #[must_use]
    pub const fn plus(self, by: Ttl) -> Self {
        self.plus_millis(by.as_millis())
    }

    /// The instant that much earlier; stays at the smallest one.
    #[must_use]
    pub const fn minus(self, by: Ttl) -> Self {
        Self(self.0.saturating_sub(by.as_millis()))
    }

    /// The instant that many milliseconds later; stays at the largest one.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        let sum = self.0.saturating_add(millis);
        Self(if sum <= MAX_INTEGER { sum } else { MAX_INTEGER })
    }

    /// The whole second that it is in.
    #[must_use]
    pub const fn floor_to_seconds(self) -> Self {
        Self(self.0 - self.0 % 1000)
    }

    /// Milliseconds from `earlier` to this instant; 0 if it is not earlier.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, milliseconds. Its years have four digits: a later instant is shown as the last one that has four.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0.cast_signed()).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.3}")
    }
}

/// A span of whole seconds, from 1 second to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// The longest life of any credential: 366 days.
    pub const MAX: Self = Self(366 * 86_400);

    /// The span of that many seconds, or nothing outside 1 second to 366 days.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds >= 1 && seconds <= Self::MAX.0 as u64 { Some(Self(seconds as u32)) } else { None }
    }

    /// Whole seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0 as u64
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 as u64 * 1000
    }
}

/// How long a revocation is kept at least beyond the expiry of its credential, for clocks that are wrong: 300 s.
pub const RETENTION_MARGIN_MILLIS: u64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instant_is_shown_as_a_time() {
        let shown = |millis| Timestamp::from_millis(millis).expect("within bounds").to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        for late in [253_402_300_800_000, MAX_INTEGER] {
            assert!(shown(late).starts_with("9999-12-30T22:00:00") && shown(late).ends_with('Z'), "{}", shown(late));
        }
    }
}
