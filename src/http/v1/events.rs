//! `GET /v1/events`

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::{Position, Scope};
use crate::http::answer::NDJSON;
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::wire::{Whole, WireText, present};
use crate::http::{SharedApp, caller, input};
use crate::service::MAX_EVENTS;

/// The default number of records on a page.
const DEFAULT_LIMIT: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsParameters {
    /// The position after which the page starts; 0, which is before the first, if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64)]
    after: Option<WireText<Whole>>,
    /// The most records in the page; 1,000 if left out.
    #[serde(default, deserialize_with = "present")]
    #[param(value_type = u64, minimum = 1, maximum = 10_000)]
    limit: Option<WireText<Whole>>,
}

/// Records of the log, byte for byte as they are hashed, one on each line. Needs the scope `audit` in every tenant.
///
/// A page ends at the limit, after some megabytes, or at the head. If there is more, the header `Link` names the next
/// page.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "audit",
    params(EventsParameters),
    responses(
        (
            status = 200,
            description = "A page of records",
            body = String,
            content_type = "application/x-ndjson",
            headers(("link" = String, description = "The next page, `rel=\"next\"`, if there is one")),
        ),
        Refusals,
    ),
)]
pub async fn events(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let page: EventsParameters = input::query(&parts.uri)?;
    let limit = input::limit(page.limit.map(|WireText(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_EVENTS)?;
    let after = Position(page.after.map_or(0, |WireText(Whole(after))| after));
    let head = app.service.base().position;
    let page = app.service.events(&identity, after, limit).await?;
    let more = page.last.filter(|last| *last < head);
    Ok(show(page.lines, more, limit))
}

fn show(lines: Vec<u8>, more: Option<Position>, limit: usize) -> Response {
    let mut response = (StatusCode::OK, [(CONTENT_TYPE, NDJSON)], lines).into_response();
    let next = more.map(|last| format!("</v1/events?after={last}&limit={limit}>; rel=\"next\""));
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        response.headers_mut().insert(LINK, next);
    }
    response
}
