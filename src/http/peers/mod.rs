//! The calls between nodes. A member's key counts here, not an application's secret: `schema/replication.md`.
//!
//! A node answers the first two of these before it is ready, because other starting nodes ask it what it holds of them.

mod announce;
mod hold;
mod records;
mod sealing_keys;

use std::sync::Arc;

use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{get, post};

use super::SharedApp;
use super::descriptions::Refusals as PeerRefusals;
use super::problem::{Code, Problem};
use crate::clock::Clock;
use crate::cluster::RequestSignature;
use crate::cluster::wire::{ANNOUNCEMENTS_PATH, HOLDINGS_PATH};
use crate::domain::{LedgerId, NodeKey, RecordId};
use crate::event_log::Reader;
use crate::service::{Cluster, Service};

/// The state for answering other nodes before this one is ready.
#[derive(Clone)]
pub struct Hearing {
    /// This node among others.
    pub cluster: Arc<Cluster>,
    /// The log, for readers.
    pub reader: Arc<Reader>,
    pub ledger: LedgerId,
    pub clock: Clock,
}

impl Hearing {
    /// The state of a running node.
    pub fn of(service: &Service) -> Self {
        Self {
            cluster: service.cluster().clone(),
            reader: service.reader().clone(),
            ledger: service.ledger(),
            clock: service.clock().clone(),
        }
    }
}

/// The routes that are open before the writer has been started.
pub fn hearing<S: Clone + Send + Sync + 'static>(hearing: Hearing) -> Router<S> {
    Router::new()
        .route(ANNOUNCEMENTS_PATH, post(announce::announce))
        .route(HOLDINGS_PATH, get(hold::hold))
        .with_state(Arc::new(hearing))
}

/// The routes that are open from then on.
pub fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/origins/{origin}/records", get(records::records).post(records::offer))
        .route("/v1/origins/{origin}/sealing-keys", get(sealing_keys::sealing_keys))
}

/// A request that one of the ledger's nodes signed.
struct SignedRequest {
    node: NodeKey,
    /// The record that removed the node, if one did.
    removed_by: Option<RecordId>,
}

/// The member that asks. A caller that is not a member learns nothing else, and one that was removed learns that.
fn member(cluster: &Cluster, ledger: LedgerId, clock: &Clock, parts: &Parts, body: &[u8]) -> Result<NodeKey, Problem> {
    let signed = signed_now(cluster, ledger, clock, parts, body)?;
    match signed.removed_by {
        Some(removal) => Err(Problem::removed_by(removal)),
        None if cluster.admits(signed.node) => Ok(signed.node),
        None => Err(refused()),
    }
}

/// The node that asks, which is a member or was one.
fn signed_now(
    cluster: &Cluster,
    ledger: LedgerId,
    clock: &Clock,
    parts: &Parts,
    body: &[u8],
) -> Result<SignedRequest, Problem> {
    let signature = signature(cluster, ledger, parts, body)?;
    // A node with an unsettled clock still listens to the others.
    let is_fresh = signature.is_fresh(clock.now()) || signature.is_fresh(clock.wall());
    if !is_fresh {
        return Err(refused());
    }
    Ok(SignedRequest { node: signature.node, removed_by: cluster.removal_of(signature.node) })
}

fn refused() -> Problem {
    Problem::with_detail(Code::Unauthenticated, "A member node's signature is needed, made just now.")
}

/// The member that signed the request, whenever that was. It may be another process with this node's own key.
fn signer(cluster: &Cluster, ledger: LedgerId, parts: &Parts, body: &[u8]) -> Result<NodeKey, Problem> {
    let node = signature(cluster, ledger, parts, body)?.node;
    cluster.removal_of(node).map_or(Ok(node), |removal| Err(Problem::removed_by(removal)))
}

/// The signature of a node that is a member, or was one until it was removed.
fn signature(cluster: &Cluster, ledger: LedgerId, parts: &Parts, body: &[u8]) -> Result<RequestSignature, Problem> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let signature: RequestSignature = header.parse().map_err(|_| refused())?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let node = signature.node;
    let is_known = cluster.admits(node) || node == cluster.node() || cluster.removal_of(node).is_some();
    let is_good = is_known && signature.is_of(ledger, (parts.method.as_str(), path, body));
    if is_good { Ok(signature) } else { Err(refused()) }
}

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(announce::announce, hold::hold, records::records, records::offer, sealing_keys::sealing_keys),
    tags((name = "peers", description = "Calls between nodes: signed by a member's key, not by an application's secret")),
)]
pub struct PeersApi;
