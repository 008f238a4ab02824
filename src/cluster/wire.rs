//! Bodies, paths and a header of the requests between nodes over HTTP: `schema/replication.md`. The client and the handlers both use
//! them, and the OpenAPI document shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The path that takes announcements.
pub const ANNOUNCEMENTS_PATH: &str = "/v1/nodes/announcements";
/// The path at which a starting node asks how much of its own origin another node holds.
pub const HOLDINGS_PATH: &str = "/v1/nodes/holdings";
/// Shows, before the body, that the sender has something that the origin has signed.
pub const HEAD_HEADER: &str = "authledger-head";
/// The most keys of one request.
pub const MAX_LENT_KEYS: usize = 1_024;

/// Where the removal of the asking node is on record: members of the problem `node-removed`.
#[derive(Deserialize)]
pub struct RemovedBy {
    /// The origin of the record.
    pub origin: String,
    /// Its place in that origin.
    pub sequence: u64,
}

/// What a node holds of an origin of the asking node.
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
    /// Where it is reached.
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

/// How far a node holds an origin's records.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct HeldRecords {
    /// The last one.
    pub sequence: u64,
}

/// Keys of personal parts.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = SealingKeys)]
pub struct LentKeys {
    /// Whether the origin is the answering node's own: then a missing key was destroyed.
    pub own: bool,
    /// Slots, each with its key in base64url.
    pub keys: Vec<(u64, String)>,
}
