//! The server's state: the snapshot in which it survives a restart, and the records that it forgets.

mod compact;
mod crowded;

use std::fs;
use std::path::Path;

use authledger::domain::{
    Command, CredentialKey, CredentialRef, CredentialView as _, Digest, Grants, Kind, Kinds, OwnSessions,
    PresentedToken, RemoveApplication, RevokeTokens, Sealed, StateRow, Subject, Tenant, Timestamp, View as _,
};
use authledger::event_log::{Base, Reader};
use authledger::projection::{
    Projection, RebuildTimes, SnapshotError, StateSource, catch_up, load, load_on, rebuild, save,
};

use crate::support::log::{LogFile, projection_of};
use crate::support::node::{
    ModelNode, application_id, at, digest, holder, import_session, issue, issue_in, issue_jwt, issue_opaque,
    issue_session, jwt, new_session, presented_token, publish, register, renew, replace, revoke, revoke_id,
    revoke_named, revoke_subject, seconds, session_digest, session_id, session_key, subject, ticket_key, token_digest,
};

/// Two origins, and something of each sort that a state holds.
fn varied() -> ModelNode {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(issue(7, "carol")).unwrap();
    let seventh = other.last().clone();
    other.now = at(300_000);
    other.ask(renew(7, at(300_000))).unwrap();
    one.ask(register(1, Grants::everything())).unwrap();
    one.ask(register(2, Grants::everything())).unwrap();
    one.ask(Command::RemoveApplication(RemoveApplication { id: application_id(2), revoke: false })).unwrap();
    (1..=5).for_each(|n| drop(one.ask(issue(n, if n % 2 == 0 { "alice" } else { "bob" })).unwrap()));
    one.ask_once(1, 1, issue_in("acme", 6, "alice", None)).unwrap();
    one.ask(revoke(1)).unwrap();
    one.ask(revoke_id(100)).unwrap();
    one.ask(revoke_subject("alice", Some(60))).unwrap();
    one.receive(&seventh);
    one.receive(&other.last().clone());
    one.now = at(310_000);
    one.ask(renew(3, at(310_000))).unwrap();
    with_sessions(&mut one);
    one
}

/// Sessions and tokens under each kind of name, revoked and not, known and not, and keys.
fn with_sessions(node: &mut ModelNode) {
    node.ask(publish("k-1")).unwrap();
    (20..=24).for_each(|n| drop(node.ask(issue_session(n, "dora")).unwrap()));
    let sealed = Some(Sealed { slot: 5, sealed: "AA".into() });
    let personal = authledger::domain::IssueSession { sealed, ..new_session("acme", 25, "dora", None) };
    node.ask(Command::IssueSession(personal.into())).unwrap();
    node.ask(issue_opaque(20, "dora", Some(20))).unwrap();
    node.ask(issue_jwt(21, "dora", Some(21))).unwrap();
    node.ask(issue_jwt(22, "dora", None)).unwrap();
    node.after_seconds(60).ask(Command::ExtendSession(session_id(20), None)).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(21)))).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(90)))).unwrap();
    node.ask(revoke_named(Kind::Token, jwt(22))).unwrap();
    node.ask(revoke_named(Kind::Token, jwt(91))).unwrap();
    node.ask_as(holder(22, "dora"), Command::RevokeOwn(OwnSessions::Other(session_id(92)))).unwrap();
    let payload = PresentedToken {
        expires_at: Some(at(86_400_000)),
        ..presented_token(
            CredentialRef::Payload {
                issuer: authledger::domain::Issuer::new("https://idp.example").unwrap(),
                digest: Digest::of_payload(b"{}"),
            },
            subject("dora"),
        )
    };
    node.ask(Command::RevokeTokens(RevokeTokens { tokens: vec![payload], reason: None, note: None })).unwrap();
    node.ask(import_session(26, "dora", at(0), at(86_400_000))).unwrap();
    node.ask(replace(&["k-1"], "k-2")).unwrap();
}

fn rows_of(node: &ModelNode) -> Vec<StateRow> {
    node.state.rows()
}

/// A log file and a snapshot of its first `records`.
fn with_snapshot(node: &ModelNode, records: usize) -> (LogFile, std::path::PathBuf) {
    let log = LogFile::of(&node.log);
    let reader = Reader::open(&log.path()).unwrap();
    let projection = Projection::default();
    let until = authledger::domain::Position(records as u64);
    catch_up(&projection, &reader, Some(until), Timestamp::MAX, &mut |_, _| {}).unwrap();
    let directory = log.directory.path().join("snapshot");
    assert_eq!(save(&projection, &directory).unwrap(), until);
    (log, directory)
}

fn rebuilt(log: &LogFile, directory: &Path) -> (Vec<StateRow>, StateSource, u64) {
    let reader = Reader::open(&log.path()).unwrap();
    let rebuilt =
        rebuild(&reader, directory, RebuildTimes { forget_at: Timestamp::MAX, judged_at: Timestamp::MAX }, |_, _| {})
            .unwrap();
    assert_eq!(rebuilt.projection.base(), reader.current_base().unwrap());
    (rebuilt.projection.rows(), rebuilt.source, rebuilt.records_read)
}

#[test]
fn the_servers_state_is_that_of_the_plain_fold() {
    let node = varied();
    assert_eq!(projection_of(&node.log).rows(), rows_of(&node));
}

#[test]
fn a_snapshot_brings_everything_back() {
    let node = varied();
    let (log, directory) = with_snapshot(&node, node.log.len());
    assert_eq!(load(&directory).unwrap().rows(), rows_of(&node));
    let head = authledger::domain::Position(node.log.len() as u64);
    assert_eq!(rebuilt(&log, &directory), (rows_of(&node), StateSource::Snapshot(head), 0));
}

#[test]
fn a_snapshot_of_any_position_and_the_tail_give_the_state() {
    let node = varied();
    for records in 1..node.log.len() {
        let (log, directory) = with_snapshot(&node, records);
        let (rows, source, read) = rebuilt(&log, &directory);
        assert_eq!(rows, rows_of(&node), "snapshot at {records}");
        assert_eq!(source, StateSource::Snapshot(authledger::domain::Position(records as u64)));
        assert_eq!(read, (node.log.len() - records) as u64);
    }
}

#[test]
fn a_snapshot_whose_parts_are_ahead_of_its_place_gives_the_state() {
    let node = varied();
    let (log, directory) = with_snapshot(&node, node.log.len());
    let ahead = load(&directory).unwrap();
    ahead.reached(Reader::open(&log.path()).unwrap().base_at(authledger::domain::Position(3)).unwrap());
    save(&ahead, &directory).unwrap();
    assert_eq!(rebuilt(&log, &directory).0, rows_of(&node));
}

#[test]
fn a_snapshot_that_is_damaged_anywhere_is_ignored_and_the_log_folded() {
    let node = varied();
    let (log, directory) = with_snapshot(&node, node.log.len());
    let whole = fs::read(directory.join("state")).unwrap();
    for place in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(directory.join("state"), damaged).unwrap();
        assert!(load(&directory).is_err(), "byte {place}");
    }
    for length in [0, 7, 8, 12, whole.len() / 2, whole.len() - 1] {
        fs::write(directory.join("state"), &whole[..length]).unwrap();
        assert!(load(&directory).is_err(), "cut to {length}");
        assert_eq!(rebuilt(&log, &directory).1, StateSource::Log);
    }
    fs::write(directory.join("state"), [&whole[..], b"x"].concat()).unwrap();
    assert!(load(&directory).is_err(), "a byte after its end");
    assert_eq!(rebuilt(&log, &directory).0, rows_of(&node));
}

#[test]
fn blocks_in_another_order_are_not_a_snapshot() {
    let node = varied();
    let (_log, directory) = with_snapshot(&node, node.log.len());
    let whole = fs::read(directory.join("state")).unwrap();
    let mut blocks = Vec::new();
    let mut rest = &whole[12..];
    while !rest.is_empty() {
        let length = 36 + u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        blocks.push(&rest[..length]);
        rest = &rest[length..];
    }
    blocks.swap(1, 2);
    fs::write(directory.join("state"), [&whole[..12], &blocks.concat()].concat()).unwrap();
    assert!(matches!(load(&directory), Err(SnapshotError::Damaged(_))));
}

#[test]
fn a_snapshot_of_another_log_is_ignored() {
    let node = varied();
    let (_log, directory) = with_snapshot(&node, node.log.len());
    let mut other = ModelNode::lone();
    (0..50).for_each(|n| drop(other.ask(issue(n, "mallory")).unwrap()));
    let longer = LogFile::of(&other.log);
    let shorter = LogFile::of(&other.log[..3]);
    for log in [longer, shorter] {
        let reader = Reader::open(&log.path()).unwrap();
        assert!(matches!(load_on(&reader, &directory).unwrap(), Err(SnapshotError::Foreign(_))));
        assert_eq!(rebuilt(&log, &directory).1, StateSource::Log);
    }
}

#[test]
fn a_snapshot_of_a_later_format_is_ignored() {
    let node = varied();
    let (log, directory) = with_snapshot(&node, node.log.len());
    let mut newer = fs::read(directory.join("state")).unwrap();
    newer[11] = 200;
    fs::write(directory.join("state"), newer).unwrap();
    assert!(matches!(load(&directory), Err(SnapshotError::Format(200))));
    assert_eq!(rebuilt(&log, &directory).0, rows_of(&node));
}

#[test]
fn without_a_snapshot_the_log_is_folded() {
    let node = varied();
    let log = LogFile::of(&node.log);
    let (rows, source, read) = rebuilt(&log, &log.directory.path().join("snapshot"));
    assert_eq!((rows, source, read), (rows_of(&node), StateSource::Log, node.log.len() as u64));
}

#[test]
fn catching_up_stops_where_it_is_told_to() {
    let node = varied();
    let log = LogFile::of(&node.log);
    let projection = Projection::default();
    let reader = Reader::open(&log.path()).unwrap();
    let until = authledger::domain::Position(5);
    assert_eq!(catch_up(&projection, &reader, Some(until), Timestamp::MAX, &mut |_, _| {}).unwrap(), 5);
    assert_eq!(projection.base(), reader.base_at(until).unwrap());
    assert_eq!(projection.rows(), projection_of(&node.log[..5]).rows());
    assert_eq!(
        catch_up(&projection, &reader, None, Timestamp::MAX, &mut |_, _| {}).unwrap(),
        node.log.len() as u64 - 5
    );
}

#[test]
fn the_sweep_forgets_what_has_expired_within_a_round() {
    let mut node = varied();
    let projection = projection_of(&node.log);
    let later = at(400 * 86_400_000);
    // A round is a minute, a step at most a second of it.
    for step in 0..600 {
        projection.sweep(later.plus_millis(step * 250), later.plus_millis(step * 250));
    }
    let counts = projection.counts();
    assert_eq!((counts.tickets, counts.subjects, counts.idempotency_keys), (0, 0, 0));
    assert_eq!((counts.sessions, counts.tokens), (0, 0));
    for n in 20..=26 {
        assert_eq!(projection.session_with(&session_digest(n)), None);
    }
    for tenant in [Tenant::default(), crate::support::node::tenant("acme")] {
        assert!(projection.sessions_before(&tenant, None, 10).is_empty());
        assert_eq!(projection.subject_by_uuid(subject("dora").uuid(&tenant)), None);
    }
    assert_eq!(counts.applications, 1, "applications stay");
    node.state.prune(later);
    assert_eq!(projection.rows(), rows_of(&node));
}

#[test]
fn a_request_is_noted_strictly_later_than_the_one_before() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    let projection = projection_of(&node.log);
    let id = digest(1).id();
    let seen: Vec<_> = (0..3).map(|_| projection.touch(id, at(5)).unwrap().1).collect();
    assert_eq!(seen, [at(5), at(6), at(7)]);
    assert_eq!(projection.seen_at(id), at(7));
    assert!(projection.take_uses().is_empty(), "a tenth of its life has not passed");
}

#[test]
fn a_use_is_queued_once_until_it_is_taken() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    let projection = projection_of(&node.log);
    let id = digest(1).id();
    projection.touch(id, at(200_000)).unwrap();
    projection.touch(id, at(210_000)).unwrap();
    assert_eq!(projection.take_uses(), [(id, at(210_000))]);
    assert!(projection.take_uses().is_empty());
    projection.touch(id, at(220_000)).unwrap();
    assert_eq!(projection.take_uses().len(), 1, "nothing went on record, so it is queued again");
}

#[test]
fn a_use_counts_before_it_is_on_record() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    let projection = projection_of(&node.log);
    let id = digest(1).id();
    let ticket = projection.check(ticket_key(id), at(0)).unwrap();
    let expiry = ticket.expires_at;
    let used_at = at(expiry.as_millis() - at(0).as_millis() - 1);
    projection.touch(id, used_at).unwrap();
    assert!(projection.check(ticket_key(id), expiry).is_ok(), "it was used, though no record says so yet");
    projection.touch(id, expiry.plus_millis(500)).unwrap();
    let uses = projection.take_uses();
    assert_eq!(uses, [(id, used_at)], "a use after the expiry on record would be refused there");
    assert!(projection.check(ticket_key(id), expiry.plus_millis(500)).is_ok(), "taken, and not on record yet");
    node.now = expiry.plus_millis(900);
    node.ask(Command::RenewTickets(uses)).unwrap();
    let renewed = projection_of(&node.log);
    assert_eq!(
        renewed.check(ticket_key(id), node.now).unwrap().expires_at,
        projection.check(ticket_key(id), node.now).unwrap().expires_at
    );
}

#[test]
fn the_sweep_goes_on_after_a_clock_that_was_ahead() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    let projection = projection_of(&node.log);
    projection.sweep(at(0).plus_millis(10 * 365 * 86_400_000), at(0).plus_millis(10 * 365 * 86_400_000));
    let later = at(2 * 86_400_000);
    for step in 0..600 {
        projection.sweep(later.plus_millis(step * 250), later.plus_millis(step * 250));
    }
    assert_eq!(projection.counts().tickets, 0);
}

#[test]
fn a_subjects_credentials_are_listed_in_the_order_of_their_ids() {
    let mut node = ModelNode::lone();
    (0..100).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    let projection = projection_of(&node.log);
    let alice = crate::support::node::subject("alice");
    let tenant = Default::default();
    let mut listed = Vec::new();
    while let page = projection.credentials_of(&tenant, &alice, Kinds::ALL, listed.last().copied(), 7)
        && !page.is_empty()
    {
        listed.extend(page);
    }
    let mut ids: Vec<_> = (0..100).map(|n| CredentialKey { kind: Kind::Ticket, id: digest(n).id() }).collect();
    ids.sort_unstable();
    assert_eq!(listed, ids);
}

#[test]
fn revocations_in_force_are_listed_until_they_are_no_longer_kept() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(86_400);
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke(1)).unwrap();
    node.ask(revoke_subject("bob", None)).unwrap();
    let projection = projection_of(&node.log);
    let tenant = projection.revoked_after(None).expect("one in which something was revoked");
    let in_force = |now| projection.revocations(&tenant, Kinds::ALL, None, 100, now).0.len();
    assert_eq!(in_force(at(0)), 2);
    assert_eq!(in_force(at(86_700_000)), 0);
    let directory = tempfile::tempdir().unwrap();
    save(&projection, directory.path()).unwrap();
    let loaded = load(directory.path()).unwrap();
    assert_eq!(loaded.revocations(&tenant, Kinds::ALL, None, 100, at(0)).0.len(), 2, "a snapshot leads to them too");
    assert_eq!(projection.revoked_after(Some(&tenant)), None, "nothing was revoked elsewhere");
    projection.prune(at(86_700_000));
    assert_eq!(projection.revoked_after(None), None, "forgotten revocations leave nothing behind");
}

#[test]
fn an_empty_state_stands_at_the_beginning() {
    assert_eq!(Projection::default().base(), Base::default());
}

#[test]
fn a_tenants_sessions_are_listed_the_newest_first_in_pages() {
    let mut node = ModelNode::lone();
    for n in 0..25 {
        node.after_seconds(u64::from(n % 3 == 0)).ask(issue_session(n, "alice")).unwrap();
    }
    node.ask(Command::IssueSession(new_session("acme", 99, "alice", None).into())).unwrap();
    let projection = projection_of(&node.log);
    let mut listed = Vec::new();
    while let page = projection.sessions_before(&Tenant::default(), listed.last().copied(), 7)
        && !page.is_empty()
    {
        assert!(page.len() <= 7);
        listed.extend(page);
    }
    let mut due: Vec<_> =
        (0..25).map(|n| (node.state.credential(session_key(n)).issue.unwrap().issued_at, session_id(n))).collect();
    due.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(listed, due);
    assert_eq!(projection.counts().sessions, 26);
}

#[test]
fn the_credentials_of_a_subject_are_paged_over_all_kinds_however_many_there_are() {
    const EACH: u64 = 33_334;
    let mut node = ModelNode::lone();
    let projection = projection_of(&node.log);
    let mut due = Vec::new();
    for n in 0..EACH {
        for command in [issue(n, "alice"), issue_session(n, "alice"), issue_opaque(n, "alice", None)] {
            node.ask(command).unwrap();
            projection.fold(node.last());
        }
        due.push(CredentialKey { kind: Kind::Ticket, id: digest(n).id() });
        due.push(session_key(n));
        due.push(CredentialKey { kind: Kind::Token, id: token_digest(n).id() });
    }
    due.sort_unstable();
    let tenant = Tenant::default();
    let alice = subject("alice");
    let paged = |kinds, limit| {
        let mut listed = Vec::new();
        while let page = projection.credentials_of(&tenant, &alice, kinds, listed.last().copied(), limit)
            && !page.is_empty()
        {
            listed.extend(page);
        }
        listed
    };
    assert!(paged(Kinds::ALL, 997) == due);
    for some in [vec![Kind::Session], vec![Kind::Ticket, Kind::Token], vec![Kind::Session, Kind::Token]] {
        let due: Vec<_> = due.iter().filter(|key| some.contains(&key.kind)).copied().collect();
        assert!(paged(some.iter().copied().collect(), 5_000) == due, "{some:?}");
    }
    projection.prune(at(40 * 86_400_000));
    assert_eq!(projection.counts().subjects, 0);
}

#[test]
fn a_subject_is_found_by_the_uuid_that_stands_for_it_while_it_has_a_session() {
    let mut node = ModelNode::lone();
    let itself = "6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a11";
    node.ask(Command::IssueSession(new_session("default", 1, "alice", Some(60)).into())).unwrap();
    node.policy.session_max_life = seconds(86_400);
    node.ask(issue_session(2, "bob")).unwrap();
    node.ask(issue_session(3, itself)).unwrap();
    node.ask(issue(1, "carol")).unwrap();
    let projection = projection_of(&node.log);
    let tenant = Tenant::default();
    let by_uuid = |name: &str| projection.subject_by_uuid(subject(name).uuid(&tenant));
    let found = |name: &str| Some((Tenant::default(), Subject::new(name).unwrap()));
    assert_eq!((by_uuid("alice"), by_uuid("bob")), (found("alice"), found("bob")));
    assert_eq!((by_uuid(itself), by_uuid("carol")), (None, None), "it stands for itself; no session");
    projection.prune(at(86_400_000));
    assert_eq!((by_uuid("alice"), by_uuid("bob")), (found("alice"), None));
}
