//! The listener for gateways, on real sockets: what gateways send, and what strangers might.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use authledger::http::guard::Patience;
use authledger::http::listen::{HttpServer, Limits};
use authledger::http::tls;
use authledger::telemetry::Metrics;
use axum::body::Body;
use axum::http::{Request, Response, header};
use futures_util::stream;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{node, token};
use crate::http::listen::Certificate;
use crate::support::served::ServedNode;

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(100);
const TEST_LIMIT: Duration = Duration::from_secs(20);

/// A listener for gateways in front of a node.
struct Listener {
    node: ServedNode,
    credential: String,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    cut: JoinHandle<usize>,
}

impl Listener {
    async fn start() -> Self {
        Self::with(|_| (), None).await
    }

    async fn with(change: impl FnOnce(&mut Limits), certificate: Option<&ServerConfig>) -> Self {
        let node = node().await;
        let credential = token(&node).await;
        let mut limits =
            Limits { connections: 16, patience: Patience { head: LONG, idle: LONG, stall: LONG }, grace: LONG };
        change(&mut limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let metrics = Arc::new(Metrics::new());
        let (stop, stopped) = watch::channel(false);
        let tls = certificate.map(tls::with_http2);
        let server = HttpServer { router: node.gateways(), tls, limits, metrics: metrics.clone() };
        let cut = tokio::spawn(server.run_for_gateways(listener, stopped));
        Self { node, credential, address, metrics, stop, cut }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    async fn http2(&self) -> SendRequest<Body> {
        speak_http2(self.connect().await).await
    }

    /// What a new connection reads after it has sent that, until the server closes. `$` is a good `Authorization`.
    async fn told(&self, sent: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(self.filled(sent).as_bytes()).await.expect("open");
        read_to_close(&mut stream).await
    }

    fn filled(&self, sent: &str) -> String {
        sent.replace('$', &format!("Authorization: Bearer {}\r\n", self.credential))
    }

    fn asked(&self, path: &str) -> axum::http::request::Builder {
        Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {}", self.credential))
    }
}

async fn speak_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Body> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(TEST_LIMIT, read).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of each answer in a text, whose answers have no body.
fn statuses(text: &str) -> Vec<&str> {
    let heads: Vec<_> = text.split("\r\n\r\n").collect();
    let (last, heads) = heads.split_last().expect("a text");
    assert_eq!(*last, "", "{text}");
    heads.iter().map(|head| head.split(' ').nth(1).expect("a status")).collect()
}

#[tokio::test]
async fn every_form_of_a_request_is_answered_at_once_and_never_waits_for_its_body() {
    let listener = Listener::start().await;
    // What is sent, and the statuses. The server closes where it can't tell where the next request begins.
    for (sent, expected) in [
        ("GET /check/default HTTP/1.0\r\n$\r\n", &["200"][..]),
        ("GET /check/default HTTP/1.0\r\n$Content-Length: 1000000\r\n\r\n", &["200"]),
        ("GET /check/default HTTP/1.0\r\nContent-Length: 1000000\r\n\r\n", &["401"]),
        ("POST /check/default HTTP/1.1\r\n$Content-Length: 1000000\r\n\r\n", &["200"]),
        ("POST /check/default HTTP/1.1\r\nHost: a\r\n$Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", &["200"]),
        ("PUT /check/default HTTP/1.1\r\n$Transfer-Encoding: chunked\r\n\r\n5\r\nab", &["200"]),
        ("GET /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n", &["200"]),
        ("GET /check/default HTTP/1.1\r\n$Connection: close, upgrade\r\nUpgrade: websocket\r\n\r\n", &["200"]),
        (
            "GET /check/default HTTP/1.1\r\n$Connection: close, upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
            &["200"],
        ),
        ("HEAD /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n", &["200"]),
        ("OPTIONS /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n", &["200"]),
        ("OPTIONS * HTTP/1.1\r\n$Connection: close\r\n\r\n", &["403"]),
        ("CONNECT /check/default HTTP/1.1\r\n$\r\n", &["200"]),
        ("CONNECT /check/default HTTP/1.1\r\nConnection: close\r\n\r\n", &["401"]),
        ("CONNECT backend:443 HTTP/1.1\r\n$Connection: close\r\n\r\n", &["403"]),
        ("BREW /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n", &["200"]),
        (
            "GET http://elsewhere/check/default HTTP/1.1\r\nHost: a, b\r\nHost: c\r\n$Connection: close\r\n\r\n",
            &["200"],
        ),
        ("GET /check/default?c=1 HTTP/1.1\r\nAuthorization: Bearer a\r\n$Connection: close\r\n\r\n", &["401"]),
        (
            "GET /check/none HTTP/1.1\r\n$\r\nGET /check/default HTTP/1.1\r\n$\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            &["403", "200", "403"],
        ),
        (
            "POST /check/default HTTP/1.1\r\n$Content-Length: 0\r\n\r\nGET /check/default HTTP/1.1\r\nConnection: close\r\n\r\n",
            &["200", "401"],
        ),
    ] {
        let told = listener.told(sent).await;
        assert_eq!(statuses(&told), expected, "{sent}\n{told}");
        let announces = sent.contains("1000000") || sent.contains("Expect") || sent.contains("chunked");
        assert!(!announces || told.contains("connection: close"), "{sent}\n{told}");
        assert!(!told.contains("HTTP/1.1 1"), "{told}");
    }
    assert_eq!(listener.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_head_of_a_browser_with_many_cookies_fits_and_a_larger_one_is_not_a_yes() {
    let listener = Listener::start().await;
    let cookies = |bytes: usize| format!("Cookie: a={}\r\n", "x".repeat(bytes));
    let many: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
    let close = "Connection: close\r\n\r\n";
    for (lines, status) in
        [(cookies(40_000), "200"), (many.clone(), "200"), (cookies(80_000), "431"), (many.repeat(2), "431")]
    {
        let told = listener.told(&format!("GET /check/default HTTP/1.1\r\n${lines}{close}")).await;
        assert_eq!(statuses(&told), [status], "{} bytes", lines.len());
    }
}

#[tokio::test]
async fn a_gateway_may_speak_http_2_in_clear_and_its_streams_share_a_connection() {
    let listener = Listener::start().await;
    let mut sender = listener.http2().await;
    let mut answers = Vec::new();
    for (path, status) in [("/check/default", 200), ("/check/none", 403), ("/check/default/a/b?c=1", 200), ("/", 403)] {
        sender.ready().await.expect("open");
        let request = listener.asked(&format!("http://gateway{path}")).body(Body::empty()).expect("a request");
        answers.push((sender.send_request(request), status));
    }
    for (answer, status) in answers {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert_eq!(read_body(answer).await, "");
    }
    // A body that never comes is not waited for, and the connection serves on.
    let pending = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = listener.asked("http://gateway/check/default").method("POST").body(pending).expect("a request");
    let answer = timeout(TEST_LIMIT, sender.send_request(request)).await.expect("no wait").expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().get(header::CONNECTION)), (200, None));
    let twice = Request::builder().uri("http://gateway/check/default").header(header::AUTHORIZATION, "Bearer a");
    let twice = twice.header(header::AUTHORIZATION, format!("Bearer {}", listener.credential));
    sender.ready().await.expect("open");
    let answer = sender.send_request(twice.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 401);
    // A watch on one stream, and checks beside it.
    let watch = listener.asked("http://gateway/check/default/watch").header(header::ACCEPT, "text/event-stream");
    let mut watch = sender.send_request(watch.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(next_chunk(&mut watch).await, "event: good\ndata: {\"status\":200}\n\n");
    let request = listener.asked("http://gateway/check/default").body(Body::empty()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
    let revoked = serde_json::json!({"credential": listener.credential});
    assert_eq!(listener.node.root().post("/v1/revocations", revoked).await.status, 201);
    assert!(next_chunk(&mut watch).await.contains("\"status\":401"));
}

async fn read_body(answer: Response<Incoming>) -> String {
    let bytes = axum::body::to_bytes(Body::new(answer.into_body()), usize::MAX).await.expect("a whole body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

async fn next_chunk(answer: &mut Response<Incoming>) -> String {
    use http_body_util::BodyExt as _;
    let frame = timeout(TEST_LIMIT, answer.body_mut().frame()).await.expect("a frame").expect("more").expect("open");
    String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn tls_offers_http_2_to_gateways_and_takes_http_1_1() {
    let certificate = Certificate::new();
    let config = certificate.load().expect("a pair");
    let listener = Listener::with(|_| (), Some(&config)).await;
    let name = || ServerName::try_from("localhost").expect("a name");
    let connector = certificate.connector();
    let stream = connector.connect(name(), listener.connect().await).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let mut sender = speak_http2(stream).await;
    let request = listener.asked("https://localhost/check/default").body(Body::empty()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
    let connector = certificate.connector_for(&[b"http/1.1"]);
    let mut stream = connector.connect(name(), listener.connect().await).await.expect("a handshake");
    let sent = listener.filled("GET /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n");
    stream.write_all(sent.as_bytes()).await.expect("open");
    assert_eq!(statuses(&read_to_close(&mut stream).await), ["200"]);
}

#[tokio::test]
async fn a_connection_that_opens_slowly_idles_or_is_not_http_is_closed() {
    let listener =
        Listener::with(|limits| limits.patience = Patience { head: SOON, idle: SOON * 2, stall: LONG }, None).await;
    // The first bytes of HTTP/2 and no more; nothing at all; and other things than HTTP.
    for sent in ["PRI * HTTP/2.0\r\n\r\n", "", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let told = listener.told(sent).await;
        assert!(!told.contains("200"), "{sent:?}: {told}");
    }
    let told = listener.told("PRIX /check/default HTTP/1.1\r\n$Connection: close\r\n\r\n").await;
    assert_eq!(statuses(&told), ["200"]);
    assert_eq!(statuses(&listener.told("PRI * HTTP/3.0\r\n\r\n").await), ["400"]);
    // A connection with a request now and then stays; one without any is closed.
    let mut sender = listener.http2().await;
    let request = || listener.asked("http://gateway/check/default").body(Body::empty()).expect("a request");
    assert_eq!(sender.send_request(request()).await.expect("an answer").status(), 200);
    let closed = async {
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_LIMIT, closed).await.expect("it is closed");
    assert_eq!(listener.stop().await, 0);
}

impl Listener {
    async fn stop(self) -> usize {
        self.stop.send_replace(true);
        timeout(TEST_LIMIT, self.cut).await.expect("it stops").expect("no panic")
    }
}

#[tokio::test]
async fn a_stop_lets_open_streams_finish_and_one_too_many_is_refused_without_a_body() {
    let listener = Listener::with(|limits| limits.connections = 1, None).await;
    let mut sender = listener.http2().await;
    let request = listener.asked("http://gateway/check/default").body(Body::empty()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
    let refused = listener.told("GET /check/default HTTP/1.1\r\n\r\n").await;
    assert_eq!(statuses(&refused), ["503"]);
    assert!(refused.contains("Content-Length: 0\r\n") && refused.contains("Retry-After: 1\r\n"), "{refused}");
    let watch = listener.asked("http://gateway/check/default/watch").header(header::ACCEPT, "text/event-stream");
    let mut watch = sender.send_request(watch.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert!(next_chunk(&mut watch).await.contains("200"));
    listener.node.stop_streams();
    let stopped = tokio::spawn(listener.stop());
    assert!(next_chunk(&mut watch).await.contains("stopping"));
    assert_eq!(stopped.await.expect("no panic"), 0);
}
