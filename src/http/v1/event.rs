//! `GET /v1/events/{position}`

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::events::NDJSON;
use crate::domain::{MAX_INTEGER, Position, Scope};
use crate::http::openapi::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, caller, input};

/// One record of the log, byte for byte as it is hashed, and a line feed. Needs the scope `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/events/{position}",
    tag = "audit",
    params(("position" = u64, Path, minimum = 1, description = "Its place in this node's log")),
    responses(
        (status = 200, description = "The record", body = String, content_type = "application/x-ndjson"),
        Refusals,
    ),
)]
pub async fn event(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit)?;
    let position = input::segment(&mut parts).await?;
    let position = position.parse().ok().filter(|position| (1..=MAX_INTEGER).contains(position)).map(Position);
    let position = position
        .ok_or_else(|| Problem::with_detail(Code::InvalidPath, "`position` must be a whole number, 1 or more"))?;
    let stored = app.service.event(&identity, position).await?.ok_or(Code::UnknownPosition)?;
    Ok(([(CONTENT_TYPE, NDJSON)], format!("{}\n", stored.record)).into_response())
}
