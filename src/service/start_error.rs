//! Why a node does not start.

use std::path::PathBuf;

use super::FilesError;
use crate::clock::NoRandomness;
use crate::cluster::{AnchorsError, KeptError};
use crate::domain::{Issuer, Origin, Position};
use crate::event_log::{OpenError, ReadError};
use crate::keys::KeyError;
use crate::tree;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be read.
    #[error(
        "the event log can't be read to its end: {0}; find out with authledger-audit verify, and restore a backup if it is damaged"
    )]
    Read(#[from] ReadError),
    /// There are checkpoints of a log, but the log is gone.
    #[error("{} has no events, and the checkpoints next to it are of a log of {origin}: the log was lost; restore a backup of it, or move the directory away to start a new ledger", path.display())]
    LostSignedLog {
        /// The log's file.
        path: PathBuf,
        /// An origin whose checkpoint is there.
        origin: Origin,
    },
    /// There is a snapshot of a log, but the log is gone.
    #[error("{} has no events, and the snapshot beside it is of a log with {position} of them: the log was lost; restore a backup of it, or move the directory away to start a new ledger", path.display())]
    LostLog {
        /// The log.
        path: PathBuf,
        /// The position of the snapshot.
        position: Position,
    },
    /// The keys can't be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The anchors that the directory was given when it joined can't be read.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// The files about other nodes can't be read.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The files about this node's runs can't be read or written.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The checkpoints that this node has signed do not match its log.
    #[error(transparent)]
    Checkpoint(#[from] tree::CheckpointStartError),
    /// The ledger's tokens have another issuer.
    #[error(
        "--public-url is {set}, and this ledger's tokens have the issuer {fixed}, fixed with the first key that signed any: set --public-url to {fixed}, or leave it out"
    )]
    IssuerDiffers {
        /// The issuer that was set.
        set: Issuer,
        /// The issuer that is fixed.
        fixed: Issuer,
    },
    /// The ledger has records with subjects under their own names.
    #[error(
        "--subject-pseudonyms is set, and this ledger was made without it: its credentials are on record under the subjects' own names, and could not be found by a pseudonym any more; leave it out, or start a new ledger with another --data"
    )]
    PseudonymsTooLate,
    /// The ledger's subjects are pseudonyms.
    #[error(
        "this ledger was made with --subject-pseudonyms, and its subjects are pseudonyms permanently: set it (or subject_pseudonyms = true in the file)"
    )]
    PseudonymsNeeded,
    /// The key that made this ledger's pseudonyms is gone, or another key is in its place.
    #[error("{} {}: without the key that made this ledger's pseudonyms it could not find its subjects again; put back the key from the backup of the keys", path.display(), if *gone { "is gone" } else { "holds another key" })]
    PseudonymKey {
        path: PathBuf,
        /// Whether the file is missing.
        gone: bool,
    },
    /// The thread can't be started, or its first record can't be written.
    #[error("the writer does not start: {0}")]
    Writer(String),
    /// No origin can be named.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The key that continues this node's log is gone, and more than one log could belong to this node.
    #[error(
        "DATA/keys does not hold the key of any of this ledger's origins ({origins}), and more than one of them could be this node's; put back keys/origin.key from its backup"
    )]
    LostKey {
        /// The origins that no other origin continues.
        origins: String,
    },
}
