//! The tenants that the edge's application may follow: of others it hears no revocation, so it decides about none of their
//! credentials alone.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};

use crate::clock::boot_millis;
use crate::follower::{CallFailure, Upstream};

/// The tenants that are remembered. They come from tokens whose signature is valid, so strangers can't add any.
const MAX_TENANTS: usize = 10_000;
/// How long a refusal is remembered: the application may be registered with further tenants under the same secret one day.
const REFUSED_MILLIS: u64 = 60_000;
const MAX_ANSWER_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the application may follow each tenant.
#[derive(Default)]
pub(super) struct FollowedTenants(RwLock<HashMap<String, Followed>>);

#[derive(Clone, Copy)]
enum Followed {
    Yes,
    /// Until that instant of the boot clock.
    No(u64),
}

impl FollowedTenants {
    /// Forgets all: the ledger is another one.
    pub(super) fn clear(&self) {
        self.0.write().clear();
    }

    /// Whether the revocations of that tenant come to this edge; asks the node if that is not known yet.
    pub(super) async fn has(&self, tenant: &str, upstream: &Upstream) -> Result<bool, CallFailure> {
        match self.0.read().get(tenant) {
            Some(Followed::Yes) => return Ok(true),
            Some(Followed::No(until)) if boot_millis() < *until => return Ok(false),
            Some(Followed::No(_)) | None => {}
        }
        // A page that begins now is empty, and comes at once.
        let request = upstream.request(Method::GET, "/v1/revocations").query(&[("tenant", tenant), ("limit", "1")]);
        let request = request.header(ACCEPT, "application/json");
        let (followed, answer) = match upstream.exchange(request, MAX_ANSWER_BYTES, PATIENCE).await? {
            (StatusCode::OK, _) => (Followed::Yes, true),
            (StatusCode::FORBIDDEN, _) => {
                tracing::warn!(tenant, "a token is refused, because this edge's application may not follow its tenant");
                (Followed::No(boot_millis() + REFUSED_MILLIS), false)
            }
            (status, _) => return Err(CallFailure::Status(status)),
        };
        let mut tenants = self.0.write();
        if tenants.len() < MAX_TENANTS || tenants.contains_key(tenant) {
            tenants.insert(tenant.to_owned(), followed);
        }
        Ok(answer)
    }
}
