//! One trusted issuer and its keys: loaded once, and again when a token names a key that is not among them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

use super::error::{LoadError, MAX_JWKS_BYTES};
use super::key_set::{KeySet, Miss, PublicKey};
use super::trusted::{JwksUrl, KeySource, TrustedIssuer};
use super::{TokenError, TrustError};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::keys::Algorithm;

/// Milliseconds from one load of an issuer's keys to the next, whether it succeeded or not.
pub const RELOAD_MILLIS: u64 = 60_000;
/// Milliseconds after which keys are loaded again although none is missing, so that a withdrawn key is dropped.
pub const KEYS_FRESH_MILLIS: u64 = 3_600_000;
/// How long fetching keys may take, from connecting to the last byte.
pub const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// An issuer, and its known keys.
pub(super) struct Issuer {
    pub(super) settings: Arc<TrustedIssuer>,
    client: Option<Client>,
    keys: RwLock<Option<Loaded>>,
    /// When the last load began. Held during a load, so that other callers wait for it too.
    last_load: Arc<Mutex<Option<Timestamp>>>,
}

struct Loaded {
    set: KeySet,
    at: Timestamp,
}

impl Issuer {
    /// The issuer; keys in a file are read now, others at their first use.
    pub(super) fn new(settings: TrustedIssuer, now: Timestamp) -> Result<Self, TrustError> {
        let (keys, client) = match &settings.source {
            KeySource::File(path) => (Some(Loaded { set: first_set(&settings, path)?, at: now }), None),
            KeySource::Url(url) => (None, Some(client(&settings, url)?)),
        };
        let last_load = Arc::new(Mutex::new(keys.as_ref().map(|_| now)));
        Ok(Self { settings: Arc::new(settings), client, keys: RwLock::new(keys), last_load })
    }

    /// The key that a token names, or without a name the only one for its algorithm.
    pub(super) async fn key(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
        clock: &Clock,
    ) -> Result<PublicKey, TokenError> {
        if let Some(Ok(key)) = self.seek(kid, algorithm) {
            self.refresh(clock);
            return Ok(key);
        }
        let last = self.last_load.clone().lock_owned().await;
        if let Some(load) = self.start_load(last, clock) {
            // A load that panicked has loaded nothing, which is checked next.
            let _ = load.await;
        }
        match self.seek(kid, algorithm) {
            Some(Ok(key)) => Ok(key),
            Some(Err(Miss::Several)) if kid.is_none() => Err(TokenError::KeyIdNeeded),
            Some(Err(_)) => Err(TokenError::UnknownKey),
            None => Err(TokenError::KeysUnreachable),
        }
    }

    fn seek(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Result<PublicKey, Miss>> {
        self.keys.read().as_ref().map(|loaded| loaded.set.seek(kid, algorithm).cloned())
    }

    /// Loads old keys again in the background, while the caller uses one of them.
    fn refresh(self: &Arc<Self>, clock: &Clock) {
        let loaded_at = self.keys.read().as_ref().map_or(clock.now(), |loaded| loaded.at);
        if clock.now().millis_since(loaded_at) >= KEYS_FRESH_MILLIS
            && let Ok(last) = self.last_load.clone().try_lock_owned()
        {
            drop(self.start_load(last, clock));
        }
    }

    /// Starts a load if one is due. It is a task of its own: a caller that hangs up must not end it for the others.
    fn start_load(
        self: &Arc<Self>,
        mut last: OwnedMutexGuard<Option<Timestamp>>,
        clock: &Clock,
    ) -> Option<JoinHandle<()>> {
        let now = clock.now();
        // A clock that was turned back must not delay the next load.
        if last.is_some_and(|last| last <= now && now.millis_since(last) < RELOAD_MILLIS) {
            return None;
        }
        *last = Some(now);
        let issuer = self.clone();
        Some(tokio::spawn(async move {
            match issuer.load().await {
                Ok(set) => *issuer.keys.write() = Some(Loaded { set, at: now }),
                Err(error) => {
                    tracing::warn!(issuer = &*issuer.settings.issuer, %error, "the keys of a trusted issuer were not loaded");
                }
            }
            drop(last);
        }))
    }

    async fn load(&self) -> Result<KeySet, LoadError> {
        match (&self.settings.source, &self.client) {
            (KeySource::Url(url), Some(client)) => Ok(KeySet::from_json(&fetch(client, url).await?)?),
            (KeySource::Url(_), None) => Err(std::io::Error::other("there is no HTTP client").into()),
            (KeySource::File(path), _) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                Ok(KeySet::from_json(&read.map_err(std::io::Error::other)??)?)
            }
        }
    }
}

fn first_set(settings: &TrustedIssuer, path: &Path) -> Result<KeySet, TrustError> {
    let (issuer, path) = (settings.issuer.to_string(), path.to_owned());
    let document = match read(&path) {
        Ok(document) => document,
        Err(source) => return Err(TrustError::Unreadable { issuer, path, source }),
    };
    match KeySet::from_json(&document) {
        Ok(set) if set.is_empty() => Err(TrustError::NoKey { issuer, path }),
        Ok(set) => Ok(set),
        Err(problem) => Err(TrustError::Malformed { issuer, path, problem }),
    }
}

/// One more byte than a set may have shows that it is too long.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    File::open(path)?.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut document)?;
    Ok(document)
}

fn client(settings: &TrustedIssuer, url: &JwksUrl) -> Result<Client, TrustError> {
    // A default that was installed before in this process is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("authledger/", env!("CARGO_PKG_VERSION")))
        .timeout(KEYS_TIMEOUT)
        .redirect(redirect::Policy::none());
    if url.is_loopback() {
        builder = builder.no_proxy();
    }
    if url.as_url().scheme() == "http" {
        // Plain HTTP must not fail because this machine has no certificates to trust.
        builder = builder.tls_certs_only([]);
    }
    let issuer = || settings.issuer.to_string();
    builder.build().map_err(|error| TrustError::Client { issuer: issuer(), why: error.to_string() })
}

async fn fetch(client: &Client, url: &JwksUrl) -> Result<Vec<u8>, LoadError> {
    let request =
        client.get(url.as_url().clone()).header(reqwest::header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(LoadError::Status(response.status().as_u16()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(LoadError::TooLong);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}
