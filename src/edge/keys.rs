//! The ledger's own name and the keys that verify its tokens, as its node publishes them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::clock::boot_millis;
use crate::follower::{CallFailure, Upstream};
use crate::jose::{KEYS_TIMEOUT, MAX_JWKS_BYTES, OwnKeys, RELOAD_MILLIS};

const KEYS_PATH: &str = "/.well-known/jwks.json";
const ISSUER_PATH: &str = "/.well-known/openid-configuration";
/// How often the keys are fetched although none is missing, so that a key that is published no more verifies no more.
pub(super) const FETCH_EVERY: Duration = Duration::from_millis(RELOAD_MILLIS);

/// Milliseconds after a fetch that failed: a node that was out of reach may be back soon.
const FAILED_MILLIS: u64 = 2_000;

/// The keys, fetched at most once a minute.
#[derive(Default)]
pub(super) struct LedgerKeys {
    known: RwLock<PublishedKeys>,
    /// When the next fetch may begin, by the boot clock. Held during a fetch, so that others wait for it too.
    next_at: Mutex<u64>,
}

/// What a node has published.
#[derive(Default)]
struct PublishedKeys {
    /// None, if the ledger does not sign tokens.
    issuer: Option<Arc<str>>,
    /// The JWKs as text, by their names.
    keys: HashMap<String, Arc<str>>,
}

impl LedgerKeys {
    /// Forgets all, and may fetch at once: the ledger is another one.
    pub(super) async fn clear(&self) {
        *self.next_at.lock().await = 0;
        *self.known.write() = PublishedKeys::default();
    }

    /// Fetches the keys, unless somebody did so less than a minute ago.
    pub(super) async fn fetch(&self, upstream: &Upstream) {
        let mut next_at = self.next_at.lock().await;
        if boot_millis() < *next_at {
            return;
        }
        let pause = match fetched(upstream).await {
            Ok(published) => {
                *self.known.write() = published;
                RELOAD_MILLIS
            }
            Err(failure) => {
                // The keys that are known go on verifying. Those that are withdrawn are in the feed.
                tracing::warn!(url = upstream.url(), %failure, "the ledger's keys were not fetched");
                FAILED_MILLIS
            }
        };
        *next_at = boot_millis() + pause;
    }
}

impl OwnKeys for LedgerKeys {
    fn issuer(&self) -> Option<Arc<str>> {
        self.known.read().issuer.clone()
    }

    fn jwk(&self, kid: &str) -> Option<Arc<str>> {
        self.known.read().keys.get(kid).cloned()
    }
}

async fn fetched(upstream: &Upstream) -> Result<PublishedKeys, CallFailure> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        kid: String,
    }
    let Some(issuer) = issuer(upstream).await? else { return Ok(PublishedKeys::default()) };
    let document = get(upstream, KEYS_PATH).await?.ok_or(CallFailure::Status(StatusCode::SERVICE_UNAVAILABLE))?;
    let set: Set<'_> =
        serde_json::from_slice(&document).map_err(|_| CallFailure::Unusable("its keys are not a set".into()))?;
    let named = |jwk: &RawValue| Some((serde_json::from_str::<Named>(jwk.get()).ok()?.kid, jwk.get().into()));
    Ok(PublishedKeys { issuer: Some(issuer), keys: set.keys.into_iter().filter_map(named).collect() })
}

async fn issuer(upstream: &Upstream) -> Result<Option<Arc<str>>, CallFailure> {
    let Some(document) = get(upstream, ISSUER_PATH).await? else { return Ok(None) };
    let document: Value =
        serde_json::from_slice(&document).map_err(|_| CallFailure::Unusable("it is not JSON".into()))?;
    document["issuer"]
        .as_str()
        .map(|issuer| Some(issuer.into()))
        .ok_or(CallFailure::Unusable("it names no issuer".into()))
}

/// A document that everybody may read; nothing, if the node has none because it does not sign tokens.
async fn get(upstream: &Upstream, path: &str) -> Result<Option<Vec<u8>>, CallFailure> {
    let request = upstream.public(Method::GET, path);
    match upstream.exchange(request, MAX_JWKS_BYTES, KEYS_TIMEOUT).await? {
        (StatusCode::OK, document) => Ok(Some(document)),
        (StatusCode::SERVICE_UNAVAILABLE, body) if is_without_issuer(&body) => Ok(None),
        (status, _) => Err(CallFailure::Status(status)),
    }
}

fn is_without_issuer(problem: &[u8]) -> bool {
    let problem: Value = serde_json::from_slice(problem).unwrap_or_default();
    problem["type"].as_str().is_some_and(|reference| reference.ends_with("/issuer-not-configured"))
}
