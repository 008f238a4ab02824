//! A client that sends what it is told to, byte for byte.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take: longer than Traefik's 30 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client got.
#[derive(Clone, Debug)]
pub struct Got {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub took: Duration,
}

impl Got {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Sends a request without a body, with these header lines.
pub async fn ask(address: SocketAddr, line: &str, headers: &[&str]) -> Got {
    send(address, line, headers, b"").await
}

/// Sends a request with these header lines, and after them these bytes.
pub async fn send(address: SocketAddr, line: &str, headers: &[&str], rest: &[u8]) -> Got {
    find(address, line, headers, rest).await.unwrap_or_else(|| panic!("no answer to {line} {headers:?}"))
}

/// The same; nothing if the connection is refused or closed without an answer.
pub async fn find(address: SocketAddr, line: &str, headers: &[&str], rest: &[u8]) -> Option<Got> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = head(line, headers, "Connection: close");
    let (mut from, mut to) = stream.split();
    let mut answer = Vec::new();
    let sending = async {
        // A server that refuses need not read all of it.
        let _ = to.write_all(head.as_bytes()).await;
        let _ = to.write_all(rest).await;
    };
    let reading = async {
        // What came before a reset counts.
        let _ = from.read_to_end(&mut answer).await;
    };
    let exchange = async { tokio::join!(sending, reading) };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{line} is not answered in time"));
    parse(&answer, began.elapsed())
}

/// The head of a request.
pub fn head(line: &str, headers: &[&str], connection: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: app.example\r\n{connection}\r\n{headers}\r\n")
}

/// Reads the head of an answer from what came.
pub fn parse(answer: &[u8], took: Duration) -> Option<Got> {
    let text = String::from_utf8_lossy(answer);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Some(Got { status, headers, took })
}
