//! The server: the order in which its parts start, and the order in which they stop.

mod among;
mod gateways;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::audit::USES_FLUSHED_EVERY_MILLIS;
use crate::clock::Clock;
use crate::config::{CheckListeners, Settings, TlsFiles};
use crate::domain::{Digest, Issuer, Position, Secret};
use crate::event_log::{DataDirectory, OpenError, Reader, refuse_rescued};
use crate::feed::Hub;
use crate::http::compat;
use crate::http::doors::Doors;
use crate::http::listen::{self, Limits, raise_descriptor_limit};
use crate::http::tls::{self, TlsError};
use crate::http::{App, HttpOptions, SharedApp, Surface};
use crate::index::{self, Fed, Indexing};
use crate::jose::{TrustError, TrustedIssuers};
use crate::keys::{KeyError, RootToken};
use crate::replication::admission::Wait;
use crate::replication::client::PeerRequestError;
use crate::replication::identity::{SettleError, Settled};
use crate::service::{self, Beginning, Error, Hook, IndexedRecord, Prepared, Running, Service};
use crate::telemetry::{Metrics, SharedMetrics};
use gateways::Gateways;

/// How often uses of tickets are recorded, and the growth of the log is checked.
const TICK: Duration = Duration::from_millis(USES_FLUSHED_EVERY_MILLIS);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory or the log in it can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger does not start.
    #[error(transparent)]
    Start(#[from] service::StartError),
    /// A key can't be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A trusted issuer's keys can't be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The address can't be listened on.
    #[error("listen on {address}: {source}; is another server there? choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    /// An address for checks can't be listened on.
    #[error("listen on {address} for checks: {source}; is another server there? choose another address with --{flag}")]
    ListenForChecks { address: SocketAddr, flag: &'static str, source: io::Error },
    /// This program can't answer checks over gRPC.
    #[error("answer checks over gRPC: this program was built without the feature grpc, which is among the defaults")]
    NoGrpc,
    /// The configured servers of NATS can't be used.
    #[error("use the servers of NATS in the settings: {0}")]
    Nats(String),
    /// Other nodes can't be asked.
    #[error(transparent)]
    Ask(#[from] PeerRequestError),
    /// Other nodes hold another history of this node, or its run can't begin.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// What a contract does at each start has failed.
    #[error("prepare the contracts of other products: {0}")]
    Contracts(Error),
}

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    root_token: Option<PathBuf>,
    root_secret: Option<Secret>,
    service: Arc<Service>,
    running: Running,
    stop: watch::Sender<bool>,
    listening: JoinHandle<usize>,
    gateways: Gateways,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server; it answers when this returns. A node with members answers other nodes before that, and callers
    /// once it holds what the others hold.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, ServeError> {
        keep_pages_small();
        let tls = settings.tls.as_ref().map(|TlsFiles { certificate, key }| tls::load(certificate, key)).transpose()?;
        among::check_nats(&settings.members, &settings.region, &settings.data)?;
        let directory = DataDirectory::lock(&settings.data)?;
        let listener = listen_on(settings.listen).await?;
        let gateways = gateways::bind(&settings.check_listeners)?;
        let root_secret = settings.root_token.clone();
        let root = RootToken::load_or_create(&settings.data, settings.root_token.clone())?;
        let metrics: SharedMetrics = Arc::new(Metrics::new());
        let address =
            listener.local_addr().map_err(|source| ServeError::Listen { address: settings.listen, source })?;
        let opening = opening(&settings, address, &clock)?;
        let progress = |at: Position, head: Position| tracing::info!(at = at.0, head = head.0, "folding the event log");
        let prepared = service::prepare(directory, &opening, &clock, progress)?;
        let (stop, stopping) = watch::channel(false);
        let limits = Limits::new(settings.connections, settings.keep_alive);
        let callers_tls = tls.clone();
        let listen = |router, metrics: &SharedMetrics| {
            let server = listen::HttpServer { router, tls: callers_tls, limits, metrics: metrics.clone() };
            tokio::spawn(server.run(listener, stopping.clone()))
        };
        let doors = Arc::new(Doors::default());
        let others = prepared.ledger().filter(|_| prepared.cluster().has_others());
        let (settled, listen) = match others {
            None => (Settled::unasked(&prepared), Listening::Later(listen)),
            Some(ledger) => {
                among::answer_nodes(&prepared, ledger, &clock, &doors);
                let listening = listen(doors.router(), &metrics);
                (among::settle_first(&prepared, ledger, &settings.members).await?, Listening::Already(listening))
            }
        };
        let (running, hub) = open(prepared, opening, clock, root.digest(), &metrics, settled.beginning).await?;
        if others.is_some() {
            among::begin(&running.service, &settings.data, &settled)?;
        }
        compat::start(&running.service, &settings.compat).await.map_err(ServeError::Contracts)?;
        let options = options(&settings, root.path());
        let app = Arc::new(App::new(running.service.clone(), hub, stopping.clone(), metrics.clone(), options));
        warn_of_descriptors(settings.connections * (1 + gateways.count()));
        let wait = among::waits_for(&running.service, &settled);
        if wait == Wait::Nothing {
            running.service.begin_keys().await;
        }
        running.service.cluster().admit(wait == Wait::Nothing);
        let router = match wait {
            Wait::Nothing => crate::http::router(app.clone()),
            Wait::Counted | Wait::CatchUp | Wait::Join => crate::http::waiting_router(app.clone()),
        };
        let listening = match listen {
            Listening::Later(listen) => listen(router, &metrics),
            Listening::Already(listening) => {
                doors.open(router);
                listening
            }
        };
        let gateways = gateways.serve(&app, limits, tls.as_ref(), &stopping)?;
        let tasks = vec![
            tokio::spawn(flush_uses(app.clone())),
            tokio::spawn(status_lists(app.clone())),
            tokio::spawn(snapshots(app.clone(), settings.data.clone(), settings.snapshot_every_events)),
            tokio::spawn(among::run(app, doors, settings.members.clone(), settings.data.clone(), wait)),
        ];
        let service = running.service.clone();
        Ok(Self { address, root_token: root.path(), root_secret, service, running, stop, listening, gateways, tasks })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses on which it answers checks alone.
    pub fn check_listeners(&self) -> CheckListeners {
        self.gateways.listeners()
    }

    /// The file that holds root's secret, unless the secret was given.
    pub fn root_token(&self) -> Option<&Path> {
        self.root_token.as_deref()
    }

    /// Root's secret, if it was given.
    pub fn root_secret(&self) -> Option<&Secret> {
        self.root_secret.as_ref()
    }

    /// The ledger.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Returns when this server must stop, because its log has lost records that others hold: restarted, it continues
    /// under a new origin.
    pub async fn set_back(&self) {
        self.service.cluster().set_back().await;
    }

    /// Returns when this server must restart, because an earlier time was accepted.
    pub async fn starts_again(&self) {
        self.service.starts_again().await;
    }

    /// Stops: accepts nothing more, ends streams with their cursor, commits the queue, writes a snapshot.
    ///
    /// False if the log has halted: everything that was acknowledged stands, and the cause has to be fixed.
    pub async fn stop(self) -> bool {
        self.stop.send_replace(true);
        for listening in std::iter::once(self.listening).chain(self.gateways.into_tasks()) {
            match listening.await {
                Ok(0) => {}
                Ok(cut) => {
                    tracing::warn!(connections = cut, "connections were cut, because they did not finish in time");
                }
                Err(error) => tracing::error!(%error, "the listener panicked"),
            }
        }
        for task in self.tasks {
            // The tasks end on the same signal; one that panicked has said so.
            let _ = task.await;
        }
        let healthy = self.service.fault().is_none();
        let running = self.running;
        let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
        match stopped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "no snapshot was written; the next start reads more of the log"),
            Err(error) => tracing::error!(%error, "the ledger did not stop properly"),
        }
        healthy
    }
}

/// A node without members listens when it is ready; one with members earlier, for the other nodes.
enum Listening<L> {
    Later(L),
    Already(JoinHandle<usize>),
}

/// Checks everything that a start needs, and changes nothing but what a start would make anyway: the directory and its
/// lock.
pub fn check(settings: &Settings) -> Result<(), ServeError> {
    if let Some(TlsFiles { certificate, key }) = &settings.tls {
        tls::load(certificate, key)?;
    }
    TrustedIssuers::new(settings.trusted_issuers.clone(), Clock::system())?;
    among::check_nats(&settings.members, &settings.region, &settings.data)?;
    gateways::check(&settings.check_listeners)?;
    let directory = DataDirectory::lock(&settings.data)?;
    refuse_rescued(&directory.ledger())?;
    match Reader::open(&directory.ledger()) {
        Ok(reader) => Ok(service::check_pseudonyms(&settings.data, settings.subject_pseudonyms, &reader)?),
        Err(OpenError::Absent(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn listen_on(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

fn opening(settings: &Settings, address: SocketAddr, clock: &Clock) -> Result<service::NodeSettings, ServeError> {
    Ok(service::NodeSettings {
        token_algorithm: settings.token_algorithm,
        key_publish_ahead: settings.key_publish_ahead,
        issuer: token_issuer(settings, address),
        issuer_is_set: settings.public_url.is_some(),
        trusted: TrustedIssuers::new(settings.trusted_issuers.clone(), clock.clone())?,
        data: settings.data.clone(),
        node: settings.node.clone(),
        region: settings.region.clone(),
        policy: settings.policy,
        pseudonyms: settings.subject_pseudonyms,
        queue: settings.queue_commands,
        checkpoint_origin: settings.checkpoint_origin.clone(),
        address: settings.members.address.clone(),
        reads: settings.members.reads.clone(),
        status_lists: settings.status_lists.lists.filter(|_| settings.serves(Surface::Status)),
    })
}

async fn open(
    prepared: Prepared,
    opening: service::NodeSettings,
    clock: Clock,
    root: Digest,
    metrics: &SharedMetrics,
    beginning: Beginning,
) -> Result<(Running, Arc<Hub>), ServeError> {
    let started: OnceLock<Arc<Hub>> = OnceLock::new();
    let (feed, fed) = index::channel();
    let hooks = |ledger, base: &crate::event_log::Base| {
        metrics.head_position.set(base.position.0);
        let index: Hook = Box::new(move |committed, _| feed.tell(committed.iter().map(IndexedRecord::from).collect()));
        vec![started.get_or_init(|| Hub::new(ledger, base.clone())).hook(), count(metrics), index]
    };
    let running = prepared.begin(opening, clock, root, None, hooks, beginning).await?;
    keep_index(&running.service, fed)?;
    let base = running.service.base();
    let hub = started.get().cloned().unwrap_or_else(|| Hub::new(running.service.ledger(), base));
    Ok((running, hub))
}

/// Starts the thread that keeps the index. Without it the server works as well, but questions about the past take
/// longer.
fn keep_index(service: &Service, fed: Fed<IndexedRecord>) -> Result<(), OpenError> {
    let ledger = service.reader().path();
    match Indexing::spawn(Reader::open(ledger)?, index::beside(ledger), fed) {
        Ok(indexing) => service.use_index(Arc::new(indexing)),
        Err(error) => tracing::warn!(%error, "no thread keeps the index; questions about the past read the log"),
    }
    Ok(())
}

/// The issuer of tokens that are signed here: the operator's setting, or on loopback the address that this server
/// listens on.
fn token_issuer(settings: &Settings, address: SocketAddr) -> Option<Issuer> {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let own = || (address.ip().is_loopback() && !settings.behind_proxy).then(|| format!("{scheme}://{address}").into());
    settings.public_url.clone().or_else(own).and_then(|url: Arc<str>| Issuer::new(&url).ok())
}

fn count(metrics: &SharedMetrics) -> Hook {
    let metrics = metrics.clone();
    Box::new(move |committed, took| {
        metrics.batch_records.observe(committed.len() as f64);
        metrics.commit_seconds.observe(took.as_secs_f64());
        metrics.head_position.set(committed.last().map_or(0, |last| last.filed.position.0));
    })
}

fn options(settings: &Settings, root_token_file: Option<PathBuf>) -> HttpOptions {
    HttpOptions {
        surfaces: settings.surfaces.clone(),
        body_bytes: settings.body_bytes,
        device_headers: settings.device_headers,
        status_lists: settings.status_lists,
        compat: settings.compat.clone(),
        check: settings.checks.clone(),
        heartbeat: settings.heartbeat,
        root_token_file,
        bench: settings.bench,
    }
}

/// The allocator asks for pages of 2 MiB. Memory that is allocated and hardly touched, such as a follower's two buffers
/// of 8 KiB, would then be resident as a whole, and a commit would now and then wait while 2 MiB are zeroed.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the system does not let pages be kept small; each follower takes some 8 KB more");
    }
}

fn warn_of_descriptors(connections: usize) {
    match raise_descriptor_limit(connections) {
        Ok(limit) if !limit.suffices() => tracing::warn!(
            ?limit,
            "the system allows fewer file descriptors than --connections needs; raise its limit (ulimit -n) or lower --connections"
        ),
        Ok(limit) => tracing::info!(?limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit on file descriptors stays as it is"),
    }
}

/// Records uses of tickets once a second, and the rest at the end.
async fn flush_uses(app: SharedApp) {
    let mut stop = app.stop.clone();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if let Err(error) = app.service.flush_uses().await
            && app.service.fault().is_none()
        {
            tracing::warn!(%error, "uses of tickets could not be recorded; they are with the next flush, or with the tickets' next use");
        }
        if stopping {
            return;
        }
    }
}

/// Publishes status lists, and keeps those that are published here or elsewhere ready to be sent.
async fn status_lists(app: SharedApp) {
    if !app.options.surfaces.contains(&Surface::Status) {
        return;
    }
    let mut stop = app.stop.clone();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        app.service.keep_status_lists().await;
    }
}

/// Writes a snapshot whenever the log has grown by that many events.
async fn snapshots(app: SharedApp, data: PathBuf, every_events: u64) {
    let mut stop = app.stop.clone();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = app.service.base().position;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if app.service.base().position.0 < last.0 + every_events {
            continue;
        }
        let (service, directory) = (app.service.clone(), data.clone());
        let saved = tokio::task::spawn_blocking(move || service.save_snapshot(&directory)).await;
        match saved {
            Ok(Ok(position)) => {
                tracing::info!(position = position.0, "a snapshot was written");
                last = position;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "no snapshot was written; the next one is tried when the log has grown as much again");
                last = app.service.base().position;
            }
            Err(error) => tracing::error!(%error, "the snapshot's thread panicked"),
        }
    }
}
