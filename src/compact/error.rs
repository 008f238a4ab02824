//! What is wrong with bytes that are not frames.

/// Why bytes are not frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Something is not as it was written.
    #[error("the compact form is damaged: it has {0}")]
    Damaged(&'static str),
    /// A frame says that it is longer than any is.
    #[error("a frame of {0} bytes is longer than frames are")]
    TooLong(usize),
    /// A later release has added a frame that has to be understood.
    #[error("a frame has the type {0}, which this release does not know; upgrade this program")]
    UnknownType(u8),
    /// The first frame names another version.
    #[error("the compact form has version {0}, which this release does not know; upgrade this program")]
    UnknownVersion(u8),
}
