//! The keys of OAuth clients: kept with the client, or published by it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::dpop::PRIVATE;
use super::issuer::Issuer;
use super::trusted::{JwksUrl, KeySource, TrustedIssuer};
use super::{KeySet, PublicKey, TokenError};
use crate::clock::Clock;
use crate::domain::{ApplicationId, ClientKeys, MAX_CLIENT_JWKS_BYTES, Malformed};
use crate::keys::Algorithm;

/// Clients whose published keys are kept at the same time.
const MAX_PUBLISHERS: usize = 1_024;

/// Finds the keys of clients. Those that are published are loaded like those of trusted issuers, at most once a minute for
/// each client.
pub struct ClientKeyring {
    clock: Clock,
    publishers: Mutex<HashMap<ApplicationId, Arc<Issuer>>>,
}

impl ClientKeyring {
    /// A ring by which nothing was loaded.
    pub fn new(clock: Clock) -> Self {
        Self { clock, publishers: Mutex::default() }
    }

    /// The key of that name for that algorithm; without a name, the only one for it.
    pub async fn find(
        &self,
        client: ApplicationId,
        keys: &ClientKeys,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<PublicKey, TokenError> {
        match keys {
            ClientKeys::Set(text) => {
                let set = KeySet::from_json(text.as_bytes()).map_err(|_| TokenError::UnknownKey)?;
                set.find(kid, algorithm).cloned().ok_or(TokenError::UnknownKey)
            }
            ClientKeys::Url(url) => self.publisher(client, url)?.key(kid, algorithm, &self.clock).await,
        }
    }

    /// An application's address does not change.
    fn publisher(&self, client: ApplicationId, url: &str) -> Result<Arc<Issuer>, TokenError> {
        let mut publishers = self.publishers.lock();
        if let Some(known) = publishers.get(&client) {
            return Ok(known.clone());
        }
        let url = JwksUrl::new(url).map_err(|_| TokenError::UnknownKey)?;
        let settings = TrustedIssuer {
            issuer: client.to_string().into(),
            source: KeySource::Url(url),
            tenants: Vec::new(),
            profile: None,
            clock_leeway_seconds: 0,
            may_revoke: false,
        };
        let publisher = Issuer::new(settings, self.clock.now()).map_err(|_| TokenError::KeysUnreachable)?;
        let publisher = Arc::new(publisher);
        if publishers.len() >= MAX_PUBLISHERS
            && let Some(any) = publishers.keys().next().copied()
        {
            publishers.remove(&any);
        }
        publishers.insert(client, publisher.clone());
        Ok(publisher)
    }
}

/// A key set that is kept with a client, if each of its keys can verify an assertion and none is private.
pub fn checked_client_jwks(text: &str) -> Result<Box<str>, Malformed> {
    const FORM: Malformed = Malformed(
        "a JWK set of at most 16 KiB with public keys only, each for ES256 (P-256), EdDSA (Ed25519) or RS256 (2048 bits or more)",
    );
    let document: serde_json::Value = serde_json::from_str(text).map_err(|_| FORM)?;
    let keys = document.get("keys").and_then(serde_json::Value::as_array).ok_or(FORM)?;
    let is_private = |key: &serde_json::Value| PRIVATE.iter().any(|name| key.get(name).is_some());
    let set = KeySet::from_json(text.as_bytes()).map_err(|_| FORM)?;
    let is_good = text.len() <= MAX_CLIENT_JWKS_BYTES && !set.is_empty() && set.len() == keys.len();
    if is_good && !keys.iter().any(is_private) { Ok(text.into()) } else { Err(FORM) }
}
