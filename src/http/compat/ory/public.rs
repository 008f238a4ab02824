//! The public calls: the holder of a session token reads and revokes the sessions of its own subject.

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::document::{ListPage, OrySessionId, TokenizeAs};
use super::error::OryError;
use super::identity::{self, Viewer};
use super::paging::NumberedPage;
use super::query::Query;
use super::wire::{self, Expand, LogOut, OryErrorBody, OrySession, OrySessionsRevoked};
use super::{credentials, id, tokenize};
use crate::domain::Secret;
use crate::http::wire::JsonObject;
use crate::http::{App, SharedApp, body, caller};
use crate::service::{Holder, OwnRevocation, Party, PresentedSession};

const X_KRATOS_AUTHENTICATED_IDENTITY_ID: HeaderName = HeaderName::from_static("x-kratos-authenticated-identity-id");
const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// The word in the place of an id that is not an id.
const WHOAMI: &[u8] = b"whoami";

/// The session whose token is presented, and its identity. POST, PUT, PATCH, DELETE and OPTIONS do the same.
#[utoipa::path(
    get,
    path = "/sessions/whoami",
    operation_id = "toSession",
    tag = "ory",
    params(TokenizeAs),
    responses(
        (status = 200, description = "The session", body = OrySession,
            headers(
                ("X-Kratos-Authenticated-Identity-Id" = String, description = "The identity's id"),
                ("Set-Cookie" = String, description = "A cookie in place of the presented one, if the session was extended"),
            )),
        (status = 400, description = "There is no such template, or the server signs no tokens", body = OryErrorBody),
        (status = 401, description = "The session token is missing or inactive", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
    security(("ory_session_token" = []), ("ory_session_cookie" = []), ("ory_session_bearer" = [])),
)]
pub async fn whoami(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    who(&app, &parts).await
}

async fn who(app: &App, parts: &Parts) -> Result<Response, OryError> {
    let presented = credentials::presented(app, &parts.headers).ok_or(OryError::NoCredentials)?;
    let session = app.service.session_of(&presented.holder).await?;
    // The session may have been revoked while its record was read.
    let session = session.filter(|session| session.active).ok_or(OryError::NoCredentials)?;
    let query = Query::of(&parts.uri).unwrap_or_default();
    let token = match query.get("tokenize_as") {
        Some(template) => Some(tokenize::token(app, parts, template, &presented.holder, session.expires_at).await?),
        None => None,
    };
    let shown = OrySession::of(&session, Expand::ALL, Viewer::Bearer);
    let mut response = wire::json(StatusCode::OK, &shown.tokenized(token.as_ref().map(Secret::expose)));
    let cookie = presented.cookie.and_then(|cookie| cookie.renewed(app, &session));
    cookie.into_iter().for_each(|cookie| drop(response.headers_mut().insert(SET_COOKIE, cookie)));
    let identity = HeaderValue::try_from(identity::id(&session).to_string());
    identity.into_iter().for_each(|id| drop(response.headers_mut().insert(X_KRATOS_AUTHENTICATED_IDENTITY_ID, id)));
    Ok(response)
}

/// The other active sessions of the holder's subject, the newest first.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "listMySessions",
    tag = "ory",
    params(ListPage),
    responses(
        (status = 200, description = "A page of sessions", body = Vec<OrySession>,
            headers(
                ("Link" = String, description = "The first, next, previous and last pages"),
                ("X-Total-Count" = u64, description = "The number of all sessions"),
            )),
        (status = 400, description = "A parameter can't be read", body = OryErrorBody),
        (status = 401, description = "The session token is missing or inactive", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
    security(("ory_session_token" = []), ("ory_session_cookie" = []), ("ory_session_bearer" = [])),
)]
pub async fn list(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let current = holder(&app, &parts)?;
    let query = Query::of(&parts.uri)?;
    let page = NumberedPage::of(&query);
    let mut pace = app.service.pace(Party::of_holder(&current));
    let (others, total) = app.service.other_sessions(&current, page.range(), &mut pace).await?;
    let mut sessions = app.service.sessions(&others).await?;
    sessions.retain(|session| session.active);
    let response = wire::sessions(sessions, Expand::ALL, Viewer::Bearer, pace)?;
    Ok(paged(response, page.links(&parts.uri, &query, total), total))
}

/// The page of a list, with links to the other pages and the number of sessions in all.
pub fn paged(mut response: Response, links: HeaderValue, total: usize) -> Response {
    response.headers_mut().insert(axum::http::header::LINK, links);
    response.headers_mut().insert(X_TOTAL_COUNT, total.into());
    response
}

/// Revokes all other sessions of the holder's subject. The current one stays active.
#[utoipa::path(
    delete,
    path = "/sessions",
    operation_id = "disableMyOtherSessions",
    tag = "ory",
    responses(
        (status = 200, description = "They are revoked", body = OrySessionsRevoked),
        (status = 401, description = "The session token is missing or inactive", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
    security(("ory_session_token" = []), ("ory_session_cookie" = []), ("ory_session_bearer" = [])),
)]
pub async fn disable_others(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let current = holder(&app, &parts)?;
    let count = revoke_own(&app, &parts, &current, OwnRevocation::Others).await?;
    Ok(wire::json(StatusCode::OK, &OrySessionsRevoked { count }))
}

/// Revokes another session of the holder's subject. A session that belongs to another subject, is unknown, or is
/// already inactive gets the same answer, and nothing happens to it.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "disableMySession",
    tag = "ory",
    params(OrySessionId),
    responses(
        (status = 204, description = "It is not an active session of the holder's subject any more"),
        (status = 400, description = "The id is not a UUID, or is the current session's", body = OryErrorBody),
        (status = 401, description = "The session token is missing or inactive", body = OryErrorBody),
        (status = 429, description = "Too many revocations of unknown sessions are in force", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
    security(("ory_session_token" = []), ("ory_session_cookie" = []), ("ory_session_bearer" = [])),
)]
pub async fn disable(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let segment = id::segment(&parts.uri, 0);
    if segment.as_deref() == Ok(WHOAMI) {
        return who(&app, &parts).await;
    }
    let current = holder(&app, &parts)?;
    let other = id::session(&segment?)?;
    if other == current.id {
        return Err(OryError::CurrentSession);
    }
    revoke_own(&app, &parts, &current, OwnRevocation::Other(other)).await?;
    Ok(wire::no_content())
}

/// Revokes the session with that token.
#[utoipa::path(
    delete,
    path = "/self-service/logout/api",
    operation_id = "performNativeLogout",
    tag = "ory",
    request_body = LogOut,
    responses(
        (status = 204, description = "It is revoked, by this call or before"),
        (status = 400, description = "The body can't be read, or is not said to be JSON", body = OryErrorBody),
        (status = 403, description = "The token is unknown", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
    security(()),
)]
pub async fn log_out(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(OryError::Malformed("The Content-Type of the body must be application/json."));
    }
    let limit = app.options.body_bytes.min(body::UNAUTHENTICATED_BYTES);
    let body = body::read(&parts.headers, body, limit).await?;
    let asked: Result<JsonObject<LogOut>, _> = serde_json::from_slice(&body);
    let JsonObject(LogOut { session_token }) =
        asked.map_err(|_| OryError::Malformed("The body must be a JSON object whose session_token is a string."))?;
    let token = session_token.ok_or(OryError::UnknownToken)?;
    let leaving = match credentials::standing(&app, token.as_bytes()) {
        (PresentedSession::Active(holder), ..) => holder,
        // Deleted, in Kratos's words.
        (PresentedSession::Inactive, token, _) if app.service.presents_revoked_together(token) => {
            return Err(OryError::UnknownToken);
        }
        (PresentedSession::Inactive, ..) => return Ok(wire::no_content()),
        (PresentedSession::Unknown, ..) => return Err(OryError::UnknownToken),
    };
    match revoke_own(&app, &parts, &leaving, OwnRevocation::Current).await {
        // Or another request was faster.
        Ok(_) | Err(OryError::NoCookie) => Ok(wire::no_content()),
        Err(error) => Err(error),
    }
}

/// The types of a body may be several, as in Kratos, and one of them must be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let types = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name =
        |one: &str| one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"));
    types.split(',').any(name)
}

fn holder(app: &App, parts: &Parts) -> Result<Holder, OryError> {
    credentials::holder(app, &parts.headers).ok_or(OryError::NoCookie)
}

async fn revoke_own(app: &App, parts: &Parts, holder: &Holder, revocation: OwnRevocation) -> Result<usize, OryError> {
    Ok(app.service.revoke_own(holder, caller::request_id(&parts.headers), revocation).await?)
}
