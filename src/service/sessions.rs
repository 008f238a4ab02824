//! Sessions: issued, presented, listed, extended, and revoked by their own subject.

mod facts;
mod many;

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::limits::MAX_PERSONAL_BYTES;
use super::machine::{Filed, Issued, Outcome};
use super::pace::{Pace, STEP_ROWS};
use super::sealing::Belongs;
use super::shares::Party;
use super::{Call, CallerIdentity, Error, Failure, Refusal, Service, Target};
use crate::clock::fresh_uuid;
use crate::domain::{
    Aal, Active, Caller, CohortsOf, CredentialId, CredentialKey, CredentialView as _, Digest, Event, ExtendRejection,
    ExtendSession, Forbidden, GivenSubject, Inactive, Issue, IssueRejection, IssueSession, Kind, Kinds, Lifetime,
    MAX_OWN_SESSIONS, Method, OwnSessions, RecordId, Rejection, Request, RequestId, RevokeOwnRejection, Scope, Secret,
    Subject, Tenant, Timestamp, Ttl, View as _,
};
use crate::keys::{SecretPrefix, mint};

pub(super) use facts::{Facts, recorded};
pub use many::SessionSweep;

/// A session to issue.
#[derive(Clone)]
pub struct NewSession {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// How long it lasts unless it is extended; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The assurance level of its subject.
    pub aal: Aal,
    /// The methods of authentication.
    pub methods: Vec<Method>,
    /// Personal data.
    pub personal: Personal,
    /// The credential that it comes from.
    pub parent: Option<Target>,
}

/// Personal data of a session. Sealed at rest, and shown to the session's bearer and to callers that may introspect.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Personal {
    /// The identity as it was when the session was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Map<String, Value>>,
    /// The device that it was issued to: `ip_address`, `user_agent`, `location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Map<String, Value>>,
}

impl Personal {
    /// Whether it is small enough to be sealed.
    pub fn fits(&self) -> bool {
        self.plain().is_some()
    }

    /// The text that is sealed; nothing if it is too large.
    fn plain(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|plain| plain.len() <= MAX_PERSONAL_BYTES)
    }
}

/// An issued session, with its token for this one answer.
pub struct IssuedSession {
    /// The record of its issue.
    pub filed: Arc<Filed>,
    pub session: Session,
    /// The session token in clear, for its bearer only.
    pub secret: Secret,
}

/// A session as it is now.
#[derive(Clone)]
pub struct Session {
    /// Its public id.
    pub id: CredentialId,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// Whether it is active.
    pub active: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When its subject was authenticated.
    pub authenticated_at: Timestamp,
    /// When it expires unless it is extended.
    pub expires_at: Timestamp,
    /// Whether it was extended.
    pub is_extended: bool,
    /// The latest instant to which any extension can prolong it.
    pub not_after: Timestamp,
    /// The assurance level of its subject.
    pub aal: Aal,
    /// The methods of authentication.
    pub methods: Vec<Method>,
    /// Personal data; nothing if it was never given, was erased, or is sealed under another node's key.
    pub personal: Personal,
}

/// The holder of a presented session token that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session.
    pub id: CredentialId,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
}

impl Party {
    /// The holder of a session.
    pub fn of_holder(holder: &Holder) -> Self {
        Self::of_subject(&holder.tenant, &holder.subject)
    }
}

/// The result of presenting a session token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedSession {
    /// It is active.
    Active(Holder),
    /// Its session has expired or was revoked.
    Inactive,
    /// It is unknown.
    Unknown,
}

/// The sessions of its subject that a session revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRevocation {
    /// Another one.
    Other(CredentialId),
    /// All others.
    Others,
    /// Itself.
    Current,
}

/// The place where a list of sessions continues: after the session of that id, which was issued then.
pub type SessionCursor = (Timestamp, CredentialId);

/// Sessions that one page reads, active or not: the cost of a page is bounded.
const PAGE_SCAN: usize = 10_000;

const fn key(id: CredentialId) -> CredentialKey {
    CredentialKey { kind: Kind::Session, id }
}

impl Service {
    /// Issues a session. Needs `issue` in its tenant.
    pub async fn issue_session(&self, call: &Call, new: NewSession) -> Result<IssuedSession, Error> {
        if !call.identity.may(Scope::Issue, &new.tenant) {
            return Err(Rejection::Forbidden.into());
        }
        self.refuse_on_hold(call, &new.tenant, &new.subject, Kind::Session).map_err(Error::widened)?;
        let parent = self.new_parent(call, &new.tenant, new.parent.as_ref()).await.map_err(Error::widened)?;
        let secret = mint(SecretPrefix::Session).map_err(|_| Failure::NoRandomness)?;
        self.keep_for_repetition(call, &secret);
        let id = CredentialId::of_session(fresh_uuid()?);
        let NewSession { tenant, subject, ttl, aal, methods, personal, .. } = new;
        let sealed = match personal {
            Personal { identity: None, device: None } => None,
            personal => {
                let plain = personal.plain().ok_or(Error::Refused(Refusal::PersonalDataTooLarge))?;
                Some(self.seal(&tenant, &subject, &Belongs::Session(key(id)), &plain)?)
            }
        };
        let digest = secret.digest();
        let issue = IssueSession { tenant, subject, id, digest, ttl, aal, methods, sealed, parent };
        match self.execute(call, issue).await.map_err(Error::widened)?.issued(call)? {
            Issued::Now(filed) => self.issued_session(filed, id, secret).await,
            Issued::Before(first) => self.session_issued_before(first).await,
        }
    }

    async fn session_issued_before(&self, first: RecordId) -> Result<IssuedSession, Error> {
        let filed = self.filed(first, 1).await?.into_iter().next().ok_or_else(Failure::not_on_record)?;
        let Event::SessionIssued(issued) = &filed.recorded.event else {
            return Err(Failure::not_on_record().into());
        };
        self.refuse_erased(&filed, &issued.subject).map_err(Error::widened)?;
        let kept = issued.digest.and_then(|digest| self.recent_secrets.find(digest.id(), self.clock.now()));
        let secret = kept.ok_or_else(|| Error::SecretAlreadyShown { id: issued.id.uuid().to_string() })?;
        let id = issued.id;
        self.issued_session(filed, id, secret).await
    }

    async fn issued_session(
        &self,
        filed: Arc<Filed>,
        id: CredentialId,
        secret: Secret,
    ) -> Result<IssuedSession, Error> {
        // A clock that went ahead meanwhile may have let it expire.
        let session = self.sessions(&[id]).await?.pop().ok_or(Rejection::UnknownCredential)?;
        Ok(IssuedSession { filed, session, secret })
    }

    /// The state of the session with that token.
    pub fn present_session(&self, secret: &[u8]) -> PresentedSession {
        let Some(id) = self.projection.session_with(&Digest::of(secret)) else { return PresentedSession::Unknown };
        match self.projection.check(key(id), self.clock.now()) {
            Ok(Active { issue, .. }) => {
                PresentedSession::Active(Holder { id, tenant: issue.tenant, subject: issue.subject })
            }
            Err(Inactive::Unknown) => PresentedSession::Unknown,
            Err(Inactive::Expired | Inactive::Revoked(..)) => PresentedSession::Inactive,
        }
    }

    /// The session itself, for its bearer.
    pub async fn session_of(&self, holder: &Holder) -> Result<Option<Session>, Failure> {
        Ok(self.sessions(&[holder.id]).await?.pop())
    }

    /// These sessions, active or not, in that order; those that have left memory are left out. The caller's right to
    /// see them has been checked before.
    pub async fn sessions(&self, ids: &[CredentialId]) -> Result<Vec<Session>, Failure> {
        let known = ids.iter().filter_map(|id| {
            let credential = self.projection.credential(key(*id));
            let expires_at = credential.expires_at()?;
            Some((*id, credential.issue?, expires_at))
        });
        let known: Vec<(CredentialId, Issue, Timestamp)> = known.collect();
        let places = known.iter().map(|(_, issue, _)| issue.place);
        let tenant = known.first().map(|(_, issue, _)| &issue.tenant);
        let Some(tenant) = tenant else { return Ok(Vec::new()) };
        let facts = self.session_facts(&Party::of_tenant(tenant), places.collect()).await?;
        let now = self.clock.now();
        let sessions = known.into_iter().zip(facts).filter_map(|((id, issue, expires_at), facts)| {
            let facts = facts?;
            Some(Session {
                id,
                tenant: issue.tenant,
                subject: issue.subject,
                active: self.projection.check(key(id), now).is_ok(),
                issued_at: issue.issued_at,
                authenticated_at: facts.authenticated_at.unwrap_or(issue.issued_at),
                expires_at,
                is_extended: issue.lifetime != Lifetime::Fixed(expires_at),
                not_after: issue.not_after,
                aal: facts.aal,
                methods: facts.methods.clone(),
                personal: facts.personal.clone(),
            })
        });
        Ok(sessions.collect())
    }

    /// The other active sessions of the holder's subject, the newest first: those in that range, and the number of all.
    pub async fn other_sessions(
        &self,
        holder: &Holder,
        range: Range<usize>,
        pace: &mut Pace,
    ) -> Result<(Vec<CredentialId>, usize), Failure> {
        let now = self.clock.now();
        let is_other = |id| id != holder.id && self.is_listed(key(id), Some(true), now);
        self.page_of_subject(&holder.tenant, &holder.subject, range, is_other, pace).await
    }

    async fn others_at(&self, holder: &Holder, at: Timestamp, pace: &mut Pace) -> Result<Vec<CredentialId>, Failure> {
        let mut sessions = self.active_sessions(&holder.tenant, &holder.subject, at, pace).await?;
        sessions.retain(|id| *id != holder.id);
        Ok(sessions)
    }

    /// Revokes sessions of the holder's own subject; returns how many. If there are too many for one append, several
    /// are made.
    pub async fn revoke_own(
        &self,
        holder: &Holder,
        request: Option<RequestId>,
        revocation: OwnRevocation,
    ) -> Result<usize, Error<RevokeOwnRejection>> {
        let commands = match revocation {
            OwnRevocation::Other(id) => vec![OwnSessions::Other(id)],
            OwnRevocation::Current => vec![OwnSessions::Current],
            OwnRevocation::Others => {
                let mut pace = self.pace(Party::of_holder(holder));
                let others = self.others_at(holder, self.earliest(), &mut pace).await?;
                others.chunks(MAX_OWN_SESSIONS).map(|some| OwnSessions::Others(some.to_vec())).collect()
            }
        };
        let mut revoked = 0;
        for command in commands {
            let Holder { id, tenant, subject } = holder.clone();
            let caller = Caller::Session { id, tenant, subject };
            match self.submit(Request { caller, request: request.clone(), idempotency: None, command }).await? {
                Outcome::Appended(filed) => revoked += filed.len(),
                Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => {}
            }
        }
        Ok(revoked)
    }

    /// The session of that id, active or not. Needs `introspect` in its tenant. A session of another tenant is unknown,
    /// and one that was revoked together with everything that its subject had.
    pub async fn find_session(
        &self,
        identity: &CallerIdentity,
        tenant: &Tenant,
        id: CredentialId,
    ) -> Result<Option<Session>, Error<Forbidden>> {
        self.may_introspect(identity, tenant)?;
        if !self.has_session(tenant, id) {
            return Ok(None);
        }
        Ok(self.sessions(&[id]).await?.pop())
    }

    /// The session of that id, active or not, whatever its tenant. A session that the caller may not introspect is
    /// unknown.
    pub async fn session(&self, identity: &CallerIdentity, id: CredentialId) -> Result<Option<Session>, Failure> {
        let issue = self.projection.credential(key(id)).issue;
        if !issue.is_some_and(|issue| identity.may(Scope::Introspect, &issue.tenant)) {
            return Ok(None);
        }
        Ok(self.sessions(&[id]).await?.pop())
    }

    /// Whether that tenant has a session of that id, active or not: for callers that may revoke or extend it and need
    /// not see it. One that was revoked together with everything that its subject had does not count.
    pub fn has_session(&self, tenant: &Tenant, id: CredentialId) -> bool {
        let issue = self.projection.credential(key(id)).issue;
        issue.is_some_and(|issue| issue.tenant == *tenant && !self.is_revoked_together(&issue))
    }

    /// The tenant's sessions, active, inactive or both, issued before that one, the newest first: at most `limit`, and
    /// the start of the next page. Sessions that were revoked together with everything that their subject had are left
    /// out. A page may be short, or empty, before the last. Needs `introspect` there.
    pub async fn tenant_sessions(
        &self,
        identity: &CallerIdentity,
        tenant: &Tenant,
        active: Option<bool>,
        before: Option<SessionCursor>,
        limit: usize,
        pace: &mut Pace,
    ) -> Result<(Vec<Session>, Option<SessionCursor>), Error<Forbidden>> {
        self.may_introspect(identity, tenant)?;
        let now = self.clock.now();
        let (mut ids, mut last) = (Vec::new(), before);
        for _ in 0..PAGE_SCAN / STEP_ROWS {
            pace.step().await?;
            let scanned = self.projection.sessions_before(tenant, last, STEP_ROWS);
            for cursor in &scanned {
                if ids.len() == limit {
                    break;
                }
                if self.is_listed(key(cursor.1), active, now) {
                    ids.push(cursor.1);
                }
                last = Some(*cursor);
            }
            if scanned.len() < STEP_ROWS || ids.len() == limit {
                break;
            }
        }
        pace.rest();
        let more = last.filter(|_| !self.projection.sessions_before(tenant, last, 1).is_empty());
        Ok((self.sessions(&ids).await?, more))
    }

    /// The subject's sessions, active, inactive or both, the newest first, without those that were revoked together with
    /// everything that it had: those in that range, and the number of all. Needs `introspect` in the tenant.
    pub async fn subject_sessions(
        &self,
        identity: &CallerIdentity,
        tenant: &Tenant,
        subject: &Subject,
        active: Option<bool>,
        range: Range<usize>,
        pace: &mut Pace,
    ) -> Result<(Vec<CredentialId>, usize), Error<Forbidden>> {
        self.may_introspect(identity, tenant)?;
        let state = self.projection.subject(tenant, subject);
        if active.is_none() && state.of(Kind::Session).revocations.is_empty() {
            // All of them are listed: the index has the page and the number.
            let (places, all) = self.projection.sessions_of(tenant, subject, None, range.start, range.len());
            return Ok((places.into_iter().map(|(_, id)| id).collect(), all));
        }
        let now = self.clock.now();
        let is_listed = |id| self.is_listed(key(id), active, now);
        Ok(self.page_of_subject(tenant, subject, range, is_listed, pace).await?)
    }

    /// The tenant of the session of that id, active or not: for callers that decide how far a call may reach.
    pub fn tenant_of_session(&self, id: CredentialId) -> Option<Tenant> {
        self.projection.credential(key(id)).issue.map(|issue| issue.tenant)
    }

    /// Whether the subject has a session in memory, active or not: for callers that may revoke them and need not see
    /// them.
    pub fn has_sessions(&self, tenant: &Tenant, subject: &Subject) -> bool {
        let kinds = Kinds::from_iter([Kind::Session]);
        !self.projection.credentials_of(tenant, subject, kinds, None, 1).is_empty()
    }

    /// The subject that a text names: exactly, or by the UUID that stands for it.
    pub fn resolve_subject(&self, tenant: &Tenant, text: &str) -> Option<Subject> {
        let exact = self.named(tenant, &GivenSubject::new(text).ok()?);
        if self.has_sessions(tenant, &exact) {
            return Some(exact);
        }
        let uuid = uuid::Uuid::try_parse(text).ok();
        let stands_for = uuid.and_then(|uuid| self.projection.subject_by_uuid(uuid));
        Some(stands_for.filter(|(own, _)| own == tenant).map_or(exact, |(_, subject)| subject))
    }

    /// Extends a session to last for that long from now on. An inactive session, or one that lasts as long already, is
    /// left as it is. Needs `issue` in its tenant.
    pub async fn extend_session(
        &self,
        call: &Call,
        id: CredentialId,
        ttl: Option<Ttl>,
    ) -> Result<(), Error<ExtendRejection>> {
        self.execute(call, ExtendSession(id, ttl)).await.map(drop)
    }

    /// A subject that was erased or is on hold gets nothing, and no key to seal it with either. Checked again when the
    /// command is decided; a possible repetition is checked only there.
    pub(super) fn refuse_on_hold(
        &self,
        call: &Call,
        tenant: &Tenant,
        subject: &Subject,
        kind: Kind,
    ) -> Result<(), Error<IssueRejection>> {
        let (state, now) = (self.projection.subject(tenant, subject), self.clock.now());
        let cohort_on_hold = || {
            let cohorts = CohortsOf::with_secret(tenant, call.identity.caller.application());
            self.projection.cohorts().is_some_and(|all| all.on_hold(kind, cohorts, now))
        };
        match call.idempotency {
            None if state.erasure.is_some() => Err(Error::Refused(IssueRejection::SubjectErased)),
            None if state.on_hold(kind, now) || cohort_on_hold() => Err(Error::Refused(IssueRejection::SubjectOnHold)),
            _ => Ok(()),
        }
    }

    pub(super) fn may_introspect(&self, identity: &CallerIdentity, tenant: &Tenant) -> Result<(), Forbidden> {
        if identity.may(Scope::Introspect, tenant) { Ok(()) } else { Err(Forbidden) }
    }

    /// The subject's sessions that are wanted, the newest first: those in that range, and the number of all. Only a look at
    /// each tells the number.
    async fn page_of_subject(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        range: Range<usize>,
        is_wanted: impl Fn(CredentialId) -> bool,
        pace: &mut Pace,
    ) -> Result<(Vec<CredentialId>, usize), Failure> {
        let (mut ids, mut number, mut last) = (Vec::new(), 0, None);
        loop {
            pace.step().await?;
            let (scanned, _) = self.projection.sessions_of(tenant, subject, last, 0, STEP_ROWS);
            for (_, id) in scanned.iter().filter(|(_, id)| is_wanted(*id)) {
                if range.contains(&number) {
                    ids.push(*id);
                }
                number += 1;
            }
            last = scanned.last().copied();
            if scanned.len() < STEP_ROWS {
                pace.rest();
                return Ok((ids, number));
            }
        }
    }

    /// All active sessions of the subject, the newest first.
    async fn active_sessions(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        now: Timestamp,
        pace: &mut Pace,
    ) -> Result<Vec<CredentialId>, Failure> {
        let is_active = |id| self.is_listed(key(id), Some(true), now);
        Ok(self.page_of_subject(tenant, subject, 0..usize::MAX, is_active, pace).await?.0)
    }
}
