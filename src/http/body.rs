//! Request bodies: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than this server takes")]
    TooLarge,
    /// It took too long to arrive.
    #[error("the body did not arrive within 30 seconds")]
    Slow,
    /// The connection broke.
    #[error("the body ended early")]
    Broken,
}

/// The whole body, if it has at most `limit` bytes and arrives in time.
///
/// One that announces more is not waited for: who asks with `Expect: 100-continue` is spared sending it.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::Slow),
    }
}
