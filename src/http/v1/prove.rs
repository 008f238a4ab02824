//! `GET /v1/events/{position}/proof`

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::event::position;
use crate::domain::Scope;
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, caller, tlog};

/// A proof that the record is in this ledger, in the form of c2sp.org/tlog-proof: the record itself (`extra`), its path
/// to the root, and the signed checkpoint. The verifier key is enough to check it. Needs the scope `audit` in every
/// tenant.
///
/// A record that was just stored waits for the next checkpoint, which follows within a second.
#[utoipa::path(
    get,
    path = "/v1/events/{position}/proof",
    operation_id = "prove",
    tag = "evidence",
    params(("position" = u64, Path, minimum = 1, description = "Its place in this node's log")),
    responses((status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"), Refusals),
)]
pub async fn prove(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let position = position(&mut parts).await?;
    let proof = app.service.prove(&identity, position).await.map_err(tlog::problem)?;
    let proof = proof.ok_or(Code::UnknownPosition)?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], proof.to_string()).into_response())
}
