//! The hash chain of an origin: each record's hash covers all before it.

use std::fmt;

use crate::domain::hex;

pub(super) const CONTEXT: &str = "authledger 2026 event chain v1";

/// The chain up to a record: 32 bytes, all zero before the first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The hash as a blob column gives it.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// Computes links. Deriving the key costs as much as a short record, so it is done once.
#[derive(Clone)]
pub struct Chain(blake3::Hasher);

impl Default for Chain {
    fn default() -> Self {
        Self(blake3::Hasher::new_derive_key(CONTEXT))
    }
}

impl Chain {
    /// `BLAKE3-derive-key("authledger 2026 event chain v1", previous || record)`.
    pub fn link(&self, previous: &ChainHash, record: &[u8]) -> ChainHash {
        ChainHash(*self.0.clone().update(&previous.0).update(record).finalize().as_bytes())
    }

    /// The link of a previous hash and record that are already in one piece.
    pub(super) fn of(&self, previous_and_record: &[u8]) -> ChainHash {
        ChainHash(*self.0.clone().update(previous_and_record).finalize().as_bytes())
    }
}
