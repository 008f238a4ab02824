//! Secrets that the ledger has just called inactive: a stranger that tries one again and again asks nobody.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::boot_millis;
use crate::domain::Digest;

/// How long such an answer is kept. A secret that is issued meanwhile is refused for so long.
const KEPT_MILLIS: u64 = 2_000;
/// The answers that each of two halves holds at most.
const HALF: usize = 32_768;

/// The answers, by digest. When a half is full, the older half is dropped: what it held is asked again.
#[derive(Default)]
pub(super) struct Negatives(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    young: HashMap<Digest, u64>,
    old: HashMap<Digest, u64>,
}

impl Negatives {
    pub(super) fn add(&self, digest: Digest) {
        self.add_at(digest, boot_millis());
    }

    /// Whether that secret was inactive a moment ago.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.has_at(digest, boot_millis())
    }

    /// Drops everything: the ledger is another one.
    pub(super) fn clear(&self) {
        *self.0.lock() = Halves::default();
    }

    fn add_at(&self, digest: Digest, now: u64) {
        let mut halves = self.0.lock();
        if halves.young.len() == HALF {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(digest, now + KEPT_MILLIS);
    }

    fn has_at(&self, digest: &Digest, now: u64) -> bool {
        let halves = self.0.lock();
        let until = halves.young.get(digest).or_else(|| halves.old.get(digest));
        until.is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u32) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    #[test]
    fn an_answer_is_kept_for_two_seconds() {
        let negatives = Negatives::default();
        negatives.add_at(digest(1), 1_000);
        assert!(negatives.has_at(&digest(1), 2_999) && !negatives.has_at(&digest(1), 3_000));
        assert!(!negatives.has_at(&digest(2), 1_000));
    }

    #[test]
    fn a_flood_holds_no_more_than_both_halves() {
        let negatives = Negatives::default();
        (0..200_000).for_each(|n| negatives.add_at(digest(n), 1_000));
        let halves = negatives.0.lock();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF);
        drop(halves);
        assert!(negatives.has_at(&digest(199_999), 1_001), "the newest is there");
    }
}
