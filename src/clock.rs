//! The only source of time and of fresh ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::{Origin, Timestamp};

/// A clock: the system's, or one that a test moves.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.as_millis()))))
    }

    /// The instant now.
    pub fn now(&self) -> Timestamp {
        let millis = match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis().try_into().unwrap_or(0)),
            Source::Manual(millis) => millis.load(Ordering::Acquire),
        };
        Timestamp::from_millis(millis).unwrap_or_default()
    }

    /// Moves a manual clock ahead; the system's stays as it is.
    pub fn advance(&self, by_millis: u64) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(by_millis, Ordering::AcqRel);
        }
    }
}

/// The operating system has no randomness to give: nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("get random bytes from the operating system: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A fresh UUID, version 4.
pub fn fresh_uuid() -> Result<Uuid, NoRandomness> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

/// A fresh origin.
pub fn fresh_origin() -> Result<Origin, NoRandomness> {
    Ok(Origin::from_random(random()?))
}
