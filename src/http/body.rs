//! Request bodies: bounded in size and in time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::HeaderMap;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;

use super::coding;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How much of a body is read before the caller is authenticated, in bytes.
pub const UNAUTHENTICATED_BYTES: usize = 4 << 10;
/// How long the rest of a larger body may take: a slow sender keeps others out.
const UNAUTHENTICATED_TIME: Duration = Duration::from_secs(5);
/// Larger bodies that are read at the same time where the body itself authenticates the caller.
static LARGE_UNAUTHENTICATED: Semaphore = Semaphore::const_new(64);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than this server takes")]
    TooLarge,
    /// It took too long to arrive.
    #[error("the body did not arrive in time")]
    Slow,
    /// Too many large bodies of callers without a secret are being read.
    #[error("too many large bodies of callers without a secret are being read")]
    Busy,
    /// The connection broke.
    #[error("the body ended early")]
    Broken,
    /// It is compressed, or encoded in another way.
    #[error("the body has a content coding that is not taken here")]
    Encoded,
}

/// The whole body, if it has at most `limit` bytes, arrives in time, and is not encoded.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    check_coding(headers, &body)?;
    read_as_sent(body, limit).await
}

/// An empty body has nothing that could be encoded: some clients send the header with every request.
fn check_coding(headers: &HeaderMap, body: &Body) -> Result<(), BodyError> {
    if coding::is_plain(headers) || body.is_end_stream() { Ok(()) } else { Err(BodyError::Encoded) }
}

/// The whole body in whatever coding it has, if it has at most `limit` bytes and arrives in time.
///
/// A body that announces more is not waited for: a client that asks with `Expect: 100-continue` is spared sending it.
pub async fn read_as_sent(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    match within(BODY_TIME, Limited::new(body, limit).collect()).await? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// What a future gives within that time. A body that came together with its head is there at once and costs no timer.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, BodyError> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(time, future).await.map_err(|_| BodyError::Slow),
    }
}

/// The whole body of a caller who is authenticated by it, such as by a token. Only a few callers may send more than
/// [`UNAUTHENTICATED_BYTES`] at the same time, and each of them soon.
pub async fn read_unauthenticated(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    check_coding(headers, &body)?;
    if body.size_hint().upper().is_some_and(|bytes| bytes <= UNAUTHENTICATED_BYTES as u64) {
        return read_as_sent(body, limit).await;
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut read = Vec::new();
    let first = take(&mut body, &mut read, UNAUTHENTICATED_BYTES.min(limit));
    if !within(BODY_TIME, first).await?? {
        let _large = LARGE_UNAUTHENTICATED.try_acquire().map_err(|_| BodyError::Busy)?;
        let rest = take(&mut body, &mut read, limit);
        if !within(UNAUTHENTICATED_TIME, rest).await?? {
            return Err(BodyError::TooLarge);
        }
    }
    Ok(read.into())
}

/// Reads on until the body ends or there is more than `limit`. True at the end.
async fn take(body: &mut Body, read: &mut Vec<u8>, limit: usize) -> Result<bool, BodyError> {
    while read.len() <= limit {
        match body.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(_)) => return Err(BodyError::Broken),
            None => return Ok(true),
        }
    }
    Ok(false)
}
