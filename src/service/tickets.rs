//! Tickets: issued, used.

use std::sync::Arc;

use super::machine::{Filed, Issued};
use super::{Call, CallerIdentity, Error, Failure, Service, Target};
use crate::clock::fresh_uuid;
use crate::domain::{
    Active, Command, CredentialKey, Digest, Event, Forbidden, Issue, IssueRejection, IssueTicket, Kind, Scope, Secret,
    Subject, Tenant, Timestamp, Ttl,
};

/// A ticket to issue.
#[derive(Clone)]
pub struct NewTicket {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// After how long without use it expires; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The credential that it comes from.
    pub parent: Option<Target>,
}

/// An issued ticket, with its secret for this one answer.
pub struct IssuedTicket {
    /// The record of its issue.
    pub filed: Arc<Filed>,
    /// The secret in clear, for its bearer only.
    pub secret: Secret,
}

/// A ticket that was used just now.
pub struct UsedTicket {
    pub issue: Issue,
    /// When it was used: strictly later than the use before.
    pub last_used_at: Timestamp,
}

impl Service {
    /// Issues a ticket. Needs `issue` in its tenant.
    pub async fn issue_ticket(&self, call: &Call, new: NewTicket) -> Result<IssuedTicket, Error<IssueRejection>> {
        let parent = self.new_parent(call, &new.tenant, new.parent.as_ref()).await?;
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let secret = Secret::new(fresh_uuid()?.hyphenated().encode_lower(&mut text));
        self.keep_for_repetition(call, &secret);
        let NewTicket { tenant, subject, ttl, .. } = new;
        let issue = IssueTicket { tenant, subject, digest: secret.digest(), ttl, parent };
        match self.execute(call, issue).await?.issued(call)? {
            Issued::Now(filed) => Ok(IssuedTicket { filed, secret }),
            Issued::Before(first) => self.issued_before(first).await,
        }
    }

    /// Uses a ticket: it stays active for another life from now on. Needs `introspect` in its tenant.
    ///
    /// Nothing is appended now; a use is recorded once a tenth of the ticket's life has passed since the last record.
    pub fn use_ticket(&self, identity: &CallerIdentity, ticket: &[u8]) -> Result<Option<UsedTicket>, Forbidden> {
        if !identity.grants.somewhere(Scope::Introspect) {
            return Err(Forbidden);
        }
        let digest = Digest::of(ticket);
        let now = self.clock.now();
        let Some(issue) = self.good_ticket(&digest, now) else { return Ok(None) };
        if !identity.may(Scope::Introspect, &issue.tenant) {
            return Ok(None);
        }
        let used = self.projection.touch(digest.id(), now).ok();
        Ok(used.map(|(Active { issue, .. }, last_used_at)| UsedTicket { issue, last_used_at }))
    }

    /// The tenant of an active ticket, for any caller: for refusals to the callers that present it.
    pub fn tenant_of(&self, ticket: &[u8]) -> Option<Tenant> {
        let digest = Digest::of(ticket);
        self.good_ticket(&digest, self.clock.now()).map(|issue| issue.tenant)
    }

    /// The issue of the ticket with that secret, if it is active.
    fn good_ticket(&self, digest: &Digest, now: Timestamp) -> Option<Issue> {
        let key = CredentialKey { kind: Kind::Ticket, id: digest.id() };
        let active = self.projection.check(key, now).ok()?;
        Some(active.issue).filter(|issue| issue.digest() == Some(digest))
    }

    /// Records the uses of tickets that are due. Call it once a second.
    pub async fn flush_uses(&self) -> Result<(), Error> {
        const CHUNK: usize = 50_000;
        let uses = self.projection.take_uses();
        let mut refused = Ok(());
        for (number, chunk) in uses.chunks(CHUNK).enumerate() {
            let request = crate::domain::Request {
                caller: crate::domain::Caller::Node,
                request: None,
                idempotency: None,
                command: Command::RenewTickets(chunk.to_vec()),
            };
            match self.submit(request).await {
                Ok(_) => {}
                Err(error @ Error::Failed(Failure::Locked | Failure::Overloaded)) => {
                    self.projection.put_back_uses(&uses[number * CHUNK..]);
                    return Err(error.widened());
                }
                // It would be refused again: the tickets' next uses are decided anew.
                Err(error) => refused = Err(error.widened()),
            }
        }
        refused
    }

    async fn issued_before(&self, first: crate::domain::RecordId) -> Result<IssuedTicket, Error<IssueRejection>> {
        let filed = self.filed(first, 1).await?.into_iter().next();
        let filed = filed.ok_or_else(Failure::not_on_record)?;
        let Event::TicketIssued(issued) = &filed.recorded.event else { return Err(Failure::not_on_record().into()) };
        self.refuse_erased(&filed, &issued.subject)?;
        let id = issued.digest.id();
        let secret = self.recent_secrets.find(id, self.clock.now());
        let secret = secret.ok_or_else(|| Error::SecretAlreadyShown { id: id.to_string() })?;
        Ok(IssuedTicket { filed, secret })
    }
}
