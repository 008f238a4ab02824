//! The check of a credential for a gateway: a party that presents a credential may learn of that credential, and of
//! nothing else.

use super::target::looks_like_jwt;
use super::{Error, Introspection, IssueFacts, Service};
use crate::check::Standing;
use crate::domain::{
    Ancestor, Cohort, CohortsOf, CredentialId, CredentialKey, CredentialView as _, Digest, Event, Kind, PresentedToken,
    Recorded, Revokes, Subject, Tenant, Timestamp,
};
use crate::jose::TokenError;

/// A name by which a credential is revoked: alone, with its subject's others, or with a cohort.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RevocableName {
    Credential(CredentialId),
    Subject(Tenant, Subject),
    Cohort(Cohort),
}

/// What a record may change about credentials that were active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Nothing.
    Nothing,
    /// Those with one of these names, or with an ancestor that has one.
    Named(Vec<RevocableName>),
    /// Any.
    Anything,
}

impl Reached {
    /// What that record may change.
    pub fn by(recorded: &Recorded) -> Self {
        match &recorded.event {
            // Access tokens that it had for itself are inactive.
            Event::ApplicationRemoved(id) => {
                return Self::Named(vec![RevocableName::Cohort(Cohort::Application(*id))]);
            }
            // What the node issued beyond its seal is inactive.
            Event::NodeRemoved(_) => return Self::Anything,
            _ => {}
        }
        match recorded.event.facets().revokes {
            None => Self::Nothing,
            Some(Revokes::Credential(revoked)) => {
                let ids = [Some(revoked.credential.id()), revoked.session_digest.as_ref().map(Digest::id)];
                Self::Named(ids.into_iter().flatten().map(RevocableName::Credential).collect())
            }
            Some(Revokes::Subject(all)) => match &recorded.tenant {
                Some(tenant) => Self::Named(vec![RevocableName::Subject(tenant.clone(), all.subject.clone())]),
                None => Self::Anything,
            },
            Some(Revokes::Cohort(all)) => Self::Named(vec![RevocableName::Cohort(all.cohort.clone())]),
        }
    }
}

impl Service {
    /// Whether this node may say that a credential is active: it takes revocations, and holds those of the others.
    pub fn may_vouch(&self) -> bool {
        self.fault().is_none()
            && self.log.writer.has_room()
            && self.cluster.is_admitted()
            && !self.cluster.is_set_back()
    }

    /// The standing of that credential, if it is active and its bearer need not prove anything else: a check sees no proof
    /// of possession. Never prolongs it.
    pub async fn check(&self, credential: &str) -> Result<Option<Standing>, Error> {
        let found = self.active(credential).await?.filter(|found| found.binding.is_none());
        let Some(found) = self.unless_its_application_is_gone(found).await? else { return Ok(None) };
        let facts = self.issue_facts(&found).await?;
        Ok(Some(self.standing_of(found, &facts)))
    }

    /// Notes that the ticket with that secret was used. Nothing is appended now, and at most once for each tenth of its
    /// life afterwards.
    pub fn note_use(&self, ticket: &str) {
        let key = CredentialKey { kind: Kind::Ticket, id: Digest::of(ticket.as_bytes()).id() };
        // That it is not active any more is for the next check to say.
        let _ = self.projection.touch(key.id, self.clock.now());
    }

    fn standing_of(&self, found: Introspection, facts: &IssueFacts) -> Standing {
        let scope = found.scope(facts).map(|scope| scope.into_owned());
        let audience = found.audience(facts).into_iter().map(str::to_owned).collect();
        let session = match found.kind {
            Kind::Session => found.id.clone(),
            Kind::Token => found.session().map(|id| id.uuid().to_string()),
            Kind::Ticket => None,
        };
        let aal = match facts {
            IssueFacts::Session(session) => Some(session.aal.to_string()),
            IssueFacts::Token(_) | IssueFacts::Nothing => found.level().map(str::to_owned),
        };
        Standing {
            kind: found.kind,
            issuer: found.issuer.clone().or_else(|| Some(self.token_issuer()?.to_string())),
            session,
            client: found.client().filter(|_| found.kind == Kind::Token).map(|client| client.into_owned()),
            scope,
            audience,
            aal,
            expires_at: found.expires_at,
            id: found.id,
            tenant: found.tenant,
            subject: found.subject,
        }
    }

    /// Every name by which that credential can be revoked, its ancestors' among them, if it is active.
    pub async fn names(&self, credential: &str) -> Result<Option<Vec<RevocableName>>, Error> {
        let digest = Digest::of(credential.as_bytes());
        let now = self.clock.now();
        if let Some(key) = self.find(&digest) {
            return Ok(self.names_of_issued(key, digest, now));
        }
        if !looks_like_jwt(credential) {
            return Ok(None);
        }
        match self.judge_jwt(credential).await {
            Ok(judged) if judged.standing == super::JwtStanding::Active => {
                let tokens = std::iter::once(&judged.presented).chain(&judged.inner);
                Ok(Some(tokens.flat_map(|token| self.names_of_presented(token)).collect()))
            }
            Ok(_) => Ok(None),
            Err(error @ TokenError::KeysUnreachable) => Err(Error::Refused(super::Refusal::Token(error))),
            Err(_) => Ok(None),
        }
    }

    fn names_of_issued(&self, key: CredentialKey, digest: Digest, now: Timestamp) -> Option<Vec<RevocableName>> {
        let issue = self.projection.check(key, now).ok()?.issue;
        let mut names = vec![RevocableName::Credential(key.id), RevocableName::Credential(digest.id())];
        names.push(RevocableName::Subject(issue.tenant.clone(), issue.subject.clone()));
        names.extend(CohortsOf::issue(&issue).each().map(RevocableName::Cohort));
        let parent = issue.parent();
        let above = crate::domain::ancestors(&*self.projection, parent);
        names.extend(above.iter().flat_map(|ancestor| self.names_of_ancestor(&issue.tenant, ancestor)));
        let unheard_of = crate::domain::unheard_of(&*self.projection, parent);
        names.extend(unheard_of.map(|key| RevocableName::Credential(key.id)));
        Some(names)
    }

    fn names_of_presented(&self, token: &PresentedToken) -> Vec<RevocableName> {
        let mut names = vec![RevocableName::Credential(token.credential.id())];
        names.push(RevocableName::Subject(token.tenant.clone(), token.subject.clone()));
        names.extend(token.cohorts().each().map(RevocableName::Cohort));
        names.extend(token.ancestors.iter().flat_map(|ancestor| self.names_of_ancestor(&token.tenant, ancestor)));
        names
    }

    /// A session is revoked by its token's digest, too, where nobody knew its id.
    fn names_of_ancestor(&self, tenant: &Tenant, ancestor: &Ancestor) -> Vec<RevocableName> {
        let issue = self.projection.credential(ancestor.key()).issue;
        let digest = issue.as_ref().and_then(|issue| issue.digest()).map(Digest::id);
        let cohorts = CohortsOf {
            tenant,
            application: ancestor.application,
            issuer: ancestor.name.issuer(),
            key: ancestor.signed_with.as_ref(),
        };
        let ids = std::iter::once(ancestor.name.id()).chain(digest).map(RevocableName::Credential);
        let subject = RevocableName::Subject(tenant.clone(), ancestor.subject.clone());
        ids.chain([subject]).chain(cohorts.each().map(RevocableName::Cohort)).collect()
    }
}
