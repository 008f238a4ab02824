//! Requests out of the ordinary: doubled credentials, bodies, queries and paths that aim at the check, WebSockets, HTTP/2.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::authority::{GOOD, REFUSED};
use super::backend::KEY;
use super::client::{ask, head, parse, send};
use super::port::Port;
use super::program::{Gateway, Running};
use super::{Stage, with_each_gateway};

with_each_gateway!(
    two_credentials_are_refused_whatever_their_order,
    a_body_reaches_the_backend_and_not_the_check,
    a_query_or_path_of_the_client_names_no_rule,
    a_websocket_opens_after_a_good_check_alone,
    requests_over_http_2_are_checked_alike,
);

/// A megabyte, as a client uploads it.
fn megabyte() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| u8::try_from(n % 251).expect("a byte")).collect()
}

async fn two_credentials_are_refused_whatever_their_order(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    for lines in [[GOOD, REFUSED], [REFUSED, GOOD], [GOOD, GOOD]] {
        let got = ask(stage.gateway.address(), "GET /", &lines).await;
        assert!(matches!(got.status, 400 | 401), "{lines:?}: {got:?}");
        assert!(stage.backend.reached().is_empty(), "{lines:?}");
        // A gateway that asks at all must not have chosen one of them.
        for asked in stage.authority.asked() {
            let values = asked.values("authorization");
            assert!(values.len() > 1 || values.iter().any(|value| value.contains(',')), "{lines:?}: {asked:?}");
        }
    }
}

async fn a_body_reaches_the_backend_and_not_the_check(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    let body = megabyte();
    let length = format!("Content-Length: {}", body.len());
    let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
    chunked.extend(body.iter().chain(b"\r\n0\r\n\r\n"));
    for (framing, rest) in [(length.as_str(), &body), ("Transfer-Encoding: chunked", &chunked)] {
        let got = send(stage.gateway.address(), "POST /", &[GOOD, framing], rest).await;
        let reached = stage.backend.reached();
        assert_eq!((got.status, reached.len()), (200, 1), "{framing}: {got:?}");
        assert_eq!((reached[0].method.as_str(), &reached[0].body[..]), ("POST", &body[..]), "{framing}");
        let got = send(stage.gateway.address(), "POST /", &[REFUSED, framing], rest).await;
        assert_eq!((got.status, stage.backend.reached().len()), (401, 0), "{framing}: {got:?}");
        for asked in stage.authority.asked() {
            let announced = [asked.values("content-length"), asked.values("transfer-encoding")].concat();
            assert!(matches!(announced[..], [] | ["0"]), "{framing}: {asked:?}");
        }
    }
}

async fn a_query_or_path_of_the_client_names_no_rule(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    let targets = [
        "/reports?rule=other&access_token=good",
        "/../other",
        "/../../check/other",
        "/%2e%2e/other",
        "/..%2fother",
        "/%2e%2e%2fother?c",
        "//check/other",
        "/x/../../../check/other",
        "/;/../other",
        "/?/check/other",
    ];
    for target in targets {
        for credential in [GOOD, REFUSED] {
            let got = ask(stage.gateway.address(), &format!("GET {target}"), &[credential]).await;
            let is_reached = !stage.backend.reached().is_empty();
            let asked = stage.authority.asked();
            let is_answered = if credential == GOOD { is_reached } else { got.status == 401 };
            // A path may be refused for its own sake.
            assert!((is_answered && asked.len() == 1) || matches!(got.status, 400 | 404), "{target}: {got:?}");
            assert!(credential == GOOD || !is_reached, "{target}");
            for asked in asked {
                let rest = asked.target.strip_prefix("/check/default");
                let is_rule = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
                assert!(is_rule && !asked.target.contains(".."), "{target}: {asked:?}");
            }
        }
    }
}

const UPGRADE: [&str; 3] = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY];

/// Asks for a WebSocket: the status, and the connection behind it.
async fn open(address: SocketAddr, credential: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let lines = [&UPGRADE[..], &[credential]].concat();
    stream.write_all(head("GET /socket", &lines, "Connection: Upgrade").as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    (parse(&answer, std::time::Duration::ZERO).expect("an answer").status, stream)
}

async fn a_websocket_opens_after_a_good_check_alone(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    let (status, mut socket) = open(stage.gateway.address(), GOOD).await;
    assert_eq!(status, 101, "{}", stage.gateway.log());
    for message in [b"one", b"two"] {
        socket.write_all(message).await.expect("sent");
        let mut echo = [0; 3];
        socket.read_exact(&mut echo).await.expect("an echo");
        assert_eq!(&echo, message);
    }
    assert_eq!((stage.backend.reached().len(), stage.authority.asked().len()), (1, 1));
    let (status, _) = open(stage.gateway.address(), REFUSED).await;
    assert_eq!((status, stage.backend.reached().len()), (401, 0));
}

/// A gateway that ends every WebSocket after so long, and the line of its configuration behind which a setting says so.
const CAPPED: [(Gateway, &str, &str); 2] = [
    (Gateway::Envoy, "route: { cluster: protected", ", max_stream_duration: { max_stream_duration: 0.5s }"),
    (Gateway::Caddy, "reverse_proxy 127.0.0.1:3000", " {\n\t\t\tstream_timeout 500ms\n\t\t}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_websocket_ends_when_the_gateways_cap_says_so() {
    for (gateway, line, setting) in CAPPED {
        let Some(stage) = Stage::set(gateway).await else { continue };
        let program = gateway.find().expect("it was found before");
        let change = |text: String| text.replace(line, &format!("{line}{setting}"));
        let (check, protected) = (stage.authority.address(), stage.backend.address());
        let capped = gateway.start_with(&program, check, protected, change).await;
        let (status, mut socket) = open(capped.address(), GOOD).await;
        assert_eq!(status, 101, "{gateway:?}: {}", capped.log());
        let mut echo = [0; 1];
        // It is never silent; the gateway closes it, or the test fails by its time.
        while socket.write_all(b"x").await.is_ok() && socket.read_exact(&mut echo).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// What curl is told over HTTP/2: the status; nothing if there is no curl that speaks it.
fn over_http_2(address: SocketAddr, lines: &[&str]) -> Option<u16> {
    let version = Command::new("curl").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("HTTP2") {
        println!("left out: there is no curl that speaks HTTP/2");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
        return None;
    }
    let mut curl = Command::new("curl");
    curl.args(["-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]);
    curl.args(lines.iter().flat_map(|line| ["-H", line])).arg(format!("http://{address}/"));
    let output = curl.stdin(Stdio::null()).output().expect("curl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (version, status) = said.split_once(' ').expect("two words");
    assert_eq!(version, "2", "{said}");
    Some(status.parse().expect("a status"))
}

/// nginx 1.22 speaks HTTP/2 without TLS on a listener that speaks nothing else.
async fn with_http_2(stage: Stage) -> (Stage, SocketAddr, Option<Port>) {
    if stage.gateway.gateway != Gateway::Nginx {
        let address = stage.gateway.address();
        return (stage, address, None);
    }
    let port = Port::keep();
    let address = port.address();
    let listen = format!("listen 127.0.0.1:8080;\n    listen {address} http2;");
    let program = Gateway::Nginx.find().expect("it was found before");
    let change = |text: String| text.replace("listen 127.0.0.1:8080;", &listen);
    let (check, protected) = (stage.authority.address(), stage.backend.address());
    let gateway: Running = Gateway::Nginx.start_with(&program, check, protected, change).await;
    stage.authority.asked();
    (Stage { gateway, ..stage }, address, Some(port))
}

async fn requests_over_http_2_are_checked_alike(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    let (stage, address, _port) = with_http_2(stage).await;
    let ask = move |lines: &'static [&'static str]| {
        let asking = tokio::task::spawn_blocking(move || over_http_2(address, lines));
        async { asking.await.expect("curl runs") }
    };
    let Some(status) = ask(&[GOOD, "X-Auth-Subject: forged", "X_Auth_Subject: forged", "X-Auth_Subject: forged"]).await
    else {
        return;
    };
    let reached = stage.backend.reached();
    assert_eq!((status, reached.len()), (200, 1), "{}", stage.gateway.log());
    assert_eq!(reached[0].values("x-auth-subject"), ["person%201"]);
    stage.authority.asked();
    for lines in [&[REFUSED][..], &[GOOD, REFUSED], &[]] {
        let status = ask(lines).await.expect("curl");
        assert!(matches!(status, 400 | 401), "{lines:?}: {status}");
        assert!(stage.backend.reached().is_empty(), "{lines:?}");
    }
    stage.authority.asked();
    // HTTP/2 may send each cookie as a header of its own (RFC 9113, section 8.2.3).
    assert_eq!(ask(&[GOOD, "Cookie: a=1", "Cookie: b=2"]).await, Some(200));
    let asked = stage.authority.asked();
    let cookies = asked[0].values("cookie").join("; ");
    assert!(cookies == "a=1; b=2", "{asked:?}");
}
