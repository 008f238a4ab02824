//! Checkpoints: signed heads of a tree (C2SP `tlog-checkpoint`).

use std::fmt;

use super::hash::TreeHash;
use super::note::{KeyName, NoteError, SignedNote, VerifierKey};

/// A tree at a size: the signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, which is also the name of its signing key.
    pub origin: KeyName,
    /// How many leaves the tree has.
    pub size: u64,
    pub root: TreeHash,
}

/// Why a checkpoint is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is not trusted.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not a checkpoint.
    #[error(
        "its text is not a checkpoint: origin, size and root, each on a line of its own (c2sp.org/tlog-checkpoint)"
    )]
    Form,
    /// It is of another log than the key.
    #[error("it is a checkpoint of {found}, and the key is that of {expected}")]
    OtherOrigin {
        /// The name in the text.
        found: KeyName,
        /// The key's name.
        expected: KeyName,
    },
}

impl Checkpoint {
    /// Reads the text of a note, which need not be signed. Further lines are accepted and have no meaning here.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let mut next = || lines.next().filter(|line| !line.is_empty());
        let origin = next().and_then(KeyName::new);
        let size = next().and_then(size);
        let root = next().and_then(TreeHash::from_base64);
        let (Some(origin), Some(size), Some(root)) = (origin, size, root) else {
            return Err(CheckpointError::Form);
        };
        if lines.any(str::is_empty) { Err(CheckpointError::Form) } else { Ok(Self { origin, size, root }) }
    }

    /// The checkpoint in a note that the key has signed, of the log that has the key's name.
    pub fn open(note: &SignedNote, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(note.open(key)?)?;
        if checkpoint.origin == *key.name() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::OtherOrigin { found: checkpoint.origin, expected: key.name().clone() })
    }

    /// Signs it. `sign` makes the Ed25519 signature over the given bytes, with the private half of `key`.
    pub fn sign(&self, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedNote {
        SignedNote::sign(&self.to_string(), key, sign)
    }
}

impl fmt::Display for Checkpoint {
    /// The signed text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

/// Decimal digits without a leading zero.
fn size(line: &str) -> Option<u64> {
    let plain = line.bytes().all(|byte| byte.is_ascii_digit()) && (line == "0" || !line.starts_with('0'));
    plain.then(|| line.parse().ok())?
}
