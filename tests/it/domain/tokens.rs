use authledger::domain::{
    Caller, Command, CredentialRef, Decision, Digest, Event, Generation, Inactive, Issuer, Kind, MAX_JWT_GENERATION,
    Origin, Parent, PresentedToken, Rejection, RevokeTokens, Scope, Sealed, Sequence, Tenant, TokenForm, TokenId,
    TokenIssued, judge_presented,
};

use crate::support::node::{
    ModelNode, application_id, at, grants, issue_jwt, issue_opaque, issue_session, issuer, jti, jwt, new_session,
    new_token, origin, own_session, publish, register, revoke_kinds, revoke_named, revoke_subject, seconds,
    session_digest, session_id, subject, tenant, token_digest,
};

const HOUR: u64 = 3_600_000;

fn last_issued(node: &ModelNode) -> &TokenIssued {
    match &node.last().event {
        Event::TokenIssued(issued) => issued,
        other => panic!("{other:?} is not the issue of a token"),
    }
}

fn opaque(n: u64) -> CredentialRef {
    CredentialRef::Digest(token_digest(n))
}

fn revoke_session(n: u64) -> Command {
    revoke_named(Kind::Session, CredentialRef::Id(session_id(n)))
}

/// A JWT of ours as its bearer presents it.
fn ours(n: u64, generation: &[(Origin, u64)]) -> PresentedToken {
    let generation: Generation = generation.iter().map(|(origin, sequence)| (*origin, Sequence(*sequence))).collect();
    PresentedToken {
        credential: jwt(n),
        tenant: Tenant::default(),
        subject: subject("alice"),
        issued_at_seconds: Some(at(0).as_seconds()),
        expires_at: Some(at(HOUR)),
        generation: Some(generation),
        ancestors: Vec::new(),
        application: None,
        key: None,
        leeway_seconds: 0,
        good_until: None,
    }
}

/// A foreign one, issued so many milliseconds from the start.
fn foreign(name: &str, issued_at: Option<u64>, leeway_seconds: u64) -> PresentedToken {
    let issuer = Issuer::new("https://idp.example").unwrap();
    PresentedToken {
        credential: CredentialRef::Jwt { issuer, jti: TokenId::new(name).unwrap() },
        issued_at_seconds: issued_at.map(|millis| at(millis).as_seconds()),
        generation: None,
        leeway_seconds,
        ..ours(0, &[])
    }
}

fn revoke_presented(tokens: &[PresentedToken]) -> Command {
    Command::RevokeTokens(RevokeTokens { tokens: tokens.to_vec(), reason: None, note: None })
}

fn judged(node: &ModelNode, token: &PresentedToken) -> Result<(), Inactive> {
    judge_presented(&node.state, token, node.now)
}

fn bearer_of(token: &PresentedToken) -> Caller {
    match &token.credential {
        CredentialRef::Jwt { issuer, jti } => Caller::Bearer { issuer: issuer.clone(), jti: jti.clone() },
        CredentialRef::Payload { issuer, digest } => {
            Caller::Bearer { issuer: issuer.clone(), jti: TokenId::new(&digest.to_string()).unwrap() }
        }
        other => panic!("{other:?} is not a JWT"),
    }
}

#[test]
fn an_opaque_token_is_active_until_it_expires_in_whole_seconds() {
    let mut node = ModelNode::lone();
    node.now = at(999);
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    assert_eq!(last_issued(&node).expires_at, at(HOUR));
    node.now = at(HOUR - 1);
    assert_eq!(node.judge_token(&opaque(1)), Ok(()));
    node.now = at(HOUR);
    assert_eq!(node.judge_token(&opaque(1)), Err(Inactive::Expired));
    assert_eq!(node.judge_token(&opaque(2)), Err(Inactive::Unknown));
}

#[test]
fn a_jwt_needs_a_key_of_this_very_node() {
    let (mut one, mut other) = ModelNode::pair();
    assert_eq!(one.ask(issue_jwt(1, "alice", None)), Err(Rejection::NoSigningKey));
    other.ask(publish("k-b")).unwrap();
    one.catch_up(&other);
    assert_eq!(one.ask(issue_jwt(1, "alice", None)), Err(Rejection::NoSigningKey), "another node's");
    one.ask(publish("k-a")).unwrap();
    one.ask(issue_jwt(1, "alice", None)).unwrap();
    assert_eq!(last_issued(&one).name, jwt(1));
    assert_eq!(last_issued(&one).key.as_ref().unwrap().as_str(), "k-a");
    assert_eq!(one.judge_token(&jwt(1)), Ok(()));
}

#[test]
fn a_token_lasts_no_longer_than_its_session_or_the_longest_life() {
    let mut node = ModelNode::lone();
    node.policy.longest_life = seconds(86_400);
    let session = new_session("default", 1, "alice", Some(90));
    node.ask(Command::IssueSession(session.into())).unwrap();
    node.now = at(500);
    node.ask(issue_opaque(1, "alice", Some(1))).unwrap();
    let own_session = Some(Parent::own_session(session_id(1)));
    assert_eq!((last_issued(&node).expires_at, last_issued(&node).parent), (at(90_000), own_session));
    let long = new_token("default", TokenForm::Opaque(token_digest(2)), "alice", None);
    let long = authledger::domain::IssueToken { ttl: Some(seconds(2 * 86_400)), ..long };
    node.ask(Command::IssueToken(long.into())).unwrap();
    assert_eq!(last_issued(&node).expires_at, at(86_400_000));
}

#[test]
fn no_token_is_issued_that_has_expired_by_then() {
    let mut node = ModelNode::lone();
    node.now = at(500);
    let session = new_session("default", 1, "alice", Some(1));
    node.ask(Command::IssueSession(session.into())).unwrap();
    node.now = at(999);
    node.ask(issue_opaque(1, "alice", Some(1))).unwrap();
    assert_eq!(node.judge_token(&opaque(1)), Ok(()));
    node.now = at(1_000);
    assert_eq!(node.judge_session(1), Ok(()), "half a second is left of it");
    assert_eq!(node.ask(issue_opaque(2, "alice", Some(1))), Err(Rejection::SessionInactive));
}

#[test]
fn a_token_is_issued_only_for_an_active_session_of_its_own_subject() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(Command::IssueSession(new_session("acme", 3, "alice", None).into())).unwrap();
    node.ask(revoke_session(2)).unwrap();
    let mut ask = |session, name| node.ask(issue_opaque(1, name, Some(session)));
    assert_eq!(ask(1, "bob"), Err(Rejection::SessionInactive), "somebody else's");
    assert_eq!(ask(2, "alice"), Err(Rejection::SessionInactive), "revoked");
    assert_eq!(ask(3, "alice"), Err(Rejection::SessionInactive), "of the same name in another tenant");
    assert_eq!(ask(4, "alice"), Err(Rejection::SessionInactive), "unknown");
    assert!(ask(1, "alice").is_ok());
}

#[test]
fn issuing_a_token_needs_issue_and_a_subject_that_is_not_on_hold() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Issue])]))).unwrap();
    let caller = Caller::Application(application_id(1));
    assert_eq!(node.ask_as(caller, issue_opaque(1, "alice", None)), Err(Rejection::Forbidden));
    node.ask(revoke_subject("alice", Some(60))).unwrap();
    assert_eq!(node.ask(issue_opaque(1, "alice", None)), Err(Rejection::SubjectOnHold));
}

#[test]
fn a_token_becomes_inactive_with_its_session_however_that_happens() {
    let by_digest = || revoke_named(Kind::Session, CredentialRef::Digest(session_digest(1)));
    for revocation in [revoke_session(1), by_digest(), revoke_kinds("alice", &[Kind::Session])] {
        let mut node = ModelNode::lone();
        node.ask(issue_session(1, "alice")).unwrap();
        node.ask(issue_opaque(1, "alice", Some(1))).unwrap();
        node.ask(issue_opaque(2, "alice", None)).unwrap();
        node.ask(revocation).unwrap();
        let place = node.last_place();
        assert_eq!(node.judge_token(&opaque(1)), Err(Inactive::Revoked(place, at(0))));
        assert_eq!(node.judge_token(&opaque(2)), Ok(()), "it belongs to no session");
        assert_eq!(node.ask(revoke_named(Kind::Token, opaque(1))), Ok(Decision::Already(place)));
    }
}

#[test]
fn a_token_is_revoked_with_a_session_that_another_node_revoked_unseen() {
    for named in [CredentialRef::Id(session_id(1)), CredentialRef::Digest(session_digest(1))] {
        let (mut one, mut other) = ModelNode::pair();
        one.ask(issue_session(1, "alice")).unwrap();
        one.ask(issue_opaque(1, "alice", Some(1))).unwrap();
        other.ask(revoke_named(Kind::Session, named)).unwrap();
        let place = other.last_place();
        one.catch_up(&other);
        other.catch_up(&one);
        for node in [&one, &other] {
            assert_eq!(node.judge_session(1), Err(Inactive::Revoked(place, at(0))));
            assert_eq!(node.judge_token(&opaque(1)), Err(Inactive::Revoked(place, at(0))));
        }
    }
}

#[test]
fn a_token_issued_after_all_sessions_were_revoked_is_active() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
    let tokens = node.last_place();
    node.ask(revoke_kinds("bob", &[Kind::Token])).unwrap();
    node.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    let sessions = node.last_place();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(issue_opaque(1, "alice", Some(2))).unwrap();
    let both: Generation = [(node.origin, sessions.sequence.max(tokens.sequence))].into_iter().collect();
    assert_eq!(last_issued(&node).generation, both, "the later of the two, origin by origin");
    assert_eq!(node.judge_token(&opaque(1)), Ok(()));
    node.ask(issue_opaque(2, "alice", None)).unwrap();
    node.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
    assert!(node.judge_token(&opaque(1)).is_err() && node.judge_token(&opaque(2)).is_err());
    assert_eq!(node.judge_session(2), Ok(()), "its tokens are gone, it is not");
}

#[test]
fn a_token_without_a_session_carries_nothing_of_sessions() {
    let mut node = ModelNode::lone();
    node.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    assert!(last_issued(&node).generation.is_empty());
}

#[test]
fn a_concurrent_revocation_of_all_sessions_revokes_the_token_too() {
    let (mut one, mut other) = ModelNode::pair();
    one.ask(issue_session(1, "alice")).unwrap();
    one.ask(issue_opaque(1, "alice", Some(1))).unwrap();
    other.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    one.catch_up(&other);
    assert!(one.judge_token(&opaque(1)).is_err());
}

#[test]
fn a_jwt_carries_at_most_so_many_entries_and_an_opaque_token_any_number() {
    let mut node = ModelNode::lone();
    node.ask(publish("k")).unwrap();
    let letters = || ('b'..='z').take(MAX_JWT_GENERATION);
    let mut revocation = {
        let mut elsewhere = ModelNode::named('z');
        elsewhere.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
        elsewhere.last().clone()
    };
    for letter in letters() {
        revocation.place.origin = origin(letter);
        node.receive(&revocation);
    }
    node.ask(issue_jwt(1, "alice", None)).unwrap();
    assert_eq!(last_issued(&node).generation.len(), MAX_JWT_GENERATION);
    revocation.place.origin = origin('z');
    node.receive(&revocation);
    assert_eq!(node.ask(issue_jwt(2, "alice", None)), Err(Rejection::GenerationTooLarge));
    node.ask(issue_opaque(2, "alice", None)).unwrap();
    assert_eq!(node.judge_token(&opaque(2)), Ok(()));
}

#[test]
fn a_token_is_revoked_by_each_of_its_names() {
    let mut node = ModelNode::lone();
    node.ask(publish("k")).unwrap();
    (1..=2).for_each(|n| drop(node.ask(issue_opaque(n, "alice", None)).unwrap()));
    (3..=4).for_each(|n| drop(node.ask(issue_jwt(n, "alice", None)).unwrap()));
    let cases = [
        (opaque(1), opaque(1)),
        (opaque(2), CredentialRef::Id(token_digest(2).id())),
        (jwt(3), jwt(3)),
        (jwt(4), CredentialRef::Id(jwt(4).id())),
    ];
    for (token, name) in cases {
        assert_eq!(node.judge_token(&token), Ok(()));
        node.after_seconds(1).ask(revoke_named(Kind::Token, name.clone())).unwrap();
        let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
        assert_eq!((&revoked.credential, revoked.known, revoked.session_digest), (&token, true, None));
        assert_eq!(revoked.retain_until, at(HOUR + 300_000));
        let first = node.last_place();
        assert_eq!(node.judge_token(&token), Err(Inactive::Revoked(first, node.now)));
        assert_eq!(node.ask(revoke_named(Kind::Token, name)), Ok(Decision::Already(first)));
    }
    assert_eq!(node.ask(revoke_named(Kind::Token, jwt(9))), Err(Rejection::UnknownCredential));
    node.now = at(HOUR);
    assert_eq!(node.ask(revoke_named(Kind::Token, opaque(9))), Err(Rejection::UnknownCredential));
}

#[test]
fn a_bearer_of_a_secret_need_not_know_what_it_is() {
    let mut node = ModelNode::lone();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    node.ask(revoke_named(Kind::Ticket, CredentialRef::Digest(session_digest(1)))).unwrap();
    assert!(node.judge_session(1).is_err());
    node.ask(revoke_named(Kind::Ticket, opaque(1))).unwrap();
    assert!(node.judge_token(&opaque(1)).is_err());
}

#[test]
fn a_jwt_of_ours_that_has_not_arrived_is_judged_by_its_own_generation() {
    let (mut one, mut other) = ModelNode::pair();
    assert_eq!(judged(&one, &ours(1, &[])), Ok(()));
    other.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
    let revocation = other.last_place();
    one.catch_up(&other);
    assert_eq!(judged(&one, &ours(1, &[])), Err(Inactive::Revoked(revocation, at(0))));
    assert_eq!(
        judged(&one, &ours(1, &[(other.origin, revocation.sequence.0 - 1)])),
        Err(Inactive::Revoked(revocation, at(0)))
    );
    assert_eq!(judged(&one, &ours(1, &[(other.origin, revocation.sequence.0)])), Ok(()));
    let theirs = PresentedToken { subject: subject("bob"), ..ours(1, &[]) };
    assert_eq!(judged(&one, &theirs), Ok(()));
    one.now = at(HOUR);
    let reaching = ours(1, &[(other.origin, revocation.sequence.0)]);
    assert_eq!(judged(&one, &reaching), Err(Inactive::Expired));
}

#[test]
fn a_jwt_of_ours_that_has_not_arrived_is_revoked_with_the_session_that_it_names() {
    let (mut one, mut other) = ModelNode::pair();
    let token = PresentedToken { ancestors: vec![own_session(session_id(1), subject("alice"))], ..ours(1, &[]) };
    one.ask(revoke_kinds("alice", &[Kind::Session])).unwrap();
    assert!(judged(&one, &token).is_err(), "with all sessions");
    assert_eq!(judged(&one, &ours(1, &[])), Ok(()), "without a session");
    assert_eq!(judged(&other, &token), Ok(()));
    other.ask(revoke_session(1)).unwrap();
    assert!(judged(&other, &token).is_err(), "with that one");
}

#[test]
fn a_jwt_whose_issue_is_on_record_is_judged_by_the_record() {
    let mut node = ModelNode::lone();
    node.ask(publish("k")).unwrap();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(issue_jwt(1, "alice", Some(1))).unwrap();
    assert_eq!(judged(&node, &ours(1, &[])), Ok(()));
    node.ask(revoke_session(1)).unwrap();
    assert!(judged(&node, &ours(1, &[])).is_err(), "whichever session it names");
}

#[test]
fn a_foreign_jwt_is_judged_by_when_it_was_issued() {
    let mut node = ModelNode::lone();
    node.now = at(10_900);
    node.ask(revoke_kinds("alice", &[Kind::Token])).unwrap();
    let inactive = Err(Inactive::Revoked(node.last_place(), at(10_900)));
    assert_eq!(judged(&node, &foreign("f", Some(9_000), 0)), inactive);
    assert_eq!(judged(&node, &foreign("f", Some(10_000), 0)), inactive, "in the very second of the revocation");
    assert_eq!(judged(&node, &foreign("f", Some(11_000), 0)), Ok(()));
    assert_eq!(judged(&node, &foreign("f", Some(15_000), 5)), inactive, "within the leeway");
    assert_eq!(judged(&node, &foreign("f", Some(16_000), 5)), Ok(()));
    assert_eq!(judged(&node, &foreign("f", None, 0)), inactive, "it does not say when");
    let other_tenant = PresentedToken { tenant: tenant("acme"), ..foreign("f", None, 0) };
    assert_eq!(judged(&node, &other_tenant), Ok(()));
    node.ask(revoke_kinds("bob", &[Kind::Session])).unwrap();
    let ancestors = vec![own_session(session_id(1), subject("bob"))];
    let bobs = PresentedToken { subject: subject("bob"), ancestors, ..foreign("f", None, 0) };
    assert_eq!(judged(&node, &bobs), Ok(()), "only sessions were revoked, and its session is none of ours");
}

#[test]
fn a_foreign_jwt_is_revoked_by_its_issuer_and_jti_until_it_expires() {
    let mut node = ModelNode::lone();
    let token = foreign("f", Some(0), 0);
    node.ask(revoke_presented(std::slice::from_ref(&token))).unwrap();
    let first = node.last_place();
    let Event::Revoked(revoked) = &node.last().event else { panic!("not a revocation") };
    assert_eq!((&revoked.credential, revoked.kind, revoked.known), (&token.credential, Kind::Token, true));
    assert_eq!(revoked.retain_until, at(HOUR + 300_000));
    assert_eq!(judged(&node, &token), Err(Inactive::Revoked(first, at(0))));
    assert_eq!(node.ask(revoke_presented(std::slice::from_ref(&token))), Ok(Decision::Already(first)));
    assert_eq!(judged(&node, &foreign("g", Some(0), 0)), Ok(()), "another jti");
    let same_jti = PresentedToken {
        credential: CredentialRef::Jwt { issuer: issuer(), jti: TokenId::new("f").unwrap() },
        ..token
    };
    assert_eq!(judged(&node, &same_jti), Ok(()), "another issuer");
}

#[test]
fn a_jwt_that_never_expires_is_revoked_permanently() {
    let mut node = ModelNode::lone();
    let token = PresentedToken { expires_at: None, ..foreign("f", Some(0), 0) };
    node.ask(revoke_presented(std::slice::from_ref(&token))).unwrap();
    node.now = at(1_000_000_000_000);
    node.state.prune(node.now);
    assert!(matches!(judged(&node, &token), Err(Inactive::Revoked(..))));
}

#[test]
fn a_jwt_without_jti_is_known_by_its_payload() {
    let mut node = ModelNode::lone();
    let payload = |text: &str| {
        let issuer = Issuer::new("https://idp.example").unwrap();
        let digest = Digest::of_payload(text.as_bytes());
        PresentedToken { credential: CredentialRef::Payload { issuer, digest }, ..foreign("none", Some(0), 0) }
    };
    let (one, other) = (payload("{\"sub\":\"alice\"}"), payload("{\"sub\": \"alice\"}"));
    assert!(matches!(
        node.ask_as(bearer_of(&one), revoke_presented(std::slice::from_ref(&one))),
        Ok(Decision::Append(_))
    ));
    assert!(judged(&node, &one).is_err());
    assert_eq!(judged(&node, &other), Ok(()));
    assert_eq!(node.ask_as(bearer_of(&one), revoke_presented(&[other])), Err(Rejection::Forbidden));
}

#[test]
fn a_token_that_has_expired_when_it_is_presented_cannot_be_revoked() {
    let mut node = ModelNode::lone();
    node.now = at(HOUR);
    assert_eq!(node.ask(revoke_presented(&[foreign("f", Some(0), 0)])), Err(Rejection::CredentialExpired));
    let lasting = PresentedToken { expires_at: Some(at(2 * HOUR)), ..foreign("g", Some(0), 0) };
    let Ok(Decision::Append(drafts)) = node.ask(revoke_presented(&[foreign("f", Some(0), 0), lasting])) else {
        panic!("refused")
    };
    assert_eq!(drafts.len(), 1, "the one that is active");
}

#[test]
fn a_container_and_the_token_in_it_are_revoked_together_and_each_once() {
    let mut node = ModelNode::lone();
    let sealed = Some(Sealed { slot: 1, sealed: "AA".into() });
    let tokens = [foreign("outer", Some(0), 0), foreign("inner", Some(0), 0), foreign("outer", Some(0), 0)];
    let command = Command::RevokeTokens(RevokeTokens { tokens: tokens.to_vec(), reason: None, note: sealed.clone() });
    let Ok(Decision::Append(drafts)) = node.ask(command) else { panic!("refused") };
    let notes: Vec<_> = drafts
        .iter()
        .map(|draft| match &draft.event {
            Event::Revoked(revoked) => (revoked.credential.clone(), revoked.note.clone()),
            other => panic!("{other:?} is not a revocation"),
        })
        .collect();
    let [outer, inner, _] = tokens.clone();
    // A note that is sealed for one does not open at the other.
    assert_eq!(notes, [(outer.credential.clone(), sealed), (inner.credential.clone(), None)]);
    assert!(judged(&node, &outer).is_err() && judged(&node, &inner).is_err());
}

#[test]
fn the_token_in_a_revoked_container_can_still_be_revoked() {
    let mut node = ModelNode::lone();
    let (outer, inner) = (foreign("outer", Some(0), 0), foreign("inner", Some(0), 0));
    node.ask(revoke_presented(std::slice::from_ref(&outer))).unwrap();
    let Ok(Decision::Append(drafts)) = node.ask(revoke_presented(&[outer, inner.clone()])) else { panic!("refused") };
    assert_eq!(drafts.len(), 1);
    assert!(judged(&node, &inner).is_err());
}

#[test]
fn a_bearers_authority_is_limited_to_its_own_subject() {
    let mut node = ModelNode::lone();
    let own = foreign("own", Some(0), 0);
    let others = PresentedToken { subject: subject("bob"), ..foreign("others", Some(0), 0) };
    let same_name = PresentedToken { tenant: tenant("acme"), ..foreign("acme", Some(0), 0) };
    let bearer = bearer_of(&own);
    let mut ask = |tokens: &[PresentedToken]| node.ask_as(bearer.clone(), revoke_presented(tokens));
    assert_eq!(ask(std::slice::from_ref(&others)), Err(Rejection::Forbidden));
    assert_eq!(ask(&[own.clone(), others]), Err(Rejection::Forbidden), "next to the caller's own");
    assert_eq!(ask(&[own.clone(), same_name]), Err(Rejection::Forbidden), "of the same name in another tenant");
    assert_eq!(ask(&[foreign("unheld", Some(0), 0)]), Err(Rejection::Forbidden), "the caller's own is not there");
    assert!(matches!(ask(&[own, foreign("inner", Some(0), 0)]), Ok(Decision::Append(drafts)) if drafts.len() == 2));
}

#[test]
fn revoking_a_presented_jwt_needs_revoke_in_its_tenant() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    node.ask(register(2, grants(&[("default", &[Scope::Revoke])]))).unwrap();
    let [acme, default] = [1, 2].map(|n| Caller::Application(application_id(n)));
    let token = [foreign("f", Some(0), 0)];
    assert_eq!(node.ask_as(acme, revoke_presented(&token)), Err(Rejection::Forbidden));
    assert!(node.ask_as(default, revoke_presented(&token)).is_ok());
    let session = Caller::Session { id: session_id(1), tenant: Tenant::default(), subject: subject("alice") };
    assert_eq!(node.ask_as(session, revoke_presented(&token)), Err(Rejection::Forbidden));
}

#[test]
fn a_token_and_its_revocation_leave_memory_when_neither_is_needed() {
    let mut node = ModelNode::lone();
    node.ask(issue_opaque(1, "alice", None)).unwrap();
    node.ask(issue_opaque(2, "alice", None)).unwrap();
    node.ask(revoke_named(Kind::Token, opaque(2))).unwrap();
    node.state.prune(at(HOUR));
    assert_eq!(node.state.credentials.len(), 1);
    node.state.prune(at(HOUR + 300_000));
    assert!(node.state.credentials.is_empty());
}

#[test]
fn a_jtis_bytes_do_not_run_into_its_issuers() {
    let id = |issuer: &str, jti: &str| {
        authledger::domain::CredentialId::of_jwt(&Issuer::new(issuer).unwrap(), &TokenId::new(jti).unwrap())
    };
    assert_ne!(id("ab", "c"), id("a", "bc"));
    assert_eq!(id(issuer().as_str(), jti(1).as_str()), jwt(1).id());
}
