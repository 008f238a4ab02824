//! Whether a node that starts may continue its own origin, and how far copies of it are waited for.

use std::time::Duration;

use authledger::cluster::{
    Announcement, Begun, Holding, IdentityDecision, Incarnation, OriginRenewal, Own, Positions, have_all_answered,
    identify, may_write,
};
use authledger::domain::{NodeKey, Sequence, Timestamp};
use authledger::event_log::{ChainHash, Head};
use uuid::Uuid;

use super::vectors::{announcement, key, origin, sign};

const AT: u64 = 1_800_000_900_000;

fn run(n: u128) -> Incarnation {
    Incarnation(Uuid::from_u128(n))
}

fn node(n: u8) -> NodeKey {
    NodeKey::from_bytes([n; 32])
}

fn head(sequence: u64) -> Head {
    Head { sequence: Sequence(sequence), hash: ChainHash([7; 32]) }
}

/// The third run of a node whose log ends at record 9.
fn own() -> Own {
    Own { head: head(9), signed: Sequence(9), incarnation: Some(run(3)), past: vec![run(2), run(1)] }
}

/// What node `n` answers: how far it holds the origin, and which runs it has heard how many seconds ago.
fn holding(n: u8, sequence: u64, heard: &[(u128, u64)]) -> Holding {
    let heard = heard.iter().map(|(number, silent)| (run(*number), Duration::from_secs(*silent))).collect();
    let head = head(sequence);
    let known = Sequence(sequence);
    Holding { node: node(n), members: Vec::new(), head, known, hash_at_own_head: None, heard, slots_used: 0 }
}

#[test]
fn an_origin_is_continued_by_the_newest_copy_alone_and_by_it_whatever_the_others_remember() {
    use OriginRenewal::{OlderCopy, Running, SomeWereSilent, UsedSince};
    let runs = |numbers: &[u128]| numbers.iter().copied().map(run).collect::<Vec<_>>();
    let renewed = |why, over: &[u128]| IdentityDecision::Renew(why, runs(over));
    let continued = |over: &[u128]| IdentityDecision::Continue(runs(over));
    let table = [
        ("its last run ended", holding(1, 9, &[(3, 60)]), true, false, continued(&[3, 2, 1])),
        ("an earlier run of it is remembered", holding(1, 9, &[(1, 60)]), true, false, continued(&[3, 1, 2])),
        (
            "a run of which it knows nothing is remembered",
            holding(1, 9, &[(8, 60)]),
            true,
            false,
            renewed(UsedSince, &[3, 8, 2, 1]),
        ),
        ("its last run was heard just now", holding(1, 9, &[(3, 1)]), true, false, IdentityDecision::Ask),
        ("an earlier run was heard just now", holding(1, 9, &[(2, 1)]), true, false, IdentityDecision::Ask),
        ("its last run goes on", holding(1, 9, &[(3, 1)]), true, true, renewed(Running, &[2, 1])),
        ("another run goes on", holding(1, 9, &[(8, 1), (3, 60)]), true, false, renewed(Running, &[3, 2, 1])),
        ("others hold more", holding(1, 10, &[(3, 60)]), true, false, renewed(OlderCopy, &[3, 2, 1])),
        ("some are silent", holding(1, 9, &[(3, 60)]), false, false, IdentityDecision::Ask),
        ("some stay silent", holding(1, 9, &[(3, 60)]), false, true, renewed(SomeWereSilent, &[3, 2, 1])),
    ];
    for (case, answer, all, patience_is_over, due) in table {
        assert_eq!(identify(&own(), &[answer], all, patience_is_over), due, "{case}");
    }
    let rolled_back = Own { signed: Sequence(12), ..own() };
    let answers = [holding(1, 9, &[(3, 60)])];
    assert_eq!(identify(&rolled_back, &answers, true, false), renewed(OlderCopy, &[3, 2, 1]), "it has signed more");
    let told = [Holding { known: Sequence(10), ..holding(1, 9, &[(3, 60)]) }];
    assert_eq!(
        identify(&own(), &told, true, false),
        renewed(OlderCopy, &[3, 2, 1]),
        "somebody has said that there is more"
    );
}

#[test]
fn nodes_that_others_name_must_answer_too() {
    let (own, known) = (node(0), [node(1)]);
    let telling = |n: u8, of: &[u8]| Holding { members: of.iter().copied().map(node).collect(), ..holding(n, 9, &[]) };
    assert!(!have_all_answered(own, &[], &[]), "one that has heard of none knows that there is one");
    assert!(!have_all_answered(own, &known, &[telling(2, &[0])]));
    assert!(have_all_answered(own, &known, &[telling(1, &[0, 1])]));
    assert!(!have_all_answered(own, &known, &[telling(1, &[0, 1, 2])]), "of the second only the first knows");
    assert!(have_all_answered(own, &known, &[telling(1, &[0, 1, 2]), telling(2, &[])]));
}

#[test]
fn a_run_writes_once_the_others_know_of_it_and_of_two_that_begin_at_once_one_learns_of_the_other() {
    let over = [run(1)];
    let alone = [holding(1, 9, &[(1, 60), (2, 0)])];
    assert_eq!(may_write(run(2), &alone, true, &over, false), Begun::MayWrite);
    let both = [holding(1, 9, &[(1, 60), (2, 0), (3, 0)])];
    assert_eq!(may_write(run(3), &both, true, &over, false), Begun::Duplicated(vec![run(2)]));
    let silent = [holding(1, 9, &[(2, 60), (3, 0)])];
    assert_eq!(may_write(run(3), &silent, true, &over, false), Begun::MayWrite, "a run that is silent is remembered");
    let some = [holding(1, 9, &[(3, 0)]), holding(2, 9, &[])];
    assert_eq!(may_write(run(3), &some, true, &over, false), Begun::TooEarly);
    assert_eq!(may_write(run(3), &some, true, &over, true), Begun::MayWrite, "one of them remembers it");
    assert_eq!(may_write(run(3), &some[1..], false, &over, true), Begun::Unheard);
    assert_eq!(may_write(run(3), &[], false, &over, true), Begun::Unheard);
}

#[test]
fn how_far_an_origin_goes_is_known_from_any_node_that_says_so() {
    let mut positions = Positions::default();
    let another = "b3ytw6hcpe2sf".parse().unwrap();
    let said = Announcement { applied: [(another, Sequence(9))].into(), head: head(4), ..announcement() };
    positions.hear(said.speak(sign), Timestamp::from_millis(AT).unwrap());
    assert_eq!((positions.known(another), positions.known(origin())), (Sequence(9), Sequence(4)));
}

#[test]
fn a_copy_that_has_said_farewell_is_not_waited_for_next_to_one_that_goes_on() {
    let at = |millis| Timestamp::from_millis(AT + millis).unwrap();
    let mut positions = Positions::default();
    let mut hear = |n: u128, number: u64, sequence: u64, farewell: bool, millis: u64| {
        let said = Announcement {
            incarnation: run(n),
            supersedes: Vec::new(),
            number,
            applied: [(origin(), Sequence(sequence))].into(),
            farewell,
            ..announcement()
        };
        positions.hear(said.speak(sign), at(millis));
        (positions.applied(key(), origin()), positions.is_copied(key(), at(millis), 2_000))
    };
    assert_eq!(hear(1, 1, 9, false, 0), (Sequence(9), false));
    assert_eq!(hear(2, 1, 5, false, 100), (Sequence(5), true), "both are waited for");
    assert_eq!(hear(1, 2, 9, false, 5_000), (Sequence(5), false), "the second may only be cut off");
    assert_eq!(hear(2, 2, 6, true, 5_100), (Sequence(9), false), "it has stopped");
    assert_eq!(hear(1, 3, 9, true, 5_200), (Sequence(6), false), "where all have stopped, nobody is left out");
}
