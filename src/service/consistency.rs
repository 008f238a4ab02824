//! How far a command must have spread before it is answered: always durable here first; then, if requested, on other
//! nodes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::RecordId;

/// The nodes that must have applied a command before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsistencyLevel {
    /// Every member node of this region.
    LocalRegion,
    /// Every member node.
    AllRegions,
}

/// The consistency that a caller requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The nodes.
    pub level: ConsistencyLevel,
    /// How long to wait for them: 1 to 120 seconds.
    pub timeout: Duration,
}

/// The wait timed out; the record still spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsistencyTimeout;

/// Waits until the requested nodes have applied a record.
pub trait Reach: Send + Sync {
    /// Whether they have already.
    fn has_reached(&self, place: RecordId, level: ConsistencyLevel) -> bool;

    /// Returns when they have, or when the time is up.
    fn reached(
        &self,
        place: RecordId,
        consistency: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>>;
}

/// A node without members: a record that is durable here is durable everywhere.
pub struct SingleNode;

impl Reach for SingleNode {
    fn has_reached(&self, _: RecordId, _: ConsistencyLevel) -> bool {
        true
    }

    fn reached(
        &self,
        _: RecordId,
        _: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
