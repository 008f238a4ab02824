//! `GET /v1/events/{position}/sealed`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::event::position;
use crate::domain::Scope;
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, caller};

/// The sealed part of a record, opened with this node's keys: a session's identity and device, a token's added claims,
/// or the note of a revocation. Needs the scope `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/events/{position}/sealed",
    tag = "audit",
    params(("position" = u64, Path, minimum = 1, description = "Its place in this node's log")),
    responses((status = 200, description = "The sealed part of the record", body = Object), Refusals),
)]
pub async fn sealed(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let position = position(&mut parts).await?;
    let found = app.service.opened_event(&identity, position).await?.ok_or(Code::UnknownPosition)?;
    let opened = found.ok_or(Code::SealedDataUnavailable)?;
    Ok(answer::secret(StatusCode::OK, &opened))
}
