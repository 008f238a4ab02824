//! `POST /token/revoke`: its callers, its refusals, and the credentials that stay.

use authledger::domain::{CredentialId, CredentialKey, CredentialView as _, Issuer, Kind, TokenId};
use authledger::keys::Algorithm;
use axum::http::Method;
use serde_json::json;

use super::{NOW, Place, claims, is_done, refusal, revoke};
use crate::jose::confusion::{negated, next_letter};
use crate::jose::{ISSUER, Signer, decode, encode};
use crate::support::served::{ROOT, ServedNode};

const NOT_AN_AUTHORITY: &str = "the bearer is neither this token nor an application's key";

#[tokio::test]
async fn a_bearer_revokes_its_token_once_and_the_log_names_the_bearer() {
    let place = Place::start().await;
    for token in [place.mint("p").await, place.token(json!({}))] {
        let before = place.head();
        assert_eq!(place.invalidity(&token).await, None);
        is_done(&place.log_out(&token).await);
        assert_eq!(place.invalidity(&token).await.as_deref(), Some("revoked"));
        let again = (400, "the token has been revoked already".to_owned());
        assert_eq!(refusal(&place.log_out(&token).await), again);
        assert_eq!(refusal(&revoke(&place.root(), &token).await), again);
        let records = place.records_after(before).await;
        assert_eq!(records.len(), 1, "nothing is appended twice");
        let record = &records[0];
        let name = format!(
            "bearer:{}/{}",
            record["data"]["iss"].as_str().unwrap().replace('/', "%2F"),
            record["data"]["jti"].as_str().unwrap()
        );
        assert_eq!((&record["type"], &record["tenant"]), (&json!("token.revoked"), &json!("one")));
        assert_eq!(record["actor"], name);
    }
}

#[tokio::test]
async fn both_bases_serve_it_and_every_surface_sees_it() {
    let place = Place::start().await;
    let token = place.mint("p").await;
    let revoked = place.node.holder(&token).post("/slashid/token/revoke", json!({"token": token, "more": 1})).await;
    is_done(&revoked);
    let active = place.node.root().post("/v1/introspect", json!({"credential": token})).await;
    assert_eq!(active.json(), json!({"active": false}));
    let again = place.node.root().post("/v1/revocations", json!({"credential": token})).await;
    assert_eq!(again.status, 200, "it was revoked already");
}

#[tokio::test]
async fn an_application_revokes_tokens_of_its_tenant_alone() {
    let place = Place::start().await;
    let (one, two) = (place.key(&[("one", &["revoke"])]).await, place.key(&[("two", &["revoke"])]).await);
    let idle = place.key(&[("one", &["issue", "introspect"])]).await;
    let token = place.token(json!({}));
    let before = place.head();
    let elsewhere = (401, "the application may not revoke tokens of the organization that this one is for".to_owned());
    for key in [&two, &idle] {
        assert_eq!(refusal(&revoke(&place.keyed(key), &token).await), elsewhere);
        assert_eq!(refusal(&revoke(&place.node.holder(key), &token).await), elsewhere);
    }
    let unknown = (401, "`SlashID-API-Key` is unknown, expired or removed".to_owned());
    let wrong = place.node.holder(&token).with("slashid-api-key", "nobody's");
    assert_eq!(refusal(&revoke(&wrong, &token).await), unknown, "a wrong key is refused, whatever else is shown");
    assert_eq!(place.head(), before);
    is_done(&revoke(&place.keyed(&one), &token).await);
    is_done(&revoke(&place.node.holder(&one), &place.token(json!({"jti": "b"}))).await);
    let actor = place.records_after(before).await[0]["actor"].as_str().unwrap().to_owned();
    assert!(actor.starts_with("application:"), "{actor}");
}

#[tokio::test]
async fn a_bearer_with_another_token_or_none_is_not_an_authority() {
    let place = Place::start().await;
    let token = place.mint("p").await;
    let other = place.mint("p").await;
    let stranger = Signer::new(Algorithm::Es256).token(&claims(json!({})));
    let twin = format!("{}x", &token[..token.len() - 1]);
    let before = place.head();
    for bearer in [&*other, &place.token(json!({})), &stranger, &twin, "al_a_nobody", "a.b.c"] {
        assert_eq!(refusal(&revoke(&place.node.holder(bearer), &token).await), (401, NOT_AN_AUTHORITY.to_owned()));
    }
    let nobody = (401, "send `SlashID-API-Key`, or the token itself as bearer".to_owned());
    assert_eq!(refusal(&revoke(&place.node.nobody(), &token).await), nobody);
    let basic = place.node.nobody().with("authorization", "Basic eDp5");
    assert_eq!(refusal(&revoke(&basic, &token).await), nobody);
    let twice = place.node.holder(&token).with("authorization", &format!("Bearer {token}"));
    assert_eq!(refusal(&revoke(&twice, &token).await), (400, "`Authorization` must be given once".to_owned()));
    assert_eq!((place.head(), place.invalidity(&token).await), (before, None));
}

#[tokio::test]
async fn a_bearer_is_the_same_token_however_its_signature_is_spelt() {
    let place = Place::start().await;
    let token = place.token(json!({}));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let numbers = decode(signature);
    let twin = format!("{signed}.{}", encode([&numbers[..32], &negated(&numbers[32..])].concat()));
    is_done(&revoke(&place.node.holder(&twin), &token).await);
    assert_eq!(place.invalidity(&twin).await.as_deref(), Some("revoked"));
    let stray = format!("{signed}.{}", next_letter(signature));
    assert_eq!(place.invalidity(&stray).await.as_deref(), Some("invalid_token_content"));
    assert_eq!(place.invalidity(&token).await.as_deref(), Some("revoked"));
}

#[tokio::test]
async fn a_token_that_was_never_seen_is_revoked_if_its_issuer_is_trusted_and_forgotten_when_it_has_expired() {
    let place = Place::start().await;
    let token = place.token(json!({"jti": "unseen"}));
    let refused = refusal(&revoke(&ServedNode::start().await.holder(ROOT), &token).await);
    assert_eq!(refused, (400, "failed to verify the token: its issuer is not trusted here".to_owned()));
    let before = place.head();
    is_done(&place.log_out(&token).await);
    let record = place.records_after(before).await.remove(0);
    assert_eq!((&record["data"]["iss"], &record["data"]["jti"]), (&json!(ISSUER), &json!("unseen")));
    assert_eq!(record["data"]["retain_until"], (NOW + 600 + 300) * 1000);
    let id = CredentialId::of_jwt(&Issuer::new(ISSUER).unwrap(), &TokenId::new("unseen").unwrap());
    let is_kept = || {
        let projection = place.node.service().projection();
        projection.prune(place.node.clock.now());
        !projection.credential(CredentialKey { kind: Kind::Token, id }).revocations.is_empty()
    };
    place.node.clock.advance(899_999);
    assert!(is_kept());
    assert_eq!(place.invalidity(&token).await.as_deref(), Some("revoked"));
    place.node.clock.advance(2);
    assert!(!is_kept());
    assert_eq!(place.invalidity(&token).await.as_deref(), Some("expired"));
}

#[tokio::test]
async fn an_expired_token_is_refused_and_one_that_never_expires_is_revoked_permanently() {
    let place = Place::start().await;
    let expired = place.token(json!({"exp": NOW - 1}));
    let before = place.head();
    assert_eq!(refusal(&place.log_out(&expired).await), (400, "the token has expired already".to_owned()));
    assert_eq!(place.head(), before);
    let endless = place.token(json!({"exp": null, "jti": "endless"}));
    assert_eq!(place.invalidity(&endless).await, None);
    is_done(&place.log_out(&endless).await);
    place.node.clock.advance(100 * 366 * 86_400_000);
    place.node.service().projection().prune(place.node.clock.now());
    assert_eq!(place.invalidity(&endless).await.as_deref(), Some("revoked"));
    let iat = NOW + 100 * 366 * 86_400;
    let early = place.token(json!({"iat": iat, "nbf": NOW + 500_000_000_000, "jti": "early", "exp": null}));
    is_done(&place.log_out(&early).await);
}

#[tokio::test]
async fn each_bad_request_is_refused_with_its_own_message_and_appends_nothing() {
    let place = Place::start().await;
    let token = place.token(json!({}));
    let body = json!({"token": token}).to_string();
    let before = place.head();
    let mut answers = Vec::new();
    let bodies = [
        "",
        "{",
        "token",
        "[]",
        "\"a\"",
        "{}",
        r#"{"token":null}"#,
        r#"{"token":""}"#,
        r#"{"token":7}"#,
        r#"{"token":"a","token":"b"}"#,
        "\u{feff}{}",
        r#"{"token":"a"}"#,
    ];
    for body in bodies {
        answers.push((body.to_owned(), refusal(&place.root().post_text("/token/revoke", body).await)));
    }
    let large = json!({"token": "a".repeat(1 << 20)}).to_string();
    answers.push(("1 MB".to_owned(), refusal(&place.root().post_text("/token/revoke", large).await)));
    let long = json!({"token": "a".repeat(20_000)}).to_string();
    answers.push(("20 KB".to_owned(), refusal(&place.root().post_text("/token/revoke", long).await)));
    let (level, timeout) = ("slashid-required-consistency", "slashid-required-consistency-timeout");
    let headers = [
        (level, "everywhere"),
        (level, ""),
        (level, "LOCAL_REGION"),
        (timeout, "0"),
        (timeout, "121"),
        (timeout, "+5"),
        (timeout, "1.5"),
        (timeout, "x"),
        (timeout, ""),
        (timeout, "99999999999999999999"),
    ];
    for (name, value) in headers {
        let answer = place.root().with(name, value).post_text("/token/revoke", body.clone()).await;
        answers.push((format!("{name}: {value}"), refusal(&answer)));
    }
    for (name, value) in [(level, "local_region"), (timeout, "5"), ("slashid-api-key", ROOT)] {
        let answer = place.root().with(name, value).with(name, value).post_text("/token/revoke", body.clone()).await;
        answers.push((format!("{name} twice"), refusal(&answer)));
    }
    assert_eq!(place.head(), before);
    let shown: Vec<String> =
        answers.into_iter().map(|(asked, (status, told))| format!("{asked} -> {status} {told}")).collect();
    insta::assert_snapshot!(shown.join("\n"));
    let level = place.root().with(level, "all_regions");
    let timeout = (timeout, "120");
    let answer = level.with(timeout.0, timeout.1).send(Method::POST, "/token/revoke", body).await;
    is_done(&answer);
}
