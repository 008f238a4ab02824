//! OAuth 2.0 for standard clients: introspection (RFC 7662, RFC 9701), revocation (RFC 7009), access tokens for
//! applications (RFC 6749, section 4.4) and metadata (RFC 8414, RFC 9728).
//!
//! An application is a client: its id and its secret are the client's. A request is checked in this order: route and verb,
//! client, whether it has the scope anywhere, body, token. Every refusal has the form of RFC 6749, section 5.2.

mod client;
mod config;
mod error;
mod form;
mod global;
mod introspect;
mod members;
mod metadata;
pub(super) mod plain;
mod revoke;
mod token;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{any, get, post};

use super::SharedApp;
use super::well_known::across_origins;
pub(super) use error::OauthError;

pub use config::{EmailSubjects, OauthOptions, OauthSettings};
pub use members::members_of;

/// The whole surface. Only metadata have a fixed place.
pub fn routes(options: &OauthOptions) -> Router<SharedApp> {
    let prefix = &options.prefix;
    let calls = Router::new()
        .route(&format!("{prefix}/oauth2/introspect"), post(introspect::introspect))
        .route(&format!("{prefix}/admin/oauth2/introspect"), post(introspect::introspect_as_hydra))
        .route(&format!("{prefix}/oauth2/revoke"), post(revoke::revoke))
        .route(&format!("{prefix}/oauth2/token"), post(token::token))
        .route(&format!("{prefix}/oauth2/global-token-revocation"), post(global::revoke_all))
        .method_not_allowed_fallback(not_a_post);
    let mut documents = Router::new();
    for (path, handler) in
        [(metadata::SERVER_PATH, get(metadata::server)), (metadata::RESOURCE_PATH, get(metadata::resource))]
    {
        documents = documents.route(path, handler.clone()).route(&format!("{path}/{{*own}}"), handler);
    }
    let documents = documents.method_not_allowed_fallback(not_a_get).layer(from_fn(across_origins));
    calls.merge(documents)
}

/// The calls of a node that is not ready: its clients read no problem.
pub fn waiting(options: &OauthOptions) -> Router<SharedApp> {
    let prefix = &options.prefix;
    let not_ready = || any(async || OauthError::Unavailable);
    Router::new()
        .route(&format!("{prefix}/oauth2/{{*call}}"), not_ready())
        .route(&format!("{prefix}/admin/oauth2/introspect"), not_ready())
}

async fn not_a_post() -> OauthError {
    OauthError::WrongVerb("POST")
}

async fn not_a_get() -> OauthError {
    OauthError::WrongVerb("GET, HEAD")
}

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(introspect::introspect, introspect::introspect_as_hydra, revoke::revoke, token::token, global::revoke_all, metadata::server, metadata::resource),
    components(schemas(error::OauthErrorBody)),
    tags((name = "oauth", description = "OAuth 2.0 for standard clients: introspection, revocation and metadata")),
)]
pub struct OauthApi;
