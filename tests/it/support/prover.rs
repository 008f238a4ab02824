//! The bearer of a token that is bound to a key.

use authledger::keys::{Algorithm, SigningKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key of P-256, and the proofs that it signs.
pub struct Prover {
    key: SigningKey,
    _directory: tempfile::TempDir,
}

impl Prover {
    /// A fresh key.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&directory.path().join("keys"), Algorithm::Es256).unwrap();
        Self { key, _directory: directory }
    }

    fn jwk(&self) -> Value {
        let jwk: Value = serde_json::from_str(&self.key.public_jwk()).unwrap();
        json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]})
    }

    /// `jkt`: what a token is bound to.
    pub fn thumbprint(&self) -> String {
        hash(&self.jwk().to_string())
    }

    /// A proof of that token for that request, with that `jti`, made at that time in seconds since 1970.
    pub fn proof(&self, token: &str, method: &str, uri: &str, jti: &str, made_at: u64) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let claims = json!({"jti": jti, "htm": method, "htu": uri, "iat": made_at, "ath": hash(token)});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}
