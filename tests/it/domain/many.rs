//! Many sessions of one tenant, revoked by one command.

use authledger::domain::{
    Caller, Command, Decision, Event, Kind, Kinds, ManySessions, Rejection, RevokeSessions, Scope, Subject,
};

use crate::support::node::{
    ModelNode, application_id, grants, issue_session, new_session, register, session_digest, session_id, subject,
    tenant,
};

fn these(sessions: impl IntoIterator<Item = u64>) -> Command {
    these_in("default", sessions)
}

fn these_in(name: &str, sessions: impl IntoIterator<Item = u64>) -> Command {
    let which = ManySessions::These(sessions.into_iter().map(session_id).collect());
    Command::RevokeSessions(RevokeSessions { tenant: tenant(name), which })
}

fn of_subjects(names: &[&str]) -> Command {
    let subjects: Vec<Subject> = names.iter().map(|name| subject(name)).collect();
    Command::RevokeSessions(RevokeSessions { tenant: tenant("default"), which: ManySessions::OfSubjects(subjects) })
}

fn records(decision: Result<Decision, Rejection>) -> usize {
    match decision {
        Ok(Decision::Append(drafts)) => drafts.len(),
        Ok(Decision::Nothing) => 0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn active_sessions_are_revoked_once_each_and_in_one_append() {
    let mut node = ModelNode::lone();
    (1..=3).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    assert_eq!(records(node.ask(these([1, 1, 3, 9]))), 2, "neither twice, nor what is unknown");
    assert!(node.judge_session(1).is_err() && node.judge_session(2).is_ok() && node.judge_session(3).is_err());
    let Event::Revoked(revoked) = &node.last().event else { panic!("no revocation") };
    let known = (revoked.known, revoked.session_digest, revoked.subject.clone());
    assert_eq!(known, (true, Some(session_digest(3)), Some(subject("alice"))));
    assert_eq!(node.ask(these([1, 3])), Ok(Decision::Nothing), "they are revoked already");
}

#[test]
fn sessions_of_another_tenant_are_unknown() {
    let mut node = ModelNode::lone();
    node.ask(Command::IssueSession(new_session("acme", 1, "alice", None).into())).unwrap();
    assert_eq!(node.ask(these([1])), Ok(Decision::Nothing));
    assert!(node.judge_session(1).is_ok());
    assert_eq!(records(node.ask(these_in("acme", [1]))), 1);
}

#[test]
fn with_a_second_origin_an_unknown_session_is_recorded_and_revoked_when_it_arrives() {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(issue_session(1, "alice")).unwrap();
    assert_eq!(records(one.ask(these([1, 2]))), 2);
    assert_eq!(one.ask(these([1, 2])), Ok(Decision::Nothing), "they are on record");
    one.receive(&other.last().clone());
    assert!(one.judge_session(1).is_err());
}

#[test]
fn an_application_revokes_so_many_unknown_sessions_only() {
    let (mut one, _) = ModelNode::pair();
    one.policy.max_unknown_revocations = 2;
    one.ask(register(1, grants(&[("default", &[Scope::Revoke])]))).unwrap();
    let caller = || Caller::Application(application_id(1));
    let head = one.log.len();
    assert_eq!(one.ask_as(caller(), these([1, 2, 3])), Err(Rejection::TooManyUnknownRevocations));
    assert_eq!(one.log.len(), head, "all or none");
    assert_eq!(records(one.ask_as(caller(), these([1, 2]))), 2);
}

#[test]
fn everything_that_subjects_have_of_sessions_is_revoked_by_a_record_each() {
    let mut node = ModelNode::lone();
    for (n, name) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "carol")] {
        node.ask(issue_session(n, name)).unwrap();
    }
    assert_eq!(records(node.ask(of_subjects(&["alice", "bob", "alice"]))), 2);
    let Event::SubjectRevoked(revoked) = &node.last().event else { panic!("no revocation") };
    assert_eq!((&revoked.subject, revoked.kinds), (&subject("bob"), Kinds::from_iter([Kind::Session])));
    let active: Vec<bool> = (1..=4).map(|n| node.judge_session(n).is_ok()).collect();
    assert_eq!(active, [false, false, false, true]);
}

#[test]
fn the_scope_is_needed_in_the_tenant() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(register(1, grants(&[("default", &[Scope::Issue, Scope::Introspect]), ("acme", &[Scope::Revoke])])))
        .unwrap();
    for command in [these([1]), of_subjects(&["alice"]), these([]), of_subjects(&[])] {
        let refused = node.ask_as(Caller::Application(application_id(1)), command);
        assert_eq!(refused, Err(Rejection::Forbidden));
    }
    assert!(node.judge_session(1).is_ok());
}
