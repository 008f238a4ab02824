//! Fetches the keys of personal parts, which travel apart from the records: over TLS, or on this machine.
//!
//! The log is looked through once, from where that ended before: what of a record's key was not to be had is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{AskError, PeerClient, json};
use super::peers::addresses_of;
use crate::cluster::wire::{LentKeys, MAX_LENT_KEYS};
use crate::domain::{Origin, PeerAddress, Position};
use crate::event_log::Base;
use crate::service::{Error, Service};

/// How long to wait before what was not to be had is asked for again.
const RETRY: Duration = Duration::from_secs(2);
/// The most keys that are waited for before more of the log is looked through.
const MAX_PENDING: usize = 100_000;
/// How many positions lie between two notes of how far the log was looked through.
const KEEP_EVERY: u64 = 10_000;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches keys until the server stops.
pub struct Fetcher {
    service: Arc<Service>,
    client: PeerClient,
    told: Vec<PeerAddress>,
    /// Where it stands that the log was looked through up to some position, with nothing missing before it.
    state: PathBuf,
    /// What was not to be had yet.
    pending: BTreeMap<Origin, BTreeSet<u64>>,
}

impl Fetcher {
    /// One that goes on where the data directory says that the last one ended.
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
                // What nobody had may be had when its node is reached again.
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

    /// Looks through some of the log, and asks for what it names, and for what was not to be had before. The place behind it.
    async fn step(&mut self, base: Base) -> Result<Base, Error> {
        let mut next = base.clone();
        if self.pending.values().map(BTreeSet::len).sum::<usize>() < MAX_PENDING {
            let (slots, behind) = self.service.missing_keys(base).await?;
            next = behind;
            for (origin, slots) in slots {
                self.pending.entry(origin).or_default().extend(slots);
            }
        }
        // Each stays pending until it is settled: this may be broken off at any point, and what is forgotten here is never asked for again.
        for (origin, slots) in self.pending.clone() {
            let rest = self.fetch(origin, slots).await?;
            self.pending.insert(origin, rest);
        }
        self.pending.retain(|_, slots| !slots.is_empty());
        Ok(next)
    }

    /// Fetches keys of one origin from whoever has them. Those that are still to be had: its own node has not said that they are gone.
    async fn fetch(&self, origin: Origin, mut slots: BTreeSet<u64>) -> Result<BTreeSet<u64>, Error> {
        for address in addresses_of(self.service.cluster(), &self.told) {
            let pages: Vec<u64> = slots.iter().copied().collect();
            for page in pages.chunks(MAX_LENT_KEYS) {
                let Ok(LentKeys { own, keys }) = self.ask(&address, origin, page).await else { break };
                // Nobody is given a key that was not asked for.
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

    async fn ask(&self, address: &str, origin: Origin, slots: &[u64]) -> Result<LentKeys, AskError> {
        let list = slots.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let path = format!("/v1/origins/{origin}/sealing-keys?slots={list}");
        json(address, self.client.get(address, &path, ANSWER_TIMEOUT).await?).await
    }

    async fn begin(&self) -> Base {
        let (reader, state) = (self.service.reader().clone(), self.state.clone());
        let found = tokio::task::spawn_blocking(move || {
            let position = std::fs::read_to_string(state).ok().and_then(|text| text.trim().parse().ok());
            let head = reader.head().unwrap_or_default();
            // One that lies beyond the log is of another one.
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
