use authledger::domain::{Decision, Rejection};

use crate::support::node::{ModelNode, at, issue, revoke};

const DAY_MILLIS: u64 = 86_400_000;

#[test]
fn a_command_that_comes_again_is_answered_by_its_records() {
    let mut node = ModelNode::lone();
    node.ask_once(1, 1, issue(1, "alice")).unwrap();
    let first = node.last_place();
    assert_eq!(node.after_seconds(60).ask_once(1, 1, issue(2, "alice")), Ok(Decision::Repeated(first, 1)));
    assert_eq!(node.last_place(), first);
    assert!(node.ask_once(2, 1, issue(2, "alice")).is_ok_and(|decision| matches!(decision, Decision::Append(_))));
}

#[test]
fn the_same_key_with_another_body_is_refused() {
    let mut node = ModelNode::lone();
    node.ask_once(1, 1, issue(1, "alice")).unwrap();
    assert_eq!(node.ask_once(1, 2, issue(2, "bob")), Err(Rejection::IdempotencyMismatch));
}

#[test]
fn a_key_is_recognised_for_a_day() {
    let mut node = ModelNode::lone();
    node.ask_once(1, 1, issue(1, "alice")).unwrap();
    let first = node.last_place();
    node.now = at(DAY_MILLIS - 1);
    assert_eq!(node.ask_once(1, 1, issue(2, "alice")), Ok(Decision::Repeated(first, 1)));
    node.now = at(DAY_MILLIS);
    assert!(matches!(node.ask_once(1, 1, issue(2, "alice")), Ok(Decision::Append(_))));
}

#[test]
fn a_key_that_is_used_again_after_its_day_is_recognised_for_another() {
    let mut node = ModelNode::lone();
    node.ask_once(1, 1, issue(1, "alice")).unwrap();
    node.now = at(DAY_MILLIS);
    node.ask_once(1, 2, issue(2, "alice")).unwrap();
    let second = node.last_place();
    node.state.prune(node.now);
    assert_eq!(node.ask_once(1, 2, issue(3, "alice")), Ok(Decision::Repeated(second, 1)));
}

#[test]
fn a_command_that_is_refused_is_not_remembered() {
    let mut node = ModelNode::lone();
    assert_eq!(node.ask_once(1, 1, revoke(1)), Err(Rejection::UnknownCredential));
    node.ask(issue(1, "alice")).unwrap();
    assert!(matches!(node.ask_once(1, 1, revoke(1)), Ok(Decision::Append(_))));
}
