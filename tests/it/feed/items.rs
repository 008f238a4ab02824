//! The revocations of sessions and tokens as followers read them, in the stream and in the snapshot.

use std::sync::Arc;

use authledger::domain::{
    Command, CredentialRef, Digest, EraseSubject, Event, Grants, Issuer, Kind, Kinds, OwnSessions, Position,
    PresentedToken, Reason, RevokeTokens, Scope, Tenant, Timestamp,
};
use authledger::feed::{FeedFilter, Frame, snapshot_items};
use authledger::projection::{InForce, Projection};
use authledger::service::Filed;
use serde_json::{Value, json};

use crate::support::log::projection_of;
use crate::support::node::{
    ModelNode, application_id, at, grants, holder, issue_jwt, issue_opaque, issue_session, issuer, jwt,
    presented_token, publish, register, revoke_kinds, revoke_named, session_digest, session_id, subject, token_digest,
};

/// The members of an item that name the revoked credential, and the subject that it has or must have.
fn naming(item: &Value) -> Value {
    const MEMBERS: [&str; 9] = ["tenant", "subject", "kind", "id", "digest", "iss", "jti", "payload", "known"];
    let members = item.as_object().unwrap().iter().filter(|(name, _)| MEMBERS.contains(&name.as_str()));
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn frames(node: &ModelNode) -> Vec<Value> {
    let cursor = || Arc::new(authledger::feed::Cursor::at(ledger(node), &Default::default()));
    let filed =
        |recorded: &authledger::domain::Recorded| Arc::new(Filed { position: Position(1), recorded: recorded.clone() });
    let frames = node.log.iter().filter_map(|recorded| Frame::new(filed(recorded), cursor));
    frames.map(|frame| serde_json::to_value(frame.item(false, "")).unwrap()).collect()
}

fn ledger(node: &ModelNode) -> authledger::domain::LedgerId {
    match &node.log[0].event {
        Event::LedgerOpened(opened) => opened.ledger,
        other => panic!("{other:?} opens no ledger"),
    }
}

fn snapshot(node: &ModelNode, filter: &FeedFilter) -> Vec<Value> {
    let projection = projection_of(&node.log);
    let passing: Vec<_> =
        in_force(&projection, node.now).filter(|revocation| filter.passes_in_force(revocation)).collect();
    let items = passing.iter().flat_map(|revocation| snapshot_items(revocation, filter));
    items.map(|item| serde_json::to_value(item).unwrap()).collect()
}

/// Every revocation in force, a few at a time.
fn in_force(projection: &Projection, now: Timestamp) -> impl Iterator<Item = InForce> {
    let tenants =
        std::iter::successors(projection.revoked_after(None), |tenant| projection.revoked_after(Some(tenant)));
    tenants.flat_map(move |tenant| {
        let page = |mark| projection.revocations(&tenant, Kinds::ALL, mark, 2, now);
        let pages = std::iter::successors(Some(page(None)), |(_, next)| next.map(|next| page(Some(next))));
        pages.flat_map(|(revocations, _)| revocations).collect::<Vec<_>>()
    })
}

fn all() -> FeedFilter {
    FeedFilter { grants: Grants::everything().into(), tenant: None, kinds: Kinds::ALL }
}

fn sorted(items: &[Value]) -> Vec<String> {
    let mut texts: Vec<_> = items.iter().map(|item| naming(item).to_string()).collect();
    texts.sort_unstable();
    texts
}

/// One revocation under each kind of name.
fn varied() -> ModelNode {
    let (mut node, _) = ModelNode::pair();
    node.ask(publish("k")).unwrap();
    (1..=2).for_each(|n| drop(node.ask(issue_session(n, "alice")).unwrap()));
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    node.ask(issue_jwt(2, "alice", None)).unwrap();
    node.ask(register(1, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(1)))).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(9)))).unwrap();
    node.ask_as(holder(2, "alice"), Command::RevokeOwn(OwnSessions::Other(session_id(8)))).unwrap();
    node.ask(revoke_named(Kind::Token, CredentialRef::Digest(token_digest(1)))).unwrap();
    node.ask(revoke_named(Kind::Token, jwt(2))).unwrap();
    let acme = authledger::domain::Caller::Application(application_id(1));
    node.ask_as(acme, revoke_named(Kind::Token, jwt(9))).unwrap();
    let foreign = PresentedToken {
        expires_at: Some(at(86_400_000)),
        ..presented_token(
            CredentialRef::Payload {
                issuer: Issuer::new("https://idp.example").unwrap(),
                digest: Digest::of_payload(b"{}"),
            },
            subject("alice"),
        )
    };
    node.ask(Command::RevokeTokens(RevokeTokens { tokens: vec![foreign], reason: None, note: None })).unwrap();
    node
}

#[test]
fn an_item_has_every_name_of_what_was_revoked() {
    let uuid = |n| session_id(n).uuid().to_string();
    let payload = Digest::of_payload(b"{}");
    let due = [
        json!({"tenant": "default", "subject": "alice", "kind": "session", "id": uuid(1), "digest": session_digest(1).to_string()}),
        json!({"kind": "session", "digest": session_digest(9).to_string(), "known": false}),
        json!({"tenant": "default", "subject": "alice", "kind": "session", "id": uuid(8), "known": false}),
        json!({"tenant": "default", "subject": "alice", "kind": "token", "id": token_digest(1).id().to_string(), "digest": token_digest(1).to_string()}),
        json!({"tenant": "default", "subject": "alice", "kind": "token", "id": "jti-2", "iss": issuer().as_str(), "jti": "jti-2"}),
        json!({"tenant": "acme", "kind": "token", "id": "jti-9", "iss": issuer().as_str(), "jti": "jti-9", "known": false}),
        json!({"tenant": "default", "subject": "alice", "kind": "token", "id": payload.id().to_string(), "iss": "https://idp.example", "payload": payload.to_string()}),
    ];
    let node = varied();
    let streamed: Vec<_> = frames(&node).iter().map(naming).collect();
    assert_eq!(streamed, due);
    // The state does not keep the subject of a foreign token; it is not a condition.
    let mut kept = due.to_vec();
    drop(kept[6].as_object_mut().unwrap().remove("subject"));
    assert_eq!(sorted(&snapshot(&node, &all())), sorted(&kept));
}

#[test]
fn a_snapshot_names_a_session_that_was_revoked_by_its_token_by_its_id_once_that_is_known() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(1)))).unwrap();
    other.ask(issue_session(1, "alice")).unwrap();
    one.catch_up(&other);
    let items = snapshot(&one, &all());
    let id = session_id(1).uuid().to_string();
    let due = json!({"subject": "alice", "kind": "session", "id": id, "digest": session_digest(1).to_string(), "known": false});
    assert_eq!(items.iter().map(naming).collect::<Vec<_>>(), [due]);
}

#[test]
fn a_filter_by_kind_holds_for_the_snapshot_too() {
    let mut node = varied();
    node.ask(revoke_kinds("bob", &[Kind::Ticket, Kind::Token])).unwrap();
    let of = |kind| snapshot(&node, &FeedFilter { kinds: Kinds::from_iter([kind]), ..all() });
    let kinds = |items: &[Value]| items.iter().filter(|item| item.get("kinds").is_some()).count();
    assert_eq!((of(Kind::Session).len(), kinds(&of(Kind::Session))), (3, 0));
    assert_eq!((of(Kind::Token).len(), kinds(&of(Kind::Token))), (5, 1));
    assert_eq!((of(Kind::Ticket).len(), kinds(&of(Kind::Ticket))), (1, 1));
}

#[test]
fn a_follower_of_one_tenant_gets_its_revocations_and_those_that_hold_everywhere() {
    let acme = FeedFilter { grants: grants(&[("acme", &[Scope::Follow])]).into(), tenant: None, kinds: Kinds::ALL };
    let tenants: Vec<_> = snapshot(&varied(), &acme).iter().map(|item| item.get("tenant").cloned()).collect();
    assert_eq!(tenants.len(), 2);
    assert!(tenants.contains(&Some(json!("acme"))) && tenants.contains(&None));
}

#[test]
fn an_erasure_is_told_once_and_stands_in_every_snapshot_for_ever() {
    let mut node = ModelNode::lone();
    node.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
    let erase = EraseSubject {
        tenant: Tenant::default(),
        subject: subject("alice"),
        slots: [3, 7].into_iter().collect(),
        reason: Some(Reason::new("gdpr-17").unwrap()),
    };
    node.ask(Command::EraseSubject(erase)).unwrap();
    let place = node.last_place();
    let frames = frames(&node);
    let told = frames.last().unwrap();
    assert_eq!((&told["type"], &told["subject"]), (&json!("subject.erased"), &json!("alice")));
    assert_eq!(told["kinds"], json!(["ticket", "session", "token"]));
    assert_eq!(told["generation"], json!({ place.origin.as_str(): place.sequence.0 }));
    assert_eq!(told["retain_until"], "9999-12-30T22:00:00.999Z");
    assert!(told["not_before"].is_u64() && told["revoked_at"].is_string());
    assert!(["slots", "reason", "actor"].iter().all(|member| told.get(member).is_none()), "{told}");
    node.after_seconds(366 * 86_400 * 10);
    let lines = snapshot(&node, &all());
    let types: Vec<_> = lines.iter().map(|line| (line["type"].clone(), line["kinds"].clone())).collect();
    let erased = |kind: &str| (json!("subject.erased"), json!([kind]));
    assert_eq!(types, [erased("ticket"), erased("session"), erased("token")]);
    assert!(lines.iter().all(|line| line["generation"] == told["generation"]), "the revocation before has expired");
}

/// A follower that may follow one tenant only.
fn follower_of(name: &str) -> FeedFilter {
    FeedFilter { grants: grants(&[(name, &[Scope::Follow])]).into(), tenant: None, kinds: Kinds::ALL }
}

/// Each name under which somebody else's credential may be revoked: the snapshot has that name, and none that others have for it.
#[test]
fn a_snapshot_says_no_more_of_another_tenants_credential_than_the_call_that_revoked_it() {
    let (mut node, _) = ModelNode::pair();
    node.ask(publish("k")).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    node.ask(issue_jwt(2, "alice", None)).unwrap();
    node.ask(crate::support::node::issue(3, "alice")).unwrap();
    for (n, name) in [(1, "acme"), (2, "beta")] {
        node.ask(register(n, grants(&[(name, &[Scope::Revoke])]))).unwrap();
    }
    let session = CredentialRef::Digest(session_digest(1));
    let opaque = CredentialRef::Id(token_digest(1).id());
    let derived = CredentialRef::Id(jwt(2).id());
    let ticket = CredentialRef::Id(crate::support::node::digest(3).id());
    let acme = authledger::domain::Caller::Application(application_id(1));
    for (kind, named) in
        [(Kind::Session, session), (Kind::Token, opaque), (Kind::Token, derived), (Kind::Ticket, ticket)]
    {
        node.ask_as(acme.clone(), revoke_named(kind, named)).unwrap();
    }
    // The same by the names that a third tenant knows: they are in its snapshot alone.
    let beta = authledger::domain::Caller::Application(application_id(2));
    node.ask_as(beta.clone(), revoke_named(Kind::Token, jwt(2))).unwrap();
    node.ask_as(beta, revoke_named(Kind::Token, CredentialRef::Digest(token_digest(1)))).unwrap();
    let due = [
        json!({"tenant": "acme", "kind": "session", "digest": session_digest(1).to_string(), "known": false}),
        json!({"tenant": "acme", "kind": "token", "id": token_digest(1).id().to_string(), "known": false}),
        json!({"tenant": "acme", "kind": "token", "id": jwt(2).id().to_string(), "known": false}),
        json!({"tenant": "acme", "kind": "ticket", "id": crate::support::node::digest(3).id().to_string(), "known": false}),
    ];
    assert_eq!(sorted(&snapshot(&node, &follower_of("acme"))), sorted(&due));
    let streamed: Vec<_> = frames(&node).iter().map(naming).filter(|item| item["tenant"] == "acme").collect();
    assert_eq!(sorted(&streamed), sorted(&due), "as the stream had it");
    let id = token_digest(1).id().to_string();
    let digest = token_digest(1).to_string();
    let due = [
        json!({"tenant": "beta", "kind": "token", "id": "jti-2", "iss": issuer().as_str(), "jti": "jti-2", "known": false}),
        json!({"tenant": "beta", "kind": "token", "id": id, "digest": digest, "known": false}),
    ];
    assert_eq!(sorted(&snapshot(&node, &follower_of("beta"))), sorted(&due));
    assert_eq!(snapshot(&node, &follower_of("default")), [] as [Value; 0]);
}

/// A revocation in every tenant goes to every follower. The credential that it turns out to apply to is for followers of its tenant.
#[test]
fn the_credential_that_a_revocation_everywhere_applies_to_is_told_to_its_own_tenant() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(revoke_named(Kind::Session, CredentialRef::Digest(session_digest(1)))).unwrap();
    one.ask(revoke_named(Kind::Token, CredentialRef::Id(token_digest(1).id()))).unwrap();
    other.ask(issue_session(1, "alice")).unwrap();
    other.ask(issue_opaque(1, "alice", None)).unwrap();
    one.catch_up(&other);
    let id = token_digest(1).id().to_string();
    let digest = token_digest(1).to_string();
    let stranger = [
        json!({"kind": "session", "digest": session_digest(1).to_string(), "known": false}),
        json!({"kind": "token", "id": id, "known": false}),
    ];
    assert_eq!(sorted(&snapshot(&one, &follower_of("acme"))), sorted(&stranger));
    let session = session_id(1).uuid().to_string();
    let own = [
        json!({"subject": "alice", "kind": "session", "id": session, "digest": session_digest(1).to_string(), "known": false}),
        json!({"subject": "alice", "kind": "token", "id": id, "digest": digest, "known": false}),
    ];
    assert_eq!(sorted(&snapshot(&one, &follower_of("default"))), sorted(&own));
}
