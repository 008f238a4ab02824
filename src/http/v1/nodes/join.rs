//! `POST /v1/nodes`

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::{Vouch, VouchText};
use crate::domain::{Malformed, NodeJoined, NodeKey, NodeName, PeerAddress, Reads, Region, Scope};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm, WireText, present};
use crate::http::{SharedApp, answer, caller};

/// A node that joins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNode)]
struct JoinBody {
    /// The key that it signs with: Ed25519, 32 bytes in hexadecimal digits. `authledger node join` makes it.
    #[schema(value_type = String, min_length = 64, max_length = 64)]
    key: WireText<NodeKey>,
    /// Its name: 1 to 255 bytes, different from every other member's.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    node: WireText<NodeName>,
    /// Its region: 1 to 255 bytes.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    region: WireText<Region>,
    /// The address at which other nodes reach it over HTTP.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    address: Option<WireText<PeerAddress>>,
    /// The types of event that it reads, each up to a version.
    reads: BTreeMap<String, u64>,
}

/// The things that a new member needs to know.
#[derive(Serialize, ToSchema)]
#[schema(as = JoinedNode)]
struct JoinedNodeShown {
    /// The ledger's id.
    ledger: String,
    /// The keys of its nodes: records that lead to a head which one of these keys signed can be trusted.
    keys: Vec<String>,
    /// The addresses of its nodes.
    addresses: Vec<String>,
    /// How far the answering node vouches for origins whose own nodes are gone. It signs heads in their place, which a
    /// node that joined through it trusts up to there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vouched: Vec<Vouched>,
    /// The record of the join; absent if the node was already a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Whether this ledger records pseudonyms of subjects. If so, the new node needs the key that makes them.
    subject_pseudonyms: bool,
}

/// How far a member vouches for an origin whose own node is gone.
#[derive(Serialize, ToSchema)]
#[schema(as = VouchedOrigin)]
struct Vouched {
    /// The origin.
    origin: String,
    /// The last record that the member vouches for.
    sequence: u64,
    /// The chain hash there, in hexadecimal digits.
    hash: String,
    /// The key of the member that vouches.
    by: String,
}

impl From<&Vouch> for Vouched {
    fn from(vouch: &Vouch) -> Self {
        let VouchText { origin, sequence, hash, by } = vouch.to_text();
        Self { origin, sequence, hash, by }
    }
}

/// Makes a node a member, by its key. The other nodes wait for it, and it answers callers, once it holds what they
/// hold. The node that is asked becomes a member together with the first other node. Needs the scope `admin` in every
/// tenant.
#[utoipa::path(
    post,
    path = "/v1/nodes",
    tag = "nodes",
    params(CommandHeaders),
    request_body = JoinBody,
    responses((status = 201, description = "It is a member", body = JoinedNodeShown), Refusals),
)]
pub async fn join_node(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command_everywhere::<JoinBody>(&app, request, Scope::Admin).await?;
    let joined = app.service.join_node(&call, body.checked()?).await?;
    let answered = JoinedNodeShown {
        ledger: joined.ledger.to_string(),
        keys: joined.keys.iter().map(NodeKey::to_string).collect(),
        addresses: joined.addresses,
        vouched: joined.vouched.iter().map(Vouched::from).collect(),
        position: joined.position.map(|position| position.0),
        subject_pseudonyms: app.service.has_pseudonyms(),
    };
    Ok(answer::json(StatusCode::CREATED, &answered))
}

impl JoinBody {
    fn checked(self) -> Result<NodeJoined, Problem> {
        if self.reads.is_empty() || self.reads.len() > Reads::MAX_TYPES {
            return Err(Problem::with_detail(Code::InvalidBody, "`reads`: must have 1 to 256 members"));
        }
        Ok(NodeJoined {
            key: self.key.0,
            node: self.node.0,
            region: self.region.0,
            address: self.address.map(|WireText(address)| address),
            reads: self.reads.into_iter().map(|(name, version)| (name.into_boxed_str(), version)).collect(),
        })
    }
}

impl TextForm for NodeKey {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TextForm for NodeName {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for Region {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl TextForm for PeerAddress {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}
