//! `GET /v1/nodes`

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{PeerAddress, Reads, Scope};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};
use crate::service::{NodeShown, RunShown};

/// The nodes of this ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerNodes)]
struct NodeListShown {
    nodes: Vec<NodeView>,
}

/// A node.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerNode)]
struct NodeView {
    /// The key that it signs with, in hexadecimal digits.
    key: String,
    /// Whether it is the answering node.
    own: bool,
    /// Its name; absent if the node was alone when it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The address at which other nodes reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// `joining` until it has caught up, `member`, or `removed`; `alone` if there are no other nodes.
    state: &'static str,
    /// When it joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_at: Option<String>,
    /// When it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_at: Option<String>,
    /// The types of event that it reads, each up to a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<BTreeMap<String, u64>>,
    /// Its origins, and how far the answering node holds each.
    origins: BTreeMap<String, u64>,
    /// The latest announcement of each of its runs: more than one if its directory was copied.
    runs: Vec<RunView>,
}

/// The latest announcement of one run of a node's process.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerNodeRun)]
struct RunView {
    /// Milliseconds since it was heard.
    heard_millis_ago: u64,
    /// How far it has applied every origin.
    applied: BTreeMap<String, u64>,
}

/// The nodes of this ledger, how far this one holds each one's records, and what each announced last. Needs the scope
/// `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    tag = "nodes",
    responses((status = 200, description = "The nodes", body = NodeListShown), Refusals),
)]
pub async fn list_nodes(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let identity = caller::authorise_everywhere(&app, &parts.headers, Scope::Audit).await?;
    let now = app.service.clock().now();
    let nodes = app.service.nodes(&identity)?;
    let nodes = nodes.iter().map(|node| NodeView::of(node, now)).collect();
    Ok(answer::json(StatusCode::OK, &NodeListShown { nodes }))
}

impl NodeView {
    fn of(node: &NodeShown, now: crate::domain::Timestamp) -> Self {
        let member = &node.member;
        let joined = member.joined();
        let run = |run: &RunShown| RunView {
            heard_millis_ago: now.millis_since(run.heard_at),
            applied: run.applied.iter().map(|(origin, far)| (origin.to_string(), far.0)).collect(),
        };
        let state = match (joined, &member.removed, &member.upgraded) {
            (_, Some(_), _) => "removed",
            (None, ..) => "alone",
            (Some(_), None, None) => "joining",
            (Some(_), None, Some(_)) => "member",
        };
        Self {
            key: node.key.to_string(),
            own: node.is_own,
            node: joined.map(|(_, _, joined)| joined.node.to_string()),
            region: joined.map(|(_, _, joined)| joined.region.to_string()),
            address: joined
                .and_then(|(_, _, joined)| joined.address.as_ref())
                .map(PeerAddress::as_str)
                .map(str::to_owned),
            state,
            joined_at: joined.map(|(at, ..)| at.to_string()),
            removed_at: member.removed.as_ref().map(|removal| removal.removed_at.to_string()),
            reads: node.reads.as_ref().map(reads),
            origins: node.origins.iter().map(|(origin, far)| (origin.to_string(), far.0)).collect(),
            runs: node.runs.iter().map(run).collect(),
        }
    }
}

fn reads(reads: &Reads) -> BTreeMap<String, u64> {
    reads.iter().map(|(name, version)| (name.to_owned(), version)).collect()
}
