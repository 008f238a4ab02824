//! Laws, under generated histories of commands on two nodes.

use authledger::audit::{AuditError, verify};
use authledger::domain::{
    Caller, Command, CredentialId, Decision, Event, Grants, Kind, Kinds, Place, Position, Recorded, RevokeSubject, Row,
    Scope, State, Timestamp,
};
use authledger::event_log::{decode, encode};
use authledger::projection::Projection;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::log::{LogFile, fold_into, hashes};
use crate::support::node::{
    Node, application_id, digest, grants, issue_in, register_until, renew, revoke, revoke_id, seconds, subject, tenant,
};

const TENANTS: [&str; 2] = ["default", "acme"];
const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];
/// Secrets that a history may name; few, so that commands meet.
const SECRETS: u64 = 12;

/// One thing that happens at one of the two nodes.
#[derive(Clone, Debug)]
enum Step {
    Issue {
        tenant: usize,
        subject: usize,
        ttl: u64,
    },
    Revoke {
        secret: u64,
        by_id: bool,
    },
    RevokeSubject {
        tenant: usize,
        subject: usize,
        kinds: u8,
        hold: bool,
    },
    Renew {
        secret: u64,
        ago_seconds: u64,
    },
    Register {
        application: u64,
        everything: bool,
    },
    Remove {
        application: u64,
    },
    /// The other node's records arrive, at most that many.
    Receive {
        records: usize,
    },
}

#[derive(Clone, Debug)]
struct Happening {
    second_node: bool,
    after_seconds: u64,
    caller: Option<u64>,
    key: Option<(u8, u8)>,
    step: Step,
}

fn step(alone: bool) -> impl Strategy<Value = Step> {
    let receive = if alone { 0 } else { 4 };
    prop_oneof![
        6 => (0..2usize, 0..3usize, 1..2000u64).prop_map(|(tenant, subject, ttl)| Step::Issue { tenant, subject, ttl }),
        3 => (0..SECRETS, any::<bool>()).prop_map(|(secret, by_id)| Step::Revoke { secret, by_id }),
        2 => (0..2usize, 0..3usize, 1..8u8, any::<bool>())
            .prop_map(|(tenant, subject, kinds, hold)| Step::RevokeSubject { tenant, subject, kinds, hold }),
        3 => (0..SECRETS, 0..300u64).prop_map(|(secret, ago_seconds)| Step::Renew { secret, ago_seconds }),
        2 => (0..3u64, any::<bool>()).prop_map(|(application, everything)| Step::Register { application, everything }),
        2 => (0..3u64).prop_map(|application| Step::Remove { application }),
        receive => (1..6usize).prop_map(|records| Step::Receive { records }),
    ]
}

fn happening(alone: bool) -> impl Strategy<Value = Happening> {
    let key = prop::option::weighted(0.3, (0..3u8, 0..2u8));
    // Now and then a day or more goes by, so that keys and tickets come to their end.
    let after = prop_oneof![8 => 0..600u64, 1 => 80_000..200_000u64];
    (any::<bool>(), after, prop::option::weighted(0.3, 0..3u64), key, step(alone)).prop_map(
        move |(second, after_seconds, caller, key, step)| Happening {
            second_node: second && !alone,
            after_seconds,
            caller,
            key,
            step,
        },
    )
}

fn history(alone: bool) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(alone), 1..40)
}

/// Two nodes, or a lone one, to which things happen.
struct World {
    nodes: Vec<Node>,
    /// How many of the other's own records each has received.
    received: [usize; 2],
    issued: u64,
}

impl World {
    fn new(alone: bool) -> Self {
        let mut nodes = if alone { vec![Node::lone()] } else { <[Node; 2]>::from(Node::pair()).into() };
        for node in &mut nodes {
            if alone {
                // Endings are over within a history. With two nodes they must outlast what the other may still issue.
                node.policy.longest_life = seconds(86_400);
            }
            node.policy.max_unknown_endings = 4;
        }
        Self { nodes, received: [1, 1], issued: 0 }
    }

    fn happen(&mut self, happening: &Happening) -> Option<Decision> {
        let which = usize::from(happening.second_node);
        // One time for both: clocks that differ are another test's business.
        for node in &mut self.nodes {
            node.after_seconds(happening.after_seconds);
        }
        if let Step::Receive { records } = happening.step {
            self.receive(which, records);
            return None;
        }
        let command = self.command(&happening.step);
        let request = authledger::domain::Request {
            caller: happening.caller.map_or(Caller::Root, |n| Caller::Application(application_id(n))),
            request: None,
            idempotency: happening
                .key
                .map(|(key, body)| authledger::domain::Idempotency { key: [key; 16], body: [body; 16] }),
            command,
        };
        self.nodes[which].carry_out(request).ok()
    }

    fn receive(&mut self, which: usize, records: usize) {
        let from = self.received[which];
        let arriving: Vec<Recorded> = self.nodes[1 - which].own().skip(from).take(records).cloned().collect();
        self.received[which] += arriving.len();
        arriving.iter().for_each(|recorded| self.nodes[which].receive(recorded));
    }

    fn exchange_all(&mut self) {
        (0..self.nodes.len()).for_each(|which| self.receive(which, usize::MAX));
    }

    fn command(&mut self, step: &Step) -> Command {
        match *step {
            Step::Issue { tenant, subject, ttl } => {
                self.issued += 1;
                issue_in(TENANTS[tenant], self.issued - 1, SUBJECTS[subject], Some(ttl))
            }
            Step::Revoke { secret, by_id: false } => revoke(secret),
            Step::Revoke { secret, by_id: true } => revoke_id(secret),
            Step::RevokeSubject { tenant: name, subject: whose, kinds, hold } => {
                Command::RevokeSubject(RevokeSubject {
                    tenant: tenant(TENANTS[name]),
                    subject: subject(SUBJECTS[whose]),
                    kinds: Kind::ALL.into_iter().filter(|kind| kinds & 1 << kind.index() != 0).collect::<Kinds>(),
                    keep: None,
                    hold: hold.then(|| seconds(120)),
                    reason: None,
                    note: None,
                })
            }
            Step::Renew { secret, ago_seconds } => {
                let now = self.nodes[0].now.as_millis();
                renew(secret, Timestamp::from_millis(now - ago_seconds.min(now / 1000) * 1000).unwrap())
            }
            Step::Register { application, everything } => {
                let few = grants(&[("acme", &[Scope::Issue, Scope::Revoke])]);
                register_until(application, if everything { Grants::everything() } else { few }, None)
            }
            Step::Remove { application } => Command::RemoveApplication(application_id(application)),
            Step::Receive { .. } => unreachable!("nobody asks for it"),
        }
    }
}

fn live(alone: bool, history: &[Happening]) -> World {
    let mut world = World::new(alone);
    history.iter().for_each(|happening| drop(world.happen(happening)));
    world
}

fn rows_at(records: &[Recorded], now: Timestamp) -> Vec<Row> {
    let mut state = State::default();
    records.iter().for_each(|recorded| state.fold(recorded));
    state.prune(now);
    state.rows()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replay_equals_live_at_every_prefix(history in history(false)) {
        let world = live(false, &history);
        for node in &world.nodes {
            let (live, mut replayed) = (Projection::default(), State::default());
            for recorded in &node.log {
                fold_into(&live, recorded);
                let read_back = decode(encode(recorded).as_bytes()).unwrap();
                prop_assert_eq!(&read_back, recorded);
                replayed.fold(&read_back);
                prop_assert_eq!(live.rows(), replayed.rows());
            }
            live.prune(node.now);
            replayed.prune(node.now);
            prop_assert_eq!(live.rows(), replayed.rows());
        }
    }

    #[test]
    fn a_node_that_forgets_as_it_goes_agrees_with_a_replay_that_forgets_at_the_end(history in history(true)) {
        let mut world = World::new(true);
        for happening in &history {
            world.happen(happening);
            let now = world.nodes[0].now;
            world.nodes[0].state.prune(now);
        }
        let node = &world.nodes[0];
        prop_assert_eq!(node.state.rows(), rows_at(&node.log, node.now));
    }

    #[test]
    fn the_same_records_in_any_order_give_one_state(history in history(false), order in any::<u64>()) {
        let mut world = live(false, &history);
        world.exchange_all();
        let now = world.nodes[0].now;
        let (one, other) = (rows_at(&world.nodes[0].log, now), rows_at(&world.nodes[1].log, now));
        prop_assert_eq!(&one, &other, "in the order of arrival at each node");
        let mut shuffled = world.nodes[0].log.clone();
        shuffle(&mut shuffled, order);
        prop_assert_eq!(&one, &rows_at(&shuffled, now), "in any order at all");
        let twice: Vec<Recorded> = shuffled.iter().chain(&world.nodes[1].log).cloned().collect();
        prop_assert_eq!(&one, &rows_at(&twice, now), "each of them twice");
        let live = Projection::default();
        shuffled.iter().for_each(|recorded| fold_into(&live, recorded));
        let base = crate::support::log::projection_of(&world.nodes[0].log).base();
        live.reached(base);
        live.prune(now);
        prop_assert_eq!(&one, &live.rows(), "in the server's own state");
    }

    #[test]
    fn joins_are_commutative_associative_and_idempotent(history in history(false), cut in any::<(Index, Index)>()) {
        let mut world = live(false, &history);
        world.exchange_all();
        let mut log = world.nodes[0].log.clone();
        shuffle(&mut log, history.len() as u64);
        let (first, second) = (cut.0.index(log.len()), cut.1.index(log.len()));
        let (first, second) = (first.min(second), first.max(second));
        let parts = [&log[..first], &log[first..second], &log[second..]].map(folded);
        let [a, b, c] = &parts;
        for id in log.iter().filter_map(ticket_of) {
            laws(&[a, b, c].map(|state| state.tickets.get(&id).cloned().unwrap_or_default()), |one, other| one.merge(other))?;
        }
        for name in SUBJECTS.iter().flat_map(|name| TENANTS.map(|space| (tenant(space), subject(name)))) {
            laws(&[a, b, c].map(|state| state.subjects.get(&name).cloned().unwrap_or_default()), |one, other| one.merge(other))?;
        }
        for id in (0..3).map(application_id) {
            laws(&[a, b, c].map(|state| state.applications.get(&id).cloned().unwrap_or_default()), |one, other| one.merge(other))?;
        }
    }

    #[test]
    fn nothing_revoked_comes_back(history in history(false)) {
        let mut world = World::new(false);
        // What the root was told is ended at that node, and whatever a node has once found revoked.
        let mut ended: [Vec<CredentialId>; 2] = [Vec::new(), Vec::new()];
        for happening in &history {
            let decision = world.happen(happening);
            if let (Step::Revoke { secret, .. }, None, Some(Decision::Append(_) | Decision::Already(_)))
                = (&happening.step, happening.caller, &decision)
            {
                ended[usize::from(happening.second_node)].push(digest(*secret).id());
            }
            for (node, ended) in world.nodes.iter_mut().zip(&mut ended) {
                node.state.prune(node.now);
                let revoked = |id: &CredentialId| matches!(node.judge(*id), Err(authledger::domain::Dead::Revoked(..)));
                ended.extend(node.state.tickets.keys().copied().filter(revoked));
                for id in &*ended {
                    prop_assert!(node.judge(*id).is_err(), "{} came back", id);
                }
            }
        }
        world.exchange_all();
        for id in ended.iter().flatten() {
            prop_assert!(world.nodes.iter().all(|node| node.judge(*id).is_err()), "{} is good somewhere", id);
        }
    }

    #[test]
    fn any_flipped_bit_is_found_at_its_position(
        history in history(false), which in any::<Index>(), byte in any::<Index>(), bit in 0..8u32, in_hash in any::<bool>(),
    ) {
        let log = live(false, &history).nodes.swap_remove(0).log;
        let file = LogFile::of(&log);
        let verified = verify(&file.path(), |_, _| {}).unwrap();
        prop_assert_eq!(verified.events, log.len() as u64);
        let which = which.index(log.len());
        let bytes = if in_hash { hashes(&log)[which].0.to_vec() } else { encode(&log[which]).into_bytes() };
        file.flip(&bytes, byte.index(bytes.len()), 1 << bit);
        match verify(&file.path(), |_, _| {}) {
            Err(AuditError::Damaged { position, .. }) => prop_assert_eq!(position, Position(which as u64 + 1)),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// Checks that a join forms a semilattice over these three.
fn laws<T: Clone + PartialEq + std::fmt::Debug>(parts: &[T; 3], join: impl Fn(&mut T, T)) -> Result<(), TestCaseError> {
    let joined = |one: &T, other: &T| {
        let mut both = one.clone();
        join(&mut both, other.clone());
        both
    };
    let [a, b, c] = parts;
    prop_assert_eq!(joined(a, b), joined(b, a));
    prop_assert_eq!(joined(&joined(a, b), c), joined(a, &joined(b, c)));
    prop_assert_eq!(&joined(a, a), a);
    Ok(())
}

fn folded(records: &[Recorded]) -> State {
    let mut state = State::default();
    records.iter().for_each(|recorded| state.fold(recorded));
    state
}

fn ticket_of(recorded: &Recorded) -> Option<CredentialId> {
    match &recorded.event {
        Event::TicketIssued(issued) => Some(issued.digest.id()),
        Event::Revoked(revoked) => Some(revoked.credential.id()),
        _ => None,
    }
}

/// A permutation that the seed chooses.
fn shuffle(records: &mut [Recorded], seed: u64) {
    let key = |place: Place| {
        let bytes = [&seed.to_be_bytes()[..], place.origin.as_bytes(), &place.sequence.0.to_be_bytes()].concat();
        *blake3::hash(&bytes).as_bytes()
    };
    records.sort_by_key(|recorded| key(recorded.place));
}

#[test]
fn every_kind_of_event_happens_in_the_histories() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let history = history(false).new_tree(&mut runner).unwrap().current();
        names.extend(live(false, &history).nodes[0].log.iter().map(|recorded| recorded.event.type_name()));
    }
    assert_eq!(names.len(), 7, "{names:?}");
}
