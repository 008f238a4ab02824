//! `DELETE /v1/applications/{id}`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::domain::{ApplicationId, Scope};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, caller, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemovalParameters {
    /// Revoke everything that the application issued, too. Needs `revoke` in every tenant where it could issue.
    #[serde(default)]
    #[param(value_type = bool, default = false)]
    revoke: bool,
}

/// Removes an application: its secret is refused from now on. The credentials that it issued stay active, unless they are
/// revoked with it, in the same append. Needs the scope `admin`, and every grant that the application has.
#[utoipa::path(
    delete,
    path = "/v1/applications/{id}",
    tag = "applications",
    params(("id" = String, Path, format = "uuid", description = "The application's id"), RemovalParameters, CommandHeaders),
    responses((status = 204, description = "Removed"), Refusals),
)]
pub async fn remove_application(State(app): State<SharedApp>, request: Request) -> Result<StatusCode, Problem> {
    let (call, mut parts) = caller::bare_command(&app, request, Scope::Admin).await?;
    let id = input::segment(&mut parts).await?;
    let id = Uuid::try_parse(&id).map_err(|_| Problem::with_detail(Code::InvalidPath, "`id` must be a UUID"))?;
    let RemovalParameters { revoke } = input::query(&parts.uri)?;
    app.service.remove_application(&call, ApplicationId(id), revoke).await?;
    Ok(StatusCode::NO_CONTENT)
}
