//! `POST /token/validate`

use serde_json::json;

use super::{NOW, Place, refusal};
use crate::jose::claims as jose_claims;

#[tokio::test]
async fn an_active_token_is_answered_with_its_expiry_and_without_errors() {
    let place = Place::start().await;
    place.node.clock.advance(500);
    let answer = place.node.nobody().post("/slashid/token/validate", json!({"token": place.token(json!({}))})).await;
    let expected =
        json!({"result": {"valid": true, "expires_in_seconds": 599, "expires_at": "2027-01-15T08:10:00.000Z"}});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
    assert_eq!(answer.header("cache-control"), "no-store");
    let permanent = place.token(json!({"exp": null}));
    let answer = place.node.nobody().post("/token/validate", json!({"token": permanent})).await;
    assert_eq!(answer.json(), json!({"result": {"valid": true}}));
}

#[tokio::test]
async fn an_inactive_token_is_answered_with_a_reason() {
    let place = Place::start().await;
    for (token, reason) in [
        (place.token(json!({"exp": NOW})), "expired"),
        (place.token(json!({"nbf": NOW + 6})), "invalid_token_content"),
        (place.token(json!({"iss": "https://nobody.example"})), "invalid_issuer"),
        (place.token(json!({"oid": "three"})), "invalid_issuer"),
        (place.issuer.token(&jose_claims(json!({"iss": null}))), "invalid_issuer"),
        (place.token(json!({"sub": null})), "invalid_token_content"),
        (format!("{}x", place.token(json!({}))), "invalid_token_content"),
        ("al_o_something".to_owned(), "invalid_token_content"),
    ] {
        assert_eq!(place.invalidity(&token).await.as_deref(), Some(reason));
    }
    assert_eq!(place.invalidity(&place.token(json!({"nbf": NOW + 5}))).await, None, "clocks may be a little off");
}

#[tokio::test]
async fn everything_revoked_with_its_subject_is_invalid_too() {
    let place = Place::start().await;
    let ours = place.mint("person").await;
    let theirs = place.token(json!({}));
    let revocation = json!({"tenant": "one", "subject": "person"});
    assert_eq!(place.node.root().post("/v1/revocations", revocation).await.status, 201);
    for token in [&ours, &theirs] {
        assert_eq!(place.invalidity(token).await.as_deref(), Some("revoked"));
    }
    assert_eq!(place.invalidity(&place.mint("person").await).await, None, "a later token is valid");
}

#[tokio::test]
async fn a_body_without_a_token_is_refused() {
    let place = Place::start().await;
    for body in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":1}"#] {
        assert_eq!(refusal(&place.node.nobody().post_text("/token/validate", body).await).0, 400, "{body}");
    }
    let large = json!({"token": "a".repeat(70_000)}).to_string();
    let told = "the body is larger than this server takes".to_owned();
    assert_eq!(refusal(&place.node.nobody().post_text("/token/validate", large).await), (400, told));
}
