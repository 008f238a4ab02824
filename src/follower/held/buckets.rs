//! The instants until which marks are kept, each with a number of one byte.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Timestamp;

/// The number of what is kept permanently.
pub(super) const PERMANENT: u8 = 0;
const NUMBERS: usize = 256;
/// No instant has this number.
const UNUSED: u64 = 0;

/// The ends of buckets, in milliseconds.
#[derive(Debug)]
pub(super) struct Buckets([AtomicU64; NUMBERS]);

/// A set of numbers.
#[derive(Clone, Debug)]
pub(super) struct Numbers([bool; NUMBERS]);

impl Numbers {
    pub fn contains(&self, number: u8) -> bool {
        self.0[usize::from(number)]
    }

    pub fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }
}

impl Default for Buckets {
    fn default() -> Self {
        let ends = [const { AtomicU64::new(UNUSED) }; NUMBERS];
        ends[usize::from(PERMANENT)].store(Timestamp::MAX.as_millis(), Ordering::Relaxed);
        Self(ends)
    }
}

impl Buckets {
    /// The number of the bucket that ends then. If none is left, it is that of the next later one.
    pub fn number(&self, end: Timestamp) -> u8 {
        let end = end.as_millis();
        let (mut later, mut unused) = (PERMANENT, None);
        for (number, own) in (0..=u8::MAX).zip(self.ends()) {
            if own == end {
                return number;
            }
            if own == UNUSED {
                unused = unused.or(Some(number));
            } else if own > end && own < self.end(later) {
                later = number;
            }
        }
        let Some(number) = unused else { return later };
        self.0[usize::from(number)].store(end, Ordering::Release);
        number
    }

    /// Of two numbers the one that ends later.
    pub fn later(&self, one: u8, other: u8) -> u8 {
        if self.end(one) >= self.end(other) { one } else { other }
    }

    /// The buckets that have ended by then.
    pub fn over(&self, now: Timestamp) -> Numbers {
        let mut over = Numbers([false; NUMBERS]);
        for (is_over, end) in over.0.iter_mut().zip(self.ends()) {
            *is_over = end != UNUSED && end != Timestamp::MAX.as_millis() && end <= now.as_millis();
        }
        over
    }

    /// Makes the numbers free for others: no mark has them.
    pub fn free(&self, over: &Numbers) {
        for (end, is_over) in self.0.iter().zip(over.0) {
            if is_over {
                end.store(UNUSED, Ordering::Release);
            }
        }
    }

    /// The end of each number, in milliseconds; 0 for those that are not used.
    pub fn ends(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|end| end.load(Ordering::Acquire))
    }

    /// Sets them, before anything is held.
    pub fn restore(&self, ends: impl IntoIterator<Item = u64>) {
        for (own, end) in self.0.iter().zip(ends).skip(1) {
            own.store(end.min(Timestamp::MAX.as_millis() - 1), Ordering::Release);
        }
    }

    fn end(&self, number: u8) -> u64 {
        self.0[usize::from(number)].load(Ordering::Acquire)
    }
}
