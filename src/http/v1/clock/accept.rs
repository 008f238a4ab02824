//! `POST /v1/clock/accept`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::{BeyondShown, StandingShown};
use crate::domain::Scope;
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

/// The result.
#[derive(Serialize, ToSchema)]
#[schema(as = ClockAccepted)]
struct AcceptClockBody<'a> {
    /// Whether there was anything to accept.
    changed: bool,
    /// Whether the server restarts now, revokes the listed credentials, and continues under a new origin.
    starts_again: bool,
    /// The clocks before the call.
    before: StandingShown,
    /// The credentials that are revoked.
    recorded_beyond: BeyondShown<'a>,
}

/// Accepts the wall clock as ledger time. If this node has recorded anything beyond the wall clock, every credential
/// that those records issued, extended or noted a use of is revoked, and the node continues under a new origin: for
/// this the server restarts by itself, within seconds. Holds and `not_before` that were set in those records stand. If
/// the clock is not unsettled, the call changes nothing. Needs the scope `admin` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/clock/accept",
    tag = "clock",
    params(CommandHeaders),
    responses((status = 200, description = "The wall clock is, or will be, ledger time", body = AcceptClockBody), Refusals),
)]
pub async fn accept_clock(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, _) = caller::bare_command_everywhere(&app, request, Scope::Admin).await?;
    let accepted = app.service.accept_clock(&call).await?;
    let body = AcceptClockBody {
        changed: accepted.changed,
        starts_again: accepted.starts_again,
        before: (&accepted.before).into(),
        recorded_beyond: (&accepted.beyond).into(),
    };
    Ok(answer::json(StatusCode::OK, &body))
}
