//! A node as records name it: its key, its address, and the events that it reads.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::credential::hex;
use super::ids::{MAX_NAME_BYTES, Malformed};

/// The key that a node signs with, by which other nodes know it: Ed25519, RFC 8032, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey([u8; 32]);

impl NodeKey {
    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl FromStr for NodeKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        hex::parse(text).map(Self)
    }
}

/// The address of a node for other nodes: `http` or `https`, and a host; at most 255 bytes, no `/` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress(Box<str>);

impl PeerAddress {
    /// The address, if it has the form of one.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed(
            "http:// or https:// and a host, of at most 255 bytes, without name, query, fragment or / at the end",
        );
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(FORM)?;
        let is_plain = text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_bare = !rest.is_empty() && !rest.contains(['?', '#', '@', '\\']) && !rest.ends_with('/');
        if is_plain && is_bare { Ok(Self(text.into())) } else { Err(FORM) }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The types of events that a release reads, each up to a version of its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(BTreeMap<Box<str>, u64>);

impl Reads {
    /// The most types that a node announces.
    pub const MAX_TYPES: usize = 256;

    /// The same without these types: the types that an earlier release reads.
    #[must_use]
    pub fn without(mut self, types: &[String]) -> Self {
        self.0.retain(|name, _| !types.iter().any(|left_out| **left_out == **name));
        self
    }

    /// Whether data of that version of that type are read.
    pub fn covers(&self, type_name: &str, version: u64) -> bool {
        self.0.get(type_name).is_some_and(|read| *read >= version)
    }

    /// The types with their versions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, version)| (&**name, *version))
    }
}

impl FromIterator<(Box<str>, u64)> for Reads {
    fn from_iter<T: IntoIterator<Item = (Box<str>, u64)>>(types: T) -> Self {
        Self(types.into_iter().collect())
    }
}
