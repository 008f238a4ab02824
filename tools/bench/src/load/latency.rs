//! Latencies, in a histogram of three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told from a longer one, in nanoseconds: ten minutes.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// Latencies of many answers.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        // The bounds are constants that the histogram takes.
        Self(Histogram::new_with_bounds(1_000, LONGEST_NANOS, 3).expect("bounds of a histogram"))
    }
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NANOS));
    }

    /// Counts those of another.
    pub fn join(&mut self, other: &Self) {
        // Both have the same bounds.
        self.0 += &other.0;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in milliseconds that this part of the answers, 0 to 1, did not exceed.
    pub fn millis_at(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1e6
    }

    /// The longest, in milliseconds.
    pub fn max_millis(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let (mut even, mut odd) = (Latency::default(), Latency::default());
        for millis in 1..=1_000 {
            if millis % 2 == 0 { &mut even } else { &mut odd }.add(Duration::from_millis(millis));
        }
        even.join(&odd);
        assert_eq!(even.count(), 1_000);
        for (part, millis) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = even.millis_at(part);
            assert!((found - millis).abs() <= millis / 500.0, "{part}: {found}");
        }
        assert!(even.max_millis() >= 999.0);
    }
}
