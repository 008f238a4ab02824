//! Uses of tickets that other processes saw: an edge answers checks by itself, and reports them afterwards.

use super::pace::STEP_ROWS;
use super::shares::Party;
use super::{CallerIdentity, Failure, Service};
use crate::domain::{CredentialId, Digest, Scope, Timestamp};

/// The use of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedUse {
    /// The ticket's public id.
    pub id: CredentialId,
    /// The digest of its secret, if the reporter knows that.
    pub digest: Option<Digest>,
    /// How long ago it was. An instant would be one of another clock.
    pub age_millis: u64,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOutcome {
    /// It prolongs the ticket, and is going to be recorded.
    Counted,
    /// It adds nothing: a use of nearly the same time is known.
    Known,
    /// The ticket was not active then, is revoked, or is not the caller's to ask about.
    Inactive,
}

impl Service {
    /// Notes these uses, in their order. Needs `introspect` in the tenant of each ticket.
    ///
    /// A use never moves a life backwards, so a report that is sent again changes nothing.
    pub async fn report_uses(
        &self,
        identity: &CallerIdentity,
        uses: &[ReportedUse],
    ) -> Result<Vec<UseOutcome>, Failure> {
        let now = self.clock.now();
        let mut pace = self.pace(Party::of(identity));
        let mut outcomes = Vec::with_capacity(uses.len());
        for step in uses.chunks(STEP_ROWS) {
            pace.step().await?;
            outcomes.extend(step.iter().map(|one| self.report_use(identity, one, now)));
        }
        Ok(outcomes)
    }

    fn report_use(&self, identity: &CallerIdentity, reported: &ReportedUse, now: Timestamp) -> UseOutcome {
        let issue = self.projection.ticket_issue(reported.id).filter(|issue| {
            let is_it = reported.digest.as_ref().is_none_or(|digest| issue.digest() == Some(digest));
            is_it && now < issue.not_after && identity.may(Scope::Introspect, &issue.tenant)
        });
        if issue.is_none() {
            return UseOutcome::Inactive;
        }
        let used_at = Timestamp::from_millis(now.as_millis().saturating_sub(reported.age_millis)).unwrap_or_default();
        match self.projection.note_use(reported.id, used_at) {
            Ok(true) => UseOutcome::Counted,
            Ok(false) => UseOutcome::Known,
            Err(_) => UseOutcome::Inactive,
        }
    }
}
