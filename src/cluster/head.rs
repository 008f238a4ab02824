//! Heads: how far an origin goes, and its chain there, signed by the origin.

use serde::{Deserialize, Serialize};

use super::sign::{Signature, verify};
use crate::domain::{LedgerId, NodeKey, Origin, RecordId, Sequence, hex};
use crate::event_log::{ChainHash, Head};

/// A head that its origin has signed. It proves that the origin's records up to there are the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The record.
    pub place: RecordId,
    /// The chain up to and with it.
    pub hash: ChainHash,
    /// The signature of the origin's node.
    pub signature: Signature,
}

/// A head as it is carried.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadText {
    origin: String,
    sequence: u64,
    hash: String,
    signature: String,
}

impl SignedHead {
    /// The origin's head, signed with its key.
    pub fn sign(ledger: LedgerId, origin: Origin, head: Head, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let place = RecordId { origin, sequence: head.sequence };
        let signature = Signature(sign(&message(ledger, place, &head.hash)));
        Self { place, hash: head.hash, signature }
    }

    /// Whether the node with that key signed it, as a head of that ledger.
    pub fn is_signed_by(&self, key: NodeKey, ledger: LedgerId) -> bool {
        verify(key, &message(ledger, self.place, &self.hash), &self.signature)
    }

    /// The head without the signature.
    pub fn head(&self) -> Head {
        Head { sequence: self.place.sequence, hash: self.hash }
    }

    pub(super) fn to_text(self) -> HeadText {
        HeadText {
            origin: self.place.origin.to_string(),
            sequence: self.place.sequence.0,
            hash: hex::encode(&self.hash.0),
            signature: self.signature.to_string(),
        }
    }

    pub(super) fn from_text(text: &HeadText) -> Option<Self> {
        let place = RecordId { origin: text.origin.parse().ok()?, sequence: Sequence(text.sequence) };
        let hash = ChainHash(hex::parse(&text.hash).ok()?);
        Some(Self { place, hash, signature: text.signature.parse().ok()? })
    }
}

/// The signed message: `schema/replication.md`.
fn message(ledger: LedgerId, place: RecordId, hash: &ChainHash) -> Vec<u8> {
    let RecordId { origin, sequence } = place;
    format!("authledger signed head v1\n{ledger}\n{origin}\n{sequence}\n{}\n", hex::encode(&hash.0)).into_bytes()
}
