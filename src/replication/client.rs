//! The HTTP client for other nodes: this node's key signs every request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Certificate, Client, Method, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

use crate::cluster::wire::{ANNOUNCEMENTS_PATH, HEAD_HEADER, HOLDINGS_PATH, HeldOf, HeldRecords, RemovedBy};
use crate::cluster::{MAX_ANNOUNCEMENT_BYTES, MAX_PARCEL_BYTES, SignedHead};
use crate::domain::{LedgerId, Origin, RecordId, Sequence, Timestamp};
use crate::service::Cluster;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer that nothing waits for may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other node may wait for records before it answers, in seconds.
const WAIT_SECONDS: u64 = 20;

/// Why another node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerRequestError {
    /// The client can't be set up.
    #[error("set up the client for other nodes: {0}")]
    Setup(String),
    /// The certificates can't be read.
    #[error("read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The node can't be reached, or the connection broke.
    #[error("ask {address}: {why}")]
    Unreachable { address: String, why: String },
    /// The node refuses.
    #[error("{address} refuses: {status}")]
    Refused {
        address: String,
        /// The answer's status.
        status: StatusCode,
    },
    /// The node says that this one was removed. Its word alone proves nothing: the record does.
    #[error("{address} says that this node was removed")]
    Removed {
        address: String,
        /// The record that did it.
        by: RecordId,
    },
    /// The other end is not a node of this ledger.
    #[error("{address} does not answer like a node")]
    NotANode { address: String },
}

impl PeerRequestError {
    /// Whether the node says that this one is not a member: it does not know it, or it was removed.
    pub const fn is_of_membership(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::UNAUTHORIZED, .. } | Self::Removed { .. })
    }
}

/// Asks other nodes.
#[derive(Clone)]
pub struct PeerClient {
    client: Client,
    cluster: Arc<Cluster>,
    ledger: LedgerId,
}

impl PeerClient {
    /// A client in the name of this node; `ca` names the trusted certificates, if those of the system are not.
    pub fn new(cluster: Arc<Cluster>, ledger: LedgerId, ca: Option<&Path>) -> Result<Self, PeerRequestError> {
        // A default that was installed before in this process is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("authledger/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if let Some(path) = ca {
            let pem = std::fs::read(path).map_err(|source| PeerRequestError::File { path: path.to_owned(), source })?;
            let read =
                Certificate::from_pem_bundle(&pem).map_err(|error| PeerRequestError::Setup(error.to_string()))?;
            builder = builder.tls_certs_only(read);
        }
        let client = builder.build().map_err(|error| PeerRequestError::Setup(error.to_string()))?;
        Ok(Self { client, cluster, ledger })
    }

    /// Sends this node's announcement to that node, and gives its own.
    pub async fn announce(&self, address: &str, announcement: Bytes) -> Result<Option<Bytes>, PeerRequestError> {
        // Signed over no body: the announcement is signed itself, and its reader wants to know the sender before
        // reading it. Its age does not matter: an announcement has a number.
        let (at, _) = self.cluster.request_times();
        let signature = self.cluster.sign_request(self.ledger, at, (Method::POST.as_str(), ANNOUNCEMENTS_PATH, b""));
        let request = self.client.post(format!("{address}{ANNOUNCEMENTS_PATH}")).timeout(ANSWER_TIMEOUT);
        let request = request.header(reqwest::header::AUTHORIZATION, signature.to_string());
        let response = request.body(announcement).send().await.map_err(|error| unreachable(address, &error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::CONFLICT => Err(removed(address, response).await),
            _ => whole(address, response, MAX_ANNOUNCEMENT_BYTES).await.map(Some),
        }
    }

    /// That node's holding of an origin of this one, whose own copy ends at that record.
    pub async fn holding(&self, address: &str, origin: Origin, own: Sequence) -> Result<HeldOf, PeerRequestError> {
        let path = format!("{HOLDINGS_PATH}?origin={origin}&sequence={own}");
        let response = self.get(address, &path, ANSWER_TIMEOUT).await?;
        json(address, response).await
    }

    /// The records of an origin after that one, as that node has them; nothing, if it has none. With `wait` it answers
    /// when there are some, or after a while.
    pub async fn records(
        &self,
        address: &str,
        origin: Origin,
        after: Sequence,
        wait: bool,
    ) -> Result<Option<Bytes>, PeerRequestError> {
        let seconds = if wait { WAIT_SECONDS } else { 0 };
        let path = format!("/v1/origins/{origin}/records?after={after}&wait={seconds}");
        let response = self.get(address, &path, ANSWER_TIMEOUT + Duration::from_secs(seconds)).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        whole(address, response, MAX_PARCEL_BYTES).await.map(Some)
    }

    /// Offers that node records of an origin, and learns how far it now holds that origin.
    pub async fn offer(&self, address: &str, origin: Origin, text: Bytes) -> Result<Sequence, PeerRequestError> {
        let request = self.client.post(format!("{address}/v1/origins/{origin}/records")).timeout(ANSWER_TIMEOUT);
        // Proves before the body that it contains something signed by this origin.
        let head = SignedHead::last_in(&text).unwrap_or_default().to_owned();
        let response =
            request.header(HEAD_HEADER, head).body(text).send().await.map_err(|error| unreachable(address, &error))?;
        json::<HeldRecords>(address, response).await.map(|held| Sequence(held.sequence))
    }

    /// Requests that path, signed. A node with an unsettled clock gives its ledger time first, and if that is refused
    /// its wall clock: whichever is right, the others must hear of it.
    pub async fn get(&self, address: &str, path: &str, timeout: Duration) -> Result<Response, PeerRequestError> {
        let (ledger_time, wall_clock) = self.cluster.request_times();
        let response = self.get_at(ledger_time, address, path, timeout).await?;
        match wall_clock {
            Some(wall_clock) if response.status() == StatusCode::UNAUTHORIZED => {
                self.get_at(wall_clock, address, path, timeout).await
            }
            _ => Ok(response),
        }
    }

    async fn get_at(
        &self,
        at: Timestamp,
        address: &str,
        path: &str,
        timeout: Duration,
    ) -> Result<Response, PeerRequestError> {
        let signature = self.cluster.sign_request(self.ledger, at, (Method::GET.as_str(), path, b""));
        let request = self.client.get(format!("{address}{path}")).timeout(timeout);
        let request = request.header(reqwest::header::AUTHORIZATION, signature.to_string());
        request.send().await.map_err(|error| unreachable(address, &error))
    }
}

/// A JSON answer, bounded.
pub async fn json<T: DeserializeOwned>(address: &str, response: Response) -> Result<T, PeerRequestError> {
    let body = whole(address, response, MAX_ANNOUNCEMENT_BYTES).await?;
    serde_json::from_slice(&body).map_err(|_| PeerRequestError::NotANode { address: address.to_owned() })
}

/// What a conflict says: this node was removed.
async fn removed(address: &str, mut response: Response) -> PeerRequestError {
    let not_a_node = || PeerRequestError::NotANode { address: address.to_owned() };
    let body = match bounded(address, &mut response, MAX_ANNOUNCEMENT_BYTES).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let Ok(RemovedBy { origin, sequence }) = serde_json::from_slice(&body) else { return not_a_node() };
    let Ok(origin) = origin.parse() else { return not_a_node() };
    PeerRequestError::Removed { address: address.to_owned(), by: RecordId { origin, sequence: Sequence(sequence) } }
}

async fn whole(address: &str, mut response: Response, limit: usize) -> Result<Bytes, PeerRequestError> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(PeerRequestError::Refused { address: address.to_owned(), status });
    }
    bounded(address, &mut response, limit).await
}

async fn bounded(address: &str, response: &mut Response, limit: usize) -> Result<Bytes, PeerRequestError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(address, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(PeerRequestError::NotANode { address: address.to_owned() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn unreachable(address: &str, error: &reqwest::Error) -> PeerRequestError {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    PeerRequestError::Unreachable { address: address.to_owned(), why: deepest.to_string() }
}
