//! The server among other nodes: what it settles with them before it writes, and the tasks that run while there are
//! any.

use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "nats")]
use std::time::Duration;

use tokio::task::JoinSet;

use super::ServeError;
use crate::cluster::OriginRenewal;
use crate::config::MemberSettings;
use crate::domain::LedgerId;
use crate::http::doors::Doors;
use crate::http::peers::Hearing;
use crate::http::{self, SharedApp};
use crate::replication::admission::{Wait, admitted, until_counted};
use crate::replication::client::PeerClient;
use crate::replication::courier::{Courier, Post};
use crate::replication::identity::{Settled, begin_run, settle};
#[cfg(feature = "nats")]
use crate::replication::jetstream::{self, JetStream};
use crate::replication::keys::Fetcher;
use crate::replication::node::{Node, announce, keep_heard};
use crate::replication::peers::Peers;
use crate::service::{Prepared, Service};

/// Tells other nodes what this one holds of them, while it finds out itself how it continues.
pub(super) fn answer_nodes(prepared: &Prepared, ledger: LedgerId, clock: &crate::clock::Clock, doors: &Doors) {
    let hearing = Hearing {
        cluster: prepared.cluster().clone(),
        reader: prepared.reader().clone(),
        ledger,
        clock: clock.clone(),
    };
    doors.open(http::starting_router(hearing));
}

/// Finds out whether this node may continue its origin.
pub(super) async fn settle_first(
    prepared: &Prepared,
    ledger: LedgerId,
    members: &MemberSettings,
) -> Result<Settled, ServeError> {
    let client = PeerClient::new(prepared.cluster().clone(), ledger, members.ca.as_deref())?;
    Ok(settle(prepared, &client, &members.peers, members.wait).await?)
}

/// The nodes that this one waits for before it answers callers.
pub(super) fn waits_for(service: &Service, settled: &Settled) -> Wait {
    match settled.renewal {
        _ if !service.cluster().has_others() => Wait::Nothing,
        _ if !service.cluster().counts() => Wait::Join,
        Some(OriginRenewal::OlderCopy | OriginRenewal::UsedSince | OriginRenewal::Running) => Wait::CatchUp,
        Some(OriginRenewal::NobodyAnswered | OriginRenewal::SomeWereSilent) => Wait::Nothing,
        Some(OriginRenewal::ClockAccepted) | None => Wait::Counted,
    }
}

/// Begins a run of this node, unless it has begun.
pub(super) fn begin(service: &Service, data: &Path, settled: &Settled) -> Result<(), ServeError> {
    if !settled.has_begun {
        begin_run(service.cluster(), service.origin(), data, settled)?;
    }
    Ok(())
}

/// Runs the tasks of a node with members, from the first other node on, until the server stops.
pub(super) async fn run(app: SharedApp, doors: Arc<Doors>, members: MemberSettings, data: PathBuf, wait: Wait) {
    let stop = app.stop.clone();
    let cluster = app.service.cluster().clone();
    if !until_others(&app).await {
        return;
    }
    if cluster.incarnation().is_none()
        && let Err(error) = begin(&app.service, &data, &Settled::alone())
    {
        tracing::error!(%error, "this node can't speak to its members; fix the cause and restart it");
        return;
    }
    let post = Arc::new(Node::new(app.service.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(announce(app.service.clone(), stop.clone()));
    tasks.spawn(keep_heard(cluster.clone(), stop.clone()));
    tasks.spawn(post.clone().watch_streams(stop.clone()));
    let client = match PeerClient::new(cluster.clone(), app.service.ledger(), members.ca.as_deref()) {
        Ok(client) => client,
        Err(error) => {
            return tracing::error!(%error, "other nodes can't be asked; fix the cause and restart this one");
        }
    };
    tasks.spawn(Fetcher::new(app.service.clone(), client.clone(), members.peers.clone(), &data).run(stop.clone()));
    for courier in couriers(&app, &client, &members, &data) {
        tracing::info!(courier = courier.name(), "listening to other nodes");
        let post: Arc<dyn Post> = post.clone();
        tasks.spawn(courier.run(post, stop.clone()));
    }
    if let Err(error) = app.service.receive_aside().await {
        tracing::warn!(%error, "records that were set aside for this release could not be taken");
    }
    if wait == Wait::Counted {
        counted(&app, &members).await;
    }
    if admitted(app.service.clone(), wait, members.standby, stop).await && wait != Wait::Nothing {
        app.service.begin_keys().await;
        // In this order: a client that finds it ready finds it answering.
        doors.open(http::router(app.clone()));
        app.service.cluster().admit(true);
        tracing::info!("this node holds what the others hold, and answers");
    }
    while tasks.join_next().await.is_some() {}
}

/// Waits until every member waits for this node, or the server stops.
async fn counted(app: &SharedApp, members: &MemberSettings) {
    let mut stop = app.stop.clone();
    tokio::select! {
        () = until_counted(app.service.cluster(), members.wait) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// True once there are other nodes; false if the server stops before.
async fn until_others(app: &SharedApp) -> bool {
    let (mut changes, mut stop) = (app.service.cluster().changes(), app.stop.clone());
    tokio::select! {
        others = changes.wait_for(|_| app.service.cluster().has_others()) => others.is_ok(),
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

fn couriers(app: &SharedApp, client: &PeerClient, members: &MemberSettings, data: &Path) -> Vec<Box<dyn Courier>> {
    let (cluster, only_gaps) = (app.service.cluster().clone(), !members.nats.is_empty());
    let peers = Peers::new(client.clone(), cluster, members.peers.clone(), only_gaps);
    let peers: Box<dyn Courier> = Box::new(peers);
    std::iter::once(peers).chain(over_nats(app, members, data)).collect()
}

/// Whether the configured servers of NATS can be used, checked before anything is started.
#[cfg(feature = "nats")]
pub(super) fn check_nats(members: &MemberSettings, own: &crate::domain::Region, data: &Path) -> Result<(), ServeError> {
    let Some(settings) = nats_settings(members, own, data) else { return Ok(()) };
    JetStream::new(&settings, Arc::default()).map(drop).map_err(|error| ServeError::Nats(error.to_string()))
}

#[cfg(not(feature = "nats"))]
pub(super) fn check_nats(members: &MemberSettings, _: &crate::domain::Region, _: &Path) -> Result<(), ServeError> {
    if members.nats.is_empty() {
        return Ok(());
    }
    let why = "this program was built without it; build it with `cargo build --profile ship --features nats`";
    Err(ServeError::Nats(why.to_owned()))
}

#[cfg(feature = "nats")]
fn nats_settings(
    members: &MemberSettings,
    own: &crate::domain::Region,
    data: &Path,
) -> Option<jetstream::JetStreamSettings> {
    let servers = |servers: &crate::config::NatsServers| jetstream::RegionServers {
        region: servers.region.clone(),
        urls: servers.urls.clone(),
        credentials: servers.credentials.clone(),
        ca: servers.ca.clone(),
    };
    let here = members.nats.iter().find(|servers| servers.region == *own).or(members.nats.first())?;
    Some(jetstream::JetStreamSettings {
        own: own.clone(),
        regions: members.nats.iter().map(servers).collect(),
        replicas: here.replicas.unwrap_or(1),
        max_bytes: here.stream_bytes.unwrap_or(jetstream::DEFAULT_STREAM_BYTES),
        max_age: here.stream_age.unwrap_or(Duration::from_secs(jetstream::DEFAULT_AGE_S)),
        state: data.join("members").join("stream.json"),
    })
}

#[cfg(feature = "nats")]
fn over_nats(app: &SharedApp, members: &MemberSettings, data: &Path) -> Option<Box<dyn Courier>> {
    let settings = nats_settings(members, &app.service.cluster().naming().region, data)?;
    let counted: Arc<jetstream::CourierCounters> = Arc::default();
    tokio::spawn(measure_nats(app.clone(), counted.clone()));
    // It was checked before anything was started.
    JetStream::new(&settings, counted).ok().map(|courier| Box::new(courier) as Box<dyn Courier>)
}

#[cfg(not(feature = "nats"))]
fn over_nats(_: &SharedApp, _: &MemberSettings, _: &Path) -> Option<Box<dyn Courier>> {
    None
}

/// Copies the counts of the courier to the metrics, once a second.
#[cfg(feature = "nats")]
async fn measure_nats(app: SharedApp, counted: Arc<jetstream::CourierCounters>) {
    let mut stop = app.stop.clone();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for (kind, counter) in [
            ("published", &counted.published),
            ("acknowledged", &counted.acknowledged),
            ("published_live", &counted.published_live),
            ("received_live", &counted.received_live),
            ("received_from_streams", &counted.received_from_streams),
            ("heard", &counted.heard),
            ("reconnects", &counted.reconnects),
            ("streams_abandoned", &counted.abandoned),
            ("streams_unfit", &counted.unfit),
        ] {
            app.metrics.nats(kind).set(load(counter));
        }
    }
}
