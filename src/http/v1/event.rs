//! `GET /v1/events/{position}`

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::domain::{Position, Scope};
use crate::http::answer::NDJSON;
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm as _, Whole};
use crate::http::{SharedApp, caller, input};

/// One record of the log, byte for byte as it is hashed, followed by a line feed. Needs the scope `audit` in every
/// tenant.
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
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let position = position(&mut parts).await?;
    let stored = app.service.event(&identity, position).await?.ok_or(Code::UnknownPosition)?;
    Ok(([(CONTENT_TYPE, NDJSON)], format!("{}\n", stored.record)).into_response())
}

/// The record that a path names.
pub(super) async fn position(parts: &mut Parts) -> Result<Position, Problem> {
    Whole::parse(&input::segment(parts).await?)
        .map(|Whole(position)| Position(position))
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`position` must be {must_be}")))
}
