//! Revocations for machines: marks instead of names, and the frames that carry them.
//!
//! A mark is a keyed hash over a name. A reader that has the key finds out whether a credential that it knows was revoked, and
//! nothing about others. `schema/compact-revocations.md` defines the bytes. No I/O.

mod block;
mod bucket;
mod bytes;
mod change;
mod decoder;
mod error;
mod frame;
mod mark;
mod sorter;
mod written;

pub use block::MAX_BLOCK_MARKS;
pub use bucket::bucket;
pub use change::{AgeLimit, Change, ItemParts, MarkedKinds, WholeChange};
pub use decoder::Decoder;
pub use error::CompactError;
pub use frame::{Frame, Head, MAX_BODY_BYTES, MarkBlock, VERSION};
pub use mark::{
    CredentialName, Due, MARK_BYTES, Mark, MarkKey, PresentedNames, WholeName, Whose, presented_names, revoked_names,
};
pub use sorter::{SortedFrame, Sorter, Unsorted};

/// The media type of snapshot and stream.
pub const MEDIA_TYPE: &str = "application/vnd.authledger.revocations";
