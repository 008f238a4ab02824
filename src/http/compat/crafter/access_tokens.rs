//! Access tokens: this ledger's applications. The id of an access token is the application's secret.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::asked::{CrafterRequest, Takes, malformed};
use super::error::{CrafterError, GlobalAction, failed, not_created, not_deleted};
use super::published::is_published;
use super::refusals::{BodyRefusals, CrafterRefusals};
use super::wire::{self, AccessToken, AccessTokenAttributes, ErrorDetails, TenantPermission, json};
use crate::clock::fresh_uuid;
use crate::domain::{
    Caller, Forbidden, Grant, Grants, Malformed, OauthClient, Registration, RemoveRejection, Scope, Scopes, Secret,
    Tenant, Timestamp,
};
use crate::http::{App, SharedApp, answer};
use crate::json;
use crate::service::{Authentication, CallerIdentity, Error, NewApplication, Party, Service};

/// The action that stands for the ledger's scopes on tickets.
const MANAGE_TICKETS: &str = "MANAGE_TICKETS";
/// Every action, or every tenant.
const ANY: &str = "*";

/// `POST /access_token/create`: registers an application. For masters.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/access_token/create",
    tag = "crafter",
    request_body = AccessToken,
    responses((status = 200, description = "The access token, its id shown only once", body = AccessToken),
        (status = 409, description = "An access token with this id exists", body = ErrorDetails),
        (status = 415, description = "The body is not of type application/json", body = ErrorDetails), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn create(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Json).await?;
    let mut token: AccessToken = serde_json::from_slice(&asked.body).map_err(|error| unreadable(&error))?;
    let id = match token.id.take() {
        Some(id) => chosen(&app, id)?,
        None => fresh_uuid().map_err(|_| CrafterError::Internal)?.hyphenated().to_string(),
    };
    let new = application(&token, Secret::new(&id))?;
    must_be_master(&asked.call.identity, GlobalAction::Create)?;
    app.service
        .register_application(&asked.call, new)
        .await
        .map_err(|error| failed(error, |rejection| not_created(rejection, &asked.access_token_id, &id)))?;
    Ok(json(StatusCode::OK, &AccessToken { id: Some(id), ..token }))
}

/// `GET /access_token/{id}`: the application with that secret. For masters.
#[utoipa::path(
    get,
    path = "/crafter-profile/api/1/access_token/{id}",
    tag = "crafter",
    params(("id" = String, Path, description = "The access token")),
    responses((status = 200, description = "The access token", body = AccessToken),
        (status = 404, description = "There is no such access token", body = ErrorDetails), CrafterRefusals),
    security(("crafter" = [])),
)]
pub async fn read(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Nothing).await?;
    let id = asked.last_segment()?;
    must_be_master(&asked.call.identity, GlobalAction::Read)?;
    match registered(&app, &id) {
        Some(registration) => Ok(json(StatusCode::OK, &shown(&registration, Some(id)))),
        None => Err(CrafterError::NoSuchAccessToken(id)),
    }
}

/// `GET /access_token/all`: the applications that the caller could have registered, the oldest first. For masters.
#[utoipa::path(
    get,
    path = "/crafter-profile/api/1/access_token/all",
    tag = "crafter",
    responses((status = 200, description = "The access tokens, the oldest first", body = Vec<AccessToken>), CrafterRefusals),
    security(("crafter" = [])),
)]
pub async fn list(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Nothing).await?;
    let identity = &asked.call.identity;
    must_be_master(identity, GlobalAction::Read)?;
    let mut pace = app.service.pace(Party::of(identity));
    let all = app.service.applications(identity, &mut pace).await;
    let denied = |Forbidden| CrafterError::GlobalActionDenied(GlobalAction::Read);
    let all = all.map_err(|error| failed(error, denied))?;
    let (caller, own_id) = (identity.caller.clone(), asked.access_token_id.clone());
    let write = move |one: &Arc<Registration>, bytes: &mut Vec<u8>| {
        // Of every other application only the digest is known.
        let own = caller == Caller::Application(one.id);
        json::append(bytes, &shown(one, own.then(|| own_id.clone())));
    };
    let body = answer::list(["[", ",", "]"], all, write, pace)?;
    Ok(wire::answered(StatusCode::OK, body))
}

/// `POST /access_token/{id}/delete`: removes the application; an unknown one counts as removed. For masters.
#[utoipa::path(
    post,
    path = "/crafter-profile/api/1/access_token/{id}/delete",
    tag = "crafter",
    params(("id" = String, Path, description = "The access token")),
    responses((status = 200, description = "Removed, or unknown"), CrafterRefusals, BodyRefusals),
    security(("crafter" = [])),
)]
pub async fn delete(State(app): State<SharedApp>, request: Request) -> Result<Response, CrafterError> {
    let asked = CrafterRequest::read(&app, request, Takes::Form).await?;
    let id = asked.last_segment_but_one()?;
    must_be_master(&asked.call.identity, GlobalAction::Delete)?;
    let Some(registration) = find(&app.service, &id) else { return Ok(StatusCode::OK.into_response()) };
    match app.service.remove_application(&asked.call, registration.id, false).await {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        // To a master that may not remove it, it does not exist; but a success must be true, and the access token still
        // works.
        Err(Error::Refused(RemoveRejection::UnknownApplication)) => match find(&app.service, &id) {
            Some(_) => Err(CrafterError::GlobalActionDenied(GlobalAction::Delete)),
            None => Ok(StatusCode::OK.into_response()),
        },
        Err(error) => Err(failed(error, |rejection| not_deleted(rejection, &asked.access_token_id))),
    }
}

/// The application as it is registered for that access token.
pub(super) fn application(token: &AccessToken, secret: Secret) -> Result<NewApplication, CrafterError> {
    // A name has a tenant's form.
    Tenant::new(&token.application).map_err(|problem| malformed("Access token's 'application'", problem))?;
    let expires_at = match token.expires_on.map(Timestamp::from_millis) {
        Some(None) => return Err(malformed("Access token's 'expiresOn'", Malformed("at most 2^53 - 1 milliseconds"))),
        other => other.flatten(),
    };
    let grants = grants(token.master, &token.tenant_permissions);
    let kept = AccessTokenAttributes {
        application: token.application.clone(),
        master: token.master,
        tenant_permissions: token.tenant_permissions.clone(),
    };
    Ok(NewApplication {
        name: token.application.as_str().into(),
        grants: grants.map_err(|problem| malformed("Access token's 'tenantPermissions'", problem))?,
        expires_at,
        secret: Some(secret),
        attributes: serde_json::to_string(&kept).ok().map(String::into_boxed_str),
        oauth: OauthClient::default(),
    })
}

/// Permissions as grants, in the same order. A master has `admin` wherever it has anything and everywhere else too,
/// because Crafter's masters belong to no tenant; it still can't grant a scope that it does not hold.
fn grants(master: bool, permissions: &[TenantPermission]) -> Result<Grants, Malformed> {
    let admin = if master { Scopes::from_iter([Scope::Admin]) } else { Scopes::NONE };
    let mut grants = Vec::with_capacity(permissions.len() + 1);
    for permission in permissions {
        let tenant = match &*permission.tenant {
            ANY => None,
            name => Some(Tenant::new(name)?),
        };
        let scopes = scopes(&permission.allowed_actions).iter().chain(admin.iter()).collect();
        grants.push(Grant { tenant, scopes });
    }
    if master && grants.iter().all(|grant| grant.tenant.is_some()) {
        grants.push(Grant { tenant: None, scopes: admin });
    }
    Grants::new(grants)
}

/// Crafter's other actions are about profiles and tenants, which the ledger does not have.
fn scopes(actions: &[String]) -> Scopes {
    if actions.iter().any(|action| action == ANY) {
        all_but_admin()
    } else if actions.iter().any(|action| action == MANAGE_TICKETS) {
        ticket_scopes()
    } else {
        Scopes::NONE
    }
}

fn all_but_admin() -> Scopes {
    Scopes::ALL.iter().filter(|scope| *scope != Scope::Admin).collect()
}

fn ticket_scopes() -> Scopes {
    Scopes::from_iter([Scope::Issue, Scope::Revoke, Scope::Introspect])
}

/// An application as an access token: as it was created, or made up from the grants of an application that was
/// registered in another way.
fn shown(registration: &Registration, id: Option<String>) -> AccessToken {
    let kept = registration.attributes.as_deref().and_then(|kept| serde_json::from_str(kept).ok());
    let AccessTokenAttributes { application, master, tenant_permissions } =
        kept.unwrap_or_else(|| AccessTokenAttributes {
            application: registration.name.to_string(),
            master: registration.grants.somewhere(Scope::Admin),
            tenant_permissions: registration.grants.as_slice().iter().map(permission).collect(),
        });
    let expires_on = registration.expires_at.map(Timestamp::as_millis);
    AccessToken { application, master, tenant_permissions, expires_on, id }
}

fn permission(grant: &Grant) -> TenantPermission {
    let action = [(all_but_admin(), ANY), (ticket_scopes(), MANAGE_TICKETS)]
        .into_iter()
        .find(|(scopes, _)| scopes.is_subset(grant.scopes))
        .map(|(_, action)| action.to_owned());
    let tenant = grant.tenant.as_ref().map_or(ANY, Tenant::as_str).to_owned();
    TenantPermission { allowed_actions: action.into_iter().collect(), tenant }
}

fn must_be_master(identity: &CallerIdentity, action: GlobalAction) -> Result<(), CrafterError> {
    if identity.grants.somewhere(Scope::Admin) { Ok(()) } else { Err(CrafterError::GlobalActionDenied(action)) }
}

/// An id is a secret, so it has a UUID's form, and is not one that Crafter has published.
fn chosen(app: &App, id: String) -> Result<String, CrafterError> {
    if id.len() != uuid::fmt::Hyphenated::LENGTH || Uuid::parse_str(&id).is_err() {
        return Err(malformed("Access token's 'id'", Malformed("a UUID")));
    }
    if is_published(&id) && !app.options.compat.crafter.allow_published_access_tokens {
        return Err(malformed("Access token's 'id'", Malformed("an id that Crafter has not published")));
    }
    Ok(id)
}

/// The application with that secret, even if it has expired. Root is not an application.
pub(super) fn find(service: &Service, id: &str) -> Option<Arc<Registration>> {
    match service.authenticate(id.as_bytes()) {
        Authentication::Caller(identity) => identity.registration,
        Authentication::Expired(registration) => Some(registration),
        Authentication::Unknown => None,
    }
}

/// Like [`find`], without those that do not work here.
fn registered(app: &App, id: &str) -> Option<Arc<Registration>> {
    if is_published(id) && !app.options.compat.crafter.allow_published_access_tokens {
        None
    } else {
        find(&app.service, id)
    }
}

/// The place where the body can't be read; the text there may be a secret.
fn unreadable(error: &serde_json::Error) -> CrafterError {
    let (line, column) = (error.line(), error.column());
    CrafterError::Malformed(format!("Request body must be an access token in JSON; see line {line}, column {column}"))
}
