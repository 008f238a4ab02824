//! A subject that was erased stays so, whatever arrives.

use std::collections::BTreeSet;

use authledger::domain::{
    Caller, Command, CredentialView as _, Decision, EraseSubject, Event, Generation, ImportedLife, Inactive,
    MAX_ERASED_SLOTS, PresentedToken, Reason, Rejection, RevokeSubject, Scope, Sealed, Tenant, judge_presented,
};
use authledger::event_log::{MAX_RECORD_BYTES, encode};

use crate::support::node::{
    ModelNode, application_id, at, digest, grants, import, import_session, issue, issue_jwt, issue_opaque,
    issue_session, jwt, presented_token, register_until, revoke_subject, seconds, session_key, subject, token_digest,
    token_key,
};

fn erase(name: &str, slots: impl IntoIterator<Item = u64>) -> Command {
    let slots = slots.into_iter().collect();
    Command::EraseSubject(EraseSubject { tenant: Tenant::default(), subject: subject(name), slots, reason: None })
}

fn foreign(issued_at_seconds: Option<u64>) -> PresentedToken {
    PresentedToken { issued_at_seconds, ..presented_token(jwt(7), subject("alice")) }
}

#[test]
fn nothing_is_issued_imported_or_noted_any_more() {
    let mut node = ModelNode::lone();
    node.ask(erase("alice", [])).unwrap();
    for command in
        [issue(1, "alice"), issue_session(1, "alice"), issue_opaque(1, "alice", None), issue_jwt(1, "alice", None)]
    {
        assert_eq!(node.ask(command), Err(Rejection::SubjectErased));
    }
    let later = node.now.plus(seconds(600));
    assert_eq!(node.ask(import_session(2, "alice", at(0), later)), Err(Rejection::SubjectErased));
    let Command::RevokeSubject(revoke) = revoke_subject("alice", None) else { unreachable!() };
    let note = Some(Sealed { slot: 3, sealed: "c2VhbGVk".into() });
    let noted = Command::RevokeSubject(RevokeSubject { note, ..revoke });
    assert_eq!(node.ask(noted), Err(Rejection::SubjectErased));
    assert!(node.ask(revoke_subject("alice", None)).is_ok(), "a revocation that seals nothing is one like any other");
    assert!(node.ask(issue(3, "bob")).is_ok());
}

#[test]
fn a_credential_that_is_issued_elsewhere_or_later_is_inactive_whatever_its_generation() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(erase("alice", [3])).unwrap();
    let erased = one.last().clone();
    // The other node has not heard of it, and issues on; by its own revocation it even has a generation of its own.
    other.ask(revoke_subject("alice", None)).unwrap();
    other.ask(issue(1, "alice")).unwrap();
    other.ask(issue_session(1, "alice")).unwrap();
    other.ask(issue_opaque(1, "alice", None)).unwrap();
    let life = ImportedLife::Token { digest: token_digest(2) };
    let ahead = other.now.plus(seconds(600));
    other.ask(Command::Import(import(life, "alice", other.now.plus(seconds(60)), ahead).into())).unwrap();
    for recorded in other.own().skip(1).cloned().collect::<Vec<_>>() {
        one.receive(&recorded);
    }
    let inactive = Err(Inactive::Revoked(erased.place, erased.recorded_at));
    assert_eq!(one.judge(digest(1).id()), inactive);
    let tokens = [1, 2].map(|n| token_key(&authledger::domain::CredentialRef::Digest(token_digest(n))));
    for key in [session_key(1)].into_iter().chain(tokens) {
        assert!(matches!(one.judge_key(key), Err(Inactive::Revoked(..))), "{key:?}");
    }
    let of_ours = PresentedToken {
        generation: Some(Generation::from_iter([(erased.place.origin, erased.place.sequence.next())])),
        ..foreign(None)
    };
    for token in [foreign(None), foreign(Some(u64::MAX / 2)), of_ours] {
        assert_eq!(judge_presented(&one.state, &token, one.now), inactive, "{token:?}");
    }
    let now = one.now.plus_millis(400 * 366 * 86_400_000);
    one.state.prune(now);
    assert_eq!(judge_presented(&one.state, &foreign(Some(now.as_seconds())), now), inactive, "no time forgets it");
    assert!(one.state.subject(&Tenant::default(), &subject("bob")).erasure.is_none());
}

#[test]
fn a_second_erasure_adds_only_keys_that_no_record_has_named() {
    let mut node = ModelNode::lone();
    node.ask(erase("alice", [3, 5])).unwrap();
    let first = node.last().place;
    assert_eq!(node.ask(erase("alice", [5, 3])), Ok(Decision::Already(first)));
    assert_eq!(node.ask(erase("alice", [])), Ok(Decision::Already(first)));
    node.ask(erase("alice", [3, 9])).unwrap();
    let Event::SubjectErased(more) = &node.last().event else { panic!("no erasure") };
    assert_eq!(more.slots, BTreeSet::from([9]));
    let erasure = node.state.subject(&Tenant::default(), &subject("alice")).erasure.unwrap();
    assert_eq!((erasure.place, erasure.slots_of(&[first.origin])), (first, BTreeSet::from([3, 5, 9])));
    assert_eq!(erasure.slots_of(&["b3ytw6hcpe2sf".parse().unwrap()]), BTreeSet::new(), "another store's slots");
}

#[test]
fn more_keys_than_a_record_holds_are_in_several() {
    let mut node = ModelNode::lone();
    let slots = (0..2 * MAX_ERASED_SLOTS as u64 + 1).map(|n| 9_007_199_254_740_991 - n);
    // Each character takes six bytes in a record.
    let name = "\"".repeat(255);
    let erase = EraseSubject {
        tenant: Tenant::new(&name).unwrap(),
        subject: subject(&name),
        slots: slots.collect(),
        reason: Some(Reason::new(&"r".repeat(64)).unwrap()),
    };
    let before = node.log.len();
    node.ask(Command::EraseSubject(erase.clone())).unwrap();
    assert_eq!(node.log.len(), before + 3);
    for recorded in &node.log[before..] {
        assert!(encode(recorded).len() <= MAX_RECORD_BYTES);
    }
    let erasure = node.state.subject(&erase.tenant, &erase.subject).erasure.unwrap();
    assert_eq!(erasure.slots_of(&[node.last().place.origin]), erase.slots);
}

#[test]
fn only_an_administrator_of_the_tenant_erases_a_subject() {
    let mut node = ModelNode::lone();
    let some = grants(&[("default", &[Scope::Issue, Scope::Revoke, Scope::Audit]), ("acme", &[Scope::Admin])]);
    node.ask(register_until(1, some, None)).unwrap();
    let refused = node.ask_as(Caller::Application(application_id(1)), erase("alice", [3]));
    assert_eq!(refused, Err(Rejection::Forbidden));
}
