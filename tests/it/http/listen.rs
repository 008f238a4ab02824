//! The accept loop, on real sockets.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use authledger::http::body;
use authledger::http::guard::Patience;
use authledger::http::listen::{HttpServer, Limits, MAX_HEAD_BYTES, MAX_HEADERS};
use authledger::http::tls;
use authledger::telemetry::Metrics;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;

const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);
const TEST_LIMIT: Duration = Duration::from_secs(20);

/// The signals between the slow handler and the test.
#[derive(Default)]
struct Gate {
    entered: Notify,
    open: Notify,
}

struct Running {
    address: SocketAddr,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    cut: JoinHandle<usize>,
}

impl Running {
    async fn start(limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        let gate = Arc::new(Gate::default());
        Self::serving(router(gate.clone()), gate, limits, tls).await
    }

    async fn serving(router: Router, gate: Arc<Gate>, limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let metrics = Arc::new(Metrics::new());
        let (stop, stopped) = watch::channel(false);
        let server = HttpServer { router, tls, limits, metrics: metrics.clone() };
        let cut = tokio::spawn(server.run(listener, stopped));
        Self { address, gate, metrics, stop, cut }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    async fn stop(self) -> usize {
        self.stop.send_replace(true);
        self.cut.await.expect("the loop does not panic")
    }
}

fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/slow", get(slow))
        .route("/flood", get(|| async { Body::from_stream(tokio_stream::iter(std::iter::repeat_with(chunk))) }))
        .route(
            "/silence",
            get(|| async { Body::from_stream(tokio_stream::once(chunk()).chain(tokio_stream::pending())) }),
        )
        .route("/never", get(pending::<()>))
        .with_state(gate)
}

#[expect(clippy::unnecessary_wraps, reason = "a stream of a body holds results")]
fn chunk() -> Result<Bytes, std::io::Error> {
    Ok(Bytes::from_static(&[b'x'; 16 * 1024]))
}

async fn slow(State(gate): State<Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.open.notified().await;
    "finished"
}

fn limits() -> Limits {
    Limits { connections: 8, patience: Patience { head: LONG, idle: LONG, stall: LONG }, grace: LONG }
}

fn with_patience(change: impl FnOnce(&mut Patience)) -> Limits {
    let mut limits = limits();
    change(&mut limits.patience);
    limits
}

/// Everything until the server closes, or resets after it has answered.
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

/// One answer whose body ends with that text, of a connection that stays open.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.ends_with(end) {
            let byte = stream.read_u8().await.expect("more is to come");
            text.push(char::from(byte));
        }
    };
    timeout(TEST_LIMIT, read).await.expect("the server answers");
    text
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str, end: &str) -> String {
    stream.write_all(head.as_bytes()).await.expect("open");
    read_until(stream, end).await
}

async fn answer_to(head: &str) -> String {
    let server = Running::start(limits(), None).await;
    let mut stream = server.connect().await;
    // The server may have answered, and closed, before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    read_to_close(&mut stream).await
}

fn head_with_headers(count: usize) -> String {
    let more: String = (0..count - 2).map(|at| format!("X-{at}: y\r\n")).collect();
    format!("GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
}

fn head_of_bytes(length: usize) -> String {
    let (start, end) = ("GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", "\r\n\r\n");
    format!("{start}{}{end}", "y".repeat(length - start.len() - end.len()))
}

#[tokio::test]
async fn too_many_headers_are_answered_431() {
    assert!(answer_to(&head_with_headers(MAX_HEADERS)).await.starts_with("HTTP/1.1 200 "));
    assert!(answer_to(&head_with_headers(MAX_HEADERS + 1)).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    assert!(answer_to(&head_of_bytes(MAX_HEAD_BYTES)).await.starts_with("HTTP/1.1 200 "));
    assert!(answer_to(&head_of_bytes(MAX_HEAD_BYTES + 1)).await.starts_with("HTTP/1.1 431 "));
    assert!(answer_to(&head_of_bytes(8 * MAX_HEAD_BYTES)).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_handler_learns_the_peer_and_an_offer_to_upgrade_is_ignored() {
    let server = Running::start(limits(), None).await;
    let mut stream = server.connect().await;
    let peer = stream.local_addr().expect("connected").to_string();
    let head = "GET /peer HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n";
    for _ in 0..2 {
        let answer = ask(&mut stream, head, &peer).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_to_an_end_is_cut() {
    let server = Running::start(with_patience(|patience| patience.head = SOON), None).await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_close(&mut silent).await, "");
    let mut slow = server.connect().await;
    slow.write_all(b"GET /peer HTTP/1.1\r\nHost").await.expect("open");
    assert_eq!(read_to_close(&mut slow).await, "");
    // The second head of a connection too, though the time between two requests is long.
    let mut second = server.connect().await;
    ask(&mut second, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none", "one").await;
    second.write_all(b"G").await.expect("open");
    assert_eq!(read_to_close(&mut second).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_one_that_is_served_is_not() {
    let server = Running::start(with_patience(|patience| (patience.idle, patience.head) = (SOON, SOON)), None).await;
    let mut served = server.connect().await;
    served.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    server.gate.entered.notified().await;
    let mut idle = server.connect().await;
    ask(&mut idle, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none", "one").await;
    assert_eq!(read_to_close(&mut idle).await, "");
    // By now the other has waited for longer than an idle one may.
    server.gate.open.notify_one();
    assert!(read_until(&mut served, "finished").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_before_it_is_sent() {
    let router =
        Router::new().route("/take", post(async |body: Body| body::read_as_sent(body, 10).await.map_err(|_| "no")));
    let server = Running::serving(router, Arc::default(), limits(), None).await;
    let mut stream = server.connect().await;
    let head = "POST /take HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n";
    let answer = ask(&mut stream, head, "no").await;
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_body_that_makes_no_progress_is_cut() {
    let server = Running::start(with_patience(|patience| patience.stall = SOON), None).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\no").await.expect("open");
    let answer = read_to_close(&mut stream).await;
    assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected() {
    let server = Running::start(with_patience(|patience| patience.stall = SOON), None).await;
    let mut stalled = server.connect().await;
    stalled.write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    let mut quiet = server.connect().await;
    let head = ask(&mut quiet, "GET /silence HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // Reading starts only when the server has given up, so it ends.
    let given_up = async {
        while !server.metrics.encode().contains("authledger_connections 1\n") {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_LIMIT, given_up).await.expect("the stalled connection ends, and the quiet one stays");
    read_to_close(&mut stalled).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_answered_503_until_there_is_room() {
    let server = Running::start(Limits { connections: 1, ..limits() }, None).await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
    let mut first = server.connect().await;
    ask(&mut first, head, "one").await;
    let mut second = server.connect().await;
    second.write_all(head.as_bytes()).await.expect("open");
    let refusal = read_to_close(&mut second).await;
    assert!(refusal.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refusal}");
    for line in ["Retry-After: 1\r\n", "Connection: close\r\n", "application/problem+json", "\"status\":503}\n"] {
        assert!(refusal.contains(line), "{refusal}");
    }
    assert!(server.metrics.encode().contains("authledger_connections_refused_total 1\n"));
    drop(first);
    let recovered = async {
        loop {
            let mut stream = server.connect().await;
            stream.write_all(head.replace("Host", "Connection: close\r\nHost").as_bytes()).await.expect("open");
            if read_to_close(&mut stream).await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    timeout(TEST_LIMIT, recovered).await.expect("there is room again");
}

#[tokio::test]
async fn stopping_finishes_what_is_open_and_accepts_no_more() {
    let server = Running::start(limits(), None).await;
    let mut idle = server.connect().await;
    ask(&mut idle, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none", "one").await;
    let mut silent = server.connect().await;
    let mut open = server.connect().await;
    open.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    server.gate.entered.notified().await;
    server.stop.send_replace(true);
    assert_eq!(read_to_close(&mut idle).await, "");
    assert_eq!(read_to_close(&mut silent).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.gate.open.notify_one();
    let answer = read_to_close(&mut open).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("finished"), "{answer}");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn connections_that_do_not_finish_in_time_are_cut_and_counted() {
    let server = Running::start(Limits { grace: SOON, ..limits() }, None).await;
    let mut never = server.connect().await;
    never.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    let mut follower = server.connect().await;
    ask(&mut follower, "GET /silence HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n").await;
    assert_eq!(server.stop().await, 2);
    assert_eq!(read_to_close(&mut never).await, "");
}

#[tokio::test]
async fn a_stop_whose_sender_is_gone_counts_as_a_stop() {
    let server = Running::start(limits(), None).await;
    drop(server.stop);
    assert_eq!(timeout(TEST_LIMIT, server.cut).await.expect("it stops").expect("no panic"), 0);
}

/// A certificate for `localhost`, in files as an operator has them.
pub struct Certificate {
    dir: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("certificate.pem"), made.cert.pem()).expect("written");
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        Self { dir, der: made.cert.der().clone() }
    }

    pub fn load(&self) -> Result<Arc<ServerConfig>, tls::TlsError> {
        tls::load(&self.dir.path().join("certificate.pem"), &self.dir.path().join("key.pem"))
    }

    pub fn connector(&self) -> TlsConnector {
        self.connector_for(&[b"h2", b"http/1.1"])
    }

    /// A client that speaks these protocols.
    pub fn connector_for(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let mut client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(client))
    }
}

#[tokio::test]
async fn tls_serves_http_1_1_and_a_handshake_that_stops_is_cut() {
    let certificate = Certificate::new();
    let tls = certificate.load().expect("a pair");
    let server = Running::start(with_patience(|patience| patience.head = Duration::from_secs(2)), Some(tls)).await;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream =
        certificate.connector().connect(name, server.connect().await).await.expect("a handshake that succeeds");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let answer = ask(&mut stream, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none", "one").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut stuck = server.connect().await;
    stuck.write_all(&[22, 3, 1]).await.expect("open");
    assert_eq!(read_to_close(&mut stuck).await, "");
}

#[tokio::test]
async fn files_that_are_not_a_pair_are_refused_by_name_without_their_content() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let (certificate, key) = (one.dir.path().join("certificate.pem"), one.dir.path().join("key.pem"));
    let refusal = |certificate: &Path, key: &Path| tls::load(certificate, key).expect_err("a refusal").to_string();
    assert!(refusal(&certificate, &other.dir.path().join("key.pem")).contains("made together"));
    assert!(refusal(&key, &key).contains("no PEM section with a certificate chain"));
    assert!(refusal(&certificate, &one.dir.path().join("none.pem")).contains("none.pem"));
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!\n-----END PRIVATE KEY-----\n").expect("written");
    let damaged = refusal(&certificate, &key);
    assert!(damaged.contains("key.pem") && !damaged.contains("c2Vj"), "{damaged}");
}

#[tokio::test]
async fn requests_on_one_connection_follow_each_other() {
    let server = Running::start(limits(), None).await;
    let mut stream = server.connect().await;
    let two = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(two.as_bytes()).await.expect("open");
    let answers = read_to_close(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

/// Without the pause before the close, the unread bytes reset the connection, and in some tries the answer is lost.
#[tokio::test]
async fn a_peer_that_is_answered_before_it_has_sent_everything_gets_its_answer() {
    const BODY_BYTES: usize = 8 << 20;
    let server = Running::start(limits(), None).await;
    let announced = format!("Content-Length: {BODY_BYTES}\r\n\r\n");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{BODY_BYTES:x}\r\n");
    for framing in [announced, chunked].iter().cycle().take(20) {
        let mut stream = server.connect().await;
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}");
        stream.write_all(head.as_bytes()).await.expect("the server takes the head");
        stream.write_all(&vec![b'x'; BODY_BYTES]).await.expect("the server takes all of it");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        timeout(TEST_LIMIT, read).await.expect("the server closes").expect("it does not reset the connection");
        assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    }
}
