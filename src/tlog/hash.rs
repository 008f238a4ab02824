//! The hash of the tree: SHA-256, with leaves and inner nodes kept apart (RFC 6962, section 2.1).

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The hash of a leaf, a subtree or a whole tree: 32 bytes, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// How many bytes there are.
    pub const BYTES: usize = 32;

    /// The hash of the tree without leaves: the hash of nothing.
    pub fn of_nothing() -> Self {
        Self::from_digest(digest(&SHA256, &[]).as_ref())
    }

    /// The hash of a leaf: `SHA-256(0x00 || leaf)`.
    pub fn of_leaf(leaf: &[u8]) -> Self {
        Self::of_parts(0x00, leaf, &[])
    }

    /// The hash of two subtrees side by side: `SHA-256(0x01 || left || right)`.
    pub fn of_children(left: &Self, right: &Self) -> Self {
        Self::of_parts(0x01, &left.0, &right.0)
    }

    /// Reads standard base64 with padding: RFC 4648, section 4.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    fn of_parts(prefix: u8, first: &[u8], second: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[prefix]);
        context.update(first);
        context.update(second);
        Self::from_digest(context.finish().as_ref())
    }

    fn from_digest(digest: &[u8]) -> Self {
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(digest);
        Self(hash)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
