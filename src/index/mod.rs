//! The positions at which the log names a subject, credential or used ticket: an index beside the ledger.
//!
//! `DATA/index/` is derived from the log, off the commit path, and can be deleted: ranges that it does not cover are
//! read in the log itself. So damage to it makes an answer slower, but never different. `schema/index.md` defines its
//! bytes.

mod about;
mod build;
mod cover;
mod damage;
mod find;
mod key;
mod range;
mod segment;
mod tail;
mod thread;
mod verify;

pub use about::{About, Sought, about};
pub use build::{Builder, Shape};
pub use damage::{IndexError, SegmentProblem, Unusable};
pub use find::{Coverage, FindError, Finder};
pub use key::{IndexKey, IndexKeyHasher};
pub use tail::Tail;
pub use thread::{Fed, IndexFeed, IndexableRecord, Indexing, channel};
pub use verify::{IndexVerified, IndexVerifyError, verify};

use std::path::{Path, PathBuf};

/// The index that belongs to a log file: the directory `index` beside it.
pub fn beside(ledger: &Path) -> PathBuf {
    ledger.parent().unwrap_or(Path::new("")).join("index")
}
