//! The first bytes of a connection: they tell HTTP/2 from HTTP/1.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// How a connection in HTTP/2 begins: RFC 9113, section 3.4. It is not a request of HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes have been read, and are read again.
pub struct Reopened<S> {
    first: [u8; PREFACE.len()],
    /// Those that are still to be read again.
    left: std::ops::Range<usize>,
    stream: S,
}

/// Reads until it is clear whether the peer speaks HTTP/2, and tells.
pub async fn read<S: AsyncRead + Unpin>(mut stream: S) -> Result<(Reopened<S>, bool)> {
    let (mut first, mut count) = ([0; PREFACE.len()], 0);
    while count < PREFACE.len() && first[..count] == PREFACE[..count] {
        match stream.read(&mut first[count..]).await? {
            0 => break,
            more => count += more,
        }
    }
    let is_http2 = first == *PREFACE;
    Ok((Reopened { first, left: 0..count, stream }, is_http2))
}

impl<S: AsyncRead + Unpin> AsyncRead for Reopened<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = this.left.len().min(buffer.remaining());
        buffer.put_slice(&this.first[this.left.start..this.left.start + count]);
        this.left.start += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reopened<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
