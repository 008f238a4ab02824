//! Ledger time as operators see it and set it right.

mod accept;
mod show;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::ClockStanding;
use crate::domain::Timestamp;
use crate::http::wire::Shown;
use crate::service::{Beyond, BeyondCredential};

pub use accept::accept_clock;
pub use show::show_clock;

// Named for the OpenAPI document, which finds a handler's description beside it.
pub use accept::__path_accept_clock;
pub use show::__path_show_clock;

/// The two clocks, and how they stand to each other.
#[derive(Serialize, ToSchema)]
#[schema(as = ClockStanding)]
pub(super) struct StandingShown {
    /// What lives are stamped with and judged by.
    #[schema(value_type = String, format = DateTime)]
    ledger_time: Shown<Timestamp>,
    /// What the machine says.
    #[schema(value_type = String, format = DateTime)]
    wall_clock: Shown<Timestamp>,
    /// Whether ledger time follows the wall clock. Else one of the two is wrong by more than a minute, and somebody has to say which.
    settled: bool,
    /// For how many milliseconds that has been unsettled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    unsettled_milliseconds: Option<u64>,
    /// Whether nothing is issued, extended or imported until it is settled: that is so after an hour.
    refuses_issues: bool,
    /// Nothing is forgotten that was not over at this instant.
    #[schema(value_type = String, format = DateTime)]
    forgets_at: Shown<Timestamp>,
}

impl From<&ClockStanding> for StandingShown {
    fn from(standing: &ClockStanding) -> Self {
        Self {
            ledger_time: Shown(standing.ledger),
            wall_clock: Shown(standing.wall),
            settled: standing.jump.is_none(),
            unsettled_milliseconds: standing.jump.map(|jump| jump.unsettled_millis),
            refuses_issues: standing.refuses_issues,
            forgets_at: Shown(standing.forgets_at),
        }
    }
}

/// What this node has recorded beyond the wall clock, where ledger time is ahead of it.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedBeyond)]
pub(super) struct BeyondShown<'a> {
    /// How many records there are.
    records: u64,
    /// How many of them have ended all that a subject had. Their holds and `not_before` stand.
    subjects_revoked: u64,
    /// How many credentials they have issued, extended or noted a use of, and that are not revoked.
    credentials_total: u64,
    /// These credentials: the first 1,000.
    credentials: Vec<BeyondCredentialShown<'a>>,
}

/// A credential that was issued, extended or used beyond the wall clock.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialBeyond)]
struct BeyondCredentialShown<'a> {
    /// Its kind.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Its public id.
    id: &'a str,
    /// The name space of its subject.
    tenant: &'a str,
    /// Who it is for.
    subject: &'a str,
    /// When that was recorded.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Shown<Timestamp>,
}

impl<'a> From<&'a Beyond> for BeyondShown<'a> {
    fn from(beyond: &'a Beyond) -> Self {
        let one = |credential: &'a BeyondCredential| BeyondCredentialShown {
            kind: credential.kind.as_str(),
            id: &credential.id,
            tenant: credential.tenant.as_str(),
            subject: credential.subject.as_str(),
            recorded_at: Shown(credential.recorded_at),
        };
        Self {
            records: beyond.records,
            subjects_revoked: beyond.subjects_revoked,
            credentials_total: beyond.total,
            credentials: beyond.credentials.iter().map(one).collect(),
        }
    }
}
