//! Tickets: bearer secrets whose life slides with their use, up to an end that no use moves.

use super::Kind;
use super::credential::Digest;
use super::ending::{Ending, Endings};
use super::ids::{Place, Subject, Tenant};
use super::subject::{Generation, SubjectState};
use super::time::{RETENTION_MARGIN_MILLIS, Timestamp, Ttl};

/// How a ticket was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketIssue {
    /// The record that issued it.
    pub place: Place,
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// The digest of its secret.
    pub digest: Digest,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// How long it lives without use.
    pub ttl: Ttl,
    /// The latest instant that any renewal may reach.
    pub not_after: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
}

/// What the fold knows of a ticket. An ending may be known before the issue, or without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// How it was issued, by the earliest record if there are several.
    pub issue: Option<TicketIssue>,
    /// The latest use on record; the issue counts as one.
    pub last_use_at: Timestamp,
    /// How it was ended.
    pub endings: Endings,
}

/// Why a ticket is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// It was never issued, as far as this node knows, or has left memory.
    Unknown,
    /// Its time is up.
    Expired,
    /// It was ended.
    Revoked(Place, Timestamp),
}

impl TicketIssue {
    /// When the ticket expires after that use.
    pub fn expires_after(&self, last_use_at: Timestamp) -> Timestamp {
        last_use_at.plus(self.ttl).min(self.not_after)
    }

    /// Until when an ending of this ticket is kept.
    pub fn retain_ending_until(&self) -> Timestamp {
        self.not_after.plus_millis(RETENTION_MARGIN_MILLIS)
    }
}

impl Ticket {
    /// When the ticket expires, as the log has it.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.issue.as_ref().map(|issue| issue.expires_after(self.last_use_at.max(issue.issued_at)))
    }

    /// The issue of a ticket that is good at `now`, or why it is not.
    pub fn good(&self, subject: &SubjectState, now: Timestamp) -> Result<&TicketIssue, Dead> {
        let issue = self.issue.as_ref().ok_or(Dead::Unknown)?;
        if let Some((place, revoked_at)) = self.ended_by(issue, subject) {
            return Err(Dead::Revoked(place, revoked_at));
        }
        if now < issue.expires_after(self.last_use_at.max(issue.issued_at)) { Ok(issue) } else { Err(Dead::Expired) }
    }

    /// The ending of this very ticket, if it was ended by itself.
    pub fn ending(&self) -> Option<&Ending> {
        self.issue.as_ref().and_then(|issue| self.endings.of(&issue.tenant, &issue.subject))
    }

    /// Until when this is worth remembering.
    pub fn retain_until(&self) -> Timestamp {
        let life = self.issue.as_ref().map(|issue| issue.not_after);
        life.max(self.endings.retain_until()).unwrap_or_default()
    }

    /// Forgets how it was issued once no use can reach further, as [`super::Lasting::forget_issue`] does.
    pub fn forget_issue(&mut self, now: Timestamp) {
        if self.issue.as_ref().is_some_and(|issue| issue.not_after <= now) {
            (self.issue, self.last_use_at) = (None, Timestamp::default());
        }
    }

    /// Joins what another node, or a later record, knows.
    ///
    /// Uses belong to the issue that they name: where a secret was issued twice, those of the later issue go with it.
    pub fn merge(&mut self, other: Self) {
        let place = |ticket: &Self| ticket.issue.as_ref().map(|issue| issue.place);
        match (place(self), place(&other)) {
            (Some(mine), Some(theirs)) if mine < theirs => {}
            (Some(mine), Some(theirs)) if mine == theirs => {
                self.last_use_at = self.last_use_at.max(other.last_use_at);
            }
            (_, Some(_)) => (self.issue, self.last_use_at) = (other.issue, other.last_use_at),
            (_, None) => {}
        }
        self.endings.merge(other.endings);
    }

    /// Joins a use of the ticket that was issued at that place. True if this is that ticket.
    pub fn used(&mut self, issued: Place, used_at: Timestamp) -> bool {
        let is_this = self.issue.as_ref().is_some_and(|issue| issue.place == issued);
        if is_this {
            self.last_use_at = self.last_use_at.max(used_at);
        }
        is_this
    }

    fn ended_by(&self, issue: &TicketIssue, subject: &SubjectState) -> Option<(Place, Timestamp)> {
        let alone = self.endings.of(&issue.tenant, &issue.subject).map(|ending| (ending.place, ending.revoked_at));
        let with_all = subject.ends(Kind::Ticket, &issue.generation);
        alone.into_iter().chain(with_all).min_by_key(|(place, revoked_at)| (*revoked_at, *place))
    }
}
