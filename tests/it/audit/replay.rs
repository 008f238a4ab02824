use authledger::audit::{AgainstError, Compared, Lives, against, replay};
use authledger::domain::{
    Command, CredentialRef, Digest, Grants, Kind, Patch, Position, RecordId, RemoveApplication, Timestamp,
};
use authledger::event_log::Reader;
use authledger::projection::{Projection, catch_up, save};

use crate::support::log::{LogFile, append_lines};
use crate::support::node::{
    ModelNode, application_id, at, digest, issue, issue_jwt, issue_opaque, issue_session, jwt, new_session, publish,
    register, renew, replace, revoke, revoke_id, revoke_named, revoke_subject, session_digest, session_id,
};

fn some_node() -> ModelNode {
    let (mut one, _) = ModelNode::pair();
    one.ask(register(1, Grants::everything())).unwrap();
    one.ask(register(2, Grants::everything())).unwrap();
    one.ask(Command::RemoveApplication(RemoveApplication { id: application_id(2), revoke: false })).unwrap();
    (1..=5).for_each(|n| drop(one.ask(issue(n, "alice")).unwrap()));
    one.ask_once(1, 1, issue(6, "bob")).unwrap();
    one.ask(revoke(6)).unwrap();
    one.ask(revoke_id(99)).unwrap();
    one.ask(revoke_subject("bob", None)).unwrap();
    one.now = at(800_000);
    one.ask(renew(1, at(800_000))).unwrap();
    one
}

fn snapshot(log: &LogFile, records: u64) {
    let reader = Reader::open(&log.path()).unwrap();
    let projection = Projection::default();
    catch_up(&projection, &reader, Some(Position(records)), Timestamp::MAX, &mut |_, _| {}).unwrap();
    save(&projection, &log.directory.path().join("snapshot")).unwrap();
}

fn compared(log: &LogFile, now: Timestamp) -> Compared {
    against(&log.path(), log.directory.path(), now, 2, |_, _| {}).unwrap()
}

#[test]
fn a_replay_counts_what_the_log_adds_up_to() {
    let node = some_node();
    let replayed = replay(&LogFile::of(&node.log).path(), at(900_000), |_, _| {}).unwrap();
    let tally = replayed.tally;
    assert_eq!(tally.tickets, Lives { active: 1, expired: 4, revoked: 1, unknown: 1 });
    assert_eq!((tally.applications, tally.applications_inactive), (1, 1));
    assert_eq!((tally.origins, tally.subjects, tally.idempotency_keys, tally.early_uses), (2, 1, 1, 0));
    assert_eq!(replayed.base.position.0, node.log.len() as u64);
    assert_eq!(replayed.state.rows(), node.state.rows());
}

#[test]
fn the_instant_decides_what_is_forgotten() {
    let log = LogFile::of(&some_node().log);
    let at = |now| replay(&log.path(), now, |_, _| {}).unwrap();
    let (early, later) = (at(at_days(0)), at(at_days(2)));
    assert_ne!(early.fingerprint, later.fingerprint);
    assert_eq!((later.tally.tickets.active, later.tally.tickets.expired, later.tally.idempotency_keys), (0, 0, 0));
    assert_eq!(later.fingerprint, at(at_days(2)).fingerprint);
}

fn at_days(days: u64) -> Timestamp {
    at(days * 86_400_000)
}

#[test]
fn a_snapshot_that_says_the_same_has_no_differences() {
    let node = some_node();
    let log = LogFile::of(&node.log);
    for records in [1, 7, node.log.len() as u64] {
        snapshot(&log, records);
        let compared = compared(&log, at(900_000));
        assert_eq!(compared.differences.total, 0, "{:?}", compared.differences);
        assert_eq!(compared.snapshot_position, Position(records));
    }
}

#[test]
fn differences_of_a_snapshot_are_listed_and_counted() {
    let node = some_node();
    let log = LogFile::of(&node.log);
    snapshot(&log, node.log.len() as u64);
    let directory = log.directory.path().join("snapshot");
    let lying = authledger::projection::load(&directory).unwrap();
    // A revocation that got lost, and tickets that nobody issued.
    let resurrected = Projection::default();
    for recorded in node.log.iter().filter(|one| one.event.type_name() != "ticket.revoked") {
        resurrected.fold(recorded);
    }
    for n in 50..55 {
        let place =
            authledger::domain::RecordId { origin: node.origin, sequence: authledger::domain::Sequence(1000 + n) };
        fold_ticket(&resurrected, &node, place, digest(n));
    }
    resurrected.reached(lying.base());
    save(&resurrected, &directory).unwrap();
    let differences = compared(&log, at(900_000)).differences;
    // The revoked ticket differs on both sides, the unseen one is missing, and five are invented.
    assert_eq!(differences.total, 2 + 1 + 5);
    assert_eq!(differences.only_replayed.len(), 2);
    assert_eq!(differences.only_snapshot.len(), 2);
    assert!(differences.only_snapshot.iter().all(|row| row.as_str().starts_with("[\"ticket\"")));
}

/// Folds a ticket in as a record of its own would.
fn fold_ticket(projection: &Projection, node: &ModelNode, place: RecordId, digest: Digest) {
    let mut recorded = node.log.iter().find(|one| one.event.type_name() == "ticket.issued").unwrap().clone();
    let authledger::domain::Event::TicketIssued(issued) = &mut recorded.event else { unreachable!() };
    issued.digest = digest;
    recorded.place = place;
    authledger::domain::evolve(&recorded, |patch| assert!(matches!(patch, Patch::Credential(..))));
    projection.fold(&recorded);
}

#[test]
fn a_comparison_holds_while_the_server_appends() {
    let node = some_node();
    let log = LogFile { directory: tempfile::tempdir().unwrap() };
    let writer = authledger::event_log::open_for_writing(&log.path()).unwrap();
    let lines: Vec<_> =
        node.log.iter().map(|recorded| (recorded.place.origin, authledger::event_log::encode(recorded))).collect();
    append_lines(&writer, &lines);
    snapshot(&log, 4);
    assert_eq!(compared(&log, at(900_000)).differences.total, 0);
    drop(writer);
}

#[test]
fn without_a_snapshot_there_is_nothing_to_compare_with() {
    let log = LogFile::of(&some_node().log);
    let error = against(&log.path(), log.directory.path(), at(0), 2, |_, _| {}).unwrap_err();
    assert!(matches!(error, AgainstError::Absent(_)));
    assert!(!error.is_damage());
}

#[test]
fn a_snapshot_of_another_log_is_a_finding() {
    let log = LogFile::of(&some_node().log);
    snapshot(&log, 5);
    let mut other = ModelNode::lone();
    (0..20).for_each(|n| drop(other.ask(issue(n, "mallory")).unwrap()));
    let other = LogFile::of(&other.log);
    let error = against(&other.path(), log.directory.path(), at(0), 2, |_, _| {}).unwrap_err();
    assert!(error.is_damage(), "{error}");
}

/// Sessions and tokens of which each became inactive in another way.
fn node_with_sessions() -> ModelNode {
    let (mut one, _) = ModelNode::pair();
    one.ask(publish("k-1")).unwrap();
    (1..=4).for_each(|n| drop(one.ask(issue_session(n, "alice")).unwrap()));
    one.ask(Command::IssueSession(new_session("default", 5, "alice", Some(60)).into())).unwrap();
    one.ask(issue_opaque(1, "alice", Some(1))).unwrap();
    one.ask(issue_jwt(2, "alice", Some(2))).unwrap();
    one.ask(issue_opaque(3, "bob", None)).unwrap();
    one.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))).unwrap();
    one.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(90)))).unwrap();
    one.ask(revoke_named(Kind::Token, jwt(91))).unwrap();
    one.ask(replace(&["k-1"], "k-2")).unwrap();
    one.after_seconds(60).ask(Command::ExtendSession(session_id(2), None)).unwrap();
    one
}

#[test]
fn a_replay_counts_sessions_tokens_and_keys() {
    let node = node_with_sessions();
    let tally = replay(&LogFile::of(&node.log).path(), at(60_000), |_, _| {}).unwrap().tally;
    assert_eq!(tally.sessions, Lives { active: 3, expired: 1, revoked: 1, unknown: 1 });
    assert_eq!(tally.tokens, Lives { active: 2, expired: 0, revoked: 1, unknown: 1 }, "one died with its session");
    assert_eq!(tally.keys, 2);
}

#[test]
fn a_snapshot_with_sessions_and_tokens_has_no_differences_and_one_without_a_revocation_has() {
    let node = node_with_sessions();
    let log = LogFile::of(&node.log);
    for records in 1..=node.log.len() as u64 {
        snapshot(&log, records);
        assert_eq!(compared(&log, at(60_000)).differences.total, 0, "snapshot at {records}");
    }
    let lying = Projection::default();
    for recorded in &node.log {
        if recorded.event.type_name() != "session.revoked" {
            lying.fold(recorded);
        }
    }
    lying.reached(Reader::open(&log.path()).unwrap().current_base().unwrap());
    save(&lying, &log.directory.path().join("snapshot")).unwrap();
    let differences = compared(&log, at(60_000)).differences;
    assert_eq!(differences.total, 3, "the session differs on both sides, and the unseen revocation is missing");
    assert!(differences.only_replayed.iter().all(|row| row.as_str().starts_with("[\"session\"")));
}
