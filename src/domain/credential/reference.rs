//! The names by which credentials are revoked.

use super::{CredentialId, Digest, Kind};
use crate::domain::ids::{Issuer, TokenId};

/// The name of a single credential. Of two names for one credential the greater says more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialRef {
    /// Its public id alone: a session's UUID, else the digest's first half, because the secret was never seen here.
    Id(CredentialId),
    /// The digest of its secret.
    Digest(Digest),
    /// A JWT without `jti`: the digest of its decoded payload.
    Payload {
        issuer: Issuer,
        /// The digest of the payload.
        digest: Digest,
    },
    /// A JWT's issuer and `jti`.
    Jwt {
        issuer: Issuer,
        /// The issuer's id of it.
        jti: TokenId,
    },
}

impl CredentialRef {
    /// The id that it is kept under. A session that is named by its digest is kept under its UUID once that is known.
    pub fn id(&self) -> CredentialId {
        match self {
            Self::Digest(digest) | Self::Payload { digest, .. } => digest.id(),
            Self::Id(id) => *id,
            Self::Jwt { issuer, jti } => CredentialId::of_jwt(issuer, jti),
        }
    }

    /// The digest of its secret, if that is known.
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Id(_) | Self::Jwt { .. } | Self::Payload { .. } => None,
        }
    }

    /// The issuer, of a JWT.
    pub const fn issuer(&self) -> Option<&Issuer> {
        match self {
            Self::Jwt { issuer, .. } | Self::Payload { issuer, .. } => Some(issuer),
            Self::Digest(_) | Self::Id(_) => None,
        }
    }

    /// The `jti`, of a JWT that has one.
    pub const fn jti(&self) -> Option<&TokenId> {
        match self {
            Self::Jwt { jti, .. } => Some(jti),
            Self::Digest(_) | Self::Id(_) | Self::Payload { .. } => None,
        }
    }

    /// Whether it is the JWT of that bearer: its issuer and `jti`, or its payload's digest in hexadecimal digits.
    pub fn is_held_by(&self, issuer: &Issuer, jti: &TokenId) -> bool {
        match self {
            Self::Jwt { issuer: own, jti: name } => own == issuer && name == jti,
            Self::Payload { issuer: own, digest } => own == issuer && digest.to_string() == jti.as_str(),
            Self::Digest(_) | Self::Id(_) => false,
        }
    }

    /// The public id of a credential of that kind: a session's UUID, a JWT's `jti`, else 32 hexadecimal digits. A
    /// session that is named by its secret alone has no public id here.
    pub fn public_id(&self, kind: Kind) -> Option<String> {
        match (self, kind) {
            (Self::Jwt { jti, .. }, _) => Some(jti.to_string()),
            (Self::Id(id), Kind::Session) => Some(id.uuid().to_string()),
            (Self::Digest(_), Kind::Session) => None,
            (Self::Digest(_) | Self::Id(_) | Self::Payload { .. }, _) => Some(self.id().to_string()),
        }
    }
}
