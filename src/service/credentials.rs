//! Credentials: issued, asked about, used.

use std::sync::Arc;

use super::machine::{Filed, Outcome};
use super::{Call, Error, Identity, Service};
use crate::clock::fresh_uuid;
use crate::domain::{
    Command, CredentialId, Dead, Digest, Event, IssueTicket, Kind, Rejection, Scope, Secret, Subject, SubjectState,
    Tenant, TicketIssue, Timestamp, Ttl, View as _,
};

/// A ticket to issue.
#[derive(Clone, Debug)]
pub struct NewTicket {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// How long it lives without use; the policy's life where absent.
    pub ttl: Option<Ttl>,
}

/// An issued ticket, and this once its secret.
pub struct IssuedTicket {
    /// The record of its issue.
    pub filed: Arc<Filed>,
    /// The secret in clear, for its bearer only.
    pub secret: Secret,
}

/// What is known of a credential that is good.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// What it is.
    pub kind: Kind,
    /// Its public id.
    pub id: CredentialId,
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires if nobody uses it.
    pub expires_at: Timestamp,
    /// The latest instant that any renewal may reach.
    pub not_after: Timestamp,
    /// The latest use that this process knows of.
    pub last_used_at: Timestamp,
}

/// A ticket that was used just now.
pub struct UsedTicket {
    /// How it was issued.
    pub issue: TicketIssue,
    /// When it was used: strictly later than the use before.
    pub last_used_at: Timestamp,
}

/// A page of what a subject has.
pub struct SubjectPage {
    /// Credentials that are good now.
    pub credentials: Vec<Introspection>,
    /// What was ended of the subject, by kind.
    pub state: SubjectState,
    /// Where the next page starts, if there is one.
    pub next: Option<CredentialId>,
}

/// Credentials that one page looks at, good or not: what a page costs is bounded.
const PAGE_SCAN: usize = 10_000;

impl Service {
    /// Issues a ticket. Needs `issue` in its tenant.
    pub async fn issue_ticket(&self, call: &Call, new: NewTicket) -> Result<IssuedTicket, Error> {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let secret = Secret::new(fresh_uuid()?.hyphenated().encode_lower(&mut text));
        self.keep_for_repetition(call, &secret);
        let NewTicket { tenant, subject, ttl } = new;
        let issue = IssueTicket { tenant, subject, digest: secret.digest(), ttl };
        match self.execute(call, Command::IssueTicket(issue)).await? {
            Outcome::Appended(filed) => {
                let filed = filed.into_iter().next().ok_or(Error::Stopping)?;
                Ok(IssuedTicket { filed, secret })
            }
            Outcome::Repeated(first, _) => self.issued_before(first).await,
            // An issue either appends or repeats; there is no third way.
            Outcome::Already(_) | Outcome::Nothing => Err(Error::Stopping),
        }
    }

    /// What is known of that credential, if it is good and the caller may ask in its tenant. Never renews.
    pub fn introspect(&self, identity: &Identity, credential: &[u8]) -> Result<Option<Introspection>, Error> {
        if !identity.grants.somewhere(Scope::Introspect) {
            return Err(Rejection::Forbidden.into());
        }
        let digest = Digest::of(credential);
        let found = self.good_ticket(digest.id(), self.clock.now()).ok();
        Ok(found
            .filter(|(issue, found)| issue.digest == digest && identity.may(Scope::Introspect, &found.tenant))
            .map(|(_, found)| found))
    }

    /// Uses a ticket: it stays good for another life from now on. Needs `introspect` in its tenant.
    ///
    /// Nothing is appended now; a use goes on record once a tenth of the ticket's life has gone by since the last.
    pub fn use_ticket(&self, identity: &Identity, ticket: &[u8]) -> Result<Option<UsedTicket>, Error> {
        if !identity.grants.somewhere(Scope::Introspect) {
            return Err(Rejection::Forbidden.into());
        }
        let digest = Digest::of(ticket);
        let now = self.clock.now();
        let Ok((_, issue)) = self.projection.judge(digest.id(), now) else { return Ok(None) };
        if issue.digest != digest || !identity.may(Scope::Introspect, &issue.tenant) {
            return Ok(None);
        }
        let used = self.projection.touch(digest.id(), now).ok();
        Ok(used.map(|(issue, last_used_at)| UsedTicket { issue, last_used_at }))
    }

    /// The tenant of a ticket that is good, whoever asks: for refusals to whoever presents it.
    pub fn tenant_of(&self, ticket: &[u8]) -> Option<Tenant> {
        let digest = Digest::of(ticket);
        let (_, issue) = self.projection.judge(digest.id(), self.clock.now()).ok()?;
        (issue.digest == digest).then_some(issue.tenant)
    }

    /// Puts on record the uses of tickets that are due. To be called once a second.
    pub async fn flush_uses(&self) -> Result<(), Error> {
        const CHUNK: usize = 50_000;
        let uses = self.projection.take_uses();
        for chunk in uses.chunks(CHUNK) {
            let request = crate::domain::Request {
                caller: crate::domain::Caller::Node,
                request: None,
                idempotency: None,
                command: Command::RenewTickets(chunk.to_vec()),
            };
            // What is not written now is queued again by the ticket's next use.
            self.submit(request).await?;
        }
        Ok(())
    }

    /// A page of what a subject has, at most `limit` credentials. Needs `introspect` in the tenant.
    pub fn subject(
        &self,
        identity: &Identity,
        tenant: &Tenant,
        subject: &Subject,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<SubjectPage, Error> {
        if !identity.may(Scope::Introspect, tenant) {
            return Err(Rejection::Forbidden.into());
        }
        let now = self.clock.now();
        let mut state = self.projection.subject(tenant, subject);
        state.prune(now);
        let scanned = self.projection.credentials_of(tenant, subject, after, PAGE_SCAN);
        let mut credentials = Vec::new();
        let mut last = None;
        for id in &scanned {
            if credentials.len() == limit {
                return Ok(SubjectPage { credentials, state, next: last });
            }
            credentials.extend(self.good_ticket(*id, now).ok().map(|(_, found)| found));
            last = Some(*id);
        }
        let next = last.filter(|_| scanned.len() == PAGE_SCAN);
        Ok(SubjectPage { credentials, state, next })
    }

    fn good_ticket(&self, id: CredentialId, now: Timestamp) -> Result<(TicketIssue, Introspection), Dead> {
        let (ticket, issue) = self.projection.judge(id, now)?;
        let found = Introspection {
            kind: Kind::Ticket,
            id,
            tenant: issue.tenant.clone(),
            subject: issue.subject.clone(),
            issued_at: issue.issued_at,
            expires_at: ticket.expires_at().unwrap_or_default(),
            not_after: issue.not_after,
            last_used_at: self.projection.seen_at(id),
        };
        Ok((issue, found))
    }

    async fn issued_before(&self, first: crate::domain::Place) -> Result<IssuedTicket, Error> {
        let filed = self.filed(first, 1).await?.into_iter().next();
        let Some((filed, digest)) = filed.and_then(|filed| match &filed.recorded.event {
            Event::TicketIssued(issued) => Some((issued.digest, filed.clone())).map(|(digest, filed)| (filed, digest)),
            _ => None,
        }) else {
            return Err(Rejection::UnknownCredential.into());
        };
        let secret = self.recent_secrets.find(digest.id(), self.clock.now());
        let secret = secret.ok_or_else(|| Error::SecretAlreadyShown { id: digest.id().to_string() })?;
        Ok(IssuedTicket { filed, secret })
    }
}
