//! Credentials: their kinds, the keys that they are kept under, and their folded state.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

pub use ancestors::{ancestors, unheard_of};
pub use judge::{judge, judge_known, judge_presented, revoked_unknown};
pub use lineage::{Ancestor, MAX_ANCESTORS, MAX_GENERATIONS, Parent};
pub use reference::CredentialRef;
pub use revocation::{Revocation, RevocationTarget, Revocations, UnknownRevoker};
pub use secret::{Digest, Secret};
pub use state::{Active, Credential, Inactive, Issue, IssuedAs, IssuedJwt, Lifetime};

use super::ids::{Issuer, Malformed, TokenId};

mod ancestors;
pub mod hex;
mod judge;
mod lineage;
mod reference;
mod revocation;
mod secret;
mod state;

/// Separates the keys of JWTs from all other digests.
const IDENTITY_CONTEXT: &[u8] = b"authledger token identity v1\n";

/// The kind of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A single-purpose bearer secret with a sliding life: Crafter's ticket.
    Ticket,
    /// A logged-in device.
    Session,
    /// A bearer token: a JWT or an opaque one.
    Token,
}

impl Kind {
    /// Every kind, in the order that records list them.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::Session, Self::Token];

    /// The kind's name in records and bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// This kind's place in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl FromStr for Kind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(Malformed("one of ticket, session, token"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self(0b111);

    /// The set without members.
    pub const NONE: Self = Self(0);

    /// Whether the set holds that kind.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind.index()) != 0
    }

    /// Whether the two sets have a kind in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set has no members.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind.index()))
    }
}

/// The key that a credential is kept under, unique within its kind: a session's UUID; for a ticket or opaque token the
/// digest's first 16 bytes; for a JWT 16 bytes that follow from its issuer and `jti`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId([u8; 16]);

/// A credential of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialKey {
    pub kind: Kind,
    pub id: CredentialId,
}

impl CredentialId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of a session.
    pub const fn of_session(id: Uuid) -> Self {
        Self(id.into_bytes())
    }

    /// The id of a JWT. Names do not hold control characters, so issuer and `jti` can't run together.
    pub fn of_jwt(issuer: &Issuer, jti: &TokenId) -> Self {
        let parts = [issuer.as_str().as_bytes(), b"\n", jti.as_str().as_bytes()];
        Digest::from_bytes(secret::sha256(IDENTITY_CONTEXT, &parts)).id()
    }

    /// The bytes as a UUID: a session's public id.
    pub const fn uuid(self) -> Uuid {
        Uuid::from_bytes(self.0)
    }

    /// Reads the public form: 32 hexadecimal digits, or for a session a UUID. A JWT is named by its `jti` instead.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Malformed> {
        match kind {
            Kind::Session => Uuid::parse_str(text).map(|id| Self(id.into_bytes())).map_err(|_| Malformed("a UUID")),
            Kind::Ticket | Kind::Token => hex::parse(text).map(Self),
        }
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}
