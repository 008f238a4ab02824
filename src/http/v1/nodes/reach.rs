//! `GET /v1/revocations/{origin}/{sequence}/reach`

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cluster::NodeReach;
use crate::domain::{RecordId, Scope, Sequence, Timestamp};
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, caller};
use crate::service::ReachShown;

/// How far a record has spread.
#[derive(Serialize, ToSchema)]
#[schema(as = Reach)]
struct ReachBody {
    /// The record's origin.
    origin: String,
    /// Its sequence in that origin.
    sequence: u64,
    /// Whether every member of the answering node's region has applied it.
    local_region: bool,
    /// Whether every member of every region has applied it.
    all_regions: bool,
    /// The regions.
    regions: Vec<RegionShown>,
}

/// A region.
#[derive(Serialize, ToSchema)]
#[schema(as = RegionReach)]
struct RegionShown {
    /// Its name.
    region: String,
    /// Whether every member there has applied the record.
    reached: bool,
    /// When this node heard that the last of them had.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached_at: Option<String>,
    /// Its members.
    nodes: Vec<MemberShown>,
}

/// A member.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeReach)]
struct MemberShown {
    /// Its name.
    node: String,
    /// Whether this node heard that it had applied the record.
    reached: bool,
    /// When this node heard it; for the answering node, when it stored the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached_at: Option<String>,
}

/// How far a record has spread, region by region: the progress of a command that was answered 408. Needs the scope
/// `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/revocations/{origin}/{sequence}/reach",
    tag = "nodes",
    params(
        ("origin" = String, Path, description = "The record's origin: 13 characters"),
        ("sequence" = u64, Path, minimum = 1, description = "Its sequence in that origin"),
    ),
    responses((status = 200, description = "How far it has spread", body = ReachBody), Refusals),
)]
pub async fn reach(
    State(app): State<SharedApp>,
    Path((origin, sequence)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let identity = caller::authorise_everywhere(&app, request.headers(), Scope::Audit).await?;
    let must_be = || {
        Problem::with_detail(
            Code::InvalidPath,
            "`origin` must be 13 characters of a-z and 2-7, `sequence` a number from 1",
        )
    };
    let sequence: u64 = sequence.parse().ok().filter(|sequence| *sequence > 0).ok_or_else(must_be)?;
    let place = RecordId { origin: origin.parse().map_err(|_| must_be())?, sequence: Sequence(sequence) };
    let reach = app.service.reach_of(&identity, place).await?.ok_or(Code::UnknownPosition)?;
    Ok(answer::json(StatusCode::OK, &ReachBody::of(&reach)))
}

impl ReachBody {
    fn of(reach: &ReachShown) -> Self {
        let mut regions: BTreeMap<&str, Vec<&NodeReach>> = BTreeMap::new();
        for node in &reach.nodes {
            regions.entry(node.region.as_str()).or_default().push(node);
        }
        let all = |nodes: &[&NodeReach]| nodes.iter().all(|node| node.at.is_some());
        Self {
            origin: reach.place.origin.to_string(),
            sequence: reach.place.sequence.0,
            local_region: regions.get(reach.region.as_str()).is_none_or(|nodes| all(nodes)),
            all_regions: regions.values().all(|nodes| all(nodes)),
            regions: regions.iter().map(|(region, nodes)| region_shown(region, nodes)).collect(),
        }
    }
}

fn region_shown(region: &str, nodes: &[&NodeReach]) -> RegionShown {
    let times: Option<Vec<Timestamp>> = nodes.iter().map(|node| node.at).collect();
    let node = |node: &&NodeReach| MemberShown {
        node: node.node.to_string(),
        reached: node.at.is_some(),
        reached_at: node.at.map(|at| at.to_string()),
    };
    RegionShown {
        region: region.to_owned(),
        reached: times.is_some(),
        reached_at: times.and_then(|times| times.into_iter().max()).map(|at| at.to_string()),
        nodes: nodes.iter().map(node).collect(),
    }
}
