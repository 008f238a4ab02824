//! `POST /v1/nodes/announcements`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::{Hearing, PeerRefusals, signer};
use crate::cluster::MAX_ANNOUNCEMENT_BYTES;
use crate::http::body;
use crate::http::problem::{Code, Problem};
use crate::service::Party;

/// Takes the announcement of another node, and answers with this node's own. Needs a member's signature over method and
/// path, which is checked before the body is read; the announcement in the body is itself signed. An announcement of a
/// node that is not a member, or of another ledger, is refused. A node that was removed gets the place of its removal.
#[utoipa::path(
    post,
    path = "/v1/nodes/announcements",
    tag = "peers",
    request_body(content = String, content_type = "application/json", description = "A signed announcement"),
    responses(
        (status = 200, description = "This node's newest announcement", body = String, content_type = "application/json"),
        (status = 204, description = "This node has nothing to say yet"),
        PeerRefusals,
    ),
    security(()),
)]
pub async fn announce(State(hearing): State<Arc<Hearing>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // However old it is: a member whose clock is far off must be heard, or nobody would learn of it.
    let node = signer(&hearing.cluster, hearing.ledger, &parts, b"")?;
    let _admitted = hearing.cluster.intake().announcements.admit(&Party::of_member(node))?;
    let body = body::read(&parts.headers, body, MAX_ANNOUNCEMENT_BYTES).await?;
    if hearing.cluster.hear(hearing.ledger, &body).is_none() {
        return Err(Problem::with_detail(
            Code::Unauthenticated,
            "No member of this ledger has signed this announcement.",
        ));
    }
    let spoken = hearing.cluster.spoken().borrow().clone();
    if spoken.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(([(CONTENT_TYPE, "application/json")], spoken).into_response())
}
