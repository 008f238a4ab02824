//! Proofs that were used: each counts once.
//!
//! Only proofs of active tokens get here, with a valid signature of the token's own key. Where there is no room for
//! more, the next one is turned away: forgetting one early would let it be used again.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::proof::{MAX_AGE_MILLIS, MAX_AHEAD_MILLIS, ProofError};
use crate::domain::{Thumbprint, Timestamp};

/// Marks that each of two halves holds at most: some 15,000 proofs a second, 16 bytes each and some 40 MiB in all.
const HALF_MARKS: usize = 1 << 20;
/// How long a half collects marks: longer than a proof is accepted after its first use, so that it is still in the other half
/// then.
const HALF_MILLIS: u64 = MAX_AGE_MILLIS + MAX_AHEAD_MILLIS + 5_000;
const CONTEXT: &str = "authledger 2026 used proof v1";

/// The mark of a proof: its key and its `jti`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProofMark([u8; 16]);

impl ProofMark {
    pub(super) fn of(key: &Thumbprint, jti: &str) -> Self {
        let mut hash = blake3::Hasher::new_derive_key(CONTEXT);
        // The first part has a fixed length, so that no two pairs read alike.
        hash.update(key.as_bytes()).update(jti.as_bytes());
        let mut mark = [0; 16];
        hash.finalize_xof().fill(&mut mark);
        Self(mark)
    }
}

/// The marks of the last minutes.
#[derive(Default)]
pub(super) struct UsedProofs(Mutex<UsedHalves>);

#[derive(Default)]
struct UsedHalves {
    young: HashSet<ProofMark>,
    old: HashSet<ProofMark>,
    young_since: Timestamp,
}

impl UsedProofs {
    /// Notes the use of a proof, which must be its first.
    pub(super) fn take(&self, mark: ProofMark, now: Timestamp) -> Result<(), ProofError> {
        self.0.lock().take(mark, now, HALF_MARKS)
    }
}

impl UsedHalves {
    fn take(&mut self, mark: ProofMark, now: Timestamp, room: usize) -> Result<(), ProofError> {
        if now >= self.young_since.plus_millis(HALF_MILLIS) {
            self.old = std::mem::take(&mut self.young);
            if now >= self.young_since.plus_millis(2 * HALF_MILLIS) {
                self.old = HashSet::new();
            }
            self.young_since = now;
        }
        if self.young.contains(&mark) || self.old.contains(&mark) {
            return Err(ProofError::UsedBefore);
        }
        if self.young.len() >= room {
            return Err(ProofError::TooMany);
        }
        self.young.insert(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = MAX_AGE_MILLIS + MAX_AHEAD_MILLIS;

    fn mark(n: u64) -> ProofMark {
        ProofMark::of(&Thumbprint::from_bytes([7; 32]), &n.to_string())
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::default().plus_millis(millis)
    }

    #[test]
    fn a_proof_is_used_once_for_as_long_as_it_is_accepted() {
        // Whenever the halves change within its life.
        for first in (0..2 * HALF_MILLIS).step_by(999) {
            let mut used = UsedHalves::default();
            assert_eq!(used.take(mark(0), at(HALF_MILLIS), 9), Ok(()));
            assert_eq!(used.take(mark(1), at(HALF_MILLIS + first), 9), Ok(()));
            for later in [0, 1, LIFE / 2, LIFE] {
                let again = used.take(mark(1), at(HALF_MILLIS + first + later), 9);
                assert_eq!(again, Err(ProofError::UsedBefore), "{first} {later}");
            }
        }
    }

    #[test]
    fn used_proofs_are_forgotten_and_their_number_is_bounded() {
        let mut used = UsedHalves::default();
        for n in 0..10_000 {
            // Three for each room, as time passes by.
            let taken = used.take(mark(n), at(n * HALF_MILLIS / 30), 10);
            assert!(matches!(taken, Ok(()) | Err(ProofError::TooMany)), "{taken:?}");
            assert!(used.young.len() <= 10 && used.old.len() <= 10);
        }
        let full = (0..11).map(|n| used.take(mark(20_000 + n), at(10_000 * HALF_MILLIS), 10)).collect::<Vec<_>>();
        assert_eq!((&full[..10], full[10]), (&[Ok(()); 10][..], Err(ProofError::TooMany)));
        let late = at(20_000 * HALF_MILLIS);
        assert_eq!((used.take(mark(1), late, 10), used.young.len(), used.old.len()), (Ok(()), 1, 0));
    }

    #[test]
    fn proofs_of_two_keys_have_two_marks() {
        let of = |byte, jti| ProofMark::of(&Thumbprint::from_bytes([byte; 32]), jti);
        assert!(of(1, "a") != of(2, "a") && of(1, "a") != of(1, "b") && of(1, "a") == of(1, "a"));
    }
}
