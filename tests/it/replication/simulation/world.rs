//! The nodes, the network between them, and their time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use authledger::cluster::{
    Anchors, Begun, Holding, IdentityDecision, Incarnation, OriginRenewal, Parcel, SignedHead, beside,
    have_all_answered, is_heard, may_write,
};
use authledger::domain::{
    Caller, Command, Decision, JoinNode, LedgerId, NodeKey, NodeName, Origin, Reads, Region, Rejection, Sequence,
    Timestamp,
};
use uuid::Uuid;

use super::clocks::Clocks;
use super::disk::{Disk, Key};
use super::node::{PATIENCE, Pending, Phase, SimNode, Taken, Wait};
use super::truth::{Checked, Truth};
use super::weaken::Weakness;
use crate::support::node::START_MILLIS;
use crate::support::random::Random;

/// How many lines of its events a failing run shows.
pub const TRACED: usize = 40;
const REGIONS: [&str; 3] = ["north", "south", "west"];

/// A message on its way.
#[derive(Clone)]
pub enum Payload {
    Parcel(Arc<[u8]>),
    Announcement(Arc<[u8]>),
}

#[derive(Clone)]
struct Flight {
    due: u64,
    from: usize,
    to: usize,
    payload: Payload,
}

/// The parcels of an origin that a broker has.
#[derive(Default)]
pub struct Stream {
    pub name: u64,
    pub messages: Vec<Arc<[u8]>>,
}

pub struct World {
    pub random: Random,
    pub step: u64,
    now: u64,
    pub ledger: LedgerId,
    pub nodes: Vec<SimNode>,
    /// The side of a partition that each node is on.
    pub side: Vec<u8>,
    /// Whether a node's disk was replaced by another copy, and it has not answered since.
    pub replaced: Vec<bool>,
    /// When each node has last said something of itself, by the true time.
    spoke_at: Vec<Timestamp>,
    flights: Vec<Flight>,
    /// Whether the network loses, doubles, delays and alters.
    pub faults: bool,
    pub streams: BTreeMap<Origin, Stream>,
    pub truth: Truth,
    pub counts: BTreeMap<&'static str, u64>,
    trace: VecDeque<String>,
    /// How many lines of it are kept.
    pub traced: usize,
    pub weakness: Weakness,
}

impl World {
    pub fn new(seed: u64, weakness: Weakness) -> Self {
        let mut random = Random::of(seed);
        let ledger = LedgerId(Uuid::from_u64_pair(random.next(), random.next()));
        Self {
            random,
            step: 0,
            now: START_MILLIS,
            ledger,
            nodes: Vec::new(),
            side: Vec::new(),
            replaced: Vec::new(),
            spoke_at: Vec::new(),
            flights: Vec::new(),
            faults: false,
            streams: BTreeMap::new(),
            truth: Truth::default(),
            counts: BTreeMap::new(),
            trace: VecDeque::new(),
            traced: TRACED,
            weakness,
        }
    }

    pub fn count(&mut self, what: &'static str) {
        self.count_by(what, 1);
    }

    pub fn count_by(&mut self, what: &'static str, by: u64) {
        *self.counts.entry(what).or_default() += by;
    }

    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == self.traced {
            self.trace.pop_front();
        }
        let line = format!("{:>4}  {}", self.step, line());
        self.trace.push_back(line);
    }

    pub fn told(&self) -> String {
        self.trace.iter().map(|line| format!("{line}\n")).collect()
    }

    pub fn pass(&mut self, millis: u64) {
        self.now += millis;
        self.nodes.iter_mut().for_each(|node| node.clocks.pass(millis));
    }

    /// The true time, which nobody knows.
    fn truly_now(&self) -> Timestamp {
        Timestamp::from_millis(self.now).unwrap()
    }

    /// Ledger time at a node.
    pub fn clock(&self, slot: usize) -> Timestamp {
        self.nodes[slot].clocks.now()
    }

    /// The latest time at any node.
    pub fn latest_clock(&self) -> Timestamp {
        self.nodes.iter().map(|node| node.clocks.now()).max().unwrap_or_default()
    }

    pub fn fresh_origin(&mut self) -> Origin {
        Origin::from_random(std::array::from_fn(|_| self.random.next() as u8))
    }

    fn fresh_incarnation(&mut self) -> Incarnation {
        Incarnation(Uuid::from_u64_pair(self.random.next(), self.random.next()))
    }

    pub fn connected(&self, one: usize, other: usize) -> bool {
        self.nodes[one].is_up() && self.nodes[other].is_up() && self.side[one] == self.side[other]
    }

    pub fn ready(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|slot| self.nodes[*slot].is_ready()).collect()
    }

    pub fn slots(&self, of: impl Fn(&SimNode) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|slot| of(&self.nodes[*slot])).collect()
    }

    /// A directory that belongs to a ledger, or to none yet, and a node that runs on it.
    pub fn found(&mut self, anchors: Anchors, reads: Reads) -> usize {
        let slot = self.nodes.len();
        let key = Key::of(self.random.next());
        let name = NodeName::new(&format!("node-{slot}")).unwrap();
        let region = Region::new(REGIONS[slot % REGIONS.len()]).unwrap();
        let origin = self.fresh_origin();
        let clocks = Clocks::new(self.now, &mut self.random);
        let disk = Disk::create(key, name, region, self.ledger, anchors, origin);
        let node = SimNode::on(disk, reads, clocks);
        self.add(node, false);
        let now = self.clock(slot);
        self.nodes[slot].open(origin, None, now);
        self.run(slot, Vec::new());
        self.sync(slot);
        slot
    }

    /// One node more.
    pub fn add(&mut self, mut node: SimNode, replaced: bool) {
        node.weakness = self.weakness;
        self.nodes.push(node);
        self.side.push(0);
        self.replaced.push(replaced);
        self.spoke_at.push(Timestamp::default());
    }

    pub fn run(&mut self, slot: usize, over: Vec<Incarnation>) {
        let incarnation = self.fresh_incarnation();
        self.truth.superseded.extend(&over);
        self.nodes[slot].run(incarnation, over);
    }

    /// A command at a node, which is synced sooner or later.
    pub fn ask(
        &mut self,
        slot: usize,
        caller: Caller,
        command: Command,
        wait: Option<Option<Region>>,
    ) -> Result<Decision, Rejection> {
        let now = self.clock(slot);
        let knew = self.nodes[slot].disk.places.iter();
        let knew = knew.map(|(origin, places)| (*origin, Sequence(places.len() as u64))).collect::<BTreeMap<_, _>>();
        let node = &mut self.nodes[slot];
        let (decision, places) = node.ask(caller, command, now)?;
        for place in &places {
            let hash = node.disk.hash_at(place.origin, place.sequence).unwrap();
            self.truth.knew.insert(hash, knew.clone());
        }
        if let Some(last) = places.last() {
            let wait = wait.map(|region| Wait { place: *last, region });
            node.pending.push(Pending { places, wait });
        }
        Ok(decision)
    }

    /// The records that a node has appended become durable; its commands are acknowledged; its own records set out.
    pub fn sync(&mut self, slot: usize) {
        let before = self.nodes[slot].disk.synced;
        let (pending, parcel) = self.nodes[slot].sync();
        let node = &self.nodes[slot];
        let own = node.disk.own;
        let own = node.disk.log[before..].iter().filter(|entry| entry.recorded.place.origin == own);
        own.for_each(|entry| self.truth.exists(entry));
        for place in pending.iter().flat_map(|pending| &pending.places) {
            let hash = node.disk.hash_at(place.origin, place.sequence).unwrap();
            self.truth.acknowledged.insert((*place, hash));
        }
        self.count_by("command acknowledged", pending.len() as u64);
        let Some(parcel) = parcel else { return };
        let text: Arc<[u8]> = parcel.to_text().into();
        self.publish(slot, &parcel, &text);
        self.send(slot, &Payload::Parcel(text));
    }

    /// To every other node that can be reached, as the network pleases.
    pub fn send(&mut self, from: usize, payload: &Payload) {
        for to in 0..self.nodes.len() {
            if to != from {
                self.send_to(from, to, payload.clone());
            }
        }
    }

    pub fn send_to(&mut self, from: usize, to: usize, mut payload: Payload) {
        if !self.connected(from, to) {
            return;
        }
        if !self.faults {
            self.flights.push(Flight { due: self.step, from, to, payload });
            return;
        }
        if self.random.percent(12) {
            return self.count("message lost");
        }
        if self.random.percent(3) {
            self.count("message altered");
            let (Payload::Parcel(bytes) | Payload::Announcement(bytes)) = &mut payload;
            let mut altered = bytes.to_vec();
            let at = self.random.below(altered.len() as u64) as usize;
            altered[at] ^= 1 << self.random.below(8);
            *bytes = altered.into();
        }
        let copies = 1 + u64::from(self.random.percent(6));
        self.count_by("message doubled", copies - 1);
        for _ in 0..copies {
            let delay = if self.random.percent(30) { self.random.below(25) } else { 1 };
            self.count_by("message delayed", u64::from(delay > 1));
            self.flights.push(Flight { due: self.step + delay, from, to, payload: payload.clone() });
        }
    }

    /// The messages that are due arrive, in the order in which they were sent.
    pub fn deliver(&mut self) {
        let (due, later): (Vec<Flight>, _) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.due <= self.step);
        self.flights = later;
        for Flight { from, to, payload, .. } in due {
            if self.nodes[to].phase != Phase::Running || self.side[from] != self.side[to] {
                continue;
            }
            match payload {
                Payload::Parcel(bytes) => self.arrive(from, to, &bytes),
                Payload::Announcement(bytes) => {
                    let now = self.clock(to);
                    self.nodes[to].hear(&bytes, now);
                }
            }
        }
    }

    fn arrive(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let before = self.nodes[to].disk.log.len();
        match self.nodes[to].receive(bytes) {
            Taken::Records(records) => {
                self.tell(|| format!("node {to} takes {records} records from node {from}"));
                for origin in std::mem::take(&mut self.nodes[to].other_ends) {
                    self.tell(|| format!("node {to} learns from its successor that {origin} has told two stories"));
                    self.count("fork found by a successor");
                    self.truth.evidence.insert(origin);
                }
                let taken = self.nodes[to].disk.log[before..].iter();
                taken.for_each(|entry| self.truth.exists(entry));
                if !self.faults || self.random.percent(60) {
                    self.sync(to);
                }
            }
            Taken::Gap(origin) => {
                self.count("gap found");
                self.pull(to, from, origin);
            }
            Taken::Fork(origin) => {
                self.tell(|| format!("node {to} finds that {origin} has told two stories"));
                self.count("fork found by a parcel");
                self.truth.evidence.insert(origin);
            }
            Taken::Refused(refusal) => {
                self.tell(|| format!("node {to} refuses what node {from} sent: {refusal}"));
                self.count(match refusal.code() {
                    "malformed" => "parcel refused: malformed",
                    "not-a-member" => "parcel refused: not a member",
                    "bad-signature" => "parcel refused: bad signature",
                    "altered" => "parcel refused: altered",
                    "own" => "parcel refused: own",
                    _ => "parcel refused: other",
                });
            }
            Taken::RolledBack(head) => self.roll_back(to, head),
            Taken::Unreadable => self.count("parcel set aside: unreadable"),
            Taken::Nothing => {}
        }
    }

    /// A node learns that its log has lost records that it has signed: it stops, and is started again.
    fn roll_back(&mut self, slot: usize, head: SignedHead) {
        self.tell(|| format!("node {slot} is told that it was rolled back, and stops"));
        self.count("directory found to be rolled back");
        self.crash(slot);
        self.nodes[slot].disk.signed = Some(head);
        self.nodes[slot].start();
    }

    /// A node that another one does not know as a member gives it the records that say so.
    fn introduce(&mut self, from: usize, to: usize) {
        let own = self.nodes[from].key();
        let there = &self.nodes[to];
        if there.phase != Phase::Running || there.members().takes_from(own) || there.disk.anchors.trusts(own) {
            return;
        }
        let Some((joined, _)) = self.nodes[from].members().joined(own).map(|(place, joined)| (place, joined.clone()))
        else {
            return;
        };
        let after = there.disk.held(joined.origin).min(Sequence(joined.sequence.0 - 1));
        if let Some(page) = self.nodes[from].page(joined.origin, after) {
            self.count("introduction");
            self.send_to(from, to, Payload::Parcel(page.to_text().into()));
        }
    }

    /// A node asks another one for the records of an origin that it lacks.
    pub fn pull(&mut self, to: usize, from: usize, origin: Origin) {
        if to == from || !self.connected(to, from) {
            return;
        }
        // Of a removed node nobody takes more than its own records.
        let there = &self.nodes[from];
        if self.truth.removed.contains(&there.key()) && there.state.members.key_of(origin) != Some(there.key()) {
            return;
        }
        let after = self.nodes[to].disk.held(origin);
        if let Some(page) = self.nodes[from].page(origin, after) {
            self.count(if self.nodes[from].disk.own == origin { "page from the origin" } else { "page relayed" });
            self.send_to(from, to, Payload::Parcel(page.to_text().into()));
        }
    }

    /// A node asks another one for all records that it lacks.
    pub fn pull_all(&mut self, to: usize, from: usize) {
        let origins: Vec<Origin> = self.nodes[from].disk.heads.keys().copied().collect();
        origins.into_iter().for_each(|origin| self.pull(to, from, origin));
    }

    pub fn announce(&mut self, slot: usize) {
        if self.nodes[slot].phase == Phase::Running {
            let now = self.clock(slot);
            self.spoke_at[slot] = self.truly_now();
            let text = self.nodes[slot].speak(now).text.to_vec();
            self.send(slot, &Payload::Announcement(text.into()));
            for to in (0..self.nodes.len()).filter(|to| *to != slot).collect::<Vec<_>>() {
                if self.connected(slot, to) {
                    self.introduce(slot, to);
                }
            }
        }
    }

    /// Every node speaks once a second. After a long time, the last messages arrive at once.
    pub fn heartbeats(&mut self, long: bool) {
        for slot in 0..self.nodes.len() {
            if self.truly_now().millis_since(self.spoke_at[slot]) >= 1_000 {
                self.announce(slot);
            }
        }
        if long {
            self.flights.iter_mut().for_each(|flight| flight.due = self.step);
            self.deliver();
        }
    }

    /// A broker has each origin's parcels in a stream. A stream that has lost acknowledged parcels is left: everything is
    /// published again under another name.
    fn publish(&mut self, slot: usize, parcel: &Parcel, text: &Arc<[u8]>) {
        let origin = parcel.origin();
        let stream = self.streams.entry(origin).or_default();
        let node = &mut self.nodes[slot];
        if stream.name != node.publishing.stream || stream.messages.len() != node.publishing.acknowledged {
            let Some(all) = node.page(origin, Sequence(0)) else { return };
            *stream = Stream { name: stream.name + 1, messages: vec![all.to_text().into()] };
            *self.counts.entry("stream begun").or_default() += 1;
        } else {
            stream.messages.push(text.clone());
        }
        node.publishing.stream = stream.name;
        node.publishing.acknowledged = stream.messages.len();
    }

    /// A node reads on in an origin's stream.
    pub fn consume(&mut self, slot: usize, origin: Origin) {
        if self.nodes[slot].phase != Phase::Running || self.nodes[slot].disk.own == origin {
            return;
        }
        let Some(stream) = self.streams.get(&origin) else { return };
        let (name, read) = self.nodes[slot].consumed.get(&origin).copied().unwrap_or_default();
        let read = if name == stream.name { read } else { 0 };
        let name = stream.name;
        let message = stream.messages.get(read).cloned();
        let Some(message) = message else { return };
        self.nodes[slot].consumed.insert(origin, (name, read + 1));
        self.count("message of a stream");
        self.arrive(slot, slot, &message);
    }

    /// The members' answers about the records of a node that they hold, and whether all have answered.
    fn holdings(&mut self, slot: usize) -> (Vec<Holding>, bool) {
        let key = self.nodes[slot].key();
        let own = self.nodes[slot].disk.own;
        let head = self.nodes[slot].disk.head(own);
        let known = self.nodes[slot].others();
        // First those that it knows, and then those that they name.
        let mut answers = Vec::<Holding>::new();
        let mut asked = BTreeSet::from([key]);
        let mut next = known.clone();
        while let Some(other) = next.pop() {
            if !asked.insert(other) {
                continue;
            }
            let there = self.slots(|node| node.key() == other);
            let heard = |one: &usize| self.connected(slot, *one);
            let answering: Vec<usize> = there.into_iter().filter(heard).collect();
            if self.faults && self.random.percent(15) {
                continue;
            }
            for one in answering {
                let now = self.clock(one);
                let holding = self.nodes[one].holding(key, own, head, now);
                next.extend(&holding.members);
                answers.push(holding);
            }
        }
        let all = have_all_answered(key, &known, &answers);
        (answers, all)
    }

    /// A node that starts asks the others which of its records they hold.
    pub fn identify(&mut self, slot: usize) {
        let Phase::Starting(asked) = self.nodes[slot].phase else { return };
        let own = self.nodes[slot].disk.own;
        let (answers, all) = self.holdings(slot);
        let others = self.nodes[slot].others();
        if others.is_empty() {
            let disk = &self.nodes[slot].disk;
            let over = disk.incarnation.iter().chain(&disk.past).copied().collect();
            self.run(slot, over);
            if self.nodes[slot].disk.signed.is_some() {
                self.reopen(slot);
            }
            return;
        }
        let identity = self.nodes[slot].identify(&answers, all, asked >= PATIENCE);
        self.tell(|| format!("node {slot} is told {} answers, all: {all}; so {identity:?}", answers.len()));
        match identity {
            IdentityDecision::Ask => self.nodes[slot].phase = Phase::Starting(asked + 1),
            IdentityDecision::Continue(over) => {
                self.run(slot, over);
                if self.weakness.remembers() {
                    self.nodes[slot].phase = Phase::Begun(0);
                }
            }
            IdentityDecision::Renew(why, over) => {
                let beside = beside(&answers, &over);
                self.leave(slot, why, over, beside);
            }
            IdentityDecision::Contradicted => {
                self.count("directory contradicted");
                self.truth.evidence.insert(own);
                self.halt(slot);
            }
        }
    }

    /// A node that continues its origin tells the others, and writes nothing before they know.
    fn begin(&mut self, slot: usize, asked: u32) {
        self.tell_of_run(slot);
        let (answers, all) = self.holdings(slot);
        let run = self.nodes[slot].incarnation;
        let over = self.nodes[slot].supersedes.clone();
        let leave = || [&[run], &over[..]].concat();
        match may_write(run, &answers, all, &over, asked >= PATIENCE) {
            Begun::TooEarly => self.nodes[slot].phase = Phase::Begun(asked + 1),
            Begun::MayWrite => {
                self.count("origin continued");
                self.nodes[slot].phase = Phase::Running;
            }
            Begun::Unheard => self.leave(slot, OriginRenewal::NobodyAnswered, leave(), Vec::new()),
            Begun::Duplicated(runs) => self.leave(slot, OriginRenewal::Running, leave(), runs),
        }
    }

    /// A node that can be reached hears of it, even where it is starting itself.
    fn tell_of_run(&mut self, slot: usize) {
        let now = self.clock(slot);
        let text = self.nodes[slot].speak(now).text;
        for to in (0..self.nodes.len()).filter(|to| *to != slot).collect::<Vec<_>>() {
            if self.connected(slot, to) && !(self.faults && self.random.percent(15)) {
                let now = self.clock(to);
                self.nodes[to].hear(&text, now);
            }
        }
    }

    /// Another origin takes the place of the one that this node may not continue.
    fn leave(&mut self, slot: usize, why: OriginRenewal, over: Vec<Incarnation>, beside: Vec<Incarnation>) {
        self.tell(|| format!("node {slot} leaves its origin: {why:?}"));
        self.count(match why {
            OriginRenewal::NobodyAnswered => "origin renewed: nobody answered",
            OriginRenewal::SomeWereSilent => "origin renewed: some were silent",
            OriginRenewal::OlderCopy => "origin renewed: older copy",
            OriginRenewal::UsedSince => "origin renewed: used since",
            OriginRenewal::Running => "origin renewed: running",
            OriginRenewal::ClockAccepted => "origin renewed: clock accepted",
        });
        self.run(slot, over);
        self.nodes[slot].positions.expect(beside);
        self.reopen(slot);
    }

    /// A new origin for a node that may not continue its own.
    fn reopen(&mut self, slot: usize) {
        let origin = self.fresh_origin();
        let now = self.clock(slot);
        self.nodes[slot].renew(origin, now);
        self.sync(slot);
    }

    fn halt(&mut self, slot: usize) {
        self.nodes[slot].phase = Phase::Halted;
        let none = Disk { log: Vec::new(), places: BTreeMap::new(), synced: 0, ..self.nodes[slot].disk.clone() };
        self.forget(slot, &none);
    }

    /// Whether others take records from that node: it can be used, a record has made it a member, and none has removed it. One that was
    /// refused when it joined is only a spectator.
    pub fn is_asked(&self, node: &SimNode) -> bool {
        let key = node.key();
        let has_joined = || self.nodes.iter().any(|other| other.members().joined(key).is_some());
        node.phase != Phase::Halted && !self.truth.removed.contains(&key) && (self.nodes.len() == 1 || has_joined())
    }

    /// The records that this node's disk alone has held, and that one has not, are lost.
    pub fn forget(&mut self, slot: usize, after: &super::disk::Disk) {
        let others = self.nodes.iter().enumerate().filter(|(other, node)| *other != slot && self.is_asked(node));
        let others: Vec<&SimNode> = others.map(|(_, node)| node).collect();
        let lost = self.truth.lost.len();
        self.truth.lose(&self.nodes[slot].disk, after, &others);
        let lost = (self.truth.lost.len() - lost) as u64;
        self.count_by("record lost with its disk", lost);
    }

    pub fn crash(&mut self, slot: usize) {
        let disk = &self.nodes[slot].disk;
        let lost = (disk.log.len() - disk.synced) as u64;
        self.count_by("record lost that was not synced", lost);
        self.nodes[slot].crash();
        // The messages of a process about itself are lost with its connections.
        self.flights.retain(|flight| flight.from != slot || matches!(flight.payload, Payload::Parcel(_)));
    }

    /// A node that may do so says that it has caught up, and begins to answer; one that starts asks.
    pub fn tick(&mut self, slot: usize) -> bool {
        match self.nodes[slot].phase {
            Phase::Starting(_) => {
                self.identify(slot);
                true
            }
            Phase::Begun(asked) => {
                self.begin(slot, asked);
                true
            }
            Phase::Running => {
                let now = self.clock(slot);
                let was_ready = self.nodes[slot].is_ready();
                let is_heard = !self.nodes[slot].disk.admitted && {
                    let (answers, all) = self.holdings(slot);
                    is_heard(self.nodes[slot].incarnation, &answers, all)
                };
                let something = self.nodes[slot].tick(now, is_heard);
                if self.nodes[slot].is_ready() {
                    self.replaced[slot] = false;
                    if !was_ready {
                        self.tell(|| format!("node {slot} is ready"));
                        self.count("node ready");
                    }
                }
                something
            }
            Phase::Down | Phase::Halted => false,
        }
    }

    /// Every wait is asked about again.
    pub fn ask_waits(&mut self) -> Checked {
        for slot in 0..self.nodes.len() {
            if self.nodes[slot].phase != Phase::Running {
                continue;
            }
            let waits = std::mem::take(&mut self.nodes[slot].waits);
            let (reached, rest): (Vec<Wait>, Vec<Wait>) =
                waits.into_iter().partition(|wait| self.nodes[slot].have_reached(wait));
            self.nodes[slot].waits = rest;
            for wait in reached {
                self.count(if wait.region.is_some() { "wait for a region answered" } else { "wait for all answered" });
                self.tell(|| format!("node {slot} says that {wait:?} is reached"));
                self.reached_in_truth(slot, &wait)?;
            }
        }
        Ok(())
    }

    /// A node is made known to another one, which must be ready.
    pub fn join(&mut self, through: usize, reads: Reads) -> Option<usize> {
        let members = self.nodes[through].members();
        // Removed ones, too: a node that comes later must read their records.
        let trusted = members.iter().map(|(key, _)| key).filter(|key| members.trusts(*key));
        let keys = trusted.chain([self.nodes[through].key()]);
        let keys: Vec<NodeKey> = keys.collect();
        let anchors = Anchors::new(self.ledger, keys.clone(), Vec::new());
        let joining = self.found(anchors, reads);
        self.nodes[joining].disk.told = keys;
        let join = JoinNode { node: self.nodes[joining].joined(), asked: self.nodes[through].joined() };
        let own = self.nodes[joining].disk.own;
        self.tell(|| format!("node {joining}, {own}, joins through node {through}"));
        let asked = self.ask(through, Caller::Root, Command::JoinNode(Box::new(join)), None);
        self.sync(through);
        asked.is_ok().then_some(joining)
    }

    /// Delivers until nothing moves, with nothing in the way. An error, if that does not come.
    pub fn settle(&mut self, rounds: u64) -> Checked {
        self.faults = false;
        self.side.iter_mut().for_each(|side| *side = 0);
        let mut quiet = 0;
        for _ in 0..rounds {
            let before = self.stand();
            self.step += 1;
            self.pass(1_000);
            for slot in 0..self.nodes.len() {
                if self.nodes[slot].phase == Phase::Down {
                    self.nodes[slot].start();
                }
                self.tick(slot);
                if self.nodes[slot].phase == Phase::Running {
                    self.sync(slot);
                }
            }
            self.deliver();
            for to in 0..self.nodes.len() {
                (0..self.nodes.len()).for_each(|from| self.pull_all(to, from));
                self.deliver();
            }
            (0..self.nodes.len()).for_each(|slot| self.announce(slot));
            self.deliver();
            self.ask_waits()?;
            quiet = if self.stand() == before { quiet + 1 } else { 0 };
            if quiet == 3 {
                return Ok(());
            }
        }
        Err("it becomes quiet: it does not, after everything was healed".to_owned())
    }

    /// The values that change as long as something moves.
    fn stand(&self) -> Vec<(usize, usize, Phase, bool, usize)> {
        let of =
            |node: &SimNode| (node.disk.log.len(), node.disk.synced, node.phase, node.disk.admitted, node.waits.len());
        self.nodes.iter().map(of).collect()
    }
}
