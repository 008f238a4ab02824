//! `POST /persons/{person_id}/mint-token`

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::asked::{self, API_KEY, ORGANISATION};
use super::error::SlashidError;
use super::wire::{Errors, MintBody, Success, success};
use crate::domain::{GivenSubject, Scope, Scopes, Subject, Tenant};
use crate::http::caller::request_id;
use crate::http::problem::Problem;
use crate::http::wire::TextForm as _;
use crate::http::{SharedApp, input};
use crate::service::{Call, CallerIdentity, NewToken, RESERVED_CLAIMS};

/// The claim in which SlashID's SDK looks for the person. The ledger sets it beside `sub`, so callers may not.
const PERSON: &str = "person_id";
const FORM: &str = "the body must be a JSON object whose `custom_claims`, if it has them, are an object";

/// Issues a token for a person. Needs the scope `issue` in the organisation. An organisation in which the application
/// has no grant does not exist for it.
///
/// The token is a JWT, unless the person was revoked on more than 16 nodes, which is more than a JWT can list: then it
/// is opaque.
#[utoipa::path(
    post,
    path = "/persons/{person_id}/mint-token",
    tag = "slashid",
    params(
        ("person_id" = String, Path, min_length = 1, max_length = 255, description = "The person: any subject"),
        ("SlashID-OrgID" = String, Header, description = "The organisation: a tenant"),
    ),
    request_body = MintBody,
    responses(
        (status = 201, description = "Issued, and durable", body = Success<String>),
        (status = 400, description = "The request is refused, or adds a claim that the ledger sets itself", body = Errors),
        (status = 401, description = "No application's key", body = Errors),
        (status = 403, description = "The application has other scopes in this organisation", body = Errors),
        (status = 404, description = "The application has no grant in this organisation", body = Errors),
        (status = 405, description = "Not a POST", body = Errors),
        (status = 409, description = "The person gets no new tokens for now", body = Errors),
        (status = 500, description = "The machine failed", body = Errors),
        (status = 503, description = "No tokens are signed, or no commands are taken", body = Errors),
    ),
    security(("slashid" = [])),
)]
pub async fn mint_token(State(app): State<SharedApp>, request: Request) -> Result<Response, SlashidError> {
    let (mut parts, body) = request.into_parts();
    let key = asked::once(&parts.headers, &API_KEY, "SlashID-API-Key")?;
    let key = key.ok_or(SlashidError::Unauthenticated("send `SlashID-API-Key`"))?;
    let identity = asked::application(&app, key)?;
    let tenant = organisation(&identity, &parts.headers)?;
    let subject = app.service.named(&tenant, &person(&mut parts).await?);
    let MintBody { custom_claims } = asked::json(&app, &parts.headers, body, FORM).await?;
    let claims = claims(custom_claims.unwrap_or_default(), &subject)?;
    let new = NewToken {
        tenant,
        subject,
        ttl: None,
        parent: None,
        audience: Vec::new(),
        scope: None,
        confirmation: None,
        claims,
        status_list: None,
        opaque: false,
    };
    let call = Call { identity, request: request_id(&parts.headers), idempotency: None, consistency: None };
    let issued = app.service.issue_token(&call, new).await?;
    Ok(success(StatusCode::CREATED, issued.secret.expose()))
}

fn organisation(identity: &CallerIdentity, headers: &HeaderMap) -> Result<Tenant, SlashidError> {
    let header = asked::once(headers, &ORGANISATION, "SlashID-OrgID")?;
    let header = header.ok_or(SlashidError::Malformed("`SlashID-OrgID` is missing".into()))?;
    let text = std::str::from_utf8(header.as_bytes()).map_err(|_| SlashidError::UnknownOrganisation)?;
    // An organisation can't have a name that a tenant could not have.
    let tenant = Tenant::parse(text).map_err(|_| SlashidError::UnknownOrganisation)?;
    let scopes = identity.grants.in_tenant(&tenant);
    if scopes.contains(Scope::Issue) {
        return Ok(tenant);
    }
    Err(if scopes == Scopes::NONE { SlashidError::UnknownOrganisation } else { SlashidError::Forbidden })
}

async fn person(parts: &mut Parts) -> Result<GivenSubject, SlashidError> {
    let refuse = |problem: Problem| SlashidError::Malformed(format!("the path: {}", problem.detail()).into());
    let text = input::segment(parts).await.map_err(refuse)?;
    GivenSubject::new(&text)
        .map_err(|must_be| SlashidError::Malformed(format!("the person's id must be {must_be}").into()))
}

fn claims(mut added: Map<String, Value>, subject: &Subject) -> Result<Map<String, Value>, SlashidError> {
    let reserved = RESERVED_CLAIMS.into_iter().chain([PERSON]).find(|name| added.contains_key(*name));
    if let Some(name) = reserved {
        let message = format!("`custom_claims` must not have `{name}`, which the ledger sets itself");
        return Err(SlashidError::Malformed(message.into()));
    }
    added.insert(PERSON.to_owned(), subject.as_str().into());
    Ok(added)
}
