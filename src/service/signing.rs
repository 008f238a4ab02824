//! The keys that sign the ledger's JWTs: made when first needed, published by events, replaced on command.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::machine::{Filed, Outcome};
use super::{Call, CallerIdentity, Error, Service};
use crate::domain::{
    Caller, Command, CredentialRef, Event, GivenSubject, Issuer, KeyId, KeyPublished, PublishKey,
    RETENTION_MARGIN_MILLIS, Rejection, Request, Scope, Tenant, Timestamp, TokenIssued, View as _, issuer, signing_key,
};
use crate::jose::{OwnKeys, sign};
use crate::keys::{Algorithm, KeyError, SigningKey};

/// This node's private keys.
pub(super) struct Signing {
    directory: PathBuf,
    algorithm: Algorithm,
    /// The issuer that the first key is published for.
    issuer: Option<Issuer>,
    keys: Mutex<HashMap<KeyId, Arc<SigningKey>>>,
    /// Held while a key is made, so that two requests do not make two.
    making: tokio::sync::Mutex<()>,
}

/// A key that may have signed tokens that are still active.
#[derive(Clone, Debug)]
pub struct PublishedKey {
    /// Its name.
    pub id: KeyId,
    /// The algorithm that it signs with.
    pub algorithm: Box<str>,
    /// The issuer that its tokens name.
    pub issuer: Issuer,
    /// When it was published.
    pub published_at: Timestamp,
    /// Of a key that no longer signs: until when it is published.
    pub verifies_until: Option<Timestamp>,
}

impl Signing {
    pub(super) fn new(directory: PathBuf, algorithm: Algorithm, issuer: Option<Issuer>) -> Self {
        Self { directory, algorithm, issuer, keys: Mutex::default(), making: tokio::sync::Mutex::default() }
    }

    fn find(&self, id: &KeyId) -> Result<Option<Arc<SigningKey>>, KeyError> {
        if let Some(key) = self.keys.lock().get(id) {
            return Ok(Some(key.clone()));
        }
        let key = SigningKey::load(&self.directory, id.as_str())?.map(Arc::new);
        if let Some(key) = &key {
            self.keys.lock().insert(id.clone(), key.clone());
        }
        Ok(key)
    }
}

impl OwnKeys for Service {
    fn issuer(&self) -> Option<Arc<str>> {
        issuer(&*self.projection).map(|issuer| issuer.as_str().into())
    }

    fn jwk(&self, kid: &str) -> Option<Arc<str>> {
        let keys = self.projection.keys();
        let key = keys.get(&KeyId::new(kid).ok()?)?;
        key.verifies(self.clock.now()).map(|key| Arc::from(&*key.jwk))
    }

    fn same_subject(&self, tenant: &Tenant, one: &GivenSubject, other: &GivenSubject) -> bool {
        self.named(tenant, one) == self.named(tenant, other)
    }

    fn signed_until(&self, kid: &str) -> Option<u64> {
        let keys = self.projection.keys();
        let key = keys.get(&KeyId::new(kid).ok()?)?;
        key.retired.then(|| key.last_expiry.as_seconds())
    }
}

impl Service {
    /// The issuer of this ledger's tokens: fixed with the first key, and until then the operator's setting.
    pub fn token_issuer(&self) -> Option<Issuer> {
        issuer(&*self.projection).or_else(|| self.signing.issuer.clone())
    }

    /// The public keys that verify the ledger's tokens which may still be active: RFC 7517, section 5.
    pub fn published_keys(&self) -> Value {
        let now = self.clock.now();
        let keys = self.projection.keys();
        let jwks = keys.values().filter_map(|key| key.verifies(now));
        // A text that is not JSON was never published: the writer made it.
        let jwks: Vec<Value> = jwks.filter_map(|key| serde_json::from_str(&key.jwk).ok()).collect();
        json!({ "keys": jwks })
    }

    /// The keys that verify the ledger's tokens which may still be active, the newest first. Needs `admin` in every
    /// tenant.
    pub async fn keys(&self, identity: &CallerIdentity) -> Result<Vec<PublishedKey>, Error> {
        if !identity.grants.everywhere().contains(Scope::Admin) {
            return Err(Rejection::Forbidden.into());
        }
        let now = self.clock.now();
        let mut keys = Vec::new();
        for (id, key) in self.projection.keys() {
            let Some((place, published)) = key.published.as_ref().filter(|_| key.verifies(now).is_some()) else {
                continue;
            };
            let record = self.filed(*place, 1).await?.into_iter().next();
            let record = record.ok_or_else(|| Error::internal(None, "a published key has no record"))?;
            keys.push(PublishedKey {
                id,
                algorithm: algorithm(published),
                issuer: published.issuer.clone(),
                published_at: record.recorded.recorded_at,
                verifies_until: key.retired.then(|| key.last_expiry.plus_millis(RETENTION_MARGIN_MILLIS)),
            });
        }
        keys.sort_by_key(|key| std::cmp::Reverse(key.published_at));
        Ok(keys)
    }

    /// Makes a new key take over. The old ones verify until the last token that they signed has expired. Needs `admin` in
    /// every tenant.
    pub async fn rotate_key(&self, call: &Call) -> Result<PublishedKey, Error> {
        if !call.identity.grants.everywhere().contains(Scope::Admin) {
            return Err(Rejection::Forbidden.into());
        }
        let _making = self.signing.making.lock().await;
        // A repetition does not make a key: it is answered before the key that it brings is looked at.
        let answered = call.idempotency.and_then(|digests| self.projection.answered(&digests.key));
        let repeats = answered.is_some_and(|answered| self.clock.now() < answered.retain_until());
        let current = signing_key(&*self.projection, self.origin).filter(|_| repeats);
        let key = match current {
            Some(key) => key,
            None => self.make_key().await?,
        };
        let filed = match self.execute(call, Command::PublishKey(PublishKey { key, rotate: true })).await? {
            Outcome::Appended(filed) => filed,
            Outcome::Repeated(place, _) | Outcome::Already(place) => self.filed(place, 1).await?,
            Outcome::Nothing => Vec::new(),
        };
        let published = filed.first().and_then(|first| match &first.recorded.event {
            Event::KeyPublished(key) => Some((first, key)),
            _ => None,
        });
        let Some((first, key)) = published else {
            return Err(Error::internal(call.request.as_ref(), "a key was published without a record"));
        };
        Ok(PublishedKey {
            id: key.id.clone(),
            algorithm: algorithm(key),
            issuer: key.issuer.clone(),
            published_at: first.recorded.recorded_at,
            verifies_until: None,
        })
    }

    /// Makes a key if this node has none, or has lost the file of the one that it has.
    pub(super) async fn ensure_key(&self) -> Result<(), Error> {
        if self.own_key()?.is_some() {
            return Ok(());
        }
        let _making = self.signing.making.lock().await;
        if self.own_key()?.is_some() {
            return Ok(());
        }
        let key = self.make_key().await?;
        let command = Command::PublishKey(PublishKey { key, rotate: true });
        self.submit(Request { caller: Caller::Node, request: None, idempotency: None, command }).await.map(drop)
    }

    fn own_key(&self) -> Result<Option<Arc<SigningKey>>, Error> {
        let Some(key) = signing_key(&*self.projection, self.origin) else { return Ok(None) };
        self.signing.find(&key.id).map_err(Error::key)
    }

    async fn make_key(&self) -> Result<KeyPublished, Error> {
        let issuer = self.token_issuer().ok_or(Error::IssuerNotConfigured)?;
        let (directory, algorithm) = (self.signing.directory.clone(), self.signing.algorithm);
        let made = tokio::task::spawn_blocking(move || SigningKey::generate(&directory, algorithm)).await;
        let key = made.map_err(Error::of_task)?.map_err(Error::key)?;
        let id = KeyId::new(key.kid()).map_err(Error::key)?;
        let published = KeyPublished { id: id.clone(), issuer, jwk: key.public_jwk().into() };
        self.signing.keys.lock().insert(id, Arc::new(key));
        Ok(published)
    }

    /// The JWT that a record of this node issues. Signed again, it has another signature but the same claims.
    pub(super) fn jwt(&self, filed: &Filed, issued: &TokenIssued, added: Map<String, Value>) -> Result<String, Error> {
        let id = issued.key.as_ref().ok_or(Rejection::NoSigningKey)?;
        let key = self.signing.find(id).map_err(Error::key)?.ok_or(Rejection::NoSigningKey)?;
        sign(&key, &claims(filed, issued, added)).map_err(Error::key)
    }
}

/// The algorithm of the key, by its public half.
fn algorithm(key: &KeyPublished) -> Box<str> {
    let jwk: Value = serde_json::from_str(&key.jwk).unwrap_or_default();
    jwk["alg"].as_str().unwrap_or_default().into()
}

/// The claims that a caller can't add, because the ledger sets them.
pub const RESERVED_CLAIMS: [&str; 12] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "oid", "gen", "sid", "scope", "user_token"];

fn claims(filed: &Filed, issued: &TokenIssued, mut claims: Map<String, Value>) -> Map<String, Value> {
    let recorded = &filed.recorded;
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    if let CredentialRef::Jwt { issuer, jti } = &issued.name {
        say("iss", json!(issuer.as_str()));
        say("jti", json!(jti.as_str()));
    }
    say("sub", json!(issued.subject.as_str()));
    say("oid", json!(recorded.tenant.clone().unwrap_or_default().as_str()));
    say("iat", json!(recorded.recorded_at.as_seconds()));
    say("exp", json!(issued.expires_at.as_seconds()));
    match &*issued.audience {
        [] => {}
        [one] => say("aud", json!(one)),
        several => say("aud", json!(several)),
    }
    if let Some(scope) = &issued.scope {
        say("scope", json!(scope));
    }
    if let Some(session) = issued.session {
        say("sid", json!(session.uuid().to_string()));
    }
    if !issued.generation.is_empty() {
        let entries = issued.generation.iter().map(|(origin, sequence)| (origin.to_string(), json!(sequence.0)));
        say("gen", Value::Object(entries.collect()));
    }
    claims
}

/// The issue in a record, if it is a token's.
pub(super) fn token_issued(filed: &Filed) -> Option<&TokenIssued> {
    match &filed.recorded.event {
        Event::TokenIssued(issued) => Some(issued),
        _ => None,
    }
}
