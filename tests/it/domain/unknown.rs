//! A success must be true: revocations of credentials that this node has never seen.

use authledger::domain::{Caller, Decision, Event, Grants, Rejection, Scope, Ttl};

use crate::support::node::{
    ModelNode, application_id, at, grants, issue, issue_in, register, revoke, revoke_id, seconds,
};

#[test]
fn on_a_lone_node_nobody_else_can_have_issued_it() {
    let mut node = ModelNode::lone();
    let records = node.log.len();
    assert_eq!(node.ask(revoke(1)), Err(Rejection::UnknownCredential));
    assert_eq!(node.log.len(), records);
}

#[test]
fn with_a_second_origin_the_revocation_is_recorded_and_revokes_the_ticket_when_it_arrives() {
    for command in [revoke(1), revoke_id(1)] {
        let (mut one, mut other) = ModelNode::pair();
        other.ask(issue(1, "alice")).unwrap();
        assert!(matches!(one.ask(command), Ok(Decision::Append(_))));
        let Event::Revoked(revoked) = &one.last().event else { panic!("not a revocation") };
        assert_eq!(revoked.subject, None);
        one.receive(&other.last().clone());
        assert!(!one.is_active(1));
        other.receive(&one.log[2].clone());
        assert!(!other.is_active(1));
    }
}

#[test]
fn an_unknown_revocation_is_kept_for_the_longest_life_there_is() {
    let (mut one, _) = ModelNode::pair();
    // Another node may allow longer lives than this one.
    one.policy.longest_life = seconds(1000);
    one.ask(revoke(1)).unwrap();
    let Event::Revoked(revoked) = &one.last().event else { panic!("not a revocation") };
    assert_eq!(revoked.retain_until, at(300_000).plus(Ttl::MAX));
}

#[test]
fn revoking_an_unknown_credential_twice_names_the_first_revocation() {
    let (mut one, _) = ModelNode::pair();
    one.ask(revoke(1)).unwrap();
    let first = one.last_place();
    assert_eq!(one.ask(revoke(1)), Ok(Decision::Already(first)));
}

#[test]
fn a_caller_that_may_revoke_in_some_tenants_revokes_unknown_credentials_in_those_alone() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(register(1, grants(&[("acme", &[Scope::Revoke]), ("umbrella", &[Scope::Revoke])]))).unwrap();
    other.ask(issue_in("acme", 1, "alice", None)).unwrap();
    other.ask(issue_in("default", 2, "alice", None)).unwrap();
    for n in [1, 2] {
        let Ok(Decision::Append(drafts)) = one.ask_as(Caller::Application(application_id(1)), revoke(n)) else {
            panic!("refused")
        };
        let tenants: Vec<_> = drafts.iter().map(|draft| draft.tenant.as_ref().unwrap().as_str()).collect();
        assert_eq!(tenants, ["acme", "umbrella"]);
    }
    other.own().skip(1).cloned().collect::<Vec<_>>().iter().for_each(|recorded| one.receive(recorded));
    assert!(!one.is_active(1), "a tenant of the application");
    assert!(one.is_active(2), "not a tenant of the application");
}

#[test]
fn an_application_may_have_so_many_unknown_revocations_in_force() {
    let (mut one, _) = ModelNode::pair();
    one.policy.max_unknown_revocations = 2;
    one.ask(register(1, Grants::everything())).unwrap();
    let caller = || Caller::Application(application_id(1));
    one.ask_as(caller(), revoke(1)).unwrap();
    one.ask_as(caller(), revoke(2)).unwrap();
    assert_eq!(one.ask_as(caller(), revoke(3)), Err(Rejection::TooManyUnknownRevocations));
    assert!(one.ask(revoke(4)).is_ok(), "the root is not bounded");
    one.now = at(300_000).plus(Ttl::MAX);
    one.state.prune(one.now);
    assert!(one.ask_as(caller(), revoke(3)).is_ok(), "those that have expired do not count");
}

#[test]
fn an_origin_that_continues_another_is_not_a_second_node() {
    let (mut one, _) = ModelNode::pair();
    let mut second = one.log[1].clone();
    one.state = Default::default();
    let first = one.log[0].clone();
    one.receive(&first);
    let Event::LedgerOpened(opened) = &mut second.event else { panic!("no opening") };
    opened.previous = Some(authledger::domain::Previous { place: first.place, hash: [0; 32] });
    one.receive(&second);
    assert_eq!(one.ask(revoke(1)), Err(Rejection::UnknownCredential));
}

#[test]
fn an_unseen_revocation_of_each_kind_and_name_waits_for_what_it_revokes() {
    use crate::support::node::{
        issue_jwt, issue_opaque, issue_session, jwt, publish, revoke_named, session_digest, session_id, token_digest,
    };
    use authledger::domain::{CredentialRef, Kind};
    let cases = [
        (issue_session(1, "alice"), Kind::Session, CredentialRef::Id(session_id(1))),
        (issue_session(1, "alice"), Kind::Session, CredentialRef::Digest(session_digest(1))),
        (issue_opaque(1, "alice", None), Kind::Token, CredentialRef::Id(token_digest(1).id())),
        (issue_opaque(1, "alice", None), Kind::Token, CredentialRef::Digest(token_digest(1))),
        (issue_jwt(1, "alice", None), Kind::Token, jwt(1)),
    ];
    for (command, kind, named) in cases {
        let (mut one, mut other) = ModelNode::pair();
        other.ask(publish("k")).unwrap();
        other.ask(command).unwrap();
        one.ask(revoke_named(kind, named.clone())).unwrap();
        let first = one.last_place();
        let Event::Revoked(revoked) = &one.last().event else { panic!("not a revocation") };
        assert_eq!((&revoked.credential, revoked.known, &revoked.subject), (&named, false, &None));
        one.catch_up(&other);
        let inactive = match kind {
            Kind::Session => one.judge_session(1),
            _ if named == jwt(1) => one.judge_token(&named),
            _ => one.judge_token(&CredentialRef::Digest(token_digest(1))),
        };
        assert_eq!(inactive, Err(authledger::domain::Inactive::Revoked(first, at(0))), "{named:?}");
        assert_eq!(one.ask(revoke_named(kind, named)), Ok(Decision::Already(first)));
    }
}

#[test]
fn a_caller_is_not_told_who_else_revoked_it() {
    let (mut one, _) = ModelNode::pair();
    one.ask(register(1, grants(&[("alpha", &[Scope::Revoke])]))).unwrap();
    one.ask(register(2, grants(&[("beta", &[Scope::Revoke])]))).unwrap();
    one.ask_as(Caller::Application(application_id(1)), revoke(1)).unwrap();
    one.ask_as(Caller::Application(application_id(2)), revoke(1)).unwrap();
    let own = one.last_place();
    let again = one.ask_as(Caller::Application(application_id(2)), revoke(1));
    assert_eq!(again, Ok(Decision::Already(own)));
}
