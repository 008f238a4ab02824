//! Keys: 64 bits for every name in a record. Two names may share one; the records tell them apart.

use super::about::About;

const CONTEXT: &str = "authledger 2026 index key v1";

/// The sort key of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey(pub u64);

/// Makes keys. Deriving the hasher costs more than a key, so it is done once.
#[derive(Clone)]
pub struct IndexKeyHasher(blake3::Hasher);

impl Default for IndexKeyHasher {
    fn default() -> Self {
        Self(blake3::Hasher::new_derive_key(CONTEXT))
    }
}

impl IndexKeyHasher {
    /// The first 8 bytes of `BLAKE3-derive-key("authledger 2026 index key v1", tag ‖ LF ‖ …)`, as a big-endian integer.
    pub fn of(&self, about: &About) -> IndexKey {
        let mut hash = self.0.clone();
        // Names do not hold control characters, so the parts can't run together.
        match about {
            About::Subject(Some(tenant), subject) => {
                hash.update(b"subject\n").update(tenant.as_str().as_bytes());
                hash.update(b"\n").update(subject.as_str().as_bytes());
            }
            About::Subject(None, subject) => {
                hash.update(b"subject anywhere\n").update(subject.as_str().as_bytes());
            }
            About::SubjectRevocation(tenant, subject) => {
                // The older word for a revocation: index files on disk have keys that were made with it.
                hash.update(b"subject ending\n").update(tenant.as_str().as_bytes());
                hash.update(b"\n").update(subject.as_str().as_bytes());
            }
            About::Credential(id) => {
                hash.update(b"credential\n").update(id.as_bytes());
            }
            About::Cohort(cohort) => {
                let (what, name) = cohort.named();
                hash.update(b"cohort\n").update(what.as_bytes()).update(b"\n").update(name.as_bytes());
            }
            About::Use(place) => {
                hash.update(b"use\n").update(place.origin.as_bytes()).update(&place.sequence.0.to_be_bytes());
            }
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
        IndexKey(u64::from_be_bytes(first))
    }
}
