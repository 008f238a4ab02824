//! The manifest of a backup.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::trust::{KeptCheckpoint, text};
use super::{EvidenceCheckError, Flaw, VerifiedLog};
use crate::tlog::{Checkpoint, SignedNote};

/// The file's name in a backup.
pub const MANIFEST: &str = "manifest.json";
/// No manifest is longer: one of a thousand origins has a quarter of that.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// The contents of a backup. It is not signed: the chain and the checkpoints prove the truth, the manifest names the
/// intention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The ledger; none has been opened in an empty log.
    pub ledger: Option<String>,
    /// The last position.
    pub position: u64,
    /// Each origin's last sequence and hash.
    pub origins: BTreeMap<String, ManifestHead>,
    /// The checkpoints beside it, by origin: all of them were there before the records were read.
    #[serde(default)]
    pub checkpoints: BTreeMap<String, ManifestCheckpoint>,
    /// RFC 3339.
    pub created_at: String,
    /// The version of authledger that made it.
    pub version: String,
    /// The length of `ledger.db`.
    pub bytes: u64,
    /// The BLAKE3 hash of `ledger.db`, in hex.
    pub blake3: String,
}

/// How far an origin goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHead {
    /// Its last sequence.
    pub sequence: u64,
    /// The chain up to there, in hex.
    pub hash: String,
}

/// A signed head of an origin's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestCheckpoint {
    /// How many records it covers.
    pub size: u64,
    /// The root, in base64.
    pub root: String,
}

impl Manifest {
    /// Reads the manifest in that directory.
    pub fn read(directory: &Path) -> Result<Result<Self, Flaw>, EvidenceCheckError> {
        let text = text(&directory.join(MANIFEST), MAX_MANIFEST_BYTES)?;
        Ok(serde_json::from_str(&text)
            .map_err(|error| Flaw::Malformed(format!("it is not a manifest of a backup: {error}"))))
    }

    /// The heads of a log, in the form of a manifest.
    pub fn heads(verified: &VerifiedLog) -> BTreeMap<String, ManifestHead> {
        let heads = verified.base.heads.iter().map(|(origin, head)| {
            (origin.to_string(), ManifestHead { sequence: head.sequence.0, hash: head.hash.to_string() })
        });
        heads.collect()
    }

    /// The length and the BLAKE3 hash of a file.
    pub fn digest(path: &Path) -> io::Result<(u64, String)> {
        let mut hasher = blake3::Hasher::new();
        let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok((bytes, hasher.finalize().to_string()))
    }

    /// Whether it names the checkpoints that are beside it.
    pub(super) fn compare_checkpoints(&self, kept: &[KeptCheckpoint]) -> Result<(), Flaw> {
        let found: BTreeMap<String, ManifestCheckpoint> = kept
            .iter()
            .filter_map(|kept| {
                let checkpoint = Checkpoint::parse(SignedNote::parse(&kept.text).ok()?.text()).ok()?;
                let (size, root) = (checkpoint.size, checkpoint.root.to_string());
                Some((kept.origin?.to_string(), ManifestCheckpoint { size, root }))
            })
            .collect();
        let names = || self.checkpoints.keys().chain(found.keys());
        let Some(other) = names().find(|name| self.checkpoints.get(*name) != found.get(*name)) else { return Ok(()) };
        let shown = |all: &BTreeMap<String, ManifestCheckpoint>| {
            all.get(other).map_or_else(|| "none".to_owned(), |one| format!("{} {}", one.size, one.root))
        };
        let member = format!("checkpoint {other}");
        Err(Flaw::Manifest { member, said: shown(&self.checkpoints), found: shown(&found) })
    }

    /// Whether it describes that log, in that file.
    pub(super) fn compare(
        &self,
        verified: &VerifiedLog,
        ledger: &Path,
    ) -> Result<Result<(), Flaw>, EvidenceCheckError> {
        let (bytes, blake3) = Self::digest(ledger).map_err(EvidenceCheckError::io("read", ledger))?;
        let found_ledger = verified.ledger.map(|ledger| ledger.to_string());
        let text = |ledger: &Option<String>| ledger.clone().unwrap_or_else(|| "none".to_owned());
        let members = [
            ("ledger", text(&self.ledger), text(&found_ledger)),
            ("position", self.position.to_string(), verified.base.position.to_string()),
            ("bytes", self.bytes.to_string(), bytes.to_string()),
            ("blake3", self.blake3.clone(), blake3),
        ];
        for (member, said, found) in members {
            if said != found {
                return Ok(Err(Flaw::Manifest { member: member.to_owned(), said, found }));
            }
        }
        let heads = Self::heads(verified);
        if self.origins == heads {
            return Ok(Ok(()));
        }
        let other = self.origins.iter().find(|(name, head)| heads.get(*name) != Some(*head));
        let member = other.map_or_else(|| "origins".to_owned(), |(name, _)| format!("origin {name}"));
        let shown = |heads: &BTreeMap<String, ManifestHead>| {
            let head = other.and_then(|(name, _)| heads.get(name));
            head.map_or_else(|| format!("{} of them", heads.len()), |head| format!("{} {}", head.sequence, head.hash))
        };
        Ok(Err(Flaw::Manifest { member, said: shown(&self.origins), found: shown(&heads) }))
    }
}
