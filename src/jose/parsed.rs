//! A token's parts, read strictly and not yet trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{MAX_JWT_BYTES, TokenError};
use super::json::{JsonRefusal, object};
use crate::keys::Algorithm;

/// A JWT as it claims to be: a compact JWS (RFC 7515, section 7.1) whose signature has not been verified.
///
/// Keys, and addresses of keys, in its header (`jwk`, `jku`, `x5c`, `x5u`) are never looked at, except those of proofs,
/// which `dpop` compares with what a token is bound to.
pub struct ParsedToken<'a> {
    /// The signed text: header and payload as they are in the token.
    pub signed: &'a str,
    /// The signature in base64url, without stray bits.
    pub signature: &'a str,
    /// The algorithm that it claims.
    pub algorithm: Algorithm,
    /// The name of the key, if it has one.
    pub kid: Option<String>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The payload's members, each once.
    pub claims: Map<String, Value>,
}

impl<'a> ParsedToken<'a> {
    /// The parts of that text; each kind of malformation has its own refusal.
    pub fn new(text: &'a str) -> Result<Self, TokenError> {
        Self::with_header(text).map(|(parsed, _)| parsed)
    }

    /// The same with the members of its header.
    pub(super) fn with_header(text: &'a str) -> Result<(Self, Map<String, Value>), TokenError> {
        if text.len() > MAX_JWT_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::NotThreeParts)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::NotThreeParts)?;
        if payload.contains('.') {
            return Err(TokenError::NotThreeParts);
        }
        let header = read_header(&decode(header)?)?;
        let payload = decode(payload)?;
        decode(signature)?;
        let claims = object(&payload).map_err(|refusal| match refusal {
            JsonRefusal::NoObject => TokenError::MalformedClaims,
            JsonRefusal::Twice(_) => TokenError::DuplicateClaim,
        })?;
        let (algorithm, kid) = (algorithm(&header)?, kid(&header)?);
        Ok((Self { signed, signature, algorithm, kid, payload, claims }, header))
    }
}

/// No padding, and no bits beyond the last byte: RFC 7515, appendix C, and RFC 4648, section 3.5.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotBase64Url)
}

fn read_header(bytes: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let header = object(bytes).map_err(|refusal| match refusal {
        JsonRefusal::NoObject => TokenError::MalformedHeader,
        JsonRefusal::Twice(name) if name == "kid" => TokenError::TwoKeyIds,
        JsonRefusal::Twice(_) => TokenError::DuplicateHeader,
    })?;
    // RFC 7515, section 4.1.11: a reader that does not understand an extension must refuse it. This one understands
    // none.
    if header.contains_key("crit") { Err(TokenError::Critical) } else { Ok(header) }
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::MissingAlgorithm)?;
    match name.parse() {
        Ok(algorithm) => Ok(algorithm),
        Err(_) if name.eq_ignore_ascii_case("none") => Err(TokenError::Unsigned),
        Err(_) if name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("hs")) => Err(TokenError::Hmac),
        Err(_) => Err(TokenError::UnsupportedAlgorithm),
    }
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid.clone())),
        Some(_) => Err(TokenError::MalformedKeyId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    fn refusal(text: &str) -> TokenError {
        ParsedToken::new(text).err().expect("a refusal")
    }

    #[test]
    fn a_token_is_its_parts() {
        let text = token(r#"{"alg":"EdDSA","kid":"k","typ":"at+jwt","jwk":{}}"#, r#" {"sub":"s"}"#);
        let parsed = ParsedToken::new(&text).expect("well formed");
        assert_eq!((parsed.algorithm, parsed.kid.as_deref()), (Algorithm::EdDsa, Some("k")));
        assert_eq!((parsed.payload.as_slice(), parsed.claims["sub"].as_str()), (&b" {\"sub\":\"s\"}"[..], Some("s")));
        assert_eq!(format!("{}.{}", parsed.signed, parsed.signature), text);
    }

    #[test]
    fn every_way_of_being_no_token_has_its_name() {
        for (header, wrong) in [
            ("", TokenError::MalformedHeader),
            ("[]", TokenError::MalformedHeader),
            (r#"{"alg":"ES256","alg":"none"}"#, TokenError::DuplicateHeader),
            (r#"{"alg":"ES256","kid":"a","kid":"a"}"#, TokenError::TwoKeyIds),
            (r#"{"alg":"ES256","kid":1}"#, TokenError::MalformedKeyId),
            (r#"{"alg":"ES256","crit":[]}"#, TokenError::Critical),
            (r#"{"kid":"a"}"#, TokenError::MissingAlgorithm),
            (r#"{"alg":["ES256"]}"#, TokenError::MissingAlgorithm),
            (r#"{"alg":"nOnE"}"#, TokenError::Unsigned),
            (r#"{"alg":"HS512"}"#, TokenError::Hmac),
            (r#"{"alg":"PS256"}"#, TokenError::UnsupportedAlgorithm),
            (r#"{"alg":"es256"}"#, TokenError::UnsupportedAlgorithm),
        ] {
            assert_eq!(refusal(&token(header, "{}")), wrong, "{header}");
        }
        let header = r#"{"alg":"ES256"}"#;
        assert_eq!(refusal(&token(header, "null")), TokenError::MalformedClaims);
        assert_eq!(refusal(&token(header, r#"{"a":1,"a":1}"#)), TokenError::DuplicateClaim);
        for text in ["", "e30", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30.e30.e30"] {
            assert_eq!(refusal(text), TokenError::NotThreeParts, "{text}");
        }
        for text in ["e30=.e30.", "e30.e30=.", "e30.e30.e30=", "e30 .e30.", "e3+.e30.", "e30.e30.e31"] {
            let text = text.replacen("e30.", &format!("{}.", URL_SAFE_NO_PAD.encode(header)), 1);
            assert_eq!(refusal(&text), TokenError::NotBase64Url, "{text}");
        }
    }

    #[test]
    fn a_token_has_at_most_16_kib() {
        let text = |filler: usize| token(r#"{"alg":"ES256"}"#, &format!("{{\"a\":\"{}\"}}", "x".repeat(filler)));
        let fits = (0..).map(text).take_while(|text| text.len() <= MAX_JWT_BYTES);
        let longest = fits.last().expect("a short one fits");
        assert!(ParsedToken::new(&longest).is_ok() && longest.len() > MAX_JWT_BYTES - 3);
        assert_eq!(refusal(&"a".repeat(MAX_JWT_BYTES + 1)), TokenError::TooLong);
    }
}
