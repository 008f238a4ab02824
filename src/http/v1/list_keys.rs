//! `GET /v1/keys`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::key::KeyShown;
use crate::domain::Scope;
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

/// The keys that may have signed active tokens or are to sign, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Keys)]
struct KeyListShown<'a> {
    keys: Vec<KeyShown<'a>>,
}

/// The keys that sign tokens, those that are next, and the earlier ones whose tokens may still be active. Needs the scope `admin` in every
/// tenant. The public keys themselves are at `/.well-known/jwks.json`, for everybody.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "keys",
    responses((status = 200, description = "The keys", body = KeyListShown), Refusals),
)]
pub async fn list_keys(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Admin).await?;
    let keys = app.service.keys(&identity).await?;
    Ok(answer::json(StatusCode::OK, &KeyListShown { keys: keys.iter().map(KeyShown::from).collect() }))
}
