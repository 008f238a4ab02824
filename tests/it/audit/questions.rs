//! Questions about the past: their answers are those of folding the log.

use std::ops::ControlFlow;
use std::path::Path;

use authledger::audit::{
    CredentialStanding, CredentialVerdict, LogPrefix, Lookup, LookupCredential, Point, QuestionError, as_of, diff,
    history, stats, tally_as_of,
};
use authledger::domain::{
    CredentialKey, CredentialRef, CredentialView as _, Event, Inactive, Kind, Position, RecordId, Recorded, Secret,
    State, Tenant, Timestamp,
};
use authledger::event_log::Reader;
use authledger::index::Finder;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::index::Indexed;
use crate::properties::{history as histories, live};
use crate::support::log::LogFile;
use crate::support::node::{
    ModelNode, at, digest, issue, issue_jwt, issue_opaque, issue_session, jwt, renew, revoke, revoke_named,
    revoke_subject, session_digest, session_id, subject,
};

const EVERYTHING: usize = usize::MAX;

fn asked(state: &State, key: CredentialKey) -> Lookup {
    // A session that was revoked by its digest alone is kept under that; a caller that asks by the digest is told of the session.
    let name = if key.kind == Kind::Token { state.credential(key).named(key) } else { CredentialRef::Id(key.id) };
    Lookup::Credential(LookupCredential { kind: Some(key.kind), names: vec![name] })
}

fn judge(state: &State, key: CredentialKey, at: Timestamp) -> Result<(), Inactive> {
    authledger::domain::judge(state, key, at).map(drop)
}

/// A verdict in the form of the domain's answer.
fn plain(standings: &[CredentialStanding], key: CredentialKey) -> Result<(), Option<RecordId>> {
    let standing = standings.iter().find(|one| one.kind == Some(key.kind)).expect("one of that kind");
    match &standing.verdict {
        CredentialVerdict::Active { .. } => Ok(()),
        CredentialVerdict::Revoked(by) | CredentialVerdict::Erased(by) => Err(Some(by.place)),
        CredentialVerdict::Expired { .. } | CredentialVerdict::Indeterminate { .. } => Err(None),
        CredentialVerdict::NeverIssued { .. } => panic!("it was issued: {standing:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_of_a_point_equals_folding_what_there_was(
        history in histories(false), cut in any::<Index>(), indexed_by in prop::option::of(1..7_u64), by_time in any::<bool>(),
    ) {
        let mut world = live(false, &history);
        world.exchange_all();
        let log = &world.nodes[0].log;
        let file = Indexed::of(log);
        drop(indexed_by.map(|records| file.built(records, 2)));
        let last = cut.index(log.len());
        let time = log[last].recorded_at;
        let point = if by_time { Point::Recorded(time) } else { Point::Position(Position(last as u64 + 1)) };
        let there = |(position, recorded): &(usize, &Recorded)| {
            if by_time { recorded.recorded_at <= time } else { *position <= last }
        };
        let (mut state, mut all) = (State::default(), State::default());
        log.iter().enumerate().filter(there).for_each(|(_, recorded)| state.fold(recorded));
        log.iter().for_each(|recorded| all.fold(recorded));
        let reader = &file.reader;
        let mut finder = Finder::new(reader, &file.directory(), None).unwrap();
        let prefix = LogPrefix::of(point, reader, finder.head()).unwrap();
        prop_assert_eq!(prefix.at, time);
        for key in all.credentials.keys().copied() {
            let question = asked(&all, key);
            let standings = as_of(reader, &mut finder, &question, &prefix, EVERYTHING, &mut |_, _| ()).unwrap();
            match judge(&state, key, time) {
                Ok(()) => prop_assert_eq!(plain(&standings, key), Ok(()), "{:?}", key),
                Err(Inactive::Expired) => prop_assert_eq!(plain(&standings, key), Err(None), "{:?}", key),
                Err(Inactive::Revoked(place, _)) => prop_assert_eq!(plain(&standings, key), Err(Some(place)), "{:?}", key),
                Err(Inactive::Unknown) => {
                    let verdict = &standings[0].verdict;
                    prop_assert!(matches!(verdict, CredentialVerdict::NeverIssued { .. }), "{:?}: {:?}", key, verdict);
                }
            }
        }
        // The answer about a subject is the answers about each of its credentials.
        for name in ["alice", "bob", "carol"] {
            let question = Lookup::Subject(Tenant::default(), subject(name));
            for standing in as_of(reader, &mut finder, &question, &prefix, EVERYTHING, &mut |_, _| ()).unwrap() {
                let key = CredentialKey { kind: standing.kind.unwrap(), id: id_of(&standing) };
                let alone = plain(std::slice::from_ref(&standing), key);
                let due = match judge(&state, key, time) {
                    Err(Inactive::Revoked(place, _)) => Err(Some(place)),
                    other => other.map_err(|_| None),
                };
                prop_assert_eq!(alone, due, "{:?}", standing);
            }
        }
        let tally = tally_as_of(reader, &prefix, &mut |_, _| ()).unwrap();
        state.prune(time);
        let active = state.credentials.keys().filter(|key| key.kind == Kind::Ticket && judge(&state, **key, time).is_ok()).count();
        prop_assert_eq!(tally.tickets.active, active as u64);
    }

    #[test]
    fn the_history_of_a_credential_names_what_revoked_it(history in histories(false)) {
        let mut world = live(false, &history);
        world.exchange_all();
        let node = &world.nodes[0];
        let file = LogFile::of(&node.log);
        let reader = Reader::open(&file.path()).unwrap();
        let mut finder = Finder::new(&reader, Path::new("/nonexistent"), None).unwrap();
        let mut state = State::default();
        node.log.iter().for_each(|recorded| state.fold(recorded));
        for key in state.credentials.keys().copied() {
            let told = places(&mut finder, &asked(&state, key));
            let issue = state.credential(key).issue.map(|issue| issue.place);
            prop_assert!(issue.iter().all(|place| told.contains(place)), "{:?}: {:?}", key, told);
            if let Err(Inactive::Revoked(place, _)) = judge(&state, key, node.now) {
                prop_assert!(told.contains(&place), "{:?} was revoked by {:?}: {:?}", key, place, told);
            }
        }
    }
}

fn id_of(standing: &CredentialStanding) -> authledger::domain::CredentialId {
    standing.name.id()
}

fn places(finder: &mut Finder<'_>, asked: &Lookup) -> Vec<RecordId> {
    tell(finder, asked).into_iter().map(|recorded| recorded.place).collect()
}

fn tell(finder: &mut Finder<'_>, asked: &Lookup) -> Vec<Recorded> {
    let mut told = Vec::new();
    history(finder, asked, Position(0), EVERYTHING, &mut |_, _| (), &mut |one| {
        told.push(one.recorded);
        ControlFlow::Continue(())
    })
    .unwrap();
    told
}

struct Asking {
    file: LogFile,
    reader: Reader,
}

impl Asking {
    fn of(node: &ModelNode) -> Self {
        let file = LogFile::of(&node.log);
        let reader = Reader::open(&file.path()).unwrap();
        Self { file, reader }
    }

    fn finder(&self) -> Finder<'_> {
        Finder::new(&self.reader, &self.file.directory.path().join("index"), None).unwrap()
    }

    fn types(&self, credential: LookupCredential) -> Vec<&'static str> {
        let told = tell(&mut self.finder(), &Lookup::Credential(credential));
        told.iter().map(|recorded| recorded.event.type_name()).collect()
    }

    fn verdict(&self, credential: LookupCredential, at: Timestamp) -> CredentialVerdict {
        let mut finder = self.finder();
        let prefix = LogPrefix::of(Point::Recorded(at), &self.reader, finder.head()).unwrap();
        let asked = Lookup::Credential(credential);
        as_of(&self.reader, &mut finder, &asked, &prefix, EVERYTHING, &mut |_, _| ()).unwrap().remove(0).verdict
    }
}

#[test]
fn a_credentials_history_is_everything_that_happened_to_it_and_nothing_else() {
    let mut node = ModelNode::lone();
    node.ask(revoke_subject("alice", None)).unwrap();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(issue(2, "alice")).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_opaque(1, "alice", Some(1))).unwrap();
    node.after_seconds(200);
    node.ask(renew(1, node.now)).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    node.ask(issue(3, "alice")).unwrap();
    let asking = Asking::of(&node);
    let digest_of = LookupCredential::digest;
    assert_eq!(asking.types(digest_of(digest(1))), ["ticket.issued", "tickets.renewed", "subject.revoked"]);
    assert_eq!(
        asking.types(digest_of(digest(2))),
        ["ticket.issued", "subject.revoked"],
        "another's use is not its own"
    );
    assert_eq!(asking.types(digest_of(digest(3))), ["ticket.issued"], "the revocations came before it");
    let session = ["session.issued", "session.revoked", "subject.revoked"];
    assert_eq!(asking.types(digest_of(session_digest(1))), session);
    let by_id = LookupCredential::named(Kind::Session, &session_id(1).uuid().to_string(), None).unwrap();
    assert_eq!(asking.types(by_id), session);
    let token = crate::support::node::token_digest(1);
    assert_eq!(asking.types(digest_of(token)), ["token.issued", "session.revoked", "subject.revoked"]);
    let by_secret = LookupCredential::presented(&Secret::new("secret 1"));
    assert_eq!(asking.types(by_secret.clone()), ["ticket.issued", "tickets.renewed", "subject.revoked"]);
    let told = tell(&mut asking.finder(), &Lookup::Subject(Tenant::default(), subject("alice")));
    assert_eq!(told.len(), node.log.len() - 1, "all but the log's opening");
}

#[test]
fn a_jwt_is_named_by_its_claims_and_its_signature_is_not_checked() {
    use base64::Engine as _;
    let mut node = ModelNode::lone();
    node.ask(crate::support::node::publish("key")).unwrap();
    node.ask(issue_jwt(1, "alice", None)).unwrap();
    node.ask(revoke_named(Kind::Token, jwt(1))).unwrap();
    let asking = Asking::of(&node);
    let base64 = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"iss":"https://ledger.example","jti":"jti-1","sub":"x"}"#;
    let text = format!("{}.{}.nobody", base64(r#"{"alg":"ES256"}"#), base64(claims));
    let presented = LookupCredential::presented(&Secret::new(&text));
    assert_eq!(asking.types(presented), ["token.issued", "token.revoked"]);
    let named = LookupCredential::named(Kind::Token, "jti-1", Some("https://ledger.example")).unwrap();
    assert_eq!(asking.types(named), ["token.issued", "token.revoked"]);
}

#[test]
fn a_verdict_says_what_the_uses_of_a_ticket_leave_open() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.after_seconds(100);
    node.ask(renew(1, node.now)).unwrap();
    node.after_seconds(10_000);
    node.ask(issue(2, "bob")).unwrap();
    let asking = Asking::of(&node);
    let verdict = |millis| asking.verdict(LookupCredential::digest(digest(1)), at(millis));
    let expiry = at(1_000_000);
    assert_eq!(verdict(999_999), CredentialVerdict::Active { expires_at: expiry });
    let open = CredentialVerdict::Indeterminate { from: expiry, until: expiry.plus_millis(1_000) };
    assert_eq!((verdict(1_000_000), verdict(1_000_999)), (open.clone(), open));
    assert_eq!(verdict(1_001_000), CredentialVerdict::Expired { at: expiry });
    assert_eq!(verdict(50_000), CredentialVerdict::Active { expires_at: at(900_000) }, "the use was not yet");
}

#[test]
fn a_revocation_is_named_with_actor_and_time_even_if_the_credential_was_never_issued() {
    let mut node = ModelNode::pair().0;
    node.ask(issue(1, "alice")).unwrap();
    node.after_seconds(10);
    node.ask(revoke(1)).unwrap();
    node.ask(revoke(7)).unwrap();
    let asking = Asking::of(&node);
    let CredentialVerdict::Revoked(by) = asking.verdict(LookupCredential::digest(digest(1)), node.now) else {
        panic!()
    };
    assert_eq!((by.event, by.at, by.position), ("ticket.revoked", node.now, Position(4)));
    assert_eq!(by.actor.unwrap().to_string(), format!("root@{}", node.origin));
    let CredentialVerdict::NeverIssued { revoked: Some(by) } =
        asking.verdict(LookupCredential::digest(digest(7)), node.now)
    else {
        panic!()
    };
    assert_eq!(by.position, Position(5));
    let never = asking.verdict(LookupCredential::digest(digest(9)), node.now);
    assert_eq!(never, CredentialVerdict::NeverIssued { revoked: None });
}

#[test]
fn changes_between_two_points_are_counted_once() {
    let mut world = ModelNode::lone();
    for n in 0..20 {
        world.after_seconds(3_600);
        world.ask(issue(n, "alice")).unwrap();
        if n % 4 == 0 {
            world.ask(revoke(n)).unwrap();
        }
    }
    let asking = Asking::of(&world);
    let head = asking.reader.head().unwrap();
    let prefix = |point| LogPrefix::of(point, &asking.reader, head).unwrap();
    for (first, second) in [(3, 17), (1, head.0), (5, 5)] {
        let due = world.log[first as usize..second as usize].iter();
        let issued = due.filter(|recorded| matches!(recorded.event, Event::TicketIssued(_))).count() as u64;
        let points = [first, second].map(|position| prefix(Point::Position(Position(position))));
        let mut listed = 0;
        let changed = diff(&asking.reader, &points[0], &points[1], |_, _| (), |_, _, _| listed += 1).unwrap();
        assert_eq!((changed.records, changed.counted.total.issued[0]), (second - first, issued));
        assert_eq!(listed, changed.counted.total.all_issued() + changed.counted.total.all_revoked());
    }
    // By time: the records after the one instant, and not after the other.
    let points = [at(3_600_000), at(5 * 3_600_000)].map(|at| prefix(Point::Recorded(at)));
    let changed = diff(&asking.reader, &points[0], &points[1], |_, _| (), |_, _, _| ()).unwrap();
    assert_eq!((changed.counted.total.issued[0], changed.counted.total.revoked[0]), (4, 1));
    let backwards = diff(&asking.reader, &points[1], &points[0], |_, _| (), |_, _, _| ());
    assert!(matches!(backwards, Err(QuestionError::Order)));
    let stats = stats(&asking.reader, |_, _| ()).unwrap();
    assert_eq!((stats.counted.total.issued[0], stats.counted.total.revoked[0], stats.days.len()), (20, 5, 2));
    assert!(matches!(
        LogPrefix::of(Point::Position(Position(1_000)), &asking.reader, head),
        Err(QuestionError::Beyond { .. })
    ));
}

#[test]
fn a_subject_with_too_many_credentials_is_refused_and_not_cut() {
    let mut node = ModelNode::lone();
    (0..5).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    let asking = Asking::of(&node);
    let asked = Lookup::Subject(Tenant::default(), subject("alice"));
    let mut take = |_| ControlFlow::Continue(());
    let refused = history(&mut asking.finder(), &asked, Position(0), 4, &mut |_, _| (), &mut take);
    assert!(matches!(refused, Err(QuestionError::TooMany { limit: 4 })));
}
