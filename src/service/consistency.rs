//! How far a command must have got before it is answered. Durable here first; then, if asked for, everywhere else.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::Place;

/// Which nodes must have applied a command before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every member node of this region.
    LocalRegion,
    /// Every member node.
    AllRegions,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// Which nodes.
    pub level: Level,
    /// How long to wait for them: 1 to 120 seconds.
    pub timeout: Duration,
}

/// The wait was given up; what was waited for goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsistencyTimeout;

/// Waits until the nodes that are asked for have applied a record.
pub trait Reach: Send + Sync {
    /// Whether they have already.
    fn has_reached(&self, place: Place, level: Level) -> bool;

    /// Returns when they have, or when the time is up.
    fn reached(
        &self,
        place: Place,
        consistency: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>>;
}

/// A node without members: what is durable here is durable everywhere.
pub struct Alone;

impl Reach for Alone {
    fn has_reached(&self, _: Place, _: Level) -> bool {
        true
    }

    fn reached(
        &self,
        _: Place,
        _: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
