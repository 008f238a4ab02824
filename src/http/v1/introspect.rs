//! `POST /v1/introspect`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::CredentialShown;
use crate::domain::Scope;
use crate::http::openapi::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};
use crate::service::Introspection;

/// A credential to ask about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Introspect)]
struct Body {
    /// The secret, exactly as its bearer presented it.
    credential: String,
}

/// What is known of a credential: all of it if it is good, else `{"active":false}` and nothing else.
#[derive(Serialize, ToSchema)]
#[schema(as = Introspection)]
struct Found<'a> {
    /// Whether it is good.
    active: bool,
    #[serde(flatten)]
    known: Option<Known<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KnownCredential)]
struct Known<'a> {
    #[serde(flatten)]
    credential: CredentialShown,
    /// The name space of its subject.
    tenant: &'a str,
    /// Who it is for.
    subject: &'a str,
}

/// Whether a credential is good, and whose it is. It never renews. Needs the scope `introspect` in its tenant; what
/// belongs to another tenant is not good.
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "credentials",
    request_body = Body,
    responses((status = 200, description = "What is known of it", body = Found), Refusals),
)]
pub async fn introspect(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (identity, body) = caller::question::<Body>(&app, request, Scope::Introspect).await?;
    let found = app.service.introspect(&identity, body.credential.as_bytes())?;
    Ok(show(found.as_ref()))
}

fn show(found: Option<&Introspection>) -> Response {
    let known = found.map(|found| Known {
        credential: CredentialShown::from(found),
        tenant: found.tenant.as_str(),
        subject: found.subject.as_str(),
    });
    answer::json(StatusCode::OK, &Found { active: known.is_some(), known })
}
