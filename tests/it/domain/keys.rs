use authledger::domain::{
    Caller, Command, Decision, Event, Grants, Issuer, KeyId, Rejection, Scope, View, issuer as issuer_of, signing_key,
};

use crate::support::node::{ModelNode, application_id, at, grants, issue_jwt, issuer, publish, publish_for, register};

fn key(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

fn verifying(node: &ModelNode) -> Vec<String> {
    let keys = node.state.keys();
    keys.values().filter_map(|key| key.verifies(node.now)).map(|key| key.id.to_string()).collect()
}

#[test]
fn a_node_signs_with_the_key_that_it_published() {
    let mut node = ModelNode::lone();
    assert_eq!(issuer_of(&node.state), None);
    node.ask(publish("one", false)).unwrap();
    let place = node.last_place();
    assert_eq!(signing_key(&node.state, node.origin).unwrap().id, key("one"));
    assert_eq!(issuer_of(&node.state), Some(issuer()));
    assert_eq!(node.ask(publish("two", false)), Ok(Decision::Already(place)), "it has one");
    assert_eq!(verifying(&node), ["one"]);
}

#[test]
fn rotating_publishes_the_new_key_and_retires_all_old_ones_at_once() {
    let mut node = ModelNode::lone();
    node.ask(publish("one", false)).unwrap();
    let Ok(Decision::Append(drafts)) = node.ask(publish("two", true)) else { panic!("refused") };
    let [Event::KeyPublished(new), Event::KeyRetired(old)] = [&drafts[0].event, &drafts[1].event] else {
        panic!("{drafts:?}")
    };
    assert_eq!((&new.id, old, drafts.len()), (&key("two"), &key("one"), 2));
    assert_eq!(signing_key(&node.state, node.origin).unwrap().id, key("two"));
}

#[test]
fn a_key_does_not_take_its_own_place() {
    let mut node = ModelNode::lone();
    node.ask(publish("one", false)).unwrap();
    let place = node.last_place();
    assert_eq!(node.ask(publish("one", true)), Ok(Decision::Already(place)));
    assert_eq!(signing_key(&node.state, node.origin).unwrap().id, key("one"), "it signs still");
}

#[test]
fn each_node_has_keys_of_its_own_and_all_have_one_issuer() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("a-1", false)).unwrap();
    other.catch_up(&one);
    let elsewhere = Issuer::new("https://elsewhere.example").unwrap();
    assert_eq!(other.ask(publish_for("b-1", elsewhere, false)), Err(Rejection::IssuerDiffers));
    assert!(matches!(other.ask(publish("b-1", false)), Ok(Decision::Append(drafts)) if drafts.len() == 1));
    other.ask(publish("b-2", true)).unwrap();
    one.catch_up(&other);
    assert_eq!(signing_key(&one.state, one.origin).unwrap().id, key("a-1"), "only its own are retired");
    assert_eq!(signing_key(&one.state, other.origin).unwrap().id, key("b-2"));
}

#[test]
fn publishing_needs_admin_everywhere() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[]), ("*", &Scope::ALL)]))).unwrap();
    node.ask(register(2, Grants::everything())).unwrap();
    let [some, all] = [1, 2].map(|n| Caller::Application(application_id(n)));
    assert_eq!(node.ask_as(some, publish("one", false)), Err(Rejection::Forbidden));
    assert!(node.ask_as(all, publish("one", false)).is_ok());
    assert!(node.ask_as(Caller::Node, publish("two", true)).is_ok(), "the node makes its own");
}

#[test]
fn a_retired_key_verifies_until_the_last_token_that_it_signed_has_expired() {
    let mut node = ModelNode::lone();
    node.ask(publish("one", false)).unwrap();
    node.after_seconds(60).ask(issue_jwt(1, "alice", None)).unwrap();
    node.ask(publish("two", true)).unwrap();
    node.ask(publish("three", true)).unwrap();
    assert_eq!(verifying(&node), ["one", "three"], "the second signed nothing");
    node.now = at(60_000 + 3_600_000 + 300_000 - 1);
    assert_eq!(verifying(&node), ["one", "three"]);
    node.now = at(60_000 + 3_600_000 + 300_000);
    assert_eq!(verifying(&node), ["three"]);
}

#[test]
fn a_retirement_that_arrives_before_its_key_holds() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("one", false)).unwrap();
    one.ask(publish("two", true)).unwrap();
    let own: Vec<_> = one.own().skip(1).cloned().collect();
    own.iter().rev().for_each(|recorded| other.receive(recorded));
    assert!(matches!(own[2].event, Event::KeyRetired(_)));
    assert_eq!(signing_key(&other.state, one.origin).unwrap().id, key("two"));
    assert_eq!(other.state.rows(), {
        other.catch_up(&one);
        other.state.rows()
    });
    assert_eq!(other.state.keys, one.state.keys);
}

#[test]
fn the_issuer_is_that_of_the_first_key_in_the_order_of_places() {
    let (mut one, mut other) = ModelNode::pair();
    let elsewhere = Issuer::new("https://elsewhere.example").unwrap();
    other.ask(publish_for("b", elsewhere, false)).unwrap();
    one.ask(publish("a", false)).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    assert_eq!((issuer_of(&one.state), issuer_of(&other.state)), (Some(issuer()), Some(issuer())));
    assert_eq!(
        other
            .ask(Command::IssueToken(
                crate::support::node::new_token(
                    "default",
                    authledger::domain::TokenForm::Jwt(crate::support::node::jti(1)),
                    "alice",
                    None
                )
                .into()
            ))
            .map(drop),
        Ok(())
    );
}

#[test]
fn a_node_that_goes_on_under_another_origin_retires_what_it_signed_with_before() {
    let (mut one, other) = ModelNode::pair();
    one.ask(publish("before", false)).unwrap();
    let previous = authledger::domain::Previous { place: one.last_place(), hash: [0; 32] };
    let mut continued = ModelNode::named('c');
    continued.state = Default::default();
    let mut opened = continued.log[0].clone();
    let Event::LedgerOpened(opening) = &mut opened.event else { panic!("no opening") };
    opening.previous = Some(previous);
    continued.log.clear();
    one.log.iter().chain(&other.log[..1]).cloned().collect::<Vec<_>>().iter().for_each(|one| continued.receive(one));
    continued.receive(&opened);
    continued.ask(publish("after", true)).unwrap();
    let signing = |node: &ModelNode| -> Vec<String> {
        node.state.keys().values().filter_map(|key| key.signs()).map(|(_, key)| key.id.to_string()).collect()
    };
    assert_eq!(signing(&continued), ["after"]);
}
