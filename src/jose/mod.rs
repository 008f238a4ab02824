//! JSON Web Tokens: signs this ledger's, and reads those of this ledger and of trusted issuers.
//!
//! Reading is strict (RFC 7515, RFC 7519, and the advice of RFC 8725): an ambiguous token is refused. A signature has
//! many spellings, so a token is known by its issuer and its `jti`, or by the bytes of its payload, never by its text.

mod assertion;
mod binding;
mod claims;
mod client_keys;
mod dpop;
mod error;
mod issuer;
mod json;
mod key_set;
mod parsed;
mod proof;
mod seen;
mod sign;
mod target;
mod trusted;
mod used;
mod verify;

pub use assertion::{AssertionError, ClientAssertion, MAX_ASSERTION_SECONDS, MAX_USED_ASSERTIONS, UsedAssertions};
pub use binding::Binding;
pub use claims::{
    APPLICATION, ClaimedAncestor, PARENT, SESSION_APPLICATION, SESSION_ISSUED_AT, TokenTimeError, VerifiedToken,
    numeric_date,
};
pub use client_keys::{ClientKeyring, checked_client_jwks};
pub use dpop::Proofs;
pub use error::{KeySetError, MAX_JWKS_BYTES, MAX_JWT_BYTES, TokenError, TrustError};
pub use issuer::{KEYS_FRESH_MILLIS, KEYS_TIMEOUT, RELOAD_MILLIS};
pub use key_set::{KeySet, PublicKey, verify_signature};
pub use parsed::ParsedToken;
pub use proof::{Possession, Proof, ProofError};
pub use sign::{SignError, sign, sign_as};
pub use target::TargetUri;
pub use trusted::{CLOCK_LEEWAY_SECONDS, JwksUrl, KeySource, MAX_CLOCK_LEEWAY_SECONDS, Profile, TrustedIssuer};
pub use verify::{IssuerCall, OwnKeys, TrustedIssuers};
