//! The keys that verify this ledger's tokens, under this contract's base.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::error::SlashidError;
use super::wire::Errors;
use crate::http::{SharedApp, well_known};

/// The public keys that verify tokens of this ledger, RFC 7517.
#[utoipa::path(
    get,
    path = "/slashid/.well-known/jwks.json",
    tag = "slashid",
    responses(
        (status = 200, description = "The keys", body = Object),
        (status = 405, description = "Not a GET", body = Errors),
    ),
    security(()),
)]
pub async fn jwks(app: State<SharedApp>) -> Response {
    well_known::jwks(app).await
}

/// The issuer and the address of its keys, in the members of OpenID Connect Discovery 1.0 that concern verifiers.
#[utoipa::path(
    get,
    path = "/slashid/.well-known/openid-configuration",
    tag = "slashid",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 405, description = "Not a GET", body = Errors),
        (status = 503, description = "This server does not sign tokens yet", body = Errors),
    ),
    security(()),
)]
pub async fn configuration(State(app): State<SharedApp>, uri: Uri) -> Result<Response, SlashidError> {
    well_known::configuration_at(&app, uri.path()).ok_or(SlashidError::IssuerNotConfigured)
}
