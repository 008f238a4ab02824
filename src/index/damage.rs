//! Damage of an index. It never makes an answer wrong: unusable files are not used.

use std::io;
use std::path::{Path, PathBuf};

use crate::event_log::ReadError;

/// The damage of a file of the index.
#[derive(Debug, thiserror::Error)]
pub enum SegmentProblem {
    /// The system could not read it.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// The head is not one of an index, or not complete.
    #[error("its head is damaged")]
    Head,
    /// A later version wrote it.
    #[error("it has format {0}, and this version of authledger reads 1")]
    Newer(u64),
    /// The name says another range than the head.
    #[error("its name and its head disagree about what it covers")]
    Name,
    /// It is longer or shorter than its head says.
    #[error("it is longer or shorter than its head says")]
    Length,
    /// A block is not as it was written.
    #[error("block {0} is damaged")]
    Block(u64),
    /// The log has another chain at its end: it is of another log, or of one that was restored from an older copy.
    #[error("it was made of another log")]
    Foreign,
}

/// A file of the index that is not used, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Unusable {
    pub path: PathBuf,
    pub problem: SegmentProblem,
}

impl Unusable {
    pub(super) fn new(path: &Path, problem: impl Into<SegmentProblem>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

/// Why an index is not written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The disk or the file system refused.
    #[error("{action} {}: {source}; check the space and the mode of the directory, or delete it: it is made again", path.display())]
    Io {
        /// The action: a verb, such as `write`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// A file that was to be merged is damaged.
    #[error(transparent)]
    Damaged(#[from] Unusable),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl IndexError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
