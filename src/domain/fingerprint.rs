//! A fingerprint of the state: equal on all nodes that hold the same records.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::application::Application;
use super::credential::{CredentialId, Kind, hex};
use super::ending::Ending;
use super::event::LedgerOpened;
use super::evolve::Answered;
use super::ids::{ApplicationId, Place, Subject, Tenant};
use super::state::State;
use super::subject::{Generation, SubjectKind, SubjectState};
use super::ticket::{Ticket, TicketIssue};
use super::time::Timestamp;

/// One entity of the state as a compact JSON array, its kind first. What only memory knows is not in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(String);

impl Row {
    /// An origin: `["origin", origin, sequence, ledger, node, region]`.
    pub fn origin(place: Place, opened: &LedgerOpened) -> Self {
        let (node, region) = (opened.node.as_str(), opened.region.as_str());
        Self::of(json!(["origin", place.origin.as_str(), place.sequence.0, opened.ledger.to_string(), node, region]))
    }

    /// An application: `["application", id, registration or null, removed]`.
    pub fn application(id: ApplicationId, application: &Application) -> Self {
        let registration = application.registered.as_ref().map(|(place, registration)| {
            let grants = registration.grants.as_slice().iter().map(|grant| {
                let scopes: Vec<_> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
                json!([grant.tenant.as_ref().map(Tenant::as_str), scopes])
            });
            json!([
                place.origin.as_str(),
                place.sequence.0,
                registration.name,
                registration.digest.to_string(),
                grants.collect::<Vec<_>>(),
                registration.expires_at.map(Timestamp::as_millis),
                registration.attributes,
            ])
        });
        Self::of(json!(["application", id.to_string(), registration, application.removed]))
    }

    /// A ticket: `["ticket", id, issue or null, last_use_at, endings]`.
    pub fn ticket(id: CredentialId, ticket: &Ticket) -> Self {
        let endings: Vec<_> = ticket.endings.iter().map(ending).collect();
        let issue = ticket.issue.as_ref().map(issue);
        Self::of(json!(["ticket", id.to_string(), issue, ticket.last_use_at.as_millis(), endings]))
    }

    /// The use of a ticket whose issue has not arrived: `["early_use", origin, sequence, used_at]`.
    pub fn early_use(place: Place, used_at: Timestamp) -> Self {
        Self::of(json!(["early_use", place.origin.as_str(), place.sequence.0, used_at.as_millis()]))
    }

    /// A subject: `["subject", tenant, subject, [[kind, endings, hold_until or null], …]]`, kinds with something only.
    pub fn subject(tenant: &Tenant, subject: &Subject, state: &SubjectState) -> Self {
        let kinds = Kind::ALL.iter().filter_map(|kind| subject_kind(*kind, state.of(*kind)));
        Self::of(json!(["subject", tenant.as_str(), subject.as_str(), kinds.collect::<Vec<_>>()]))
    }

    /// A command under an idempotency key: `["answered", key, body, origin, sequence, records, recorded_at]`.
    pub fn answered(answered: &Answered) -> Self {
        Self::of(json!([
            "answered",
            hex::encode(&answered.digests.key),
            hex::encode(&answered.digests.body),
            answered.first.origin.as_str(),
            answered.first.sequence.0,
            answered.records,
            answered.recorded_at.as_millis(),
        ]))
    }

    /// The row as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(value: Value) -> Self {
        Self(value.to_string())
    }
}

fn issue(issue: &TicketIssue) -> Value {
    json!([
        issue.place.origin.as_str(),
        issue.place.sequence.0,
        issue.tenant.as_str(),
        issue.subject.as_str(),
        issue.digest.to_string(),
        issue.issued_at.as_millis(),
        issue.ttl.as_seconds(),
        issue.not_after.as_millis(),
        generation(&issue.generation),
    ])
}

fn generation(generation: &Generation) -> Vec<Value> {
    generation.iter().map(|(origin, sequence)| json!([origin.as_str(), sequence.0])).collect()
}

fn ending(ending: &Ending) -> Value {
    json!([
        ending.tenant.as_ref().map(Tenant::as_str),
        ending.place.origin.as_str(),
        ending.place.sequence.0,
        ending.revoked_at.as_millis(),
        ending.retain_until.as_millis(),
        ending.unknown_by.map(|id| id.to_string()),
    ])
}

fn subject_kind(kind: Kind, state: &SubjectKind) -> Option<Value> {
    let endings = state.endings.iter().map(|(origin, ending)| {
        let (revoked_at, retain_until) = (ending.revoked_at.as_millis(), ending.retain_until.as_millis());
        json!([origin.as_str(), ending.sequence.0, revoked_at, ending.not_before, retain_until])
    });
    let endings: Vec<_> = endings.collect();
    let hold_until = state.hold_until.map(Timestamp::as_millis);
    (!endings.is_empty() || hold_until.is_some()).then(|| json!([kind.as_str(), endings, hold_until]))
}

/// SHA-256 over the state's rows, sorted by bytes, each behind its length in four big-endian bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of sorted rows.
    pub fn of_sorted<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for row in rows {
            // A row is made of one record's parts, so its length fits four bytes many times over.
            context.update(&(row.0.len() as u32).to_be_bytes());
            context.update(row.0.as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::write(&self.0, f)
    }
}

impl State {
    /// Every entity as a row, sorted. Prune first: what is over differs between nodes by when they looked.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.origins.iter().map(|(place, opened)| Row::origin(*place, opened)).collect();
        rows.extend(self.applications.iter().map(|(id, application)| Row::application(*id, application)));
        rows.extend(self.tickets.iter().map(|(id, ticket)| Row::ticket(*id, ticket)));
        rows.extend(self.early_uses.iter().map(|(place, at)| Row::early_use(*place, *at)));
        rows.extend(self.subjects.iter().map(|((tenant, subject), state)| Row::subject(tenant, subject, state)));
        rows.extend(self.answered.values().map(Row::answered));
        rows.sort_unstable();
        rows
    }
}
