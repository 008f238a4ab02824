//! Members: nodes that join and are removed, and the records of a removed node that still count.

use authledger::domain::{
    Application, Caller, Command, Confirmation, CredentialView as _, Decision, Event, Grants, Inactive, IssueToken,
    JoinNode, Member, Members, NodeJoined, NodeKey, NodeName, NodeUpgraded, Reads, RecordId, Recorded, Region,
    Rejection, Scope, Sequence, State, Thumbprint, TokenForm, View as _,
};
use authledger::projection::{load, save};
use proptest::prelude::*;

use crate::support::log::projection_of;
use crate::support::node::{
    ModelNode, application_id, at, digest, grants, issue, issue_opaque, issue_session, new_token, origin, register,
    revoke, token_digest, token_key,
};

/// The key that the records of the tests' node of that letter are signed with.
fn key(letter: char) -> NodeKey {
    NodeKey::from_bytes([letter as u8; 32])
}

fn joined(letter: char) -> NodeJoined {
    NodeJoined {
        key: key(letter),
        node: NodeName::new(&format!("node-{letter}")).unwrap(),
        region: Region::new("here").unwrap(),
        address: None,
        reads: Reads::of_this_release(),
    }
}

fn join(node: NodeJoined, asked: char) -> Command {
    Command::JoinNode(JoinNode { node, asked: joined(asked) }.into())
}

fn upgrade(letter: char, reads: Reads) -> Command {
    Command::UpgradeNode(NodeUpgraded { key: key(letter), reads })
}

fn remove(letter: char, asked: char) -> Command {
    Command::RemoveNode(NodeName::new(&format!("node-{letter}")).unwrap(), key(asked))
}

/// A node whose origin is signed with its own key.
fn node(letter: char) -> ModelNode {
    let mut node = ModelNode::named(letter);
    let mut opened = node.log.remove(0);
    let Event::LedgerOpened(opening) = &mut opened.event else { panic!("no opening") };
    opening.public_key = [letter as u8; 32];
    node.state = State::default();
    node.receive(&opened);
    node
}

/// Two members, `a` and `b`, that hold all of one another's records.
fn members() -> (ModelNode, ModelNode) {
    let (mut one, mut other) = (node('a'), node('b'));
    one.ask(join(joined('b'), 'a')).unwrap();
    other.catch_up(&one);
    other.ask_as(Caller::Node, upgrade('b', Reads::of_this_release())).unwrap();
    one.catch_up(&other);
    (one, other)
}

fn names(node: &ModelNode) -> Vec<String> {
    node.state.members.present().map(|(_, joined, _)| joined.node.to_string()).collect()
}

#[test]
fn the_first_that_joins_makes_the_node_that_was_asked_a_member_too() {
    let mut node = node('a');
    let Ok(Decision::Append(drafts)) = node.ask(join(joined('b'), 'a')) else { panic!("refused") };
    let types: Vec<_> = drafts.iter().map(|draft| draft.event.type_name()).collect();
    assert_eq!(types, ["node.joined", "node.upgraded", "node.joined"]);
    assert_eq!(names(&node), ["node-a", "node-b"]);
    let counting: Vec<_> = node.state.members.counting(None).map(|(key, _)| key).collect();
    assert_eq!(counting, [key('a')], "the other one is catching up");
    let Ok(Decision::Append(drafts)) = node.ask(join(joined('c'), 'a')) else { panic!("refused") };
    assert_eq!(drafts.len(), 1);
    let place = node.last_place();
    assert_eq!(node.ask(join(joined('c'), 'a')), Ok(Decision::Already(place)));
}

#[test]
fn only_a_caller_with_admin_everywhere_changes_the_members() {
    let (mut one, _) = members();
    one.ask(register(1, grants(&[("acme", &[]), ("*", &Scope::ALL)]))).unwrap();
    let some = Caller::Application(application_id(1));
    for command in [join(joined('c'), 'a'), remove('b', 'a'), remove('z', 'a'), upgrade('b', Reads::default())] {
        assert_eq!(one.ask_as(some.clone(), command), Err(Rejection::Forbidden));
    }
}

#[test]
fn a_name_belongs_to_one_member_and_a_removed_key_never_joins_again() {
    let (mut one, _) = members();
    let namesake = NodeJoined { node: joined('b').node, ..joined('c') };
    assert_eq!(one.ask(join(namesake.clone(), 'a')), Err(Rejection::NodeExists));
    let of_the_asked = NodeJoined { node: joined('a').node, ..joined('c') };
    assert_eq!(one.ask(join(of_the_asked.clone(), 'a')), Err(Rejection::NodeExists));
    assert_eq!(node('a').ask(join(of_the_asked, 'a')), Err(Rejection::NodeExists), "before anybody has joined");
    assert_eq!(one.ask(remove('a', 'a')), Err(Rejection::CannotRemoveSelf));
    assert_eq!(one.ask(remove('c', 'a')), Err(Rejection::UnknownNode));
    one.ask(remove('b', 'a')).unwrap();
    assert_eq!(one.ask(remove('b', 'a')), Err(Rejection::UnknownNode));
    assert_eq!(one.ask(join(joined('b'), 'a')), Err(Rejection::NodeRemoved));
    assert!(one.ask(join(namesake, 'a')).is_ok(), "the name is free again");
}

#[test]
fn a_node_says_once_what_it_reads() {
    let (_, mut other) = members();
    assert_eq!(other.ask_as(Caller::Node, upgrade('b', Reads::of_this_release())), Ok(Decision::Nothing));
    assert_eq!(other.ask_as(Caller::Node, upgrade('c', Reads::of_this_release())), Ok(Decision::Nothing), "no member");
    let later = Reads::of_this_release().without(&["ticket.issued".to_owned()]);
    assert!(matches!(other.ask_as(Caller::Node, upgrade('b', later)), Ok(Decision::Append(_))));
}

#[test]
fn nothing_is_written_that_a_member_could_not_read() {
    let mut one = node('a');
    let earlier = Reads::of_this_release().without(&["session.issued".to_owned()]);
    let too_old = NodeJoined { reads: earlier.clone(), ..joined('b') };
    assert_eq!(one.ask(join(too_old, 'a')), Err(Rejection::NodeTooOld));
    one.ask(join(joined('b'), 'a')).unwrap();
    one.ask_as(Caller::Node, upgrade('b', earlier)).unwrap();
    assert_eq!(one.ask(issue_session(1, "alice")), Err(Rejection::MemberTooOld));
    assert!(one.ask(issue(1, "alice")).is_ok());
    one.ask_as(Caller::Node, upgrade('b', Reads::of_this_release())).unwrap();
    assert!(one.ask(issue_session(1, "alice")).is_ok());
}

#[test]
fn a_bound_token_is_issued_once_every_member_can_read_its_record() {
    let (mut one, mut other) = members();
    let bound = |n| {
        let new = new_token("default", TokenForm::Opaque(token_digest(n)), "alice", None);
        let confirmation = Some(Confirmation::Key(Thumbprint::from_bytes([7; 32])));
        Command::IssueToken(IssueToken { confirmation, ..new }.into())
    };
    let reads = Reads::of_this_release();
    let first_version = |(name, version)| (Box::from(name), if name == "token.issued" { 1 } else { version });
    let earlier = reads.iter().map(first_version).collect();
    other.ask_as(Caller::Node, upgrade('b', earlier)).unwrap();
    one.catch_up(&other);
    assert_eq!(one.ask(bound(1)), Err(Rejection::MemberTooOld));
    assert!(one.ask(issue_opaque(2, "alice", None)).is_ok(), "a bearer token has the first version");
    other.ask_as(Caller::Node, upgrade('b', reads)).unwrap();
    one.catch_up(&other);
    assert!(one.ask(bound(1)).is_ok());
}

#[test]
fn credentials_that_a_removed_node_issued_beyond_its_seal_are_inactive_and_those_that_it_revoked_stay_revoked() {
    let (mut one, mut other) = members();
    one.ask(issue(9, "alice")).unwrap();
    other.catch_up(&one);
    other.ask(issue(1, "alice")).unwrap();
    one.catch_up(&other);
    one.ask(remove('b', 'a')).unwrap();
    let removal = one.last_place();
    other.ask(issue(2, "alice")).unwrap();
    other.ask(issue_session(3, "alice")).unwrap();
    other.ask(issue_opaque(4, "alice", Some(3))).unwrap();
    other.ask(register(5, Grants::everything())).unwrap();
    other.ask(revoke(9)).unwrap();
    // A token of a session that is beyond the seal, issued by a node that could not know.
    let mut third = node('c');
    third.catch_up(&other);
    third.ask(issue_opaque(6, "alice", Some(3))).unwrap();
    for held in [&other, &third] {
        one.catch_up(held);
    }
    let inactive = Inactive::Revoked(removal, at(0));
    assert!(one.is_active(1), "it is within the seal");
    assert_eq!(one.judge(digest(2).id()), Err(inactive));
    assert_eq!(one.judge_session(3), Err(inactive));
    for token in [4, 6] {
        let named = authledger::domain::CredentialRef::Digest(token_digest(token));
        assert_eq!(one.judge_key(token_key(&named)), Err(inactive), "token {token}");
    }
    let called = one.ask_as(Caller::Application(application_id(5)), issue(7, "alice"));
    assert_eq!(called, Err(Rejection::Unauthenticated));
    assert!(matches!(one.judge(digest(9).id()), Err(Inactive::Revoked(place, _)) if place.origin == origin('b')));
}

#[test]
fn a_removed_node_neither_brings_others_in_nor_takes_them_out() {
    let (mut one, mut other) = members();
    one.ask(join(joined('c'), 'a')).unwrap();
    other.catch_up(&one);
    one.ask(remove('b', 'a')).unwrap();
    let removal = one.last_place();
    let moved = NodeJoined { region: Region::new("elsewhere").unwrap(), ..joined('c') };
    other.after_seconds(60).ask(join(moved, 'b')).unwrap();
    other.ask(join(joined('d'), 'b')).unwrap();
    let mut fourth = node('d');
    fourth.ask(issue(1, "alice")).unwrap();
    one.catch_up(&other);
    one.catch_up(&fourth);
    let members = one.state.members.clone();
    let (_, joined, _) = members.present().find(|(of, ..)| *of == key('c')).unwrap();
    assert_eq!(joined.region.as_str(), "here", "as the record has it that counts");
    assert!(!members.is_present(key('d')) && !members.trusts(key('d')));
    assert!(members.takes_from(key('d')), "others may hold its records already");
    assert_eq!(one.judge(digest(1).id()), Err(Inactive::Revoked(removal, at(0))));
}

#[test]
fn members_outlive_a_snapshot() {
    let (mut one, mut other) = members();
    let elsewhere = NodeJoined { region: Region::new("elsewhere").unwrap(), ..joined('b') };
    one.ask(join(elsewhere, 'a')).unwrap();
    one.ask(join(joined('c'), 'a')).unwrap();
    other.catch_up(&one);
    one.ask(remove('b', 'a')).unwrap();
    other.ask(remove('c', 'b')).unwrap();
    one.catch_up(&other);
    let directory = tempfile::tempdir().unwrap();
    let whole = projection_of(&one.log);
    save(&whole, directory.path()).unwrap();
    let loaded = load(directory.path()).unwrap();
    assert_eq!((loaded.rows(), loaded.members()), (whole.rows(), whole.members()));
    assert_eq!(loaded.rows(), one.state.rows());
    let beyond = RecordId { origin: origin('b'), sequence: Sequence(99) };
    assert!(loaded.beyond_seal(beyond).is_some() && loaded.beyond_seal(beyond) == one.state.beyond_seal(beyond));
    assert_eq!(loaded.application(application_id(1)), Application::default());
}

/// Events about nodes, recorded at two nodes that have not heard of one another.
fn history() -> impl Strategy<Value = Vec<(bool, u64, u8, char)>> {
    prop::collection::vec((any::<bool>(), 0..3u64, 0..3u8, prop::sample::select(vec!['a', 'b', 'c', 'd'])), 1..14)
}

fn recorded(history: &[(bool, u64, u8, char)]) -> Vec<Recorded> {
    let (mut one, mut other) = members();
    for (second, seconds, what, whom) in history {
        let (node, own) = if *second { (&mut other, 'b') } else { (&mut one, 'a') };
        let region = Region::new(&format!("region-{seconds}")).unwrap();
        let command = match what {
            0 => join(NodeJoined { region, ..joined(*whom) }, own),
            1 => remove(*whom, own),
            _ => {
                upgrade(*whom, Reads::of_this_release().without(&[format!("ticket.{seconds}"), "ticket.issued".into()]))
            }
        };
        // A command that is refused records nothing.
        let _ = node.after_seconds(*seconds).ask_as(Caller::Node, command);
    }
    one.catch_up(&other);
    one.log
}

fn folded(records: &[Recorded]) -> Members {
    let mut state = State::default();
    records.iter().for_each(|recorded| state.fold(recorded));
    (*state.members).clone()
}

fn merged<'a>(parts: impl IntoIterator<Item = &'a Members>) -> Members {
    let mut all = Members::default();
    parts.into_iter().for_each(|part| all.merge(part));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn knowledge_of_members_does_not_depend_on_the_order_in_which_it_came(history in history(), cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let log = recorded(&history);
        let (first, second) = (cut.0.index(log.len()), cut.1.index(log.len()));
        let (first, second) = (first.min(second), first.max(second));
        let [a, b, c] = [&log[..first], &log[first..second], &log[second..]].map(folded);
        let whole = folded(&log);
        prop_assert_eq!(&merged([&a, &b, &c]), &whole);
        prop_assert_eq!(&merged([&c, &merged([&b, &a])]), &whole, "in another order, and otherwise in pairs");
        prop_assert_eq!(&merged([&whole, &whole]), &whole, "twice");
        let mut reversed = log.clone();
        reversed.reverse();
        prop_assert_eq!(&folded(&reversed), &whole);
        for (key, member) in whole.iter() {
            let of = |members: &Members| members.get(key).cloned().unwrap_or_default();
            let mut all: Member = of(&c);
            all.merge(of(&a));
            all.merge(of(&b));
            all.merge(of(&b));
            prop_assert_eq!(&all, member);
        }
    }
}
