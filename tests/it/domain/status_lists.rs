//! Which entry a token gets, and what may be published.

use std::collections::BTreeSet;

use authledger::domain::{
    Command, Decision, Event, IssueToken, KeyId, ParentChoice, Rejection, StatusDraws, StatusIndex, StatusListClass,
    StatusListId, StatusListOpened, StatusListPublished, TokenForm, View as _,
};
use authledger::projection::{Projection, load, save};

use crate::support::log::projection_of;
use crate::support::node::{
    ModelNode, issue_session, jti, jwt, new_token, origin, publish, revoke_named, revoke_subject, seconds, session_id,
    token_key,
};
use crate::support::random::Random;

fn list(letter: char) -> StatusListId {
    letter.to_string().repeat(StatusListId::LEN).parse().unwrap()
}

fn open(letter: char, class: StatusListClass) -> Command {
    Command::OpenStatusList(StatusListOpened { list: list(letter), entries: 1 << 14, class })
}

/// A draw that stands for that index of 2^14.
fn draw(index: u32) -> u32 {
    index << 18
}

fn listed(n: u64, name: &str, draws: StatusDraws, ttl: u64) -> Command {
    let token = new_token("default", TokenForm::Jwt(jti(n)), name, None);
    Command::IssueToken(IssueToken { status: Some(draws), ttl: Some(seconds(ttl)), ..token }.into())
}

fn entry(node: &ModelNode) -> Option<StatusIndex> {
    let Event::TokenIssued(issued) = &node.last().event else { panic!("not a token") };
    issued.status
}

fn with_list() -> ModelNode {
    let mut node = ModelNode::lone();
    node.ask(publish("k-1")).unwrap();
    node.ask(open('q', StatusListClass::Day)).unwrap();
    node
}

#[test]
fn the_first_free_draw_counts_and_else_the_next_free_entry_after_the_last() {
    let mut node = with_list();
    let mut draws = [draw(5); 16];
    draws[1] = draw(9);
    let mut indexes = Vec::new();
    for n in 0..5 {
        node.ask(listed(n, "ada", draws, 60)).unwrap();
        indexes.push(entry(&node).unwrap());
    }
    let expected = [5, 9, 6, 7, 8].map(|index| StatusIndex { list: list('q'), index });
    assert_eq!(indexes, expected);
    // Round the end.
    draws = [draw((1 << 14) - 1); 16];
    for index in [(1 << 14) - 1, 0] {
        node.ask(listed(100 + u64::from(index), "ada", draws, 60)).unwrap();
        assert_eq!(entry(&node).unwrap().index, index);
    }
}

#[test]
fn a_list_takes_entries_for_a_day_and_until_three_quarters_are_taken() {
    let mut node = with_list();
    assert_eq!(node.ask(open('r', StatusListClass::Day)), Ok(Decision::Nothing), "one takes entries");
    assert_eq!(node.ask(listed(0, "ada", [0; 16], 86_401)), Err(Rejection::NoStatusList), "of the other class");
    let (mut random, mut taken) = (Random::of(5), BTreeSet::new());
    for n in 0..(3 << 12) {
        node.ask(listed(n, "ada", std::array::from_fn(|_| random.next() as u32), 60)).unwrap();
        assert!(taken.insert(entry(&node).unwrap().index));
    }
    assert_eq!(node.ask(listed(1 << 20, "ada", [0; 16], 60)), Err(Rejection::NoStatusList));
    node.ask(open('r', StatusListClass::Day)).unwrap();
    node.ask(listed(1 << 20, "ada", [0; 16], 60)).unwrap();
    assert_eq!(entry(&node).unwrap().list, list('r'));
    node.after_seconds(86_400);
    assert_eq!(node.ask(listed(1 << 21, "ada", [0; 16], 60)), Err(Rejection::NoStatusList), "a day later");
    // Entries are spread over the list: neighbours do not know each other.
    let halves = taken.iter().filter(|index| **index < 1 << 13).count();
    assert!((5_500..6_800).contains(&halves), "{halves}");
}

#[test]
fn another_node_gives_entries_in_lists_of_its_own_alone() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(publish("k-1")).unwrap();
    one.ask(open('q', StatusListClass::Day)).unwrap();
    other.catch_up(&one);
    other.ask(publish("k-2")).unwrap();
    assert_eq!(other.ask(listed(1, "ada", [0; 16], 60)), Err(Rejection::NoStatusList));
    assert_eq!(other.state.newest_status_list(origin('b'), StatusListClass::Day), None);
}

#[test]
fn a_publication_is_later_than_the_one_before_and_follows_from_records_that_are_there() {
    let mut node = with_list();
    let head = node.last_place().sequence;
    let published = |iat, kid: &str, sequence| {
        let published = StatusListPublished {
            list: list('q'),
            iat,
            exp: iat + 3_600,
            ttl: 60,
            kid: KeyId::new(kid).unwrap(),
            algorithm: "ES256".into(),
            upto: [(origin('a'), sequence)].into_iter().collect(),
            array: [0; 32],
            deflate: "none".into(),
            signature: "AAAA".into(),
        };
        Command::PublishStatusList(published.into())
    };
    assert!(matches!(node.ask(published(10, "k-1", head)), Ok(Decision::Append(_))));
    for (iat, kid, sequence) in
        [(10, "k-1", head), (9, "k-1", head), (11, "k-9", head), (11, "k-1", head.next().next())]
    {
        assert_eq!(node.ask(published(iat, kid, sequence)), Ok(Decision::Nothing), "{iat} {kid} {sequence}");
    }
    assert!(matches!(node.ask(published(11, "k-1", head)), Ok(Decision::Append(_))));
}

/// The server's memory, with a snapshot of it and without, notes what the model says.
#[test]
fn memory_notes_every_revocation_of_a_listed_token_before_and_after_a_snapshot() {
    let mut node = with_list();
    node.ask(issue_session(1, "bob")).unwrap();
    for (n, name) in ["ada", "bob", "cyd", "dee", "eve"].into_iter().enumerate() {
        // Bob's is of a session; dee's came from ada's token.
        let parent = match name {
            "bob" => Some(ParentChoice::OwnSession(session_id(1))),
            "dee" => Some(ParentChoice::Any(token_key(&jwt(0)))),
            _ => None,
        };
        let token = new_token("default", TokenForm::Jwt(jti(n as u64)), name, None);
        let token = IssueToken { status: Some([draw(n as u32); 16]), parent, ..token };
        node.ask(Command::IssueToken(token.into())).unwrap();
    }
    node.ask(revoke_subject("ada", None)).unwrap();
    let session = authledger::domain::CredentialRef::Id(session_id(1));
    node.ask(revoke_named(authledger::domain::Kind::Session, session)).unwrap();
    node.ask(revoke_named(authledger::domain::Kind::Token, crate::support::node::jwt(2))).unwrap();
    let noted = |projection: &Projection| {
        let capture = projection.capture_status_list(&list('q')).unwrap();
        (capture.upto, capture.revoked.iter().map(|entry| entry.index).collect::<BTreeSet<_>>())
    };
    let folded = projection_of(&node.log);
    let expected = ([(node.origin, node.last_place().sequence)].into_iter().collect(), BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(noted(&folded), expected);
    let directory = tempfile::tempdir().unwrap();
    save(&folded, directory.path()).unwrap();
    let loaded = load(directory.path()).unwrap();
    assert_eq!(noted(&loaded), expected);
    assert_eq!(loaded.rows(), folded.rows());
    assert_eq!(folded.rows(), node.state.rows());
    // What is revoked from then on is noted, too.
    node.ask(revoke_subject("dee", None)).unwrap();
    loaded.fold(node.last());
    assert_eq!(noted(&loaded).1, BTreeSet::from([0, 1, 2, 3]));
}
