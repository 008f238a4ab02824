//! Before a node with members writes anything: whether it may continue its origin.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client::PeerClient;
use super::peers::addresses_of;
use crate::cluster::{Holding, Identity, Incarnation, Own, Renewal, beside, identify, is_heard};
use crate::domain::{Origin, PeerAddress, Sequence, hex};
use crate::event_log::{ChainHash, Head};
use crate::http::peers::HeldOf;
use crate::service::{Beginning, Cluster, Prepared};

/// How often the others are asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often they are asked whether they have heard of this run, which takes them one announcement.
const HEARD_EVERY: Duration = Duration::from_millis(20);

/// The directory can't be used with these members.
#[derive(Debug, thiserror::Error)]
#[error(
    "this directory holds another history of origin {origin} than its members do, up to record {sequence}: both are signed with the \
     same key, so somebody has used a copy of it; move the directory away as evidence, and join this node again on an empty one"
)]
pub struct Contradicted {
    origin: Origin,
    sequence: Sequence,
}

/// How a node goes on.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Which origin.
    pub beginning: Beginning,
    /// The runs of this node that are over.
    pub over: Vec<Incarnation>,
    /// The runs of this node that go on beside it, on copies of its directory.
    pub beside: Vec<Incarnation>,
    /// Why it opens a new origin, if it does.
    pub renewal: Option<Renewal>,
}

impl Settled {
    /// A node that asks nobody.
    pub fn alone() -> Self {
        Self { beginning: Beginning::Continued, over: Vec::new(), beside: Vec::new(), renewal: None }
    }
}

/// Asks the members what they hold of the origin that the directory would continue, until it is clear what follows.
pub async fn settle(
    prepared: &Prepared,
    client: &PeerClient,
    told: &[PeerAddress],
    patience: Duration,
) -> Result<Settled, Contradicted> {
    let Some(origin) = prepared.own_origin() else {
        let over = prepared.last_incarnation().into_iter().collect();
        return Ok(Settled { over, ..Settled::alone() });
    };
    let cluster = prepared.cluster();
    let own = Own { head: cluster.held_head(origin), incarnation: prepared.last_incarnation() };
    let others = others_of(cluster);
    let started = Instant::now();
    let mut told_once = false;
    loop {
        let answers = ask(client, &addresses_of(cluster, told), origin, own.head.sequence).await;
        let slots_used = answers.values().map(|holding| holding.slots_used).max().unwrap_or_default();
        let holdings: Vec<Holding> = answers.into_values().collect();
        match identify(&own, &holdings, holdings.len() >= others, started.elapsed() >= patience) {
            Identity::Continue(over) => {
                return Ok(Settled { over, ..Settled::alone() });
            }
            Identity::Renew(renewal, over) => {
                let (head, why) = (own.head.sequence, renewal.explanation());
                tracing::warn!(%origin, %head, why, "this node does not continue its origin: it opens a new one that names it");
                let beginning = Beginning::Renewed { slots_used: beyond(slots_used, renewal) };
                let beside = beside(&holdings, &over);
                return Ok(Settled { beginning, over, beside, renewal: Some(renewal) });
            }
            Identity::Contradicted => return Err(Contradicted { origin, sequence: own.head.sequence }),
            Identity::Ask => {}
        }
        if !std::mem::replace(&mut told_once, true) {
            let patience_seconds = patience.as_secs();
            tracing::info!(%origin, members = others, patience_seconds, "asking the members what they hold of this node's origin");
        }
        // Those that do not answer may be starting, and nobody tells when they do; nor when a run has been silent for long enough.
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Returns once every member has heard of this run, or the patience is over: until then a copy of the directory that starts at the
/// same moment could be taken for it.
pub async fn until_heard(
    cluster: &Cluster,
    client: &PeerClient,
    told: &[PeerAddress],
    origin: Origin,
    patience: Duration,
) {
    let Some(own) = cluster.incarnation() else { return };
    let started = Instant::now();
    loop {
        let others = others_of(cluster);
        let answers = ask(client, &addresses_of(cluster, told), origin, cluster.held(origin)).await;
        let holdings: Vec<Holding> = answers.into_values().collect();
        if is_heard(own, &holdings, holdings.len() >= others) {
            return;
        }
        if started.elapsed() >= patience {
            tracing::warn!("not every member has heard of this run of the node; it goes on");
            return;
        }
        // The announcement is on its way to all, and what each has heard only it can say.
        tokio::time::sleep(HEARD_EVERY).await;
    }
}

/// How many other members there are. One that holds no records of them yet knows that there is one at least.
fn others_of(cluster: &Cluster) -> usize {
    cluster.members().present().filter(|(key, _, _)| *key != cluster.node()).count().max(1)
}

/// A slot that nothing on record has used: where nobody could say which were, far beyond.
fn beyond(used: u64, renewal: Renewal) -> u64 {
    const NEAR: u64 = 4_096;
    const FAR: u64 = 1 << 20;
    used + if renewal == Renewal::NobodyAnswered { FAR } else { NEAR }
}

/// What each member holds of it, by the member's key: one that is reached at two addresses is one.
async fn ask(
    client: &PeerClient,
    addresses: &std::collections::BTreeSet<String>,
    origin: Origin,
    own: Sequence,
) -> BTreeMap<String, Holding> {
    let mut asking = tokio::task::JoinSet::new();
    for address in addresses.clone() {
        let client = client.clone();
        asking.spawn(async move { client.holding(&address, origin, own).await });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        match answer {
            Ok(Ok(held)) => {
                let node = held.node.clone();
                answers.extend(holding(&held).map(|holding| (node, holding)));
            }
            Ok(Err(error)) => tracing::debug!(%error, "a member did not say what it holds"),
            // A task that panicked has no answer.
            Err(_) => {}
        }
    }
    answers
}

fn holding(held: &HeldOf) -> Option<Holding> {
    let head = Head { sequence: Sequence(held.sequence), hash: ChainHash(hex::parse(&held.hash).ok()?) };
    let hash_at_own_head =
        held.hash_at_sequence.as_ref().map(|hash| hex::parse(hash).map(ChainHash)).transpose().ok()?;
    let heard = held.heard.iter().map(|run| {
        let silence = run.silent_millis.map_or(Duration::MAX, Duration::from_millis);
        (Incarnation(run.incarnation), silence)
    });
    Some(Holding { head, hash_at_own_head, heard: heard.collect(), slots_used: held.slots_used })
}
