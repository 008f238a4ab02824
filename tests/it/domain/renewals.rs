use authledger::domain::{Command, Decision, Event, Timestamp};

use crate::support::node::{ModelNode, at, digest, issue, issue_in, renew, revoke, seconds};

#[test]
fn a_use_that_is_on_record_lengthens_a_tickets_life() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(600_000);
    node.ask(renew(1, at(600_000))).unwrap();
    node.now = at(1_499_999);
    assert!(node.is_active(1));
    node.now = at(1_500_000);
    assert!(!node.is_active(1));
}

#[test]
fn no_use_moves_the_expiry_beyond_the_longest_life() {
    let mut node = ModelNode::lone();
    node.policy.ticket_max_life = seconds(1000);
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(899_000);
    node.ask(renew(1, at(899_000))).unwrap();
    node.now = at(999_999);
    assert!(node.is_active(1));
    node.now = at(1_000_000);
    assert!(!node.is_active(1));
}

#[test]
fn a_use_goes_on_record_once_a_tenth_of_the_life_has_passed() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(200_000);
    assert_eq!(node.ask(renew(1, at(89_999))), Ok(Decision::Nothing));
    assert!(matches!(node.ask(renew(1, at(90_000))), Ok(Decision::Append(_))));
    assert_eq!(node.ask(renew(1, at(179_999))), Ok(Decision::Nothing), "counted from the last use on record");
}

#[test]
fn an_expired_or_revoked_ticket_is_not_renewed() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.ask(issue(2, "alice")).unwrap();
    node.ask(revoke(2)).unwrap();
    node.now = at(900_000);
    assert_eq!(node.ask(renew(1, at(900_000))), Ok(Decision::Nothing));
    assert_eq!(node.ask(renew(2, at(100_000))), Ok(Decision::Nothing));
    assert!(matches!(node.ask(renew(1, at(899_999))), Ok(Decision::Append(_))), "it was active when it was used");
}

#[test]
fn a_use_from_the_future_counts_as_one_of_now() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(300_000);
    node.ask(renew(1, at(800_000))).unwrap();
    assert_eq!(node.ticket(1).latest, at(300_000));
}

#[test]
fn a_ticket_that_was_used_twice_is_recorded_with_its_latest_use() {
    let mut node = ModelNode::lone();
    node.ask(issue(1, "alice")).unwrap();
    node.now = at(300_000);
    let id = digest(1).id();
    node.ask(Command::RenewTickets(vec![(id, at(200_000)), (id, at(250_000)), (id, at(210_000))])).unwrap();
    let Event::TicketsRenewed(renewals) = &node.last().event else { panic!("no renewals") };
    assert_eq!(renewals[0].uses, [(authledger::domain::Sequence(2), at(250_000))]);
}

#[test]
fn many_uses_are_split_so_that_each_record_fits() {
    let mut node = ModelNode::lone();
    let ids: Vec<_> = (0..2000).map(|n| (digest(n).id(), Timestamp::default())).collect();
    (0..2000).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    node.now = at(300_000);
    let now = node.now;
    node.ask(Command::RenewTickets(ids.into_iter().map(|(id, _)| (id, now)).collect())).unwrap();
    let records: Vec<_> = node.log.iter().filter(|one| matches!(one.event, Event::TicketsRenewed(_))).collect();
    assert_eq!(records.len(), 3);
    for record in records {
        assert!(authledger::event_log::encode(record).len() <= authledger::event_log::MAX_RECORD_BYTES);
    }
    assert!((0..2000).all(|n| node.ticket(n).latest == at(300_000)));
}

#[test]
fn a_use_that_arrives_before_its_ticket_waits_for_it() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(issue(1, "alice")).unwrap();
    let issued = one.last().clone();
    one.now = at(300_000);
    one.ask(renew(1, at(300_000))).unwrap();
    other.receive(&one.last().clone());
    assert_eq!(other.state.early_uses.len(), 1);
    other.receive(&issued);
    assert_eq!(other.ticket(1).latest, at(300_000));
    assert!(other.state.early_uses.is_empty());
}

#[test]
fn a_use_of_an_inactive_ticket_waits_for_nothing() {
    let (mut one, mut other) = ModelNode::pair();
    one.policy.ticket_max_life = seconds(1000);
    one.ask(issue(1, "alice")).unwrap();
    other.receive(&one.last().clone());
    one.now = at(300_000);
    one.ask(renew(1, at(300_000))).unwrap();
    other.state.prune(at(1_000_000));
    other.receive(&one.last().clone());
    assert_eq!(other.state.early_uses.len(), 1);
    other.state.prune(at(1_000_000));
    assert!(other.state.early_uses.is_empty(), "its origin is past the issue");
}

#[test]
fn uses_belong_to_the_issue_that_they_name() {
    // One secret, issued at both nodes, as by an import into both.
    let (mut one, mut other) = ModelNode::pair();
    one.ask(issue_in("default", 1, "alice", Some(900))).unwrap();
    other.ask(issue_in("default", 1, "alice", Some(900))).unwrap();
    (one.now, other.now) = (at(200_000), at(400_000));
    one.ask(renew(1, at(200_000))).unwrap();
    other.ask(renew(1, at(400_000))).unwrap();
    let (of_one, of_other): (Vec<_>, Vec<_>) = (one.own().cloned().collect(), other.own().cloned().collect());
    of_other[1..].iter().for_each(|recorded| one.receive(recorded));
    of_one[1..].iter().for_each(|recorded| other.receive(recorded));
    one.state.prune(at(400_000));
    other.state.prune(at(400_000));
    assert_eq!(one.state.rows(), other.state.rows());
    assert_eq!(one.ticket(1).latest, at(200_000), "the earlier origin's issue stands, with its own uses");
}
