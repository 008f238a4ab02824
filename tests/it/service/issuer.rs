//! The issuer of our tokens: fixed with the first key, and needed only for tokens that others verify by themselves.

use authledger::domain::{Issuer, Rejection};
use authledger::service::{Error, NewToken, Refusal, StartError, TokenRefusal};

use super::*;

fn token(opaque: bool) -> NewToken {
    NewToken {
        tenant: Tenant::default(),
        subject: Subject::new("a").unwrap(),
        ttl: None,
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        claims: serde_json::Map::new(),
        status_list: None,
        opaque,
    }
}

async fn start_as(data: &Path, issuer: Option<&str>) -> Result<Running, StartError> {
    let clock = Clock::system();
    let issuer = issuer.map(|issuer| Issuer::new(issuer).unwrap());
    let settings = NodeSettings { issuer_is_set: issuer.is_some(), issuer, ..settings(data.to_owned(), &clock) };
    let directory = DataDirectory::lock(data).unwrap();
    let root = Secret::new(ROOT).digest();
    open(directory, settings, clock, root, Arc::new(SingleNode), |_, _| Vec::new(), |_, _| {}).await
}

#[tokio::test]
async fn without_an_address_there_are_opaque_tokens_and_no_jwts() {
    let data = tempfile::tempdir().unwrap();
    let running = start_as(data.path(), None).await.unwrap();
    let service = &running.service;
    assert!(matches!(
        service.issue_token(&call(service), token(false)).await,
        Err(Error::Refused(TokenRefusal::IssuerNotConfigured))
    ));
    assert!(matches!(
        service.rotate_key(&call(service), false).await,
        Err(Error::Refused(Refusal::IssuerNotConfigured))
    ));
    assert!(service.issue_token(&call(service), token(true)).await.is_ok());
    assert!(!service.projection().base().heads.is_empty() && service.token_issuer().is_none());
    running.stop().unwrap();
}

#[tokio::test]
async fn the_first_key_fixes_the_issuer_permanently() {
    let data = tempfile::tempdir().unwrap();
    let running = start_as(data.path(), Some("https://auth.example")).await.unwrap();
    let issued = running.service.issue_token(&call(&running.service), token(false)).await.unwrap();
    running.stop().unwrap();
    let Err(refusal) = start_as(data.path(), Some("https://other.example")).await else { panic!("it starts") };
    insta::assert_snapshot!(refusal, @"--public-url is https://other.example, and this ledger's tokens have the issuer https://auth.example, fixed with the first key that signed any: set --public-url to https://auth.example, or leave it out");
    for issuer in [None, Some("https://auth.example")] {
        let running = start_as(data.path(), issuer).await.unwrap();
        let service = &running.service;
        assert_eq!(service.token_issuer().unwrap().as_str(), "https://auth.example");
        let identity = call(service).identity;
        let found = service.introspect(&identity, issued.secret.expose(), None).await.unwrap().unwrap();
        assert_eq!(found.issuer.as_deref(), Some("https://auth.example"));
        assert!(service.issue_token(&call(service), token(false)).await.is_ok());
        running.stop().unwrap();
    }
}

#[tokio::test]
async fn a_token_is_refused_before_a_key_is_made_where_the_caller_may_not_issue() {
    let data = tempfile::tempdir().unwrap();
    let running = start_as(data.path(), Some("https://auth.example")).await.unwrap();
    let service = &running.service;
    let mut nobody = call(service);
    nobody.identity.grants = Arc::default();
    let refused = service.issue_token(&nobody, token(false)).await;
    assert!(
        matches!(refused, Err(Error::Refused(TokenRefusal::Rejected(rejection))) if Rejection::from(rejection) == Rejection::Forbidden)
    );
    assert_eq!(service.projection().base().position.0, 1);
    running.stop().unwrap();
}
