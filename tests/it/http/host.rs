//! The host that a request names, on real sockets and every surface.

use std::net::SocketAddr;
use std::sync::Arc;

use authledger::http::HttpOptions;
use authledger::http::listen::{HttpServer, Limits};
use authledger::telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::served::{Made, ServedNode};

/// A call of each surface, and of routes that belong to none.
const CALLS: [&str; 12] = [
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /openapi.json",
    "GET /v1/status",
    "POST /v1/revocations",
    "GET /v1/revocations",
    "GET /checkpoint",
    "POST /crafter-profile/api/1/authentication/ticket/create.json",
    "GET /auth/sessions/whoami",
    "POST /slashid/token/revoke",
    "POST /v1/nodes/announcements",
];

async fn serve() -> (ServedNode, SocketAddr, watch::Sender<bool>) {
    let node = ServedNode::made(Made { options: HttpOptions::default(), ..Made::default() }).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let metrics = Arc::new(Metrics::new());
    let server = HttpServer { router: node.router(), tls: None, limits: Limits::default(), metrics };
    tokio::spawn(server.run(listener, stopped));
    (node, address, stop)
}

/// The status line, and everything after it, of a request that ends the connection.
async fn answer(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(call: &str, version: &str, hosts: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("{call} {version}\r\nConnection: close\r\nContent-Length: 0\r\n").into_bytes();
    for host in hosts {
        request.extend_from_slice(b"hOsT: ");
        request.extend_from_slice(host);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn is_refused(answer: &str) -> bool {
    let head = answer.to_ascii_lowercase();
    (answer.starts_with("HTTP/1.1 400 Bad Request\r\n") || answer.starts_with("HTTP/1.0 400 Bad Request\r\n"))
        && answer.contains("/problems/invalid-host")
        && head.contains("connection: close\r\n")
}

#[tokio::test]
async fn every_surface_refuses_a_request_that_does_not_name_one_host() {
    let (_node, address, _stop) = serve().await;
    let refused: [&[&[u8]]; 9] = [
        &[],
        &[b"a", b"a"],
        &[b"a", b"b"],
        &[b"", b"a"],
        &[b"a b"],
        &[b"a:99999"],
        &[b"user@a"],
        &[b"http://a/"],
        &[b"b\xc3\xbccher"],
    ];
    let taken: [&[&[u8]]; 5] = [&[b"a"], &[b""], &[b"127.0.0.1:7878"], &[b"[::1]:7878"], &[b"ledger.example"]];
    for call in CALLS {
        for hosts in refused {
            let answer = answer(address, &request(call, "HTTP/1.1", hosts)).await;
            assert!(is_refused(&answer), "{call} {hosts:?}: {answer}");
        }
        for hosts in taken {
            let answer = answer(address, &request(call, "HTTP/1.1", hosts)).await;
            assert!(answer.starts_with("HTTP/1.1 ") && !is_refused(&answer), "{call} {hosts:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn before_http_1_1_a_request_may_name_no_host_but_not_two() {
    let (_node, address, _stop) = serve().await;
    for call in CALLS {
        for hosts in [&[][..], &[&b"a"[..]][..]] {
            let answer = answer(address, &request(call, "HTTP/1.0", hosts)).await;
            assert!(answer.starts_with("HTTP/1.0 ") && !is_refused(&answer), "{call} {hosts:?}: {answer}");
        }
        for hosts in [&[&b"a"[..], b"b"][..], &[&b"a b"[..]][..]] {
            let answer = answer(address, &request(call, "HTTP/1.0", hosts)).await;
            assert!(is_refused(&answer), "{call} {hosts:?}: {answer}");
        }
    }
}

/// A target that names a host itself does so instead of the header, which must be there all the same.
#[tokio::test]
async fn a_target_with_a_host_needs_the_header_too() {
    let (_node, address, _stop) = serve().await;
    let absolute = "GET http://ledger.example:80/health/live";
    let served = answer(address, &request(absolute, "HTTP/1.1", &[b"other.example"])).await;
    assert!(served.starts_with("HTTP/1.1 200 OK\r\n"), "{served}");
    assert!(is_refused(&answer(address, &request(absolute, "HTTP/1.1", &[])).await));
    assert!(is_refused(&answer(address, &request(absolute, "HTTP/1.1", &[b"a", b"b"])).await));
    let person = "GET http://user@ledger.example/health/live";
    assert!(is_refused(&answer(address, &request(person, "HTTP/1.1", &[b"a"])).await));
}
