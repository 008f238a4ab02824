//! `DELETE /v1/nodes/{node}`

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{NodeName, Scope};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, caller, input};

/// A removed node.
#[derive(Serialize, ToSchema)]
#[schema(as = RemovedNode)]
struct Removed {
    /// For each of its origins, the last record that counts in full. The credentials that it issued beyond are
    /// inactive; its revocations beyond still count.
    seals: BTreeMap<String, u64>,
}

/// Removes a member permanently. The other nodes no longer wait for it. Its records count as far as this node holds
/// them, and its revocations also beyond that. Needs the scope `admin` in every tenant.
#[utoipa::path(
    delete,
    path = "/v1/nodes/{node}",
    tag = "nodes",
    params(("node" = String, Path, description = "The member's name"), CommandHeaders),
    responses((status = 200, description = "Removed", body = Removed), Refusals),
)]
pub async fn remove_node(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, mut parts) = caller::bare_command_everywhere(&app, request, Scope::Admin).await?;
    let name = input::segment(&mut parts).await?;
    let name = NodeName::new(&name);
    let name = name.map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("`node` must be {must_be}")))?;
    let seals = app.service.remove_node(&call, name).await?;
    let seals = seals.into_iter().map(|(origin, seal)| (origin.to_string(), seal.0)).collect();
    Ok(answer::json(StatusCode::OK, &Removed { seals }))
}
