//! The secret that the bearer presents, and the digest that the ledger keeps of it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use super::{CredentialId, hex};
use crate::domain::ids::Malformed;

/// The secret that the bearer presents. It can be neither printed nor serialised; [`Secret::expose`] is the one way
/// out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret, exactly as presented or minted.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret in clear, for its owner's answer only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digest that the ledger keeps.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

const DIGEST_CONTEXT: &[u8] = b"authledger credential digest v1\n";
const PAYLOAD_CONTEXT: &[u8] = b"authledger token payload v1\n";

pub(super) fn sha256(context: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(context);
    parts.iter().for_each(|part| hash.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

/// The digest of a secret: `SHA-256("authledger credential digest v1\n" || secret)`.
///
/// Unsalted, because a secret carries 122 random bits or more, so that there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret's bytes.
    pub fn of(secret: &[u8]) -> Self {
        Self(sha256(DIGEST_CONTEXT, &[secret]))
    }

    /// The digest that names a JWT without `jti`: of its decoded payload, because its signature has many spellings.
    pub fn of_payload(payload: &[u8]) -> Self {
        Self(sha256(PAYLOAD_CONTEXT, &[payload]))
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public name of a ticket or opaque token: the first 16 bytes.
    pub fn id(&self) -> CredentialId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        CredentialId::from_bytes(id)
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        hex::parse(text).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}
