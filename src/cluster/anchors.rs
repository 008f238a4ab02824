//! Anchors: the keys that a node was told to trust when it joined, before it holds the records that say so, and how far
//! origins go whose own nodes can't sign it any more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::head::SignedHead;
use crate::domain::{LedgerId, NodeKey, Origin, Sequence, hex};
use crate::event_log::{ChainHash, Head};
use crate::json;

/// The most origins that are vouched for.
pub const MAX_VOUCHED: usize = 4_096;

/// How far a member vouches for an origin whose own node is gone: heads up to there count if the member has signed them
/// in that node's place.
///
/// An operator restored a backup, or the heads that the origin had signed were lost. The member is the one through
/// which a node joins, and that node's operator has chosen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vouch {
    pub origin: Origin,
    /// The last record of it that the member holds, and the chain there.
    pub head: Head,
    /// The member.
    pub by: NodeKey,
}

/// The ledger that a directory belongs to, and the keys that it trusts from the start. In `DATA/members/anchors.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    ledger: Option<LedgerId>,
    keys: BTreeSet<NodeKey>,
    peers: Vec<String>,
    vouched: Vec<Vouch>,
}

/// Why anchors can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The file can't be read or written.
    #[error("use {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The file holds something else.
    #[error("{} does not say which ledger to join; join this directory again with authledger node join", path.display())]
    Malformed { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorsText {
    ledger: Uuid,
    keys: Vec<String>,
    peers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vouched: Vec<VouchText>,
}

/// A vouch as it is kept, and as the answer to a join contains it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VouchText {
    pub origin: String,
    /// The last record that the member vouches for.
    pub sequence: u64,
    /// The chain there, in hexadecimal digits.
    pub hash: String,
    /// The key of the member that vouches.
    pub by: String,
}

impl Vouch {
    pub fn to_text(&self) -> VouchText {
        VouchText {
            origin: self.origin.to_string(),
            sequence: self.head.sequence.0,
            hash: hex::encode(&self.head.hash.0),
            by: self.by.to_string(),
        }
    }

    /// Reads a text, if it is a vouch.
    pub fn from_text(text: &VouchText) -> Option<Self> {
        let head = Head { sequence: Sequence(text.sequence), hash: ChainHash(hex::parse(&text.hash).ok()?) };
        Some(Self { origin: text.origin.parse().ok()?, head, by: text.by.parse().ok()? })
    }
}

impl Anchors {
    /// A ledger, the keys of its nodes, and the addresses of some of them.
    pub fn new(ledger: LedgerId, keys: impl IntoIterator<Item = NodeKey>, peers: Vec<String>) -> Self {
        Self { ledger: Some(ledger), keys: keys.into_iter().collect(), peers, vouched: Vec::new() }
    }

    /// The same, with vouches; no more than [`MAX_VOUCHED`].
    pub fn with_vouched(self, vouched: Vec<Vouch>) -> Self {
        Self { vouched, ..self }
    }

    /// The vouches.
    pub fn vouched(&self) -> &[Vouch] {
        &self.vouched
    }

    /// Whether a member vouches for that origin.
    pub fn has_vouch(&self, origin: Origin) -> bool {
        self.vouched.iter().any(|vouch| vouch.origin == origin)
    }

    /// Whether a member that vouches for the head's origin has signed it in place of the origin's node, as far as it vouches.
    pub fn vouches_for(&self, head: &SignedHead, ledger: LedgerId) -> bool {
        let covers = |vouch: &&Vouch| {
            let (own, far) = (head.place.sequence, vouch.head.sequence);
            vouch.origin == head.place.origin && (own < far || (own == far && head.hash == vouch.head.hash))
        };
        self.vouched.iter().filter(covers).any(|vouch| head.is_signed_by(vouch.by, ledger))
    }

    /// The ledger, if this directory was joined to one.
    pub fn ledger(&self) -> Option<LedgerId> {
        self.ledger
    }

    /// The addresses of the nodes when this directory was joined.
    pub fn peers(&self) -> &[String] {
        &self.peers
    }

    /// Whether that key was named.
    pub fn trusts(&self, key: NodeKey) -> bool {
        self.keys.contains(&key)
    }

    /// The anchors of a data directory: none if it was never joined to another node.
    pub fn load(data: &Path) -> Result<Self, AnchorsError> {
        let path = file(data);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(AnchorsError::Io { path, source }),
        };
        let form: Option<AnchorsText> = serde_json::from_slice(&text).ok();
        let keys = form.as_ref().map(|form| form.keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>());
        let vouched = form.as_ref().map(|form| form.vouched.iter().map(Vouch::from_text).collect::<Option<_>>());
        match (form, keys.flatten(), vouched.flatten()) {
            (Some(form), Some(keys), Some(vouched)) => {
                Ok(Self { ledger: Some(LedgerId(form.ledger)), keys, peers: form.peers, vouched })
            }
            _ => Err(AnchorsError::Malformed { path }),
        }
    }

    /// Writes them into a data directory, whole or not at all.
    pub fn store(&self, data: &Path) -> Result<(), AnchorsError> {
        let path = file(data);
        let form = AnchorsText {
            ledger: self.ledger.map(|ledger| ledger.0).unwrap_or_default(),
            keys: self.keys.iter().map(NodeKey::to_string).collect(),
            peers: self.peers.clone(),
            vouched: self.vouched.iter().map(Vouch::to_text).collect(),
        };
        let text = json::pretty(&form);
        super::kept::replace(&path, text.as_bytes()).map_err(|source| AnchorsError::Io { path, source })
    }
}

fn file(data: &Path) -> PathBuf {
    data.join("members").join("anchors.json")
}
