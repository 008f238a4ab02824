//! A cursor that one node gave, taken to another.

use authledger::domain::{Origin, RecordId, Sequence};
use authledger::feed::{FollowError, FollowStart};

use super::pair::{Foreign, HubNode, cursor_at, drain, revocation};

fn far() -> Origin {
    "b".repeat(Origin::LEN).parse().unwrap()
}

fn sequences(places: &[RecordId], origin: Origin) -> Vec<u64> {
    places.iter().filter(|place| place.origin == origin).map(|place| place.sequence.0).collect()
}

#[tokio::test]
async fn a_follower_hears_both_origins_each_in_its_order() {
    let node = HubNode::first().await;
    let mut follower = node.follow(FollowStart::Now).await.unwrap();
    let foreign = Foreign::made_up(node.ledger(), far(), 5);
    let one = node.revoke_one("one").await;
    node.receive(&foreign.first(3)).await;
    let two = node.revoke_one("two").await;
    node.receive(&foreign).await;
    let heard = drain(&mut follower).await;
    assert_eq!(sequences(&heard, far()), [2, 3, 4, 5, 6]);
    assert_eq!(sequences(&heard, node.origin()), [one.sequence.0, two.sequence.0]);

    let mut again = node.follow(FollowStart::Beginning).await.unwrap();
    assert_eq!(drain(&mut again).await, heard);
    let node = node.restart().await;
    let mut from_the_log = node.follow(FollowStart::Beginning).await.unwrap();
    assert_eq!(drain(&mut from_the_log).await, heard, "the log tells the same as the hub");
    assert_eq!(from_the_log.cursor().to_string(), again.cursor().to_string());
}

#[tokio::test]
async fn at_a_node_that_lags_a_follower_does_not_get_again_what_it_has() {
    let node = HubNode::first().await;
    let foreign = Foreign::made_up(node.ledger(), far(), 9);
    node.receive(&foreign.first(3)).await;
    let own = node.revoke_one("before").await;
    // Elsewhere the follower has heard the far origin up to its record 6, and nothing of this node's.
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &foreign, 6))).await.unwrap();
    assert_eq!(drain(&mut follower).await, [own]);
    assert!(!follower.take_gap());
    assert!(follower.cursor().covers(&far(), Sequence(6)), "its cursor does not go back");

    node.receive(&foreign.first(5)).await;
    assert_eq!(drain(&mut follower).await, []);
    node.receive(&foreign.first(8)).await;
    assert_eq!(sequences(&drain(&mut follower).await, far()), [7, 8]);
    node.receive(&foreign).await;
    assert_eq!(sequences(&drain(&mut follower).await, far()), [9, 10]);
    assert!(!follower.take_gap() && follower.shares_cursors(), "the node has caught up with the follower");
}

#[tokio::test]
async fn a_batch_in_which_the_node_catches_up_is_cut_at_what_the_follower_has() {
    let node = HubNode::first().await;
    let foreign = Foreign::made_up(node.ledger(), far(), 9);
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &foreign, 6))).await.unwrap();
    node.receive(&foreign).await;
    let taken = follower.take(100).await.unwrap();
    let places: Vec<RecordId> = taken.frames.iter().map(|frame| frame.filed().recorded.place).collect();
    assert_eq!(sequences(&places, far()), [7, 8, 9, 10]);
    assert!(!follower.take_gap());
}

#[tokio::test]
async fn a_cursor_of_a_lagging_node_survives_a_restart_of_the_follower() {
    let node = HubNode::first().await;
    let foreign = Foreign::made_up(node.ledger(), far(), 9);
    node.receive(&foreign.first(2)).await;
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &foreign, 6))).await.unwrap();
    let own = node.revoke_one("meanwhile").await;
    assert_eq!(drain(&mut follower).await, [own]);
    let cursor = follower.cursor().to_string();
    node.receive(&foreign).await;
    let mut again = node.follow_text(&cursor).await;
    assert_eq!(sequences(&drain(&mut again).await, far()), [7, 8, 9, 10]);
}

#[tokio::test]
async fn a_hash_that_differs_is_a_gap() {
    let node = HubNode::first().await;
    let foreign = Foreign::made_up(node.ledger(), far(), 4);
    node.receive(&foreign).await;
    let mut other = foreign.first(3);
    other.append(revocation(99));
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &other, 4))).await.unwrap();
    assert!(follower.take_gap(), "the far origin's record 4 is another one here");
    assert!(!follower.take_gap(), "it is told once");
    let next = node.revoke_one("after the gap").await;
    assert_eq!(drain(&mut follower).await, [next]);
}

#[tokio::test]
async fn a_hash_that_turns_out_to_differ_is_a_gap_then() {
    let node = HubNode::first().await;
    let foreign = Foreign::made_up(node.ledger(), far(), 4);
    let mut other = foreign.first(3);
    other.append(revocation(99));
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &other, 4))).await.unwrap();
    node.receive(&foreign.first(3)).await;
    drain(&mut follower).await;
    assert!(!follower.take_gap(), "so far nothing speaks against it");
    node.receive(&foreign).await;
    drain(&mut follower).await;
    assert!(follower.take_gap());
}

#[tokio::test]
async fn a_place_that_this_origin_has_not_reached_is_a_gap() {
    let node = HubNode::first().await;
    node.revoke_one("one").await;
    let short = node.own_records(2);
    let mut ahead = short.first(2);
    for number in 0..20 {
        ahead.append(revocation(number));
    }
    let mut follower = node.follow(FollowStart::Cursor(cursor_at(&node, &ahead, 20))).await.unwrap();
    assert!(follower.take_gap());
    let mut known = node.follow(FollowStart::Cursor(cursor_at(&node, &short, 2))).await.unwrap();
    assert!(!known.take_gap());
    assert_eq!(drain(&mut known).await.len(), 1);
}

#[tokio::test]
async fn a_cursor_of_another_ledger_is_refused() {
    let (node, other) = (HubNode::first().await, HubNode::first().await);
    let cursor = other.follow(FollowStart::Now).await.unwrap().cursor();
    let refused = node.follow(FollowStart::Cursor((*cursor).clone())).await;
    assert!(matches!(refused, Err(FollowError::OtherLedger)));
}
