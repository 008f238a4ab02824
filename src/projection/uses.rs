//! Uses of tickets: noted in memory, and recorded seldom.

use super::Projection;
use crate::domain::{
    Active, Credential, CredentialId, CredentialKey, CredentialView as _, Inactive, Issue, Kind, Timestamp,
    judge_known, worth_recording,
};

impl Projection {
    /// Notes a request with an active ticket; returns an instant that is strictly later than that of the last request.
    ///
    /// Nothing is appended: a use is recorded with the next flush, if the last one on record is a tenth of a life old.
    pub fn touch(&self, id: CredentialId, now: Timestamp) -> Result<(Active, Timestamp), Inactive> {
        let (ticket, recorded_use_at) = self.ticket_in_use(id);
        let active = judge_known(self, Kind::Ticket, ticket, now)?;
        let seen_at = self.tickets.touch(id, now).ok_or(Inactive::Unknown)?;
        if worth_recording(&active.issue, recorded_use_at, now) {
            // After the expiry on record only the use before it is recorded, which keeps the ticket active.
            let counts = now < active.issue.expires_with(recorded_use_at);
            if self.tickets.queue(id, if counts { now } else { Timestamp::default() }) {
                self.uses.lock().push(id);
            }
        }
        Ok((active, seen_at))
    }

    /// Notes that a ticket was used at that instant, as another process has seen. True if that moves its expiry, and is
    /// recorded with the next flush.
    ///
    /// The ticket counts if it was active at that instant and is not revoked now.
    pub fn note_use(&self, id: CredentialId, used_at: Timestamp) -> Result<bool, Inactive> {
        let (ticket, recorded_use_at) = self.ticket_in_use(id);
        let known_use_at = ticket.latest;
        let issue = judge_known(self, Kind::Ticket, ticket, used_at)?.issue;
        self.tickets.saw(id, used_at);
        // After the expiry on record it can't be recorded: the use before it, which keeps the ticket active, is to be.
        let counts = used_at > known_use_at
            && worth_recording(&issue, recorded_use_at, used_at)
            && used_at < issue.expires_with(recorded_use_at);
        if counts && self.tickets.queue(id, used_at) {
            self.uses.lock().push(id);
        }
        Ok(counts)
    }

    /// The issue of the ticket with that id, active or not.
    pub fn ticket_issue(&self, id: CredentialId) -> Option<Issue> {
        self.credential(CredentialKey { kind: Kind::Ticket, id }).issue
    }

    /// The ticket with its uses, and its last use on record.
    pub(super) fn ticket_in_use(&self, id: CredentialId) -> (Credential, Timestamp) {
        let (mut ticket, due_at) = self.tickets.get_with_use(id, &self.shared);
        let recorded_use_at = ticket.latest;
        if ticket.issue.as_ref().is_some_and(|issue| worth_recording(issue, recorded_use_at, due_at)) {
            ticket.latest = due_at;
        }
        (ticket, recorded_use_at)
    }

    /// The latest request of a ticket that memory knows of.
    pub fn seen_at(&self, id: CredentialId) -> Timestamp {
        self.tickets.seen_at(id)
    }

    /// Puts uses back that could not be recorded.
    pub fn put_back_uses(&self, uses: &[(CredentialId, Timestamp)]) {
        for (id, used_at) in uses {
            if self.tickets.queue(*id, *used_at) {
                self.uses.lock().push(*id);
            }
        }
    }

    /// Takes the uses that are to be recorded.
    pub fn take_uses(&self) -> Vec<(CredentialId, Timestamp)> {
        let ids = std::mem::take(&mut *self.uses.lock());
        ids.into_iter().filter_map(|id| Some((id, self.tickets.dequeue(id)?))).collect()
    }
}
