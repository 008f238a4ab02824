//! Ledger time as a server keeps it: followed, marked on disk, shown, and corrected by an operator.
//!
//! `docs/operate/time.md` explains its purpose. The course itself is in `clock`.

mod beyond;
mod keeper;
mod marks;

use std::fmt::Write as _;
use std::time::Duration;

use super::{Call, CallerIdentity, Error, Failure, Service};
use crate::clock::{Acceptance, AcceptedTime, ClockStanding};
use crate::domain::{Rejection, Scope, Timestamp, View as _, lineage};

pub(super) use beyond::revoke_beyond;
pub use beyond::{Beyond, BeyondCredential, MAX_LISTED};
pub(super) use keeper::Timekeeper;
pub(super) use marks::{ClockStart, Marks};

/// The two clocks, and the records beyond the wall clock.
#[derive(Clone, Debug)]
pub struct ClockShown {
    /// The two clocks.
    pub standing: ClockStanding,
    /// The records of this node beyond the wall clock, if ledger time is ahead of it.
    pub beyond: Beyond,
}

/// The result of accepting the wall clock.
#[derive(Clone, Debug)]
pub struct ClockAccepted {
    /// The clocks before it.
    pub before: ClockStanding,
    /// Whether there was anything to accept.
    pub changed: bool,
    /// Whether the server restarts to continue under a new origin.
    pub starts_again: bool,
    /// The records beyond the accepted instant; the credentials in them are revoked.
    pub beyond: Beyond,
}

impl Service {
    /// The two clocks. Needs `admin` in every tenant.
    pub async fn clock_shown(&self, identity: &CallerIdentity) -> Result<ClockShown, Error> {
        admin_everywhere(identity)?;
        let standing = self.clock.standing();
        let is_ahead = standing.jump.is_some() && standing.wall < standing.ledger;
        let beyond = if is_ahead { self.recorded_beyond(standing.wall).await? } else { Beyond::default() };
        Ok(ClockShown { standing, beyond })
    }

    /// Accepts the wall clock as ledger time. If there are records beyond it, the credentials in them are revoked, and
    /// the node continues under a new origin: for this the server has to restart, and [`Service::starts_again`] says
    /// so. Needs `admin` in every tenant.
    pub async fn accept_clock(&self, call: &Call) -> Result<ClockAccepted, Error> {
        admin_everywhere(&call.identity)?;
        let before = self.clock.standing();
        let unchanged = ClockAccepted { before, changed: false, starts_again: false, beyond: Beyond::default() };
        if before.jump.is_none() {
            return Ok(unchanged);
        }
        match self.timekeeping.marks.take_over().map_err(|error| Failure::key(format!("write DATA/clock: {error}")))? {
            Acceptance::Taken => {
                tracing::warn!(ledger_time = %before.ledger, wall_clock = %before.wall, "an operator has accepted the wall clock");
                Ok(ClockAccepted { changed: true, ..unchanged })
            }
            Acceptance::NeedsStart(at) => {
                let beyond = self.recorded_beyond(at).await?;
                let accepted = AcceptedTime { at, origin: self.origin };
                let marks = self.timekeeping.marks.clone();
                let kept = tokio::task::spawn_blocking(move || marks.accept(accepted)).await;
                kept.map_err(Failure::of_task)?.map_err(|error| Failure::key(format!("write DATA/clock: {error}")))?;
                tracing::warn!(
                    ledger_time = %before.ledger, wall_clock = %at, credentials = beyond.total,
                    "an operator has accepted an earlier time: the server restarts, revokes the credentials recorded beyond it, and continues under a new origin"
                );
                self.timekeeping.starts_again.send_replace(true);
                Ok(ClockAccepted { changed: true, starts_again: true, beyond, ..unchanged })
            }
        }
    }

    /// Returns once the server must restart, because an earlier time was accepted.
    pub async fn starts_again(&self) {
        let mut starts_again = self.timekeeping.starts_again.subscribe();
        if starts_again.wait_for(|starts| *starts).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The warning for the operator about the clocks, if there is one.
    pub fn clock_warning(&self) -> Option<String> {
        let standing = self.clock.standing();
        warning(&standing, self.timekeeping.marks.confirmed_by())
    }

    async fn recorded_beyond(&self, at: Timestamp) -> Result<Beyond, Error> {
        let origins = lineage(&self.projection.origins(), self.origin, None);
        let projection = self.projection.clone();
        Ok(self.read(move |reader| Ok(beyond::list(reader, &projection, &origins, at)?)).await?)
    }
}

fn admin_everywhere(identity: &CallerIdentity) -> Result<(), Error> {
    if identity.grants.everywhere().contains(Scope::Admin) { Ok(()) } else { Err(Rejection::Forbidden.into()) }
}

/// The text about an unsettled jump for readiness and the log.
fn warning(standing: &ClockStanding, confirmed_by: Option<&'static str>) -> Option<String> {
    let jump = standing.jump?;
    let (ledger, wall) = (standing.ledger, standing.wall);
    let is_behind = wall < ledger;
    let off = Duration::from_millis(ledger.as_millis().abs_diff(wall.as_millis()));
    let mut text = format!(
        "the wall clock says {wall} and ledger time is {ledger}: the wall clock is {} {}",
        span(off),
        if is_behind { "behind" } else { "ahead" },
    );
    // Writing to a String can't fail.
    let _ = match (confirmed_by, is_behind) {
        (Some(who), true) => write!(text, ", and {who} say it is right, so records were made too far ahead"),
        (Some(who), false) => write!(text, ", and {who} say it is right"),
        (None, true) if jump.at_start => write!(text, "; it is wrong now, or it was ahead before this start"),
        (None, _) => Ok(()),
    };
    let _ = write!(
        text,
        ". Ledger time runs on as before. Set the wall clock if it is wrong; if it is right, accept it with authledger clock accept"
    );
    let _ = match standing.refuses_issues {
        true => write!(text, ". Until then nothing is issued, extended or imported"),
        false => write!(text, ". After an hour nothing is issued, extended or imported until then"),
    };
    Some(text)
}

/// A span as people write it: its two largest units.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in &units[first..units.len().min(first + 2)] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Jump;

    #[test]
    fn spans_are_said_in_two_units() {
        for (seconds, said) in [(61, "1 min 1 s"), (7_200, "2 h"), (2_592_000 + 3_600, "30 d 1 h"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn a_warning_names_both_instants_and_what_to_do() {
        let at = |millis| Timestamp::from_millis(millis).expect("within bounds");
        let jump = Some(Jump { unsettled_millis: 0, at_start: true });
        let ledger = at(1_800_000_000_000);
        let standing =
            ClockStanding { ledger, wall: at(1_799_992_800_000), jump, refuses_issues: false, forgets_at: ledger };
        let text = warning(&standing, None).expect("a warning");
        for part in ["2027-01-15T08:00:00.000Z", "2027-01-15T06:00:00.000Z", "2 h behind", "authledger clock accept"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(
            warning(&ClockStanding { refuses_issues: true, ..standing }, None).expect("one").contains("Until then")
        );
        assert_eq!(warning(&ClockStanding { jump: None, ..standing }, None), None);
    }
}
