//! `POST /v1/nodes/promote`

use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::domain::Scope;
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::Problem;
use crate::http::{SharedApp, caller};

/// Lets this node, which is a standby, answer callers. If it is promoted because another node is lost, remove that node
/// first: a new member answers once every other member waits for it. On a node that already answers, the call changes
/// nothing. Needs the scope `admin` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/nodes/promote",
    tag = "nodes",
    params(CommandHeaders),
    responses((status = 202, description = "It answers as soon as every other member waits for it"), Refusals),
)]
pub async fn promote_node(State(app): State<SharedApp>, request: Request) -> Result<StatusCode, Problem> {
    caller::bare_command_everywhere(&app, request, Scope::Admin).await?;
    app.service.cluster().promote();
    Ok(StatusCode::ACCEPTED)
}
