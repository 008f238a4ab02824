//! `examples/websocket.py`: a WebSocket is cut when its client's credential is revoked.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::place::Place;
use crate::process::node::{PATIENCE, Process, text};
use crate::support::python;

async fn connect(address: &str, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_closed_when_its_credential_is_revoked() {
    let Some(python) = python::plain() else { return };
    let place = Place::new();
    let node = place.node();
    let edge = place.ready_edge(&node).await;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/websocket.py");
    let check = format!("{}/check/any", edge.checks);
    let mut command = Command::new(python);
    command.arg("-B").arg(sample).args(["--check", &check, "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let _child = Process::new(child);
    let address = said.trim().strip_prefix("listening on ").unwrap();

    let (_, refused) = connect(address, "unknown-secret").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let ticket = text(&node.api.issue("alice").await, "ticket");
    let (mut stream, accepted) = connect(address, &ticket).await;
    assert!(accepted.contains("101 Switching") && accepted.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{accepted}");
    // A masked text of two letters, and its echo.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(echo, [0x81, 2, b'h', b'i']);
    node.api.revoke(&ticket).await;
    let answered = Instant::now();
    let mut close = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut close)).await.unwrap().unwrap();
    assert_eq!(close[..4], [0x88, close[1], 0x03, 0xf0], "1008");
    println!("cut {:?} after the revocation's answer", answered.elapsed());
}
