//! What a gateway protects: it keeps what reached it, and echoes on a WebSocket's connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The key of a WebSocket, and what a server makes of it: RFC 6455, section 1.3. HAProxy compares them.
pub const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request that reached the backend.
#[derive(Clone, Debug)]
pub struct Reached {
    pub method: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reached {
    /// The values of all headers that CGI, WSGI and PHP take for that one.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let same = |other: &str| other.replace('_', "-").eq_ignore_ascii_case(name);
        self.headers.iter().filter(|(other, _)| same(other)).map(|(_, value)| value.as_str()).collect()
    }
}

/// A backend, until it is dropped.
pub struct Backend {
    address: SocketAddr,
    reached: Arc<Mutex<Vec<Reached>>>,
    _serving: JoinSet<()>,
}

impl Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let reached = Arc::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&reached)));
        Self { address, reached, _serving: serving }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has reached it since the last look.
    pub fn reached(&self) -> Vec<Reached> {
        std::mem::take(&mut *self.reached.lock())
    }
}

async fn serve(listener: TcpListener, reached: Arc<Mutex<Vec<Reached>>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let reached = Arc::clone(&reached);
                let service = service_fn(move |request| answer(request, Arc::clone(&reached)));
                connections.spawn(async move {
                    // A gateway may close a connection at any time.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    mut request: Request<Incoming>,
    reached: Arc<Mutex<Vec<Reached>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let pair = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = head.headers.iter().map(pair).collect();
    reached.lock().push(Reached { method: head.method.to_string(), headers, body });
    let mut response = Response::new(Full::new(Bytes::from_static(b"reached")));
    if let Some(upgrade) = upgrade {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.body_mut() = Full::default();
        response.headers_mut().insert(UPGRADE, "websocket".parse().expect("a value"));
        response.headers_mut().insert(CONNECTION, "Upgrade".parse().expect("a value"));
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, ACCEPT.parse().expect("a value"));
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
    }
    Ok(response)
}
