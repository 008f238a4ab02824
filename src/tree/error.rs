//! What can go wrong with trees and checkpoints.

use std::io;
use std::path::PathBuf;

use crate::event_log::ReadError;
use crate::tlog::{CheckpointError, Node, NoteError};

/// Why a tree can't be used or grown.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
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
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The tree is not that large.
    #[error("find the subtree of height {} and index {}: the tree is smaller", .0.height, .0.index)]
    Missing(Node),
    /// A tile is not the one that was written.
    #[error("read {}: tile {index} does not lead to the hash that stands for it one level up; it is derived, and grown again from the log at the next start", path.display())]
    DamagedTile {
        /// The level's file.
        path: PathBuf,
        /// The tile in it, from 0.
        index: u64,
    },
    /// What is kept as a checkpoint is none.
    #[error("read {}: {source}", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
}

impl TreeError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn note(path: impl Into<PathBuf>) -> impl FnOnce(NoteError) -> Self {
        let path = path.into();
        move |source| Self::NoCheckpoint { path, source: source.into() }
    }
}
