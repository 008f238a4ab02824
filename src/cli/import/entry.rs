//! One credential as it is sent to the server, and the reasons why a line of a dump can't be one.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::{Digest, Kind, Secret};

/// A line of `POST /v1/imports`. It has no member that could hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportEntry {
    #[serde(serialize_with = "name")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    issued_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aal: Option<String>,
}

/// The facts that a reader has found about a credential.
pub struct CredentialFacts {
    pub kind: Kind,
    pub tenant: Option<String>,
    pub subject: String,
    pub id: Option<String>,
    pub digest: Option<String>,
    pub issued_at: String,
    pub expires_at: String,
    pub ttl: Option<u64>,
    pub not_after: Option<String>,
    pub aal: Option<String>,
}

/// The content of a place in a dump.
pub enum DumpRow {
    /// A credential to be sent.
    Entry(Box<ImportEntry>),
    /// A credential that is not active any more.
    Inactive,
}

/// Why a line is not sent: never with any part of the line itself, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRefusal {
    /// A stable name.
    pub code: &'static str,
    /// How to correct it.
    pub detail: String,
}

impl EntryRefusal {
    /// The line does not have the form of the format.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self { code: "malformed-line", detail: detail.into() }
    }

    /// The line is not the object that it should be; `about` says which one.
    pub fn unreadable(error: &serde_json::Error, about: &str) -> Self {
        // The parser's own sentence quotes what it found.
        Self::malformed(format!("the line is not {about}; see its column {}", error.column()))
    }

    /// The line is longer than any credential.
    pub fn too_long(bytes: usize) -> Self {
        Self { code: "line-too-long", detail: format!("the line is longer than {bytes} bytes") }
    }
}

impl ImportEntry {
    /// Checks that a secret is never sent to the server in the place of its digest or of an id. The server judges the
    /// rest.
    pub fn new(facts: CredentialFacts) -> Result<Self, EntryRefusal> {
        let CredentialFacts { kind, tenant, subject, id, digest, issued_at, expires_at, ttl, not_after, aal } = facts;
        if digest.as_deref().is_some_and(|digest| digest.parse::<Digest>().is_err()) {
            return Err(EntryRefusal::malformed("`digest` is not 64 lower-case hexadecimal digits"));
        }
        let id = id.map(|id| checked_id(kind, &id)).transpose()?;
        Ok(Self { kind, tenant, subject, id, digest, issued_at, expires_at, ttl, not_after, aal })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

fn name<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// A ticket's own id is its secret, so it does not take an id: its public name follows from its digest.
fn checked_id(kind: Kind, id: &str) -> Result<String, EntryRefusal> {
    if kind == Kind::Ticket {
        return Err(EntryRefusal::malformed("a ticket takes no `id`: the ledger names it by its digest"));
    }
    let id = Uuid::try_parse(id).map_err(|_| EntryRefusal::malformed("`id` is not a UUID"))?;
    Ok(id.hyphenated().to_string())
}

/// The digest of the bearer's secret; from here on the secret is gone.
pub fn digested(secret: String) -> String {
    Secret::new(&secret).digest().to_string()
}
