use std::sync::Arc;

use authledger::domain::{
    AnyRejection, Caller, Command, CredentialRef, Decision, Draft, Event, GrantToken, GrantType, Kind, Kinds,
    Presented, Rejection, Revoke, RevokeRejection, RevokeSubject, RevokeTokens, RevokeTokensRejection, Scope,
    TokenForm,
};

use crate::support::node::{
    ModelNode, application_id, grants, issue_in, issuer, jti, new_token, presented_token, publish, register, subject,
    tenant, token_digest,
};

fn as_application(n: u64) -> Caller {
    Caller::Application(application_id(n))
}

fn revoke(n: u64) -> Revoke {
    let credential = CredentialRef::Digest(token_digest(n));
    Revoke { kind: Kind::Token, credential, reason: None, note: None }
}

/// An application may revoke what it issued where it presents the secret, although it has no scope for that.
#[test]
fn an_application_revokes_what_it_issued_when_it_presents_it() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Issue])]))).unwrap();
    node.ask(register(2, grants(&[("acme", &[Scope::Issue]), ("default", &[Scope::Revoke])]))).unwrap();
    let issue = |n| Command::IssueToken(new_token("acme", TokenForm::Opaque(token_digest(n)), "a", None).into());
    node.ask_as(as_application(1), issue(1)).unwrap();
    node.ask(issue(2)).unwrap();
    let one = |caller, n| {
        node.decided(caller, Presented(revoke(n))).map(|decision| match decision {
            Decision::Append(drafts) => drafts.len(),
            other => panic!("{other:?}"),
        })
    };
    let forbidden = Err(RevokeRejection::Any(AnyRejection::Forbidden));
    assert_eq!(one(as_application(2), 1), forbidden);
    assert_eq!(one(as_application(1), 2), forbidden, "root issued it");
    assert_eq!(one(as_application(1), 3), Err(RevokeRejection::UnknownCredential));
    assert_eq!((one(as_application(1), 1), one(Caller::Root, 2)), (Ok(1), Ok(1)));
    let by_scope = node.ask_as(as_application(1), Command::Revoke(revoke(1)));
    assert_eq!(by_scope, Err(Rejection::Forbidden), "only as presented");
}

/// By the record of its issue, and not by what a token says of itself.
#[test]
fn a_presented_jwt_is_its_applications_by_its_record() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("default", &[Scope::Issue])]))).unwrap();
    node.ask(publish("k")).unwrap();
    let issue = |n| Command::IssueToken(new_token("default", TokenForm::Jwt(jti(n)), "a", None).into());
    node.ask_as(as_application(1), issue(1)).unwrap();
    node.ask(issue(2)).unwrap();
    let one = |n| {
        let credential = CredentialRef::Jwt { issuer: issuer(), jti: jti(n) };
        let mut token = presented_token(credential, subject("a"));
        token.application = Some(application_id(1));
        let command = RevokeTokens { tokens: vec![token], reason: None, note: None };
        node.decided(as_application(1), Presented(command))
    };
    assert!(matches!(one(1), Ok(Decision::Append(drafts)) if drafts.len() == 1));
    for n in [2, 3] {
        assert_eq!(one(n), Err(RevokeTokensRejection::Any(AnyRejection::Forbidden)));
    }
}

/// On a node that may not know everything, a success without a record could be untrue.
#[test]
fn an_unknown_secret_is_refused_to_an_application_that_can_record_nothing() {
    let (mut node, _) = ModelNode::pair();
    node.ask(register(1, grants(&[("acme", &[Scope::Issue])]))).unwrap();
    node.ask(register(2, grants(&[("acme", &[Scope::Revoke])]))).unwrap();
    let refused = node.decided(as_application(1), Presented(revoke(1)));
    assert_eq!(refused, Err(RevokeRejection::Any(AnyRejection::Forbidden)));
    let Ok(Decision::Append(drafts)) = node.decided(as_application(2), Presented(revoke(1))) else { panic!("refused") };
    assert!(matches!(&*drafts, [Draft { event: Event::Revoked(revoked), .. }] if !revoked.known));
}

#[test]
fn only_an_application_is_granted_a_token_and_only_an_opaque_one() {
    let mut node = ModelNode::lone();
    node.ask(register(1, grants(&[("acme", &[Scope::Introspect])]))).unwrap();
    let granted = |form, session| {
        let issue = new_token("acme", form, "application:1", session);
        GrantToken { grant: GrantType::ClientCredentials, issue }
    };
    let opaque = || TokenForm::Opaque(token_digest(1));
    for caller in [Caller::Root, Caller::Node] {
        assert!(node.decided(caller, granted(opaque(), None)).is_err());
    }
    assert!(node.decided(as_application(1), granted(TokenForm::Jwt(jti(1)), None)).is_err());
    assert!(node.decided(as_application(1), granted(opaque(), Some(1))).is_err());
    let Ok(Decision::Append(drafts)) = node.decided(as_application(1), granted(opaque(), None)) else {
        panic!("refused")
    };
    let [Draft { event, .. }] = &*drafts else { panic!("{drafts:?}") };
    let Event::TokenIssued(issued) = event else { panic!("{event:?}") };
    assert_eq!((issued.grant, event.version()), (Some(GrantType::ClientCredentials), 2));
}

#[test]
fn another_issuer_revokes_what_subjects_of_its_tenants_have_and_nothing_else() {
    let mut node = ModelNode::lone();
    node.ask(issue_in("acme", 1, "a", None)).unwrap();
    let caller = || {
        let grants = Arc::new(grants(&[("acme", &[Scope::Revoke])]));
        Caller::Issuer { issuer: issuer(), jti: jti(1), grants }
    };
    let all = |tenant_name: &str| RevokeSubject {
        tenant: tenant(tenant_name),
        subject: subject("a"),
        kinds: Kinds::ALL,
        issued_before: None,
        keep: None,
        hold: None,
        reason: None,
        note: None,
    };
    assert!(node.decided(caller(), all("default")).is_err());
    assert!(matches!(node.decided(caller(), all("acme")), Ok(Decision::Append(_))));
    assert!(node.ask_as(caller(), issue_in("acme", 2, "a", None)).is_err());
    node.ask_as(caller(), Command::RevokeSubject(all("acme"))).unwrap();
    let actor = node.last().actor.as_ref().expect("a caller").to_string();
    assert_eq!(actor, "bearer:https:%2F%2Fledger.example/jti-1");
}
