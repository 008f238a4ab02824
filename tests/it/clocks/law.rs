//! Clocks that jump at random, restarts, folds and snapshots: nothing revoked comes back, and nothing that has expired, unless an
//! earlier time was accepted.

use std::collections::BTreeMap;

use authledger::clock::{Course, EarlierTime, Reading};
use authledger::domain::{
    Command, CredentialKey, CredentialRef, Decision, Event, Generation, Issuer, Kind, ParentChoice, Policy,
    PresentedToken, RecordId, Revoke, RevokeTokens, State, Timestamp, TokenForm, TokenId, judge, judge_presented,
};
use proptest::prelude::*;

use crate::support::node::{
    ModelNode, at, digest, issue_in, issuer, jti, jwt, new_session, new_token, own_session, presented_token, publish,
    revoke_subject, seconds, session_id, subject, tenant, ticket_key, token_digest, token_key,
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const SUBJECTS: [&str; 2] = ["alice", "bob"];

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    MoveWall(i64),
    SetWallRight,
    Issue { kind: u8, subject: usize, ttl: u64 },
    Revoke { which: usize },
    RevokeSubject { subject: usize },
    Prune,
    Mark,
    Snapshot,
    Restart { down: u64, stopped: bool, from_snapshot: bool },
    Accept,
}

fn step() -> impl Strategy<Value = Step> {
    let span = || prop_oneof![3 => 0..MINUTE, 3 => 0..10 * MINUTE, 2 => 0..4 * HOUR];
    let jump = prop_oneof![0..HOUR, 0..3 * HOUR, 0..40 * 24 * HOUR];
    prop_oneof![
        6 => span().prop_map(Step::Pass),
        3 => (jump, any::<bool>()).prop_map(|(by, ahead)| Step::MoveWall(by.cast_signed() * if ahead { 1 } else { -1 })),
        2 => Just(Step::SetWallRight),
        8 => (0..6u8, 0..2usize, 1..7_200u64).prop_map(|(kind, subject, ttl)| Step::Issue { kind, subject, ttl }),
        5 => (0..64usize).prop_map(|which| Step::Revoke { which }),
        2 => (0..2usize).prop_map(|subject| Step::RevokeSubject { subject }),
        6 => Just(Step::Prune),
        3 => Just(Step::Mark),
        2 => Just(Step::Snapshot),
        3 => (span(), any::<bool>(), any::<bool>())
            .prop_map(|(down, stopped, from_snapshot)| Step::Restart { down, stopped, from_snapshot }),
        2 => Just(Step::Accept),
    ]
}

/// A credential as its bearer presents it.
#[derive(Clone, Debug)]
enum Held {
    Ticket(u64),
    Lasting(CredentialKey),
    /// A JWT: the issue need not be in memory for it to be active.
    Presented(Box<PresentedToken>),
}

struct Made {
    held: Held,
    subject: usize,
    named: CredentialRef,
    revoked: bool,
    /// When it was first found expired, and not active again by an earlier time that was accepted.
    expired_at: Option<Timestamp>,
}

/// A node with its clocks and its disk.
struct World {
    node: ModelNode,
    course: Course,
    /// The right time, the wall clock, and the boot clock: in milliseconds.
    truth: u64,
    wall: u64,
    boot: u64,
    marked: Mark,
    snapshot: Option<(State, Timestamp, usize)>,
    /// The latest instant at which anything was forgotten.
    forgotten: Timestamp,
    stamped: Timestamp,
    made: Vec<Made>,
    origins: u8,
    /// Ledger time as it was seen last, by this run and since the last acceptance.
    seen: Timestamp,
}

#[derive(Clone, Copy)]
struct Mark {
    reached: Timestamp,
    forgotten: Timestamp,
}

impl World {
    fn new() -> Self {
        let mut node = ModelNode::lone();
        let hours = |hours: u64| seconds(hours * 3_600);
        // Short, so that revocations are forgotten within a history.
        node.policy = Policy {
            ticket_max_life: hours(1),
            session_max_life: hours(2),
            longest_life: hours(2),
            ..Policy::default()
        };
        node.ask(publish("key-1")).unwrap();
        let truth = at(0).as_millis();
        let course = Course::start(Reading { wall: at(0), boot: 0 }, EarlierTime::default());
        let marked = Mark { reached: at(0), forgotten: at(0) };
        Self {
            node,
            course,
            truth,
            wall: truth,
            boot: 0,
            marked,
            snapshot: None,
            forgotten: Timestamp::default(),
            stamped: at(0),
            made: Vec::new(),
            origins: 0,
            seen: at(0),
        }
    }

    fn reading(&self) -> Reading {
        Reading { wall: Timestamp::from_millis(self.wall).unwrap(), boot: self.boot }
    }

    fn now(&mut self) -> Timestamp {
        self.course.follow(self.reading());
        self.course.at(self.boot)
    }

    fn ask(&mut self, command: Command) -> Option<Decision> {
        self.node.now = self.now();
        self.node.wall = Some(self.reading().wall);
        let decision = self.node.ask(command).ok()?;
        if matches!(decision, Decision::Append(_)) {
            self.stamped = self.node.now;
        }
        Some(decision)
    }

    fn happen(&mut self, step: &Step) {
        match *step {
            Step::Pass(millis) => self.pass(millis, true),
            Step::MoveWall(by) => self.wall = self.wall.saturating_add_signed(by).clamp(1, 1 << 50),
            Step::SetWallRight => self.wall = self.truth,
            Step::Issue { kind, subject, ttl } => self.issue(kind, subject, ttl),
            Step::Revoke { which } => self.revoke(which),
            Step::RevokeSubject { subject } => self.revoke_subject(subject),
            Step::Prune => self.prune(),
            Step::Mark => self.mark(),
            Step::Snapshot => {
                self.snapshot = Some((self.node.state.clone(), self.forgotten, self.node.log.len()));
            }
            Step::Restart { down, stopped, from_snapshot } => self.restart(down, stopped, from_snapshot),
            Step::Accept => self.accept(),
        }
    }

    fn pass(&mut self, millis: u64, up: bool) {
        (self.truth, self.wall) = (self.truth + millis, self.wall + millis);
        if up {
            self.boot += millis;
        }
    }

    fn issue(&mut self, kind: u8, whose: usize, ttl: u64) {
        let n = self.made.len() as u64;
        let name = SUBJECTS[whose];
        let key = |kind, id| Held::Lasting(CredentialKey { kind, id });
        let session = self.made.iter().rev().find_map(|made| match (&made.held, made.subject == whose) {
            (Held::Lasting(key), true) if key.kind == Kind::Session => Some(key.id),
            _ => None,
        });
        let (command, held, named) = match kind {
            0 => (issue_in("default", n, name, Some(ttl)), Held::Ticket(n), CredentialRef::Digest(digest(n))),
            1 => {
                let session = new_session("default", n, name, Some(ttl));
                (
                    Command::IssueSession(session.into()),
                    key(Kind::Session, session_id(n)),
                    CredentialRef::Id(session_id(n)),
                )
            }
            2..=4 => {
                let form = if kind == 2 { TokenForm::Opaque(token_digest(n)) } else { TokenForm::Jwt(jti(n)) };
                let mut token = new_token("default", form, name, None);
                token.ttl = Some(seconds(ttl));
                token.parent = if kind == 4 { session.map(ParentChoice::OwnSession) } else { None };
                let named = if kind == 2 { CredentialRef::Digest(token_digest(n)) } else { jwt(n) };
                (Command::IssueToken(token.into()), Held::Lasting(token_key(&named)), named)
            }
            _ => return self.present_foreign(n, whose, ttl),
        };
        if self.ask(command).is_none() {
            return;
        }
        let held = match (held, &self.node.last().event) {
            (Held::Lasting(_), Event::TokenIssued(issued)) if kind > 2 => Held::Presented(Box::new(PresentedToken {
                issued_at_seconds: Some(self.node.now.as_seconds()),
                expires_at: Some(issued.expires_at),
                generation: Some(issued.generation.clone()),
                ancestors: issued.parent.map(|parent| own_session(parent.key.id, subject(name))).into_iter().collect(),
                leeway_seconds: 0,
                ..presented_token(named.clone(), subject(name))
            })),
            (held, _) => held,
        };
        self.made.push(Made { held, subject: whose, named, revoked: false, expired_at: None });
    }

    /// Another issuer's clock is right.
    fn present_foreign(&mut self, n: u64, whose: usize, ttl: u64) {
        let issuer = Issuer::new("https://other.example").unwrap();
        let named = CredentialRef::Jwt { issuer, jti: TokenId::new(&format!("foreign-{n}")).unwrap() };
        let held = Held::Presented(Box::new(PresentedToken {
            issued_at_seconds: Some(self.truth / 1_000),
            expires_at: Timestamp::from_millis(self.truth + ttl * 1_000),
            ..presented_token(named.clone(), subject(SUBJECTS[whose]))
        }));
        self.made.push(Made { held, subject: whose, named, revoked: false, expired_at: None });
    }

    fn revoke(&mut self, which: usize) {
        if self.made.is_empty() {
            return;
        }
        let which = which % self.made.len();
        let (kind, credential) = match &self.made[which].held {
            Held::Ticket(_) => (Kind::Ticket, self.made[which].named.clone()),
            Held::Lasting(key) => (key.kind, self.made[which].named.clone()),
            Held::Presented(token) => {
                let tokens = vec![(**token).clone()];
                let command = Command::RevokeTokens(RevokeTokens { tokens, reason: None, note: None });
                let told = self.ask(command);
                self.made[which].revoked |= matches!(told, Some(Decision::Append(_) | Decision::Already(_)));
                return;
            }
        };
        let told = self.ask(Command::Revoke(Revoke { kind, credential, reason: None, note: None }));
        self.made[which].revoked |= matches!(told, Some(Decision::Append(_) | Decision::Already(_)));
    }

    fn revoke_subject(&mut self, whose: usize) {
        if self.ask(revoke_subject(SUBJECTS[whose], None)).is_none() {
            return;
        }
        // A token of another issuer can only be told to be older where one of the two clocks is not behind.
        let reaches_truth = self.node.now.max(self.reading().wall).as_seconds() >= self.truth / 1_000;
        for made in self.made.iter_mut().filter(|made| made.subject == whose) {
            let is_foreign = matches!(&made.held, Held::Presented(token) if token.generation.is_none());
            made.revoked |= !is_foreign || reaches_truth;
        }
    }

    fn prune(&mut self) {
        self.now();
        let forgets_at = self.course.forgets_at().min(self.marked.forgotten);
        self.node.state.prune(forgets_at);
        self.forgotten = self.forgotten.max(forgets_at);
    }

    fn mark(&mut self) {
        let reached = self.now();
        self.marked = Mark { reached, forgotten: self.course.forgets_at() };
    }

    fn restart(&mut self, down: u64, stopped: bool, from_snapshot: bool) {
        if stopped {
            self.mark();
            self.snapshot = Some((self.node.state.clone(), self.forgotten, self.node.log.len()));
        }
        self.pass(down, false);
        self.boot = 0;
        let held = self.snapshot.take();
        let snapshot = if from_snapshot { held } else { None };
        self.rebuild(snapshot, Timestamp::MAX);
        let reached = self.marked.reached.max(self.stamped).max(self.forgotten);
        let before =
            EarlierTime { reached: Some(reached), forgotten: Some(self.marked.forgotten), unsettled_millis: 0 };
        self.begin(before);
    }

    fn rebuild(&mut self, snapshot: Option<(State, Timestamp, usize)>, judged_at: Timestamp) {
        let usable = snapshot.filter(|(_, forgotten, _)| *forgotten <= judged_at);
        let (state, forgotten, from) = usable.unwrap_or_default();
        (self.node.state, self.forgotten) = (state, forgotten);
        for (number, recorded) in self.node.log[from..].iter().enumerate() {
            self.node.state.fold(recorded);
            if number % 7 == 6 {
                let at = recorded.recorded_at.min(self.marked.forgotten);
                self.node.state.prune(at);
                self.forgotten = self.forgotten.max(at);
            }
        }
    }

    fn begin(&mut self, before: EarlierTime) {
        self.course = Course::start(self.reading(), before);
        let reached = before.reached.unwrap();
        self.seen = reached;
        // Nobody knows any more what was seen after the last record on disk.
        self.made.iter_mut().for_each(|made| made.expired_at = made.expired_at.filter(|at| *at <= reached));
        self.mark();
        self.prune();
    }

    fn accept(&mut self) {
        self.now();
        let wall = self.reading().wall;
        if self.course.jump().is_none() {
            return;
        }
        let fell = wall < self.course.at(self.boot);
        if wall >= self.stamped && wall >= self.marked.forgotten {
            self.course.accept(self.reading());
        } else {
            self.heal(wall);
        }
        if fell {
            self.seen = wall;
            self.made.iter_mut().for_each(|made| made.expired_at = None);
        }
        self.mark();
    }

    /// Goes on under a new origin, and revokes the credentials that the old ones have recorded beyond that instant.
    fn heal(&mut self, accepted: Timestamp) {
        self.marked = Mark { reached: accepted, forgotten: self.marked.forgotten.min(accepted) };
        let snapshot = Some((std::mem::take(&mut self.node.state), self.forgotten, self.node.log.len()));
        self.rebuild(snapshot, accepted);
        let beyond: Vec<RecordId> =
            self.node.log.iter().filter(|one| one.recorded_at > accepted).map(|one| one.place).collect();
        let before = EarlierTime {
            reached: Some(accepted.max(self.forgotten)),
            forgotten: Some(self.marked.forgotten),
            unsettled_millis: 0,
        };
        self.begin(before);
        self.node.now = self.now();
        self.origins += 1;
        self.node.renew_origin(char::from(b'a' + self.origins));
        self.stamped = self.node.now;
        let records: BTreeMap<RecordId, Event> =
            self.node.log.iter().map(|one| (one.place, one.event.clone())).collect();
        for place in beyond {
            let (kind, credential) = match &records[&place] {
                Event::TicketIssued(issued) => (Kind::Ticket, CredentialRef::Digest(issued.digest)),
                Event::SessionIssued(issued) => (Kind::Session, CredentialRef::Id(issued.id)),
                Event::TokenIssued(issued) => (Kind::Token, issued.name.clone()),
                _ => continue,
            };
            let named = credential.clone();
            if self.ask(Command::Revoke(Revoke { kind, credential, reason: None, note: None })).is_some() {
                self.made.iter_mut().filter(|made| made.named == named).for_each(|made| made.revoked = true);
            }
        }
        // It takes the place of the one on disk, which may have forgotten credentials that have not expired by the time that was accepted.
        self.snapshot = Some((self.node.state.clone(), self.forgotten, self.node.log.len()));
    }

    fn is_active(&self, held: &Held, now: Timestamp) -> bool {
        let state = &self.node.state;
        match held {
            Held::Ticket(n) => judge(state, ticket_key(digest(*n).id()), now).is_ok(),
            Held::Lasting(key) => judge(state, *key, now).is_ok(),
            Held::Presented(token) => judge_presented(state, token, now).is_ok(),
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let now = self.now();
        prop_assert!(self.seen <= now, "ledger time fell");
        self.seen = now;
        prop_assert!(self.course.forgets_at() <= now, "forgetting is ahead of ledger time");
        prop_assert!(self.forgotten <= now, "something is forgotten that is judged earlier");
        for n in 0..self.made.len() {
            let is_active = self.is_active(&self.made[n].held, now);
            let made = &mut self.made[n];
            prop_assert!(!(made.revoked && is_active), "{:?} was revoked and is active", made.held);
            prop_assert!(!(made.expired_at.is_some() && is_active), "{:?} had expired and is active", made.held);
            if !is_active && !made.revoked {
                made.expired_at = made.expired_at.or(Some(now));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_revoked_comes_back_whatever_the_clocks_do(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.happen(step);
            world.check()?;
            // A server looks at its clocks all the time.
            for _ in 0..2 {
                world.pass(250, true);
                world.check()?;
            }
        }
    }
}

/// The law must notice a weaker form of itself: forgetting by a bare clock, as it once was.
#[test]
fn the_law_notices_what_is_forgotten_by_a_bare_clock() {
    let mut world = World::new();
    world.issue(3, 0, 3_600);
    world.revoke(0);
    world.happen(&Step::MoveWall((3 * HOUR).cast_signed()));
    world.node.state.prune(world.reading().wall);
    world.happen(&Step::SetWallRight);
    assert!(world.check().is_err(), "a revoked JWT is active, and nobody notices");
}

#[test]
fn generations_are_those_of_the_subject() {
    // The histories above are worth nothing if JWTs carried no generation.
    let mut world = World::new();
    world.revoke_subject(0);
    world.issue(3, 0, 3_600);
    let Held::Presented(token) = &world.made[0].held else { panic!("a JWT") };
    assert_ne!(token.generation, Some(Generation::default()));
    assert_eq!((token.tenant.clone(), issuer()), (tenant("default"), issuer()));
}
