//! The admin calls: applications read, revoke and extend the sessions of their tenant.

use std::collections::BTreeSet;

use axum::extract::Request;
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::authority::{Administrator, administrator};
use super::document::{ActiveOnly, IdentityId, ListPage, OrySessionId, TenantHeader, TenantPage, ToExpand};
use super::error::OryError;
use super::id;
use super::identity::Viewer;
use super::paging::{NumberedPage, TenantSessionPage};
use super::public::paged;
use super::query::Query;
use super::wire::{self, Expand, Manage, Managed, OryErrorBody, OrySession};
use crate::domain::{CredentialId, Forbidden, Kind, Kinds, RevokeRejection, Scope, Subject};
use crate::http::wire::JsonObject;
use crate::http::{App, SharedApp, body};
use crate::service::{
    Error, NewSubjectRevocation, Pace, Party, RevokeRefusal, Session, SessionCursor, SessionSweep, Target, Why,
};

/// How many times a page looks for sessions until it is full: where very few match, a page may be short.
const MAX_LOOKS: usize = 10;
/// The most ids in the body of a call about many sessions.
const MAX_MANAGED: usize = 500;
/// In the place of an id: all sessions of the tenant.
const EVERY: &str = "*";

/// The sessions of a tenant, the newest first. Needs the scope `introspect`.
#[utoipa::path(
    get,
    path = "/admin/sessions",
    operation_id = "listSessions",
    tag = "ory",
    params(TenantPage, ActiveOnly, ToExpand, TenantHeader),
    responses(
        (status = 200, description = "A page of sessions", body = Vec<OrySession>,
            headers(("Link" = String, description = "The first page, and the next one if there is one"))),
        (status = 400, description = "A parameter can't be read", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn list(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Introspect)?;
    let query = Query::of(&parts.uri)?;
    let (active, asked) = (query.active()?, TenantSessionPage::of(&query, &admin.tenant)?);
    let expand = query.expand()?;
    let mut pace = app.service.pace(Party::of(&admin.call.identity));
    let (sessions, next) = page(&app, &admin, active, asked, &mut pace).await?;
    let mut response = wire::sessions(sessions, expand, Viewer::Application, pace)?;
    response.headers_mut().insert(LINK, asked.links(&parts.uri, &query, &admin.tenant, next));
    Ok(response)
}

async fn page(
    app: &App,
    admin: &Administrator,
    active: Option<bool>,
    TenantSessionPage { start, size }: TenantSessionPage,
    pace: &mut Pace,
) -> Result<(Vec<Session>, Option<SessionCursor>), Error<Forbidden>> {
    let (mut sessions, mut next) = (Vec::new(), start);
    for _ in 0..MAX_LOOKS {
        let (identity, limit) = (&admin.call.identity, size - sessions.len());
        let (some, more) = app.service.tenant_sessions(identity, &admin.tenant, active, next, limit, pace).await?;
        // A session may have become inactive while it was read.
        sessions.extend(some.into_iter().filter(|session| active.is_none_or(|active| active == session.active)));
        next = more;
        if next.is_none() || sessions.len() >= size {
            break;
        }
    }
    Ok((sessions, next))
}

/// A session, active or not. Needs the scope `introspect`.
#[utoipa::path(
    get,
    path = "/admin/sessions/{id}",
    operation_id = "getSession",
    tag = "ory",
    params(OrySessionId, ToExpand, TenantHeader),
    responses(
        (status = 200, description = "The session", body = OrySession),
        (status = 400, description = "The id is not a UUID, or a parameter can't be read", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = 404, description = "The tenant has no such session", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn get(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Introspect)?;
    let id = session_id(&parts.uri, 0)?;
    let expand = Query::of(&parts.uri)?.expand()?;
    let found = app.service.find_session(&admin.call.identity, &admin.tenant, id).await?;
    let session = found.ok_or(OryError::NotFound)?;
    Ok(wire::json(StatusCode::OK, &OrySession::alone(&session, expand, Viewer::Application)))
}

/// Revokes a session. Needs the scope `revoke`.
#[utoipa::path(
    delete,
    path = "/admin/sessions/{id}",
    operation_id = "disableSession",
    tag = "ory",
    params(OrySessionId, TenantHeader),
    responses(
        (status = 204, description = "It is revoked, by this call or before"),
        (status = 400, description = "The id is not a UUID", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = 404, description = "The tenant has no such session", body = OryErrorBody),
        (status = 429, description = "Too many revocations of unknown sessions are in force", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn disable(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Revoke)?;
    let id = session_id(&parts.uri, 0)?;
    // A session of another of the application's tenants is out of this call's reach, and this call does not disclose a
    // session of any other tenant.
    let elsewhere = app.service.tenant_of_session(id).filter(|tenant| *tenant != admin.tenant);
    if elsewhere.is_some_and(|tenant| admin.call.identity.may(Scope::Revoke, &tenant)) {
        return Err(OryError::NotFound);
    }
    if app.service.is_known_and_unlisted(&admin.tenant, id) {
        return Err(OryError::NotFound);
    }
    match app.service.revoke(&admin.call, Target::Id(Kind::Session, id), Why::default()).await {
        Ok(_) => Ok(wire::no_content()),
        // It has expired, and the ledger still keeps it: it is inactive, as requested.
        Err(Error::Refused(RevokeRefusal::Rejected(RevokeRejection::UnknownCredential)))
            if app.service.has_session(&admin.tenant, id) =>
        {
            Ok(wire::no_content())
        }
        Err(error) => Err(error.into()),
    }
}

/// Extends a session to its full life from now on. A session that is inactive stays as it is. Needs the scope `issue`.
#[utoipa::path(
    patch,
    path = "/admin/sessions/{id}/extend",
    operation_id = "extendSession",
    tag = "ory",
    params(OrySessionId, TenantHeader),
    responses(
        (status = 200, description = "The session as it is now", body = OrySession),
        (status = 400, description = "The id is not a UUID", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = 404, description = "The tenant has no such session", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn extend(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Issue)?;
    let id = session_id(&parts.uri, 1)?;
    if !app.service.has_session(&admin.tenant, id) {
        return Err(OryError::NotFound);
    }
    app.service.extend_session(&admin.call, id, None).await?;
    let session = app.service.sessions(&[id]).await?.pop().ok_or(OryError::NotFound)?;
    // As in Kratos: the identity is that which its bearer sees.
    Ok(wire::json(StatusCode::OK, &OrySession::alone(&session, Expand::IDENTITY, Viewer::Bearer)))
}

/// The sessions of an identity, the newest first; an unknown identity has none. Needs the scope `introspect`.
#[utoipa::path(
    get,
    path = "/admin/identities/{id}/sessions",
    operation_id = "listIdentitySessions",
    tag = "ory",
    params(IdentityId, ListPage, ActiveOnly, TenantHeader),
    responses(
        (status = 200, description = "A page of sessions", body = Vec<OrySession>,
            headers(
                ("Link" = String, description = "The first, next, previous and last pages"),
                ("X-Total-Count" = u64, description = "The number of all sessions"),
            )),
        (status = 400, description = "A parameter can't be read", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn list_of_identity(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Introspect)?;
    let query = Query::of(&parts.uri)?;
    let (page, active) = (NumberedPage::of(&query), query.active()?);
    let whose = subject(&app, &admin, &parts)?;
    let mut pace = app.service.pace(Party::of(&admin.call.identity));
    let found = match whose {
        Some(subject) => {
            let identity = &admin.call.identity;
            app.service.subject_sessions(identity, &admin.tenant, &subject, active, page.range(), &mut pace).await
        }
        None => Ok((Vec::new(), 0)),
    };
    let (ids, total) = found?;
    let sessions = app.service.sessions(&ids).await?;
    let response = wire::sessions(sessions, Expand::ALL, Viewer::Application, pace)?;
    Ok(paged(response, page.links(&parts.uri, &query, total), total))
}

/// Revokes all sessions of an identity. They are in no list afterwards. Needs the scope `revoke`.
#[utoipa::path(
    delete,
    path = "/admin/identities/{id}/sessions",
    operation_id = "deleteIdentitySessions",
    tag = "ory",
    params(IdentityId, TenantHeader),
    responses(
        (status = 204, description = "All of them are revoked"),
        (status = 400, description = "The path can't be read", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = 404, description = "The identity has no sessions, or none any more", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn revoke_all_of_identity(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, _) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Revoke)?;
    let subject = subject(&app, &admin, &parts)?.ok_or(OryError::NotFound)?;
    let mut pace = app.service.pace(Party::of(&admin.call.identity));
    if !app.service.has_listed_sessions(&admin.tenant, &subject, &mut pace).await? {
        return Err(OryError::NotFound);
    }
    let new = NewSubjectRevocation {
        tenant: admin.tenant,
        subject,
        kinds: Kinds::from_iter([Kind::Session]),
        issued_before: None,
        keep: None,
        hold: None,
        why: Why::default(),
    };
    app.service.revoke_subject(&admin.call, new).await?;
    Ok(wire::no_content())
}

/// Revokes many sessions, by their ids, by their identities, or all of the tenant in turns. A session that is deleted
/// with its identity's others is in no list afterwards. Needs the scope `revoke`.
#[utoipa::path(
    post,
    path = "/admin/sessions",
    operation_id = "manageSessions",
    tag = "ory",
    params(TenantHeader),
    request_body = Manage,
    responses(
        (status = 200, description = "They are revoked", body = Managed),
        (status = 400, description = "The body can't be read, or names too many", body = OryErrorBody),
        (status = 401, description = "An application's secret is missing or inactive", body = OryErrorBody),
        (status = 403, description = "The application's grants do not allow this", body = OryErrorBody),
        (status = 429, description = "Too many revocations of unknown sessions are in force", body = OryErrorBody),
        (status = "default", description = "Any other error", body = OryErrorBody),
    ),
)]
pub async fn manage(app: SharedApp, request: Request) -> Result<Response, OryError> {
    let (parts, body) = request.into_parts();
    let admin = administrator(&app, &parts.headers, Scope::Revoke)?;
    let body = body::read(&parts.headers, body, app.options.body_bytes).await?;
    let asked: Result<JsonObject<Manage>, _> = serde_json::from_slice(&body);
    let JsonObject(Manage { action, identities, sessions }) =
        asked.map_err(|_| OryError::Malformed("Invalid JSON body."))?;
    let is_deletion = match action.as_deref() {
        Some("disable") => false,
        Some("delete") => true,
        _ => return Err(OryError::Malformed("The 'action' field must be one of 'disable' or 'delete'.")),
    };
    let mut pace = app.service.pace(Party::of(&admin.call.identity));
    let (identities, sessions) = (identities.unwrap_or_default(), sessions.unwrap_or_default());
    let managed = match (&*identities, &*sessions) {
        ([all], []) if all == EVERY => {
            let sweep = if is_deletion { SessionSweep::Listed } else { SessionSweep::Active };
            let next = app.service.revoke_next_of_tenant(&admin.call, &admin.tenant, sweep, &mut pace).await;
            let (processed, more) = next?;
            Managed { processed, more }
        }
        ([_, ..], []) => {
            let subjects = many("identities", &identities, |text| identity_named(&app, &admin, text))?;
            let (service, call, tenant) = (&app.service, &admin.call, &admin.tenant);
            let processed = match is_deletion {
                true => service.revoke_all_sessions_of(call, tenant, subjects, &mut pace).await,
                false => service.revoke_sessions_of(call, tenant, &subjects, &mut pace).await,
            };
            Managed { processed: processed?, more: false }
        }
        ([], [_, ..]) => {
            let ids = many("sessions", &sessions, |text| id::session(text.as_bytes()))?;
            let listed = app.service.count_listed(&admin.tenant, &ids);
            let revoked = app.service.revoke_sessions(&admin.call, &admin.tenant, ids).await?;
            Managed { processed: if is_deletion { listed } else { revoked }, more: false }
        }
        ([], []) | ([_, ..], [_, ..]) => {
            let reason = "Exactly one of 'identities' or 'sessions' must be a non-empty array.";
            return Err(OryError::Malformed(reason));
        }
    };
    Ok(wire::json(StatusCode::OK, &managed))
}

/// The values of a list in a body, each different from the others.
fn many<T: Ord>(list: &str, texts: &[String], read: impl Fn(&str) -> Result<T, OryError>) -> Result<Vec<T>, OryError> {
    let refuse = |reason: String| OryError::MalformedValue(format!("Could not parse '{list}' field: {reason}"));
    if texts.len() > MAX_MANAGED {
        return Err(refuse(format!("at most {MAX_MANAGED} IDs may be provided per call")));
    }
    let one = |text: &String| match text.as_str() {
        EVERY => Err(refuse("the wildcard '*' is not accepted here".to_owned())),
        text => read(text).map_err(|refusal| match refusal {
            OryError::MalformedId(problem) => {
                refuse(format!("could not parse {} as UUID: {problem}", id::quoted(text.as_bytes())))
            }
            other => other,
        }),
    };
    let values: BTreeSet<T> = texts.iter().map(one).collect::<Result<_, _>>()?;
    Ok(values.into_iter().collect())
}

/// The subject that a UUID names; or a name, if a subject has it.
fn identity_named(app: &App, admin: &Administrator, text: &str) -> Result<Subject, OryError> {
    let is_uuid = id::session(text.as_bytes()).map(drop);
    let subject = app.service.resolve_subject(&admin.tenant, text);
    let known = subject.filter(|subject| is_uuid.is_ok() || app.service.has_sessions(&admin.tenant, subject));
    match (known, is_uuid) {
        (Some(subject), _) => Ok(subject),
        (None, Err(refusal)) => Err(refusal),
        (None, Ok(())) => Err(OryError::NotFound),
    }
}

fn session_id(uri: &Uri, from_end: usize) -> Result<CredentialId, OryError> {
    id::session(&id::segment(uri, from_end)?)
}

/// The subject that the path names, by its own name or by the UUID that stands for it; nothing if no subject could have
/// that name.
fn subject(app: &App, admin: &Administrator, parts: &Parts) -> Result<Option<Subject>, OryError> {
    let segment = id::identity(&parts.uri, 1)?;
    Ok(std::str::from_utf8(&segment).ok().and_then(|name| app.service.resolve_subject(&admin.tenant, name)))
}
