//! Token containers: two tokens that are revoked together.

use serde_json::json;

use super::{Place, is_done, refusal, revoke};

#[tokio::test]
async fn a_container_and_the_token_in_it_are_revoked_together() {
    let place = Place::start().await;
    let inner = place.token(json!({"jti": "inner"}));
    let container = place.container(&inner, json!({}));
    assert_eq!((place.invalidity(&container).await, place.invalidity(&inner).await), (None, None));
    let before = place.head();
    is_done(&place.log_out(&container).await);
    let revoked: Vec<_> =
        place.records_after(before).await.iter().map(|record| record["data"]["jti"].clone()).collect();
    assert_eq!(revoked, ["container", "inner"]);
    for token in [&container, &inner] {
        assert_eq!(place.invalidity(token).await.as_deref(), Some("revoked"));
        assert_eq!(refusal(&place.log_out(token).await), (400, "the token has been revoked already".to_owned()));
    }
}

#[tokio::test]
async fn the_token_within_is_authority_over_its_container_and_not_the_reverse() {
    let place = Place::start().await;
    let inner = place.mint("person").await;
    let container = place.container(&inner, json!({}));
    assert_eq!(revoke(&place.node.holder(&container), &inner).await.status, 401);
    is_done(&revoke(&place.node.holder(&inner), &container).await);
    assert_eq!(place.invalidity(&inner).await.as_deref(), Some("revoked"));
}

#[tokio::test]
async fn a_container_is_inactive_without_the_token_in_it_and_can_still_be_revoked() {
    let place = Place::start().await;
    let inner = place.token(json!({"jti": "inner"}));
    let container = place.container(&inner, json!({}));
    // As the SDK sends it.
    is_done(&place.log_out(&inner).await);
    assert_eq!(place.invalidity(&container).await.as_deref(), Some("revoked"));
    let before = place.head();
    is_done(&place.log_out(&container).await);
    assert_eq!(place.records_after(before).await.len(), 1, "the token in it had been revoked");
}

#[tokio::test]
async fn a_container_expires_with_the_earlier_of_the_two() {
    let place = Place::start().await;
    let inner = place.token(json!({"jti": "inner", "exp": super::NOW + 60}));
    let container = place.container(&inner, json!({"exp": super::NOW + 90}));
    let answer = place.node.nobody().post("/token/validate", json!({"token": container})).await;
    assert_eq!(answer.json()["result"]["expires_in_seconds"], 60);
    place.node.clock.advance(60_000);
    assert_eq!(place.invalidity(&container).await.as_deref(), Some("expired"));
    // The container itself is still there to be revoked.
    is_done(&place.log_out(&container).await);
}
