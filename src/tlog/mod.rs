//! Transparency-log formats: the Merkle tree of RFC 6962, and the texts of C2SP with which other tools check it.
//!
//! Nothing here does I/O or knows events: a leaf is bytes, a tree is a size and hashes. The hash is SHA-256, because
//! every outside tool verifies that.

mod checkpoint;
mod cosignature;
mod gathered;
mod hash;
mod note;
mod proof;
mod tile;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosignature, CosignatureWorth, WitnessKey, cosignatures, signed_text};
pub use gathered::{GatheredHashes, Missing, RequestedNodes};
pub use hash::TreeHash;
pub use note::{KeyName, MAX_NOTE_BYTES, NoteError, SignedNote, VerifierKey, VerifierKeyError};
pub use proof::{ConsistencyProof, FileError, InclusionProof, ProofError};
pub use tile::{Tile, TilePathError};
pub use tree::{
    Frontier, Nodes, TreeNode, Unproven, consistency_proof, cover, inclusion_proof, root, verify_consistency,
    verify_inclusion,
};
