//! Tokens that are bound to a key or a certificate: the text alone is not their holder's authorisation.

use serde_json::{Value, json};

use super::{NOW, Place, is_done, refusal, revoke};
use crate::support::prover::Prover;
use crate::support::served::{Actor, Answer};
use crate::support::settings::ISSUER;

const CERTIFICATE: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";
const NEEDS_A_PROOF: &str = "DPoP algs=\"ES256 EdDSA RS256\", error=\"invalid_token\"";
const NEEDS_ANOTHER_PROOF: &str = "DPoP algs=\"ES256 EdDSA RS256\", error=\"invalid_dpop_proof\"";
const NEEDS_ANOTHER_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// Where a call is sent to, as its caller writes it.
fn address(path: &str) -> String {
    format!("{ISSUER}{path}")
}

async fn own(place: &Place, cnf: Value) -> String {
    let issued = place.node.root().post("/v1/tokens", json!({"tenant": "one", "subject": "person", "cnf": cnf})).await;
    issued.text("token").to_owned()
}

fn with_proof(place: &Place, token: &str, proof: &str) -> Actor {
    place.node.nobody().with("authorization", &format!("DPoP {token}")).with("dpop", proof)
}

#[track_caller]
fn challenge(answer: &Answer) -> &str {
    assert_eq!(refusal(answer).0, 401);
    answer.header("www-authenticate")
}

#[tokio::test]
async fn a_bound_token_is_revoked_by_its_holder_only_with_a_proof() {
    let place = Place::start().await;
    let prover = Prover::new();
    let cnf = json!({"jkt": prover.thumbprint()});
    for token in [own(&place, cnf.clone()).await, place.token(json!({"cnf": cnf}))] {
        let head = place.head();
        assert_eq!(challenge(&place.log_out(&token).await), NEEDS_A_PROOF);
        let bearer_with_proof = |proof: &str| place.node.holder(&token).with("dpop", proof);
        let uri = address("/token/revoke");
        let good = prover.proof(&token, "POST", &uri, &token, NOW);
        assert_eq!(challenge(&revoke(&bearer_with_proof(&good), &token).await), NEEDS_A_PROOF, "by its scheme");
        let without = place.node.nobody().with("authorization", &format!("DPoP {token}"));
        assert_eq!(challenge(&revoke(&without, &token).await), NEEDS_ANOTHER_PROOF);
        let twice = with_proof(&place, &token, &good).with("dpop", &good);
        assert_eq!(challenge(&revoke(&twice, &token).await), NEEDS_ANOTHER_PROOF);
        for (name, proof) in [
            ("another key", Prover::new().proof(&token, "POST", &uri, "a", NOW)),
            ("another method", prover.proof(&token, "GET", &uri, "b", NOW)),
            ("another path", prover.proof(&token, "POST", &address("/slashid/token/revoke"), "c", NOW)),
            ("another host", prover.proof(&token, "POST", "https://evil.example/token/revoke", "d", NOW)),
            ("an old one", prover.proof(&token, "POST", &uri, "e", NOW - 66)),
            ("another token", prover.proof("another", "POST", &uri, "f", NOW)),
        ] {
            let answer = revoke(&with_proof(&place, &token, &proof).with("host", "evil.example"), &token).await;
            assert_eq!(challenge(&answer), NEEDS_ANOTHER_PROOF, "{name}");
        }
        assert_eq!(place.head(), head);
        is_done(&revoke(&with_proof(&place, &token, &good), &token).await);
        assert_eq!(challenge(&revoke(&with_proof(&place, &token, &good), &token).await), NEEDS_ANOTHER_PROOF, "once");
    }
}

#[tokio::test]
async fn a_binding_that_has_no_proof_here_is_not_accepted() {
    let place = Place::start().await;
    let prover = Prover::new();
    let with = |cnf: Value| place.token(json!({"cnf": cnf}));
    let plain = place.token(json!({}));
    for token in [
        own(&place, json!({"x5t#S256": CERTIFICATE})).await,
        with(json!({"x5t#S256": CERTIFICATE})),
        with(json!({"jkt": prover.thumbprint(), "x5t#S256": CERTIFICATE})),
        with(json!({"jwk": {"kty": "OKP"}})),
    ] {
        let proof = prover.proof(&token, "POST", &address("/token/revoke"), &token, NOW);
        assert_eq!(challenge(&revoke(&with_proof(&place, &token, &proof), &token).await), NEEDS_ANOTHER_TOKEN);
        assert_eq!(challenge(&place.log_out(&token).await), NEEDS_ANOTHER_TOKEN);
    }
    let proof = prover.proof(&plain, "POST", &address("/token/revoke"), "plain", NOW);
    let answer = revoke(&with_proof(&place, &plain, &proof), &plain).await;
    assert_eq!(challenge(&answer), NEEDS_A_PROOF, "it is not bound to the proof's key");
    is_done(&place.log_out(&plain).await);
    let malformed = with(json!({"jkt": "short"}));
    assert_eq!(refusal(&place.log_out(&malformed).await).0, 400);
}

#[tokio::test]
async fn a_container_is_bound_if_it_or_its_token_is() {
    let place = Place::start().await;
    let prover = Prover::new();
    let bound = json!({"cnf": {"jkt": prover.thumbprint()}});
    for (inner, outer) in [(bound.clone(), json!({})), (json!({}), bound.clone()), (bound.clone(), bound)] {
        let inner = place.token(inner);
        let container = place.container(&inner, outer);
        assert_eq!(challenge(&place.log_out(&container).await), NEEDS_A_PROOF);
        assert_eq!(place.invalidity(&container).await.as_deref(), Some("invalid_token_content"));
    }
}

#[tokio::test]
async fn an_application_revokes_a_bound_token_and_nobody_is_told_that_it_is_valid() {
    let place = Place::start().await;
    for cnf in [json!({"jkt": Prover::new().thumbprint()}), json!({"x5t#S256": CERTIFICATE})] {
        let token = own(&place, cnf).await;
        assert_eq!(place.invalidity(&token).await.as_deref(), Some("invalid_token_content"));
        is_done(&revoke(&place.root(), &token).await);
        assert_eq!(place.invalidity(&token).await.as_deref(), Some("revoked"));
    }
}
