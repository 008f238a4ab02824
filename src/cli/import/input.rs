//! The bytes of a dump, and why no more of it can be read.

use std::io::{self, BufRead};

use crate::utf8::IsUtf16;

/// The size of one reading of the file.
pub const BUFFER_BYTES: usize = 1 << 16;

/// A file, or the standard input.
pub type DumpInput = Box<dyn BufRead + Send>;

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is another text.
    #[error(transparent)]
    Utf16(#[from] IsUtf16),
    /// The file is not in that format.
    #[error("{why} (after line {line})")]
    Malformed {
        /// The last line that was read.
        line: u64,
        why: String,
    },
}
