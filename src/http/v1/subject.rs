//! `GET /v1/subjects/{subject}`

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::confirmation::ConfirmationShown;
use super::parent::ParentShown;
use crate::domain::{CredentialId, CredentialKey, GivenSubject, Kind, Scope, SubjectState, Tenant, Timestamp};
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Shown, Whole, WireText, present};
use crate::http::{SharedApp, answer, caller, input};
use crate::service::Introspection;

/// The default number of credentials on a page.
const DEFAULT_LIMIT: usize = 100;
/// The most credentials that a page has.
const MAX_LIMIT: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SubjectParameters {
    /// The name space of the subject; `default` if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String, min_length = 1, max_length = 255)]
    tenant: Option<WireText<Tenant>>,
    /// The member `next` of the page before.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = String)]
    after: Option<String>,
    /// The most credentials in the page; 100 if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64, minimum = 1, maximum = 1_000)]
    limit: Option<WireText<Whole>>,
}

/// A page of a subject's active credentials.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectPage)]
struct SubjectPageShown<'a> {
    /// The name space of the subject.
    tenant: &'a str,
    /// The subject.
    subject: &'a str,
    /// Its active credentials, without their secrets: tickets, then sessions, then tokens.
    credentials: Vec<CredentialShown>,
    /// By kind and origin, the sequence of the latest record that revoked everything of that kind. A credential that
    /// does not reach it is inactive.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, u64>>)]
    generation: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// By kind, the end of a hold: nothing new is issued until then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    hold_until: BTreeMap<&'static str, Shown<Timestamp>>,
    /// When the subject was erased, if it was. Nothing is issued to it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    erased_at: Option<Shown<Timestamp>>,
    /// The parameter `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    next: Option<String>,
}

/// An active credential, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
struct CredentialShown {
    /// `ticket`, `session` or `token`.
    kind: &'static str,
    /// Its public id: 32 hexadecimal digits, a session's UUID, or a JWT's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<String>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<String>,
    /// When it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_at: Option<Shown<Timestamp>>,
    /// When it expires unless it is used or extended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Shown<Timestamp>>,
    /// The latest instant to which any use or extension can prolong it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Option<Shown<Timestamp>>,
    /// Of a ticket: the latest use that this process knows of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Option<Shown<Timestamp>>,
    /// The credential that it came from. It is active only while that one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ParentShown)]
    parent: Option<Box<ParentShown>>,
    /// The session that it came from, if its parent is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    session_id: Option<String>,
    /// The application that issued it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    application: Option<String>,
    /// What a token is bound to, if it is not a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConfirmationShown)]
    cnf: Option<Map<String, Value>>,
}

/// A subject's active credentials, its generation and its hold. Needs the scope `introspect` in the tenant. An unknown
/// subject has no credentials.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject}",
    tag = "subjects",
    params(("subject" = String, Path, description = "The subject"), SubjectParameters),
    responses((status = 200, description = "A page of its credentials", body = SubjectPageShown), Refusals),
)]
pub async fn subject(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let identity = caller::authorise(&app, &parts.headers, Scope::Introspect).await?;
    let given = GivenSubject::new(&input::segment(&mut parts).await?)
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`subject` must be {must_be}")))?;
    let page: SubjectParameters = input::query(&parts.uri)?;
    let tenant = page.tenant.map(|WireText(tenant)| tenant).unwrap_or_default();
    let subject = app.service.named(&tenant, &given);
    let after = page.after.as_deref().map(cursor).transpose()?;
    let limit = input::limit(page.limit.map(|WireText(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_LIMIT)?;
    let found = app.service.subject(&identity, &tenant, &subject, after, limit).await?;
    let body = SubjectPageShown {
        tenant: tenant.as_str(),
        subject: subject.as_str(),
        credentials: found.credentials.iter().map(shown).collect(),
        generation: generation(&found.state),
        hold_until: hold_until(&found.state),
        erased_at: found.state.erasure.as_ref().map(|erasure| Shown(erasure.erased_at)),
        next: found.next.map(|next| format!("{}.{}", next.kind, next.id)),
    };
    Ok(answer::json(StatusCode::OK, &body))
}

fn shown(found: &Introspection) -> CredentialShown {
    CredentialShown {
        kind: found.kind.as_str(),
        id: found.id.clone(),
        issuer: found.issuer.clone(),
        issued_at: found.issued_at.map(Shown),
        expires_at: found.expires_at.map(Shown),
        not_after: found.not_after.map(Shown),
        last_used_at: found.last_used_at.map(Shown),
        parent: ParentShown::of(found),
        session_id: found.session().map(|id| id.uuid().to_string()),
        application: found.application.map(|id| id.to_string()),
        cnf: found.binding.as_ref().map(|binding| binding.cnf.clone()),
    }
}

fn cursor(after: &str) -> Result<CredentialKey, Problem> {
    let parsed = after.split_once('.').and_then(|(kind, id)| {
        // Whatever the kind, the id is written in hexadecimal digits here.
        Some(CredentialKey { kind: kind.parse().ok()?, id: CredentialId::parse(Kind::Ticket, id).ok()? })
    });
    parsed.ok_or_else(|| Problem::with_detail(Code::InvalidQuery, "`after`: must be the `next` of the page before"))
}

fn generation(state: &SubjectState) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
    let revoked = Kind::ALL.into_iter().filter(|kind| !state.of(*kind).revocations.is_empty());
    let latest =
        |kind: Kind| state.of(kind).generation().iter().map(|(origin, last)| (origin.to_string(), last.0)).collect();
    revoked.map(|kind| (kind.as_str(), latest(kind))).collect()
}

fn hold_until(state: &SubjectState) -> BTreeMap<&'static str, Shown<Timestamp>> {
    let hold = |kind: Kind| Some((kind.as_str(), Shown(state.of(kind).hold_until?)));
    Kind::ALL.into_iter().filter_map(hold).collect()
}
