//! `POST /v1/nodes`

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::{Vouch, VouchText};
use crate::domain::{Malformed, NodeJoined, NodeKey, NodeName, PeerAddress, Reads, Region, Scope};
use crate::http::openapi::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Form, Text, present};
use crate::http::{SharedApp, answer, caller};

/// A node that joins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNode)]
struct Body {
    /// The key that it signs with: Ed25519, 32 bytes in hexadecimal digits. `authledger node join` makes it.
    #[schema(value_type = String, min_length = 64, max_length = 64)]
    key: Text<NodeKey>,
    /// Its name: 1 to 255 bytes, none that a member has.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    node: Text<NodeName>,
    /// Where it is: 1 to 255 bytes.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    region: Text<Region>,
    /// Where other nodes reach it over HTTP.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    address: Option<Text<PeerAddress>>,
    /// The events that it reads, each up to a version.
    reads: BTreeMap<String, u64>,
}

/// What a node has to know that joined.
#[derive(Serialize, ToSchema)]
#[schema(as = JoinedNode)]
struct Joined {
    /// The ledger.
    ledger: String,
    /// The keys of its nodes: records that lead to a head which one of them signed are to be believed.
    keys: Vec<String>,
    /// Where nodes are reached.
    addresses: Vec<String>,
    /// Up to where the node that was asked vouches for origins whose own nodes are gone: it signs heads in their place, which a node that
    /// joined through it believes up to there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vouched: Vec<Vouched>,
    /// The record that says so; none, if it was so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Whether subjects are pseudonyms in this ledger: then the new node needs the key that makes them.
    subject_pseudonyms: bool,
}

/// Up to where a member vouches for an origin whose own node is gone.
#[derive(Serialize, ToSchema)]
#[schema(as = VouchedOrigin)]
struct Vouched {
    /// The origin.
    origin: String,
    /// Its last record that is vouched for.
    sequence: u64,
    /// The chain there, in hexadecimal digits.
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

/// Makes a node a member, by its key. It is waited for, and answers callers, once it holds what the others hold. The node that is
/// asked becomes a member with the first other one. Needs the scope `admin` in every tenant.
#[utoipa::path(
    post,
    path = "/v1/nodes",
    tag = "nodes",
    params(CommandHeaders),
    request_body = Body,
    responses((status = 201, description = "It is a member", body = Joined), Refusals),
)]
pub async fn join_node(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, body) = caller::command_everywhere::<Body>(&app, request, Scope::Admin).await?;
    let joined = app.service.join_node(&call, body.checked()?).await?;
    let answered = Joined {
        ledger: joined.ledger.to_string(),
        keys: joined.keys.iter().map(NodeKey::to_string).collect(),
        addresses: joined.addresses,
        vouched: joined.vouched.iter().map(Vouched::from).collect(),
        position: joined.position.map(|position| position.0),
        subject_pseudonyms: app.service.has_pseudonyms(),
    };
    Ok(answer::json(StatusCode::CREATED, &answered))
}

impl Body {
    fn checked(self) -> Result<NodeJoined, Problem> {
        if self.reads.is_empty() || self.reads.len() > Reads::MAX_TYPES {
            return Err(Problem::with_detail(Code::InvalidBody, "`reads`: must have 1 to 256 members"));
        }
        Ok(NodeJoined {
            key: self.key.0,
            node: self.node.0,
            region: self.region.0,
            address: self.address.map(|Text(address)| address),
            reads: self.reads.into_iter().map(|(name, version)| (name.into_boxed_str(), version)).collect(),
        })
    }
}

impl Form for NodeKey {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl Form for NodeName {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl Form for Region {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl Form for PeerAddress {
    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}
