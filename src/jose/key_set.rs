//! An issuer's public keys, and the verification of signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::{KeySetError, MAX_JWKS_BYTES, ParsedToken, TokenError};
use crate::keys::Algorithm;

/// Bytes of a coordinate on P-256, and of an Ed25519 key.
const POINT_BYTES: usize = 32;
/// Sizes of RSA moduli that verify, in bytes: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A JWK set (RFC 7517, section 5), with the keys that can verify one of the three algorithms.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// A public key, and the one algorithm that it verifies.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    fingerprint: [u8; 32],
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// None fits.
    None,
    /// The token does not name a key, and several fit.
    Several,
}

impl KeySet {
    /// The keys of a document. Those for other algorithms and other uses, and those that are malformed, are left out.
    pub fn from_json(document: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct KeySetDocument {
            keys: Vec<Value>,
        }
        if document.len() > MAX_JWKS_BYTES {
            return Err(KeySetError::TooLong);
        }
        let KeySetDocument { keys } = serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
        Ok(Self { keys: keys.into_iter().filter_map(PublicKey::from_value).collect() })
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of that name for that algorithm; without a name, the only one for it.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        self.seek(kid, algorithm).ok()
    }

    pub(super) fn seek(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&PublicKey, Miss> {
        let named = |key: &&PublicKey| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm).filter(named);
        let first = fitting.next().ok_or(Miss::None)?;
        // A name that a set gives twice is not a name of either key.
        if fitting.next().is_some() { Err(Miss::Several) } else { Ok(first) }
    }
}

impl PublicKey {
    /// The key of a JWK's text, if it can verify one of the three algorithms.
    pub fn from_jwk(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Self::from_value)
    }

    /// The algorithm that it verifies.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name in the set.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// A digest of the key itself, whatever its name.
    pub(super) const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    pub(super) fn from_value(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let (algorithm, decoding) = jwk.decoding()?;
        let is_for_it = jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str());
        let verifies = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        let fingerprint = jwk.fingerprint(algorithm);
        (is_for_it && verifies).then_some(Self { kid: jwk.kid, algorithm, decoding, fingerprint })
    }
}

/// RFC 7517, section 4, and RFC 7518, section 6: the members that are read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    fn fingerprint(&self, algorithm: Algorithm) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        hash.update(algorithm.as_str().as_bytes());
        for member in [&self.x, &self.y, &self.n, &self.e] {
            let member = member.as_deref().unwrap_or_default();
            hash.update(&(member.len() as u64).to_le_bytes()).update(member.as_bytes());
        }
        *hash.finalize().as_bytes()
    }

    /// The type of the key alone decides its algorithm, so a public key is never the secret of an HMAC.
    fn decoding(&self) -> Option<(Algorithm, DecodingKey)> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let (x, y) = (point(&self.x)?, point(&self.y)?);
                Some((Algorithm::Es256, DecodingKey::from_ec_components(x, y).ok()?))
            }
            ("OKP", Some("Ed25519")) => {
                Some((Algorithm::EdDsa, DecodingKey::from_ed_components(point(&self.x)?).ok()?))
            }
            ("RSA", _) => {
                let modulus = URL_SAFE_NO_PAD.decode(self.n.as_ref()?).ok()?;
                let exponent = URL_SAFE_NO_PAD.decode(self.e.as_ref()?).ok()?;
                let is_large =
                    modulus.first().is_some_and(|first| *first != 0) && MODULUS_BYTES.contains(&modulus.len());
                is_large.then(|| (Algorithm::Rs256, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
            }
            _ => None,
        }
    }
}

fn point(text: &Option<String>) -> Option<&str> {
    let text = text.as_deref()?;
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == POINT_BYTES).then_some(text)
}

/// Whether that key made the token's signature (RFC 7515, section 5.2). Neither times nor claims are judged.
pub fn verify_signature(token: &ParsedToken<'_>, key: &PublicKey) -> Result<(), TokenError> {
    if key.algorithm != token.algorithm {
        return Err(TokenError::UnknownKey);
    }
    let algorithm = match key.algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    };
    match crypto::verify(token.signature, token.signed.as_bytes(), &key.decoding, algorithm) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::BadSignature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn set(keys: &[&str]) -> KeySet {
        KeySet::from_json(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes()).expect("a set")
    }

    /// A key that needs no file beyond this call.
    fn jwk(algorithm: Algorithm) -> (String, String) {
        let data = tempfile::tempdir().expect("a directory");
        let key = SigningKey::generate(&data.path().join("keys"), algorithm).expect("a new key");
        (key.public_jwk(), key.kid().to_owned())
    }

    #[test]
    fn a_key_is_found_by_its_name_and_algorithm_and_without_a_name_only_if_it_is_the_only_one() {
        let ((es256, name), (eddsa, other), (second, _)) =
            (jwk(Algorithm::Es256), jwk(Algorithm::EdDsa), jwk(Algorithm::Es256));
        let keys = set(&[&es256, &eddsa]);
        assert_eq!(keys.find(Some(&name), Algorithm::Es256).and_then(PublicKey::kid), Some(name.as_str()));
        assert!(keys.find(Some(&name), Algorithm::EdDsa).is_none(), "another algorithm's");
        assert!(keys.find(Some("other"), Algorithm::Es256).is_none());
        assert_eq!(keys.find(None, Algorithm::EdDsa).and_then(PublicKey::kid), Some(other.as_str()));
        assert!(keys.find(None, Algorithm::Rs256).is_none());
        let keys = set(&[&es256, &second]);
        assert_eq!(keys.seek(None, Algorithm::Es256).err(), Some(Miss::Several));
        assert_eq!(set(&[&es256, &es256]).seek(Some(&name), Algorithm::Es256).err(), Some(Miss::Several));
    }

    #[test]
    fn keys_for_anything_else_are_left_out() {
        let (es256, _) = jwk(Algorithm::Es256);
        let (rs256, _) = jwk(Algorithm::Rs256);
        let changed = |from: &str, to: &str| {
            let other = es256.replace(from, to);
            assert_ne!(other, es256);
            other
        };
        for other in [
            changed("\"alg\":\"ES256\"", "\"alg\":\"HS256\""),
            changed("\"alg\":\"ES256\"", "\"alg\":\"RS256\""),
            changed("\"use\":\"sig\"", "\"use\":\"enc\""),
            changed("\"use\":\"sig\"", "\"key_ops\":[\"sign\"]"),
            changed("P-256", "P-384"),
            changed("\"x\":\"", "\"x\":\"AA"),
            changed("\"kty\":\"EC\"", "\"kty\":\"oct\",\"k\":\"AAAA\""),
            rs256.replace("RS256", "PS256"),
            rs256.replace("\"n\":\"", "\"n\":\"AAAA"),
            r#"{"kty":"RSA","n":"u1Y","e":"AQAB"}"#.to_owned(),
            r#"{"kty":1}"#.to_owned(),
            "null".to_owned(),
        ] {
            assert!(set(&[&other]).is_empty(), "{other}");
        }
        let plain = es256.replace("\"alg\":\"ES256\",", "").replace(",\"use\":\"sig\"", "");
        assert_eq!(set(&["{}", &plain, "7", &rs256]).len(), 2);
        assert_eq!(PublicKey::from_jwk(&plain).map(|key| key.algorithm()), Some(Algorithm::Es256));
    }

    #[test]
    fn a_text_that_is_not_a_set_or_is_too_long_is_refused() {
        for text in ["", "[]", "{}", "{\"keys\":{}}"] {
            assert_eq!(KeySet::from_json(text.as_bytes()).err(), Some(KeySetError::Malformed), "{text}");
        }
        let long = format!("{{\"keys\":[]}}{}", " ".repeat(MAX_JWKS_BYTES));
        assert_eq!(KeySet::from_json(long.as_bytes()).err(), Some(KeySetError::TooLong));
    }
}
