//! `POST /v1/introspect`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Scope, Timestamp};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::wire::Shown;
use crate::http::{SharedApp, answer, caller};
use crate::service::Introspection;

/// A credential to ask about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Introspect)]
struct IntrospectBody {
    /// The secret, exactly as its bearer presented it.
    credential: String,
}

/// The introspection of a credential: its members if it is active, else `{"active":false}` and nothing else.
#[derive(Serialize, ToSchema)]
#[schema(as = Introspection)]
#[serde(untagged)]
enum IntrospectionShown<'a> {
    Good(Good<'a>),
    Inactive(InactiveCredential),
}

/// An active credential.
#[derive(Serialize, ToSchema)]
#[schema(as = ActiveCredential)]
struct Good<'a> {
    /// True.
    active: bool,
    /// `ticket`, `session` or `token`.
    kind: &'static str,
    /// Its public id: 32 hexadecimal digits, a session's UUID, or a JWT's `jti` if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<&'a str>,
    /// The issuer, if it is a JWT.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    issuer: Option<&'a str>,
    /// The name space of its subject.
    tenant: &'a str,
    /// The subject that it was issued to.
    subject: &'a str,
    /// When it was issued; a JWT of another issuer may not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    issued_at: Option<Shown<Timestamp>>,
    /// When it expires unless it is used or extended; a JWT of another issuer may not say.
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
    /// Of a token: the session that it belongs to. The token is active only while the session is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    session_id: Option<String>,
    /// Of a token: when its session was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    session_issued_at: Option<Shown<Timestamp>>,
    /// Of a token: the application that issued its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    session_application: Option<String>,
    /// The application that issued it. Absent for root, for a token that belongs to a session and that the node issued by
    /// its settings, and for a JWT of another issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid")]
    application: Option<String>,
}

/// An inactive credential. The answer does not say why it is inactive, or whose it was.
#[derive(Serialize, ToSchema)]
// Closed in the document, so that it does not describe an active credential too.
#[serde(deny_unknown_fields)]
struct InactiveCredential {
    /// False.
    active: bool,
}

/// Whether a credential is active, and whose it is. Asking does not prolong it. Needs the scope `introspect` in its
/// tenant; a credential of another tenant is not active.
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "credentials",
    request_body = IntrospectBody,
    responses((status = 200, description = "The introspection", body = IntrospectionShown), Refusals),
)]
pub async fn introspect(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (identity, body) = caller::question::<IntrospectBody>(&app, request, Scope::Introspect).await?;
    let found = app.service.introspect(&identity, &body.credential).await?;
    let body = found.as_ref().map_or(IntrospectionShown::Inactive(InactiveCredential { active: false }), |found| {
        IntrospectionShown::Good(good(found))
    });
    Ok(answer::json(StatusCode::OK, &body))
}

fn good(found: &Introspection) -> Good<'_> {
    Good {
        active: true,
        kind: found.kind.as_str(),
        id: found.id.as_deref(),
        issuer: found.issuer.as_deref(),
        tenant: found.tenant.as_str(),
        subject: found.subject.as_str(),
        issued_at: found.issued_at.map(Shown),
        expires_at: found.expires_at.map(Shown),
        not_after: found.not_after.map(Shown),
        last_used_at: found.last_used_at.map(Shown),
        session_id: found.session.map(|id| id.uuid().to_string()),
        session_issued_at: found.session_issue.map(|session| Shown(session.issued_at)),
        session_application: found
            .session_issue
            .and_then(|session| session.application)
            .map(|application| application.to_string()),
        application: found.application.map(|id| id.to_string()),
    }
}
