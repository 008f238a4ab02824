//! `GET /v1/clock`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::{BeyondShown, StandingShown};
use crate::domain::Scope;
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

/// The clocks, and what accepting the wall clock would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Clock)]
struct ShowClockBody<'a> {
    #[serde(flatten)]
    standing: StandingShown,
    /// The credentials that accepting the wall clock would revoke.
    recorded_beyond: BeyondShown<'a>,
}

/// How ledger time and the wall clock relate, and what was recorded beyond the wall clock. Needs the scope `admin` in
/// every tenant.
#[utoipa::path(
    get,
    path = "/v1/clock",
    tag = "clock",
    responses((status = 200, description = "The two clocks", body = ShowClockBody), Refusals),
)]
pub async fn show_clock(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Admin).await?;
    let shown = app.service.clock_shown(&identity).await?;
    let body = ShowClockBody { standing: (&shown.standing).into(), recorded_beyond: (&shown.beyond).into() };
    Ok(answer::json(StatusCode::OK, &body))
}
