//! `POST /v1/keys`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::key::KeyShown;
use crate::domain::Scope;
use crate::http::openapi::{CommandHeaders, Refusals};
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

/// Makes a new key, which signs this node's tokens from now on. The previous key stays published until the last token
/// that it signed has expired. Needs the scope `admin` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    params(CommandHeaders),
    responses((status = 201, description = "The new key, published and durable", body = KeyShown), Refusals),
)]
pub async fn rotate_key(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, _) = caller::bare_command_everywhere(&app, request, Scope::Admin).await?;
    let key = app.service.rotate_key(&call).await?;
    Ok(answer::json(StatusCode::CREATED, &KeyShown::from(&key)))
}
