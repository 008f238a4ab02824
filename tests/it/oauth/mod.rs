//! OAuth 2.0: what a standard client is told, case by case.

mod global;
mod hostile;
mod introspection;
mod metadata;
mod refusals;
mod revocation;
mod signed;
mod tokens;

use authledger::domain::Tenant;
use authledger::jose::{KeySource, TrustedIssuer};
use authledger::keys::{Algorithm, SigningKey};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::served::{Actor, Answer, Made, ServedNode};

pub const INTROSPECT: &str = "/oauth2/introspect";
pub const REVOKE: &str = "/oauth2/revoke";
/// The issuer of the tokens that the ledger never issued.
pub const FOREIGN: &str = "https://login.example";

/// An application as an OAuth client knows itself.
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// A new application with these grants, each a tenant and scopes.
    pub async fn new(node: &ServedNode, grants: &[(&str, &[&str])]) -> Self {
        let grants: Vec<Value> =
            grants.iter().map(|(tenant, scopes)| json!({"tenant": tenant, "scopes": scopes})).collect();
        let answer = node.root().post("/v1/applications", json!({"name": "a client", "grants": grants})).await;
        assert_eq!(answer.status, 201, "{}", answer.shown());
        Self { id: answer.text("id").to_owned(), secret: answer.text("secret").to_owned() }
    }

    /// `client_secret_basic` with the halves as they are.
    pub fn raw(&self) -> String {
        basic(&self.id, &self.secret)
    }

    /// It asks with Basic.
    pub fn on(&self, node: &ServedNode) -> Actor {
        node.nobody().with("authorization", &self.raw())
    }
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Every byte but letters and digits with an escape, as the strictest client writes it.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// Sends a form.
pub async fn post(actor: &Actor, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let body: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    let form = actor.with("content-type", "application/x-www-form-urlencoded");
    form.send(Method::POST, path, body.join("&")).await
}

/// A trusted issuer with its key, and a node that trusts it in the tenant `acme`, and lets it revoke there.
pub async fn trusting() -> (ServedNode, SigningKey, tempfile::TempDir) {
    trusting_with(true, Made::default()).await
}

/// The same, made so.
pub async fn trusting_with(may_revoke: bool, made: Made) -> (ServedNode, SigningKey, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let key = SigningKey::generate(&directory.path().join("keys"), Algorithm::Es256).expect("a key");
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, format!("{{\"keys\":[{}]}}", key.public_jwk())).expect("a file");
    let trusted = TrustedIssuer {
        issuer: FOREIGN.into(),
        source: KeySource::File(file),
        tenants: vec![Tenant::new("acme").expect("a name")],
        profile: None,
        clock_leeway_seconds: 5,
        may_revoke,
    };
    (ServedNode::made(Made { trusted: vec![trusted], ..made }).await, key, directory)
}
