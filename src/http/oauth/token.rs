//! `POST /oauth2/token`: access tokens for applications themselves.

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::client;
use super::error::{NO_STORE, OauthError, OauthErrorBody};
use crate::domain::GrantType;
use crate::http::caller::request_id;
use crate::http::{SharedApp, answer};
use crate::service::{Call, GrantedScope};

/// The parameters of the call. Unknown ones are ignored.
#[derive(ToSchema)]
#[schema(as = OauthToken)]
#[expect(dead_code, reason = "only its description is used; forms are read where clients are")]
pub struct TokenForm {
    /// `client_credentials`.
    grant_type: String,
    /// Scopes that the application has, separated by spaces; all of them if left out.
    scope: Option<String>,
}

/// An access token: RFC 6749, section 5.1.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthAccessToken)]
pub struct AccessTokenShown<'a> {
    /// The token. It is shown only once.
    access_token: &'a str,
    /// `Bearer`.
    token_type: &'static str,
    /// After how many seconds it expires.
    expires_in: u64,
    /// What it allows, separated by spaces.
    scope: &'a str,
}

/// Issues an access token to the application that calls: it may do with it what it may do by itself, in the scopes of the
/// token, until the token expires or the application does. Needs no scope.
#[utoipa::path(
    post,
    path = "/oauth2/token",
    tag = "oauth",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Issued, and durable", body = AccessTokenShown),
        (status = 400, description = "The request can't be used, or the client may not have such a token", body = OauthErrorBody),
        (status = 401, description = "The credentials of the client are missing or wrong", body = OauthErrorBody),
        (status = 405, description = "Not a POST", body = OauthErrorBody),
        (status = 413, description = "The body is too large", body = OauthErrorBody),
        (status = 429, description = "The client has too many access tokens that have not expired", body = OauthErrorBody),
        (status = 500, description = "The machine failed", body = OauthErrorBody),
        (status = 503, description = "No commands are taken for now", body = OauthErrorBody),
    ),
)]
pub async fn token(State(app): State<SharedApp>, request: Request) -> Result<Response, OauthError> {
    let asked = client::asked(&app, request, None).await?;
    let form = asked.form()?;
    let grant = form.get("grant_type").ok_or(OauthError::malformed("`grant_type` is missing"))?;
    if grant != GrantType::ClientCredentials.as_str() {
        return Err(OauthError::UnsupportedGrantType);
    }
    // Root's secret is for the first steps, and an access token does not lead to a further one: it would never end.
    if asked.client.is_by_access_token() || asked.client.identity.registration.is_none() {
        return Err(OauthError::UnauthorizedClient);
    }
    let scope = GrantedScope::of(&asked.client.identity.grants, form.get("scope")).ok_or(OauthError::InvalidScope)?;
    let request = request_id(&asked.parts.headers);
    let call = Call { identity: asked.client.identity.clone(), request, idempotency: None, consistency: None };
    let issued = app.service.grant_access(&call, &scope).await?;
    let body = AccessTokenShown {
        access_token: issued.secret.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_at.millis_since(issued.filed.recorded.recorded_at) / 1_000,
        scope: scope.as_str(),
    };
    let mut response = answer::json(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}
