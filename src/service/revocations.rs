//! Revocations: of one credential, of everything that a subject has, or of a cohort.

use std::sync::Arc;

use super::machine::{Filed, Outcome};
use super::sealing::Belongs;
use super::target::{Target, kind_by_form, looks_like_jwt};
use super::tokens::Judged;
use super::{Call, CallerIdentity, Consistency, Error, Failure, RevokeRefusal, Service, WholeRevocation};
use crate::domain::{
    Cohort, Command, CredentialKey, CredentialRef, CredentialView as _, Event, Forbidden, KeyId, Kind, Kinds,
    Presented, Reason, RecordId, Rejection, RequestId, Revoke, RevokeCohort, RevokeRejection, RevokeSubject,
    RevokeSubjectRejection, Scope, Sealed, Secret, Subject, Tenant, Timestamp, Ttl, WithdrawKey,
};

/// The reason of a revocation.
#[derive(Clone, Debug, Default)]
pub struct Why {
    /// A code.
    pub reason: Option<Reason>,
    /// Free text: at most [`super::MAX_NOTE_BYTES`], sealed.
    pub note: Option<Box<str>>,
}

/// Revoke everything that a subject has of some kinds.
#[derive(Clone, Debug)]
pub struct NewSubjectRevocation {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    pub kinds: Kinds,
    /// Only what was issued before that.
    pub issued_before: Option<Timestamp>,
    /// Keep the revocation for at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// The reason.
    pub why: Why,
}

/// Revoke everything of some kinds in a cohort.
#[derive(Clone, Debug)]
pub struct NewCohortRevocation {
    pub cohort: Cohort,
    pub kinds: Kinds,
    /// Keep the revocation for at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// The reason.
    pub why: Why,
}

/// The party that revokes a JWT.
pub enum Revoker {
    /// An application that may revoke in the token's tenant.
    Application(Box<Call>),
    /// An application that may revoke there, or that issued the token.
    Issuer(Box<Call>),
    /// A caller without an application's secret: it presents the token itself, as bearer.
    Bearer(Box<Judged>, Option<RequestId>, Option<Consistency>),
}

/// The revocations that a call made or found.
pub struct RevocationOutcome {
    records: Records,
    /// Whether this call, or the one that it repeats, made them.
    pub made: bool,
    /// Of a JWT that was revoked before: whether its revocation had not reached all the nodes that this call requests,
    /// so that it waited.
    pub waited: bool,
}

/// Where the records of revocations are.
enum Records {
    /// At hand: this call appended them.
    Here(Vec<Arc<Filed>>),
    /// In the log: so many from that one on.
    InLog(RecordId, u64),
}

impl From<Outcome> for RevocationOutcome {
    fn from(outcome: Outcome) -> Self {
        let (records, made) = match outcome {
            Outcome::Appended(filed) => (Records::Here(filed), true),
            Outcome::Repeated(first, records) => (Records::InLog(first, records), true),
            Outcome::Already(place) => (Records::InLog(place, 1), false),
            Outcome::Nothing => (Records::Here(Vec::new()), false),
        };
        Self { records, made, waited: false }
    }
}

impl Service {
    /// Revokes a credential for a caller that presents its secret: RFC 7009. Besides what its scope allows, the caller may
    /// revoke what it issued itself; where it may neither, it is told so.
    pub async fn revoke_presented(
        &self,
        call: &Call,
        secret: Secret,
    ) -> Result<RevocationOutcome, Error<RevokeRefusal>> {
        if self.is_foreign_to_memory(&secret) {
            let judged = self.judge_to_revoke(&secret).await?;
            let revoked = self.revoke_jwt(Revoker::Issuer(Box::new(call.clone())), &judged, Why::default()).await;
            return revoked.map_err(Error::widened);
        }
        let kind = kind_by_form(&secret);
        let revoke = Revoke { kind, credential: CredentialRef::Digest(secret.digest()), reason: None, note: None };
        let outcome = self.execute(call, Presented(revoke)).await.map_err(Error::widened)?;
        Ok(outcome.into())
    }

    async fn judge_to_revoke(&self, secret: &Secret) -> Result<Judged, Error<RevokeRefusal>> {
        self.judge_jwt(secret.expose()).await.map_err(|error| Error::Refused(RevokeRefusal::Token(error)))
    }

    /// Revokes one credential; if it is revoked already, returns its revocation. Needs `revoke` in its tenant.
    pub async fn revoke(
        &self,
        call: &Call,
        target: Target,
        why: Why,
    ) -> Result<RevocationOutcome, Error<RevokeRefusal>> {
        if !call.identity.grants.somewhere(Scope::Revoke) {
            return Err(Forbidden.into());
        }
        let (kind, credential) = match target {
            Target::Credential(_, secret) if self.is_foreign_to_memory(&secret) => {
                let judged = self.judge_to_revoke(&secret).await?;
                let revoked = self.revoke_jwt(Revoker::Application(Box::new(call.clone())), &judged, why).await;
                return revoked.map_err(Error::widened);
            }
            Target::Credential(kind, secret) => (kind, CredentialRef::Digest(secret.digest())),
            Target::Id(kind, id) => (kind, CredentialRef::Id(id)),
            Target::Jti(jti) => {
                let issuer = self.token_issuer().ok_or(Error::Refused(RevokeRejection::UnknownCredential.into()))?;
                (Kind::Token, CredentialRef::Jwt { issuer, jti })
            }
        };
        let note = self.note_for(&call.identity, kind, &credential, &why)?;
        let command = Revoke { kind, credential, reason: why.reason, note };
        let outcome = self.execute(call, command).await.map_err(Error::widened)?;
        Ok(outcome.into())
    }

    /// Revokes everything that a subject has, in one record however much that is. Needs `revoke` in the tenant.
    pub async fn revoke_subject(
        &self,
        call: &Call,
        new: NewSubjectRevocation,
    ) -> Result<RevocationOutcome, Error<RevokeSubjectRejection>> {
        self.revoke_all_of(call, new).await.map(|(revocations, _)| revocations)
    }

    /// Like [`Service::revoke_subject`], with the state that [`Service::revoked_together`] needs to list the revoked
    /// credentials. There is none if the call repeats another.
    pub async fn revoke_all_of(
        &self,
        call: &Call,
        new: NewSubjectRevocation,
    ) -> Result<(RevocationOutcome, Option<WholeRevocation>), Error<RevokeSubjectRejection>> {
        let NewSubjectRevocation { tenant, subject, kinds, issued_before, keep, hold, why } = new;
        if !call.identity.may(Scope::Revoke, &tenant) {
            return Err(Forbidden.into());
        }
        let belongs = Belongs::SubjectRevocation(&tenant, &subject);
        let note = why.note.as_deref().map(|note| self.seal_note(Some((&tenant, &subject)), &belongs, note));
        let note = note.transpose()?;
        let (before, outcome) = {
            let _alone = self.turns.revoking_subjects.lock(&tenant, &subject).await;
            let before = self.projection.subject(&tenant, &subject);
            let command = RevokeSubject { tenant, subject, kinds, issued_before, keep, hold, reason: why.reason, note };
            // A call that waits for other nodes does so alone.
            let at_once = Call { consistency: None, ..call.clone() };
            (before, self.execute(&at_once, command).await?)
        };
        if let Some(consistency) = call.consistency {
            self.wait(&outcome, consistency).await?;
        }
        let first = match &outcome {
            Outcome::Appended(filed) => filed.first(),
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => None,
        };
        let revoked = first.and_then(|filed| WholeRevocation::new(filed, before));
        Ok((outcome.into(), revoked))
    }

    /// Revokes everything in a cohort, in one record however much that is. Needs `revoke` in every tenant that the cohort
    /// can reach. An issuer is this ledger, or one that it trusts.
    pub async fn revoke_cohort(&self, call: &Call, new: NewCohortRevocation) -> Result<RevocationOutcome, Error> {
        if !call.identity.grants.somewhere(Scope::Revoke) {
            return Err(Rejection::Forbidden.into());
        }
        let NewCohortRevocation { cohort, kinds, keep, hold, why } = new;
        if let Cohort::Issuer(issuer) = &cohort {
            // Only callers that may revoke in every tenant may learn which issuers are trusted.
            if !call.identity.grants.everywhere().contains(Scope::Revoke) {
                return Err(Rejection::Forbidden.into());
            }
            if self.token_issuer().as_ref() != Some(issuer) && !self.fixed.trusted.trusts(issuer) {
                return Err(Rejection::UnknownIssuer.into());
            }
        }
        let note = why.note.as_deref().map(|note| self.seal_note(None, &Belongs::CohortRevocation(&cohort), note));
        let note = note.transpose()?;
        let revoke = RevokeCohort { cohort, kinds, keep, hold, reason: why.reason, note };
        let outcome = self.execute(call, Command::RevokeCohort(Box::new(revoke))).await.map_err(Error::widened)?;
        Ok(outcome.into())
    }

    /// Withdraws a key: it neither signs nor verifies any more, and everything that it signed is revoked. Needs `admin`
    /// and `revoke` in every tenant.
    pub async fn withdraw_key(
        &self,
        call: &Call,
        id: KeyId,
        reason: Option<Reason>,
    ) -> Result<RevocationOutcome, Error> {
        let withdrawn =
            self.execute(call, Command::WithdrawKey(WithdrawKey { id, reason })).await.map_err(Error::widened)?;
        // If it was this node's, another one is next from now on. The withdrawal stands, whatever becomes of that.
        self.begin_keys().await;
        Ok(withdrawn.into())
    }

    /// A JWT is known by its claims, not by its text.
    fn is_foreign_to_memory(&self, secret: &Secret) -> bool {
        looks_like_jwt(secret.expose()) && self.find(&secret.digest()).is_none()
    }

    /// The note is bound to the name that the record will give the credential: its own if the caller may revoke it,
    /// else the one that the caller gave.
    fn note_for(
        &self,
        identity: &CallerIdentity,
        kind: Kind,
        credential: &CredentialRef,
        why: &Why,
    ) -> Result<Option<Sealed>, Failure> {
        let Some(note) = &why.note else { return Ok(None) };
        let now = self.earliest();
        let key = match credential {
            CredentialRef::Digest(digest) => self.find(digest),
            CredentialRef::Id(id) => Some(CredentialKey { kind, id: *id }),
            CredentialRef::Jwt { .. } | CredentialRef::Payload { .. } => {
                Some(CredentialKey { kind, id: credential.id() })
            }
        };
        let known = key.and_then(|key| {
            let issue = self.projection.credential(key).issue.filter(|issue| now < issue.not_after)?;
            Some((key.kind, issue.named(key), issue.tenant, issue.subject))
        });
        let known = known.filter(|(_, _, tenant, _)| identity.may(Scope::Revoke, tenant));
        let sealed = match &known {
            Some((kind, named, tenant, subject)) => {
                self.seal_note(Some((tenant, subject)), &Belongs::Revocation(*kind, named), note)
            }
            None => self.seal_note(None, &Belongs::Revocation(kind, credential), note),
        };
        sealed.map(Some)
    }

    /// The records of revocations. Those that this call did not append are read from the log: a contract that shows none need not ask.
    pub async fn records_of(&self, revocations: RevocationOutcome) -> Result<Vec<Arc<Filed>>, Failure> {
        match revocations.records {
            Records::Here(filed) => Ok(filed),
            Records::InLog(first, records) => self.filed(first, records).await,
        }
    }

    /// The sealed part of a record, opened: a session's identity and device, a token's claims, or a revocation's note.
    pub(super) fn opened(&self, filed: &Filed) -> Option<serde_json::Value> {
        let recorded = &filed.recorded;
        let tenant = recorded.tenant.clone().unwrap_or_default();
        let (sealed, belongs) = match &recorded.event {
            Event::SessionIssued(issued) => {
                let key = CredentialKey { kind: Kind::Session, id: issued.id };
                (issued.sealed.as_ref()?, Belongs::Session(key))
            }
            Event::TokenIssued(issued) => (issued.sealed.as_ref()?, Belongs::Token(&issued.name)),
            Event::Revoked(revoked) => (revoked.note.as_ref()?, Belongs::Revocation(revoked.kind, &revoked.credential)),
            Event::SubjectRevoked(revoked) => {
                (revoked.note.as_ref()?, Belongs::SubjectRevocation(&tenant, &revoked.subject))
            }
            Event::CohortRevoked(revoked) => (revoked.note.as_ref()?, Belongs::CohortRevocation(&revoked.cohort)),
            _ => return None,
        };
        let plain = self.open_sealed(recorded.place.origin, &belongs, sealed)?;
        match &recorded.event {
            Event::SessionIssued(_) | Event::TokenIssued(_) => serde_json::from_slice(&plain).ok(),
            _ => String::from_utf8(plain).ok().map(|note| serde_json::json!({ "note": note })),
        }
    }
}
