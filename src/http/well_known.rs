//! What verifiers of our tokens look for at the root: the public keys, and where they are.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use super::{SharedApp, answer};

/// Where the public keys are.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// Where it is said where they are.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// RFC 7517, section 8.5.2.
const JWK_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");
/// A verifier that meets an unknown key asks again by itself, and one that is retired stays until its tokens have expired.
const FIVE_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The public keys that verify tokens of this ledger, RFC 7517: those that sign, and those whose tokens may be good still.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "published_keys",
    tag = "keys",
    responses((status = 200, description = "A JWK set", body = Object, content_type = "application/jwk-set+json")),
    security(()),
)]
pub async fn jwks(State(app): State<SharedApp>) -> Response {
    let mut response = answer::json(StatusCode::OK, &app.service.published_keys());
    response.headers_mut().insert(CONTENT_TYPE, JWK_SET);
    response.headers_mut().insert(CACHE_CONTROL, FIVE_MINUTES);
    response
}

/// Who signs this ledger's tokens, and where the keys are: OpenID Connect Discovery 1.0, section 3, without what this
/// ledger does not do.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    operation_id = "token_issuer",
    tag = "keys",
    responses(
        (status = 200, description = "What is true of this issuer", body = Object),
        (status = 503, description = "It has no issuer yet", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn configuration(State(app): State<SharedApp>) -> Result<Response, Problem> {
    let issuer = app.service.token_issuer().ok_or(Code::NoIssuer)?;
    let body = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": format!("{}{JWKS_PATH}", issuer.as_str()),
        "id_token_signing_alg_values_supported": algorithms(&app.service.published_keys()),
        "subject_types_supported": ["public"],
        // It answers no authorization requests.
        "response_types_supported": [],
    });
    let mut response = answer::json(StatusCode::OK, &body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, FIVE_MINUTES);
    Ok(response)
}

fn algorithms(keys: &Value) -> Vec<&str> {
    let mut algorithms: Vec<&str> =
        keys["keys"].as_array().into_iter().flatten().filter_map(|key| key["alg"].as_str()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    algorithms
}
