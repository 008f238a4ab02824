//! Whether a credential is active, and what a subject has.

use serde_json::{Map, Value};

use super::pace::STEP_ROWS;
use super::shares::Party;
use super::target::looks_like_jwt;
use super::tokens::{Judged, JwtStanding};
use super::{CallerIdentity, Error, Failure, Refusal, Service};
use crate::domain::{
    Active, Ancestor, ApplicationId, CredentialId, CredentialKey, CredentialRef, CredentialView as _, Digest, Kind,
    Kinds, RecordId, Rejection, Scope, Subject, SubjectState, Tenant, Timestamp, ancestors, unheard_of,
};
use crate::jose::{Binding, Possession, ProofError};

/// The introspection of an active credential.
#[derive(Clone, Debug)]
pub struct Introspection {
    pub kind: Kind,
    /// Its public id; a JWT without `jti` does not have one.
    pub id: Option<String>,
    /// The issuer, if it is a JWT.
    pub issuer: Option<String>,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// When it was issued, if it says so.
    pub issued_at: Option<Timestamp>,
    /// When it expires unless it is used or extended; never, if it does not say.
    pub expires_at: Option<Timestamp>,
    /// The latest instant to which any use or extension can prolong it.
    pub not_after: Option<Timestamp>,
    /// Of a ticket: the latest use that this process knows of.
    pub last_used_at: Option<Timestamp>,
    /// The application that issued it, if one of this ledger did.
    pub application: Option<ApplicationId>,
    /// The credential that it came from.
    pub parent: Option<CredentialKey>,
    /// What is known of that and of the ancestors above it, the parent first.
    pub ancestors: Vec<Ancestor>,
    /// The first ancestor whose issue this node has not heard of. It and those above it are not among them.
    pub unheard_of: Option<CredentialKey>,
    /// What a token is bound to, if it is not a bearer token.
    pub binding: Option<Box<Binding>>,
    /// The record of its issue, if memory knows it. What a JWT says needs no record.
    pub place: Option<RecordId>,
    /// What a JWT says itself.
    pub jwt: Option<Box<JwtSays>>,
}

/// The claims of a JWT whose signature is valid.
#[derive(Clone, Debug)]
pub struct JwtSays {
    /// All of them, without a token that a container holds.
    pub claims: Map<String, Value>,
    /// `nbf`, in whole seconds since 1970, rounded down.
    pub not_before: Option<u64>,
}

impl Introspection {
    /// The session that it came from, if its parent is one.
    pub fn session(&self) -> Option<CredentialId> {
        self.parent.filter(|parent| parent.kind == Kind::Session).map(|parent| parent.id)
    }
}

/// A page of a subject's credentials.
pub struct SubjectPage {
    /// Credentials that are active now.
    pub credentials: Vec<Introspection>,
    /// The revocations of the subject, by kind.
    pub state: SubjectState,
    /// The start of the next page, if there is one.
    pub next: Option<CredentialKey>,
}

/// Credentials that one page reads, active or not: the cost of a page is bounded.
const PAGE_SCAN: usize = 10_000;

impl Service {
    /// The introspection of that credential, if it is active and the caller may ask in its tenant. Never prolongs it.
    ///
    /// Where the caller says what came with it, a bound token is active only if that proves possession.
    pub async fn introspect(
        &self,
        identity: &CallerIdentity,
        credential: &str,
        shown: Option<&Possession<'_>>,
    ) -> Result<Option<Introspection>, Error> {
        if !identity.grants.somewhere(Scope::Introspect) {
            return Err(Rejection::Forbidden.into());
        }
        let found = self.active(credential).await?;
        let found = found.filter(|found| identity.may(Scope::Introspect, &found.tenant));
        let found = self.unless_its_application_is_gone(found).await?;
        let Some((binding, shown)) = found.as_ref().and_then(|found| found.binding.as_ref()).zip(shown) else {
            return Ok(found);
        };
        match self.proofs.check(binding, credential, shown, self.clock.now()) {
            Ok(()) => Ok(found),
            Err(ProofError::TooMany) => Err(Failure::Overloaded.into()),
            Err(_) => Ok(None),
        }
    }

    /// The introspection of that credential, if it is active.
    pub(super) async fn active(&self, credential: &str) -> Result<Option<Introspection>, Error> {
        match self.find(&Digest::of(credential.as_bytes())) {
            Some(key) => Ok(self.good(key, self.clock.now())),
            None if looks_like_jwt(credential) => match self.judge_jwt(credential).await {
                Ok(judged) => Ok(of_jwt(judged)),
                // That its issuer can't be reached does not answer whether it is active.
                Err(crate::jose::TokenError::KeysUnreachable) => {
                    Err(Error::Refused(Refusal::Token(crate::jose::TokenError::KeysUnreachable)))
                }
                Err(_) => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// An access token of an application is inactive once the application may not call any more.
    pub(super) async fn unless_its_application_is_gone(
        &self,
        found: Option<Introspection>,
    ) -> Result<Option<Introspection>, Failure> {
        let Some(one) = &found else { return Ok(None) };
        let (Some(place), Some(id), Kind::Token) = (one.place, one.application, one.kind) else { return Ok(found) };
        if self.callable(id, self.clock.now()).is_some() {
            return Ok(found);
        }
        Ok(if self.token_facts(place).await?.grant.is_some() { None } else { found })
    }

    /// The ticket, session or opaque token with that secret, active or not.
    pub(super) fn find(&self, digest: &Digest) -> Option<CredentialKey> {
        self.projection.issued_with(digest)
    }

    /// A page of a subject's credentials, at most `limit`. Needs `introspect` in the tenant.
    pub async fn subject(
        &self,
        identity: &CallerIdentity,
        tenant: &Tenant,
        subject: &Subject,
        after: Option<CredentialKey>,
        limit: usize,
    ) -> Result<SubjectPage, Error> {
        self.may_introspect(identity, tenant)?;
        let now = self.clock.now();
        let mut state = self.projection.subject(tenant, subject);
        state.prune(now);
        let mut pace = self.pace(Party::of(identity));
        let (mut credentials, mut last) = (Vec::new(), after);
        for _ in 0..PAGE_SCAN / STEP_ROWS {
            pace.step().await?;
            let scanned = self.projection.credentials_of(tenant, subject, Kinds::ALL, last, STEP_ROWS);
            for key in &scanned {
                if credentials.len() == limit {
                    return Ok(SubjectPage { credentials, state, next: last });
                }
                credentials.extend(self.good(*key, now));
                last = Some(*key);
            }
            if scanned.len() < STEP_ROWS {
                return Ok(SubjectPage { credentials, state, next: None });
            }
        }
        Ok(SubjectPage { credentials, state, next: last })
    }

    /// The credential, if it is active at `now`.
    fn good(&self, key: CredentialKey, now: Timestamp) -> Option<Introspection> {
        let Active { issue, expires_at } = self.projection.check(key, now).ok()?;
        let (named, parent) = (issue.named(key), issue.parent());
        Some(Introspection {
            kind: key.kind,
            id: named.public_id(key.kind),
            issuer: named.issuer().map(ToString::to_string),
            tenant: issue.tenant,
            subject: issue.subject,
            issued_at: Some(issue.issued_at),
            expires_at: Some(expires_at),
            not_after: Some(issue.not_after),
            last_used_at: (key.kind == Kind::Ticket).then(|| self.projection.seen_at(key.id)),
            application: issue.application,
            parent: parent.map(|parent| parent.key),
            ancestors: ancestors(&*self.projection, parent),
            unheard_of: unheard_of(&*self.projection, parent),
            place: Some(issue.place),
            jwt: None,
            binding: issue.confirmation.map(|confirmation| Box::new(Binding::from(*confirmation))),
        })
    }
}

fn of_jwt(judged: Judged) -> Option<Introspection> {
    if judged.standing != JwtStanding::Active {
        return None;
    }
    let binding = judged.binding().map(Box::new);
    let Judged { token, presented, .. } = judged;
    let presented = &presented;
    let named = &presented.credential;
    Some(Introspection {
        kind: Kind::Token,
        id: match named {
            CredentialRef::Jwt { jti, .. } => Some(jti.to_string()),
            CredentialRef::Payload { .. } | CredentialRef::Digest(_) | CredentialRef::Id(_) => None,
        },
        issuer: named.issuer().map(ToString::to_string),
        tenant: presented.tenant.clone(),
        subject: presented.subject.clone(),
        issued_at: presented
            .issued_at_seconds
            .map(|seconds| Timestamp::default().plus_millis(seconds.saturating_mul(1000))),
        expires_at: presented.ends_at(),
        not_after: presented.ends_at(),
        last_used_at: None,
        application: presented.application,
        parent: presented.ancestors.first().map(Ancestor::key),
        ancestors: presented.ancestors.clone(),
        unheard_of: None,
        binding,
        place: None,
        jwt: Some(Box::new(JwtSays { claims: token.claims, not_before: token.not_before })),
    })
}
