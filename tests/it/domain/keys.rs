use authledger::domain::{
    Caller, Command, Decision, Event, Grants, Issuer, KeyId, Previous, Rejection, Scope, TokenForm, View,
    issuer as issuer_of, keys_before, keys_by_node, own_keys, signing_key,
};

use crate::support::node::{
    ModelNode, application_id, at, grants, issue_jwt, issuer, jti, new_token, publish, publish_for, register, replace,
};

fn key(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

fn verifying(node: &ModelNode) -> Vec<String> {
    let keys = node.state.keys();
    keys.values().filter_map(|key| key.verifies(node.now)).map(|key| key.id.to_string()).collect()
}

/// The node's keys that are not retired, the one that signs first.
fn own(node: &ModelNode) -> Vec<String> {
    own_keys(&node.state, node.origin).iter().map(|(_, key)| key.id.to_string()).collect()
}

fn signs(node: &ModelNode) -> Option<String> {
    signing_key(&node.state, node.origin).map(|key| key.id.to_string())
}

fn elsewhere() -> Issuer {
    Issuer::new("https://elsewhere.example").unwrap()
}

/// The same records in the log of a node that continues the origin under another name.
fn continued(one: &ModelNode) -> ModelNode {
    let previous = Previous { place: one.own().last().unwrap().place, hash: [0; 32] };
    let mut continued = ModelNode::named('c');
    continued.state = Default::default();
    let mut opened = continued.log[0].clone();
    let Event::LedgerOpened(opening) = &mut opened.event else { panic!("no opening") };
    opening.previous = Some(previous);
    continued.log.clear();
    one.log.clone().iter().for_each(|one| continued.receive(one));
    continued.receive(&opened);
    continued
}

#[test]
fn the_older_of_two_keys_signs_and_the_younger_is_next() {
    let mut node = ModelNode::lone();
    assert_eq!((issuer_of(&node.state), signs(&node)), (None, None));
    node.ask(publish("one")).unwrap();
    node.ask(publish("two")).unwrap();
    let place = node.last_place();
    assert_eq!((signs(&node).as_deref(), own(&node)), (Some("one"), vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(verifying(&node), ["one", "two"], "the next key is published before it signs");
    assert_eq!(node.ask(publish("three")), Ok(Decision::Already(place)), "it has both");
    assert_eq!(verifying(&node), ["one", "two"]);
}

#[test]
fn rotating_makes_the_next_key_sign_and_publishes_another_at_once() {
    let mut node = ModelNode::lone();
    node.ask(publish("one")).unwrap();
    node.ask(publish("two")).unwrap();
    let Ok(Decision::Append(drafts)) = node.ask(replace(&["one"], "three")) else { panic!("refused") };
    let [Event::KeyPublished(new), Event::KeyRetired(old)] = [&drafts[0].event, &drafts[1].event] else {
        panic!("{drafts:?}")
    };
    assert_eq!((&new.id, old, drafts.len()), (&key("three"), &key("one"), 2));
    assert_eq!(own(&node), ["two", "three"]);
    let place = node.last_place();
    let before: Vec<_> = keys_before(&node.state, place).into_iter().map(|(_, key)| key.id.to_string()).collect();
    assert_eq!(before, ["one", "two", "three"], "of all that it has published, retired or not");
}

#[test]
fn a_rotation_that_was_decided_before_uses_up_no_other_key() {
    let mut node = ModelNode::lone();
    for name in ["one", "two"] {
        node.ask(publish(name)).unwrap();
    }
    node.ask(replace(&["one"], "three")).unwrap();
    let Ok(Decision::Already(place)) = node.ask(replace(&["one"], "four")) else { panic!("decided again") };
    assert_eq!(own_keys(&node.state, node.origin)[1].0, place);
    assert_eq!(own(&node), ["two", "three"]);
}

#[test]
fn a_key_does_not_take_its_own_place() {
    let mut node = ModelNode::lone();
    node.ask(publish("one")).unwrap();
    let place = node.last_place();
    assert_eq!(node.ask(replace(&["one"], "one")), Ok(Decision::Already(place)));
    assert_eq!(signs(&node).as_deref(), Some("one"), "it signs still");
}

#[test]
fn a_log_with_one_key_at_a_time_is_read_as_before() {
    let mut node = ModelNode::lone();
    node.ask(publish("one")).unwrap();
    node.ask(replace(&["one"], "two")).unwrap();
    assert_eq!((signs(&node).as_deref(), own(&node)), (Some("two"), vec!["two".to_owned()]));
}

#[test]
fn each_node_has_keys_of_its_own_and_all_have_one_issuer() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("a-1")).unwrap();
    one.ask(issue_jwt(1, "alice", None)).unwrap();
    other.catch_up(&one);
    assert_eq!(other.ask(publish_for("b-1", elsewhere(), &[""; 0])), Err(Rejection::IssuerDiffers));
    assert!(matches!(other.ask(replace(&["a-1"], "b-1")), Ok(Decision::Append(drafts)) if drafts.len() == 1));
    other.ask(replace(&["a-1", "b-1"], "b-2")).unwrap();
    one.catch_up(&other);
    assert_eq!(signs(&one).as_deref(), Some("a-1"), "only its own are retired");
    assert_eq!(signing_key(&one.state, other.origin).unwrap().id, key("b-2"));
    let nodes = keys_by_node(&one.state);
    let nodes: Vec<Vec<_>> = nodes.iter().map(|keys| keys.iter().map(|(_, key)| key.id.as_str()).collect()).collect();
    assert_eq!(nodes, [["a-1"], ["b-2"]]);
}

#[test]
fn publishing_needs_admin_everywhere() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[]), ("*", &Scope::ALL)]))).unwrap();
    node.ask(register(2, Grants::everything())).unwrap();
    let [some, all] = [1, 2].map(|n| Caller::Application(application_id(n)));
    assert_eq!(node.ask_as(some, publish("one")), Err(Rejection::Forbidden));
    assert!(node.ask_as(all, publish("one")).is_ok());
    assert!(node.ask_as(Caller::Node, publish("two")).is_ok(), "the node makes its own");
}

#[test]
fn a_retired_key_verifies_until_the_last_token_that_it_signed_has_expired() {
    let mut node = ModelNode::lone();
    node.ask(publish("one")).unwrap();
    node.after_seconds(60).ask(issue_jwt(1, "alice", None)).unwrap();
    node.ask(replace(&["one"], "two")).unwrap();
    node.ask(replace(&["two"], "three")).unwrap();
    assert_eq!(verifying(&node), ["one", "three"], "the second signed nothing");
    node.now = at(60_000 + 3_600_000 + 300_000 - 1);
    assert_eq!(verifying(&node), ["one", "three"]);
    node.now = at(60_000 + 3_600_000 + 300_000);
    assert_eq!(verifying(&node), ["three"]);
}

#[test]
fn a_retirement_that_arrives_before_its_key_holds() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("one")).unwrap();
    one.ask(replace(&["one"], "two")).unwrap();
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
fn the_first_key_that_signs_fixes_the_issuer_and_not_the_first_that_is_published() {
    let mut node = ModelNode::lone();
    node.ask(publish_for("old", elsewhere(), &[""; 0])).unwrap();
    assert_eq!(issuer_of(&node.state), None, "nobody relies on it");
    node.ask(publish_for("new", issuer(), &["old"])).unwrap();
    assert_eq!(verifying(&node), ["new"]);
    node.ask(issue_jwt(1, "alice", None)).unwrap();
    assert_eq!(issuer_of(&node.state), Some(issuer()));
    assert_eq!(node.ask(publish_for("other", elsewhere(), &[""; 0])), Err(Rejection::IssuerDiffers));
}

#[test]
fn a_key_of_another_issuer_than_the_fixed_one_does_not_sign() {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(publish_for("b-1", elsewhere(), &[""; 0])).unwrap();
    one.ask(publish("a-1")).unwrap();
    one.ask(issue_jwt(1, "alice", None)).unwrap();
    other.catch_up(&one);
    let issue = |n| Command::IssueToken(new_token("default", TokenForm::Jwt(jti(n)), "alice", None).into());
    assert_eq!(other.ask(issue(2)), Err(Rejection::NoSigningKey));
    other.ask(replace(&["b-1"], "b-2")).unwrap();
    assert_eq!(other.ask(issue(2)).map(drop), Ok(()));
}

#[test]
fn of_two_issuers_that_were_fixed_apart_the_first_in_the_order_of_places_is_the_ledgers() {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(publish_for("b", elsewhere(), &[""; 0])).unwrap();
    other.ask(issue_jwt(1, "alice", None)).unwrap();
    one.ask(publish("a")).unwrap();
    one.ask(issue_jwt(2, "alice", None)).unwrap();
    one.catch_up(&other);
    other.catch_up(&one);
    assert_eq!((issuer_of(&one.state), issuer_of(&other.state)), (Some(issuer()), Some(issuer())));
    assert_eq!((signs(&one).as_deref(), signs(&other)), (Some("a"), None));
}

#[test]
fn a_node_that_goes_on_under_another_origin_signs_with_the_keys_that_it_has_and_retires_them() {
    let mut one = ModelNode::lone();
    for name in ["one", "two"] {
        one.ask(publish(name)).unwrap();
    }
    let mut continued = continued(&one);
    assert_eq!(
        (signs(&continued).as_deref(), own(&continued)),
        (Some("one"), vec!["one".to_owned(), "two".to_owned()])
    );
    continued.ask(replace(&["one"], "three")).unwrap();
    assert_eq!(own(&continued), ["two", "three"], "a key of the origin before is older, whatever its name");
    assert_eq!(keys_by_node(&continued.state).len(), 1);
    continued.ask(replace(&["two"], "four")).unwrap();
    assert_eq!(own(&continued), ["three", "four"]);
}

/// What a node may do with its keys at any time: announce, rotate, or replace what it has lost. Whatever it does, the
/// key that takes over was published before the one that is published with it.
#[test]
fn the_key_that_takes_over_was_published_before_whatever_a_node_does_with_its_keys() {
    let mut node = ModelNode::lone();
    let mut published = 0;
    for step in 0_u32..200 {
        let before = own(&node);
        published += 1;
        let name = format!("key-{published:03}");
        let retires: Vec<String> = match step.wrapping_mul(2_654_435_761) >> 30 {
            0 => Vec::new(),
            1 => before.iter().take(1).cloned().collect(),
            2 => before.iter().skip(1).cloned().collect(),
            _ => vec!["key-000".to_owned()],
        };
        node.ask(replace(&retires, &name)).unwrap();
        let after = own(&node);
        assert!((1..=2).contains(&after.len()), "{after:?}");
        if !before.is_empty() {
            assert!(before.contains(&after[0]), "{before:?} became {after:?}");
        }
        assert!(after.is_sorted(), "the oldest first: {after:?}");
    }
}
