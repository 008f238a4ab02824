//! Lines as `POST /v1/imports` takes them, with `secret` in the place of `digest`.

use serde::Deserialize;

use super::ImportSettings;
use super::entry::{CredentialFacts, DumpRow, EntryRefusal, ImportEntry, digested};

/// Strict, because an unknown member may hold a secret, and must not be passed on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NdjsonLine {
    kind: String,
    tenant: Option<String>,
    subject: String,
    id: Option<String>,
    digest: Option<String>,
    secret: Option<String>,
    issued_at: String,
    expires_at: String,
    ttl: Option<u64>,
    not_after: Option<String>,
    aal: Option<String>,
}

const ABOUT: &str = "an object with kind, subject, issued_at and expires_at, and beside them nothing but tenant, id, digest or \
secret, ttl, not_after and aal";

/// Reads one line.
pub fn row(text: &[u8], settings: &ImportSettings) -> Result<DumpRow, EntryRefusal> {
    let line: NdjsonLine = serde_json::from_slice(text).map_err(|error| EntryRefusal::unreadable(&error, ABOUT))?;
    let digest = match (line.digest, line.secret) {
        (Some(_), Some(_)) => {
            return Err(EntryRefusal::malformed("the line has a `digest` and a `secret`; one is enough"));
        }
        (digest, secret) => digest.or_else(|| secret.map(digested)),
    };
    let kind = line.kind.parse().map_err(|_| EntryRefusal::malformed("`kind` is not one of ticket, session, token"))?;
    let entry = ImportEntry::new(CredentialFacts {
        kind,
        tenant: line.tenant.or_else(|| settings.tenant.clone()),
        subject: line.subject,
        id: line.id,
        digest,
        issued_at: line.issued_at,
        expires_at: line.expires_at,
        ttl: line.ttl,
        not_after: line.not_after,
        aal: line.aal,
    })?;
    Ok(DumpRow::Entry(Box::new(entry)))
}
