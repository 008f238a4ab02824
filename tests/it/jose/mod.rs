//! Tokens: the ones that are accepted, and everything that is refused.

pub mod confusion;
mod containers;
mod keys;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use authledger::clock::Clock;
use authledger::domain::{Tenant, Timestamp};
use authledger::jose::{KeySource, Profile, TrustedIssuer};
use authledger::jose::{OwnKeys, TokenError, TrustedIssuers, VerifiedToken, sign};
use authledger::keys::{Algorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The issuer that is trusted in the tenants `one` and `two`.
pub const ISSUER: &str = "https://issuer.example";
const OURS: &str = "https://auth.example";
/// Where the clock stands, in milliseconds.
const NOW: u64 = 1_800_000_000_000;

/// An issuer that signs.
pub struct Signer {
    directory: TempDir,
    pub key: SigningKey,
}

impl Signer {
    pub fn new(algorithm: Algorithm) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&directory.path().join("keys"), algorithm).unwrap();
        Self { directory, key }
    }

    pub fn token(&self, claims: &Value) -> String {
        sign(&self.key, claims).unwrap()
    }

    /// A valid signature over any header and payload.
    pub fn raw(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }

    pub fn header(&self) -> String {
        json!({"alg": self.key.algorithm().as_str(), "kid": self.key.kid()}).to_string()
    }

    /// A file with its public key.
    pub fn jwks_file(&self) -> PathBuf {
        let path = self.directory.path().join("jwks.json");
        fs::write(&path, jwks(&[self])).unwrap();
        path
    }

    pub fn trusted(&self, profile: Option<Profile>) -> TrustedIssuer {
        trusted(KeySource::File(self.jwks_file()), profile)
    }
}

fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<String> = signers.iter().map(|signer| signer.key.public_jwk()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

pub fn trusted(source: KeySource, profile: Option<Profile>) -> TrustedIssuer {
    let tenants = ["one", "two"].map(|name| Tenant::new(name).unwrap()).to_vec();
    TrustedIssuer { issuer: ISSUER.into(), source, tenants, profile, clock_leeway_seconds: 5, may_revoke: false }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(NOW).unwrap())
}

/// A ledger's own issuer and keys.
#[derive(Default)]
struct Own {
    issuer: Option<Arc<str>>,
    keys: HashMap<String, Arc<str>>,
}

impl Own {
    fn with(signer: &Signer) -> Self {
        let keys = HashMap::from([(signer.key.kid().to_owned(), signer.key.public_jwk().into())]);
        Self { issuer: Some(OURS.into()), keys }
    }
}

impl OwnKeys for Own {
    fn issuer(&self) -> Option<Arc<str>> {
        self.issuer.clone()
    }

    fn jwk(&self, kid: &str) -> Option<Arc<str>> {
        self.keys.get(kid).cloned()
    }
}

/// One issuer that is trusted and one key of our own, and the judge of tokens that knows both.
struct Judge {
    theirs: Signer,
    ours: Signer,
    own: Own,
    issuers: TrustedIssuers,
}

impl Judge {
    fn new(algorithm: Algorithm) -> Self {
        Self::of(algorithm, None)
    }

    fn of(algorithm: Algorithm, profile: Option<Profile>) -> Self {
        let (theirs, ours) = (Signer::new(algorithm), Signer::new(Algorithm::Es256));
        let issuers = TrustedIssuers::new(vec![theirs.trusted(profile)], clock()).unwrap();
        let own = Own::with(&ours);
        Self { theirs, ours, own, issuers }
    }

    async fn verify(&self, token: &str) -> Result<VerifiedToken, TokenError> {
        self.issuers.verify(token, &self.own).await
    }

    async fn refusal(&self, token: &str) -> String {
        self.verify(token).await.err().expect("a refusal").to_string()
    }
}

/// Claims of the trusted issuer that are valid as they are.
pub fn claims(more: Value) -> Value {
    merged(json!({"iss": ISSUER, "sub": "somebody", "oid": "one", "jti": "id"}), more)
}

/// Claims of ours that are valid as they are.
fn own_claims(more: Value) -> Value {
    merged(json!({"iss": OURS, "sub": "somebody", "oid": "one", "jti": "own-id"}), more)
}

/// The members of both; null takes one away.
pub fn merged(mut claims: Value, more: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
