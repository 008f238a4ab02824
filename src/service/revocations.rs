//! Revocations: the end of one credential, or of all that a subject has.

use std::sync::Arc;

use super::machine::{Filed, Outcome};
use super::{Call, Error, Service};
use crate::domain::{Command, CredentialId, Kind, Named, Reason, Revoke, RevokeSubject, Secret};

/// One credential, named by whoever wants it ended.
#[derive(Clone)]
pub enum Target {
    /// By presenting it, and what it is taken for where this node does not know it.
    Credential(Kind, Secret),
    /// By its public id.
    Id(Kind, CredentialId),
}

/// The revocations that a call made or found.
pub struct Revocations {
    /// The records.
    pub filed: Vec<Arc<Filed>>,
    /// Whether this call, or the one that it repeats, made them.
    pub made: bool,
}

impl Service {
    /// Ends one credential; of one that is ended already, tells how. Needs `revoke` in its tenant.
    pub async fn revoke(&self, call: &Call, target: Target, reason: Option<Reason>) -> Result<Revocations, Error> {
        let (kind, credential) = match target {
            Target::Credential(kind, secret) => (kind, Named::Digest(secret.digest())),
            Target::Id(kind, id) => (kind, Named::Id(id)),
        };
        let outcome = self.execute(call, Command::Revoke(Revoke { kind, credential, reason })).await?;
        self.revocations(outcome).await
    }

    /// Ends all that a subject has, in one record however much that is. Needs `revoke` in the tenant.
    pub async fn revoke_subject(&self, call: &Call, end: RevokeSubject) -> Result<Revocations, Error> {
        let outcome = self.execute(call, Command::RevokeSubject(end)).await?;
        self.revocations(outcome).await
    }

    async fn revocations(&self, outcome: Outcome) -> Result<Revocations, Error> {
        Ok(match outcome {
            Outcome::Appended(filed) => Revocations { filed, made: true },
            Outcome::Repeated(first, records) => Revocations { filed: self.filed(first, records).await?, made: true },
            Outcome::Already(place) => Revocations { filed: self.filed(place, 1).await?, made: false },
            Outcome::Nothing => Revocations { filed: Vec::new(), made: false },
        })
    }
}
