//! Tokens within tokens.

use authledger::domain::TokenId;
use authledger::jose::TokenTimeError;
use authledger::keys::Algorithm;
use serde_json::{Value, json};

use super::{Judge, NOW, Signer, claims, merged, own_claims};

fn container(signer: &Signer, inner: &str, more: Value) -> String {
    let claims = merged(claims(json!({"jti": "container", "user_token": inner})), more);
    // Not signed by us: we make no token that is too long.
    signer.raw(&signer.header(), &claims.to_string())
}

#[tokio::test]
async fn a_container_is_two_tokens_each_with_its_own_id() {
    let judge = Judge::new(Algorithm::EdDsa);
    let expired = json!({"exp": 1_799_999_999});
    for inner in [judge.theirs.token(&claims(expired.clone())), judge.ours.token(&own_claims(expired))] {
        let token = judge.verify(&container(&judge.theirs, &inner, json!({}))).await.expect("valid");
        assert_eq!(token.identity.jti().map(TokenId::as_str), Some("container"));
        assert!(!token.claims.contains_key("user_token"), "a live token stays in no claims");
        assert_eq!(token.check_times(NOW), Ok(()), "each has its own times");
        let inner = token.inner.expect("the token within");
        assert_ne!(inner.identity, token.identity);
        assert_eq!(inner.check_times(NOW), Err(TokenTimeError::Expired));
        assert!(inner.inner.is_none());
    }
}

#[tokio::test]
async fn a_container_takes_tenant_and_subject_from_within_where_it_names_none() {
    let judge = Judge::new(Algorithm::EdDsa);
    let inner = judge.theirs.token(&claims(json!({"oid": "two"})));
    let token = container(&judge.theirs, &inner, json!({"oid": null, "sub": null}));
    let token = judge.verify(&token).await.expect("valid");
    assert_eq!((token.tenant.as_str(), token.subject.as_given().as_str()), ("two", "somebody"));
    let differs = "accept the token: the token within it (`user_token`) is for another tenant or subject";
    for more in [json!({"oid": "one"}), json!({"oid": "two", "sub": "another"}), json!({"oid": null, "aud": "one"})] {
        assert_eq!(judge.refusal(&container(&judge.theirs, &inner, more)).await, differs);
    }
    let elsewhere = judge.ours.token(&own_claims(json!({"oid": "three"})));
    let stolen = container(&judge.theirs, &elsewhere, json!({"oid": null}));
    assert_eq!(judge.refusal(&stolen).await, "accept the token: its issuer is not trusted for this tenant");
}

#[tokio::test]
async fn a_token_within_is_verified_as_strictly() {
    let judge = Judge::new(Algorithm::EdDsa);
    let stranger = Signer::new(Algorithm::EdDsa);
    let header = json!({"alg": "EdDSA", "kid": judge.theirs.key.kid()}).to_string();
    let forged = stranger.raw(&header, &claims(json!({})).to_string());
    let refused = judge.refusal(&container(&judge.theirs, &forged, json!({}))).await;
    assert_eq!(refused, "verify the token: its signature is wrong");
    let refused = judge.refusal(&container(&judge.theirs, "a.b.c", json!({}))).await;
    assert!(refused.starts_with("read the token: "), "{refused}");
    let valid = judge.theirs.token(&claims(json!({})));
    let forged = stranger.raw(&header, &claims(json!({"user_token": valid})).to_string());
    assert_eq!(judge.refusal(&forged).await, "verify the token: its signature is wrong");
}

#[tokio::test]
async fn a_container_within_a_container_is_refused_however_deep_it_goes() {
    let judge = Judge::new(Algorithm::EdDsa);
    let mut token = judge.theirs.token(&claims(json!({})));
    for depth in 1..=10 {
        token = container(&judge.theirs, &token, json!({}));
        match depth {
            1 => assert!(judge.verify(&token).await.is_ok()),
            _ if token.len() > 16_384 => {
                assert_eq!(judge.refusal(&token).await, "read the token: it is longer than 16384 bytes");
            }
            _ => assert_eq!(
                judge.refusal(&token).await,
                "accept the token: the token within it (`user_token`) is a container itself"
            ),
        }
    }
}
