//! How far a record has spread: waiting for it, and looking at it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use super::Cluster;
use crate::cluster::NodeReach;
use crate::domain::{NodeName, RecordId, Region, Timestamp};
use crate::service::records::audit_everywhere;
use crate::service::{CallerIdentity, Consistency, ConsistencyLevel, ConsistencyTimeout, Error, Reach, Service};

/// The most calls that wait for other nodes at the same time. A call beyond that does not wait: its command stands.
const MAX_WAITING: usize = 10_000;

impl Reach for Cluster {
    fn has_reached(&self, place: RecordId, level: ConsistencyLevel) -> bool {
        let region = match level {
            ConsistencyLevel::LocalRegion => Some(&self.naming.region),
            ConsistencyLevel::AllRegions => None,
        };
        let members = self.members();
        self.positions.lock().have_reached(place, &members, self.node(), region)
    }

    fn reached(
        &self,
        place: RecordId,
        Consistency { level, timeout }: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<(), ConsistencyTimeout>> + Send + '_>> {
        Box::pin(async move {
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
            let mut changed = self.changed.subscribe();
            let outcome = if waiting < MAX_WAITING {
                let reached = changed.wait_for(|_| self.has_reached(place, level));
                tokio::time::timeout(timeout, reached).await.map(drop).map_err(|_| ConsistencyTimeout)
            } else {
                Err(ConsistencyTimeout)
            };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            outcome
        })
    }
}

/// How far a record has spread.
#[derive(Clone, Debug)]
pub struct ReachShown {
    /// The record.
    pub place: RecordId,
    /// This node.
    pub node: NodeName,
    pub region: Region,
    /// Each member that counts, and when it was heard to have applied the record.
    pub nodes: Vec<NodeReach>,
}

impl Service {
    /// How far that record has spread; nothing, if this node does not hold it. Needs `audit` in every tenant.
    pub async fn reach_of(&self, identity: &CallerIdentity, place: RecordId) -> Result<Option<ReachShown>, Error> {
        audit_everywhere(identity)?;
        let Some(stored) = self.read(move |reader| Ok(reader.find_place(place)?)).await? else { return Ok(None) };
        let cluster = &self.cluster;
        let (members, here): (_, Option<Timestamp>) = (cluster.members(), Some(stored.stored_at));
        let mut nodes = cluster.positions(|positions| positions.reach(place, &members, cluster.node(), here));
        let (node, region) = (cluster.naming.node.clone(), cluster.naming.region.clone());
        if nodes.is_empty() {
            // A node without members is all regions.
            nodes.push(NodeReach { node: node.clone(), region: region.clone(), at: here });
        }
        Ok(Some(ReachShown { place, node, region, nodes }))
    }
}
