use authledger::domain::{
    Caller, Cohort, Command, CredentialView as _, Decision, Event, Inactive, KeyId, Kind, Kinds, PresentedToken,
    Rejection, RemoveApplication, RevokeCohort, Scope, WithdrawKey, judge_presented,
};

use crate::support::node::{
    ModelNode, application_id, at, grants, import_session, issue, issue_jwt, issue_opaque, issue_session, issuer, jwt,
    presented_token, publish, register, replace, seconds, subject, tenant, token_digest, token_key,
};

fn revoke_cohort(cohort: Cohort) -> Command {
    revoke_kinds_of(cohort, Kinds::ALL)
}

fn revoke_kinds_of(cohort: Cohort, kinds: Kinds) -> Command {
    let revoke = RevokeCohort { cohort, kinds, keep: None, hold: None, reason: None, note: None };
    Command::RevokeCohort(Box::new(revoke))
}

fn key(name: &str) -> Cohort {
    Cohort::Key(KeyId::new(name).unwrap())
}

fn application(n: u64) -> (Cohort, Caller) {
    (Cohort::Application(application_id(n)), Caller::Application(application_id(n)))
}

fn issuers() -> ModelNode {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("default", &[Scope::Issue])]))).unwrap();
    node.ask(register(2, grants(&[("*", &[Scope::Issue, Scope::Revoke])]))).unwrap();
    node.ask(publish("key-1")).unwrap();
    node
}

/// One credential of each kind, each named by that number.
fn issue_all(node: &mut ModelNode, caller: &Caller, n: u64) {
    for command in
        [issue(n, "alice"), issue_session(n, "alice"), issue_opaque(n, "alice", None), issue_jwt(n, "alice", None)]
    {
        node.ask_as(caller.clone(), command).unwrap();
    }
}

/// Whether the ticket, session, opaque token and JWT are active.
fn active(node: &ModelNode, n: u64) -> [bool; 4] {
    let opaque = authledger::domain::CredentialRef::Digest(token_digest(n));
    [
        node.is_active(n),
        node.judge_session(n).is_ok(),
        node.judge_token(&opaque).is_ok(),
        node.judge_token(&jwt(n)).is_ok(),
    ]
}

#[test]
fn revoking_a_cohort_revokes_what_was_issued_in_it_before_and_nothing_else() {
    let (cohort_of_1, caller_1) = application(1);
    let (_, caller_2) = application(2);
    for (cohort, of_1, of_2) in [
        (cohort_of_1, [false; 4], [true; 4]),
        (key("key-1"), [true, true, true, false], [true, true, true, false]),
        (Cohort::Issuer(issuer()), [true, true, true, false], [true, true, true, false]),
        (Cohort::Tenant(tenant("default")), [false; 4], [false; 4]),
        (Cohort::Tenant(tenant("acme")), [true; 4], [true; 4]),
    ] {
        let mut node = issuers();
        issue_all(&mut node, &caller_1, 1);
        issue_all(&mut node, &caller_2, 2);
        node.ask(revoke_cohort(cohort.clone())).unwrap();
        let revocation = node.last_place();
        assert_eq!((active(&node, 1), active(&node, 2)), (of_1, of_2), "{cohort:?}");
        // In the very millisecond of the revocation: the generation tells, not the clock.
        issue_all(&mut node, &caller_1, 3);
        assert_eq!(active(&node, 3), [true; 4], "issued after the revocation of {cohort:?}");
        if of_1[3] {
            continue;
        }
        assert_eq!(node.judge_token(&jwt(1)), Err(Inactive::Revoked(revocation, at(0))));
    }
}

#[test]
fn kinds_that_a_cohort_revocation_does_not_name_stay_active() {
    let mut node = issuers();
    let (cohort, caller) = application(1);
    issue_all(&mut node, &caller, 1);
    node.ask_as(caller, issue_jwt(2, "alice", Some(1))).unwrap();
    node.ask(revoke_kinds_of(cohort, Kinds::from_iter([Kind::Session]))).unwrap();
    assert_eq!(active(&node, 1), [true, false, true, true]);
    assert!(node.judge_token(&jwt(2)).is_err(), "it belongs to a session of the cohort");
}

#[test]
fn a_token_goes_with_its_session_even_if_another_application_issued_it() {
    let mut node = issuers();
    let ((cohort_1, caller_1), (_, caller_2)) = (application(1), application(2));
    node.ask_as(caller_1, issue_session(1, "alice")).unwrap();
    node.ask_as(caller_2, issue_jwt(1, "alice", Some(1))).unwrap();
    node.ask(revoke_cohort(cohort_1)).unwrap();
    assert!(node.judge_token(&jwt(1)).is_err());
}

#[test]
fn an_issue_elsewhere_that_had_not_heard_of_the_revocation_is_revoked() {
    let (mut one, mut other) = ModelNode::pair();
    let (cohort, caller) = application(1);
    one.ask(register(1, grants(&[("default", &[Scope::Issue])]))).unwrap();
    other.catch_up(&one);
    other.ask_as(caller.clone(), issue(1, "alice")).unwrap();
    one.ask(revoke_cohort(cohort)).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    assert!(!one.is_active(1) && !other.is_active(1));
    other.ask_as(caller, issue(2, "alice")).unwrap();
    one.catch_up(&other);
    assert!(one.is_active(2) && other.is_active(2), "its issuer knew of the revocation");
}

#[test]
fn a_generation_has_one_entry_for_each_node_however_many_revocations_it_reaches() {
    let mut node = issuers();
    let (cohort, caller) = application(1);
    node.ask(revoke_cohort(cohort)).unwrap();
    node.ask(revoke_cohort(Cohort::Tenant(tenant("default")))).unwrap();
    node.ask(revoke_cohort(key("key-1"))).unwrap();
    let last = node.last_place();
    node.ask_as(caller, issue_jwt(1, "alice", None)).unwrap();
    let Event::TokenIssued(issued) = &node.last().event else { panic!("not a token") };
    assert_eq!(issued.generation.iter().collect::<Vec<_>>(), [(last.origin, last.sequence)]);
    assert!(node.judge_token(&jwt(1)).is_ok());
}

#[test]
fn a_hold_on_a_cohort_refuses_what_would_belong_to_it() {
    let mut node = issuers();
    let ((cohort, caller_1), (_, caller_2)) = (application(1), application(2));
    let hold = RevokeCohort {
        cohort,
        kinds: Kinds::from_iter([Kind::Ticket]),
        keep: None,
        hold: Some(seconds(60)),
        reason: None,
        note: None,
    };
    node.ask(Command::RevokeCohort(Box::new(hold))).unwrap();
    assert_eq!(node.ask_as(caller_1.clone(), issue(1, "alice")), Err(Rejection::SubjectOnHold));
    assert!(node.ask_as(caller_1.clone(), issue_session(1, "alice")).is_ok(), "of another kind");
    assert!(node.ask_as(caller_2, issue(2, "alice")).is_ok(), "by another application");
    node.after_seconds(60);
    assert!(node.ask_as(caller_1, issue(1, "alice")).is_ok());
}

#[test]
fn a_caller_revokes_a_cohort_only_if_it_may_revoke_wherever_that_reaches() {
    let mut node = issuers();
    node.ask(register(3, grants(&[("default", &[Scope::Revoke])]))).unwrap();
    node.ask(register(4, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    let ask = |node: &mut ModelNode, n: u64, cohort: Cohort| {
        node.ask_as(Caller::Application(application_id(n)), revoke_cohort(cohort))
    };
    let (of_default, of_all) = (application(1).0, application(2).0);
    assert_eq!(ask(&mut node, 1, of_default.clone()), Err(Rejection::Forbidden), "it may not revoke at all");
    assert!(ask(&mut node, 3, of_default.clone()).is_ok());
    assert_eq!(ask(&mut node, 4, of_default.clone()), Err(Rejection::UnknownApplication));
    assert_eq!(ask(&mut node, 3, of_all.clone()), Err(Rejection::UnknownApplication), "it may issue everywhere");
    assert!(ask(&mut node, 2, of_all).is_ok());
    assert_eq!(ask(&mut node, 3, application(9).0), Err(Rejection::UnknownApplication));
    // One that issues nowhere has nothing to revoke, and a caller of one tenant does not learn that it exists.
    assert_eq!(ask(&mut node, 4, application(3).0), Err(Rejection::UnknownApplication));
    assert_eq!(ask(&mut node, 2, application(3).0), Ok(Decision::Nothing));
    assert_eq!(ask(&mut node, 3, Cohort::Tenant(tenant("acme"))), Err(Rejection::Forbidden));
    assert!(ask(&mut node, 3, Cohort::Tenant(tenant("default"))).is_ok());
    // Without authority, known and unknown keys look alike.
    for name in ["key-1", "key-9"] {
        assert_eq!(ask(&mut node, 3, key(name)), Err(Rejection::Forbidden));
    }
    assert_eq!(ask(&mut node, 2, key("key-9")), Err(Rejection::UnknownKey));
    assert_eq!(ask(&mut node, 3, Cohort::Issuer(issuer())), Err(Rejection::Forbidden));
}

#[test]
fn an_application_is_removed_with_what_it_issued_in_one_append() {
    let mut node = issuers();
    let (_, caller) = application(1);
    issue_all(&mut node, &caller, 1);
    let remove = |revoke| Command::RemoveApplication(RemoveApplication { id: application_id(1), revoke });
    let Ok(Decision::Append(drafts)) = node.ask(remove(true)) else { panic!("it is removed") };
    let names: Vec<_> = drafts.iter().map(|draft| draft.event.type_name()).collect();
    assert_eq!(names, ["cohort.revoked", "application.removed"]);
    assert_eq!(active(&node, 1), [false; 4]);

    let mut node = issuers();
    issue_all(&mut node, &caller, 1);
    node.ask(remove(false)).unwrap();
    assert_eq!(active(&node, 1), [true; 4], "unless that is asked for");

    node.ask(register(5, grants(&[("default", &[Scope::Issue, Scope::Admin])]))).unwrap();
    node.ask(register(6, grants(&[("default", &[Scope::Issue])]))).unwrap();
    let remove = |revoke| Command::RemoveApplication(RemoveApplication { id: application_id(6), revoke });
    let admin = Caller::Application(application_id(5));
    assert_eq!(node.ask_as(admin.clone(), remove(true)), Err(Rejection::Forbidden), "it may not revoke there");
    assert!(node.ask_as(admin, remove(false)).is_ok());
}

#[test]
fn a_withdrawn_key_neither_signs_nor_verifies_and_no_generation_reaches_that() {
    let mut node = issuers();
    node.ask(publish("key-2")).unwrap();
    node.ask(issue_jwt(1, "alice", None)).unwrap();
    let withdraw = |name: &str| Command::WithdrawKey(WithdrawKey { id: KeyId::new(name).unwrap(), reason: None });
    node.ask(withdraw("key-1")).unwrap();
    let withdrawn = node.last_place();
    assert_eq!(node.ask(withdraw("key-1")), Ok(Decision::Already(withdrawn)));
    assert_eq!(node.ask(withdraw("key-9")), Err(Rejection::UnknownKey));
    assert!(node.judge_token(&jwt(1)).is_err());
    let state = &node.state.keys[&KeyId::new("key-1").unwrap()];
    assert!(state.retired && state.verifies(node.now).is_none(), "although its last token has not expired");
    node.ask(issue_jwt(2, "alice", None)).unwrap();
    let Event::TokenIssued(issued) = &node.last().event else { panic!("not a token") };
    assert_eq!(issued.key, Some(KeyId::new("key-2").unwrap()));
    assert!(node.judge_token(&jwt(2)).is_ok());

    // A thief who has the key can write any generation into a token.
    let forged = PresentedToken {
        issued_at_seconds: Some(at(0).as_seconds()),
        expires_at: Some(at(60_000)),
        generation: Some([(node.origin, authledger::domain::Sequence(1 << 52))].into_iter().collect()),
        key: Some(KeyId::new("key-1").unwrap()),
        ..presented_token(jwt(3), subject("alice"))
    };
    assert_eq!(judge_presented(&node.state, &forged, node.now), Err(Inactive::Revoked(withdrawn, at(0))));
    let by_the_next = PresentedToken { key: Some(KeyId::new("key-2").unwrap()), ..forged };
    assert_eq!(judge_presented(&node.state, &by_the_next, node.now), Ok(()));
}

#[test]
fn a_withdrawal_and_a_rotation_at_once_leave_one_key_out_of_use() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("key-1")).unwrap();
    one.ask(publish("key-2")).unwrap();
    other.catch_up(&one);
    one.ask(replace(&["key-1"], "key-3")).unwrap();
    other.ask(Command::WithdrawKey(WithdrawKey { id: KeyId::new("key-1").unwrap(), reason: None })).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    let key = |node: &ModelNode| node.state.keys[&KeyId::new("key-1").unwrap()].clone();
    assert_eq!(key(&one), key(&other));
    assert!(key(&one).withdrawn && key(&one).retired);
}

#[test]
fn a_foreign_token_is_revoked_with_its_issuer_by_its_age() {
    let mut node = issuers();
    node.after_seconds(100);
    let theirs = authledger::domain::Issuer::new("https://other.example").unwrap();
    let revoke = RevokeCohort {
        cohort: Cohort::Issuer(theirs.clone()),
        kinds: Kinds::from_iter([Kind::Token]),
        keep: None,
        hold: None,
        reason: None,
        note: None,
    };
    node.ask(register(3, grants(&[("default", &[Scope::Revoke])]))).unwrap();
    let revoke = Command::RevokeCohort(Box::new(revoke));
    // Another node may trust it in other tenants, too.
    let one_tenants = Caller::Application(application_id(3));
    assert_eq!(node.ask_as(one_tenants, revoke.clone()), Err(Rejection::Forbidden));
    node.ask(revoke).unwrap();
    let named = authledger::domain::CredentialRef::Jwt {
        issuer: theirs.clone(),
        jti: authledger::domain::TokenId::new("theirs").unwrap(),
    };
    let token =
        |issued_at_seconds| PresentedToken { issued_at_seconds, ..presented_token(named.clone(), subject("bob")) };
    let now = node.now.as_seconds();
    for (issued_at, is_active) in
        [(None, false), (Some(now - 60), false), (Some(now + 5), false), (Some(now + 6), true)]
    {
        assert_eq!(judge_presented(&node.state, &token(issued_at), node.now).is_ok(), is_active, "{issued_at:?}");
    }
}

#[test]
fn a_cohort_revocation_is_kept_as_long_as_anything_in_it_may_be_active_and_then_forgotten() {
    let mut node = issuers();
    let (cohort, caller) = application(1);
    node.policy.longest_life = seconds(86_400);
    issue_all(&mut node, &caller, 1);
    node.ask(revoke_cohort(cohort)).unwrap();
    let Event::CohortRevoked(revoked) = &node.last().event else { panic!("not a cohort's") };
    let retain_until = revoked.retain_until;
    let expires_at = node.ticket(1).issue.unwrap().not_after;
    assert!(expires_at < retain_until);
    node.state.prune(retain_until.minus(seconds(1)));
    assert!(node.state.cohorts().is_some());
    node.state.prune(retain_until);
    assert!(node.state.cohorts().is_none() && node.state.credential(token_key(&jwt(1))).issue.is_none());
}

#[test]
fn an_import_belongs_to_the_application_that_imports_it_from_now_on() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("default", &[Scope::Issue, Scope::Admin])]))).unwrap();
    let (cohort, caller) = application(1);
    node.after_seconds(3_600);
    let import = |n| import_session(n, "alice", at(0), at(86_400_000));
    node.ask_as(caller.clone(), import(1)).unwrap();
    node.ask(revoke_cohort(cohort)).unwrap();
    assert!(node.judge_session(1).is_err());
    node.ask_as(caller.clone(), import(2)).unwrap();
    assert!(node.judge_session(2).is_ok(), "it was imported afterwards, however old it is");
    node.ask(revoke_cohort(Cohort::Tenant(tenant("default")))).unwrap();
    node.ask_as(caller, import(3)).unwrap();
    assert!(node.judge_session(3).is_err(), "it was in the tenant before");
}

#[test]
fn a_withdrawal_is_never_forgotten() {
    let mut node = issuers();
    node.ask(Command::WithdrawKey(WithdrawKey { id: KeyId::new("key-1").unwrap(), reason: None })).unwrap();
    let withdrawn = node.last_place();
    node.after_seconds(3 * 366 * 86_400);
    node.state.prune(node.now);
    let withdraw = Command::WithdrawKey(WithdrawKey { id: KeyId::new("key-1").unwrap(), reason: None });
    assert_eq!(node.ask(withdraw), Ok(Decision::Already(withdrawn)));
}
