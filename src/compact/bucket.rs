//! Buckets of time: revocations that are kept for about as long share the instant until which they are kept.

use crate::domain::Timestamp;

/// The least width of a bucket, as a power of two of seconds: some four minutes.
const LEAST_WIDTH: u32 = 8;
/// What is kept for longer than so many seconds (a power of two: 136 years) is kept permanently.
const LONGEST: u32 = 32;

/// The end of the bucket for what is kept until that instant: never earlier, and later by at most a quarter of what is left, or by four
/// minutes. At any time there are at most five buckets for each power of two of what is left.
pub fn bucket(retain_until: Timestamp, now: Timestamp) -> Timestamp {
    let seconds = retain_until.as_millis().div_ceil(1_000);
    let left = seconds.saturating_sub(now.as_seconds());
    let magnitude = left.max(1).ilog2();
    if magnitude >= LONGEST {
        return Timestamp::MAX;
    }
    let width = 1_u64 << magnitude.saturating_sub(2).max(LEAST_WIDTH);
    let end = seconds.div_ceil(width) * width;
    Timestamp::from_millis(end * 1_000).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_bucket_ends_no_earlier_and_little_later_and_there_are_few() {
        let now = Timestamp::from_millis(1_800_000_000_123).expect("in range");
        let mut ends = BTreeSet::new();
        // One second to more than a year, a little more each time.
        let mut left: u64 = 1;
        while left < 40_000_000 {
            let retain_until = now.plus_millis(left * 1_000);
            let end = bucket(retain_until, now);
            let late = end.millis_since(retain_until) / 1_000;
            assert!(end >= retain_until && late <= (left / 4).max(256), "{left} s: {late} s late");
            ends.insert(end);
            left += left / 50 + 1;
        }
        assert!(ends.len() <= 5 * 18, "{}", ends.len());
        assert_eq!(bucket(Timestamp::MAX, now), Timestamp::MAX);
    }
}
