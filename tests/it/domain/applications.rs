use authledger::domain::{
    Caller, Command, Event, Grants, MAX_GRANTS, Rejection, RemoveApplication, Scope, Scopes, View, may_see,
};

use crate::support::node::{
    ModelNode, application_id, at, digest, grants, issue, issue_in, register, register_until, tenant,
};

fn as_application(n: u64) -> Caller {
    Caller::Application(application_id(n))
}

#[test]
fn the_first_grant_that_names_the_tenant_or_all_decides() {
    let set = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
    let own = grants(&[("acme", &[]), ("*", &[Scope::Issue]), ("umbrella", &[Scope::Revoke])]);
    assert_eq!(own.in_tenant(&tenant("acme")), Scopes::NONE);
    assert_eq!(own.in_tenant(&tenant("umbrella")), set(&[Scope::Issue]), "the star comes first");
    assert_eq!(own.elsewhere(), set(&[Scope::Issue]));
    assert_eq!(own.everywhere(), Scopes::NONE);
    assert!(own.somewhere(Scope::Issue) && !own.somewhere(Scope::Revoke));
}

#[test]
fn an_application_does_what_it_was_granted_until_it_is_removed() {
    let mut node = ModelNode::lone();
    node.ask(register(1, Grants::everything())).unwrap();
    assert!(node.ask_as(as_application(1), issue(1, "alice")).is_ok());
    node.ask(Command::RemoveApplication(RemoveApplication { id: application_id(1), revoke: false })).unwrap();
    assert_eq!(node.ask_as(as_application(1), issue(2, "alice")), Err(Rejection::Unauthenticated));
    assert!(node.is_active(1), "the ticket that it issued stays active");
}

#[test]
fn an_application_that_has_expired_may_not_call() {
    let mut node = ModelNode::lone();
    node.ask(register_until(1, Grants::everything(), Some(at(1000)))).unwrap();
    node.now = at(999);
    assert!(node.ask_as(as_application(1), issue(1, "alice")).is_ok());
    node.now = at(1000);
    assert_eq!(node.ask_as(as_application(1), issue(2, "alice")), Err(Rejection::Unauthenticated));
}

#[test]
fn a_caller_that_nobody_registered_is_refused() {
    assert_eq!(ModelNode::lone().ask_as(as_application(1), issue(1, "alice")), Err(Rejection::Unauthenticated));
}

#[test]
fn registering_needs_admin() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("*", &[Scope::Issue, Scope::Revoke])]))).unwrap();
    let weaker = grants(&[("acme", &[Scope::Issue])]);
    assert_eq!(node.ask_as(as_application(1), register(2, weaker)), Err(Rejection::Forbidden));
    let remove = Command::RemoveApplication(RemoveApplication { id: application_id(1), revoke: false });
    assert_eq!(node.ask_as(as_application(1), remove), Err(Rejection::Forbidden));
}

#[test]
fn a_caller_cannot_grant_a_scope_that_it_does_not_hold() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Admin, Scope::Issue])]))).unwrap();
    let mut ask = |n, wanted: &[(&str, &[Scope])]| node.ask_as(as_application(1), register(n, grants(wanted)));
    assert!(ask(2, &[("acme", &[Scope::Issue])]).is_ok());
    assert_eq!(ask(3, &[("acme", &[Scope::Revoke])]), Err(Rejection::GrantExceedsOwn), "a scope");
    assert_eq!(ask(3, &[("umbrella", &[Scope::Issue])]), Err(Rejection::GrantExceedsOwn), "a tenant");
    assert_eq!(ask(3, &[("*", &[Scope::Issue])]), Err(Rejection::GrantExceedsOwn), "all tenants");
}

#[test]
fn an_exception_in_a_callers_grants_holds_for_what_it_grants() {
    let all_but_acme = || grants(&[("acme", &[]), ("*", &Scope::ALL)]);
    let mut node = ModelNode::lone();
    node.ask(register(1, all_but_acme())).unwrap();
    assert_eq!(node.ask_as(as_application(1), register(2, Grants::everything())), Err(Rejection::GrantExceedsOwn));
    assert!(node.ask_as(as_application(1), register(2, all_but_acme())).is_ok());
}

#[test]
fn a_secret_belongs_to_one_application_at_a_time() {
    let mut node = ModelNode::lone();
    node.ask(register(1, Grants::everything())).unwrap();
    let Command::RegisterApplication(registration) = register(1, Grants::everything()) else { unreachable!() };
    let mut again = (*registration).clone();
    again.id = application_id(2);
    let again = Command::RegisterApplication(again.into());
    assert_eq!(node.ask(again.clone()), Err(Rejection::ApplicationExists));
    node.ask(Command::RemoveApplication(RemoveApplication { id: application_id(1), revoke: false })).unwrap();
    assert!(node.ask(again).is_ok());
    assert_eq!(node.state.application_with(&digest(1_000_001)).unwrap().0, application_id(2));
}

#[test]
fn an_application_that_the_caller_could_not_have_registered_does_not_exist() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Admin])]))).unwrap();
    node.ask(register(2, Grants::everything())).unwrap();
    let remove = |n| Command::RemoveApplication(RemoveApplication { id: application_id(n), revoke: false });
    assert_eq!(node.ask_as(as_application(1), remove(2)), Err(Rejection::UnknownApplication));
    assert_eq!(node.ask_as(as_application(1), remove(3)), Err(Rejection::UnknownApplication));
    let own = grants(&[("acme", &[Scope::Admin])]);
    assert!(may_see(&own, &node.state.application(application_id(1))));
    assert!(!may_see(&own, &node.state.application(application_id(2))));
    assert!(node.ask_as(as_application(1), remove(1)).is_ok());
    assert_eq!(node.ask(remove(1)), Err(Rejection::UnknownApplication), "it is gone");
}

#[test]
fn a_removal_wins_over_a_registration_that_arrives_later() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(register(1, Grants::everything())).unwrap();
    one.ask(Command::RemoveApplication(RemoveApplication { id: application_id(1), revoke: false })).unwrap();
    other.receive(&one.log[3].clone());
    assert!(matches!(one.log[3].event, Event::ApplicationRemoved(_)));
    other.receive(&one.log[2].clone());
    assert_eq!(other.ask_as(as_application(1), issue(1, "alice")), Err(Rejection::Unauthenticated));
}

#[test]
fn grants_are_bounded() {
    let many = |n: usize| Grants::new(vec![authledger::domain::Grant { tenant: None, scopes: Scopes::ALL }; n]);
    assert!(many(MAX_GRANTS).is_ok());
    assert!(many(MAX_GRANTS + 1).is_err());
}

#[test]
fn a_star_in_a_grant_is_not_the_name_of_a_tenant() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("*", &[Scope::Issue])]))).unwrap();
    assert!(node.ask_as(as_application(1), issue_in("anything", 1, "alice", None)).is_ok());
}
