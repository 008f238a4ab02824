//! A proxy on the loopback interface that cuts the connections through it.

use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "nats")]
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long refusals are waited for.
#[cfg(feature = "nats")]
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
struct Route {
    to: Option<SocketAddr>,
    is_cut: bool,
    /// Connections stand, but nothing passes.
    is_held: bool,
    /// Counts the cuts, each of which closes all connections.
    cuts: u64,
}

/// A proxy for any TCP protocol, on a port that stays its own. It stops when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    route: watch::Sender<Route>,
    refused: Arc<watch::Sender<u64>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before that address.
    pub async fn to(address: SocketAddr) -> Self {
        let proxy = Self::to_nothing().await;
        proxy.lead_to(address);
        proxy
    }

    /// A proxy before nothing as yet: it refuses all connections.
    pub async fn to_nothing() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (route, refused) = (watch::Sender::new(Route::default()), Arc::new(watch::Sender::new(0)));
        let task = tokio::spawn(accept(listener, route.subscribe(), Arc::clone(&refused)));
        Self { address, route, refused, task }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets new connections go to that address. Those that are there stay as they are.
    pub fn lead_to(&self, address: SocketAddr) {
        self.route.send_modify(|route| route.to = Some(address));
    }

    /// Closes all connections, and refuses new ones until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.route.send_modify(|route| (route.is_cut, route.cuts) = (true, route.cuts + 1));
    }

    /// Lets nothing pass any more, and tells nobody, as a network does that loses all packets, until [`heal`](Self::heal).
    pub fn hold(&self) {
        self.route.send_modify(|route| route.is_held = true);
    }

    /// Refuses new connections until [`heal`](Self::heal), and leaves alone those that are there.
    #[cfg(feature = "nats")]
    pub fn refuse_new(&self) {
        self.route.send_modify(|route| route.is_cut = true);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.route.send_modify(|route| (route.is_cut, route.is_held) = (false, false));
    }

    /// How many connections it has refused, because it was cut or nothing listened behind it.
    pub fn refused(&self) -> u64 {
        *self.refused.borrow()
    }

    /// Waits until it has refused that many.
    #[cfg(feature = "nats")]
    pub async fn until_refused(&self, count: u64) {
        let mut refused = self.refused.subscribe();
        let waited = tokio::time::timeout(PATIENCE, refused.wait_for(|refused| *refused >= count)).await;
        waited.expect("in time").expect("a proxy");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, route: watch::Receiver<Route>, refused: Arc<watch::Sender<u64>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (incoming, _) = accepted.expect("a connection");
                connections.spawn(carry(incoming, route.clone(), Arc::clone(&refused)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(incoming: TcpStream, mut route: watch::Receiver<Route>, refused: Arc<watch::Sender<u64>>) {
    let now = *route.borrow_and_update();
    let outgoing = match now.to {
        Some(address) if !now.is_cut => TcpStream::connect(address).await.ok(),
        _ => None,
    };
    let Some(outgoing) = outgoing else {
        refused.send_modify(|refused| *refused += 1);
        return;
    };
    for stream in [&incoming, &outgoing] {
        stream.set_nodelay(true).expect("an option of TCP");
    }
    let ((from_client, to_client), (from_server, to_server)) = (incoming.into_split(), outgoing.into_split());
    tokio::select! {
        // When either side closes, both are closed.
        _ = pass(from_client, to_server, route.clone()) => {}
        _ = pass(from_server, to_client, route.clone()) => {}
        _ = route.wait_for(|route| route.cuts > now.cuts) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut route: watch::Receiver<Route>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || route.wait_for(|route| !route.is_held).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
