//! Laws, under generated histories of commands on two nodes.

use std::collections::BTreeSet;

use authledger::audit::{AuditError, verify};
use authledger::domain::{
    Aal, Ancestor, Caller, Cohort, Cohorts, Command, Confirmation, Credential, CredentialKey, CredentialRef,
    CredentialView, Decision, Digest, EraseSubject, Event, Grants, ImportedLife, Inactive, Issue, IssueTicket,
    IssuedAs, KeyId, Kind, Kinds, ManySessions, OwnSessions, Parent, ParentChoice, Position, PresentedToken, RecordId,
    Recorded, RemoveApplication, RevokeCohort, RevokeSessions, RevokeSubject, RevokeTokens, Scope, Sealed, State,
    StateRow, StatusListClass, StatusListId, StatusListOpened, StatusListPublished, Subject, SubjectState, Tenant,
    Thumbprint, Timestamp, TokenForm, View as _, WithdrawKey, ancestors, judge as judge_at, judge_presented,
};
use authledger::event_log::{decode, encode};
use authledger::projection::{Projection, load, save};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::log::{LogFile, fold_into, hashes};
use crate::support::node::{
    ModelNode, application_id, at, digest, grants, holder, import, issue_in, jti, jwt, new_session, new_token,
    presented_token, register_until, renew, replace, revoke, revoke_id, revoke_named, seconds, session_digest,
    session_id, session_key, subject, tenant, ticket_key, token_digest, token_key,
};

const TENANTS: [&str; 2] = ["default", "acme"];
const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];
/// Secrets that a history may name; few, so that commands meet.
const SECRETS: u64 = 12;

/// One thing that happens at one of the two nodes.
#[derive(Clone, Debug)]
pub enum Step {
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
        /// Only what is older than so many seconds.
        age: Option<u64>,
    },
    EraseSubject {
        tenant: usize,
        subject: usize,
        slots: Vec<u64>,
    },
    Renew {
        secret: u64,
        ago_seconds: u64,
    },
    IssueSession {
        tenant: usize,
        subject: usize,
        ttl: Option<u64>,
    },
    Extend {
        session: u64,
        ttl: Option<u64>,
    },
    IssueToken {
        tenant: usize,
        subject: usize,
        session: Option<u64>,
        jwt: bool,
    },
    /// A credential that comes from another one: a ticket, a session, an opaque token or a JWT, each from each of them.
    IssueChild {
        tenant: usize,
        subject: usize,
        kind: u8,
        parent: (u8, u64),
    },
    OpenStatusList,
    PublishStatusList,
    RevokeSession {
        session: u64,
        by_digest: bool,
    },
    RevokeToken {
        token: u64,
        name: u8,
    },
    /// A JWT is presented, seen before or not, to be revoked.
    Present {
        token: u64,
        subject: usize,
    },
    /// A session of the subject revokes another one, several, or itself.
    Own {
        session: u64,
        subject: usize,
        which: u8,
        other: u64,
    },
    /// Two sessions of a tenant are ended, or all of a subject.
    RevokeMany {
        tenant: usize,
        subject: Option<usize>,
        first: u64,
    },
    /// Everything in a tenant, of an application, of a key or of an issuer is revoked.
    RevokeCohort {
        cohort: u8,
        number: u64,
        kinds: u8,
        hold: bool,
    },
    WithdrawKey {
        number: u64,
    },
    PublishKey {
        rotate: bool,
    },
    Import {
        kind: u8,
        number: u64,
    },
    Register {
        application: u64,
        everything: bool,
    },
    Remove {
        application: u64,
        revoke: bool,
    },
    /// The other node's records arrive, at most that many.
    Receive {
        records: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Happening {
    second_node: bool,
    after_seconds: u64,
    caller: Option<u64>,
    key: Option<(u8, u8)>,
    step: Step,
}

fn step(alone: bool) -> BoxedStrategy<Step> {
    // A lone node hears of no other; and a credential that it imports after its revocation may have been forgotten by then.
    if alone {
        return prop_oneof![1 => tickets(), 1 => lasting(), 1 => calls()].boxed();
    }
    let receive = (1..6usize).prop_map(|records| Step::Receive { records });
    let import = (0..3u8, 0..3u64).prop_map(|(kind, number)| Step::Import { kind, number });
    prop_oneof![14 => tickets(), 22 => lasting(), 8 => calls(), 6 => receive, 1 => import].boxed()
}

fn tickets() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize, 0..3usize, 1..2000u64).prop_map(|(tenant, subject, ttl)| Step::Issue { tenant, subject, ttl }),
        3 => (0..SECRETS, any::<bool>()).prop_map(|(secret, by_id)| Step::Revoke { secret, by_id }),
        5 => (0..SECRETS, 0..300u64).prop_map(|(secret, ago_seconds)| Step::Renew { secret, ago_seconds }),
    ]
}

fn lasting() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..2usize, 0..3usize, prop::option::of(60..200_000u64))
            .prop_map(|(tenant, subject, ttl)| Step::IssueSession { tenant, subject, ttl }),
        3 => (0..SECRETS, prop::option::of(1..400_000u64)).prop_map(|(session, ttl)| Step::Extend { session, ttl }),
        6 => (0..2usize, 0..3usize, prop::option::weighted(0.7, 0..SECRETS), any::<bool>())
            .prop_map(|(tenant, subject, session, jwt)| Step::IssueToken { tenant, subject, session, jwt }),
        6 => (0..2usize, 0..3usize, 0..4u8, (0..4u8, 0..SECRETS))
            .prop_map(|(tenant, subject, kind, parent)| Step::IssueChild { tenant, subject, kind, parent }),
        1 => Just(Step::OpenStatusList),
        1 => Just(Step::PublishStatusList),
        3 => (0..SECRETS, any::<bool>())
            .prop_map(|(session, by_digest)| Step::RevokeSession { session, by_digest }),
        3 => (0..SECRETS, 0..4u8).prop_map(|(token, name)| Step::RevokeToken { token, name }),
        1 => (0..SECRETS, 0..3usize).prop_map(|(token, subject)| Step::Present { token, subject }),
        2 => (0..SECRETS, 0..3usize, 0..3u8, 0..SECRETS)
            .prop_map(|(session, subject, which, other)| Step::Own { session, subject, which, other }),
        1 => (0..2usize, prop::option::of(0..3usize), 0..SECRETS)
            .prop_map(|(tenant, subject, first)| Step::RevokeMany { tenant, subject, first }),
    ]
}

fn calls() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..2usize, 0..3usize, prop::collection::vec(1..9u64, 0..3))
            .prop_map(|(tenant, subject, slots)| Step::EraseSubject { tenant, subject, slots }),
        4 => (0..2usize, 0..3usize, 1..8u8, any::<bool>(), prop::option::weighted(0.3, 0..3_000u64))
            .prop_map(|(tenant, subject, kinds, hold, age)| Step::RevokeSubject { tenant, subject, kinds, hold, age }),
        4 => any::<bool>().prop_map(|rotate| Step::PublishKey { rotate }),
        4 => (0..3u64, any::<bool>()).prop_map(|(application, everything)| Step::Register { application, everything }),
        2 => (0..3u64, any::<bool>()).prop_map(|(application, revoke)| Step::Remove { application, revoke }),
        3 => (0..4u8, 0..3u64, 1..8u8, prop::bool::weighted(0.2))
            .prop_map(|(cohort, number, kinds, hold)| Step::RevokeCohort { cohort, number, kinds, hold }),
        1 => (1..4u64).prop_map(|number| Step::WithdrawKey { number }),
    ]
}

fn happening(alone: bool) -> impl Strategy<Value = Happening> {
    let key = prop::option::weighted(0.3, (0..3u8, 0..2u8));
    // Now and then a day or more goes by, so that keys are retired and tickets expire.
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

pub fn history(alone: bool) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(alone), 1..60)
}

/// Two nodes, or a lone one, to which things happen.
pub struct World {
    pub nodes: Vec<ModelNode>,
    /// How many of the other's own records each has received.
    received: [usize; 2],
    issued: u64,
    /// The tenant and the subject of each session that was issued, by its number.
    sessions: Vec<(usize, usize)>,
    tokens: u64,
    lists: u64,
    keys: u64,
}

impl World {
    fn new(alone: bool) -> Self {
        let mut nodes = if alone { vec![ModelNode::lone()] } else { <[ModelNode; 2]>::from(ModelNode::pair()).into() };
        for node in &mut nodes {
            if alone {
                // Revocations are forgotten within a history. With two nodes they must outlast the credentials that the other may still issue.
                node.policy.longest_life = seconds(86_400);
            }
            node.policy.max_unknown_revocations = 4;
        }
        Self { nodes, received: [1, 1], issued: 0, sessions: Vec::new(), tokens: 0, lists: 0, keys: 0 }
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
        let caller = happening.caller.map_or(Caller::Root, |n| Caller::Application(application_id(n)));
        let request = authledger::domain::Request {
            caller: match happening.step {
                // Mostly the session's own subject, else there would be nothing to revoke.
                Step::Own { session, subject, .. } => {
                    let own = self.sessions.get(session as usize).filter(|(tenant, _)| *tenant == 0);
                    holder(session, SUBJECTS[own.map_or(subject, |(_, subject)| *subject)])
                }
                _ => caller,
            },
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

    pub fn exchange_all(&mut self) {
        (0..self.nodes.len()).for_each(|which| self.receive(which, usize::MAX));
    }

    /// How a JWT was issued, by whichever node: its bearer presents the same.
    fn issue_of(&self, token: u64) -> Option<Issue> {
        let key = CredentialKey { kind: Kind::Token, id: jwt(token).id() };
        self.nodes.iter().find_map(|node| node.state.credential(key).issue)
    }

    /// A JWT as its claims present it.
    fn presented_as_issued(&self, issue: Issue, credential: CredentialRef) -> PresentedToken {
        let ancestors = self.ancestors_of(issue.parent());
        PresentedToken {
            credential,
            tenant: issue.tenant,
            subject: issue.subject,
            expires_at: Some(issue.not_after),
            generation: Some(issue.generation),
            ancestors,
            application: issue.application,
            issued_at_seconds: Some(issue.issued_at.as_seconds()),
            key: match issue.name {
                IssuedAs::Jwt(jwt) => jwt.key,
                IssuedAs::Secret(_) => None,
            },
            ..presented(0, 0)
        }
    }

    /// A credential of that kind that comes from the parent. Mostly it is of the parent's tenant, else it would be refused.
    fn child(&mut self, name: &str, whose: usize, kind: u8, parent: CredentialKey) -> Command {
        let issue = self.nodes.iter().find_map(|node| node.state.credential(parent).issue);
        let tenant = issue.filter(|_| whose > 0).map_or_else(|| tenant(name), |issue| issue.tenant);
        let parent = Some(parent);
        match kind {
            0 => {
                self.issued += 1;
                let (subject, digest) = (subject(SUBJECTS[whose]), digest(self.issued - 1));
                Command::IssueTicket(IssueTicket { tenant, subject, digest, ttl: None, parent })
            }
            1 => {
                self.sessions.push((usize::from(tenant.as_str() == TENANTS[1]), whose));
                let new = new_session(tenant.as_str(), self.sessions.len() as u64 - 1, SUBJECTS[whose], None);
                Command::IssueSession(Box::new(authledger::domain::IssueSession { parent, ..new }))
            }
            _ => {
                self.tokens += 1;
                let number = self.tokens - 1;
                let form =
                    if kind == 3 { TokenForm::Jwt(jti(number)) } else { TokenForm::Opaque(token_digest(number)) };
                let new = new_token(tenant.as_str(), form, SUBJECTS[whose], None);
                let parent = parent.map(ParentChoice::Any);
                Command::IssueToken(Box::new(authledger::domain::IssueToken { parent, ..new }))
            }
        }
    }

    /// How the ancestors were issued, as their descendants say: the node that issued those knew all of them.
    fn ancestors_of(&self, parent: Option<Parent>) -> Vec<Ancestor> {
        let known = self.nodes.iter().map(|node| ancestors(&node.state, parent));
        known.max_by_key(Vec::len).unwrap_or_default()
    }

    fn command(&mut self, step: &Step) -> Command {
        match *step {
            Step::Issue { tenant, subject, ttl } => {
                self.issued += 1;
                issue_in(TENANTS[tenant], self.issued - 1, SUBJECTS[subject], Some(ttl))
            }
            Step::Revoke { secret, by_id: false } => revoke(secret),
            Step::Revoke { secret, by_id: true } => revoke_id(secret),
            Step::RevokeSubject { tenant: name, subject: whose, kinds, hold, age } => {
                Command::RevokeSubject(RevokeSubject {
                    tenant: tenant(TENANTS[name]),
                    subject: subject(SUBJECTS[whose]),
                    kinds: Kind::ALL.into_iter().filter(|kind| kinds & 1 << kind.index() != 0).collect::<Kinds>(),
                    issued_before: age.map(|age| self.nodes[0].now.minus(seconds(age + 1))),
                    keep: None,
                    hold: hold.then(|| seconds(120)),
                    reason: None,
                    note: None,
                })
            }
            Step::RevokeCohort { cohort, number, kinds, hold } => Command::RevokeCohort(Box::new(RevokeCohort {
                cohort: match cohort {
                    0 => Cohort::Application(application_id(number)),
                    1 => Cohort::Key(KeyId::new(&format!("key-{}", number + 1)).unwrap()),
                    2 => Cohort::Issuer(jwt(0).issuer().unwrap().clone()),
                    _ => Cohort::Tenant(tenant(TENANTS[number as usize % 2])),
                },
                kinds: Kind::ALL.into_iter().filter(|kind| kinds & 1 << kind.index() != 0).collect::<Kinds>(),
                keep: None,
                hold: hold.then(|| seconds(120)),
                reason: None,
                note: None,
            })),
            Step::WithdrawKey { number } => {
                Command::WithdrawKey(WithdrawKey { id: KeyId::new(&format!("key-{number}")).unwrap(), reason: None })
            }
            Step::EraseSubject { tenant: name, subject: whose, ref slots } => Command::EraseSubject(EraseSubject {
                tenant: tenant(TENANTS[name]),
                subject: subject(SUBJECTS[whose]),
                slots: slots.iter().copied().collect(),
                reason: None,
            }),
            Step::Renew { secret, ago_seconds } => {
                let now = self.nodes[0].now.as_millis();
                renew(secret, Timestamp::from_millis(now - ago_seconds.min(now / 1000) * 1000).unwrap())
            }
            Step::IssueSession { tenant: name, subject: whose, ttl } => {
                self.sessions.push((name, whose));
                let number = self.sessions.len() as u64 - 1;
                let new = new_session(TENANTS[name], number, SUBJECTS[whose], ttl);
                let sealed = number.is_multiple_of(2).then(|| Sealed { slot: number + 1, sealed: "c2VhbGVk".into() });
                Command::IssueSession(authledger::domain::IssueSession { sealed, ..new }.into())
            }
            Step::Extend { session, ttl } => Command::ExtendSession(session_id(session), ttl.map(seconds)),
            Step::IssueToken { tenant, subject, session, jwt } => {
                self.tokens += 1;
                let number = self.tokens - 1;
                let form = if jwt { TokenForm::Jwt(jti(number)) } else { TokenForm::Opaque(token_digest(number)) };
                let own = session.and_then(|number| self.sessions.get(number as usize)).copied();
                let (tenant, subject) = own.unwrap_or((tenant, subject));
                let thumbprint = Thumbprint::from_bytes([number as u8; 32]);
                let confirmation =
                    [None, Some(Confirmation::Key(thumbprint)), Some(Confirmation::Certificate(thumbprint))];
                let new = new_token(TENANTS[tenant], form, SUBJECTS[subject], session);
                let confirmation = confirmation[number as usize % 3];
                // Where no list takes entries, it is refused.
                let status = number.is_multiple_of(4).then_some([(number << 20) as u32; 16]);
                Command::IssueToken(authledger::domain::IssueToken { confirmation, status, ..new }.into())
            }
            Step::OpenStatusList => {
                self.lists += 1;
                let list = StatusListId::from_random([self.lists as u8; StatusListId::LEN]);
                let class = StatusListClass::Day;
                Command::OpenStatusList(StatusListOpened { list, entries: StatusListOpened::MIN_ENTRIES, class })
            }
            Step::PublishStatusList => {
                let list = StatusListId::from_random([self.lists as u8; StatusListId::LEN]);
                let iat =
                    self.nodes.iter().map(|node| node.now.as_seconds()).max().unwrap() + self.issued + self.tokens;
                let published = StatusListPublished {
                    list,
                    iat,
                    exp: iat + 60,
                    ttl: 60,
                    kid: KeyId::new(&format!("key-{}", self.keys)).unwrap(),
                    algorithm: "ES256".into(),
                    upto: Default::default(),
                    array: [self.lists as u8; 32],
                    deflate: "none".into(),
                    signature: "AAAA".into(),
                };
                Command::PublishStatusList(published.into())
            }
            Step::IssueChild { tenant: name, subject: whose, kind, parent } => {
                self.child(TENANTS[name], whose, kind, credential(parent))
            }
            Step::RevokeSession { session, by_digest } => revoke_named(Kind::Session, session_name(session, by_digest)),
            Step::RevokeToken { token, name } => revoke_named(Kind::Token, token_name(token, name)),
            Step::Present { token, subject: whose } => {
                let presented = match self.issue_of(token) {
                    Some(issue) => self.presented_as_issued(issue, jwt(token)),
                    // One that no node here will ever issue.
                    None => presented(NEVER_ISSUED + token, whose),
                };
                Command::RevokeTokens(RevokeTokens { tokens: vec![presented], reason: None, note: None })
            }
            Step::Own { which, other, .. } => Command::RevokeOwn(match which {
                0 => OwnSessions::Other(session_id(other)),
                1 => OwnSessions::Others((0..SECRETS).map(session_id).collect()),
                _ => OwnSessions::Current,
            }),
            Step::RevokeMany { tenant: whose, subject: of, first } => {
                let which = match of {
                    Some(of) => ManySessions::OfSubjects(vec![subject(SUBJECTS[of])]),
                    None => ManySessions::These(vec![session_id(first), session_id(first + 1)]),
                };
                Command::RevokeSessions(RevokeSessions { tenant: tenant(TENANTS[whose]), which })
            }
            Step::PublishKey { rotate } => {
                self.keys += 1;
                // Those of the other node are not the node's to retire.
                let earlier: Vec<String> = (1..self.keys).filter(|_| rotate).map(|n| format!("key-{n}")).collect();
                replace(&earlier, &format!("key-{}", self.keys))
            }
            Step::Import { kind, number } => {
                // Of one subject wherever it is imported.
                let number = IMPORTED + number;
                let life = match kind {
                    0 => ImportedLife::Ticket { digest: digest(number), ttl: seconds(900) },
                    1 => {
                        let digest = Some(session_digest(number));
                        ImportedLife::Session { id: session_id(number), digest, aal: Aal::Aal1 }
                    }
                    _ => ImportedLife::Token { digest: token_digest(number) },
                };
                let now = self.nodes[0].now;
                let import = import(life, SUBJECTS[number as usize % 3], at(0), now.plus_millis(86_400_000));
                Command::Import(import.into())
            }
            Step::Register { application, everything } => {
                let few = grants(&[("acme", &[Scope::Issue, Scope::Revoke])]);
                register_until(application, if everything { Grants::everything() } else { few }, None)
            }
            Step::Remove { application, revoke } => {
                Command::RemoveApplication(RemoveApplication { id: application_id(application), revoke })
            }
            Step::Receive { .. } => unreachable!("nobody asks for it"),
        }
    }
}

/// The ticket, session, opaque token or JWT of that number.
fn credential((kind, number): (u8, u64)) -> CredentialKey {
    match kind {
        0 => ticket_key(digest(number).id()),
        1 => session_key(number),
        2 => token_key(&CredentialRef::Digest(token_digest(number))),
        _ => token_key(&jwt(number)),
    }
}

fn session_name(number: u64, by_digest: bool) -> CredentialRef {
    if by_digest { CredentialRef::Digest(session_digest(number)) } else { CredentialRef::Id(session_id(number)) }
}

/// The names of a token: whether it is opaque or a JWT, only two of them name anything.
fn token_name(number: u64, name: u8) -> CredentialRef {
    match name {
        0 => CredentialRef::Digest(token_digest(number)),
        1 => CredentialRef::Id(token_digest(number).id()),
        2 => jwt(number),
        _ => CredentialRef::Id(jwt(number).id()),
    }
}

/// Imported credentials have numbers from here on: more than a history issues, because no fresh secret is an old one.
const IMPORTED: u64 = 10_000;

/// JWTs from this number on are presented and never issued.
const NEVER_ISSUED: u64 = 1_000_000;

/// A JWT of ours as it would be presented, without a generation. One `jti` has one expiry.
fn presented(token: u64, whose: usize) -> PresentedToken {
    PresentedToken {
        issued_at_seconds: Some(at(0).as_seconds()),
        expires_at: Some(at(100_000_000 + (token % NEVER_ISSUED) * 3_600_000)),
        generation: Some(Default::default()),
        ..presented_token(jwt(token), subject(SUBJECTS[whose]))
    }
}

/// The credential that a step revokes, where its caller was told so.
fn named_by(step: &Step) -> Option<CredentialKey> {
    let key = |kind, named: CredentialRef| CredentialKey { kind, id: named.id() };
    match *step {
        Step::Revoke { secret, .. } => Some(key(Kind::Ticket, CredentialRef::Digest(digest(secret)))),
        Step::RevokeSession { session, .. } => Some(session_key(session)),
        Step::RevokeToken { token, name } => Some(key(Kind::Token, token_name(token, name))),
        Step::Present { token, .. } => Some(key(Kind::Token, jwt(token))),
        _ => None,
    }
}

fn judge(node: &ModelNode, key: CredentialKey) -> Result<(), Inactive> {
    node.judge_key(key)
}

fn keys_of(node: &ModelNode) -> Vec<CredentialKey> {
    node.state.credentials.keys().copied().collect()
}

pub fn live(alone: bool, history: &[Happening]) -> World {
    let mut world = World::new(alone);
    history.iter().for_each(|happening| drop(world.happen(happening)));
    world
}

/// The state without the issues of tokens and sessions.
struct WithoutIssues<'a>(&'a State);

impl CredentialView for WithoutIssues<'_> {
    fn credential(&self, key: CredentialKey) -> Credential {
        Credential { issue: None, ..self.0.credential(key) }
    }

    fn subject(&self, tenant: &Tenant, subject: &Subject) -> SubjectState {
        self.0.subject(tenant, subject)
    }

    fn cohorts(&self) -> Option<Cohorts> {
        self.0.cohorts()
    }

    fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        self.0.beyond_seal(place)
    }
}

fn rows_at(records: &[Recorded], now: Timestamp) -> Vec<StateRow> {
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
        for key in log.iter().filter_map(credential_of) {
            laws(&[a, b, c].map(|state| state.credentials.get(&key).cloned().unwrap_or_default()), |one, other| one.merge(other))?;
        }
        for id in log.iter().filter_map(key_of) {
            laws(&[a, b, c].map(|state| state.keys.get(&id).cloned().unwrap_or_default()), |one, other| one.merge(other))?;
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
        // The credentials that root was told are revoked at that node, and those that a node has once found revoked.
        let mut revoked: [BTreeSet<CredentialKey>; 2] = Default::default();
        for happening in &history {
            let decision = world.happen(happening);
            let told = match (&decision, &happening.step) {
                (Some(Decision::Append(_) | Decision::Already(_)), Step::Present { token, .. }) => {
                    world.issue_of(*token).is_some()
                }
                (Some(Decision::Append(_) | Decision::Already(_)), _) => true,
                _ => false,
            };
            if let (Some(key), None, true) = (named_by(&happening.step), happening.caller, told) {
                revoked[usize::from(happening.second_node)].insert(key);
            }
            for (node, revoked) in world.nodes.iter_mut().zip(&mut revoked) {
                node.state.prune(node.now);
                revoked.extend(keys_of(node).into_iter().filter(|key| matches!(judge(node, *key), Err(Inactive::Revoked(..)))));
                for key in &*revoked {
                    prop_assert!(judge(node, *key).is_err(), "{:?} came back", key);
                }
            }
        }
        world.exchange_all();
        for key in revoked.iter().flatten() {
            prop_assert!(world.nodes.iter().all(|node| judge(node, *key).is_err()), "{:?} is active somewhere", key);
        }
        for node in &world.nodes {
            let live = crate::support::log::projection_of(&node.log);
            let replayed = folded(&node.log);
            for key in replayed.credentials.keys().filter(|key| key.kind != Kind::Ticket) {
                prop_assert_eq!(judge_at(&live, *key, node.now), judge_at(&replayed, *key, node.now));
            }
        }
    }

    /// The law of followers: they hold the revocations and no issue.
    #[test]
    fn a_jwt_carries_all_that_its_judgement_needs(history in history(false)) {
        let mut world = live(false, &history);
        world.exchange_all();
        for node in &world.nodes {
            for (key, credential) in node.state.credentials.iter().filter(|(key, _)| key.kind == Kind::Token) {
                let Some(issue) = credential.issue.clone() else { continue };
                let IssuedAs::Jwt(jwt) = &issue.name else { continue };
                // An ancestor that was revoked by its secret alone is known to others by that secret.
                let above = ancestors(&node.state, issue.parent());
                let secrets = above.iter().filter_map(|one| {
                    let secret = node.state.credential(one.key()).issue?.digest().copied()?;
                    Some((one.key(), secret))
                });
                let by_secret_alone = |(own, secret): (CredentialKey, Digest)| {
                    let others = Kind::ALL.map(|kind| CredentialKey { kind, id: secret.id() });
                    others.into_iter().filter(|key| *key != own).any(|key| !node.state.credential(key).revocations.is_empty())
                };
                if secrets.into_iter().any(by_secret_alone) {
                    continue;
                }
                let presented = world.presented_as_issued(issue.clone(), jwt.name.clone());
                let offline = judge_presented(&WithoutIssues(&node.state), &presented, node.now);
                prop_assert_eq!(offline, judge(node, *key), "{:?}", key);
            }
        }
    }

    #[test]
    fn a_snapshot_at_any_prefix_and_the_tail_are_the_fold(history in history(false), cut in any::<Index>()) {
        let mut world = live(false, &history);
        world.exchange_all();
        let log = &world.nodes[0].log;
        let cut = cut.index(log.len());
        let directory = tempfile::tempdir().unwrap();
        let before = crate::support::log::projection_of(&log[..cut]);
        prop_assert_eq!(save(&before, directory.path()).unwrap(), Position(cut as u64));
        let loaded = load(directory.path()).unwrap();
        prop_assert_eq!(loaded.rows(), before.rows());
        prop_assert_eq!(loaded.counts(), before.counts());
        for key in folded(&log[..cut]).credentials.keys() {
            prop_assert_eq!(judge_at(&loaded, *key, at(0)), judge_at(&before, *key, at(0)), "{:?}", key);
        }
        log[cut..].iter().for_each(|recorded| fold_into(&loaded, recorded));
        let whole = crate::support::log::projection_of(log);
        prop_assert_eq!(loaded.rows(), whole.rows());
        for number in (0..SECRETS).chain(IMPORTED..IMPORTED + 3) {
            let digest = session_digest(number);
            prop_assert_eq!(loaded.session_with(&digest), folded(log).session_with(&digest));
        }
        let now = world.nodes[0].now;
        [&loaded, &whole].iter().for_each(|projection| projection.prune(now));
        let mut pruned = folded(log);
        pruned.prune(now);
        prop_assert_eq!(loaded.rows(), pruned.rows());
        prop_assert_eq!(loaded.counts(), whole.counts(), "expired credentials are gone from every index");
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

fn credential_of(recorded: &Recorded) -> Option<CredentialKey> {
    match &recorded.event {
        Event::TicketIssued(issued) => Some(CredentialKey { kind: Kind::Ticket, id: issued.digest.id() }),
        Event::SessionIssued(issued) => Some(CredentialKey { kind: Kind::Session, id: issued.id }),
        Event::SessionExtended(extended) => Some(CredentialKey { kind: Kind::Session, id: extended.id }),
        Event::TokenIssued(issued) => Some(issued.key()),
        Event::Revoked(revoked) => Some(revoked.key()),
        _ => None,
    }
}

fn key_of(recorded: &Recorded) -> Option<KeyId> {
    match &recorded.event {
        Event::KeyPublished(key) => Some(key.id.clone()),
        Event::KeyRetired(id) => Some(id.clone()),
        Event::TokenIssued(issued) => issued.key.clone(),
        _ => None,
    }
}

/// A permutation that the seed chooses.
fn shuffle(records: &mut [Recorded], seed: u64) {
    let key = |place: RecordId| {
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
    for _ in 0..600 {
        let history = history(false).new_tree(&mut runner).unwrap().current();
        names.extend(live(false, &history).nodes[0].log.iter().map(|recorded| recorded.event.type_name()));
    }
    assert_eq!(names.len(), 18, "{names:?}");
}
