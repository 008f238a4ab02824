//! `GET /v1/nodes/holdings`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Hearing, PeerRefusals, member};
use crate::cluster::wire::{HeldMember, HeldOf, HeldRun};
use crate::domain::{Member, NodeJoined, NodeKey, Origin, Sequence};
use crate::http::problem::{Code, Problem};
use crate::http::{answer, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HoldingsQuery {
    /// The origin that the asking node would continue.
    origin: String,
    /// Its last record in the asking node's own log.
    sequence: u64,
}

/// What this node holds of an origin of the asking node. A starting node learns from it whether its own copy is the
/// newest one.
#[utoipa::path(
    get,
    path = "/v1/nodes/holdings",
    tag = "peers",
    params(HoldingsQuery),
    responses((status = 200, description = "The holding", body = HeldOf), PeerRefusals),
    security(()),
)]
pub async fn hold(State(hearing): State<Arc<Hearing>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let Hearing { cluster, reader, ledger, clock, .. } = &*hearing;
    let node = member(cluster, *ledger, clock, &parts, b"")?;
    let asked: HoldingsQuery = input::query(&parts.uri)?;
    let form = |_| Problem::with_detail(Code::InvalidQuery, "`origin`: must be 13 characters of a-z and 2-7");
    let origin: Origin = asked.origin.parse().map_err(form)?;
    let (cluster, reader) = (cluster.clone(), reader.clone());
    let holding = tokio::task::spawn_blocking(move || cluster.holding(&reader, node, origin, Sequence(asked.sequence)));
    let holding = holding.await.map_err(|_| Code::Stopping)?.map_err(crate::service::Failure::from)?;
    let run = |(incarnation, silence): &(crate::cluster::Incarnation, std::time::Duration)| HeldRun {
        incarnation: incarnation.0,
        silent_millis: u64::try_from(silence.as_millis()).ok(),
    };
    let known = hearing.cluster.members();
    let member = |(key, joined, _): (NodeKey, &NodeJoined, &Member)| HeldMember {
        key: key.to_string(),
        address: joined.address.as_ref().map(|address| address.as_str().to_owned()),
    };
    let members = known.present().map(member).collect();
    Ok(answer::json(
        StatusCode::OK,
        &HeldOf {
            node: holding.node.to_string(),
            members,
            sequence: holding.head.sequence.0,
            hash: holding.head.hash.to_string(),
            known: Some(holding.known.0),
            hash_at_sequence: holding.hash_at_own_head.map(|hash| hash.to_string()),
            heard: holding.heard.iter().map(run).collect(),
            slots_used: holding.slots_used,
        },
    ))
}
