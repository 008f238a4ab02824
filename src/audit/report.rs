//! What a verification says: what held, what was found, and what kept it from an answer.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::tiles::TileFlaw;
use super::{AuditError, Verified};
use crate::domain::{Origin, Position, Sequence};
use crate::event_log::Damage;
use crate::index::IndexVerifyError;
use crate::projection::SnapshotError;
use crate::tlog::{CheckpointError, FileError, KeyName, ProofError, TreeHash};

/// What was given to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server's directory.
    Data,
    /// A log alone.
    Ledger,
    /// What `authledger backup` makes.
    Backup,
    /// A range of a log with its proofs.
    Bundle,
    /// That a record is in a log.
    Inclusion,
    /// That a log continues an earlier one.
    Consistency,
    /// A signed head.
    Checkpoint,
    /// None of these.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data directory",
            Self::Ledger => "ledger",
            Self::Backup => "backup",
            Self::Bundle => "bundle",
            Self::Inclusion => "proof of inclusion",
            Self::Consistency => "proof of consistency",
            Self::Checkpoint => "checkpoint",
            Self::Unknown => "file",
        })
    }
}

/// What a verification found.
#[derive(Debug)]
pub struct Report {
    /// What was verified.
    pub kind: Kind,
    /// The log, where there is one and it is whole.
    pub verified: Option<Verified>,
    /// What was checked besides, and held.
    pub held: Vec<Held>,
    /// What did not hold, in the order in which it was found.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, verified: None, held: Vec::new(), findings: Vec::new() }
    }

    pub(super) fn hold(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.held.push(Held { place: place.into(), what: what.into() });
    }

    pub(super) fn find(&mut self, place: impl Into<String>, flaw: impl Into<Flaw>) {
        self.findings.push(Finding { place: place.into(), flaw: flaw.into() });
    }

    /// Keeps what an attempt said: the sentence of what held, or the flaw.
    pub(super) fn take(&mut self, place: impl Into<String>, checked: Result<String, Flaw>) {
        match checked {
            Ok(what) => self.hold(place, what),
            Err(flaw) => self.find(place, flaw),
        }
    }
}

/// Something that held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// A file, or what in it.
    pub place: String,
    /// What is now known of it.
    pub what: String,
}

/// Something that did not hold.
#[derive(Debug)]
pub struct Finding {
    /// A file, or what in it; empty where the flaw names its place itself.
    pub place: String,
    /// What is wrong.
    pub flaw: Flaw,
}

impl Finding {
    /// The position in the log, if it is one that is known.
    pub fn position(&self) -> Option<i64> {
        match &self.flaw {
            Flaw::Log(error) => error.position(),
            Flaw::Record { position, .. } => Some(position.0.cast_signed()),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { write!(f, "{}", self.flaw) } else { write!(f, "{}: {}", self.place, self.flaw) }
    }
}

/// What can be wrong with evidence.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// A checkpoint is not to be believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log was opened with another key than the one that is known from elsewhere.
    #[error(
        "origin {origin} was opened with another key than the one given for {name}: this is not the log that was meant"
    )]
    OtherKey {
        /// The origin.
        origin: Origin,
        /// The given key's name.
        name: KeyName,
    },
    /// Nothing here belongs to that name.
    #[error("no origin here is {0}: this is another ledger, or that origin was taken out of it")]
    NoOrigin(KeyName),
    /// There are fewer records than were signed.
    #[error(
        "it covers {size} records of origin {origin}, and there are {records}: what followed was cut off, or an older copy \
         was put back"
    )]
    CutOff {
        /// The origin.
        origin: Origin,
        /// How many records were signed.
        size: u64,
        /// How many there are.
        records: u64,
    },
    /// The records are not those that were signed.
    #[error(
        "the first {size} records of origin {origin} lead to {computed}, and the signed root is {root}: the records were \
         rewritten after they had been signed"
    )]
    Rewritten {
        /// The origin.
        origin: Origin,
        /// How many records were signed.
        size: u64,
        /// What the records lead to.
        computed: TreeHash,
        /// What was signed.
        root: TreeHash,
    },
    /// Two signed heads of one tree exclude each other.
    #[error(
        "it says {old} of {size} records, and what was given says {new}: the log was rewritten, or shown differently to others"
    )]
    Contradiction {
        /// How many records both are of.
        size: u64,
        /// The root that was kept.
        old: TreeHash,
        /// The root that was given.
        new: TreeHash,
    },
    /// A later head is of fewer records.
    #[error("it is of {old} records, and what was given as later is of {new}: an older state was put back")]
    Shrunk {
        /// How many records the kept one is of.
        old: u64,
        /// How many the given one is of.
        new: u64,
    },
    /// The tiles are not those of the records.
    #[error(transparent)]
    Tile(#[from] TileFlaw),
    /// The snapshot is not what it should be.
    #[error("the snapshot: {0}; it is derived: delete it, and the next start folds the log again")]
    Snapshot(SnapshotError),
    /// The index does not say what the log says.
    #[error("{0}; it is derived: delete it, and the server makes it again")]
    Index(#[from] IndexVerifyError),
    /// The manifest names other things than there are.
    #[error("it says {said} for {member}, and that is {found}")]
    Manifest {
        /// Which member.
        member: String,
        /// What it says.
        said: String,
        /// What is there.
        found: String,
    },
    /// It can't be read as what it seems to be.
    #[error("{0}")]
    Malformed(String),
    /// A file is not in the form of a proof.
    #[error(transparent)]
    Form(#[from] FileError),
    /// A proof proves nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A proof's record is of another place than the proof is for.
    #[error("the record says origin {origin}, sequence {sequence}, and the proof is for leaf {index} of {name}")]
    OtherPlace {
        /// What the record says.
        origin: Origin,
        /// What the record says.
        sequence: Sequence,
        /// What the proof says.
        index: u64,
        /// Whose log it is for.
        name: KeyName,
    },
    /// A record in a bundle breaks a rule of the log.
    #[error("position {position}: {damage}")]
    Record {
        /// Where.
        position: Position,
        /// Which rule.
        damage: Damage,
    },
    /// It is nothing that can be verified.
    #[error("line 1: it is no data directory, ledger, backup, bundle, proof or checkpoint of authledger")]
    Unknown,
}

/// Why evidence could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The log can't be opened or read.
    #[error(transparent)]
    Log(AuditError),
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is longer than any of its kind.
    #[error("read {}: it has more than {most} bytes, and nothing that can be verified as text has", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        most: u64,
    },
    /// Without a key nothing can be said.
    #[error("verify the signature of {0}: no key is known for it; give its verifier key with --key")]
    NoKey(KeyName),
    /// Two heads alone say nothing about each other.
    #[error(
        "compare {place} with what was given: two checkpoints of different sizes do not show whether one continues the \
         other; ask for `authledger-audit prove --from OLD --to NEW` on the ledger, or give the ledger itself"
    )]
    Incomparable {
        /// The kept checkpoint.
        place: String,
    },
}

impl EvidenceError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
