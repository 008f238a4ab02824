//! Proofs in files: that a record is in a log (C2SP `tlog-proof`), and that one log continues an earlier one (the body of
//! C2SP `tlog-witness`'s `add-checkpoint`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::hash::TreeHash;
use super::note::{NoteError, SignedNote, VerifierKey};
use super::tree::{Unproven, verify_consistency, verify_inclusion};

const HEADING: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^63 leaves has proofs no longer than this; C2SP has the same bound.
const MAX_HASHES: usize = 63;

/// The proof that a record is in a log. The record travels in the line `extra`, because the format has no other place
/// for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record's bytes: the leaf.
    pub record: Box<[u8]>,
    /// Its place among the leaves, from 0: the record's sequence − 1.
    pub index: u64,
    /// From the leaf's sibling to the root's child.
    pub hashes: Vec<TreeHash>,
    /// The signed head of the tree with the record.
    pub checkpoint: SignedNote,
}

/// The proof that a log continues an earlier one: the earlier checkpoint, an empty line, and the body for a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier checkpoint.
    pub old: SignedNote,
    /// In the order of RFC 6962, section 2.1.2.
    pub hashes: Vec<TreeHash>,
    /// The later checkpoint.
    pub checkpoint: SignedNote,
}

/// Why a file is not a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// A line is not the expected one.
    #[error("line {line}: {wanted} is due there")]
    Line {
        /// From 1.
        line: usize,
        /// The expected content.
        wanted: &'static str,
    },
    /// The text in the place of the checkpoint is not one.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The checkpoint is not trusted.
    #[error("the checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// The earlier checkpoint is not trusted.
    #[error("the earlier checkpoint: {0}")]
    OldCheckpoint(CheckpointError),
    /// The hashes do not lead from the record to the root, or from one root to the other.
    #[error("the proof: {0}")]
    Unproven(#[from] Unproven),
}

impl InclusionProof {
    /// Whether a file begins like a proof.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(HEADING)
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let mut lines = ProofLines::new(text);
        let heading = lines.next("c2sp.org/tlog-proof@v1")?;
        if heading != HEADING {
            return Err(lines.refuse("c2sp.org/tlog-proof@v1"));
        }
        const EXTRA: &str = "`extra` with the record in base64";
        let extra = lines.next(EXTRA)?.strip_prefix("extra ").and_then(|extra| STANDARD.decode(extra).ok());
        let record = extra.ok_or_else(|| lines.refuse(EXTRA))?.into();
        let index = lines.number("index ", "`index` and the place of the record, from 0")?;
        let hashes = lines.hashes()?;
        Ok(Self { record, index, hashes, checkpoint: SignedNote::parse(lines.rest)? })
    }

    /// Checks it with only the key; returns the checkpoint that covers the record.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key).map_err(ProofError::Checkpoint)?;
        let leaf = TreeHash::of_leaf(&self.record);
        verify_inclusion(self.index, leaf, checkpoint.size, checkpoint.root, &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING}\nextra {}\nindex {}", STANDARD.encode(&self.record), self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl ConsistencyProof {
    /// Whether a file may be such a proof: a note with the body after it.
    pub fn is_one(text: &str) -> bool {
        text.contains(BODY)
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        const OLD: &str = "the earlier checkpoint, and `old` with its size after an empty line";
        let (old, _) = text.split_once(BODY).ok_or(FileError::Line { line: 1, wanted: OLD })?;
        let body = &text[old.len() + 2..];
        let old = SignedNote::parse(&text[..=old.len()])?;
        let mut lines = ProofLines::new(body);
        lines.line = old.as_str().lines().count() + 1;
        let size = lines.number("old ", OLD)?;
        if Checkpoint::parse(old.text()).is_ok_and(|checkpoint| checkpoint.size != size) {
            return Err(lines.refuse("the size of the earlier checkpoint"));
        }
        let hashes = lines.hashes()?;
        Ok(Self { old, hashes, checkpoint: SignedNote::parse(lines.rest)? })
    }

    /// Checks it with only the key; returns the earlier checkpoint and the later one, which continues it.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Checkpoint, Checkpoint), ProofError> {
        let old = Checkpoint::open(&self.old, key).map_err(ProofError::OldCheckpoint)?;
        let new = Checkpoint::open(&self.checkpoint, key).map_err(ProofError::Checkpoint)?;
        verify_consistency((old.size, old.root), (new.size, new.root), &self.hashes)?;
        Ok((old, new))
    }

    /// The body of `add-checkpoint` in C2SP `tlog-witness`.
    pub fn witness_body(&self) -> String {
        let size = Checkpoint::parse(self.old.text()).map_or(0, |checkpoint| checkpoint.size);
        let mut body = format!("old {size}\n");
        self.hashes.iter().for_each(|hash| body.push_str(&format!("{hash}\n")));
        body + "\n" + self.checkpoint.as_str()
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.old, self.witness_body())
    }
}

/// The text between the earlier checkpoint and the body.
const BODY: &str = "\n\nold ";

/// The lines before the checkpoint.
struct ProofLines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> ProofLines<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, line: 0 }
    }

    fn next(&mut self, wanted: &'static str) -> Result<&'a str, FileError> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n').ok_or_else(|| self.refuse(wanted))?;
        self.rest = rest;
        Ok(line)
    }

    fn number(&mut self, name: &str, wanted: &'static str) -> Result<u64, FileError> {
        let digits = self.next(wanted)?.strip_prefix(name).unwrap_or_default();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| plain).ok_or_else(|| self.refuse(wanted))
    }

    /// Reads up to and with the empty line before the checkpoint.
    fn hashes(&mut self) -> Result<Vec<TreeHash>, FileError> {
        const HASH: &str = "a hash in base64, or the empty line before the checkpoint";
        let mut hashes = Vec::new();
        loop {
            let line = self.next(HASH)?;
            if line.is_empty() {
                return Ok(hashes);
            }
            let hash = TreeHash::from_base64(line).filter(|_| hashes.len() < MAX_HASHES);
            hashes.push(hash.ok_or_else(|| self.refuse(HASH))?);
        }
    }

    fn refuse(&self, wanted: &'static str) -> FileError {
        FileError::Line { line: self.line, wanted }
    }
}
