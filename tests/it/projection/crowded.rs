//! Ids that somebody chose, and a memory that is full.

use authledger::domain::{
    Caller, Command, Context, CredentialId, CredentialKey, CredentialRef, Decision, Digest, Event, Generation, Kind,
    Kinds, Policy, RecordId, Recorded, Rejection, Request, Sequence, State, Timestamp, TokenIssued, View as _, decide,
    judge,
};
use authledger::event_log::{decode, encode};
use authledger::projection::{Projection, load, save};
use proptest::prelude::*;

use crate::support::node::{
    ModelNode, at, digest, import_session, issue, issue_opaque, issue_session, origin, revoke_id, revoke_named,
    revoke_subject, session_digest, session_id, session_key, subject, tenant, ticket_key, token_digest,
};

/// An opaque token as another node may have taken it over: the fold has no say in its name.
fn foreign(sequence: u64, digest: Digest) -> Recorded {
    let issued = TokenIssued {
        name: CredentialRef::Digest(digest),
        key: None,
        subject: subject("mallory"),
        issued_at: Some(at(0)),
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        status: None,
        grant: None,
        expires_at: at(86_400_000),
        generation: Generation::default(),
        sealed: None,
    };
    Recorded {
        place: RecordId { origin: origin('b'), sequence: Sequence(sequence) },
        recorded_at: at(1),
        tenant: Some(tenant("acme")),
        actor: None,
        request: None,
        idempotency: None,
        event: Event::TokenIssued(Box::new(issued)),
    }
}

/// A digest whose id differs from the next one's at those bytes alone.
fn chosen(number: u64, first: usize) -> Digest {
    let mut bytes = [0x5a; 32];
    bytes[first..first + 4].copy_from_slice(&(number as u32).to_be_bytes());
    Digest::from_bytes(bytes)
}

#[test]
fn a_million_ids_with_the_same_last_bytes_are_folded() {
    const MANY: u64 = (1 << 20) + 1;
    let projection = Projection::default();
    for number in 1..=MANY {
        projection.fold(&foreign(number, chosen(number, 0)));
    }
    assert_eq!(projection.counts().tokens as u64, MANY);
    for number in [1, MANY / 2, MANY] {
        assert!(projection.issued_with(&chosen(number, 0)).is_some());
    }
    assert_eq!(projection.issued_with(&chosen(MANY + 1, 0)), None);
}

/// The node's clock and policy, on a memory of its own.
struct Cramped {
    projection: Projection,
    node: ModelNode,
}

impl Cramped {
    fn new(room: u32, subjects: u32) -> Self {
        Self { projection: Projection::cramped(room, subjects), node: ModelNode::lone() }
    }

    fn ask(&mut self, command: Command) -> Result<Decision, Rejection> {
        let request = Request { caller: Caller::Root, request: None, idempotency: None, command: command.clone() };
        let (now, policy) = (self.node.now, Policy::default());
        let context = Context { now, latest: now, earliest: now, is_settled: true, origin: origin('a'), policy };
        let decided = decide(&self.projection, &request, context)?;
        if matches!(decided, Decision::Append(_)) {
            let before = self.node.log.len();
            self.node.ask(command).unwrap();
            self.node.log[before..].iter().for_each(|recorded| self.projection.fold(recorded));
        }
        Ok(decided)
    }
}

/// How much there is when nothing more is issued.
const FULL: u64 = 1_024 - 64;

#[test]
fn a_full_memory_issues_nothing_more_and_revokes_all_the_same() {
    let issues: [fn(u64) -> Command; 3] =
        [|n| issue(n, "alice"), |n| issue_session(n, "alice"), |n| issue_opaque(n, "alice", None)];
    for issue in issues {
        let mut ledger = Cramped::new(1, u32::MAX);
        for n in 0..FULL {
            ledger.ask(issue(n)).unwrap();
        }
        assert_eq!(ledger.ask(issue(FULL)), Err(Rejection::MemoryFull));
        ledger.ask(revoke_subject("alice", None)).unwrap();
        ledger.projection.prune(at(400 * 86_400_000));
        ledger.ask(issue(FULL)).unwrap();
    }
    let mut ledger = Cramped::new(1, u32::MAX);
    for n in 0..FULL {
        ledger.ask(issue_session(n, "alice")).unwrap();
    }
    let import = import_session(5_000, "alice", at(0), at(86_400_000));
    assert_eq!(ledger.ask(import), Err(Rejection::MemoryFull));
    ledger.ask(issue(1, "alice")).expect("there is room for other kinds");
    let revoked = ledger.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(FULL - 1)))).unwrap();
    assert!(matches!(revoked, Decision::Append(_)));
    assert!(judge(&ledger.projection, session_key(FULL - 1), at(0)).is_err());
    assert!(judge(&ledger.projection, session_key(0), at(0)).is_ok());
}

#[test]
fn without_room_for_more_subjects_none_is_added_and_those_that_are_there_go_on() {
    const ROOM: u64 = 64;
    let mut ledger = Cramped::new(u32::MAX, ROOM as u32);
    let name = |n: u64| format!("subject {n}");
    let mut refused = Vec::new();
    for n in 0..ROOM * 1_024 {
        match ledger.ask(issue(n, &name(n))) {
            Ok(_) => {}
            Err(rejection) => refused.push((n, rejection)),
        }
    }
    assert!(refused.iter().all(|(_, rejection)| *rejection == Rejection::MemoryFull));
    let (first, _) = refused[0];
    assert!(first > ROOM * 1_024 / 2, "{first}");
    let issued = ROOM * 1_024 - refused.len() as u64;
    let counts = ledger.projection.counts();
    assert_eq!((counts.tickets as u64, counts.subjects as u64), (issued, issued), "each has its entry");
    assert!(issued <= (ROOM - ROOM / 16) * 1_024, "{issued}");
    ledger.ask(issue_session(1, &name(7))).expect("the subject is there");
    ledger.ask(revoke_subject(&name(first), None)).expect("revoking goes on");
    ledger.ask(revoke_subject(&name(7), None)).unwrap();
    assert!(judge(&ledger.projection, ticket_key(digest(7).id()), at(0)).is_err());
}

/// Credentials of other nodes, and revocations of anybody, are taken however much there is.
#[test]
fn facts_are_folded_into_a_memory_that_is_full() {
    let projection = Projection::cramped(1, u32::MAX);
    let mut state = State::default();
    let mut fold = |recorded: &Recorded| {
        projection.fold(recorded);
        state.fold(recorded);
    };
    (1..=1_500).for_each(|n| fold(&foreign(n, token_digest(n))));
    let mut node = ModelNode::pair().0;
    for n in 0..10 {
        node.ask(revoke_id(n)).unwrap();
        node.ask(revoke_named(Kind::Token, CredentialRef::Digest(token_digest(1_400 + n)))).unwrap();
        node.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(n)))).unwrap();
    }
    node.log.iter().for_each(&mut fold);
    assert_eq!(projection.rows(), state.rows());
    assert_eq!(projection.counts().tokens, 1_510);
    for n in 1..=1_500 {
        let key = CredentialKey { kind: Kind::Token, id: token_digest(n).id() };
        let revoked = (1_400..1_410).contains(&n);
        assert_eq!(judge(&projection, key, at(0)).is_err(), revoked, "{n}");
        assert!(projection.issued_with(&token_digest(n)).is_some(), "{n}");
    }
    // In a memory that has room, all of it is on its subject's list again.
    let directory = tempfile::tempdir().unwrap();
    save(&projection, directory.path()).unwrap();
    let loaded = load(directory.path()).unwrap();
    assert_eq!(loaded.rows(), state.rows());
    assert_eq!(loaded.credentials_of(&tenant("acme"), &subject("mallory"), Kinds::ALL, None, usize::MAX).len(), 1_500);
    projection.prune(at(800 * 86_400_000));
    assert_eq!(projection.counts().tokens, 0);
}

/// Commands about credentials whose ids the caller chose: few differ, in few bytes.
fn chosen_command() -> impl Strategy<Value = Command> {
    use authledger::domain::{Import, ImportedLife, OwnSessions, Ttl};
    let id = (any::<u8>(), 0..13usize).prop_map(|(number, first)| chosen(u64::from(number) % 8, first));
    let ttl = Ttl::from_seconds(900).unwrap();
    let times = (prop_oneof![Just(0u64), 1..1u64 << 42], prop_oneof![Just(86_400_000u64), 1..1u64 << 35]);
    (id, 0..9u8, 0..3u8, any::<bool>(), times).prop_map(move |(digest, what, kind, other, (before, after))| {
        let kind = Kind::ALL[usize::from(kind)];
        let name = if other { "alice" } else { "bob" };
        let session = CredentialId::from_bytes(*chosen(u64::from(other), 9).id().as_bytes());
        let life = match kind {
            Kind::Ticket => ImportedLife::Ticket { digest, ttl },
            Kind::Session if other => ImportedLife::Session { id: digest.id(), digest: None, aal: Default::default() },
            Kind::Session => ImportedLife::Session { id: session, digest: Some(digest), aal: Default::default() },
            Kind::Token => ImportedLife::Token { digest },
        };
        match what {
            0..4 => Command::Import(Box::new(Import {
                tenant: tenant(if what < 2 { "acme" } else { "default" }),
                subject: subject(name),
                life,
                issued_at: Timestamp::from_millis(at(0).as_millis().saturating_sub(before)).unwrap(),
                expires_at: at(after),
                not_after: other.then(|| at(after)),
                past: Vec::new(),
            })),
            4 | 5 => revoke_named(kind, CredentialRef::Id(digest.id())),
            6 => revoke_named(kind, CredentialRef::Digest(digest)),
            7 => revoke_subject(name, None),
            _ => Command::RevokeOwn(OwnSessions::Current),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every decision can be folded, and memory then says the same as plain maps.
    #[test]
    fn every_decision_under_chosen_ids_can_be_folded(
        commands in prop::collection::vec((chosen_command(), 0..100_000_000u64), 1..150),
        room in prop_oneof![Just(0u32), Just(1), Just(u32::MAX)],
    ) {
        let mut node = ModelNode::pair().0;
        let projection = Projection::cramped(room, u32::MAX);
        node.log.iter().for_each(|recorded| projection.fold(recorded));
        for (command, later) in commands {
            node.now = node.now.plus_millis(later);
            let before = node.log.len();
            let _ = node.ask(command);
            for recorded in &node.log[before..] {
                // A record that can't be read back would stop every start.
                prop_assert_eq!(&decode(encode(recorded).as_bytes()).unwrap(), recorded);
                projection.fold(recorded);
            }
            prop_assert_eq!(projection.imported(), node.state.imported);
        }
        prop_assert_eq!(projection.rows(), node.state.rows());
        projection.prune(node.now);
        node.state.prune(node.now);
        prop_assert_eq!(projection.rows(), node.state.rows());
    }
}
