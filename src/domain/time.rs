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
    /// RFC 3339, UTC, milliseconds. Its years have four digits: a later instant is shown as the last one that has four in every time zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most answers show several, and a general formatter takes ten times as long.
        let millis = self.0.min(LAST_SHOWN);
        let (year, month, day) = date(millis / 86_400_000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let numbers = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, millis / 3_600_000 % 24),
            (14..16, millis / 60_000 % 60),
            (17..19, millis / 1000 % 60),
            (20..23, millis % 1000),
        ];
        for (digits, mut number) in numbers {
            for digit in text[digits].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The last instant whose year has four digits in every time zone: 9999-12-30T22:00:00.999Z.
const LAST_SHOWN: u64 = 253_402_207_200_999;

/// Year, month and day of that day after 1970-01-01, in the Gregorian calendar.
///
/// Counted from 0000-03-01, so that a leap day is the last day of its year, in cycles of 400 years, which have 146,097 days each.
const fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Five months from March on have 153 days, and so have the next five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle + (month <= 2) as u64;
    (year, month, day)
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
    use proptest::prelude::*;

    use super::*;

    fn shown(millis: u64) -> String {
        Timestamp::from_millis(millis).expect("within bounds").to_string()
    }

    /// By the crate that reads times.
    fn formatted(millis: u64) -> String {
        let time = jiff::Timestamp::from_millisecond(millis.cast_signed()).unwrap_or(jiff::Timestamp::MAX);
        format!("{time:.3}")
    }

    proptest! {
        #[test]
        fn an_instant_is_shown_as_a_general_formatter_shows_it(millis in 0..=LAST_SHOWN, late in 0..=MAX_INTEGER) {
            prop_assert_eq!(shown(millis), formatted(millis));
            prop_assert_eq!(shown(late), formatted(late));
        }
    }

    #[test]
    fn every_day_has_its_date() {
        for day in 0..=LAST_SHOWN / 86_400_000 {
            assert_eq!(shown(day * 86_400_000), formatted(day * 86_400_000));
        }
    }

    #[test]
    fn every_instant_is_shown_as_a_time() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        for late in [253_402_300_800_000, MAX_INTEGER] {
            assert!(shown(late).starts_with("9999-12-30T22:00:00") && shown(late).ends_with('Z'), "{}", shown(late));
        }
    }
}
