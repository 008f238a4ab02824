//! Fetches the keys of personal data, which travel apart from the records: over TLS, or on this machine.
//!
//! The log is searched once, from the place where the last search ended: a key that was not available is requested
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{PeerClient, PeerRequestError, json};
use super::peers::addresses_of;
use crate::cluster::wire::{LentKeys, MAX_LENT_KEYS};
use crate::domain::{Origin, PeerAddress, Position};
use crate::event_log::Base;
use crate::service::{Error, Service};

/// How long to wait before unavailable keys are requested again.
const RETRY: Duration = Duration::from_secs(2);
/// The most pending keys before more of the log is searched.
const MAX_PENDING: usize = 100_000;
/// How many positions lie between two notes of the progress.
const KEEP_EVERY: u64 = 10_000;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches keys until the server stops.
pub struct Fetcher {
    service: Arc<Service>,
    client: PeerClient,
    told: Vec<PeerAddress>,
    /// The file with the position up to which the log was searched with nothing missing before it.
    state: PathBuf,
    /// Keys that were not available yet.
    pending: BTreeMap<Origin, BTreeSet<u64>>,
}

impl Fetcher {
    /// A fetcher that continues where the data directory says that the last one ended.
    pub fn new(service: Arc<Service>, client: PeerClient, told: Vec<PeerAddress>, data: &Path) -> Self {
        Self { service, client, told, state: data.join("members").join("keys-fetched"), pending: BTreeMap::new() }
    }

    /// Fetches until the stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut applied = self.service.cluster().applied();
        let mut base = self.begin().await;
        let mut kept = base.position;
        loop {
            let before = base.position;
            let step = self.step(base.clone());
            base = tokio::select! {
                next = step => next.unwrap_or_else(|error| {
                    tracing::warn!(%error, "keys of other nodes' personal parts can't be fetched now");
                    base
                }),
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if self.pending.is_empty() && base.position.0 >= kept.0 + KEEP_EVERY {
                self.keep(base.position).await;
                kept = base.position;
            }
            if base.position > before {
                continue;
            }
            let again = async {
                // A key that no node had may be available when its node is reached again, and nothing signals that. The task ends with
                // the server.
                if self.pending.is_empty() { std::future::pending().await } else { tokio::time::sleep(RETRY).await }
            };
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { break },
                () = again => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if self.pending.is_empty() && base.position > kept {
            self.keep(base.position).await;
        }
    }

    /// Searches some of the log, and requests the keys that it names, and those that were not available before. Returns
    /// the place after it.
    async fn step(&mut self, base: Base) -> Result<Base, Error> {
        let mut next = base.clone();
        if self.pending.values().map(BTreeSet::len).sum::<usize>() < MAX_PENDING {
            let (slots, behind) = self.service.missing_keys(base).await?;
            next = behind;
            for (origin, slots) in slots {
                self.pending.entry(origin).or_default().extend(slots);
            }
        }
        // Each stays pending until it is settled: this may be broken off at any point, and a key that is dropped here
        // is never requested again.
        for (origin, slots) in self.pending.clone() {
            let rest = self.fetch(origin, slots).await?;
            self.pending.insert(origin, rest);
        }
        self.pending.retain(|_, slots| !slots.is_empty());
        Ok(next)
    }

    /// Fetches keys of one origin from any node that has them. Returns those that are still missing: their own node has
    /// not said that they are gone.
    async fn fetch(&self, origin: Origin, mut slots: BTreeSet<u64>) -> Result<BTreeSet<u64>, Error> {
        for address in addresses_of(self.service.cluster(), &self.told) {
            let pages: Vec<u64> = slots.iter().copied().collect();
            for page in pages.chunks(MAX_LENT_KEYS) {
                let Ok(LentKeys { own, keys }) = self.ask(&address, origin, page).await else { break };
                // A key that was not requested is ignored.
                let lent: Vec<(u64, String)> = keys.into_iter().filter(|(slot, _)| page.contains(slot)).collect();
                let is_settled = |slot: &u64| lent.iter().any(|(lent, _)| lent == slot) || (own && page.contains(slot));
                slots.retain(|slot| !is_settled(slot));
                if !lent.is_empty() {
                    self.service.borrow_keys(origin, lent).await?;
                }
            }
            if slots.is_empty() {
                break;
            }
        }
        Ok(slots)
    }

    async fn ask(&self, address: &str, origin: Origin, slots: &[u64]) -> Result<LentKeys, PeerRequestError> {
        let list = slots.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let path = format!("/v1/origins/{origin}/sealing-keys?slots={list}");
        json(address, self.client.get(address, &path, ANSWER_TIMEOUT).await?).await
    }

    async fn begin(&self) -> Base {
        let (reader, state) = (self.service.reader().clone(), self.state.clone());
        let found = tokio::task::spawn_blocking(move || {
            let position = std::fs::read_to_string(state).ok().and_then(|text| text.trim().parse().ok());
            let head = reader.head().unwrap_or_default();
            // A place beyond the log belongs to another log.
            let position = position.map(Position).filter(|position| *position <= head).unwrap_or_default();
            reader.base_at(position).unwrap_or_else(|_| Base { position: Position(0), heads: BTreeMap::new() })
        });
        found.await.unwrap_or_default()
    }

    async fn keep(&self, position: Position) {
        let state = self.state.clone();
        let kept =
            tokio::task::spawn_blocking(move || crate::cluster::replace(&state, position.to_string().as_bytes()));
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(%error, "how far keys were fetched could not be kept; a restart looks from before");
        }
    }
}
