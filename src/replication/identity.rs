//! Before a node with members writes anything: whether it may continue its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::PeerClient;
use super::peers::addresses_of;
use crate::clock::fresh_uuid;
use crate::cluster::wire::HeldOf;
use crate::cluster::{
    Begun, Holding, IdentityDecision, Incarnation, LEAST_PATIENCE, OriginRenewal, Own, beside, have_all_answered,
    identify, may_write,
};
use crate::domain::{LedgerId, NodeKey, Origin, PeerAddress, Sequence, hex};
use crate::event_log::{ChainHash, Head};
use crate::service::{Beginning, Cluster, NodeFile, Prepared, StartError};

/// How often the other nodes are asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The most addresses that are taken from the answers of others.
const MAX_LEARNT: usize = 256;

/// The directory can't be used with these members.
#[derive(Debug, thiserror::Error)]
#[error(
    "this directory holds another history of origin {origin} than its members do, up to record {sequence}: both are signed with the \
     same key, so a copy of it was used; move the directory away as evidence, and join this node again on an empty one"
)]
pub struct Contradicted {
    origin: Origin,
    sequence: Sequence,
}

/// Why a node can't find out how it continues.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Other nodes hold another history of it.
    #[error(transparent)]
    Contradicted(#[from] Contradicted),
    /// Its run can't be named or written down.
    #[error(transparent)]
    Begin(#[from] StartError),
}

/// How a node continues.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The origin.
    pub beginning: Beginning,
    /// The runs of this node that are over.
    pub over: Vec<Incarnation>,
    /// The runs of this node that exist beside it, on copies of its directory.
    pub beside: Vec<Incarnation>,
    /// Why it opens a new origin, if it does.
    pub renewal: Option<OriginRenewal>,
    /// Whether the run has begun already, and the others have heard of it.
    pub has_begun: bool,
}

impl Settled {
    /// A node that asks no other.
    pub fn alone() -> Self {
        Self { beginning: Beginning::Continued, over: Vec::new(), beside: Vec::new(), renewal: None, has_begun: false }
    }

    /// A node that knows of no other: it continues its origin, unless an unknown node has shown it that it was rolled
    /// back.
    pub fn unasked(prepared: &Prepared) -> Self {
        match prepared.own_origin() {
            Some(origin) if prepared.cluster().signed(origin) > prepared.cluster().held(origin) => {
                Self::renewed(prepared, origin, OriginRenewal::OlderCopy, past_of(prepared), 0)
            }
            _ => Self::alone(),
        }
    }

    fn renewed(
        prepared: &Prepared,
        origin: Origin,
        renewal: OriginRenewal,
        over: Vec<Incarnation>,
        slots_used: u64,
    ) -> Self {
        let (head, why) = (prepared.cluster().held(origin), renewal.explanation());
        tracing::warn!(%origin, %head, why, "this node does not continue its origin: it opens a new one that names it");
        let beginning = Beginning::Renewed { slots_used: beyond(slots_used, renewal) };
        Self { beginning, over, beside: Vec::new(), renewal: Some(renewal), has_begun: false }
    }
}

/// Asks the members what they hold of the origin that the directory would continue, until the conclusion is clear.
pub async fn settle(
    prepared: &Prepared,
    client: &PeerClient,
    told: &[PeerAddress],
    patience: Duration,
) -> Result<Settled, SettleError> {
    let Some((origin, ledger)) = prepared.own_origin().zip(prepared.ledger()) else {
        return Ok(Settled { over: past_of(prepared), ..Settled::alone() });
    };
    let cluster = prepared.cluster();
    let own = Own {
        head: cluster.held_head(origin),
        signed: cluster.signed(origin),
        incarnation: prepared.last_incarnation(),
        past: prepared.past_incarnations(),
    };
    let patience = patience.max(LEAST_PATIENCE);
    let mut asking = Asking { client, cluster, told, learnt: BTreeSet::new() };
    let started = Instant::now();
    let mut told_once = false;
    loop {
        let (holdings, all) = asking.ask(origin, own.head.sequence).await;
        let slots_used = holdings.iter().map(|holding| holding.slots_used).max().unwrap_or_default();
        match identify(&own, &holdings, all, started.elapsed() >= patience) {
            IdentityDecision::Continue(mut over) => {
                let settled = Settled { over: over.clone(), has_begun: true, ..Settled::alone() };
                let run = begin_run(cluster, origin, prepared.data(), &settled)?;
                let (renewal, beside) = match asking.begun(ledger, origin, run, &over, patience).await {
                    Begun::MayWrite | Begun::TooEarly if prepared.renews_for_clock() => {
                        (OriginRenewal::ClockAccepted, Vec::new())
                    }
                    Begun::MayWrite | Begun::TooEarly => return Ok(settled),
                    Begun::Unheard => (OriginRenewal::NobodyAnswered, Vec::new()),
                    // Two copies of the directory were started at once. Each that sees the other one leaves the origin:
                    // at least one does.
                    Begun::Duplicated(runs) => {
                        cluster.alarms().note_twin();
                        (OriginRenewal::Running, runs)
                    }
                };
                over.insert(0, run);
                return Ok(Settled { beside, ..Settled::renewed(prepared, origin, renewal, over, slots_used) });
            }
            IdentityDecision::Renew(renewal, over) => {
                let beside = beside(&holdings, &over);
                return Ok(Settled { beside, ..Settled::renewed(prepared, origin, renewal, over, slots_used) });
            }
            IdentityDecision::Contradicted => return Err(Contradicted { origin, sequence: own.head.sequence }.into()),
            IdentityDecision::Ask => {}
        }
        if !std::mem::replace(&mut told_once, true) {
            let (patience_seconds, members) = (patience.as_secs(), asking.others().len());
            tracing::info!(%origin, members, patience_seconds, "asking the members what they hold of this node's origin");
        }
        // Nodes that do not answer may be starting, and nothing signals that; nor that a run has been silent for long enough. The
        // loop ends once every member has answered, or after `patience`.
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The runs of this node that its directory knows to be over, the newest first.
fn past_of(prepared: &Prepared) -> Vec<Incarnation> {
    prepared.last_incarnation().into_iter().chain(prepared.past_incarnations()).collect()
}

/// Begins a run of this node that supersedes those that are over.
pub fn begin_run(cluster: &Cluster, origin: Origin, data: &Path, settled: &Settled) -> Result<Incarnation, StartError> {
    let incarnation = Incarnation(fresh_uuid()?);
    // On disk first: no other node hears of a run that the directory does not know.
    NodeFile { origin, incarnation, past: settled.over.clone() }.store(data)?;
    cluster.begin(incarnation, settled.over.clone(), settled.beside.clone());
    Ok(incarnation)
}

/// A slot that nothing on record has used: far beyond, if it is not known which were. A copy that is the newest knows
/// it itself.
fn beyond(used: u64, renewal: OriginRenewal) -> u64 {
    const NEAR: u64 = 4_096;
    const FAR: u64 = 1 << 20;
    if renewal == OriginRenewal::ClockAccepted {
        return used;
    }
    let is_known = used > 0 && renewal != OriginRenewal::NobodyAnswered;
    used + if is_known { NEAR } else { FAR }
}

/// The state for asking the other nodes.
struct Asking<'a> {
    client: &'a PeerClient,
    cluster: &'a Cluster,
    told: &'a [PeerAddress],
    /// Addresses of members that only others know.
    learnt: BTreeSet<String>,
}

impl Asking<'_> {
    /// The other members that this node knows.
    fn others(&self) -> Vec<NodeKey> {
        let own = self.cluster.node();
        self.cluster.members().present().map(|(key, _, _)| key).filter(|key| *key != own).collect()
    }

    /// Tells the others that this run has begun, until all have it on disk or the patience is over.
    async fn begun(
        &mut self,
        ledger: LedgerId,
        origin: Origin,
        run: Incarnation,
        over: &[Incarnation],
        patience: Duration,
    ) -> Begun {
        let started = Instant::now();
        loop {
            self.tell(ledger, origin).await;
            let (holdings, all) = self.ask(origin, self.cluster.held(origin)).await;
            let is_over = started.elapsed() >= patience;
            match may_write(run, &holdings, all, over, is_over) {
                // A node that did not answer may be starting, and nothing signals that. `may_write` ends the loop after `patience`.
                Begun::TooEarly => tokio::time::sleep(ASK_EVERY).await,
                begun => {
                    if is_over && begun == Begun::MayWrite {
                        tracing::warn!("not every member has heard of this run of the node; it continues");
                    }
                    return begun;
                }
            }
        }
    }

    /// Sends this node's announcement to every other node.
    async fn tell(&self, ledger: LedgerId, origin: Origin) {
        let Some(spoken) = self.cluster.speak(ledger, origin) else { return };
        let text = Bytes::from(spoken.text.into_vec());
        let mut telling = tokio::task::JoinSet::new();
        for address in self.addresses() {
            let (client, text) = (self.client.clone(), text.clone());
            telling.spawn(async move { client.announce(&address, text).await.map(drop) });
        }
        while let Some(told) = telling.join_next().await {
            if let Ok(Err(error)) = told {
                tracing::debug!(%error, "a member did not hear of this run");
            }
        }
    }

    fn addresses(&self) -> BTreeSet<String> {
        let mut addresses = addresses_of(self.cluster, self.told);
        addresses.extend(self.learnt.iter().take(MAX_LEARNT).cloned());
        addresses
    }

    /// Each member's holding of that origin, which ends here at that record, and whether every member answered. Each
    /// answers once, at however many addresses it is reached.
    async fn ask(&mut self, origin: Origin, own: Sequence) -> (Vec<Holding>, bool) {
        let mut asking = tokio::task::JoinSet::new();
        for address in self.addresses() {
            let client = self.client.clone();
            asking.spawn(async move { client.holding(&address, origin, own).await });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Ok(held)) => {
                    let members = held.members.iter().filter(|member| member.key != self.cluster.node().to_string());
                    self.learnt.extend(members.filter_map(|member| member.address.clone()));
                    answers.extend(holding(&held).map(|holding| (holding.node, holding)));
                }
                Ok(Err(error)) => tracing::debug!(%error, "a member did not say what it holds"),
                // A task that panicked has no answer.
                Err(_) => {}
            }
        }
        let answers: Vec<Holding> = answers.into_values().collect();
        let all = have_all_answered(self.cluster.node(), &self.others(), &answers);
        (answers, all)
    }
}

fn holding(held: &HeldOf) -> Option<Holding> {
    let head = Head { sequence: Sequence(held.sequence), hash: ChainHash(hex::parse(&held.hash).ok()?) };
    let hash_at_own_head =
        held.hash_at_sequence.as_ref().map(|hash| hex::parse(hash).map(ChainHash)).transpose().ok()?;
    let heard = held.heard.iter().map(|run| {
        let silence = run.silent_millis.map_or(Duration::MAX, Duration::from_millis);
        (Incarnation(run.incarnation), silence)
    });
    let members = held.members.iter().map(|member| member.key.parse()).collect::<Result<_, _>>().ok()?;
    Some(Holding {
        node: held.node.parse().ok()?,
        members,
        head,
        known: Sequence(held.known.unwrap_or_default()),
        hash_at_own_head,
        heard: heard.collect(),
        slots_used: held.slots_used,
    })
}
