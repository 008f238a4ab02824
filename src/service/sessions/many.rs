//! Many sessions of a tenant at once: revoked by their ids, with everything that their subjects have, or all in turns.
//!
//! A session that was revoked together with everything that its subject had is gone for callers that list sessions: it
//! answers neither a list nor its id. It stays in memory, and revoked, for as long as it could otherwise be active.

use std::collections::BTreeSet;

use super::super::machine::Outcome;
use super::super::pace::{Pace, STEP_ROWS};
use super::{Call, CallerIdentity, Error, Failure, Service, SessionCursor, key};
use crate::domain::{
    CredentialId, CredentialKey, CredentialView as _, Digest, Event, Forbidden, Issue, Kind, Kinds, MAX_OWN_SESSIONS,
    ManySessions, RevokeSessions, RevokeSessionsRejection, Scope, Subject, Tenant, Timestamp, View as _,
};

/// The most sessions that one append revokes of a whole tenant.
const MAX_REVOKED_OF_TENANT: usize = MAX_OWN_SESSIONS;
/// The most appends that one call makes for a whole tenant.
const MAX_BATCHES_OF_TENANT: usize = 4;

/// What happens to the sessions of a tenant that are revoked in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionSweep {
    /// Those that are active are revoked, one by one, and stay in lists.
    Active,
    /// All are revoked together with everything that their subjects have, and leave the lists.
    Listed,
}

impl Service {
    /// Revokes those of these sessions that are active; returns how many of the tenant's sessions it revoked. Needs
    /// `revoke` there.
    ///
    /// The sessions that this node knows are revoked first, in one append: the limit of unknown revocations, which may refuse the
    /// others, keeps none of them active.
    pub async fn revoke_sessions(
        &self,
        call: &Call,
        tenant: &Tenant,
        ids: Vec<CredentialId>,
    ) -> Result<usize, Error<RevokeSessionsRejection>> {
        may_revoke(&call.identity, tenant)?;
        let is_known = |id: &CredentialId| self.projection.credential(key(*id)).issue.is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_known);
        let mut revoked = 0;
        for ids in [known, unknown].into_iter().filter(|ids| !ids.is_empty()) {
            revoked += self.revoke_many(call, tenant, ManySessions::These(ids)).await?;
        }
        Ok(revoked)
    }

    /// Revokes all sessions of these subjects that are active, one by one; returns how many. Needs `revoke` in the
    /// tenant.
    pub async fn revoke_sessions_of(
        &self,
        call: &Call,
        tenant: &Tenant,
        subjects: &[Subject],
        pace: &mut Pace,
    ) -> Result<usize, Error<RevokeSessionsRejection>> {
        may_revoke(&call.identity, tenant)?;
        let (now, mut revoked, mut ids) = (self.earliest(), 0, Vec::new());
        for subject in subjects {
            ids.extend(self.active_sessions(tenant, subject, now, pace).await?);
            // So many at most are in memory here, and in one append.
            while ids.len() >= MAX_REVOKED_OF_TENANT {
                let rest = ids.split_off(MAX_REVOKED_OF_TENANT);
                revoked += self.revoke_sessions(call, tenant, std::mem::replace(&mut ids, rest)).await?;
            }
        }
        Ok(revoked + self.revoke_sessions(call, tenant, ids).await?)
    }

    /// Revokes everything that these subjects have of sessions, in one append; returns how many of their sessions leave
    /// the lists by it. A subject that has none is passed over. Needs `revoke` in the tenant.
    pub async fn revoke_all_sessions_of(
        &self,
        call: &Call,
        tenant: &Tenant,
        subjects: Vec<Subject>,
        pace: &mut Pace,
    ) -> Result<usize, Error<RevokeSessionsRejection>> {
        may_revoke(&call.identity, tenant)?;
        let (mut listed, mut having) = (0, BTreeSet::new());
        for subject in subjects {
            if having.contains(&subject) {
                continue;
            }
            let sessions = self.listed_sessions(tenant, &subject, usize::MAX, pace).await?;
            if sessions > 0 {
                listed += sessions;
                having.insert(subject);
            }
        }
        // Each subject's revocations come one after the other. Taken in one order, so that no two calls wait for each
        // other, and only now, so that nobody waits while sessions are counted.
        let mut turns = Vec::with_capacity(having.len());
        for subject in &having {
            turns.push(self.turns.revoking_subjects.lock(tenant, subject).await);
        }
        let having = having.into_iter().collect();
        self.revoke_many(call, tenant, ManySessions::OfSubjects(having)).await?;
        Ok(listed)
    }

    /// Revokes the next sessions of a tenant, the newest first, in up to `MAX_BATCHES_OF_TENANT` batches: at most
    /// `MAX_REVOKED_OF_TENANT` one by one, or those of as many subjects as have so many. Returns how many, and whether
    /// there may be more. Needs `revoke` there.
    pub async fn revoke_next_of_tenant(
        &self,
        call: &Call,
        tenant: &Tenant,
        sweep: SessionSweep,
        pace: &mut Pace,
    ) -> Result<(usize, bool), Error<RevokeSessionsRejection>> {
        may_revoke(&call.identity, tenant)?;
        let active = Some(true).filter(|_| sweep == SessionSweep::Active);
        let (now, mut revoked, mut last) = (self.earliest(), 0, None);
        for _ in 0..MAX_BATCHES_OF_TENANT {
            // Each batch goes on behind the one before it, and does not pass what that has revoked.
            let (ids, next) = self.batch_of_tenant(tenant, active, now, last, pace).await?;
            revoked += match sweep {
                SessionSweep::Active => self.revoke_sessions(call, tenant, ids).await?,
                SessionSweep::Listed => {
                    let subject = |id| self.projection.credential(key(id)).issue.map(|issue| issue.subject);
                    let subjects = ids.into_iter().filter_map(subject).collect();
                    self.revoke_all_sessions_of(call, tenant, subjects, pace).await?
                }
            };
            if next.is_none() {
                return Ok((revoked, false));
            }
            last = next;
        }
        Ok((revoked, true))
    }

    /// At most `MAX_REVOKED_OF_TENANT` of the tenant's sessions that were issued before that one, and the last of them if
    /// there may be more.
    async fn batch_of_tenant(
        &self,
        tenant: &Tenant,
        active: Option<bool>,
        now: Timestamp,
        before: Option<SessionCursor>,
        pace: &mut Pace,
    ) -> Result<(Vec<CredentialId>, Option<SessionCursor>), Failure> {
        let (mut ids, mut last) = (Vec::new(), before);
        loop {
            pace.step().await?;
            let scanned = self.projection.sessions_before(tenant, last, STEP_ROWS);
            for cursor in &scanned {
                if self.is_listed(key(cursor.1), active, now) {
                    ids.push(cursor.1);
                }
                last = Some(*cursor);
                if ids.len() == MAX_REVOKED_OF_TENANT {
                    pace.rest();
                    return Ok((ids, last));
                }
            }
            if scanned.len() < STEP_ROWS {
                pace.rest();
                return Ok((ids, None));
            }
        }
    }

    /// Whether lists have a session of the subject: for callers that may revoke them and need not see them.
    pub async fn has_listed_sessions(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        pace: &mut Pace,
    ) -> Result<bool, Failure> {
        Ok(self.listed_sessions(tenant, subject, 1, pace).await? > 0)
    }

    /// How many of the tenant's sessions of these ids lists have.
    pub fn count_listed(&self, tenant: &Tenant, ids: &[CredentialId]) -> usize {
        ids.iter().filter(|id| self.has_session(tenant, **id)).count()
    }

    /// Whether this node knows a session of that id in the tenant, and no list has it.
    pub fn is_known_and_unlisted(&self, tenant: &Tenant, id: CredentialId) -> bool {
        let issue = self.projection.credential(key(id)).issue;
        issue.is_some_and(|issue| issue.tenant == *tenant && self.is_revoked_together(&issue))
    }

    /// Whether the session with that token was revoked together with everything that its subject had.
    pub fn presents_revoked_together(&self, secret: &[u8]) -> bool {
        let id = self.projection.session_with(&Digest::of(secret));
        let issue = id.and_then(|id| self.projection.credential(key(id)).issue);
        issue.is_some_and(|issue| self.is_revoked_together(&issue))
    }

    /// How many of the subject's sessions lists have; it stops counting at `enough`.
    async fn listed_sessions(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        enough: usize,
        pace: &mut Pace,
    ) -> Result<usize, Failure> {
        let (sessions, now) = (Kinds::from_iter([Kind::Session]), self.clock.now());
        let (mut listed, mut last) = (0, None);
        loop {
            pace.step().await?;
            let scanned = self.projection.credentials_of(tenant, subject, sessions, last, STEP_ROWS);
            listed += scanned.iter().filter(|key| self.is_listed(**key, None, now)).count();
            last = scanned.last().copied();
            if scanned.len() < STEP_ROWS || listed >= enough {
                pace.rest();
                return Ok(listed);
            }
        }
    }

    /// Whether a list of active sessions, of inactive ones, or of both, has that session.
    pub(super) fn is_listed(&self, key: CredentialKey, active: Option<bool>, now: Timestamp) -> bool {
        let is_active = || self.projection.check(key, now).is_ok();
        let is_there = || {
            let issue = self.projection.credential(key).issue;
            issue.is_some_and(|issue| !self.is_revoked_together(&issue))
        };
        match active {
            Some(true) => is_active(),
            Some(false) => !is_active() && is_there(),
            None => is_there(),
        }
    }

    /// Whether a revocation of everything that its subject had includes the session of that issue.
    pub(super) fn is_revoked_together(&self, issue: &Issue) -> bool {
        let subject = self.projection.subject(&issue.tenant, &issue.subject);
        subject.of(Kind::Session).revokes(&issue.generation).is_some()
    }

    async fn revoke_many(
        &self,
        call: &Call,
        tenant: &Tenant,
        which: ManySessions,
    ) -> Result<usize, Error<RevokeSessionsRejection>> {
        may_revoke(&call.identity, tenant)?;
        let command = RevokeSessions { tenant: tenant.clone(), which };
        match self.execute(call, command).await? {
            Outcome::Appended(filed) => {
                let known = |event: &Event| matches!(event, Event::Revoked(revoked) if revoked.known);
                Ok(filed.iter().filter(|filed| known(&filed.recorded.event)).count())
            }
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => Ok(0),
        }
    }
}

fn may_revoke(identity: &CallerIdentity, tenant: &Tenant) -> Result<(), Forbidden> {
    if identity.may(Scope::Revoke, tenant) { Ok(()) } else { Err(Forbidden) }
}
