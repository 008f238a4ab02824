//! What comes with a bound token, and why it may not prove possession.

use super::target::TargetUri;
use super::{CLOCK_LEEWAY_SECONDS, TokenError};
use crate::domain::Thumbprint;

/// How old a proof may be, in milliseconds, and how far ahead of this clock its maker's may be.
pub(super) const MAX_AGE_MILLIS: u64 = (60 + CLOCK_LEEWAY_SECONDS) * 1_000;
pub(super) const MAX_AHEAD_MILLIS: u64 = CLOCK_LEEWAY_SECONDS * 1_000;

/// A proof, and the request that it came with.
#[derive(Clone, Debug)]
pub struct Proof<'a> {
    /// The header `DPoP`.
    pub text: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The address of the request.
    pub uri: &'a TargetUri,
}

/// What came with a token, to prove that its bearer may present it.
#[derive(Clone, Debug, Default)]
pub struct Possession<'a> {
    pub proof: Option<Proof<'a>>,
    /// The certificate with which the bearer's connection was made.
    pub certificate: Option<Thumbprint>,
}

/// Why possession is not proven. None holds a byte of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The token needs a proof.
    #[error("accept the token: it is bound to a key, and comes without a proof")]
    Missing,
    /// The token needs another certificate.
    #[error("accept the token: it is bound to another certificate than the one of this connection")]
    OtherCertificate,
    /// The token is bound in a way that is not known here.
    #[error("accept the token: it is bound in a way for which there is no proof here")]
    Unprovable,
    /// It is not a signed JWT, or its signature is wrong.
    #[error("verify the proof: it is not a JWT that its own key has signed")]
    Unverified(TokenError),
    /// Its `typ` says that it is something else.
    #[error("accept the proof: its `typ` is not dpop+jwt")]
    OtherType,
    /// Its header has no key that can be used with its algorithm.
    #[error("accept the proof: its `jwk` is not a public key for its `alg`")]
    UnusableKey,
    /// Its header has a private key.
    #[error("accept the proof: its `jwk` has a private member")]
    PrivateKey,
    /// Another key has signed it.
    #[error("accept the proof: its key is not the one that the token is bound to")]
    OtherKey,
    /// It was made for another method.
    #[error("accept the proof: its `htm` is another method")]
    OtherMethod,
    /// It was made for another address.
    #[error("accept the proof: its `htu` is another address")]
    OtherUri,
    /// It was made for another token.
    #[error("accept the proof: its `ath` is of another token")]
    OtherToken,
    /// It was made too long ago, or is said to be made in the future.
    #[error("accept the proof: its `iat` is too old, or still to come")]
    NotNow,
    /// It has no `jti`.
    #[error("accept the proof: it does not have a `jti`")]
    MissingId,
    /// It was used before.
    #[error("accept the proof: it was used before")]
    UsedBefore,
    /// There is no room to note that it was used: try again in a moment.
    #[error("note the proof: too many were used within a minute")]
    TooMany,
}
