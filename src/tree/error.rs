//! Errors of trees and checkpoints.

use std::io;
use std::path::PathBuf;

use crate::event_log::ReadError;
use crate::tlog::{CheckpointError, NoteError, TreeNode};

/// Why a tree can't be used or grown.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file system refuses.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action: a verb.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The tree is not that large.
    #[error("find the subtree of height {} and index {}: the tree is smaller", .0.height, .0.index)]
    Missing(TreeNode),
    /// A tile is not as it was written.
    #[error("read {}: tile {index} does not lead to its hash one level up; it is derived, and grown again from the log at the next start", path.display())]
    DamagedTile {
        /// The level's file.
        path: PathBuf,
        /// The tile in it, from 0.
        index: u64,
    },
    /// The text in the place of a checkpoint is not one.
    #[error("read {}: {source}", path.display())]
    NoCheckpoint {
        path: PathBuf,
        /// The problem with it.
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
