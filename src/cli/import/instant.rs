//! Instants as databases write them.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::domain::Timestamp;

/// RFC 3339, or PostgreSQL's form with a blank and a short offset. Without an offset it is UTC: Kratos writes UTC into
/// columns without a time zone. Parts of a millisecond are cut off.
pub fn parse(text: &str) -> Option<Timestamp> {
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => local(text)?,
    };
    Timestamp::from_millis(u64::try_from(instant.as_millisecond()).ok()?)
}

fn local(text: &str) -> Option<jiff::Timestamp> {
    // A malformed offset must not be taken for a missing one.
    let time = text.get("YYYY-MM-DD ".len()..)?;
    if time.contains(|letter: char| !matches!(letter, '0'..='9' | ':' | '.')) {
        return None;
    }
    Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_as_databases_write_it() {
        let written = [
            ("2026-11-21 09:00:00.123456+00", "2026-11-21T09:00:00.123Z"),
            ("2026-11-21 09:00:00.123456", "2026-11-21T09:00:00.123Z"),
            ("2026-11-21T09:00:00.123456", "2026-11-21T09:00:00.123Z"),
            ("2026-11-21T09:00:00.123456+00:00", "2026-11-21T09:00:00.123Z"),
            ("2026-11-21T09:00:00.999999Z", "2026-11-21T09:00:00.999Z"),
            ("2026-11-21 10:30:00+01:30", "2026-11-21T09:00:00.000Z"),
            ("2026-11-21 04:00:00-05", "2026-11-21T09:00:00.000Z"),
            ("2026-11-21T09:00:00.123+0000", "2026-11-21T09:00:00.123Z"),
            ("2026-11-21 09:00:00", "2026-11-21T09:00:00.000Z"),
        ];
        for (text, instant) in written {
            assert_eq!(parse(text).map(|read| read.to_string()).as_deref(), Some(instant), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_instant_is_none() {
        for text in
            ["", "infinity", "-infinity", "2026-11-21", "09:00:00", "2026-11-21 09:00:00 CET", "1969-12-31T00:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
