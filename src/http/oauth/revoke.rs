//! `POST /oauth2/revoke`: RFC 7009.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use axum::response::{IntoResponse as _, Response};
use utoipa::ToSchema;

use super::client;
use super::error::{NO_STORE, OauthError, OauthErrorBody};
use super::introspect::token;
use crate::domain::{RevokeRejection, Scope, Secret};
use crate::http::SharedApp;
use crate::http::caller::{consistency, request_id};
use crate::jose::TokenError;
use crate::service::{Call, Error, RevokeRefusal};

/// The parameters of the call. Unknown ones are ignored.
#[derive(ToSchema)]
#[schema(as = OauthRevoke)]
#[expect(dead_code, reason = "only its description is used; forms are read where clients are")]
pub struct RevokeForm {
    /// The token, session token or ticket.
    token: String,
    /// What the client takes it for. It changes nothing.
    token_type_hint: Option<String>,
}

/// Revokes a credential, a session with its tokens. A client needs the scope `revoke` in its tenant, or must have issued
/// it. A token that is not active, not known or not one at all is a success, too: there is nothing to revoke.
#[utoipa::path(
    post,
    path = "/oauth2/revoke",
    tag = "oauth",
    params(
        (
            "Ledger-Consistency" = Option<String>, Header, pattern = "^(local_region|all_regions)$",
            description = "Which nodes must have applied the revocation before it is answered",
        ),
        (
            "Ledger-Consistency-Timeout" = Option<u64>, Header, minimum = 1, maximum = 120,
            description = "How many seconds to wait for them; 30 if left out",
        ),
    ),
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is not active"),
        (status = 400, description = "The request can't be used, or the client may not revoke this token", body = OauthErrorBody),
        (status = 401, description = "The credentials of the client are missing or wrong", body = OauthErrorBody),
        (status = 403, description = "The access token of the client does not allow it", body = OauthErrorBody),
        (status = 405, description = "Not a POST", body = OauthErrorBody),
        (status = 408, description = "Revoked and durable; the wait timed out, and the revocation is still sent to the other nodes", body = OauthErrorBody),
        (status = 413, description = "The body or the token is too large", body = OauthErrorBody),
        (status = 429, description = "The client has revoked too many tokens that this ledger does not know", body = OauthErrorBody),
        (status = 500, description = "The machine failed", body = OauthErrorBody),
        (status = 503, description = "The keys of its issuer are out of reach, or no commands are taken", body = OauthErrorBody),
    ),
)]
pub async fn revoke(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    let asked = client::asked(&app, request, None).await?;
    if asked.client.is_by_access_token() {
        asked.client.needs(Scope::Revoke)?;
    }
    let headers = &asked.parts.headers;
    let consistency =
        consistency(headers).map_err(|problem| OauthError::Malformed(problem.detail().to_owned().into()))?;
    let secret = Secret::new(token(&asked.form()?)?);
    let request = request_id(headers);
    let call = Call { identity: asked.client.identity.clone(), request, idempotency: None, consistency };
    match app.service.revoke_presented(&call, secret).await {
        Ok(_) => Ok(done()),
        Err(Error::Refused(refusal)) if has_nothing_to_revoke(&refusal) => Ok(done()),
        Err(error) => Err(error.into()),
    }
}

/// RFC 7009, section 2.2: a client could do nothing with an error about an invalid token.
fn has_nothing_to_revoke(refusal: &RevokeRefusal) -> bool {
    match refusal {
        RevokeRefusal::Rejected(rejection) => {
            matches!(rejection, RevokeRejection::UnknownCredential | RevokeRejection::CredentialExpired)
        }
        RevokeRefusal::Token(error) => !matches!(error, TokenError::KeysUnreachable),
    }
}

fn done() -> Response {
    (StatusCode::OK, [(CACHE_CONTROL, NO_STORE), (CONTENT_LENGTH, 0.into())]).into_response()
}
