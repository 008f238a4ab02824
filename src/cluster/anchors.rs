//! Anchors: the keys that a node was told to trust when it joined, before it holds the records that say so.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{LedgerId, NodeKey};

/// The ledger that a directory belongs to, and whom it trusts from the start. In `DATA/members/anchors.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    ledger: Option<LedgerId>,
    keys: BTreeSet<NodeKey>,
    peers: Vec<String>,
}

/// Why anchors can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The file can't be read or written.
    #[error("use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not say which ledger to join; join this directory again with authledger node join", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    ledger: Uuid,
    keys: Vec<String>,
    peers: Vec<String>,
}

impl Anchors {
    /// A ledger, the keys of its nodes, and where some of them are reached.
    pub fn new(ledger: LedgerId, keys: impl IntoIterator<Item = NodeKey>, peers: Vec<String>) -> Self {
        Self { ledger: Some(ledger), keys: keys.into_iter().collect(), peers }
    }

    /// The ledger, where this directory was joined to one.
    pub fn ledger(&self) -> Option<LedgerId> {
        self.ledger
    }

    /// Where the nodes were reached when this directory was joined.
    pub fn peers(&self) -> &[String] {
        &self.peers
    }

    /// Whether that key was named.
    pub fn trusts(&self, key: NodeKey) -> bool {
        self.keys.contains(&key)
    }

    /// Those of a data directory: none where it was never joined to another node.
    pub fn load(data: &Path) -> Result<Self, AnchorsError> {
        let path = file(data);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(AnchorsError::Io { path, source }),
        };
        let form: Option<Form> = serde_json::from_slice(&text).ok();
        let keys = form.as_ref().map(|form| form.keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>());
        match (form, keys.flatten()) {
            (Some(form), Some(keys)) => Ok(Self { ledger: Some(LedgerId(form.ledger)), keys, peers: form.peers }),
            _ => Err(AnchorsError::Malformed { path }),
        }
    }

    /// Writes them into a data directory, whole or not at all.
    pub fn store(&self, data: &Path) -> Result<(), AnchorsError> {
        let path = file(data);
        let form = Form {
            ledger: self.ledger.map(|ledger| ledger.0).unwrap_or_default(),
            keys: self.keys.iter().map(NodeKey::to_string).collect(),
            peers: self.peers.clone(),
        };
        let text = serde_json::to_vec_pretty(&form).unwrap_or_default();
        super::kept::replace(&path, &text).map_err(|source| AnchorsError::Io { path, source })
    }
}

fn file(data: &Path) -> PathBuf {
    data.join("members").join("anchors.json")
}
