//! A stand-in for the check: it answers as a test says, and keeps what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::grpc;
use super::port::Port;

/// The only credential that is good.
pub const GOOD: &str = "Authorization: Bearer good";
/// One that is not.
pub const REFUSED: &str = "Authorization: Bearer refused";
/// Of a refusal.
pub const CHALLENGE: &str = "Bearer realm=\"authledger\", error=\"invalid_token\"";
/// What a good credential says.
pub const IDENTITY: [(&str, &str); 11] = [
    ("x-auth-subject", "person%201"),
    ("x-auth-tenant", "default"),
    ("x-auth-kind", "token"),
    ("x-auth-id", "6e2f3a4b-0000-4000-8000-000000000001"),
    ("x-auth-issuer", "https://auth.example"),
    ("x-auth-session", "6e2f3a4b-0000-4000-8000-000000000002"),
    ("x-auth-client", "6e2f3a4b-0000-4000-8000-000000000003"),
    ("x-auth-scope", "read write"),
    ("x-auth-audience", "reports"),
    ("x-auth-aal", "aal2"),
    ("x-auth-expires", "1795978352"),
];

/// The protocol of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
}

/// An answer: a status, and headers.
pub type Answer = (u16, Vec<(&'static str, &'static str)>);

/// How it answers.
#[derive(Clone, Debug)]
pub enum Says {
    /// [`GOOD`] is answered 200 with [`IDENTITY`], and everything else 401.
    Judgement,
    /// The same to everybody.
    Always(Answer),
    /// Nothing: requests are read, and stay without an answer.
    Silence,
}

/// What it was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    /// Of the check itself; over gRPC it is made of the rule.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// Each line of that header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a gateway only looks whether anybody answers.
    fn is_probe(&self) -> bool {
        self.values("user-agent") == ["Envoy/HC"]
    }

    /// As the check would: one credential, and it is good.
    pub fn is_good(&self) -> bool {
        matches!(self.values("authorization")[..], [one] if GOOD.ends_with(&format!(": {one}")))
    }
}

/// What all of its connections share.
#[derive(Clone)]
struct Shared {
    says: watch::Receiver<Says>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Shared {
    /// The answer to that; never one if it is silent.
    async fn answer(&self, asked: Asked) -> Answer {
        let is_good = asked.is_good();
        if !asked.is_probe() {
            self.asked.lock().push(asked);
        }
        let says = self.says.borrow().clone();
        match says {
            Says::Judgement if is_good => (200, IDENTITY.to_vec()),
            Says::Judgement => (401, vec![("www-authenticate", CHALLENGE)]),
            Says::Always(answer) => answer,
            Says::Silence => std::future::pending().await,
        }
    }
}

/// An authority on a port that stays its own while it is gone.
pub struct Authority {
    port: Port,
    protocol: Protocol,
    says: watch::Sender<Says>,
    shared: Shared,
    serving: Option<JoinHandle<()>>,
}

impl Authority {
    pub async fn start(protocol: Protocol, says: Says) -> Self {
        let (says, receiver) = watch::channel(says);
        let shared = Shared { says: receiver, asked: Arc::default() };
        let mut authority = Self { port: Port::keep(), protocol, says, shared, serving: None };
        authority.come_back();
        authority
    }

    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on it answers so.
    pub fn say(&self, says: Says) {
        self.says.send_replace(says);
    }

    /// What it was asked since the last look.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.shared.asked.lock())
    }

    /// Closes all connections, and refuses new ones.
    pub async fn go(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            assert!(serving.await.is_err_and(|error| error.is_cancelled()), "it serves until it is told to go");
        }
    }

    /// Listens again.
    pub fn come_back(&mut self) {
        self.serving = Some(tokio::spawn(serve(self.port.listen(), self.protocol, self.shared.clone())));
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, protocol: Protocol, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let shared = shared.clone();
                match protocol {
                    Protocol::Http => drop(connections.spawn(over_http(stream, shared))),
                    Protocol::Grpc => {
                        let answer = move |asked| {
                            let shared = shared.clone();
                            async move { shared.answer(asked).await }
                        };
                        connections.spawn(grpc::serve(stream, answer));
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn over_http(stream: TcpStream, shared: Shared) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let asked = Asked {
                method: request.method().to_string(),
                target: request.uri().to_string(),
                headers: pairs(request.headers()),
            };
            let (status, headers) = shared.answer(asked).await;
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            Ok::<_, Infallible>(response)
        }
    });
    // A gateway may close a connection at any time.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Headers as texts, their names in lower case.
pub fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(pair).collect()
}
