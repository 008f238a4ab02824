//! A node: the real rules over a simulated disk. `domain` and `cluster` make its decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use authledger::cluster::{
    Announcement, Arrival, CarriedAnnouncement, Foreign, Holding, IdentityDecision, Incarnation, IngestContext, Own,
    Parcel, ParcelVerdict, Positions, Refusal, SignedHead, identify, judge, other_end,
};
use authledger::domain::{
    Caller, Command, Context, Decision, Draft, Event, LOG_FORMAT, LedgerOpened, Members, NodeJoined, NodeKey,
    NodeUpgraded, Origin, Policy, Previous, Reads, RecordId, Recorded, Region, Rejection, Request, Sequence, State,
    Timestamp, actor_of, decide,
};
use authledger::event_log::{Chain, Head, encode};

use super::clocks::Clocks;
use super::disk::{Disk, Entry};
use super::weaken::Weakness;

/// How often a node that starts asks the others before it stops waiting for those that don't answer.
pub const PATIENCE: u32 = 45;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Down,
    /// It asks whether it may continue its origin.
    Starting(u32),
    /// It tells the others that its run has begun, and writes nothing before they know.
    Begun(u32),
    Running,
    /// It was found to contradict the records that others hold: it can't be used any more.
    Halted,
}

/// Somebody waits until a record has been applied by all, or by all of a region.
#[derive(Clone, Debug)]
pub struct Wait {
    pub place: RecordId,
    pub region: Option<Region>,
}

/// A command that was decided, and is acknowledged once its records are synced.
pub struct Pending {
    pub places: Vec<RecordId>,
    pub wait: Option<Wait>,
}

/// The outcome of a parcel.
#[derive(Debug)]
pub enum Taken {
    Records(usize),
    Nothing,
    Gap(Origin),
    Refused(Refusal),
    Fork(Origin),
    Unreadable,
    /// It goes on from this node's own origin, signed with its key.
    RolledBack(SignedHead),
}

/// A node's knowledge of the broker's stream that it writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publishing {
    pub stream: u64,
    /// How many parcels the broker has acknowledged in it.
    pub acknowledged: usize,
}

pub struct SimNode {
    pub disk: Disk,
    pub state: State,
    pub positions: Positions,
    pub phase: Phase,
    pub incarnation: Incarnation,
    pub supersedes: Vec<Incarnation>,
    number: u64,
    pub reads: Reads,
    /// Those of its machine, and its ledger time.
    pub clocks: Clocks,
    /// The latest instant at which this process has forgotten anything.
    forgotten: Timestamp,
    pub waits: Vec<Wait>,
    pub pending: Vec<Pending>,
    /// Origins that have told two stories.
    pub forked: BTreeSet<Origin>,
    /// Those among them that an origin which continues them has shown.
    pub other_ends: BTreeSet<Origin>,
    unkept: Vec<SignedHead>,
    pub publishing: Publishing,
    /// How far it has read each origin's stream: its name, and how many messages.
    pub consumed: BTreeMap<Origin, (u64, usize)>,
    pub weakness: Weakness,
}

impl SimNode {
    /// A node that is off, on that directory.
    pub fn on(disk: Disk, reads: Reads, clocks: Clocks) -> Self {
        let mut positions = Positions::default();
        for (_, at, text) in disk.heard.values() {
            CarriedAnnouncement::hear(text).into_iter().for_each(|spoken| positions.recall(spoken, *at));
        }
        Self {
            state: disk.state(),
            disk,
            positions,
            phase: Phase::Down,
            incarnation: Incarnation(uuid::Uuid::nil()),
            supersedes: Vec::new(),
            number: 0,
            reads,
            clocks,
            forgotten: Timestamp::default(),
            waits: Vec::new(),
            pending: Vec::new(),
            forked: BTreeSet::new(),
            other_ends: BTreeSet::new(),
            unkept: Vec::new(),
            publishing: Publishing::default(),
            consumed: BTreeMap::new(),
            weakness: Weakness::None,
        }
    }

    pub fn key(&self) -> NodeKey {
        self.disk.key.public
    }

    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.disk.admitted
    }

    pub fn is_up(&self) -> bool {
        !matches!(self.phase, Phase::Down | Phase::Halted)
    }

    pub fn members(&self) -> Arc<Members> {
        self.state.members.clone()
    }

    /// The members that are waited for, as this node has it.
    fn waited_for(&self) -> Arc<Members> {
        self.weakness.members(self.members(), self.key())
    }

    /// How it joins.
    pub fn joined(&self) -> NodeJoined {
        NodeJoined {
            key: self.key(),
            node: self.disk.name.clone(),
            region: self.disk.region.clone(),
            address: None,
            reads: self.reads.clone(),
        }
    }

    /// Opens its own origin, which may continue the one before it.
    pub fn open(&mut self, origin: Origin, previous: Option<Previous>, now: Timestamp) {
        self.disk.own = origin;
        self.disk.admitted = false;
        self.disk.signed = None;
        let opened = LedgerOpened {
            ledger: self.disk.ledger,
            node: self.disk.name.clone(),
            region: self.disk.region.clone(),
            format: LOG_FORMAT,
            public_key: *self.key().as_bytes(),
            previous,
            pseudonyms: None,
        };
        self.append(&Caller::Node, vec![Draft { tenant: None, event: Event::LedgerOpened(opened) }], now);
    }

    /// Carries out a command; it is acknowledged when it is synced.
    pub fn ask(
        &mut self,
        caller: Caller,
        command: Command,
        now: Timestamp,
    ) -> Result<(Decision, Vec<RecordId>), Rejection> {
        let request = Request { caller, request: None, idempotency: None, command };
        let now = self.recording_at(now);
        let wall = self.clocks.wall();
        let context = Context {
            now,
            latest: now.max(wall),
            earliest: now.min(wall).max(self.forgotten),
            is_settled: !self.clocks.refuses_issues(),
            origin: self.disk.own,
            policy: Policy::default(),
        };
        let decision = decide(&self.state, &request, context)?;
        let places = match &decision {
            Decision::Append(drafts) => self.append(&request.caller, drafts.clone(), now),
            _ => Vec::new(),
        };
        Ok((decision, places))
    }

    /// The clock that never goes back within an origin.
    fn recording_at(&self, now: Timestamp) -> Timestamp {
        self.stamped().max(now)
    }

    /// When the last record of its own origin was made.
    fn stamped(&self) -> Timestamp {
        let place = RecordId { origin: self.disk.own, sequence: self.disk.held(self.disk.own) };
        self.disk.at(place).map(|last| last.recorded.recorded_at).unwrap_or_default()
    }

    /// A process starts: it asks whether it may continue its origin.
    pub fn start(&mut self) {
        self.clocks.start(self.stamped());
        self.phase = Phase::Starting(0);
    }

    /// Forgets expired credentials.
    pub fn sweep(&mut self) {
        let at = self.clocks.forgets_at();
        self.state.prune(at);
        self.forgotten = self.forgotten.max(at);
    }

    fn append(&mut self, caller: &Caller, drafts: Vec<Draft>, now: Timestamp) -> Vec<RecordId> {
        let (origin, chain) = (self.disk.own, Chain::default());
        let mut places = Vec::new();
        for Draft { tenant, event } in drafts {
            let head = self.disk.head(origin);
            let place = RecordId { origin, sequence: head.sequence.next() };
            let actor = actor_of(caller, origin);
            let recorded = Recorded { place, recorded_at: now, tenant, actor, request: None, idempotency: None, event };
            let text = encode(&recorded);
            let hash = chain.link(&head.hash, text.as_bytes());
            self.fold(Entry { recorded: recorded.into(), text: text.into(), hash });
            places.push(place);
        }
        places
    }

    fn fold(&mut self, entry: Entry) {
        self.state.fold(&entry.recorded);
        self.disk.push(entry);
    }

    /// Makes its appended records durable. The commands that are acknowledged by it, and the parcel of its own records.
    pub fn sync(&mut self) -> (Vec<Pending>, Option<Parcel>) {
        let own = self.disk.own;
        let before = self.disk.durable(own);
        self.disk.synced = self.disk.log.len();
        for head in std::mem::take(&mut self.unkept) {
            self.disk.keep(head);
        }
        let pending = std::mem::take(&mut self.pending);
        self.waits.extend(pending.iter().filter_map(|pending| pending.wait.clone()));
        let head = self.disk.head(own);
        if head.sequence == before {
            return (pending, None);
        }
        let signed = self.disk.sign_head(own, head);
        self.disk.keep(signed);
        (pending, self.page(own, before))
    }

    /// The records that it holds of an origin after that one, up to the newest head that it can show.
    pub fn page(&self, origin: Origin, after: Sequence) -> Option<Parcel> {
        let kept = self.disk.heads.get(&origin)?;
        let head = *kept.last()?;
        if head.place.sequence <= after {
            return None;
        }
        let base = match after {
            Sequence(0) => None,
            _ if origin == self.disk.own => {
                let hash = self.disk.hash_at(origin, after)?;
                Some(self.disk.sign_head(origin, Head { sequence: after, hash }))
            }
            _ => kept.iter().find(|head| head.place.sequence == after).copied(),
        };
        let text = |n| self.disk.at(RecordId { origin, sequence: Sequence(n) }).map(|entry| (*entry.text).into());
        let records = (after.0 + 1..=head.place.sequence.0).map(text).collect::<Option<Vec<_>>>()?;
        Some(Parcel { base, records, head })
    }

    /// A parcel has arrived.
    pub fn receive(&mut self, bytes: &[u8]) -> Taken {
        let Ok(mut parcel) = Parcel::parse(bytes) else { return Taken::Refused(Refusal::Malformed) };
        let origin = parcel.origin();
        let head = parcel.head;
        if self.forked.contains(&origin) {
            return Taken::Nothing;
        }
        if self.weakness == Weakness::BasesAreNotCompared {
            parcel.base = None;
        }
        let known = IngestContext {
            ledger: self.disk.ledger,
            own: self.disk.own,
            members: &self.members(),
            anchors: &self.disk.anchors,
            reads: &self.reads,
            head: self.disk.head(origin),
        };
        match judge(parcel, &known, |sequence| self.disk.hash_at(origin, sequence)) {
            ParcelVerdict::Append(records) => {
                let taken = records.len();
                let hash_at = |place: RecordId| self.disk.hash_at(place.origin, place.sequence);
                let first = records.first();
                let shown = |first| other_end(first, head, self.disk.ledger, &self.members(), hash_at);
                let fork = if self.weakness == Weakness::BasesAreNotCompared { None } else { first.and_then(shown) };
                self.other_ends.extend(fork.map(|fork| fork.place.origin));
                for Foreign { recorded, record, hash } in records {
                    self.fold(Entry { recorded: recorded.into(), text: record.into(), hash });
                }
                self.unkept.push(head);
                Taken::Records(taken)
            }
            ParcelVerdict::Held(_) => Taken::Nothing,
            ParcelVerdict::Gap(_) => Taken::Gap(origin),
            ParcelVerdict::Refused(Refusal::Twin) => Taken::RolledBack(head),
            ParcelVerdict::Refused(refusal) => Taken::Refused(refusal),
            ParcelVerdict::Fork(_) => {
                self.forked.insert(origin);
                Taken::Fork(origin)
            }
            ParcelVerdict::Unreadable(_) => Taken::Unreadable,
        }
    }

    /// Its announcement of itself.
    pub fn speak(&mut self, now: Timestamp) -> CarriedAnnouncement {
        self.number += 1;
        let own = self.disk.own;
        let sequence = self.disk.durable(own);
        let hash = self.disk.hash_at(own, sequence).unwrap_or_default();
        let said = Announcement {
            ledger: self.disk.ledger,
            node: self.key(),
            incarnation: self.incarnation,
            supersedes: self.supersedes.clone(),
            number: self.number,
            now,
            region: self.disk.region.clone(),
            origin: own,
            head: Head { sequence, hash },
            applied: self.disk.applied(),
            stream: None,
            farewell: false,
        };
        said.speak(|message| self.disk.key.sign(message))
    }

    /// An announcement has arrived. Nothing, if it is not to be believed.
    pub fn hear(&mut self, bytes: &[u8], now: Timestamp) -> Option<Arrival> {
        let spoken = CarriedAnnouncement::hear(bytes)?;
        let said = &spoken.announcement;
        let trusted = self.state.members.takes_from(said.node) || self.disk.anchors.trusts(said.node);
        if said.ledger != self.disk.ledger || said.incarnation == self.incarnation || !trusted {
            return None;
        }
        Some(self.positions.hear(spoken, now))
    }

    /// Whether every member that counts has applied the record.
    pub fn have_reached(&self, wait: &Wait) -> bool {
        self.positions.have_reached(wait.place, &self.waited_for(), self.key(), wait.region.as_ref())
    }

    /// Keeps the runs of that node that it has heard of.
    fn keep_runs(&mut self, key: NodeKey) {
        let heard = self.positions.of(key).map(|heard| {
            let text: Arc<[u8]> = heard.spoken.text.to_vec().into();
            (heard.announcement().incarnation, (key, heard.at, text))
        });
        let heard: BTreeMap<_, _> = heard.collect();
        let kept = &mut self.disk.heard;
        kept.retain(|run, (of, ..)| *of != key || heard.contains_key(run));
        for (run, word) in heard {
            kept.entry(run).or_insert(word);
        }
    }

    /// The answer to another node that starts.
    pub fn holding(&mut self, key: NodeKey, origin: Origin, own: Head, now: Timestamp) -> Holding {
        if self.weakness.remembers() {
            self.keep_runs(key);
        }
        let sequence = self.disk.durable(origin);
        let hash = self.disk.hash_at(origin, sequence).unwrap_or_default();
        let silence = |at: Timestamp| Duration::from_millis(now.millis_since(at));
        let within = own.sequence <= sequence;
        Holding {
            node: self.key(),
            members: self.members().present().map(|(key, _, _)| key).collect(),
            head: Head { sequence, hash },
            known: if self.weakness.remembers() { self.positions.known(origin) } else { sequence },
            hash_at_own_head: if within { self.disk.hash_at(origin, own.sequence) } else { None },
            heard: self.positions.of(key).map(|heard| (heard.announcement().incarnation, silence(heard.at))).collect(),
            slots_used: 0,
        }
    }

    /// The members that it asks when it starts.
    pub fn others(&self) -> Vec<NodeKey> {
        self.state.members.present().map(|(key, _, _)| key).filter(|key| *key != self.key()).collect()
    }

    pub fn identify(&self, answers: &[Holding], all: bool, patience_is_over: bool) -> IdentityDecision {
        let own = Own {
            head: self.disk.head(self.disk.own),
            signed: self.disk.signed.map_or(Sequence(0), |head| head.place.sequence),
            incarnation: self.disk.incarnation,
            past: self.disk.past.clone(),
        };
        if self.weakness == Weakness::OriginsAreAlwaysContinued {
            return IdentityDecision::Continue(own.incarnation.into_iter().collect());
        }
        identify(&own, answers, all, patience_is_over)
    }

    /// Begins a run, which takes the place of these.
    pub fn run(&mut self, incarnation: Incarnation, over: Vec<Incarnation>) {
        self.phase = Phase::Running;
        self.incarnation = incarnation;
        self.disk.incarnation = Some(incarnation);
        self.disk.past.clone_from(&over);
        self.positions.end(&over);
        self.supersedes = over;
        self.number = 0;
    }

    /// Opens a new origin after the one that it may not continue.
    pub fn renew(&mut self, origin: Origin, now: Timestamp) {
        let Head { sequence, hash } = self.disk.head(self.disk.own);
        let previous = Previous { place: RecordId { origin: self.disk.own, sequence }, hash: hash.0 };
        self.open(origin, Some(previous), now);
    }

    /// Everything that was not synced is gone, and everything that was in memory.
    pub fn crash(&mut self) {
        self.disk.crash();
        *self =
            Self { weakness: self.weakness, ..Self::on(self.disk.clone(), self.reads.clone(), self.clocks.clone()) };
    }

    /// Says that it has caught up, or reads something else, once it may; and begins to answer, once it may. True if something
    /// came of it.
    pub fn tick(&mut self, now: Timestamp, is_heard: bool) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        let held = |origin| self.disk.held(origin);
        let own = self.key();
        let members = self.members();
        if members.is_empty() || members.get(own).is_none() {
            // A node that no other has joined is alone; one that was joined is named by others soon.
            let alone = self.disk.anchors.ledger().is_none() && !self.disk.admitted;
            self.disk.admitted |= alone;
            return alone;
        }
        let counts = members.counting(None).any(|(key, _)| key == own);
        let speaks = |member: &authledger::domain::Member| {
            member.upgraded.as_ref().is_some_and(|(_, _, reads)| *reads == self.reads)
        };
        let said = members.get(own).is_some_and(speaks);
        if !said && (counts || self.positions.are_held(held, &members, own)) {
            let upgrade = Command::UpgradeNode(NodeUpgraded { key: own, reads: self.reads.clone() });
            let asked = self.ask(Caller::Node, upgrade, now);
            return asked.is_ok_and(|(_, places)| !places.is_empty());
        }
        if self.disk.admitted || !counts {
            return false;
        }
        let durable = |origin| self.disk.durable(origin);
        let admits = |place: RecordId| {
            durable(place.origin) >= place.sequence && self.positions.admit(place, durable, &members, own)
        };
        let places = self.admission(&members);
        let admitted =
            is_heard && self.anchors_have_spoken(&members) && !places.is_empty() && places.into_iter().all(admits);
        self.disk.admitted |= admitted || self.weakness == Weakness::NodesAnswerAtOnce;
        self.disk.admitted
    }

    /// Whether all that it was told to trust have spoken to it: a node that counts is among them, or known to one of them.
    fn anchors_have_spoken(&self, members: &Members) -> bool {
        let gone = |key| members.get(key).is_some_and(|member| member.removed.is_some());
        self.disk.told.iter().all(|key| gone(*key) || self.positions.of(*key).next().is_some())
    }

    /// The records from which on others know that this node, as it is now, is to be waited for.
    fn admission(&self, members: &Members) -> Vec<RecordId> {
        let opening = RecordId { origin: self.disk.own, sequence: Sequence(1) };
        let renewed = self.state.origins.get(&opening).is_some_and(|opened| opened.previous.is_some());
        let upgraded = members.get(self.key()).and_then(|member| member.upgraded.as_ref());
        let upgraded = upgraded.map(|(_, place, _)| *place);
        renewed.then_some(opening).into_iter().chain(upgraded).collect()
    }
}
