//! The accept loop: HTTP/1.1 on TCP, in clear or with TLS, with a bound on everything that a peer can make us keep.
//! Gateways may speak HTTP/2 as well.
//!
//! One task a connection. Connections, headers, heads, waiting for heads, idling and stalled writes are bounded here;
//! bodies are bounded by their readers. Without TLS a connection costs two buffers of 8 KiB that are touched as far as
//! they are used, and no timer while it follows a stream.

mod http2;
mod opening;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::IntoResponse as _;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::guard::{Activity, Guarded, Patience};
use super::{host, tls};
use crate::telemetry::SharedMetrics;

/// The most header lines of a request; more are answered 431.
pub const MAX_HEADERS: usize = 64;
/// The largest head of a request, in bytes; a larger one is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The same for gateways, which pass on what their clients send.
pub const MAX_GATEWAY_HEADERS: usize = 200;
/// In HTTP/2, of each list of headers.
pub const MAX_GATEWAY_HEAD_BYTES: usize = 64 * 1024;

/// How many refusals are sent at the same time; a connection beyond that is closed without a word.
const MAX_REFUSALS: usize = 256;
/// How long a refused peer has to read its refusal.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// How long, and for how many bytes, a peer that was answered before it had sent everything may go on sending.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;
/// How long accepting rests after the machine ran out of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often that is logged at most.
const ACCEPT_WARNING_EVERY: Duration = Duration::from_secs(10);
/// Descriptors beside connections and refusals: the log, snapshots, standard streams, the runtime.
const OTHER_DESCRIPTORS: u64 = 256;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/problem+json\r\n\
    Content-Length: 76\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    \r\n\
    {\"type\":\"/problems/overloaded\",\"title\":\"Too many connections\",\"status\":503}\n";

/// A gateway is never given a body.
const GATEWAY_REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Length: 0\r\n\
    Cache-Control: no-store\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    \r\n";

/// What differs between the listener for callers and one for gateways.
#[derive(Clone, Copy)]
struct Terms {
    max_headers: usize,
    max_head_bytes: usize,
    /// Whether HTTP/2 is spoken, too.
    speaks_http2: bool,
    /// Whether a request must name one host. A check is the same under any, and its status is one of four.
    checks_host: bool,
    /// What a connection is told that there is no room for.
    refusal: &'static [u8],
}

const FOR_CALLERS: Terms = Terms {
    max_headers: MAX_HEADERS,
    max_head_bytes: MAX_HEAD_BYTES,
    speaks_http2: false,
    checks_host: true,
    refusal: REFUSAL,
};

const FOR_GATEWAYS: Terms = Terms {
    max_headers: MAX_GATEWAY_HEADERS,
    max_head_bytes: MAX_GATEWAY_HEAD_BYTES,
    speaks_http2: true,
    checks_host: false,
    refusal: GATEWAY_REFUSAL,
};

/// The bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that may be open at a time; more are answered 503.
    pub connections: usize,
    /// How long a peer may take.
    pub patience: Patience,
    /// How long open requests have to finish when the server stops.
    pub grace: Duration,
}

impl Limits {
    /// So many connections, each open for that long between two requests.
    pub fn new(connections: usize, keep_alive: Duration) -> Self {
        let default = Self::default();
        Self { connections, patience: Patience { idle: keep_alive, ..default.patience }, ..default }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            patience: Patience {
                head: Duration::from_secs(10),
                idle: Duration::from_secs(75),
                stall: Duration::from_secs(60),
            },
            grace: Duration::from_secs(10),
        }
    }
}

/// The server of connections.
pub struct HttpServer {
    /// The routes. A handler finds the peer as [`ConnectInfo`]`<SocketAddr>`.
    pub router: Router,
    /// TLS, or nothing to serve in clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// The bounds of connections.
    pub limits: Limits,
    /// The counters of connections and refusals.
    pub metrics: SharedMetrics,
}

impl HttpServer {
    /// Serves until `stop` holds true or its sender is gone; returns how many connections had to be cut.
    ///
    /// When it stops, it accepts no more, closes idle connections, and lets open requests finish for as long as the grace
    /// lasts. A stream that never ends by itself must watch for the stop too.
    pub async fn run(self, listener: TcpListener, stop: watch::Receiver<bool>) -> usize {
        self.run_with(FOR_CALLERS, listener, stop).await
    }

    /// The same for gateways that ask for checks: HTTP/1.0, 1.1 and 2, heads of any client, and no host is asked for.
    pub async fn run_for_gateways(self, listener: TcpListener, stop: watch::Receiver<bool>) -> usize {
        self.run_with(FOR_GATEWAYS, listener, stop).await
    }

    async fn run_with(self, terms: Terms, listener: TcpListener, stop: watch::Receiver<bool>) -> usize {
        let connector = Connector { router: self.router, patience: self.limits.patience, stop: stop.clone(), terms };
        let mut accepting = Accepting {
            tls: self.tls.map(TlsAcceptor::from),
            connector,
            max_connections: self.limits.connections,
            metrics: self.metrics,
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            warned_at: None,
        };
        accepting.accept_until(listener, stop).await;
        accepting.drain(self.limits.grace).await
    }
}

/// The soft limit of open descriptors, before and after raising it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// As the process found it; nothing if there was no limit.
    pub before: Option<u64>,
    /// As it is now; nothing if there is no limit.
    pub after: Option<u64>,
    /// The descriptors that so many connections need.
    pub needed: u64,
}

impl DescriptorLimit {
    /// Whether all connections fit.
    pub fn suffices(&self) -> bool {
        self.after.is_none_or(|limit| limit >= self.needed)
    }
}

/// Raises this process's soft limit of open descriptors to what that many connections need, as far as the hard limit
/// allows. It never lowers it.
pub fn raise_descriptor_limit(connections: usize) -> io::Result<DescriptorLimit> {
    let needed = connections as u64 + MAX_REFUSALS as u64 + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let Some(before) = limit.current.filter(|soft| *soft < needed) else {
        return Ok(DescriptorLimit { before: limit.current, after: limit.current, needed });
    };
    let after = Some(limit.maximum.map_or(needed, |hard| hard.min(needed)).max(before));
    setrlimit(Resource::Nofile, Rlimit { current: after, maximum: limit.maximum })?;
    Ok(DescriptorLimit { before: Some(before), after, needed })
}

struct Accepting {
    tls: Option<TlsAcceptor>,
    connector: Connector,
    max_connections: usize,
    metrics: SharedMetrics,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    warned_at: Option<Instant>,
}

impl Accepting {
    async fn accept_until(&mut self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                Some(ended) = self.connections.join_next() => self.ended(ended),
                Some(_) = self.refusals.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) if concerns_one_peer(&error) => {}
                    Err(error) => self.rest(&error, &mut stop).await,
                },
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.len() >= self.max_connections {
            return self.refuse(stream);
        }
        // Frames are written whole, so waiting for more to send would only delay a revocation.
        let _ = stream.set_nodelay(true); // It fails only if the peer is gone, which reading will tell.
        let connector = self.connector.clone();
        match self.tls.clone() {
            None if connector.terms.speaks_http2 => self.connections.spawn(connector.serve_either(stream, peer)),
            None => self.connections.spawn(connector.serve_clear(stream, peer)),
            Some(tls) => self.connections.spawn(connector.serve_tls(tls, stream, peer)),
        };
        // Several listeners share the number.
        self.metrics.connections.inc();
    }

    fn refuse(&mut self, stream: TcpStream) {
        self.metrics.connections_refused.inc();
        // With TLS, saying why would take the very handshake that there is no room for.
        if self.tls.is_none() && self.refusals.len() < MAX_REFUSALS {
            self.refusals.spawn(say_refusal(stream, self.connector.terms.refusal));
        }
    }

    fn ended(&mut self, ended: Result<(), JoinError>) {
        self.metrics.connections.dec();
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a handler panicked; its connection is closed");
        }
    }

    /// Waits until a descriptor may be free again. Connections go on, and one that ends wakes the loop early.
    async fn rest(&mut self, error: &io::Error, stop: &mut watch::Receiver<bool>) {
        if self.warned_at.is_none_or(|at| at.elapsed() >= ACCEPT_WARNING_EVERY) {
            tracing::warn!(%error, connections = self.connections.len(), "failed to accept connections; trying again");
            self.warned_at = Some(Instant::now());
        }
        tokio::select! {
            () = stopped(stop) => {}
            Some(ended) = self.connections.join_next() => self.ended(ended),
            () = sleep(ACCEPT_REST) => {}
        }
    }

    async fn drain(&mut self, grace: Duration) -> usize {
        self.refusals.abort_all();
        let deadline = Instant::now() + grace;
        while let Ok(Some(ended)) = timeout_at(deadline, self.connections.join_next()).await {
            self.ended(ended);
        }
        let cut = self.connections.len();
        self.connections.shutdown().await;
        self.metrics.connections.dec_by(cut as u64);
        cut
    }
}

/// The state of every connection's task.
#[derive(Clone)]
struct Connector {
    router: Router,
    patience: Patience,
    stop: watch::Receiver<bool>,
    terms: Terms,
}

impl Connector {
    fn serve_clear(self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> {
        let activity = Activity::default();
        self.serve(Guarded::new(stream, activity.clone(), self.patience), activity, peer)
    }

    /// HTTP/2 without TLS is spoken by those who know that it is: the first bytes say so.
    async fn serve_either(self, stream: TcpStream, peer: SocketAddr) {
        let activity = Activity::default();
        match opening::read(Guarded::new(stream, activity.clone(), self.patience)).await {
            Ok((stream, true)) => Box::pin(self.serve_http2(stream, activity, peer)).await,
            Ok((stream, false)) => self.serve(stream, activity, peer).await,
            Err(error) => tracing::debug!(%error, "a connection failed"),
        }
    }

    async fn serve_http2<S>(self, stream: S, activity: Activity, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // One connection has many requests at once, so the phases of one don't fit; other bounds hold there.
        activity.receiving();
        activity.received();
        let Self { router, patience, stop, terms } = self;
        http2::serve(stream, router, http2::Bounds { patience, max_head_bytes: terms.max_head_bytes }, stop, peer)
            .await;
    }

    async fn serve_tls(self, tls: TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
        let activity = Activity::default();
        let stream = Guarded::new(stream, activity.clone(), self.patience);
        // The handshake is part of the first head, so its time is bounded as that is.
        match tls.accept(stream).await {
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) => {
                Box::pin(self.serve_http2(stream, activity, peer)).await;
            }
            Ok(stream) => self.serve(stream, activity, peer).await,
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    /// The connection is made outside the future, which then holds it once; inside, it would be held twice.
    fn serve<S>(&self, stream: S, activity: Activity, peer: SocketAddr) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (router, mut stop, terms) = (self.router.clone(), self.stop.clone(), self.terms);
        let answered = activity.clone();
        // Hyper keeps room for a service's future as long as the connection lives, so a follower's is boxed.
        let service = service_fn(move |request| {
            Box::pin(answer(router.clone(), request, answered.clone(), peer, terms.checks_host))
        });
        let mut connection = protocol(terms).serve_connection(TokioIo::new(stream), service);
        async move {
            let ended = tokio::select! {
                ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
                () = stopped(&mut stop) => {
                    Pin::new(&mut connection).graceful_shutdown();
                    poll_fn(|cx| connection.poll_without_shutdown(cx)).await
                }
            };
            let is_refused_early = match ended {
                Ok(()) => activity.has_left_unread(),
                Err(error) => {
                    tracing::debug!(%error, "a connection failed");
                    error.is_parse()
                }
            };
            let stream = connection.into_parts().io.into_inner();
            // Boxed, because few connections come to it.
            Box::pin(close(stream, is_refused_early)).await;
        }
    }
}

/// Closes a connection. If its peer may still be sending, what it sends is read and dropped for a while first: closing with unread bytes
/// resets the connection, and the peer may never see its answer.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin, is_refused_early: bool) {
    let closed = async {
        stream.shutdown().await?;
        if is_refused_early {
            let mut unread = vec![0; 8 << 10];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match stream.read(&mut unread).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
        }
        io::Result::Ok(())
    };
    // Whether the peer reads it is the peer's business.
    let _ = timeout(LINGER_TIME, closed).await;
}

/// Hyper with our bounds. Its own timers stay off: [`Guarded`] waits instead, for less.
fn protocol(terms: Terms) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    let Terms { max_headers, max_head_bytes, .. } = terms;
    protocol.max_headers(max_headers).max_header_size(max_head_bytes).max_buf_size(max_head_bytes);
    protocol.header_read_timeout(None);
    protocol
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    activity: Activity,
    peer: SocketAddr,
    checks_host: bool,
) -> Result<Response<TrackedBody>, Infallible> {
    activity.receiving();
    if request.body().is_end_stream() {
        activity.received();
    }
    if checks_host && let Err(problem) = host::check(request.version(), request.uri(), request.headers()) {
        let mut response = problem.into_response();
        // The sender may take the start of the next request for something else than we do.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response.map(|body| TrackedBody { body, activity }));
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = request.map(|body| Body::new(Question { body, activity: activity.clone() }));
    let response = router.call(request).await?;
    Ok(response.map(|body| TrackedBody { body, activity }))
}

/// A request's body that tells when it has been read.
struct Question {
    body: Incoming,
    activity: Activity,
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        // A reader who knows the length does not ask for the end.
        if matches!(frame, Poll::Ready(None)) || this.body.is_end_stream() {
            this.activity.received();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.activity.leave_unread();
        }
        self.activity.received();
    }
}

/// An answer's body that tells when it has been sent.
struct TrackedBody {
    body: Body,
    activity: Activity,
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.activity.idle();
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is whatever wanted us to run.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether a failed accept says something about that peer only, rather than about this machine.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// Writes the refusal and then reads what the peer has sent, as [`close`] does.
async fn say_refusal(mut stream: TcpStream, refusal: &'static [u8]) {
    let said = async {
        stream.write_all(refusal).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the peer reads it is the peer's business.
    let _ = timeout(REFUSAL_PATIENCE, said).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusals_length_is_that_of_its_body() {
        let text = std::str::from_utf8(REFUSAL).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[test]
    fn the_descriptor_limit_is_never_lowered() {
        let limit = raise_descriptor_limit(1).expect("raising is allowed up to the hard limit");
        assert!(limit.after >= limit.before || limit.after.is_none());
        assert_eq!(limit.needed, 1 + 256 + 256);
        assert_eq!(raise_descriptor_limit(1).expect("again").before, limit.after);
    }

    #[test]
    fn running_out_of_descriptors_is_not_taken_for_one_peers_fault() {
        // EMFILE and ENFILE.
        assert!([24, 23].iter().all(|code| !concerns_one_peer(&io::Error::from_raw_os_error(*code))));
        assert!(concerns_one_peer(&io::Error::from(ErrorKind::ConnectionAborted)));
    }
}
