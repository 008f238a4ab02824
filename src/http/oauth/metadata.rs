//! What clients read of this server before they call it: RFC 8414 and RFC 9728.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use serde_json::{Value, json};

use super::error::{OauthError, OauthErrorBody};
use super::members::{members_of, scopes};
use crate::domain::Issuer;
use crate::http::well_known::{CACHED, JWKS_PATH};
use crate::http::{App, SharedApp, answer};

/// The path of the authorization server's metadata. An issuer's own path comes after it: RFC 8414, section 3.
pub const SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
/// The path of the protected resource's metadata: RFC 9728, section 3.
pub const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// The issuer and the addresses of its calls, in the members of RFC 8414.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "oauth",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 503, description = "The address of this server is not configured", body = OauthErrorBody),
    ),
    security(()),
)]
pub async fn server(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    let issuer = issuer(&app, &request, SERVER_PATH)?;
    let mut document = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": format!("{issuer}{JWKS_PATH}"),
        // It redirects nobody.
        "response_types_supported": ["none"],
    });
    if let Value::Object(members) = &mut document {
        members.extend(members_of(&app, &issuer));
    }
    Ok(cached(&document))
}

/// This server as a protected resource: RFC 9728.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-protected-resource",
    tag = "oauth",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 503, description = "The address of this server is not configured", body = OauthErrorBody),
    ),
    security(()),
)]
pub async fn resource(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    let issuer = issuer(&app, &request, RESOURCE_PATH)?;
    Ok(cached(&json!({
        "resource": issuer.as_str(),
        "authorization_servers": [issuer.as_str()],
        "scopes_supported": scopes(),
        "bearer_methods_supported": ["header"],
    })))
}

/// The issuer, if the path is the one of its metadata: with its own path behind it, or without for readers that do not
/// know that rule.
fn issuer(app: &App, request: &Request, path: &str) -> Result<Issuer, OauthError> {
    let issuer = app.service.token_issuer().ok_or(OauthError::Unavailable)?;
    let behind = request.uri().path().strip_prefix(path).unwrap_or_default();
    let own = issuer.as_str().split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    if behind.is_empty() || Some(behind) == own { Ok(issuer) } else { Err(OauthError::NotFound) }
}

fn cached(document: &Value) -> Response {
    let mut response = answer::json(StatusCode::OK, document);
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    response
}
