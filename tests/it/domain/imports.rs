use authledger::domain::{
    Aal, Caller, Command, CredentialRef, CredentialView as _, Decision, Event, ImportedLife, Inactive, Kind, Lifetime,
    Rejection, Scope, Timestamp, View, alone,
};

use crate::support::node::{
    ModelNode, application_id, at, digest, grants, holder, import, import_session, issue, issue_opaque, issue_session,
    register, revoke, revoke_kinds, revoke_named, seconds, session_digest, session_id, token_digest,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn ago(millis: u64) -> Timestamp {
    Timestamp::from_millis(at(0).as_millis() - millis).unwrap()
}

fn ticket(n: u64) -> ImportedLife {
    ImportedLife::Ticket { digest: digest(n), ttl: seconds(900) }
}

fn session(n: u64, digest: Option<u64>) -> ImportedLife {
    ImportedLife::Session { id: session_id(n), digest: digest.map(session_digest), aal: Aal::Aal2 }
}

fn token(n: u64) -> ImportedLife {
    ImportedLife::Token { digest: token_digest(n) }
}

fn import_of(life: ImportedLife, name: &str) -> Command {
    between(life, name, ago(HOUR), at(HOUR))
}

fn between(life: ImportedLife, name: &str, issued_at: Timestamp, expires_at: Timestamp) -> Command {
    Command::Import(import(life, name, issued_at, expires_at).into())
}

fn records(decision: Result<Decision, Rejection>) -> usize {
    match decision {
        Ok(Decision::Append(drafts)) => drafts.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_kind_is_imported_with_the_life_that_it_had() {
    let mut node = ModelNode::lone();
    assert!(alone(&node.state));
    node.ask(import_of(ticket(1), "alice")).unwrap();
    assert!(!alone(&node.state), "a credential that this ledger does not know may have been issued elsewhere");
    node.ask(import_of(session(1, Some(1)), "alice")).unwrap();
    node.ask(import_of(token(1), "alice")).unwrap();
    assert!(node.is_active(1));
    assert_eq!(node.judge_session(1), Ok(()));
    assert_eq!(node.judge_token(&CredentialRef::Digest(token_digest(1))), Ok(()));
    let issue = node.state.credential(crate::support::node::session_key(1)).issue.unwrap();
    assert_eq!((issue.issued_at, issue.lifetime), (ago(HOUR), Lifetime::Fixed(at(HOUR))));
    assert_eq!(issue.not_after, Timestamp::from_millis(ago(HOUR).as_millis() + 30 * DAY).unwrap());
    node.now = at(HOUR);
    assert_eq!(node.judge_session(1), Err(Inactive::Expired));
    assert_eq!(node.judge_token(&CredentialRef::Digest(token_digest(1))), Err(Inactive::Expired));
}

#[test]
fn the_same_line_twice_makes_one_credential() {
    let mut node = ModelNode::lone();
    for life in [ticket(1), session(1, Some(1)), session(2, None), token(1)] {
        node.ask(import_of(life.clone(), "alice")).unwrap();
        let place = node.last_place();
        assert_eq!(node.ask(import_of(life.clone(), "alice")), Ok(Decision::Already(place)));
        assert_eq!(node.ask(import_of(life, "bob")), Err(Rejection::IdUnavailable), "somebody else's");
    }
}

#[test]
fn another_credential_under_the_same_name_is_refused() {
    let mut node = ModelNode::lone();
    node.ask(import_of(session(1, Some(1)), "alice")).unwrap();
    for life in [session(1, Some(2)), session(1, None), session(2, Some(1))] {
        assert_eq!(node.ask(import_of(life, "alice")), Err(Rejection::IdUnavailable));
    }
}

#[test]
fn a_secret_belongs_to_one_credential() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    let digests = [digest(1), session_digest(1), token_digest(1)];
    for (n, digest) in digests.into_iter().enumerate() {
        let lives = [
            ImportedLife::Ticket { digest, ttl: seconds(900) },
            ImportedLife::Session { id: session_id(9), digest: Some(digest), aal: Aal::Aal1 },
            ImportedLife::Token { digest },
        ];
        for (kind, life) in lives.into_iter().enumerate().filter(|(kind, _)| *kind != n) {
            assert_eq!(node.ask(import_of(life, "alice")), Err(Rejection::IdUnavailable), "{n} as {kind}");
        }
    }
}

#[test]
fn implausible_times_are_refused() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(86_400);
    let mut ask = |issued_at, expires_at| node.ask(between(token(1), "alice", issued_at, expires_at)).err();
    assert_eq!(ask(at(300_001), at(HOUR)), Some(Rejection::ImplausibleTimes), "in the future");
    assert_eq!(ask(ago(1), at(DAY + 1)), Some(Rejection::ImplausibleTimes), "longer than anything lives here");
    assert_eq!(ask(at(0), at(0)), Some(Rejection::ImplausibleTimes), "expired before it was issued");
    assert_eq!(ask(ago(HOUR), at(0)), Some(Rejection::CredentialExpired));
    assert_eq!(ask(at(300_000), at(DAY)), None, "their clock may be a little ahead");
}

#[test]
fn importing_needs_admin_in_the_tenant() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &Scope::ALL), ("default", &[Scope::Issue, Scope::Revoke])]))).unwrap();
    let caller = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller, import_of(token(1), "alice")), Err(Rejection::Forbidden));
    assert_eq!(node.ask_as(holder(1, "alice"), import_of(token(1), "alice")), Err(Rejection::Forbidden));
}

#[test]
fn a_credential_revoked_before_it_is_imported_stays_revoked() {
    let revocations = [
        (ticket(1), revoke(1)),
        (session(1, Some(1)), revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))),
        (session(1, Some(1)), revoke_named(Kind::Session, CredentialRef::Digest(session_digest(1)))),
        (token(1), revoke_named(Kind::Token, CredentialRef::Digest(token_digest(1)))),
    ];
    for (life, revocation) in revocations {
        let mut node = ModelNode::lone();
        node.ask(import_of(token(99), "nobody")).unwrap();
        assert_eq!(records(node.ask(revocation)), 1, "something was imported, so it may be active elsewhere");
        assert_eq!(records(node.ask(import_of(life, "alice"))), 2, "the issue, and its revocation");
        assert!(!node.is_active(1));
        for inactive in [node.judge_session(1), node.judge_token(&CredentialRef::Digest(token_digest(1)))] {
            assert!(inactive.is_err());
        }
    }
}

#[test]
fn a_revocation_that_is_forgotten_does_not_restore_what_was_imported_after_it() {
    let revoke_unseen = || revoke_named(Kind::Session, CredentialRef::Digest(session_digest(1)));
    for revocation in [revoke_unseen(), revoke_kinds("alice", &[Kind::Session])] {
        let mut node = ModelNode::lone();
        node.policy.longest_life = seconds(30 * 86_400);
        node.ask(import_of(token(99), "nobody")).unwrap();
        node.ask(revocation).unwrap();
        // Ten days later a dump comes in which has it, issued before it was revoked and active for thirty days more.
        node.now = at(10 * DAY);
        node.ask(import_session(1, "alice", ago(HOUR), at(40 * DAY))).unwrap();
        for day in 10..40 {
            node.now = at(day * DAY + HOUR);
            node.state.prune(node.now);
            assert!(matches!(node.judge_session(1), Err(Inactive::Revoked(..))), "day {day}");
        }
    }
}

#[test]
fn a_credential_issued_after_everything_was_revoked_is_active() {
    let mut node = ModelNode::lone();
    node.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    node.now = at(DAY);
    assert_eq!(records(node.ask(import_session(1, "alice", at(5_999), at(2 * DAY)))), 2, "within the leeway");
    assert!(node.judge_session(1).is_err());
    assert_eq!(records(node.ask(import_session(2, "alice", at(6_000), at(2 * DAY)))), 1);
    assert_eq!(node.judge_session(2), Ok(()));
    assert_eq!(records(node.ask(import_session(3, "bob", ago(DAY), at(2 * DAY)))), 1, "another subject's");
    node.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    assert!(node.judge_session(2).is_err(), "the next revocation revokes it too");
}

#[test]
fn a_session_without_a_digest_is_revoked_by_its_id() {
    let mut node = ModelNode::lone();
    node.ask(import_of(session(1, None), "alice")).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))).unwrap();
    let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
    assert_eq!((&revoked.credential, revoked.session_digest), (&CredentialRef::Id(session_id(1)), None));
    assert!(node.judge_session(1).is_err());
}

#[test]
fn one_secret_that_two_nodes_import_under_two_ids_leads_to_the_same_session_everywhere() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(import_of(session(2, Some(1)), "alice")).unwrap();
    other.ask(import_of(session(1, Some(1)), "alice")).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    for node in [&one, &other] {
        assert_eq!(node.state.session_with(&session_digest(1)), Some(session_id(1)));
        let live = crate::support::log::projection_of(&node.log);
        assert_eq!(live.session_with(&session_digest(1)), Some(session_id(1)));
    }
}

#[test]
fn of_two_imports_of_one_id_the_first_in_the_order_of_places_stands() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(import_of(session(1, Some(1)), "alice")).unwrap();
    other.ask(import_of(session(1, Some(2)), "alice")).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    for node in [&one, &other] {
        let live = crate::support::log::projection_of(&node.log);
        for (n, found) in [(1, Some(session_id(1))), (2, None)] {
            assert_eq!(node.state.session_with(&session_digest(n)), found);
            assert_eq!(live.session_with(&session_digest(n)), found);
        }
    }
}

#[test]
fn an_imported_ticket_expires_when_its_import_says_unless_it_is_used() {
    let mut node = ModelNode::lone();
    // Used for an hour, then issued for a quarter of one more; and one that has less to live than others would.
    node.ask(between(ticket(1), "alice", ago(HOUR), at(600_000))).unwrap();
    node.ask(between(ticket(2), "alice", ago(1), at(60_000))).unwrap();
    let expiry = |n| node.ticket(n).expires_at();
    assert_eq!((expiry(1), expiry(2)), (Some(at(600_000)), Some(at(60_999))), "to the second");
    node.now = at(300_000);
    node.ask(crate::support::node::renew(1, at(300_000))).unwrap();
    assert_eq!(node.ticket(1).expires_at(), Some(at(1_200_000)));
}

#[test]
fn a_credential_revoked_by_its_secret_alone_stays_revoked_whatever_it_turns_out_to_be() {
    for life in [ticket(1), session(1, Some(1)), token(1)] {
        for taken_for in Kind::ALL {
            let mut node = ModelNode::lone();
            node.ask(import_of(token(99), "somebody")).unwrap();
            let digest = *life.digest().unwrap();
            node.ask(crate::support::node::revoke_named(taken_for, CredentialRef::Digest(digest))).unwrap();
            node.ask(import_of(life.clone(), "alice")).unwrap();
            assert!(node.judge_key(life.key()).is_err(), "a {} that was taken for a {taken_for}", life.kind());
        }
    }
}
