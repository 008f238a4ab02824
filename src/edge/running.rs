//! The order in which the parts of an edge are started, and the order in which they are stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Edge, EdgeParts};
use crate::clock::Clock;
use crate::config::{EdgeListeners, EdgeSettings, TlsFiles};
use crate::follower::{Follower, FollowerError};
use crate::http::check::{self, Checks};
use crate::http::edge::{admin_routes, introspection_routes, with_noop};
use crate::http::listen::{HttpServer, Limits, raise_descriptor_limit};
use crate::http::tls::{self, TlsError};
use crate::jose::{TrustError, TrustedIssuers};
use crate::telemetry::{EdgeMetrics, Metrics, SharedMetrics};

/// How long open checks have to finish when the edge stops. None of them takes longer.
const GRACE: Duration = Duration::from_secs(5);

/// Why an edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The node can't be followed as the settings have it, or the state can't be kept.
    #[error(transparent)]
    Follower(#[from] FollowerError),
    /// A trusted issuer's keys can't be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address can't be listened on.
    #[error("listen on {address}: {source}; is another edge there? choose another address with --{flag}")]
    Listen { address: SocketAddr, flag: &'static str, source: io::Error },
    /// This program has no gRPC.
    #[error("use --grpc-listen: this program was built without the feature grpc")]
    NoGrpc,
}

/// An edge that runs.
pub struct RunningEdge {
    edge: Edge,
    listeners: EdgeListeners,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<usize>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Listeners that are bound, and do not accept yet.
struct Bound {
    checks: (TcpListener, SocketAddr),
    grpc: Option<(TcpListener, SocketAddr)>,
    introspect: Option<(TcpListener, SocketAddr)>,
    admin: (TcpListener, SocketAddr),
}

impl Bound {
    async fn of(listeners: &EdgeListeners) -> Result<Self, EdgeError> {
        if listeners.grpc.is_some() && !cfg!(feature = "grpc") {
            return Err(EdgeError::NoGrpc);
        }
        let grpc = match listeners.grpc {
            Some(address) => Some(bind(address, "grpc-listen").await?),
            None => None,
        };
        let introspect = match listeners.introspect {
            Some(address) => Some(bind(address, "introspect-listen").await?),
            None => None,
        };
        let checks = bind(listeners.checks, "listen").await?;
        Ok(Self { checks, grpc, introspect, admin: bind(listeners.admin, "admin-listen").await? })
    }

    fn addresses(&self) -> EdgeListeners {
        let address = |bound: &(TcpListener, SocketAddr)| bound.1;
        EdgeListeners {
            checks: address(&self.checks),
            grpc: self.grpc.as_ref().map(address),
            introspect: self.introspect.as_ref().map(address),
            admin: address(&self.admin),
        }
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), EdgeError> {
    let refused = |source| EdgeError::Listen { address, flag, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

impl RunningEdge {
    /// Starts an edge. It listens when this returns, and answers from memory once it has heard that nothing is missing.
    pub async fn start(settings: EdgeSettings) -> Result<Self, EdgeError> {
        let certificate =
            settings.tls.as_ref().map(|TlsFiles { certificate, key }| tls::load(certificate, key)).transpose()?;
        let bound = Bound::of(&settings.listeners).await?;
        let listeners = bound.addresses();
        let metrics: SharedMetrics = Arc::new(Metrics::new());
        let edge_metrics = Arc::new(EdgeMetrics::new(&metrics));
        let behind_limit = settings.follower.heartbeat * settings.follower.stale_after;
        let edge = Edge::new(EdgeParts {
            follower: Follower::new(settings.follower)?,
            trusted: TrustedIssuers::new(settings.trusted_issuers, Clock::system())?,
            metrics: edge_metrics.clone(),
            cache_ttl: settings.cache_ttl,
            cache_bytes: settings.cache_bytes,
            longest_life: settings.longest_life,
            behind_limit,
            introspect_secret: settings.introspect_secret,
        });
        if let Err(error) = raise_descriptor_limit(settings.connections) {
            tracing::warn!(%error, "the limit on file descriptors stays as it is");
        }
        let (stop, stopping) = watch::channel(false);
        let authority = Arc::new(edge.clone());
        let checks = Checks::new(authority.clone(), settings.checks, edge_metrics.checks.clone(), stopping.clone());
        let checks = Arc::new(checks);
        let limits = Limits { grace: GRACE, ..Limits::new(settings.connections, settings.keep_alive) };
        let server = |router, tls| HttpServer { router, tls, limits, metrics: metrics.clone() };
        let for_gateways = |(listener, _): (TcpListener, SocketAddr), router| {
            let tls = certificate.as_ref().map(|config| tls::with_http2(config));
            tokio::spawn(server(router, tls).run_for_gateways(listener, stopping.clone()))
        };
        let for_callers = |(listener, _): (TcpListener, SocketAddr), router, tls| {
            tokio::spawn(server(router, tls).run(listener, stopping.clone()))
        };
        let routes = check::routes(checks.clone());
        let mut listening = vec![
            for_gateways(bound.checks, if settings.bench { with_noop(routes) } else { routes }),
            for_callers(bound.admin, admin_routes(authority.clone()), None),
        ];
        listening.extend(
            bound
                .introspect
                .map(|bound| for_callers(bound, introspection_routes(authority.clone()), certificate.clone())),
        );
        #[cfg(feature = "grpc")]
        listening.extend(bound.grpc.map(|bound| for_gateways(bound, check::grpc_routes(checks))));
        #[cfg(not(feature = "grpc"))]
        drop((bound.grpc, checks));
        let (follower, follows, keeps_up) = (edge.follower().clone(), stopping.clone(), stopping.clone());
        let keeper = edge.clone();
        let tasks = vec![
            tokio::spawn(async move { follower.run(follows).await }),
            tokio::spawn(async move { keeper.keep_up(keeps_up).await }),
        ];
        Ok(Self { edge, listeners, stop, listening, tasks })
    }

    /// The addresses on which it listens.
    pub const fn listeners(&self) -> EdgeListeners {
        self.listeners
    }

    /// What it decides with.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Stops: accepts nothing more, lets open checks finish, reports the uses of tickets, writes the state.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for listening in self.listening {
            match listening.await {
                Ok(0) => {}
                Ok(cut) => {
                    tracing::warn!(connections = cut, "connections were cut, because they did not finish in time")
                }
                Err(error) => tracing::error!(%error, "a listener panicked"),
            }
        }
        for task in self.tasks {
            // The tasks end on the same signal; one that panicked has said so.
            let _ = task.await;
        }
    }
}
