//! A stranger without a secret makes the server read next to nothing, and keep nothing.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::node::{NodeProcess, PATIENCE, text};

/// The length of a body that is announced.
const ANNOUNCED: usize = 262_144;
/// The length of it that is sent.
const SENT: usize = 200_000;

/// Sends a head that announces a body, and so many bytes of it; the status of the answer, which comes without the rest, and the
/// connection, which is kept.
async fn unfinished(node: &NodeProcess, request: &str, announced: usize, sent: usize) -> (u16, TcpStream) {
    let address = node.api.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    // The server may have refused and closed by then.
    let _ = stream.write_all(&vec![b'x'; sent]).await;
    let mut answer = Vec::new();
    while answer.len() < 12 {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer in time");
        if read.unwrap_or(0) == 0 {
            break;
        }
    }
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    (status.unwrap_or(0), stream)
}

#[tokio::test]
async fn a_strangers_body_is_refused_before_it_is_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = NodeProcess::start(&directory.path().join("data"));
    let status = node.api.get("/v1/status").await.expect(200);
    let origin = text(&status["head"], "origin");
    for (request, announced, expected) in [
        ("POST /v1/nodes/announcements".to_owned(), ANNOUNCED, 401),
        (format!("POST /v1/origins/{origin}/records"), ANNOUNCED, 401),
        ("POST /v1/tickets".to_owned(), 60_000, 401),
        ("POST /v1/introspect".to_owned(), 60_000, 401),
        ("POST /v1/imports".to_owned(), 60_000, 401),
        ("POST /persons/p/mint-token".to_owned(), 60_000, 401),
        ("POST /token/revoke".to_owned(), 60_000, 401),
        ("DELETE /self-service/logout/api".to_owned(), 60_000, 400),
        ("POST /crafter-profile/api/1/access_token/create".to_owned(), 60_000, 403),
    ] {
        let (status, _) = unfinished(&node, &request, announced, 0).await;
        assert_eq!(status, expected, "{request}");
    }
    let address = node.api.url().trim_start_matches("http://");
    for (request, media_type) in [
        // The access token may be in the form, and is not looked for in a large one.
        ("POST /crafter-profile/api/1/authentication/ticket/create", "application/x-www-form-urlencoded"),
        ("DELETE /self-service/logout/api", "application/json"),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: 5000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("the head is sent");
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(&answer[9..], b"413", "{request}");
    }
}

#[tokio::test]
async fn unfinished_announcements_take_no_memory() {
    const CONNECTIONS: usize = 400;
    let directory = tempfile::tempdir().expect("a directory");
    let node = NodeProcess::start(&directory.path().join("data"));
    let before = node.resident_bytes();
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS {
        kept.push(unfinished(&node, "POST /v1/nodes/announcements", ANNOUNCED, SENT).await.1);
    }
    let grown = node.resident_bytes().saturating_sub(before);
    println!("{CONNECTIONS} unfinished announcements of {SENT} bytes took {} KiB", grown / 1_024);
    assert!(grown < (CONNECTIONS * SENT / 8) as u64, "{grown} bytes");
    assert_eq!(node.api.get("/health/live").await.status, 200);
}
