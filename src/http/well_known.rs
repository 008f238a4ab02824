//! The keys that verify this ledger's tokens, and the document that leads to them: RFC 7517 and OpenID Connect
//! Discovery 1.0.

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::problem::{Code, Problem};
use super::{App, SharedApp, answer};

/// The path of the keys, under any base.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// The path of the document, under any base.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// A minute. Verifiers that keep keys longer find the next one among them: it is published long before it signs.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The public keys that verify this ledger's tokens: the keys that sign now, those that are next, and the earlier keys
/// whose tokens may still be active.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "published_keys",
    tag = "keys",
    responses((status = 200, description = "A JWK set, RFC 7517", body = Object)),
    security(()),
)]
pub async fn jwks(State(app): State<SharedApp>) -> Response {
    let set = app.service.key_set();
    let headers = [(CONTENT_TYPE, answer::JSON), (CACHE_CONTROL, CACHED)];
    (StatusCode::OK, headers, set.body.clone()).into_response()
}

/// The issuer of this ledger's tokens, and where its keys are, in the members of OpenID Connect Discovery 1.0 that
/// apply to it.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    operation_id = "token_issuer",
    tag = "keys",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 503, description = "A problem, RFC 9457, one of: issuer-not-configured", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn configuration(State(app): State<SharedApp>, uri: Uri) -> Result<Response, Problem> {
    configuration_at(&app, uri.path()).ok_or(Problem::new(Code::IssuerNotConfigured))
}

/// The document for that path, if this server signs tokens. It leads to keys under the same base, so that both are served
/// or neither is.
pub fn configuration_at(app: &App, path: &str) -> Option<Response> {
    let issuer = app.service.token_issuer()?;
    let base = path.strip_suffix(CONFIGURATION_PATH).unwrap_or_default();
    let body = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": format!("{}{base}{JWKS_PATH}", issuer.as_str()),
        // Some verifiers take this list once, when they start: the next key's algorithm is among them.
        "id_token_signing_alg_values_supported": app.service.key_set().algorithms,
        "subject_types_supported": ["public"],
        // It issues tokens to applications that ask for them, and does not redirect anybody.
        "response_types_supported": ["none"],
    });
    let mut response = answer::json(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    Some(response)
}
