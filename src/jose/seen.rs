//! Recently verified signatures: the same token comes again and again, and a signature stays valid.
//!
//! A mark is a digest over the key's own bytes and the token's text. So a key that is withdrawn, or replaced under the
//! same name, does not verify anything by it; and whether a token is expired or revoked is judged each time.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::key_set::PublicKey;

/// Marks that each of two halves holds at most: 32 bytes each, some 4 MiB in all.
const HALF_MARKS: usize = 32_768;
const CONTEXT: &str = "authledger 2026 verified signature v1";

/// The mark of that key and that text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SignatureMark([u8; 32]);

impl SignatureMark {
    pub(super) fn of(key: &PublicKey, text: &str) -> Self {
        let mut hash = blake3::Hasher::new_derive_key(CONTEXT);
        // The first part has a fixed length, so that no two pairs read alike.
        hash.update(key.fingerprint()).update(text.as_bytes());
        Self(*hash.finalize().as_bytes())
    }
}

/// The marks. Marks that were not used while a half filled up are dropped with the half before.
#[derive(Default)]
pub(super) struct SeenSignatures(Mutex<SeenHalves>);

#[derive(Default)]
struct SeenHalves {
    young: HashSet<SignatureMark>,
    old: HashSet<SignatureMark>,
}

impl SeenSignatures {
    pub(super) fn has(&self, mark: &SignatureMark) -> bool {
        let mut halves = self.0.lock();
        if halves.young.contains(mark) {
            return true;
        }
        let had = halves.old.remove(mark);
        if had {
            halves.insert(*mark);
        }
        had
    }

    pub(super) fn add(&self, mark: SignatureMark) {
        self.0.lock().insert(mark);
    }
}

impl SeenHalves {
    fn insert(&mut self, mark: SignatureMark) {
        self.young.insert(mark);
        if self.young.len() >= HALF_MARKS {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_that_is_asked_for_stays_and_memory_is_bounded() {
        let seen = SeenSignatures::default();
        let mark = |n: usize| SignatureMark(*blake3::hash(&n.to_be_bytes()).as_bytes());
        seen.add(mark(0));
        for n in 1..10 * HALF_MARKS {
            seen.add(mark(n));
            assert!(n % 1_000 != 0 || seen.has(&mark(0)), "{n}");
        }
        assert!(!seen.has(&mark(1)), "nobody asked for it since");
        let halves = seen.0.lock();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF_MARKS);
    }
}
