use authledger::domain::{
    Caller, Command, CredentialView as _, Decision, Event, Inactive, Kind, Kinds, Rejection, RevokeSubject, Scope,
    Tenant,
};

use crate::support::log::projection_of;
use crate::support::node::{
    ModelNode, application_id, at, digest, grants, issue, issue_in, issue_jwt, issue_session, jwt, publish, register,
    renew, revoke, revoke_subject, seconds, session_key, subject,
};

#[test]
fn revoking_a_subject_revokes_what_was_issued_before_and_not_what_comes_after() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(issue(2, "bob")).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    let revocation = node.last_place();
    // In the very millisecond of the revocation: the generation tells, not the clock.
    node.ask(issue(3, "alice")).unwrap();
    assert_eq!(node.judge(digest(1).id()), Err(Inactive::Revoked(revocation, at(0))));
    assert!(node.is_active(2), "another subject's");
    assert!(node.is_active(3), "issued after");
}

#[test]
fn a_subject_of_the_same_name_in_another_tenant_is_somebody_else() {
    let mut node = ModelNode::lone();
    node.ask(issue_in("acme", 1, "alice", None)).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    assert!(node.is_active(1));
}

#[test]
fn a_revocation_of_other_kinds_leaves_tickets_alone() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    let revoke = RevokeSubject {
        tenant: Tenant::default(),
        subject: subject("alice"),
        kinds: Kinds::from_iter([Kind::Session, Kind::Token]),
        issued_before: None,
        keep: None,
        hold: None,
        reason: None,
        note: None,
    };
    node.ask(Command::RevokeSubject(revoke)).unwrap();
    assert!(node.is_active(1));
}

#[test]
fn a_concurrent_issue_elsewhere_is_revoked() {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(issue(1, "alice")).unwrap();
    one.ask(revoke_subject("alice", None)).unwrap();
    one.receive(&other.last().clone());
    other.receive(&one.log[2].clone());
    assert!(!one.is_active(1) && !other.is_active(1));
    other.ask(issue(2, "alice")).unwrap();
    assert!(other.is_active(2), "the issuer knew of the revocation");
}

#[test]
fn a_ticket_of_a_revoked_generation_is_already_revoked() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    let revocation = node.last_place();
    assert_eq!(node.ask(revoke(1)), Ok(Decision::Already(revocation)));
}

#[test]
fn a_use_does_not_revive_a_revoked_generation() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    let now = node.after_seconds(500).now;
    assert_eq!(node.ask(renew(1, now)), Ok(Decision::Nothing));
}

#[test]
fn a_hold_refuses_new_tickets_until_it_expires() {
    let mut node = ModelNode::lone();
    node.ask(revoke_subject("alice", Some(60))).unwrap();
    assert_eq!(node.ask(issue(1, "alice")), Err(Rejection::SubjectOnHold));
    assert!(node.ask(issue(2, "bob")).is_ok());
    node.now = at(59_999);
    assert_eq!(node.ask(issue(1, "alice")), Err(Rejection::SubjectOnHold));
    node.now = at(60_000);
    assert!(node.ask(issue(1, "alice")).is_ok());
    assert!(node.is_active(1));
}

#[test]
fn a_later_revocation_without_a_hold_does_not_lift_one() {
    let mut node = ModelNode::lone();
    node.ask(revoke_subject("alice", Some(60))).unwrap();
    node.after_seconds(1).ask(revoke_subject("alice", None)).unwrap();
    assert_eq!(node.ask(issue(1, "alice")), Err(Rejection::SubjectOnHold));
}

#[test]
fn a_callers_keep_only_lengthens_how_long_a_revocation_is_kept() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(1000);
    let kept = |node: &mut ModelNode, keep| {
        let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
        node.ask(Command::RevokeSubject(RevokeSubject { keep, ..revoke })).unwrap();
        let Event::SubjectRevoked(revoked) = &node.last().event else { panic!("not a revocation") };
        revoked.retain_until
    };
    assert_eq!(kept(&mut node, Some(seconds(1))), at(1_300_000));
    assert_eq!(kept(&mut node, None), at(1_300_000));
    assert_eq!(kept(&mut node, Some(seconds(2000))), at(2_300_000));
}

#[test]
fn a_hold_keeps_its_revocation_at_least_as_long() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(10);
    node.ask(revoke_subject("alice", Some(60))).unwrap();
    let Event::SubjectRevoked(revoked) = &node.last().event else { panic!("not a revocation") };
    assert_eq!(revoked.hold_until, Some(at(60_000)));
    assert_eq!(revoked.retain_until, at(360_000));
}

#[test]
fn foreign_tokens_are_judged_by_whole_seconds() {
    let mut node = ModelNode::lone();
    node.now = at(1999);
    node.ask(revoke_subject("alice", None)).unwrap();
    let Event::SubjectRevoked(revoked) = &node.last().event else { panic!("not a revocation") };
    assert_eq!(revoked.not_before, 1_800_000_001);
}

#[test]
fn revoking_a_subject_needs_revoke_in_its_tenant() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    let caller = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller, revoke_subject("alice", None)), Err(Rejection::Forbidden));
}

#[test]
fn a_revocation_of_a_subject_leaves_memory_when_it_is_no_longer_kept() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(10);
    node.ask(revoke_subject("alice", None)).unwrap();
    node.state.prune(at(309_999));
    assert_eq!(node.state.subjects.len(), 1);
    node.state.prune(at(310_000));
    assert_eq!(node.state.subjects.len(), 0);
}

/// The settings of a node, or of another one, may have allowed longer lives than they do now.
#[test]
fn a_credential_that_outlives_the_longest_life_of_now_stays_revoked_with_its_subject() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.policy.longest_life = seconds(900);
    node.ask(revoke_subject("alice", None)).unwrap();
    let not_after = node.state.credential(session_key(1)).issue.unwrap().not_after;
    let Event::SubjectRevoked(revoked) = &node.last().event else { panic!("a revocation") };
    assert!(revoked.retain_until > not_after, "a follower may forget it then");
    // One that this node did not know.
    let (mut one, mut far) = ModelNode::pair();
    far.ask(issue_session(2, "alice")).unwrap();
    one.policy.longest_life = seconds(900);
    one.ask(revoke_subject("alice", None)).unwrap();
    one.catch_up(&far);
    for (node, n) in [(&mut node, 1), (&mut one, 2)] {
        node.after_seconds(86_000);
        let projection = projection_of(&node.log);
        projection.prune(node.now);
        node.state.prune(node.now);
        assert!(node.judge_session(n).is_err(), "session {n}");
        assert_eq!(projection.rows(), node.state.rows());
    }
}

#[test]
fn credentials_older_than_an_instant_are_revoked_and_younger_ones_are_not() {
    let mut node = ModelNode::lone();
    node.ask(publish("key-1")).unwrap();
    for n in 0..3 {
        node.now = at(n * 250);
        node.ask(issue(n, "alice")).unwrap();
        node.ask(issue_jwt(n, "alice", None)).unwrap();
    }
    node.ask(issue(7, "bob")).unwrap();
    let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
    let before = |instant| Command::RevokeSubject(RevokeSubject { issued_before: Some(instant), ..revoke.clone() });
    node.now = at(1_000);
    node.ask(before(at(250))).unwrap();
    let revocation = node.last_place();
    assert_eq!([0, 1, 2, 7].map(|n| node.is_active(n)), [false, true, true, true]);
    assert_eq!(node.judge(digest(0).id()), Err(Inactive::Revoked(revocation, at(1_000))));
    // A JWT says only in which second it was issued: all of these were issued in the one that began earlier.
    assert_eq!([0, 1, 2].map(|n| node.judge_token(&jwt(n)).is_ok()), [false; 3]);
    // In the very second of the revocation: the generation tells, not the clock.
    node.ask(issue(4, "alice")).unwrap();
    node.ask(issue_jwt(4, "alice", None)).unwrap();
    assert!(node.is_active(4) && node.judge_token(&jwt(4)).is_ok());
    // A node that knows of the revocation issues active credentials, even while its clock is behind.
    node.ask(before(at(1_000))).unwrap();
    node.now = at(900);
    node.ask(issue(5, "alice")).unwrap();
    assert!(node.is_active(5));
    // An earlier instant takes nothing back.
    node.now = at(1_000);
    node.ask(before(at(100))).unwrap();
    assert_eq!([0, 1, 2, 4, 5].map(|n| node.is_active(n)), [false, false, false, true, true]);
    // Of two that reach it the later record stands for both.
    assert!(matches!(node.judge(digest(0).id()), Err(Inactive::Revoked(place, _)) if place > revocation));
    // What is still to come is as good as now.
    node.ask(before(at(9_000))).unwrap();
    node.now = at(2_000);
    node.ask(issue(6, "alice")).unwrap();
    assert_eq!([5, 6].map(|n| node.is_active(n)), [false, true]);
}

#[test]
fn of_two_revocations_by_age_each_revokes_what_its_issuer_did_not_know_of() {
    let (mut one, mut other) = ModelNode::pair();
    let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
    let before = |instant| Command::RevokeSubject(RevokeSubject { issued_before: Some(instant), ..revoke.clone() });
    one.now = at(10_000);
    other.now = at(10_000);
    one.ask(before(at(5_000))).unwrap();
    other.ask(before(at(9_000))).unwrap();
    let (first, second) = (one.last().clone(), other.last().clone());
    // It knows of the one that reaches further, and its clock is far behind.
    let mut third = ModelNode::named('c');
    third.receive(&second);
    third.now = at(1_000);
    third.ask(issue(1, "alice")).unwrap();
    assert!(third.is_active(1));
    third.receive(&first);
    assert!(!third.is_active(1), "it did not know of the other one");
    let mut fourth = ModelNode::named('d');
    fourth.receive(&first);
    fourth.receive(&second);
    fourth.now = at(1_000);
    fourth.ask(issue(2, "alice")).unwrap();
    assert!(fourth.is_active(2), "it knew of both");
}

#[test]
fn a_token_is_not_older_than_its_session_although_its_second_began_earlier() {
    let mut node = ModelNode::lone();
    node.ask(publish("key-1")).unwrap();
    node.now = at(600);
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_jwt(1, "alice", Some(1))).unwrap();
    let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
    node.now = at(700);
    node.ask(Command::RevokeSubject(RevokeSubject { issued_before: Some(at(600)), ..revoke })).unwrap();
    assert!(node.judge_session(1).is_ok() && node.judge_token(&jwt(1)).is_ok());
}

#[test]
fn a_token_goes_with_a_session_that_is_older_than_the_instant() {
    let mut node = ModelNode::lone();
    node.ask(publish("key-1")).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    node.after_seconds(10).ask(issue_jwt(1, "alice", Some(1))).unwrap();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(issue_jwt(2, "alice", Some(2))).unwrap();
    let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
    let sessions = Kinds::from_iter([Kind::Session]);
    let revoke = RevokeSubject { issued_before: Some(at(5_000)), kinds: sessions, ..revoke };
    node.ask(Command::RevokeSubject(revoke)).unwrap();
    assert!(node.judge_session(1).is_err() && node.judge_token(&jwt(1)).is_err());
    assert!(node.judge_session(2).is_ok() && node.judge_token(&jwt(2)).is_ok());
}
