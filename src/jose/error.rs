//! Why a token is refused, and why a trusted issuer can't be used.

use std::io;
use std::path::PathBuf;

use super::{KeySetError, MAX_JWKS_BYTES, MAX_JWT_BYTES};

/// Why a token is refused. Each says what is wrong with it, and none holds a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not looked at.
    #[error("read the token: it is longer than {MAX_JWT_BYTES} bytes")]
    TooLong,
    /// It is no compact JWS.
    #[error("read the token: it is no JWT of three parts with dots between them")]
    NotThreeParts,
    /// A part is padded, has stray bits at its end, or other characters.
    #[error("read the token: a part of it is not base64url without padding and without stray bits")]
    NotBase64Url,
    /// The header is no JSON object.
    #[error("read the token: its header is no JSON object")]
    MalformedHeader,
    /// A member of the header stands twice.
    #[error("read the token: a member of its header stands there twice")]
    DuplicateHeader,
    /// The header names two keys.
    #[error("read the token: its header has more than one `kid`")]
    TwoKeyIds,
    /// The header's name of a key is no text.
    #[error("read the token: the `kid` in its header is no text")]
    MalformedKeyId,
    /// The header demands an extension.
    #[error("read the token: its header has `crit`, and no extension is understood here")]
    Critical,
    /// The header names no algorithm.
    #[error("read the token: its header has no `alg`")]
    MissingAlgorithm,
    /// The algorithm is `none`.
    #[error("read the token: its `alg` is none, so nobody has signed it")]
    Unsigned,
    /// The algorithm is an HMAC.
    #[error("read the token: its `alg` is an HMAC, which whoever verifies it could have made")]
    Hmac,
    /// The algorithm is another one.
    #[error("read the token: its `alg` is none of ES256, EdDSA and RS256")]
    UnsupportedAlgorithm,
    /// The payload is no JSON object.
    #[error("read the token: its claims are no JSON object")]
    MalformedClaims,
    /// A claim stands twice.
    #[error("read the token: a claim stands there twice")]
    DuplicateClaim,
    /// No `iss`, or one that is no text.
    #[error("verify the token: it names no issuer (`iss`)")]
    MissingIssuer,
    /// Nobody whom we trust.
    #[error("verify the token: its issuer is not trusted here")]
    UnknownIssuer,
    /// It names no key, and there is more than one that it could mean.
    #[error("verify the token: it names no key (`kid`), and its issuer needs it to")]
    KeyIdNeeded,
    /// No key of that name verifies that algorithm.
    #[error("verify the token: its issuer has no such key for this algorithm")]
    UnknownKey,
    /// The issuer's keys were never loaded. Trying again later may help.
    #[error("verify the token: its issuer's keys are out of reach; try again in a minute")]
    KeysUnreachable,
    /// Somebody else signed it, or it was changed.
    #[error("verify the token: its signature is wrong")]
    BadSignature,
    /// Neither `person_id` nor `sub`.
    #[error("accept the token: it names no subject (`person_id` or `sub`)")]
    MissingSubject,
    /// The subject is no text that a subject may be.
    #[error("accept the token: its subject is no text of 1 to 255 bytes without control characters")]
    MalformedSubject,
    /// Neither `oid` nor `aud`; ours need `oid`.
    #[error("accept the token: it names no tenant (`oid` or `aud`)")]
    MissingTenant,
    /// The tenant is no text that a tenant may be.
    #[error("accept the token: its tenant (`oid` or `aud`) is no text of 1 to 255 bytes without control characters")]
    MalformedTenant,
    /// The issuer does not speak for that tenant.
    #[error("accept the token: its issuer is not trusted for this tenant")]
    ForeignTenant,
    /// `jti`, or what stands in for it, is no text, empty or too long.
    #[error("accept the token: its id (`jti`) is no text of 1 to 255 bytes without control characters")]
    MalformedId,
    /// `iat`, `nbf` or `exp` is no time.
    #[error("accept the token: its `{0}` is no number of seconds since 1970")]
    MalformedTime(&'static str),
    /// `sid` of a token of ours is no UUID.
    #[error("accept the token: its session (`sid`) is no UUID")]
    MalformedSession,
    /// `gen` of a token of ours is no map from origins to sequences.
    #[error("accept the token: its generation (`gen`) is no object of at most 16 sequences")]
    MalformedGeneration,
    /// The token within a container holds one itself.
    #[error("accept the token: the token within it (`user_token`) is a container itself")]
    NestedContainer,
    /// The token within a container is for another tenant or subject.
    #[error("accept the token: the token within it (`user_token`) is for another tenant or subject")]
    ContainerMismatch,
}

/// Why a trusted issuer can't be used, so that no server starts that would refuse all of its tokens.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with its keys is not there, or closed to us.
    #[error("read the keys of the trusted issuer {issuer:?} in {}: {source}; mend its jwks_file", path.display())]
    Unreadable {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no key set.
    #[error("use the keys of the trusted issuer {issuer:?} in {}: {problem} (RFC 7517, section 5)", path.display())]
    Malformed {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: KeySetError,
    },
    /// The file has no key that can verify anything.
    #[error(
        "use the keys of the trusted issuer {issuer:?} in {}: none is a public key for ES256 (P-256), EdDSA (Ed25519) or \
         RS256 (2048 bits or more)",
        path.display()
    )]
    NoKey {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
    },
    /// The client that would fetch its keys can't be set up.
    #[error("set up the HTTP client for the keys of the trusted issuer {issuer:?}: {why}")]
    Client {
        /// The issuer.
        issuer: String,
        /// What is wrong.
        why: String,
    },
}

/// Why keys were not loaded; for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Fetch(reqwest::Error),
    #[error("the answer's status is {0}, not 200")]
    Status(u16),
    #[error("the answer is longer than {MAX_JWKS_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Set(#[from] KeySetError),
}

impl From<reqwest::Error> for LoadError {
    /// Without the address, whose query may hold a secret.
    fn from(error: reqwest::Error) -> Self {
        Self::Fetch(error.without_url())
    }
}
