//! This ledger's own tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::MAX_JWT_BYTES;
use crate::keys::{KeyError, SigningKey};

/// Why a token was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The claims are not a JSON object.
    #[error("write the token's claims: they are not a JSON object")]
    Claims,
    /// No verifier, including this ledger, would read it.
    #[error("write the token: with these claims it is longer than {MAX_JWT_BYTES} bytes")]
    TooLong,
    /// The key fails to sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A compact JWS (RFC 7515, section 7.1) over those claims, with the header `{"alg","kid","typ":"JWT"}`.
///
/// The key signs by itself, so that its private half stays where it is.
pub fn sign(key: &SigningKey, claims: &impl Serialize) -> Result<String, SignError> {
    sign_as(key, "JWT", claims)
}

/// The same with that `typ`: RFC 8725, section 3.11.
pub fn sign_as(key: &SigningKey, typ: &'static str, claims: &impl Serialize) -> Result<String, SignError> {
    let claims = serde_json::to_vec(claims).map_err(|_| SignError::Claims)?;
    if claims.first() != Some(&b'{') {
        return Err(SignError::Claims);
    }
    let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"{typ}"}}"#, key.algorithm(), key.kid());
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > MAX_JWT_BYTES { Err(SignError::TooLong) } else { Ok(token) }
}
