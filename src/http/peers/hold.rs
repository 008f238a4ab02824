//! `GET /v1/nodes/holdings`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Hearing, PeerRefusals, member};
use crate::domain::{Member, NodeJoined, NodeKey, Origin, Sequence};
use crate::http::problem::{Code, Problem};
use crate::http::{answer, input};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The origin that the asking node would continue.
    origin: String,
    /// Its last record in the asking node's own log.
    sequence: u64,
}

/// A node's holding of an origin of the asking node.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Holding)]
pub struct HeldOf {
    /// The key of the node that answers.
    pub node: String,
    /// The members that it knows.
    pub members: Vec<HeldMember>,
    /// Its last record that is held.
    pub sequence: u64,
    /// The chain there, in hexadecimal digits.
    pub hash: String,
    /// The last record that the origin is known to have, on any member's word; the node need not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<u64>,
    /// The chain at the record that the question names, if the node holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_at_sequence: Option<String>,
    /// The runs of the asking node that this node heard of, that are not known to be over, and that are on its disk.
    pub heard: Vec<HeldRun>,
    /// The last slot of the origin's sealing keys that is on record.
    pub slots_used: u64,
}

/// A member, as another node knows it.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = KnownMember)]
pub struct HeldMember {
    /// Its key.
    pub key: String,
    /// The address at which it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A run of a node, as another node heard of it.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = HeardRun)]
pub struct HeldRun {
    /// The run.
    #[schema(value_type = String)]
    pub incarnation: Uuid,
    /// Milliseconds since it was last heard; absent if it has said farewell.
    pub silent_millis: Option<u64>,
}

/// This node's holding of an origin of the asking node. A starting node learns from it whether its own copy is the
/// newest one.
#[utoipa::path(
    get,
    path = "/v1/nodes/holdings",
    tag = "peers",
    params(Asked),
    responses((status = 200, description = "The holding", body = HeldOf), PeerRefusals),
    security(()),
)]
pub async fn hold(State(hearing): State<Arc<Hearing>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let Hearing { cluster, reader, ledger, clock, .. } = &*hearing;
    let node = member(cluster, *ledger, clock, &parts, b"")?;
    let asked: Asked = input::query(&parts.uri)?;
    let form = |_| Problem::with_detail(Code::InvalidQuery, "`origin`: must be 13 characters of a-z and 2-7");
    let origin: Origin = asked.origin.parse().map_err(form)?;
    let (cluster, reader) = (cluster.clone(), reader.clone());
    let holding = tokio::task::spawn_blocking(move || cluster.holding(&reader, node, origin, Sequence(asked.sequence)));
    let holding = holding.await.map_err(|_| Code::Stopping)?.map_err(crate::service::Error::from)?;
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
