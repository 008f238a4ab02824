//! The courier that needs only the nodes: each asks the others for their records over HTTP, and waits for the answer.
//!
//! It follows every node that has an address. Beside a broker it only fills the broker's gaps; and if an origin's own
//! node can't be reached, it takes that origin's records from any node that holds more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{PeerClient, PeerRequestError};
use super::courier::{Courier, Doing, Post, Receipt};
use crate::cluster::CarriedAnnouncement;
use crate::domain::{Origin, PeerAddress, RecordId, Sequence};
use crate::service::Cluster;
use crate::setting::is_loopback;

/// How long to wait after a failure. A node that can't be reached is asked four times a second.
const RETRY: Duration = Duration::from_millis(250);
/// How long the farewell may take: a node that does not hear it notices the silence.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often records are offered to a node that does not know this one, or the removal is asked of one that says it removed this one.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// About how many bytes of records are offered at a time to a node that does not know this one.
const INTRODUCTION_BYTES: usize = 256 << 10;
/// How long records may be missing until they are taken from another node.
const GAP_PATIENCE: Duration = Duration::from_secs(1);

/// Asks other nodes over HTTP.
pub struct Peers {
    client: PeerClient,
    cluster: Arc<Cluster>,
    addresses: Vec<PeerAddress>,
    /// Whether another courier brings the newest records.
    only_gaps: bool,
}

impl Peers {
    /// A courier that asks at these addresses, and at those of the members.
    pub fn new(client: PeerClient, cluster: Arc<Cluster>, addresses: Vec<PeerAddress>, only_gaps: bool) -> Self {
        Self { client, cluster, addresses, only_gaps }
    }

    fn targets(&self) -> BTreeSet<String> {
        addresses_of(&self.cluster, &self.addresses)
    }
}

/// The addresses of other nodes: the configured ones, and those that they announce.
pub fn addresses_of(cluster: &Cluster, told: &[PeerAddress]) -> BTreeSet<String> {
    let (own, members) = (cluster.node(), cluster.members());
    let said = members.present().filter(|(key, _, _)| *key != own);
    let said = said.filter_map(|(_, joined, _)| joined.address.as_ref()).map(|address| address.as_str().to_owned());
    let told = told.iter().map(|address| address.as_str().to_owned());
    // Addresses from the time of the join are needed until members are known.
    let anchors = cluster.anchors().peers().iter().filter(|_| members.present().next().is_none()).cloned();
    let own_address = cluster.naming().address.as_ref().map(|address| address.as_str().to_owned());
    let all: BTreeSet<String> = said.chain(told).chain(anchors).collect();
    all.into_iter().filter(|address| Some(address) != own_address.as_ref() && is_private(address)).collect()
}

/// Whether nobody between the nodes can read the traffic: it has keys of personal data.
fn is_private(address: &str) -> bool {
    reqwest::Url::parse(address).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url))
}

impl Courier for Peers {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn run(self: Box<Self>, post: Arc<dyn Post>, mut stop: watch::Receiver<bool>) -> Doing<'static, ()> {
        Box::pin(async move {
            let mut changes = self.cluster.changes();
            let mut talking: BTreeMap<String, tokio::task::AbortHandle> = BTreeMap::new();
            let mut tasks = JoinSet::new();
            loop {
                let targets = self.targets();
                talking.retain(|address, task| {
                    let stays = targets.contains(address);
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                for address in targets {
                    talking.entry(address.clone()).or_insert_with(|| {
                        let talk = Talk::new(self.client.clone(), post.clone(), address, self.only_gaps);
                        tasks.spawn(talk.run(stop.clone()))
                    });
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { break },
                    _ = stop.wait_for(|stop| *stop) => break,
                }
            }
            while tasks.join_next().await.is_some() {}
        })
    }
}

/// The conversation with one other node.
struct Talk {
    client: PeerClient,
    post: Arc<dyn Post>,
    address: Arc<str>,
    only_gaps: bool,
}

/// The last announcement of another node.
#[derive(Clone, Default)]
struct PeerAnnouncement {
    origin: Option<Origin>,
    applied: Arc<BTreeMap<Origin, Sequence>>,
}

impl Talk {
    fn new(client: PeerClient, post: Arc<dyn Post>, address: String, only_gaps: bool) -> Self {
        Self { client, post, address: address.into(), only_gaps }
    }

    async fn run(self, stop: watch::Receiver<bool>) {
        let said = watch::Sender::new(PeerAnnouncement::default());
        let listening = said.subscribe();
        let mut stopping = stop.clone();
        tokio::select! {
            () = self.exchange(&said, stop) => {}
            () = self.follow(listening.clone()), if !self.only_gaps => {}
            () = self.fill(listening) => {}
        }
        // The farewell is sent before anything else ends.
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    /// Sends this node's announcement as soon as there is a new one, and hears the other's.
    async fn exchange(&self, said: &watch::Sender<PeerAnnouncement>, mut stop: watch::Receiver<bool>) {
        let mut announcement = self.post.announcement();
        let mut reached = true;
        let mut settled: Option<Instant> = None;
        loop {
            let text = announcement.borrow_and_update().clone();
            let stopping = *stop.borrow();
            if !text.is_empty() {
                let asked = self.client.announce(&self.address, text);
                let answered = if stopping {
                    tokio::time::timeout(FAREWELL, asked).await.ok()
                } else {
                    tokio::select! {
                        answered = asked => Some(answered),
                        () = stopped(&mut stop) => None,
                    }
                };
                match answered {
                    // The node does not answer, and this one is stopping.
                    None => {}
                    Some(Ok(answer)) => {
                        if !reached {
                            tracing::info!(address = %self.address, "a node is reached again");
                        }
                        reached = true;
                        answer.into_iter().for_each(|answer| self.hear(answer, said));
                    }
                    Some(Err(error)) => {
                        self.note(&mut reached, &error);
                        let is_due = settled.is_none_or(|at| at.elapsed() >= SETTLE_EVERY);
                        if error.is_of_membership() && is_due {
                            settled = Some(Instant::now());
                            tokio::select! {
                                () = self.settle(&error) => {}
                                () = stopped(&mut stop) => {}
                            }
                        }
                        // It may be starting, and is asked again a little later.
                        let _ = tokio::time::timeout(RETRY, stopped(&mut stop)).await;
                    }
                }
            }
            if stopping {
                return;
            }
            tokio::select! {
                changed = announcement.changed() => if changed.is_err() { return },
                // The farewell follows at once.
                () = stopped(&mut stop) => drop(tokio::time::timeout(RETRY, announcement.changed()).await),
            }
        }
    }

    /// The other node says that this one is not a member: one of the two lacks the record that made it one, or that removed it.
    async fn settle(&self, refused: &PeerRequestError) {
        match refused {
            PeerRequestError::Removed { by, .. } => self.learn_of_removal(*by).await,
            _ => self.introduce().await,
        }
    }

    /// The other node says that this one was removed: it gets the records up to the removal from that node, which prove it.
    async fn learn_of_removal(&self, by: RecordId) {
        while self.post.held(by.origin) < by.sequence && self.take(by.origin, false).await {}
    }

    /// The other node does not know this one as a member: it gets the records of that origin in which it became one. It
    /// may have been rolled back behind them, and no other node may know.
    async fn introduce(&self) {
        let Some(RecordId { origin, sequence: joined }) = self.post.joined_by() else { return };
        let mut after = Sequence(joined.0 - 1);
        while after < joined {
            let Some(parcel) = self.post.relayed(origin, after, INTRODUCTION_BYTES).await else { return };
            match self.client.offer(&self.address, origin, parcel.text).await {
                // From there on: the first answer may say that more is missing, each later one must bring something.
                Ok(held) if held > after || (held < after && after.next() == joined) => after = held,
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(address = %self.address, %error, "a node could not be told that this one is a member");
                    return;
                }
            }
        }
    }

    fn note(&self, reached: &mut bool, error: &PeerRequestError) {
        if std::mem::take(reached) {
            tracing::warn!(address = %self.address, %error, "a node can't be reached; it is asked again and again");
        }
    }

    fn hear(&self, answer: Bytes, said: &watch::Sender<PeerAnnouncement>) {
        // Verified first, and then read: it is verified only once.
        if !self.post.hear(answer.clone()) {
            return;
        }
        if let Some(announcement) = CarriedAnnouncement::read(&answer).map(|unverified| unverified.said()) {
            said.send_replace(PeerAnnouncement {
                origin: Some(announcement.origin),
                applied: announcement.applied.into(),
            });
        }
    }

    /// Asks for the other node's own records, and waits for them.
    async fn follow(&self, mut said: watch::Receiver<PeerAnnouncement>) {
        loop {
            let Ok(origin) = said.wait_for(|said| said.origin.is_some()).await.map(|said| said.origin) else { return };
            let Some(origin) = origin else { continue };
            if !self.take(origin, true).await {
                // Records that the node refuses now, or does not have yet, are not requested without a pause, until the conversation ends.
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Takes what is missing of any origin for a while.
    async fn fill(&self, mut said: watch::Receiver<PeerAnnouncement>) {
        let mut missing: BTreeMap<Origin, (Sequence, Instant)> = BTreeMap::new();
        loop {
            if said.changed().await.is_err() {
                return;
            }
            let PeerAnnouncement { origin: own, applied } = said.borrow_and_update().clone();
            for (origin, far) in applied.iter() {
                let held = self.post.held(*origin);
                // Its own node's records come by themselves, unless that node is away. This node's own are missing if
                // it was rolled back.
                let is_followed = Some(*origin) == own && !self.only_gaps;
                if held >= *far || is_followed {
                    missing.remove(origin);
                    continue;
                }
                let (since_held, since) = *missing.entry(*origin).or_insert((held, Instant::now()));
                if since_held < held {
                    missing.insert(*origin, (held, Instant::now()));
                } else if since.elapsed() >= GAP_PATIENCE {
                    while self.post.held(*origin) < *far && self.take(*origin, false).await {}
                    missing.remove(origin);
                }
            }
        }
    }

    /// Takes a page of records. False, if that brought nothing.
    async fn take(&self, origin: Origin, wait: bool) -> bool {
        let (held, asked) = (self.post.held(origin), Instant::now());
        match self.client.records(&self.address, origin, held, wait).await {
            // A node that answered without waiting is asked again a little later.
            Ok(None) => asked.elapsed() >= GAP_PATIENCE,
            Ok(Some(text)) => match self.post.receive(text).await {
                Receipt::Held(_) => true,
                Receipt::Gap(_) | Receipt::Refused(_) | Receipt::NotNow => false,
            },
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "records could not be had");
                false
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender is gone: that means stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
