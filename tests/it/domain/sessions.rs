use authledger::domain::{
    Caller, Command, CredentialRef, CredentialView as _, Decision, Digest, Event, Inactive, Kind, Rejection, Scope,
    SessionExtended, SessionIssued, Ttl, View,
};

use crate::support::node::{
    ModelNode, application_id, at, grants, holder, issue_session, new_session, register, revoke_kinds, revoke_named,
    revoke_subject, seconds, session_digest, session_id, session_key, subject,
};

const DAY: u64 = 86_400_000;

fn last_issued(node: &ModelNode) -> &SessionIssued {
    match &node.last().event {
        Event::SessionIssued(issued) => issued,
        other => panic!("{other:?} is not the issue of a session"),
    }
}

fn extend(n: u64, ttl: Option<u64>) -> Command {
    Command::ExtendSession(session_id(n), ttl.map(seconds))
}

fn revoke_id(n: u64) -> Command {
    revoke_named(Kind::Session, CredentialRef::Id(session_id(n)))
}

fn revoke_digest(n: u64) -> Command {
    revoke_named(Kind::Session, CredentialRef::Digest(session_digest(n)))
}

fn expires_at(node: &ModelNode, n: u64) -> authledger::domain::Timestamp {
    node.state.credential(session_key(n)).expires_at().unwrap()
}

#[test]
fn an_issued_session_is_active_until_it_expires() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!((last_issued(&node).expires_at, last_issued(&node).not_after), (at(DAY), at(30 * DAY)));
    node.now = at(DAY - 1);
    assert_eq!(node.judge_session(1), Ok(()));
    node.now = at(DAY);
    assert_eq!(node.judge_session(1), Err(Inactive::Expired));
    assert_eq!(node.judge_session(2), Err(Inactive::Unknown));
    assert_eq!(node.state.session_with(&session_digest(1)), Some(session_id(1)));
}

#[test]
fn a_session_lasts_as_long_as_its_issuer_says_and_never_longer_than_the_longest_life() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(40 * 86_400);
    let mut issued = |n, ttl| {
        node.ask(Command::IssueSession(new_session("default", n, "alice", Some(ttl)).into())).unwrap();
        (last_issued(&node).expires_at, last_issued(&node).not_after)
    };
    assert_eq!(issued(1, 60), (at(60_000), at(30 * DAY)));
    assert_eq!(
        issued(2, 35 * 86_400),
        (at(35 * DAY), at(35 * DAY)),
        "nothing extends a session that lasts longest already"
    );
    assert_eq!(issued(3, Ttl::MAX.as_seconds()), (at(40 * DAY), at(40 * DAY)));
}

#[test]
fn issuing_and_extending_need_issue_in_the_sessions_tenant() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Issue]), ("default", &[Scope::Revoke])]))).unwrap();
    node.ask(register(2, grants(&[("*", &[Scope::Revoke, Scope::Admin])]))).unwrap();
    let [acme, other] = [1, 2].map(|n| Caller::Application(application_id(n)));
    assert_eq!(node.ask_as(acme.clone(), issue_session(1, "alice")), Err(Rejection::Forbidden));
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(
        node.ask_as(acme.clone(), extend(1, None)),
        Err(Rejection::UnknownCredential),
        "not a session of that tenant"
    );
    assert_eq!(node.ask_as(other, extend(1, None)), Err(Rejection::Forbidden));
    let own = new_session("acme", 2, "alice", None);
    assert!(node.ask_as(acme.clone(), Command::IssueSession(own.into())).is_ok());
    node.after_seconds(1);
    assert!(matches!(node.ask_as(acme, extend(2, None)), Ok(Decision::Append(_))));
    for caller in [holder(1, "alice"), bearer()] {
        assert_eq!(node.ask_as(caller.clone(), issue_session(3, "alice")), Err(Rejection::Forbidden));
        assert_eq!(node.ask_as(caller.clone(), extend(1, None)), Err(Rejection::Forbidden));
        assert_eq!(node.ask_as(caller.clone(), revoke_id(1)), Err(Rejection::Forbidden));
        assert_eq!(node.ask_as(caller, revoke_subject("alice", None)), Err(Rejection::Forbidden));
    }
}

fn bearer() -> Caller {
    Caller::Bearer { issuer: crate::support::node::issuer(), jti: crate::support::node::jti(1) }
}

#[test]
fn a_hold_on_sessions_refuses_new_ones_of_that_subject() {
    let mut node = ModelNode::lone();
    node.ask(revoke_subject("alice", Some(60))).unwrap();
    assert_eq!(node.ask(issue_session(1, "alice")), Err(Rejection::SubjectOnHold));
    node.ask(issue_session(2, "bob")).unwrap();
    node.now = at(60_000);
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(node.judge_session(1), Ok(()));
}

#[test]
fn an_extension_moves_the_expiry_and_never_beyond_the_latest() {
    let mut node = ModelNode::lone();
    node.policy.session_max_life = seconds(2 * 86_400);
    node.ask(issue_session(1, "alice")).unwrap();
    node.now = at(DAY / 2);
    node.ask(extend(1, None)).unwrap();
    let extended = SessionExtended { id: session_id(1), subject: subject("alice"), expires_at: at(DAY + DAY / 2) };
    assert_eq!(node.last().event, Event::SessionExtended(extended));
    assert_eq!(node.last().tenant.as_ref().unwrap().as_str(), "default");
    node.now = at(DAY);
    assert_eq!(node.judge_session(1), Ok(()), "it would have expired");
    node.ask(extend(1, Some(Ttl::MAX.as_seconds()))).unwrap();
    assert_eq!(expires_at(&node, 1), at(2 * DAY));
    let Event::SessionExtended(last) = &node.last().event else { panic!("no extension") };
    assert_eq!(last.expires_at, at(2 * DAY), "the record says no more than holds");
    assert_eq!(node.ask(extend(1, None)), Ok(Decision::Nothing), "it lasts as long as it can");
    node.now = at(2 * DAY);
    assert_eq!(node.judge_session(1), Err(Inactive::Expired));
}

#[test]
fn an_extension_never_makes_a_session_last_shorter() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(node.ask(extend(1, Some(60))), Ok(Decision::Nothing));
    assert_eq!(node.ask(extend(1, None)), Ok(Decision::Nothing), "in the same millisecond");
    assert_eq!(expires_at(&node, 1), at(DAY));
}

#[test]
fn an_extension_revives_nothing() {
    let mut node = ModelNode::lone();
    (1..=3).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    node.ask(issue_session(4, "bob")).unwrap();
    node.ask(revoke_id(1)).unwrap();
    node.ask(revoke_kinds("bob", &[Kind::Session])).unwrap();
    node.after_seconds(60);
    assert_eq!(node.ask(extend(1, None)), Ok(Decision::Nothing), "revoked");
    assert_eq!(node.ask(extend(4, None)), Ok(Decision::Nothing), "revoked with all of its subject");
    node.now = at(DAY);
    assert_eq!(node.ask(extend(2, None)), Ok(Decision::Nothing), "expired");
    assert_eq!(node.ask(extend(9, None)), Err(Rejection::UnknownCredential));
}

#[test]
fn an_extension_that_arrives_before_its_session_waits_for_it() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(issue_session(1, "alice")).unwrap();
    let issued = one.last().clone();
    one.now = at(DAY / 2);
    one.ask(extend(1, None)).unwrap();
    other.receive(&one.last().clone());
    assert_eq!(other.judge_session(1), Err(Inactive::Unknown));
    other.receive(&issued);
    assert_eq!(expires_at(&other, 1), at(DAY + DAY / 2));
}

#[test]
fn a_session_is_revoked_by_its_id_or_its_tokens_digest_and_the_record_names_both() {
    for command in [revoke_id(1), revoke_digest(1)] {
        let mut node = ModelNode::lone();
        node.ask(issue_session(1, "alice")).unwrap();
        node.after_seconds(1).ask(command).unwrap();
        let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
        assert_eq!(
            (&revoked.credential, revoked.session_digest),
            (&CredentialRef::Id(session_id(1)), Some(session_digest(1)))
        );
        assert_eq!((revoked.kind, revoked.known), (Kind::Session, true));
        assert_eq!(revoked.retain_until, at(30 * DAY + 300_000), "as long as an extension could have made it last");
        let first = node.last_place();
        assert_eq!(node.judge_session(1), Err(Inactive::Revoked(first, at(1000))));
        for again in [revoke_id(1), revoke_digest(1)] {
            assert_eq!(node.after_seconds(1).ask(again), Ok(Decision::Already(first)));
        }
    }
}

#[test]
fn an_expired_session_can_be_revoked_while_it_could_have_been_extended() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.now = at(2 * DAY);
    assert!(matches!(node.ask(revoke_id(1)), Ok(Decision::Append(_))));
    node.ask(issue_session(2, "alice")).unwrap();
    node.now = at(32 * DAY);
    assert_eq!(node.ask(revoke_id(2)), Err(Rejection::UnknownCredential), "its time is long up");
}

#[test]
fn a_credential_of_another_tenant_is_unknown_to_a_caller_that_revokes_it() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    let caller = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller.clone(), revoke_id(1)), Err(Rejection::UnknownCredential));
    assert_eq!(node.ask_as(caller, revoke_digest(1)), Err(Rejection::UnknownCredential));
    assert_eq!(node.judge_session(1), Ok(()));
}

#[test]
fn a_digest_that_only_begins_as_a_sessions_names_nothing() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    let mut bytes = *session_digest(1).as_bytes();
    bytes[31] ^= 1;
    let near = CredentialRef::Digest(Digest::from_bytes(bytes));
    assert_eq!(node.ask(revoke_named(Kind::Session, near)), Err(Rejection::UnknownCredential));
}

#[test]
fn revoking_the_sessions_of_a_subject_leaves_those_issued_later() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_session(2, "bob")).unwrap();
    node.ask(revoke_kinds("alice", &[Kind::Ticket, Kind::Token])).unwrap();
    assert_eq!(node.judge_session(1), Ok(()), "other kinds");
    node.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    let revocation = node.last_place();
    node.ask(issue_session(3, "alice")).unwrap();
    assert_eq!(node.judge_session(1), Err(Inactive::Revoked(revocation, at(0))));
    assert_eq!((node.judge_session(2), node.judge_session(3)), (Ok(()), Ok(())));
    assert_eq!(node.ask(revoke_id(1)), Ok(Decision::Already(revocation)));
}

#[test]
fn revoking_no_kinds_at_all_records_nothing() {
    let mut node = ModelNode::lone();
    assert_eq!(node.ask(revoke_kinds("alice", &[])), Ok(Decision::Nothing));
}

#[test]
fn the_earliest_of_several_revocations_is_told() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.after_seconds(1).ask(revoke_id(1)).unwrap();
    let alone = node.last_place();
    node.after_seconds(1).ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    assert_eq!(node.judge_session(1), Err(Inactive::Revoked(alone, at(1000))));
}

#[test]
fn a_session_and_what_leads_to_it_leave_memory_when_nothing_can_extend_it() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(revoke_id(2)).unwrap();
    node.state.prune(at(30 * DAY - 1));
    assert_eq!(node.state.credentials.len(), 2);
    node.state.prune(at(30 * DAY));
    assert_eq!(node.state.session_with(&session_digest(1)), None);
    assert_eq!(
        node.state.credentials.keys().collect::<Vec<_>>(),
        [&session_key(2)],
        "a revocation is kept 300 s longer"
    );
    node.state.prune(at(30 * DAY + 300_000));
    assert!(node.state.credentials.is_empty());
}
