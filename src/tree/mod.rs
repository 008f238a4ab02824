//! Each origin's Merkle tree, kept on disk as tiles, and the checkpoints that are signed over it.
//!
//! Tiles are derived: missing or wrong tiles are grown again from the log. A checkpoint is not: this node has shown it
//! to others, and the log must agree with it.

mod checkpoints;
mod error;
mod grown;
#[cfg(feature = "server")]
mod keeper;
#[cfg(feature = "server")]
mod trees;

pub use checkpoints::Checkpoints;
pub use error::TreeError;
pub use grown::GrownTree;
#[cfg(feature = "server")]
pub use keeper::{Keeper, Leaf, LeafFeed, Signer};
#[cfg(feature = "server")]
pub use trees::{CheckpointStartError, SignedCheckpoint, Trees};

use std::path::{Path, PathBuf};

use crate::domain::Origin;

/// The directory with the tiles of an origin: a file for each level.
pub fn tiles(data: &Path, origin: Origin) -> PathBuf {
    data.join("tiles").join(origin.as_str())
}
