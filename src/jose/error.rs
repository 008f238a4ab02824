//! Why a token is refused, and why a trusted issuer can't be used.

use std::io;
use std::path::PathBuf;

/// Why a token is refused. Each says what is wrong with it, and none holds a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long to be read.
    #[error("read the token: it is longer than {MAX_JWT_BYTES} bytes")]
    TooLong,
    /// It is not a compact JWS.
    #[error("read the token: it is not a JWT of three parts with dots between them")]
    NotThreeParts,
    /// A part is padded, has stray bits at its end, or other characters.
    #[error("read the token: a part of it is not base64url without padding and without stray bits")]
    NotBase64Url,
    /// The header is not a JSON object.
    #[error("read the token: its header is not a JSON object")]
    MalformedHeader,
    /// A member of the header is given twice.
    #[error("read the token: a member of its header is given twice")]
    DuplicateHeader,
    /// The header names two keys.
    #[error("read the token: its header has more than one `kid`")]
    TwoKeyIds,
    /// The header's name of a key is not a string.
    #[error("read the token: the `kid` in its header is not a string")]
    MalformedKeyId,
    /// The header demands an extension.
    #[error("read the token: its header has `crit`, but no extension is supported here")]
    Critical,
    /// The header names no algorithm.
    #[error("read the token: its header has no `alg`")]
    MissingAlgorithm,
    /// The algorithm is `none`.
    #[error("read the token: its `alg` is none, so nobody has signed it")]
    Unsigned,
    /// The algorithm is an HMAC.
    #[error("read the token: its `alg` is an HMAC, which any of its verifiers could have made")]
    Hmac,
    /// The algorithm is another one.
    #[error("read the token: its `alg` is not one of ES256, EdDSA and RS256")]
    UnsupportedAlgorithm,
    /// The payload is not a JSON object.
    #[error("read the token: its claims are not a JSON object")]
    MalformedClaims,
    /// A claim is given twice.
    #[error("read the token: a claim is given twice")]
    DuplicateClaim,
    /// The `iss` is missing, or is not a string.
    #[error("verify the token: it does not name an issuer (`iss`)")]
    MissingIssuer,
    /// The issuer is not trusted.
    #[error("verify the token: its issuer is not trusted here")]
    UnknownIssuer,
    /// It does not name a key, and several keys are possible.
    #[error("verify the token: it does not name a key (`kid`), but its issuer has several")]
    KeyIdNeeded,
    /// No key of that name verifies that algorithm.
    #[error("verify the token: its issuer has no such key for this algorithm")]
    UnknownKey,
    /// The issuer's keys were never loaded. Trying again later may help.
    #[error("verify the token: its issuer's keys are out of reach; try again in a minute")]
    KeysUnreachable,
    /// Another key signed it, or it was changed.
    #[error("verify the token: its signature is wrong")]
    BadSignature,
    /// Neither `person_id` nor `sub` is present.
    #[error("accept the token: it does not name a subject (`person_id` or `sub`)")]
    MissingSubject,
    /// The subject does not have a subject's form.
    #[error("accept the token: its subject is not a string of 1 to 255 bytes without control characters")]
    MalformedSubject,
    /// Neither `oid` nor `aud` is present; a token of this ledger needs `oid`.
    #[error("accept the token: it does not name a tenant (`oid` or `aud`)")]
    MissingTenant,
    /// The tenant does not have a tenant's form.
    #[error(
        "accept the token: its tenant (`oid` or `aud`) is not a string of 1 to 255 bytes without control characters"
    )]
    MalformedTenant,
    /// The issuer is not trusted for that tenant.
    #[error("accept the token: its issuer is not trusted for this tenant")]
    ForeignTenant,
    /// The `jti`, or the claim in its place, is not a string, is empty or too long.
    #[error("accept the token: its id (`jti`) is not a string of 1 to 255 bytes without control characters")]
    MalformedId,
    /// The `iat`, `nbf` or `exp` is not a time.
    #[error("accept the token: its `{0}` is not a number of seconds since 1970")]
    MalformedTime(&'static str),
    /// The `sid` of a token of this ledger is not a UUID.
    #[error("accept the token: its session (`sid`) is not a UUID")]
    MalformedSession,
    /// The `gen` of a token of this ledger is not a map from origins to sequences.
    #[error("accept the token: its generation (`gen`) is not an object of at most 16 sequences")]
    MalformedGeneration,
    /// The claim `cnf` is not an object, or a thumbprint in it does not have its form.
    #[error("accept the token: what it is bound to (`cnf`) is not an object, or has a thumbprint that is not one")]
    MalformedConfirmation,
    /// The token within a container is a container itself.
    #[error("accept the token: the token within it (`user_token`) is a container itself")]
    NestedContainer,
    /// The token within a container is for another tenant or subject.
    #[error("accept the token: the token within it (`user_token`) is for another tenant or subject")]
    ContainerMismatch,
}

/// Why a trusted issuer can't be used: a server does not start if it would refuse all of the issuer's tokens.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with its keys does not exist, or can't be read.
    #[error("read the keys of the trusted issuer {issuer:?} in {}: {source}; correct its jwks_file", path.display())]
    Unreadable { issuer: String, path: PathBuf, source: io::Error },
    /// The file is not a key set.
    #[error("use the keys of the trusted issuer {issuer:?} in {}: {problem} (RFC 7517, section 5)", path.display())]
    Malformed { issuer: String, path: PathBuf, problem: KeySetError },
    /// The file does not have a usable key.
    #[error(
        "use the keys of the trusted issuer {issuer:?} in {}: none is a public key for ES256 (P-256), EdDSA (Ed25519) or \
         RS256 (2048 bits or more)",
        path.display()
    )]
    NoKey { issuer: String, path: PathBuf },
    /// The client that would fetch its keys can't be set up.
    #[error("set up the HTTP client for the keys of the trusted issuer {issuer:?}: {why}")]
    Client { issuer: String, why: String },
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

/// The largest key set that is read, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Why bytes are not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// There are too many.
    #[error("it is longer than {MAX_JWKS_BYTES} bytes")]
    TooLong,
    /// They are not JSON, or have no list of keys.
    #[error("it is not a JSON object with a list `keys`")]
    Malformed,
}

/// The longest token that is read, in bytes.
pub const MAX_JWT_BYTES: usize = 16 * 1024;
