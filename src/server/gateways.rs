//! The listeners for gateways: beside the one for callers, with nothing on them but checks.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ServeError;
use crate::config::{CheckListener, CheckListeners};
use crate::http::listen::{HttpServer, Limits};
use crate::http::{SharedApp, check, tls};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Addresses that are taken, and refuse connections.
pub(super) struct Bound {
    http: Option<BoundSocket>,
    grpc: Option<BoundSocket>,
}

struct BoundSocket {
    socket: TcpSocket,
    told: CheckListener,
    flag: &'static str,
}

/// Listeners that serve.
pub(super) struct Gateways {
    listeners: CheckListeners,
    tasks: Vec<JoinHandle<usize>>,
}

/// Refuses settings that this program can't serve.
pub(super) fn check(listeners: &CheckListeners) -> Result<(), ServeError> {
    if listeners.grpc.is_some() && !cfg!(feature = "grpc") { Err(ServeError::NoGrpc) } else { Ok(()) }
}

/// Takes the addresses. Until this node can answer, a gateway's connection is refused: it would rather ask another node
/// than wait.
pub(super) fn bind(listeners: &CheckListeners) -> Result<Bound, ServeError> {
    check(listeners)?;
    Ok(Bound {
        http: listeners.http.map(|one| BoundSocket::new(one, "check-listen")).transpose()?,
        grpc: listeners.grpc.map(|one| BoundSocket::new(one, "check-grpc-listen")).transpose()?,
    })
}

impl BoundSocket {
    fn new(asked: CheckListener, flag: &'static str) -> Result<Self, ServeError> {
        let CheckListener { address, tls } = asked;
        let refused = |source| ServeError::ListenForChecks { address, flag, source };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(refused)?;
        // A restart takes the address while the connections of the process before it still close.
        socket.set_reuseaddr(true).map_err(refused)?;
        socket.bind(address).map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, told: CheckListener { address, tls }, flag })
    }

    fn listen(self) -> Result<TcpListener, ServeError> {
        let Self { socket, told: CheckListener { address, .. }, flag } = self;
        socket.listen(BACKLOG).map_err(|source| ServeError::ListenForChecks { address, flag, source })
    }
}

impl Bound {
    pub(super) fn count(&self) -> usize {
        usize::from(self.http.is_some()) + usize::from(self.grpc.is_some())
    }

    /// Answers checks from now on. A node that has not caught up answers that it can't tell.
    pub(super) fn serve(
        self,
        app: &SharedApp,
        limits: Limits,
        certificate: Option<&Arc<ServerConfig>>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Gateways, ServeError> {
        let listeners = CheckListeners {
            http: self.http.as_ref().map(|one| one.told),
            grpc: self.grpc.as_ref().map(|one| one.told),
        };
        let serve = |bound: BoundSocket, router| {
            let tls = certificate.filter(|_| bound.told.tls).map(|config| tls::with_http2(config));
            let server = HttpServer { router, tls, limits, metrics: app.metrics.clone() };
            Ok::<_, ServeError>(tokio::spawn(server.run_for_gateways(bound.listen()?, stop.clone())))
        };
        let mut tasks = Vec::new();
        if let Some(bound) = self.http {
            tasks.push(serve(bound, check::routes(app.checks.clone()))?);
        }
        #[cfg(feature = "grpc")]
        if let Some(bound) = self.grpc {
            tasks.push(serve(bound, check::grpc_routes(app.checks.clone()))?);
        }
        Ok(Gateways { listeners, tasks })
    }
}

impl Gateways {
    pub(super) const fn listeners(&self) -> CheckListeners {
        self.listeners
    }

    pub(super) fn into_tasks(self) -> Vec<JoinHandle<usize>> {
        self.tasks
    }
}
