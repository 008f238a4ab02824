//! `GET /v1/status`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{LedgerId, LedgerOpened, Origin, RecordId, Scope, hex};
use crate::event_log::{Base, Head};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::wire::Shown;
use crate::http::{SharedApp, answer, caller};
use crate::projection::StateSource;
use crate::service::{Service, Status};

/// The state of the ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
struct StatusShown<'a> {
    /// The ledger's id, the same on every node.
    #[schema(value_type = String, format = "uuid")]
    ledger: Shown<LedgerId>,
    /// The newest durable position of this node's log, and the chain of its own origin.
    head: HeadShown,
    /// The number of entries in memory.
    counts: CountsShown,
    /// The source of the state when this process started.
    start: StartShown,
    /// The nodes that hold this ledger.
    nodes: Vec<NodeProgress>,
    /// The origins that this node's log consists of.
    origins: Vec<OriginShown<'a>>,
    /// Whole seconds since this process started.
    uptime_seconds: u64,
    /// Why the log halted, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    fault: Option<&'a str>,
}

/// How far this node's log goes.
#[derive(Serialize, ToSchema)]
#[schema(as = Head)]
struct HeadShown {
    /// The newest durable position.
    position: u64,
    /// This node's own origin.
    #[schema(value_type = String)]
    origin: Shown<Origin>,
    /// The newest sequence there.
    sequence: u64,
    /// The chain up to and with that record, in hexadecimal.
    hash: String,
    /// The key that its checkpoints are verified with: c2sp.org/signed-note. Get it from a source that you trust more
    /// than this server.
    verifier_key: String,
}

/// The number of entries in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = Counts)]
struct CountsShown {
    /// Applications that have not been removed.
    applications: usize,
    /// Tickets in memory, whether active, expired or revoked.
    tickets: usize,
    /// Subjects with a credential or a revocation in memory.
    subjects: usize,
    /// Commands that are recognised if they are repeated.
    idempotency_keys: usize,
}

/// The source of the state.
#[derive(Serialize, ToSchema)]
#[schema(as = Start)]
struct StartShown {
    /// `snapshot`, or `log` if all of it was folded.
    source: &'static str,
    /// The position that the snapshot stands at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    snapshot_position: Option<u64>,
    /// How many records were read.
    records_read: u64,
}

/// A node, and how far it has applied each origin.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeProgress {
    /// Its name.
    node: String,
    /// Its region.
    region: String,
    /// For each origin, the newest sequence that it has applied, as far as this node has heard.
    applied: BTreeMap<String, u64>,
}

/// One unbroken log of one node.
#[derive(Serialize, ToSchema)]
#[schema(as = OriginStatus)]
struct OriginShown<'a> {
    /// Its name.
    #[schema(value_type = String)]
    origin: Shown<Origin>,
    /// The node whose log it is.
    node: &'a str,
    /// That node's region.
    region: &'a str,
    /// The newest sequence that this node holds.
    sequence: u64,
    /// The chain up to and with that record, in hexadecimal.
    hash: String,
    /// The origin that it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    previous: Option<Shown<Origin>>,
    /// Its newest checkpoint that this node holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = CheckpointShown)]
    checkpoint: Option<CheckpointShown>,
}

/// A signed head of an origin's Merkle tree.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckpointStatus)]
struct CheckpointShown {
    /// How many of its records the checkpoint covers.
    size: u64,
    /// The key that it is verified with: c2sp.org/signed-note. Get it from a source that you trust more than this
    /// server.
    verifier_key: String,
}

/// The state of the ledger: its head, its size in memory, its nodes and how far each has applied. Needs the scope
/// `audit` in every tenant.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "audit",
    responses((status = 200, description = "The state", body = StatusShown), Refusals),
)]
pub async fn status(State(app): State<SharedApp>, headers: HeaderMap) -> Result<Response, Problem> {
    let identity = caller::authorise_everywhere(&app, &headers, Scope::Audit).await?;
    let status = app.service.status(&identity)?;
    Ok(answer::json(StatusCode::OK, &show(&app.service, &status)))
}

fn show<'a>(service: &Service, status: &'a Status) -> StatusShown<'a> {
    let own = head_of(&status.base, service.origin());
    StatusShown {
        ledger: Shown(service.ledger()),
        head: HeadShown {
            position: status.base.position.0,
            origin: Shown(service.origin()),
            sequence: own.sequence.0,
            hash: hex::encode(&own.hash.0),
            verifier_key: service.trees().key().to_string(),
        },
        counts: counts(status),
        start: start(status),
        nodes: nodes(service, status),
        origins: status.origins.iter().map(|(place, opened)| origin(service, &status.base, *place, opened)).collect(),
        uptime_seconds: status.uptime.as_secs(),
        fault: status.fault.as_deref(),
    }
}

fn counts(status: &Status) -> CountsShown {
    let counts = &status.counts;
    CountsShown {
        applications: counts.applications,
        tickets: counts.tickets,
        subjects: counts.subjects,
        idempotency_keys: counts.idempotency_keys,
    }
}

fn start(status: &Status) -> StartShown {
    let (source, snapshot_position) = match status.source {
        StateSource::Snapshot(position) => ("snapshot", Some(position.0)),
        StateSource::Log => ("log", None),
    };
    StartShown { source, snapshot_position, records_read: status.records_read }
}

/// This node, and the other members as far as they have announced themselves.
fn nodes(service: &Service, status: &Status) -> Vec<NodeProgress> {
    let opened = status.origins.iter().find(|(place, _)| place.origin == service.origin());
    let applied = status.base.heads.iter().map(|(origin, head)| (origin.to_string(), head.sequence.0)).collect();
    let own = opened.map(|(_, opened)| NodeProgress {
        node: opened.node.to_string(),
        region: opened.region.to_string(),
        applied,
    });
    let (cluster, members) = (service.cluster(), service.cluster().members());
    let others = members.present().filter(|(key, _, _)| *key != cluster.node()).map(|(key, joined, _)| NodeProgress {
        node: joined.node.to_string(),
        region: joined.region.to_string(),
        applied: cluster.positions(|positions| {
            let origins = status.base.heads.keys();
            origins.map(|origin| (origin.to_string(), positions.applied(key, *origin).0)).collect()
        }),
    });
    own.into_iter().chain(others).collect()
}

fn origin<'a>(service: &Service, base: &Base, place: RecordId, opened: &'a LedgerOpened) -> OriginShown<'a> {
    let head = head_of(base, place.origin);
    OriginShown {
        origin: Shown(place.origin),
        node: opened.node.as_str(),
        region: opened.region.as_str(),
        sequence: head.sequence.0,
        hash: hex::encode(&head.hash.0),
        previous: opened.previous.as_ref().map(|previous| Shown(previous.place.origin)),
        checkpoint: service
            .checkpoint(place.origin)
            .map(|signed| CheckpointShown { size: signed.checkpoint.size, verifier_key: signed.key.to_string() }),
    }
}

fn head_of(base: &Base, origin: Origin) -> Head {
    base.heads.get(&origin).copied().unwrap_or_default()
}
