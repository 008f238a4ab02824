//! A connection in HTTP/2, with the same bounds as one in HTTP/1: heads, streams at a time, and time without any.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tower::Service as _;

use super::stopped;
use crate::http::guard::Patience;

/// Requests that a connection may have open at a time. A gateway with more opens another connection.
const MAX_STREAMS: u32 = 256;
/// What a peer may send of bodies before anybody reads them, of each request and of all. A check reads none.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What is kept of an answer that its peer does not take yet.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long a peer may take to answer a ping.
const PONG_TIME: Duration = Duration::from_secs(20);
/// So often within the idle time it is looked whether the connection is idle.
const LOOKS: u32 = 4;

/// The bounds of a connection.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub patience: Patience,
    pub max_head_bytes: usize,
}

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    /// Those that came.
    came: AtomicU64,
    /// Those that are done.
    done: AtomicU64,
}

impl Requests {
    fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    fn are_all_done(&self) -> bool {
        self.done.load(Ordering::Relaxed) == self.came()
    }
}

/// Serves one connection until its peer closes it, it idles, or the server stops.
pub async fn serve<S>(stream: S, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Bounds { patience, .. } = bounds;
    let requests: Arc<Requests> = Arc::default();
    let counted = requests.clone();
    let service = service_fn(move |request| {
        counted.came.fetch_add(1, Ordering::Relaxed);
        answer(router.clone(), request, peer, Open(counted.clone()))
    });
    let mut connection = pin!(protocol(bounds).serve_connection(TokioIo::new(stream), service));
    let mut idle = pin!(idle(&requests, patience));
    let mut closes_at = None;
    loop {
        let is_closing = closes_at.is_some();
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            () = stopped(&mut stop), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                // The server itself says how long open requests have.
                closes_at = Some(None);
            }
            () = idle.as_mut(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                closes_at = Some(Some(Instant::now() + patience.head));
            }
            () = until(closes_at.flatten()), if is_closing => return,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Returns once the connection has had no request for the idle time, or no first one within the time for a head. It is
/// looked now and then: a timer for each request would cost more than the request.
async fn idle(requests: &Requests, patience: Patience) {
    let started = Instant::now();
    let mut looks = interval((patience.idle / LOOKS).min(patience.head).max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut since) = (0, started);
    loop {
        let now = looks.tick().await;
        if requests.came() != seen || !requests.are_all_done() {
            (seen, since) = (requests.came(), now);
        }
        let limit = if seen == 0 { patience.head } else { patience.idle };
        if now - since >= limit {
            return;
        }
    }
}

fn protocol(bounds: Bounds) -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(bounds.max_head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(bounds.patience.idle)
        .keep_alive_timeout(PONG_TIME);
    protocol
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    open: Open,
) -> Result<Response<OpenBody>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.call(request.map(Body::new)).await?;
    Ok(response.map(|body| OpenBody { body, _open: open }))
}

/// A request that is not done yet.
struct Open(Arc<Requests>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body that tells when it has been sent.
struct OpenBody {
    body: Body,
    _open: Open,
}

impl http_body::Body for OpenBody {
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
