//! HTTP as cheap as it can be had: the loops must not cost more than the answers that they ask for.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self { stream, buffer: Vec::with_capacity(64 << 10) }
    }

    /// The connection, made if there is none.
    pub async fn kept(wire: &mut Option<Self>, address: SocketAddr) -> &mut Self {
        if wire.is_none() {
            *wire = Some(Self::connect(address).await);
        }
        wire.as_mut().expect("it was made")
    }

    /// Sends a request and reads the whole answer; its status.
    pub async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        self.ask_for(request).await.map(|(status, _)| status)
    }

    /// The same with the body.
    pub async fn ask_for(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.send(request).await?;
        let (status, length) = self.head().await?;
        match length {
            Some(length) => {
                while self.buffer.len() < length {
                    self.more().await?;
                }
                Ok((status, self.buffer.drain(..length).collect()))
            }
            None => {
                // Nothing in a JSON text looks like the last chunk.
                while !self.buffer.ends_with(b"\r\n0\r\n\r\n") && self.buffer != b"0\r\n\r\n" {
                    self.more().await?;
                }
                Ok((status, std::mem::take(&mut self.buffer)))
            }
        }
    }

    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await
    }

    /// The status and the body's length, if that is said.
    pub async fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let is_chunked = head.contains("transfer-encoding: chunked");
        Ok((status, if is_chunked { None } else { Some(length.unwrap_or(0)) }))
    }

    /// The next line of a stream that starts like that; what comes before it is passed over.
    pub async fn line(&mut self, start: &str) -> Result<String> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.starts_with(start.as_bytes()) {
                    return Ok(String::from_utf8_lossy(&line).into_owned());
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(())
    }
}
