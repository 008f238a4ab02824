//! This node among others: its identity, the announcements that it has heard, and the records that it takes and gives.

mod alarms;
mod files;
mod ingest;
mod intake;
mod nodes;
mod outgoing;
mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::cluster::{
    Anchors, Announcement, Arrival, CarriedAnnouncement, Incarnation, KeptHeads, MAX_SUPERSEDED, Positions,
    RequestSignature, SignedHead,
};
use crate::domain::{
    LedgerId, Members, NodeJoined, NodeKey, NodeName, Origin, PeerAddress, Position, Reads, RecordId, Region, Sequence,
    Timestamp, View as _,
};
use crate::event_log::Head;
use crate::keys::OriginKey;
use crate::projection::Projection;

pub use alarms::{Alarms, ClusterTrouble};
pub use files::{FilesError, NodeFile};
pub use ingest::Ingested;
pub use intake::Intake;
pub use nodes::{JoinedNode, NodeShown, RunShown};
pub use reach::ReachShown;

/// The largest difference between a node's clock and this one's that is not an alarm: 10 seconds, some of which are the
/// time of transport.
pub const MAX_SKEW_MILLIS: u64 = 10_000;
/// Two runs of a node that have both spoken within that time, in milliseconds, are two processes.
const SPOKEN_WITHIN_MILLIS: u64 = 2_000;
/// The largest age of a member's word of its time, in milliseconds: it speaks about once a second.
const TIME_HEARD_WITHIN_MILLIS: u64 = 5_000;

/// This node, as its operator named it.
#[derive(Clone, Debug)]
pub struct Naming {
    pub node: NodeName,
    pub region: Region,
    /// The address at which other nodes reach it over HTTP.
    pub address: Option<PeerAddress>,
    /// The events that it reads.
    pub reads: Reads,
}

/// This node among others. For a node without members it holds only its name and key.
pub struct Cluster {
    naming: Naming,
    key: Arc<OriginKey>,
    anchors: Anchors,
    projection: Arc<Projection>,
    kept: KeptHeads,
    data: PathBuf,
    clock: Clock,
    positions: Mutex<Positions>,
    /// The runs of other nodes that are on disk, with the latest or an earlier announcement of each.
    kept_runs: Mutex<BTreeSet<Incarnation>>,
    /// Counts the events that may end a wait: announcements, and changes of members.
    changed: watch::Sender<u64>,
    /// The newest durable position, and the newest record of this node's own origin.
    applied: watch::Sender<Position>,
    own_head: watch::Sender<Sequence>,
    /// The newest announcement of this node; nothing before there is one.
    spoken: watch::Sender<Bytes>,
    promoted: Notify,
    /// The newest head of this node's own origin, once it is known that the log has lost records that lead to it.
    set_back: watch::Sender<Option<SignedHead>>,
    intake: Intake,
    alarms: Alarms,
    admitted: AtomicBool,
    waiting: AtomicUsize,
    run: Mutex<Run>,
}

/// This run of the node's process.
#[derive(Clone, Debug, Default)]
struct Run {
    incarnation: Option<Incarnation>,
    supersedes: Vec<Incarnation>,
    number: u64,
    stream: Option<Box<str>>,
    farewell: bool,
}

impl Cluster {
    /// A node that has not heard of another yet.
    pub fn new(
        naming: Naming,
        key: Arc<OriginKey>,
        anchors: Anchors,
        projection: Arc<Projection>,
        kept: KeptHeads,
        data: PathBuf,
        clock: Clock,
    ) -> Self {
        Self {
            naming,
            key,
            anchors,
            projection,
            kept,
            data,
            clock,
            positions: Mutex::default(),
            kept_runs: Mutex::default(),
            changed: watch::Sender::new(0),
            applied: watch::Sender::new(Position(0)),
            own_head: watch::Sender::new(Sequence(0)),
            spoken: watch::Sender::new(Bytes::new()),
            promoted: Notify::new(),
            set_back: watch::Sender::new(None),
            intake: Intake::default(),
            alarms: Alarms::default(),
            admitted: AtomicBool::new(true),
            waiting: AtomicUsize::new(0),
            run: Mutex::default(),
        }
    }

    /// The key by which other nodes know this node.
    pub fn node(&self) -> NodeKey {
        NodeKey::from_bytes(self.key.public_key())
    }

    /// The operator's names for it.
    pub fn naming(&self) -> &Naming {
        &self.naming
    }

    /// The keys that it was told to trust when it joined.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The nodes of the ledger, as far as this one has heard.
    pub fn members(&self) -> Arc<Members> {
        self.projection.members()
    }

    /// Whether there are, or may be, other nodes.
    pub fn has_others(&self) -> bool {
        let own = self.node();
        self.anchors.ledger().is_some() || self.members().present().any(|(key, _, _)| key != own)
    }

    /// Whether other nodes wait for this one: it has joined, caught up, and said so.
    pub fn counts(&self) -> bool {
        self.members().get(self.node()).is_some_and(crate::domain::Member::counts)
    }

    /// This node as it would join.
    pub fn as_joining(&self) -> NodeJoined {
        let Naming { node, region, address, reads } = self.naming.clone();
        NodeJoined { key: self.node(), node, region, address, reads }
    }

    /// Whether that node may ask this one for what only members may see: it is a member, or was named when this one
    /// joined.
    pub fn admits(&self, key: NodeKey) -> bool {
        let members = self.members();
        match members.get(key) {
            Some(_) => members.is_present(key),
            None => self.anchors.trusts(key),
        }
    }

    /// The record that removed that node, if one did.
    pub fn removal_of(&self, key: NodeKey) -> Option<RecordId> {
        self.members().get(key).and_then(|member| member.removed.as_ref()).map(|removal| removal.place)
    }

    /// The record that made this node a member.
    pub fn joined_by(&self) -> Option<RecordId> {
        self.members().joined(self.node()).map(|(place, _)| place)
    }

    /// The newest record of an origin of this node that it is known to have signed: its log may lack that record.
    pub fn signed(&self, origin: Origin) -> Sequence {
        self.kept.newest(origin).map(|head| head.place.sequence).unwrap_or_default().max(self.held(origin))
    }

    /// Returns once it is known that the log has lost records of this node's own origin: nothing must be appended to it
    /// any more.
    pub async fn set_back(&self) -> SignedHead {
        let mut set_back = self.set_back.subscribe();
        loop {
            if let Some(head) = *set_back.borrow_and_update() {
                return head;
            }
            if set_back.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether that is known.
    pub fn is_set_back(&self) -> bool {
        self.set_back.borrow().is_some()
    }

    /// This node has signed that head of its own origin, and its log ends before it.
    fn note_set_back(&self, head: SignedHead) {
        if let Err(error) = self.kept.keep(head) {
            tracing::error!(%error, "the next start can't know that this directory was rolled back");
        }
        self.set_back.send_replace(Some(head));
    }

    /// Signs a request to another node, made at that time.
    pub fn sign_request(&self, ledger: LedgerId, at: Timestamp, asked: (&str, &str, &[u8])) -> RequestSignature {
        RequestSignature::sign(self.node(), ledger, at, asked, |message| self.key.sign(message))
    }

    /// The times that this node may give a request: ledger time, and the wall clock where the two are apart.
    pub fn request_times(&self) -> (Timestamp, Option<Timestamp>) {
        let standing = self.clock.standing();
        (standing.ledger, standing.jump.map(|_| standing.wall))
    }

    /// Changes whenever an announcement was heard, or the members have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Changes with every commit: the newest position that is durable and folded in.
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    /// The newest durable record of this node's own origin.
    pub fn own_head(&self) -> watch::Receiver<Sequence> {
        self.own_head.subscribe()
    }

    /// The newest announcement of this node; nothing before there is one.
    pub fn spoken(&self) -> watch::Receiver<Bytes> {
        self.spoken.subscribe()
    }

    /// Sets this node's newest announcement.
    pub fn speak_out(&self, spoken: CarriedAnnouncement) {
        self.spoken.send_replace(spoken.text.into_vec().into());
    }

    /// Returns once this node has been promoted: a standby waits for it.
    pub async fn promotion(&self) {
        self.promoted.notified().await;
    }

    /// Lets a standby take commands as soon as the others wait for it.
    pub fn promote(&self) {
        self.promoted.notify_one();
    }

    /// The warning for the operator, if there is one.
    pub fn warning(&self) -> Option<&'static str> {
        const REMOVED: &str = "this node was removed from its ledger: credentials that it issues are inactive, and no other node learns of its revocations; stop it";
        const MOVED: &str = "the members know this node by another --node, --region or --address than it was started with, and still \
             use that: tell them by POST /v1/nodes at another member, or start it as before";
        let (members, own) = (self.members(), self.node());
        if members.get(own).is_some_and(|member| member.removed.is_some()) {
            return Some(REMOVED);
        }
        let trouble = self.alarms.trouble().warning();
        let is_moved = || {
            let Naming { node, region, address, .. } = &self.naming;
            let known = members.joined(own).map(|(_, joined)| joined).filter(|_| self.has_others());
            known.is_some_and(|known| (&known.node, &known.region, &known.address) != (node, region, address))
        };
        trouble.or_else(|| is_moved().then_some(MOVED))
    }

    /// Whether this node answers callers: one that has joined but not caught up does not.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// Sets whether it answers callers.
    pub fn admit(&self, admitted: bool) {
        self.admitted.store(admitted, Ordering::Release);
        self.members_changed();
    }

    /// A commit is durable and folded in.
    pub fn committed(&self, position: Position, own: Option<Sequence>) {
        self.applied.send_replace(position);
        own.map(|own| self.own_head.send_replace(own));
    }

    /// The members have changed.
    pub fn members_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// This process is that run of the node, in place of those, and these run beside it on copies of its directory.
    pub fn begin(&self, incarnation: Incarnation, supersedes: Vec<Incarnation>, beside: Vec<Incarnation>) {
        let mut positions = self.positions.lock();
        positions.end(&supersedes);
        positions.expect(beside);
        drop(positions);
        let mut run = self.run.lock();
        // Beyond the number that other nodes listen to, runs have been silent for long, and are ended at a later start.
        (run.incarnation, run.supersedes) = (Some(incarnation), supersedes.into_iter().take(MAX_SUPERSEDED).collect());
    }

    /// The run of the node that this process is, once it is one.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.run.lock().incarnation
    }

    /// This node's own records are in that stream of a broker.
    pub fn publish_in(&self, stream: &str) {
        self.run.lock().stream = Some(stream.into());
    }

    /// It is about to stop.
    pub fn say_farewell(&self) {
        self.run.lock().farewell = true;
    }

    /// The announcement of this node now. Nothing before the run has begun.
    pub fn speak(&self, ledger: LedgerId, origin: Origin) -> Option<CarriedAnnouncement> {
        let run = {
            let mut run = self.run.lock();
            run.number += 1;
            run.clone()
        };
        let base = self.projection.base();
        let announcement = Announcement {
            ledger,
            node: self.node(),
            incarnation: run.incarnation?,
            supersedes: run.supersedes,
            number: run.number,
            now: self.clock.now(),
            region: self.naming.region.clone(),
            origin,
            head: base.heads.get(&origin).copied().unwrap_or_default(),
            applied: base.heads.iter().map(|(origin, head)| (*origin, head.sequence)).collect(),
            stream: run.stream,
            farewell: run.farewell,
        };
        Some(announcement.speak(|message| self.key.sign(message)))
    }

    /// Takes an announcement. Nothing, if it is not trusted.
    pub fn hear(&self, ledger: LedgerId, text: &[u8]) -> Option<Arrival> {
        let unverified = CarriedAnnouncement::read(text)?;
        let (of, node) = unverified.of();
        if of != ledger || !(self.admits(node) || node == self.node()) {
            return None;
        }
        let spoken = unverified.verified()?;
        let said = &spoken.announcement;
        let now = self.clock.now();
        if said.node == self.node() {
            self.hear_own(said);
            if Some(said.incarnation) == self.run.lock().incarnation {
                return Some(Arrival::Old);
            }
        }
        self.alarms.compare_clocks(said, now);
        let node = said.node;
        let (arrival, is_copied) = {
            let mut positions = self.positions.lock();
            (positions.hear(spoken, now), positions.is_copied(node, now, SPOKEN_WITHIN_MILLIS))
        };
        self.alarms.note_copied(node, is_copied);
        if arrival == Arrival::News {
            self.members_changed();
        }
        Some(arrival)
    }

    /// An announcement that was heard before this process began: of a run that may still exist.
    pub fn remember(&self, spoken: CarriedAnnouncement, at: Timestamp) {
        self.positions.lock().recall(spoken, at);
    }

    fn hear_own(&self, said: &Announcement) {
        let (own, supersedes) = {
            let run = self.run.lock();
            (run.incarnation, run.supersedes.clone())
        };
        let is_another = own.is_some_and(|own| own != said.incarnation) && !supersedes.contains(&said.incarnation);
        if is_another {
            self.alarms.note_twin();
        }
    }

    /// How many other members have said within the last seconds that it is about that time, by their ledger time.
    pub fn members_at(&self, time: Timestamp) -> usize {
        let (members, own, now) = (self.members(), self.node(), self.clock.now());
        let agrees = |heard: &crate::cluster::HeardAnnouncement| {
            let silent = now.millis_since(heard.at);
            let theirs = heard.announcement().now.plus_millis(silent);
            let off_by = theirs.as_millis().abs_diff(time.as_millis());
            !heard.is_recalled() && silent <= TIME_HEARD_WITHIN_MILLIS && off_by <= MAX_SKEW_MILLIS
        };
        let others = members.present().map(|(key, _, _)| key).filter(|key| *key != own);
        self.positions(|positions| others.filter(|key| positions.of(*key).any(agrees)).count())
    }

    /// Reads the announcements.
    pub fn positions<T>(&self, look: impl FnOnce(&Positions) -> T) -> T {
        look(&self.positions.lock())
    }

    /// How far this node holds that origin.
    pub fn held(&self, origin: Origin) -> Sequence {
        self.projection.head(origin)
    }

    /// How far this node holds that origin, with the chain there.
    pub fn held_head(&self, origin: Origin) -> Head {
        self.projection.base().heads.get(&origin).copied().unwrap_or_default()
    }

    /// What it takes in from other nodes.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// What keeps it from following other nodes.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// How many calls wait for other nodes.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many records other nodes have said they hold that this node does not.
    pub fn records_behind(&self) -> u64 {
        let mut farthest: BTreeMap<Origin, Sequence> = BTreeMap::new();
        self.positions(|positions| {
            for (origin, far) in positions.iter().flat_map(|heard| &heard.announcement().applied) {
                let known = farthest.entry(*origin).or_default();
                *known = (*known).max(*far);
            }
        });
        farthest.iter().map(|(origin, far)| far.0.saturating_sub(self.held(*origin).0)).sum()
    }
}
