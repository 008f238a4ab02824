use authledger::domain::{
    Caller, CredentialRef, Decision, Event, Grants, Inactive, Rejection, Scope, TicketIssued, Ttl,
};

use crate::support::node::{
    ModelNode, application_id, at, digest, grants, issue, issue_in, register, revoke, revoke_id, seconds,
};

fn last_issued(node: &ModelNode) -> &TicketIssued {
    match &node.last().event {
        Event::TicketIssued(issued) => issued,
        other => panic!("{other:?} is not the issue of a ticket"),
    }
}

#[test]
fn an_issued_ticket_is_active_until_it_expires() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    assert_eq!(last_issued(&node).expires_at, at(900_000));
    assert_eq!(last_issued(&node).not_after, at(86_400_000));
    assert!(node.is_active(1));
    node.now = at(899_999);
    assert!(node.is_active(1));
    node.now = at(900_000);
    assert_eq!(node.judge(digest(1).id()), Err(Inactive::Expired));
}

#[test]
fn a_ticket_that_names_no_ttl_gets_the_policys() {
    let mut node = ModelNode::lone();
    node.ask(issue_in("default", 1, "alice", None)).unwrap();
    assert_eq!(last_issued(&node).ttl, node.policy.ticket_ttl);
}

#[test]
fn a_ttl_is_cut_at_the_longest_life() {
    let mut node = ModelNode::lone();
    node.policy.ticket_max_life = seconds(60);
    node.ask(issue_in("default", 1, "alice", Some(Ttl::MAX.as_seconds()))).unwrap();
    assert_eq!(last_issued(&node).expires_at, at(60_000));
    assert_eq!(last_issued(&node).not_after, at(60_000));
    node.now = at(60_000);
    assert!(!node.is_active(1));
}

#[test]
fn a_ticket_that_was_never_issued_is_unknown() {
    assert_eq!(ModelNode::lone().judge(digest(1).id()), Err(Inactive::Unknown));
}

#[test]
fn a_revoked_ticket_is_inactive_from_then_on() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.after_seconds(10).ask(revoke(1)).unwrap();
    assert_eq!(node.judge(digest(1).id()), Err(Inactive::Revoked(node.last_place(), at(10_000))));
}

#[test]
fn a_revocation_by_id_names_the_digest_that_the_ledger_knows() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke_id(1)).unwrap();
    let Event::Revoked(revoked) = &node.last().event else { panic!("no revocation") };
    assert_eq!(revoked.credential, CredentialRef::Digest(digest(1)));
    assert_eq!(revoked.subject.as_ref().unwrap().as_str(), "alice");
    assert!(!node.is_active(1));
}

#[test]
fn a_revocation_is_kept_beyond_the_latest_expiry_of_what_it_revokes() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke(1)).unwrap();
    let Event::Revoked(revoked) = &node.last().event else { panic!("no revocation") };
    assert_eq!(revoked.retain_until, at(86_400_000 + 300_000));
    node.state.prune(at(86_400_000 + 299_999));
    assert_eq!(node.state.credentials.len(), 1);
    node.state.prune(at(86_400_000 + 300_000));
    assert_eq!(node.state.credentials.len(), 0);
}

#[test]
fn revoking_twice_names_the_first_revocation() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(revoke(1)).unwrap();
    let first = node.last_place();
    assert_eq!(node.after_seconds(5).ask(revoke(1)), Ok(Decision::Already(first)));
    assert_eq!(node.ask(revoke_id(1)), Ok(Decision::Already(first)));
    assert_eq!(node.last_place(), first);
}

#[test]
fn an_expired_ticket_can_be_revoked_while_a_use_might_still_renew_it() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.after_seconds(1000);
    assert!(matches!(node.ask(revoke(1)), Ok(Decision::Append(_))));
}

#[test]
fn an_expired_ticket_is_unknown_whether_it_has_left_memory_or_not() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(86_400_000);
    assert_eq!(node.ask(revoke(1)), Err(Rejection::UnknownCredential));
    node.state.prune(node.now);
    assert_eq!(node.ask(revoke(1)), Err(Rejection::UnknownCredential));
}

#[test]
fn issuing_and_revoking_each_need_their_scope_in_that_tenant() {
    let mut node = ModelNode::lone();
    let here_only = grants(&[("acme", &[Scope::Issue])]);
    node.ask(register(1, here_only)).unwrap();
    let caller = || Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller(), issue(1, "alice")), Err(Rejection::Forbidden));
    assert!(node.ask_as(caller(), issue_in("acme", 1, "alice", None)).is_ok());
    assert_eq!(node.ask_as(caller(), revoke(1)), Err(Rejection::Forbidden));
}

#[test]
fn a_credential_beyond_a_callers_scopes_does_not_exist_for_it() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    node.ask(issue(1, "alice")).unwrap();
    let caller = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller, revoke(1)), Err(Rejection::UnknownCredential));
    assert!(node.is_active(1));
}

#[test]
fn an_application_is_recorded_as_the_actor_of_its_commands() {
    let mut node = ModelNode::lone();
    node.ask(register(1, Grants::everything())).unwrap();
    node.ask_as(Caller::Application(application_id(1)), issue(1, "alice")).unwrap();
    let actor = node.last().actor.as_ref().unwrap().to_string();
    assert_eq!(actor, format!("application:{}", application_id(1)));
    node.ask(revoke(1)).unwrap();
    assert_eq!(node.last().actor.as_ref().unwrap().to_string(), "root@aaaaaaaaaaaaa");
}
