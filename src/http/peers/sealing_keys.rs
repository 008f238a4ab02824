//! `GET /v1/origins/{origin}/sealing-keys`

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{PeerRefusals, member};
use crate::cluster::wire::{LentKeys, MAX_LENT_KEYS};
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeysQuery {
    /// The slots, separated by commas; at most 1,024.
    slots: String,
}

/// The keys that sealed personal data in records of an origin, so that another member can open them too. Needs a
/// member's signature. Keys of an erased subject are destroyed on every node.
#[utoipa::path(
    get,
    path = "/v1/origins/{origin}/sealing-keys",
    tag = "peers",
    params(("origin" = String, Path, description = "Its 13 characters"), KeysQuery),
    responses((status = 200, description = "The keys that are here", body = LentKeys), PeerRefusals),
    security(()),
)]
pub async fn sealing_keys(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let service = &app.service;
    member(service.cluster(), service.ledger(), service.clock(), &parts, b"")?;
    let asked: KeysQuery = input::query(&parts.uri)?;
    let origin = input::origin(&name)?;
    let slots: Option<Vec<u64>> = asked.slots.split(',').map(|slot| slot.parse().ok()).collect();
    let slots = slots.filter(|slots| slots.len() <= MAX_LENT_KEYS);
    let slots =
        slots.ok_or_else(|| Problem::with_detail(Code::InvalidQuery, "`slots`: must be at most 1,024 numbers"))?;
    let lent = service.lend_keys(origin, slots).await?;
    Ok(answer::secret(StatusCode::OK, &LentKeys { own: lent.is_own, keys: lent.keys }))
}
