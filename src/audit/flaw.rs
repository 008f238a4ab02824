//! The flaws that evidence can have, and why evidence can't be checked.

use std::io;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::status_lists::StatusListFlaw;
use crate::domain::{Origin, Position, Sequence};
use crate::event_log::Damage;
use crate::index::IndexVerifyError;
use crate::projection::SnapshotError;
use crate::tlog::{CheckpointError, FileError, KeyName, ProofError, Tile, TreeHash};

pub(super) const TILE_BYTES: u64 = Tile::WIDTH as u64 * TreeHash::BYTES as u64;

/// The ways in which tiles can differ from the records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileFlaw {
    /// A hash differs.
    #[error(
        "tile {tile}, hash {hash}: it says {found}, and the records lead to {computed} (leaves from {leaf}); tiles are derived: delete the directory, and the next start makes them again"
    )]
    Hash {
        /// The tile of the level, from 0.
        tile: u64,
        /// The hash in it, from 0.
        hash: u64,
        /// The first leaf below it, from 0: its sequence − 1.
        leaf: u64,
        /// The hash in the file.
        found: TreeHash,
        /// The hash of the records.
        computed: TreeHash,
    },
    /// The file ends within a tile.
    #[error(
        "tile {tile}: the file ends after {bytes} of its {TILE_BYTES} bytes; tiles are derived: delete the directory, and the next start makes them again"
    )]
    Short {
        /// The tile of the level, from 0.
        tile: u64,
        /// How many bytes are there.
        bytes: u64,
    },
    /// There are hashes of records that do not exist.
    #[error("tile {tile}: the log has no records for it: the log was cut off, or the tiles are another log's")]
    Beyond {
        /// The first such tile.
        tile: u64,
    },
    /// A checkpoint needs more tiles.
    #[error(
        "tile {tile}: it is missing, but the newest checkpoint covers it; tiles are derived: the next start makes it again"
    )]
    Missing {
        /// The first such tile.
        tile: u64,
    },
    /// It can't be read up to its end of a moment ago.
    #[error("tile {tile}: {why}")]
    Unread {
        /// The tile of the level.
        tile: u64,
        /// The system's error.
        why: String,
    },
}

/// The possible flaws of evidence.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// A checkpoint is not trusted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A known witness has not signed this checkpoint.
    #[error("the cosignature in the name of {0} does not fit the checkpoint")]
    Cosignature(KeyName),
    /// The log was opened with another key than the one that is known from elsewhere.
    #[error(
        "origin {origin} was opened with another key than the one given for {name}: this is not the log that was meant"
    )]
    OtherKey {
        origin: Origin,
        /// The given key's name.
        name: KeyName,
    },
    /// No origin here has that name.
    #[error("no origin here is {0}: this is another ledger, or that origin was taken out of it")]
    NoOrigin(KeyName),
    /// There are fewer records than the checkpoint covers.
    #[error(
        "it covers {size} records of origin {origin}, and there are {records}: later records were cut off, or an older copy \
         was put back"
    )]
    CutOff {
        origin: Origin,
        /// How many records the checkpoint covers.
        size: u64,
        /// How many there are.
        records: u64,
    },
    /// The records are not those under the checkpoint.
    #[error(
        "the first {size} records of origin {origin} lead to {computed}, and the signed root is {root}: the records were \
         rewritten after they were signed"
    )]
    Rewritten {
        origin: Origin,
        /// How many records the checkpoint covers.
        size: u64,
        /// The root of the records.
        computed: TreeHash,
        /// The signed root.
        root: TreeHash,
    },
    /// Two signed heads of one tree exclude each other.
    #[error(
        "it has the root {old} for {size} records, and the given checkpoint has {new}: the log was rewritten, or shown differently to others"
    )]
    Contradiction {
        /// How many records both cover.
        size: u64,
        /// The root that was kept.
        old: TreeHash,
        /// The root that was given.
        new: TreeHash,
    },
    /// A later head covers fewer records.
    #[error(
        "it covers {old} records, and the checkpoint that was given as later covers {new}: an older state was put back"
    )]
    Shrunk {
        /// How many records the kept one covers.
        old: u64,
        /// How many the given one covers.
        new: u64,
    },
    /// A published status list does not match the records.
    #[error(transparent)]
    StatusList(#[from] StatusListFlaw),
    /// The tiles do not match the records.
    #[error(transparent)]
    Tile(#[from] TileFlaw),
    /// The snapshot is damaged.
    #[error("the snapshot: {0}; it is derived: delete it, and the next start folds the log again")]
    Snapshot(SnapshotError),
    /// The index does not match the log.
    #[error("{0}; it is derived: delete it, and the server makes it again")]
    Index(#[from] IndexVerifyError),
    /// The manifest does not match the files.
    #[error("it says {said} for {member}, and that is {found}")]
    Manifest {
        member: String,
        /// The value in the manifest.
        said: String,
        /// The actual value.
        found: String,
    },
    /// It can't be read as the kind that it seems to be.
    #[error("{0}")]
    Malformed(String),
    /// A file is not in the form of a proof.
    #[error(transparent)]
    Form(#[from] FileError),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A proof's record is at another place than the proof is for.
    #[error("the record says origin {origin}, sequence {sequence}, but the proof is for leaf {index} of {name}")]
    OtherPlace {
        /// The origin in the record.
        origin: Origin,
        /// The sequence in the record.
        sequence: Sequence,
        /// The index in the proof.
        index: u64,
        /// The name of the log that it is for.
        name: KeyName,
    },
    /// A record in a bundle breaks a rule of the log.
    #[error("position {position}: {damage}")]
    Record {
        position: Position,
        /// The rule.
        damage: Damage,
    },
    /// It is not evidence of any kind.
    #[error("line 1: it is not a data directory, ledger, backup, bundle, proof or checkpoint of authledger")]
    Unknown,
}

/// Why evidence could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceCheckError {
    /// The log can't be opened or read.
    #[error(transparent)]
    Log(AuditError),
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action: a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A file is longer than any of its kind.
    #[error("read {}: it has more than {most} bytes, which no evidence in the form of text has", path.display())]
    TooLong {
        path: PathBuf,
        /// The most bytes that are read.
        most: u64,
    },
    /// Without a key nothing can be verified.
    #[error("verify the signature of {0}: no key is known for it; give its verifier key with --key")]
    NoKey(KeyName),
    /// Two heads alone prove nothing about each other.
    #[error(
        "compare {place} with the given checkpoint: two checkpoints of different sizes do not show whether one continues the \
         other; ask for `authledger-audit prove --from OLD --to NEW` on the ledger, or give the ledger itself"
    )]
    Incomparable {
        /// The kept checkpoint.
        place: String,
    },
}

impl EvidenceCheckError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
