//! The sessions that a person may revoke by one of their own.

use authledger::domain::{
    Actor, Caller, Command, CredentialRef, Decision, Event, Kind, MAX_OWN_SESSIONS, OwnSessions, Rejection, Tenant, Ttl,
};

use crate::support::node::{
    ModelNode, application_id, at, holder, issue_session, new_session, revoke_named, session_digest, session_id,
    subject,
};

fn own(sessions: OwnSessions) -> Command {
    Command::RevokeOwn(sessions)
}

fn other(n: u64) -> Command {
    own(OwnSessions::Other(session_id(n)))
}

#[test]
fn a_session_revokes_another_of_its_subject() {
    let mut node = ModelNode::lone();
    (1..=2).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    node.ask_as(holder(1, "alice"), other(2)).unwrap();
    let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
    assert_eq!(
        (&revoked.credential, revoked.session_digest),
        (&CredentialRef::Id(session_id(2)), Some(session_digest(2)))
    );
    assert!(revoked.known);
    assert_eq!(node.last().actor, Some(Actor::Subject(subject("alice"))));
    assert!(node.judge_session(1).is_ok() && node.judge_session(2).is_err());
    assert_eq!(node.ask_as(holder(1, "alice"), other(2)), Ok(Decision::Nothing), "it is revoked already");
}

#[test]
fn a_session_does_not_revoke_itself_as_another() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(node.ask_as(holder(1, "alice"), other(1)), Err(Rejection::CurrentSession));
    node.ask_as(holder(1, "alice"), own(OwnSessions::Others(vec![session_id(1)]))).unwrap();
    assert!(node.judge_session(1).is_ok());
    node.ask_as(holder(1, "alice"), own(OwnSessions::Current)).unwrap();
    assert!(node.judge_session(1).is_err());
}

#[test]
fn somebody_elses_sessions_are_left_alone() {
    let (mut node, _) = ModelNode::pair();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_session(2, "bob")).unwrap();
    node.ask(Command::IssueSession(new_session("acme", 3, "alice", None).into())).unwrap();
    for n in [2, 3] {
        let others = own(OwnSessions::Others(vec![session_id(n)]));
        assert_eq!(node.ask_as(holder(1, "alice"), others), Ok(Decision::Nothing));
        assert!(node.judge_session(n).is_ok());
    }
}

#[test]
fn only_an_active_session_revokes_others() {
    let mut node = ModelNode::lone();
    (1..=2).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))).unwrap();
    assert_eq!(node.ask_as(holder(1, "alice"), other(2)), Err(Rejection::Unauthenticated), "revoked");
    assert_eq!(node.ask_as(holder(9, "alice"), other(2)), Err(Rejection::Unauthenticated), "unknown");
    node.now = at(86_400_000);
    assert_eq!(node.ask_as(holder(2, "alice"), other(1)), Err(Rejection::Unauthenticated), "expired");
}

#[test]
fn only_a_session_has_sessions_of_its_own_subject() {
    let mut node = ModelNode::lone();
    for caller in [Caller::Root, Caller::Node] {
        assert_eq!(node.ask_as(caller, own(OwnSessions::Current)), Err(Rejection::Forbidden));
    }
    let removed = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(removed, own(OwnSessions::Current)), Err(Rejection::Unauthenticated));
}

#[test]
fn on_a_lone_node_an_unknown_session_is_nobodys() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(node.ask_as(holder(1, "alice"), other(2)), Ok(Decision::Nothing));
}

#[test]
fn with_a_second_node_an_unknown_session_is_revoked_if_it_is_this_subjects() {
    for (owner, is_revoked) in [("alice", true), ("bob", false)] {
        let (mut one, mut far) = ModelNode::pair();
        one.ask(issue_session(1, "alice")).unwrap();
        far.ask(issue_session(2, owner)).unwrap();
        one.ask_as(holder(1, "alice"), other(2)).unwrap();
        let Event::Revoked(revoked) = &one.last().event else { panic!("not a revocation") };
        assert_eq!((revoked.known, revoked.subject.as_ref()), (false, Some(&subject("alice"))));
        assert_eq!(one.ask_as(holder(1, "alice"), other(2)), Ok(Decision::Nothing), "it is on record");
        far.catch_up(&one);
        one.catch_up(&far);
        for node in [&one, &far] {
            assert_eq!(node.judge_session(2).is_err(), is_revoked, "{owner}'s");
        }
    }
}

#[test]
fn a_revocation_for_one_subject_does_not_prevent_one_for_all() {
    let (mut one, mut far) = ModelNode::pair();
    one.ask(issue_session(1, "alice")).unwrap();
    far.ask(issue_session(2, "bob")).unwrap();
    one.ask_as(holder(1, "alice"), other(2)).unwrap();
    let root = one.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(2))));
    assert!(matches!(root, Ok(Decision::Append(_))), "{root:?}");
    far.catch_up(&one);
    assert!(far.judge_session(2).is_err());
}

#[test]
fn a_subject_may_have_so_many_unknown_revocations_in_force() {
    let (mut one, _) = ModelNode::pair();
    one.ask(issue_session(1, "alice")).unwrap();
    one.ask(issue_session(2, "bob")).unwrap();
    let alice = || holder(1, "alice");
    (0..100).for_each(|n| drop(one.ask_as(alice(), other(1_000 + n)).unwrap()));
    assert_eq!(one.ask_as(alice(), other(2_000)), Err(Rejection::TooManyUnknownRevocations));
    assert!(
        matches!(one.ask_as(holder(2, "bob"), other(2_000)), Ok(Decision::Append(_))),
        "each has a bound of their own"
    );
    one.now = at(300_000).plus(Ttl::MAX);
    one.state.prune(one.now);
    one.ask(issue_session(3, "alice")).unwrap();
    assert!(
        matches!(one.ask_as(holder(3, "alice"), other(2_000)), Ok(Decision::Append(_))),
        "those that have expired do not count"
    );
}

#[test]
fn five_thousand_sessions_are_revoked_in_one_append_and_the_next_is_left() {
    let mut node = ModelNode::lone();
    let many = MAX_OWN_SESSIONS as u64 + 1;
    (0..=many).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    let others = OwnSessions::Others((1..=many).map(session_id).collect());
    let Ok(Decision::Append(drafts)) = node.ask_as(holder(0, "alice"), own(others)) else { panic!("refused") };
    assert_eq!(drafts.len(), 5_000);
    assert!(drafts.iter().all(|draft| draft.tenant == Some(Tenant::default())));
    assert!(node.judge_session(many - 1).is_err());
    assert!(node.judge_session(many).is_ok(), "the 5,001st");
    assert!(node.judge_session(0).is_ok(), "the current one");
}

/// Whether it is another subject's, in whichever tenant, or nobody's: record and answer are the same.
#[test]
fn somebody_elses_session_is_not_told_from_one_that_nobody_has() {
    let (mut node, _) = ModelNode::pair();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_session(2, "bob")).unwrap();
    let new = crate::support::node::new_session("acme", 3, "alice", None);
    node.ask(Command::IssueSession(new.into())).unwrap();
    for n in [2, 3, 99] {
        let asked = node.ask_as(holder(1, "alice"), other(n));
        assert!(matches!(&asked, Ok(Decision::Append(drafts)) if drafts.len() == 1), "{n}: {asked:?}");
        let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
        assert_eq!((revoked.known, &revoked.credential), (false, &CredentialRef::Id(session_id(n))), "{n}");
        assert_eq!((revoked.session_digest, revoked.subject.as_ref()), (None, Some(&subject("alice"))), "{n}");
        assert_eq!(node.ask_as(holder(1, "alice"), other(n)), Ok(Decision::Nothing), "{n}: it is on record");
    }
    for n in [2, 3] {
        assert_eq!(node.judge_session(n), Ok(()), "it is revoked for nobody else");
    }
}

/// A session that looks expired by a clock that is ahead is active again once that is set right.
#[test]
fn a_session_that_has_expired_only_by_a_clock_that_is_ahead_is_still_revoked() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(Command::IssueSession(new_session("default", 2, "alice", Some(60)).into())).unwrap();
    (node.now, node.wall) = (at(120_000), Some(at(0)));
    let others = Command::RevokeOwn(OwnSessions::Others(vec![session_id(2)]));
    assert!(matches!(node.ask_as(holder(1, "alice"), others), Ok(Decision::Append(_))));
    node.now = at(0);
    assert!(node.judge_session(2).is_err());
}
