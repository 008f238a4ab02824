//! The events of a run, one after the other, as the seed chooses.

use std::collections::BTreeMap;

use authledger::cluster::Anchors;
use authledger::domain::{
    Caller, Cohort, Command, CredentialRef, EraseSubject, Grants, IssueToken, JoinNode, Kind, Kinds, NodeJoined,
    ParentChoice, PeerAddress, Reads, RemoveApplication, RevokeCohort, RevokeSubject, Tenant, TokenForm,
};

use super::disk::Disk;
use super::node::{Phase, SimNode};
use super::truth::Checked;
use super::weaken::Weakness;
use super::world::World;
use crate::support::node::{
    application_id, digest, issue, issue_session, jti, jwt, new_token, register, renew, replace, revoke, revoke_id,
    revoke_named, seconds, session_digest, session_id, subject, ticket_key, token_digest, token_key,
};

const SUBJECTS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// The most nodes of one run, clones among them.
const MAX_NODES: usize = 7;

/// A run: a world, and the names that have been given in it.
pub struct Run {
    pub world: World,
    tickets: u64,
    /// The subject of each session.
    sessions: Vec<usize>,
    tokens: u64,
    keys: u64,
    applications: u64,
    addresses: u64,
    backups: BTreeMap<usize, Disk>,
    removals: u64,
    /// Whether directories are copied and started next to one another.
    clones: bool,
    /// Whether expired credentials are forgotten on the way.
    sweeps: bool,
    /// Whether wall clocks jump and drift, and much time goes by.
    unruly: bool,
}

/// A release before two of the types.
fn earlier_release() -> Reads {
    Reads::of_this_release().without(&["subject.erased".to_owned(), "session.extended".to_owned()])
}

impl Run {
    pub fn new(seed: u64, weakness: Weakness) -> Self {
        Self {
            world: World::new(seed, weakness),
            tickets: 0,
            sessions: Vec::new(),
            tokens: 0,
            keys: 0,
            applications: 0,
            addresses: 0,
            backups: BTreeMap::new(),
            removals: 0,
            clones: seed.is_multiple_of(5),
            sweeps: seed.is_multiple_of(2),
            unruly: seed % 3 == 2,
        }
    }

    /// From the first node to the last check.
    pub fn live(&mut self) -> Checked {
        let world = &mut self.world;
        let nodes = 3 + world.random.below(3);
        let first = world.found(Anchors::default(), Reads::of_this_release());
        world.tick(first);
        for _ in 1..nodes {
            let old = world.random.percent(12);
            world.join(first, if old { earlier_release() } else { Reads::of_this_release() });
        }
        // Mostly all of them are members before the trouble begins.
        if world.random.percent(85) {
            world.settle(40)?;
        }
        let steps = 120 + world.random.below(120);
        world.faults = true;
        for _ in 0..steps {
            self.step()?;
        }
        self.heal()
    }

    fn step(&mut self) -> Checked {
        let world = &mut self.world;
        world.step += 1;
        let long = world.random.percent(if self.unruly { 3 } else { 1 });
        let passing = match (long, self.unruly) {
            (false, _) => world.random.below(160),
            (true, false) => 1_200_000,
            (true, true) => world.random.below(12 * 3_600_000),
        };
        world.pass(passing);
        world.deliver();
        world.heartbeats(long);
        for slot in 0..world.nodes.len() {
            world.tick(slot);
        }
        self.happen();
        if self.unruly && self.world.random.percent(6) {
            self.disturb_a_clock();
        }
        let world = &mut self.world;
        world.ask_waits()?;
        let slot = world.random.below(world.nodes.len() as u64 * 3) as usize;
        if slot < world.nodes.len() { world.nothing_comes_back(slot) } else { Ok(()) }
    }

    fn happen(&mut self) {
        match self.world.random.below(100) {
            0..=44 => self.command(),
            45..=54 => self.sync(),
            55..=66 => self.pull(),
            67..=72 => self.announce(),
            73..=78 => self.command(),
            79..=84 => self.consume(),
            85..=87 => self.crash(),
            88..=91 => self.restart(),
            92 => self.partition(),
            93..=94 => self.mend(),
            95 => self.copy(),
            96 => self.lose_a_suffix(),
            97 => self.join_or_remove(),
            98 => self.upgrade(),
            _ if self.sweeps => self.prune(),
            _ => self.announce(),
        }
    }

    fn running(&mut self) -> Option<usize> {
        let running = self.world.slots(|node| node.phase == Phase::Running);
        self.world.random.pick(&running)
    }

    fn command(&mut self) {
        let ready = self.world.ready();
        let Some(slot) = self.world.random.pick(&ready) else { return };
        let (caller, command) = self.chosen(slot);
        let random = &mut self.world.random;
        let region = self.world.nodes[slot].disk.region.clone();
        let wait = random.percent(40).then(|| random.percent(40).then_some(region));
        let named = command_name(&command);
        let decision = self.world.ask(slot, caller, command, wait);
        self.world.tell(|| match decision {
            Ok(authledger::domain::Decision::Append(drafts)) => {
                format!("node {slot}: {named}: {} records", drafts.len())
            }
            other => format!("node {slot}: {named}: {other:?}"),
        });
        // Mostly it is synced at once; a crash may come before.
        if self.world.random.percent(75) {
            self.world.sync(slot);
        }
    }

    fn chosen(&mut self, slot: usize) -> (Caller, Command) {
        let random = &mut self.world.random;
        let whose = random.below(SUBJECTS.len() as u64) as usize;
        let name = SUBJECTS[whose];
        let caller = match random.below(self.applications * 8 + 8) {
            n if n < self.applications => Caller::Application(application_id(n)),
            _ => Caller::Root,
        };
        let command = match random.below(100) {
            0..=19 => {
                self.tickets += 1;
                issue(self.tickets - 1, name)
            }
            20..=33 => {
                self.sessions.push(whose);
                issue_session(self.sessions.len() as u64 - 1, name)
            }
            34..=49 => {
                self.tokens += 1;
                let number = self.tokens - 1;
                let form = if random.percent(30) {
                    TokenForm::Jwt(jti(number))
                } else {
                    TokenForm::Opaque(token_digest(number))
                };
                let session = random.percent(50).then(|| random.below(self.sessions.len() as u64));
                let session = session.filter(|number| (*number as usize) < self.sessions.len());
                let owner = session.map_or(whose, |number| self.sessions[number as usize]);
                let new = new_token("default", form, SUBJECTS[owner], session);
                // Some come from a ticket or another token, of any subject.
                let other = session.is_none() && random.percent(60);
                let parent = other.then(|| {
                    ParentChoice::Any(match random.below(3) {
                        0 => ticket_key(digest(random.below(self.tickets + 1)).id()),
                        1 => token_key(&CredentialRef::Digest(token_digest(random.below(number + 1)))),
                        _ => token_key(&jwt(random.below(number + 1))),
                    })
                });
                Command::IssueToken(IssueToken { parent: parent.or(new.parent), ..new }.into())
            }
            50..=59 => {
                let number = random.below(self.tickets + 1);
                if random.percent(50) { revoke(number) } else { revoke_id(number) }
            }
            60..=67 => {
                let number = random.below(self.sessions.len() as u64 + 1);
                let by_id = random.percent(50);
                let named = if by_id {
                    CredentialRef::Id(session_id(number))
                } else {
                    CredentialRef::Digest(session_digest(number))
                };
                revoke_named(Kind::Session, named)
            }
            68..=75 => {
                let number = random.below(self.tokens + 1);
                let named = if random.percent(50) { CredentialRef::Digest(token_digest(number)) } else { jwt(number) };
                revoke_named(Kind::Token, named)
            }
            76..=83 => {
                let kinds = if random.percent(40) { 7 } else { 1 + random.below(7) };
                Command::RevokeSubject(RevokeSubject {
                    tenant: Tenant::default(),
                    subject: subject(name),
                    kinds: Kind::ALL.into_iter().filter(|kind| kinds & 1 << kind.index() != 0).collect::<Kinds>(),
                    issued_before: None,
                    keep: None,
                    hold: random.percent(15).then(|| seconds(5)),
                    reason: None,
                    note: None,
                })
            }
            84 if random.percent(40) => Command::EraseSubject(EraseSubject {
                tenant: Tenant::default(),
                subject: subject(name),
                slots: [1 + random.below(9)].into_iter().collect(),
                reason: None,
            }),
            84..=87 => renew(random.below(self.tickets + 1), self.world.clock(slot)),
            88..=90 => {
                let extended = session_id(random.below(self.sessions.len() as u64 + 1));
                Command::ExtendSession(extended, Some(seconds(200_000)))
            }
            91..=94 => {
                self.keys += 1;
                let rotate = random.percent(50);
                let earlier: Vec<String> = (1..self.keys).filter(|_| rotate).map(|n| format!("key-{n}")).collect();
                replace(&earlier, &format!("key-{}", self.keys))
            }
            95..=96 => {
                self.applications += 1;
                register(self.applications - 1, Grants::everything())
            }
            97 if random.percent(50) => Command::RevokeCohort(Box::new(RevokeCohort {
                cohort: Cohort::Application(application_id(random.below(self.applications + 1))),
                kinds: Kinds::ALL,
                keep: None,
                hold: None,
                reason: None,
                note: None,
            })),
            97 => Command::RemoveApplication(RemoveApplication {
                id: application_id(random.below(self.applications + 1)),
                revoke: random.percent(50),
            }),
            _ => return (Caller::Root, self.address(slot)),
        };
        (caller, command)
    }

    /// A member is said to be reached elsewhere than before.
    fn address(&mut self, slot: usize) -> Command {
        let members = self.world.nodes[slot].members();
        let present: Vec<&NodeJoined> = members.present().map(|(_, joined, _)| joined).collect();
        let asked = self.world.nodes[slot].joined();
        self.addresses += 1;
        let address = PeerAddress::new(&format!("https://node-{}.example", self.addresses)).unwrap();
        let moved = self.world.random.pick(&present).cloned().unwrap_or(asked.clone());
        Command::JoinNode(Box::new(JoinNode { node: NodeJoined { address: Some(address), ..moved }, asked }))
    }

    fn sync(&mut self) {
        if let Some(slot) = self.running() {
            self.world.sync(slot);
        }
    }

    fn pull(&mut self) {
        let Some(to) = self.running() else { return };
        let Some(from) = self.running() else { return };
        self.world.pull_all(to, from);
    }

    fn announce(&mut self) {
        if let Some(slot) = self.running() {
            self.world.announce(slot);
        }
    }

    fn consume(&mut self) {
        let origins: Vec<_> = self.world.streams.keys().copied().collect();
        let (Some(slot), Some(origin)) = (self.running(), self.world.random.pick(&origins)) else { return };
        self.world.consume(slot, origin);
        self.world.consume(slot, origin);
    }

    fn crash(&mut self) {
        let up = self.world.slots(SimNode::is_up);
        if let Some(slot) = self.world.random.pick(&up) {
            self.world.tell(|| format!("node {slot} crashes"));
            self.world.count("crash");
            self.world.crash(slot);
        }
    }

    fn restart(&mut self) {
        let down = self.world.slots(|node| node.phase == Phase::Down);
        if let Some(slot) = self.world.random.pick(&down) {
            self.world.tell(|| format!("node {slot} starts"));
            self.world.count("restart");
            self.world.nodes[slot].start();
        }
    }

    fn disturb_a_clock(&mut self) {
        let World { nodes, random, .. } = &mut self.world;
        let slot = random.below(nodes.len() as u64) as usize;
        let trouble = nodes[slot].clocks.disturb(random);
        self.world.count(trouble);
        self.world.tell(|| format!("node {slot}: {trouble}"));
    }

    fn partition(&mut self) {
        let world = &mut self.world;
        for slot in 0..world.nodes.len() {
            world.side[slot] = world.random.below(2) as u8;
        }
        let sides = world.side.clone();
        world.tell(|| format!("the nodes are on the sides {sides:?}"));
        if sides.contains(&0) && sides.contains(&1) {
            world.count("partition");
        }
    }

    fn mend(&mut self) {
        self.world.side.iter_mut().for_each(|side| *side = 0);
        self.world.tell(|| "all sides are one".to_owned());
    }

    /// A backup is made, or one takes the place of a disk, or a directory is copied and started next to itself.
    fn copy(&mut self) {
        let fit = |node: &SimNode| node.disk.admitted && !node.others().is_empty() && node.phase != Phase::Halted;
        let fit = self.world.slots(fit);
        let Some(slot) = self.world.random.pick(&fit) else { return };
        let copy = || {
            let mut copy = self.world.nodes[slot].disk.clone();
            copy.crash();
            copy
        };
        if self.clones && self.world.nodes.len() < MAX_NODES && self.world.random.percent(40) {
            let World { nodes, .. } = &self.world;
            let node = SimNode::on(copy(), nodes[slot].reads.clone(), nodes[slot].clocks.clone());
            self.start_next_to(slot, node);
        } else if self.backups.contains_key(&slot) && self.world.random.percent(80) {
            self.restore(slot);
        } else {
            self.backups.insert(slot, copy());
            self.world.count("backup");
        }
    }

    fn start_next_to(&mut self, slot: usize, clone: SimNode) {
        let world = &mut self.world;
        let copy = world.nodes.len();
        world.add(clone, true);
        world.side[copy] = world.side[slot];
        world.nodes[copy].start();
        // Now and then both are started at once.
        let both = world.random.percent(50);
        if both {
            world.crash(slot);
            world.nodes[slot].start();
        }
        world.tell(|| format!("node {copy} starts on a copy of node {slot}, which starts too: {both}"));
        world.count("clone");
    }

    fn restore(&mut self, slot: usize) {
        let Some(backup) = self.backups.get(&slot).cloned() else { return };
        let world = &mut self.world;
        world.tell(|| format!("node {slot} is restored to {} records", backup.log.len()));
        world.count("restore");
        world.crash(slot);
        world.forget(slot, &backup);
        let (reads, clocks) = (world.nodes[slot].reads.clone(), world.nodes[slot].clocks.clone());
        world.nodes[slot] = SimNode::on(backup, reads, clocks);
        world.nodes[slot].weakness = world.weakness;
        world.nodes[slot].start();
        world.replaced[slot] = true;
    }

    fn lose_a_suffix(&mut self) {
        let origins: Vec<_> = self.world.streams.keys().copied().collect();
        let Some(origin) = self.world.random.pick(&origins) else { return };
        let lost = 1 + self.world.random.below(3) as usize;
        let Some(stream) = self.world.streams.get_mut(&origin) else { return };
        stream.messages.truncate(stream.messages.len().saturating_sub(lost));
        self.world.count("stream rolled back");
    }

    fn join_or_remove(&mut self) {
        let ready = self.world.ready();
        let Some(slot) = self.world.random.pick(&ready) else { return };
        if self.world.random.percent(50) {
            // A node that was removed can't know it yet, and speaks for nobody any more.
            if self.world.nodes.len() < MAX_NODES && !self.world.truth.removed.contains(&self.world.nodes[slot].key()) {
                let old = self.world.random.percent(30);
                self.world.count("join");
                self.world.join(slot, if old { earlier_release() } else { Reads::of_this_release() });
            }
            return;
        }
        let own = self.world.nodes[slot].key();
        let members = self.world.nodes[slot].members();
        let others: Vec<_> = members.present().filter(|(key, _, _)| *key != own).map(|(_, joined, _)| joined).collect();
        if others.len() < 2 || self.removals == 2 {
            return;
        }
        let Some(other) = self.world.random.pick(&others) else { return };
        self.removals += 1;
        self.world.count("removal");
        let command = Command::RemoveNode(other.node.clone(), own);
        let decision = self.world.ask(slot, Caller::Root, command, None);
        self.world.tell(|| format!("node {slot} removes {}: {:?}", other.node, decision.map(drop)));
        self.world.sync(slot);
    }

    fn upgrade(&mut self) {
        let old = self.world.slots(|node| node.reads != Reads::of_this_release());
        if let Some(slot) = self.world.random.pick(&old) {
            self.world.tell(|| format!("node {slot} is of the new release"));
            self.world.count("release upgraded");
            self.world.nodes[slot].reads = Reads::of_this_release();
        }
    }

    fn prune(&mut self) {
        if let Some(slot) = self.running() {
            self.world.nodes[slot].sweep();
            self.world.count("sweep");
        }
    }

    /// The network is whole again, everybody is started and of one release, and everything that is missing is delivered.
    fn heal(&mut self) -> Checked {
        let world = &mut self.world;
        world.tell(|| "everything is healed".to_owned());
        world.nodes.iter_mut().for_each(|node| node.reads = Reads::of_this_release());
        world.settle(120)?;
        world.check_at_the_end()
    }
}

fn command_name(command: &Command) -> String {
    let shown = format!("{command:?}");
    shown.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
