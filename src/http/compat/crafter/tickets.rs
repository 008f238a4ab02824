//! Tickets: creating, using and invalidating them.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::asked::{CrafterRequest, Takes, malformed};
use super::error::{CrafterError, failed, not_invalidated, not_issued};
use super::refusals::{BodyRefusals, CrafterRefusals};
use super::wire::{CrafterTicket, CrafterTicketForm, ErrorDetails, InvalidateForm, TenantForm, json};
use crate::domain::{Forbidden, GivenSubject, Grant, Grants, Kind, RevokeRejection, Scope, Scopes, Secret, Tenant};
use crate::http::SharedApp;
use crate::http::wire::TextForm as _;
use crate::service::{Error, NewTicket, RevokeRefusal, Target, Why};

/// `POST /authentication/ticket/create`: a ticket for the profile that a parameter names.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/authentication/ticket/create",
    tag = "crafter",
    request_body(content = CrafterTicketForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The ticket", body = CrafterTicket), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn create(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Form).await?;
    let profile = asked.parameters.get("profileId").ok_or(CrafterError::MissingParameter("profileId"))?;
    issue(&app, &asked, profile).await
}

/// `POST /authentication/ticket/{profileId}`: a ticket for the profile that the path names.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/authentication/ticket/{id}",
    tag = "crafter",
    params(("id" = String, Path, description = "The profile: any subject")),
    request_body(content = TenantForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The ticket", body = CrafterTicket), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn create_for(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Form).await?;
    let profile = asked.last_segment()?;
    asked.agrees("profileId", &profile)?;
    issue(&app, &asked, &profile).await
}

/// `GET /authentication/ticket/{id}`: the ticket, which counts as a use of it.
#[utoipa::path(
    get,
    path = "/crafter-profile/api/1/authentication/ticket/{id}",
    tag = "crafter",
    params(("id" = String, Path, description = "The ticket")),
    responses((status = 200, description = "The ticket", body = CrafterTicket),
        (status = 404, description = "There is no active ticket with this id", body = ErrorDetails), CrafterRefusals),
    security(("crafter" = [])),
)]
pub async fn read(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Nothing).await?;
    let id = asked.last_segment()?;
    in_own_tenant(&app, &asked, &id, Scope::Introspect)?;
    let used = app.service.use_ticket(&asked.call.identity, id.as_bytes());
    let used = used.map_err(|Forbidden| CrafterError::ActionDenied(own_tenant(&asked.call.identity.grants)))?;
    let Some(used) = used else { return Err(CrafterError::NoSuchTicket(id)) };
    let ticket = CrafterTicket {
        tenant: used.issue.tenant.as_str(),
        profile_id: used.issue.subject.as_str(),
        last_request_time: used.last_used_at.as_millis(),
        id: &id,
    };
    Ok(json(StatusCode::OK, &ticket))
}

/// `POST /authentication/ticket/{id}/invalidate`: revokes the ticket; an unknown ticket counts as revoked.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/authentication/ticket/{id}/invalidate",
    tag = "crafter",
    params(("id" = String, Path, description = "The ticket")),
    request_body(content = InvalidateForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Revoked, or unknown"),
        (status = 429, description = "The application has revoked too many unknown tickets", body = ErrorDetails), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn invalidate(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Form).await?;
    let id = asked.last_segment_but_one()?;
    asked.agrees("ticketId", &id)?;
    in_own_tenant(&app, &asked, &id, Scope::Revoke)?;
    let target = Target::Credential(Kind::Ticket, Secret::new(&id));
    match app.service.revoke(&asked.call, target, Why::default()).await {
        // A text with the form of a JWT may be that of an expired one, or of none at all: nothing is active that it names.
        Ok(_)
        | Err(Error::Refused(
            RevokeRefusal::Rejected(RevokeRejection::UnknownCredential | RevokeRejection::CredentialExpired)
            | RevokeRefusal::Token(_),
        )) => Ok(StatusCode::OK.into_response()),
        Err(error) => Err(failed(error, |refusal| {
            not_invalidated(&refusal, &asked.access_token_id, &own_tenant(&asked.call.identity.grants))
        })),
    }
}

/// `POST /authentication/token/{id}/invalidate`: the same under another name.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/authentication/token/{id}/invalidate",
    tag = "crafter",
    params(("id" = String, Path, description = "The ticket")),
    request_body(content = InvalidateForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Revoked, or unknown"),
        (status = 429, description = "The application has revoked too many unknown tickets", body = ErrorDetails), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn invalidate_as_token(app: State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    invalidate(app, request).await
}

/// Refuses an application's request about an active ticket of a tenant where it may not: a 200 would say that it is
/// done, and a caller that presents a ticket learns nothing from hearing that it exists.
fn in_own_tenant(app: &SharedApp, asked: &CrafterRequest, ticket: &str, scope: Scope) -> Result<(), CrafterError> {
    match app.service.tenant_of(ticket.as_bytes()) {
        Some(tenant) if !asked.call.identity.may(scope, &tenant) => Err(CrafterError::ActionDenied(tenant)),
        _ => Ok(()),
    }
}

async fn issue(app: &SharedApp, asked: &CrafterRequest, profile: &str) -> Result<Response, CrafterError> {
    let given = GivenSubject::new(profile).map_err(|problem| malformed("Request parameter 'profileId'", problem))?;
    let tenant = match asked.parameters.get("tenantName") {
        Some(name) => Tenant::parse(name).map_err(|problem| malformed("Request parameter 'tenantName'", problem))?,
        None => own_tenant(&asked.call.identity.grants),
    };
    let subject = app.service.named(&tenant, &given);
    let new = NewTicket { tenant: tenant.clone(), subject: subject.clone(), ttl: None, parent: None };
    let issued = app.service.issue_ticket(&asked.call, new).await;
    let issued = issued
        .map_err(|error| failed(error, |rejection| not_issued(rejection, &asked.access_token_id, &tenant, profile)))?;
    let ticket = CrafterTicket {
        tenant: tenant.as_str(),
        profile_id: subject.as_str(),
        last_request_time: issued.filed.recorded.recorded_at.as_millis(),
        id: issued.secret.expose(),
    };
    Ok(json(StatusCode::OK, &ticket))
}

/// The application's tenant if it has exactly one, else `default`. A grant of nothing but `admin` everywhere, which
/// makes a master, is not a tenant.
fn own_tenant(grants: &Grants) -> Tenant {
    let master = Grant { tenant: None, scopes: Scopes::from_iter([Scope::Admin]) };
    let mut tenants = grants.as_slice().iter().filter(|grant| **grant != master).map(|grant| &grant.tenant);
    let first = tenants.next().cloned().flatten();
    first.filter(|first| tenants.all(|tenant| tenant.as_ref() == Some(first))).unwrap_or_default()
}
