//! This node, as its couriers see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::courier::{Doing, OutgoingParcel, Post, Receipt, Sender, StreamOf};
use crate::domain::{Origin, RecordId, Sequence};
use crate::service::{Cluster, Ingested, Service};

/// How often a node announces itself at least.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The least time between two announcements: records that are applied meanwhile are announced together.
const COALESCED: Duration = Duration::from_millis(3);

/// The ledger, and the state that its couriers share.
pub struct Node {
    service: Arc<Service>,
    sender: Sender,
    streams: watch::Sender<Arc<BTreeMap<Origin, StreamOf>>>,
}

impl Node {
    /// The node of that ledger.
    pub fn new(service: Arc<Service>) -> Self {
        let cluster = service.cluster();
        let sender = Sender {
            ledger: service.ledger(),
            origin: service.origin(),
            node: cluster.node().to_string().into(),
            region: cluster.naming().region.clone(),
        };
        Self { service, sender, streams: watch::Sender::new(Arc::default()) }
    }

    /// The ledger.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Keeps the list of the others' streams, until the stop.
    pub async fn watch_streams(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut changes = self.service.cluster().changes();
        loop {
            let streams = self.streams_now();
            self.streams.send_if_modified(|known| {
                let differs = **known != streams;
                if differs {
                    *known = Arc::new(streams);
                }
                differs
            });
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn streams_now(&self) -> BTreeMap<Origin, StreamOf> {
        let own = self.sender.origin;
        self.service.cluster().positions(|positions| {
            let of = |heard: &crate::cluster::HeardAnnouncement| {
                let said = heard.announcement();
                let name = said.stream.as_deref()?.into();
                (said.origin != own).then(|| (said.origin, StreamOf { region: said.region.clone(), name }))
            };
            positions.iter().filter_map(of).collect()
        })
    }
}

impl Post for Node {
    fn sender(&self) -> &Sender {
        &self.sender
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.service.cluster().own_head()
    }

    fn outgoing(&self, after: Sequence, bytes: usize) -> Doing<'_, Option<OutgoingParcel>> {
        self.relayed(self.sender.origin, after, bytes)
    }

    fn joined_by(&self) -> Option<RecordId> {
        self.service.cluster().joined_by()
    }

    fn relayed(&self, origin: Origin, after: Sequence, bytes: usize) -> Doing<'_, Option<OutgoingParcel>> {
        Box::pin(async move {
            match self.service.parcel_after(origin, after, bytes).await {
                Ok(parcel) => parcel.map(|parcel| OutgoingParcel {
                    first: parcel.first(),
                    last: parcel.head.place.sequence,
                    text: parcel.to_text().into(),
                }),
                Err(error) => {
                    tracing::warn!(%error, "records could not be read for other nodes");
                    None
                }
            }
        })
    }

    fn held(&self, origin: Origin) -> Sequence {
        self.service.cluster().held(origin)
    }

    fn held_beyond(&self, origin: Origin, after: Sequence) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut applied = self.service.cluster().applied();
            while self.held(origin) <= after {
                if applied.changed().await.is_err() {
                    // The node is gone, and nothing arrives any more.
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    fn receive(&self, text: Bytes) -> Doing<'_, Receipt> {
        Box::pin(async move {
            match self.service.receive(text).await {
                Ok(Ingested::Held(sequence)) => Receipt::Held(sequence),
                Ok(Ingested::Gap(due)) => Receipt::Gap(due),
                Ok(Ingested::Refused(refusal)) => Receipt::Refused(refusal.code()),
                Ok(Ingested::Unreadable) => Receipt::NotNow,
                Err(error) => {
                    tracing::debug!(%error, "a parcel could not be taken now");
                    Receipt::NotNow
                }
            }
        })
    }

    fn announcement(&self) -> watch::Receiver<Bytes> {
        self.service.cluster().spoken()
    }

    fn hear(&self, announcement: Bytes) -> bool {
        self.service.cluster().hear(self.sender.ledger, &announcement).is_some()
    }

    fn publish_in(&self, stream: &str) {
        self.service.cluster().publish_in(stream);
    }

    fn streams(&self) -> watch::Receiver<Arc<BTreeMap<Origin, StreamOf>>> {
        self.streams.subscribe()
    }
}

/// Sends this node's announcements: at once when it has applied something, and once a second; a farewell at the end.
pub async fn announce(service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut applied = service.cluster().applied();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut coalesced = tokio::time::interval(COALESCED);
    coalesced.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            _ = heartbeat.tick() => false,
            changed = applied.changed() => changed.is_err(),
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopping {
            service.cluster().say_farewell();
        } else {
            coalesced.tick().await;
            applied.mark_unchanged();
        }
        if let Some(announcement) = service.speak() {
            service.cluster().speak_out(announcement);
        }
        if stopping {
            return;
        }
    }
}

/// Keeps the announcements of other nodes across restarts: now and then, and at the end.
pub async fn keep_heard(cluster: Arc<Cluster>, mut stop: watch::Receiver<bool>) {
    const EVERY: Duration = Duration::from_secs(5);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let keeping = cluster.clone();
        let kept = tokio::task::spawn_blocking(move || keeping.keep_heard()).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the announcements of other nodes could not be kept");
        }
        if stopping {
            return;
        }
    }
}
