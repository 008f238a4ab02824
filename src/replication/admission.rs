//! When a node that has joined begins to answer: once it holds what the others hold, and they wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{RecordId, Sequence};
use crate::service::{Cluster, Error, Failure, Service};

/// How long to wait before another attempt to write a record.
const RETRY: Duration = Duration::from_secs(1);

/// The condition for a node to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is alone, or was waited for before it stopped.
    Nothing,
    /// Every member to know that it is to be waited for.
    Counted,
    /// To hold what the others hold, and to be waited for by all of them, because its own copy was not the newest and it has opened a
    /// new origin.
    CatchUp,
    /// To join: to hold what the others hold, and to be waited for by all of them.
    Join,
}

/// Returns once every member knows that this one is to be waited for, or the patience is over: a node may have been
/// killed right after it had recorded that, before any other had the record.
pub async fn until_counted(cluster: &Cluster, patience: Duration) {
    let (members, own) = (cluster.members(), cluster.node());
    let Some((_, place, _)) = members.get(own).and_then(|member| member.upgraded.clone()) else { return };
    let has_reached = || cluster.positions(|positions| positions.have_reached(place, &cluster.members(), own, None));
    if tokio::time::timeout(patience, until(cluster, has_reached)).await.is_err() {
        tracing::warn!("not every member is known to wait for this node; it continues");
    }
}

/// Returns when the node may answer, or the server stops. A standby waits for its promotion first.
pub async fn admitted(service: Arc<Service>, wait: Wait, standby: bool, mut stop: watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = admit(&service, wait, standby) => true,
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

async fn admit(service: &Service, wait: Wait, standby: bool) {
    let cluster = service.cluster();
    if wait == Wait::Join && standby {
        tracing::info!("this node is a standby: it follows the others until authledger node promote");
        // Verifiers have its keys by then: a standby that is promoted signs at once.
        let publish_keys = async {
            until(cluster, || holds_all(cluster)).await;
            service.begin_keys().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = cluster.promotion() => {}
            () = publish_keys => {}
        }
    } else if matches!(wait, Wait::CatchUp | Wait::Join) {
        tracing::info!("this node answers when it holds what the members hold, and all of them wait for it");
        until(cluster, || holds_all(cluster)).await;
    }
    upgrade(service).await;
    if wait == Wait::CatchUp {
        let first = RecordId { origin: service.origin(), sequence: Sequence(1) };
        until(cluster, || is_waited_for(cluster, first)).await;
    }
    if matches!(wait, Wait::CatchUp | Wait::Join) {
        let upgraded = || cluster.members().get(cluster.node()).and_then(|own| own.upgraded.clone());
        until(cluster, || upgraded().is_some_and(|(_, place, _)| is_waited_for(cluster, place))).await;
    }
}

/// Whether it holds what every member has announced to hold. A member that is removed is not waited for.
fn holds_all(cluster: &Cluster) -> bool {
    let members = cluster.members();
    members.is_present(cluster.node())
        && cluster.positions(|positions| positions.are_held(|origin| cluster.held(origin), &members, cluster.node()))
}

fn is_waited_for(cluster: &Cluster, place: RecordId) -> bool {
    let (members, own) = (cluster.members(), cluster.node());
    cluster.positions(|positions| positions.admit(place, |origin| cluster.held(origin), &members, own))
}

/// Records which events this node reads, if the members do not know.
async fn upgrade(service: &Service) {
    loop {
        match service.upgrade_node().await {
            Ok(()) => return,
            Err(Error::Failed(Failure::Stopping)) => std::future::pending().await,
            Err(error) => {
                tracing::warn!(%error, "the events that this node reads could not be recorded; it is tried again");
                // An overloaded writer is left alone for a while, and nothing signals that it has room. The task ends with the server.
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Waits until it is true. That can change with every commit, and with every announcement of another node.
async fn until(cluster: &Cluster, is_so: impl Fn() -> bool) {
    let (mut applied, mut changes) = (cluster.applied(), cluster.changes());
    while !is_so() {
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { std::future::pending::<()>().await },
            changed = changes.changed() => if changed.is_err() { std::future::pending::<()>().await },
        }
    }
}
