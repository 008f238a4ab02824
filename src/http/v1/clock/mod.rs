//! Ledger time, as operators see it and correct it.

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

// CredentialRef for the OpenAPI document, which finds a handler's description beside it.
pub use accept::__path_accept_clock;
pub use show::__path_show_clock;

/// The two clocks, and how they relate.
#[derive(Serialize, ToSchema)]
#[schema(as = ClockStanding)]
pub(super) struct StandingShown {
    /// Ledger time: records are stamped with it, and expiry is judged by it.
    #[schema(value_type = String, format = DateTime)]
    ledger_time: Shown<Timestamp>,
    /// The machine's wall clock.
    #[schema(value_type = String, format = DateTime)]
    wall_clock: Shown<Timestamp>,
    /// Whether ledger time follows the wall clock. If not, one of the two is wrong by more than a minute, and an
    /// operator has to decide which.
    settled: bool,
    /// For how many milliseconds the clock has been unsettled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    unsettled_milliseconds: Option<u64>,
    /// Whether issuing, extending and importing are refused until the clock is settled. This begins after an hour.
    refuses_issues: bool,
    /// The ledger keeps everything that had not expired at this instant.
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

/// The records of this node beyond the wall clock, if ledger time is ahead of it.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedBeyond)]
pub(super) struct BeyondShown<'a> {
    /// How many records there are.
    records: u64,
    /// How many of them revoked everything that a subject had. Their holds and `not_before` stand.
    subjects_revoked: u64,
    /// How many credentials they issued, extended or noted a use of that are not revoked.
    credentials_total: u64,
    /// These credentials: at most the first 1,000.
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
    /// The subject that it was issued to.
    subject: &'a str,
    /// When the issue, extension or use was recorded.
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
