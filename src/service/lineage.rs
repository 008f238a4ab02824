//! The credential that a new one is to come from, as its caller names it.

use super::target::{Target, looks_like_jwt};
use super::{Call, Error, Service};
use crate::domain::{
    CredentialId, CredentialKey, CredentialRef, CredentialView as _, Forbidden, IssueRejection, Kind, ParentChoice,
    Scope, Tenant,
};

/// The credential that a new token is to come from.
#[derive(Clone)]
pub enum TokenParent {
    /// A session of its own subject.
    OwnSession(CredentialId),
    /// Any credential of its tenant.
    Any(Target),
}

impl Service {
    /// The parent of a new credential in that tenant, if its caller may issue there.
    pub(super) async fn new_parent(
        &self,
        call: &Call,
        tenant: &Tenant,
        target: Option<&Target>,
    ) -> Result<Option<CredentialKey>, Error<IssueRejection>> {
        match target {
            None => Ok(None),
            Some(_) if !call.identity.may(Scope::Issue, tenant) => Err(Forbidden.into()),
            Some(target) => self.parent(target).await.map(Some),
        }
    }

    /// The key of the parent. One that this ledger has not issued has none, and an application's access token is nobody's parent: whether it
    /// is active depends on its application.
    ///
    /// An unknown secret has a key, too: whether its credential is active is decided with the issue, so that a call that is
    /// repeated finds its answer even if the parent was revoked and forgotten since.
    async fn parent(&self, target: &Target) -> Result<CredentialKey, Error<IssueRejection>> {
        let key = self.key_of(target).await.map_err(Error::Refused)?;
        let issue = self.projection.credential(key).issue.filter(|_| key.kind == Kind::Token);
        if let Some(issue) = issue
            && self.token_facts(issue.place).await?.grant.is_some()
        {
            return Err(Error::Refused(IssueRejection::ParentInactive));
        }
        Ok(key)
    }

    async fn key_of(&self, target: &Target) -> Result<CredentialKey, IssueRejection> {
        match target {
            Target::Credential(kind, secret) => {
                let digest = secret.digest();
                match self.find(&digest) {
                    None if looks_like_jwt(secret.expose()) => self.jwt_parent(secret.expose()).await,
                    found => Ok(found.unwrap_or(CredentialKey { kind: *kind, id: digest.id() })),
                }
            }
            Target::Id(kind, id) => Ok(CredentialKey { kind: *kind, id: *id }),
            Target::Jti(jti) => {
                let issuer = self.token_issuer().ok_or(IssueRejection::ParentInactive)?;
                let name = CredentialRef::Jwt { issuer, jti: jti.clone() };
                Ok(CredentialKey { kind: Kind::Token, id: name.id() })
            }
        }
    }

    async fn jwt_parent(&self, text: &str) -> Result<CredentialKey, IssueRejection> {
        let judged = self.judge_jwt(text).await.ok().filter(|judged| judged.token.ours);
        let judged = judged.ok_or(IssueRejection::ParentInactive)?;
        Ok(CredentialKey { kind: Kind::Token, id: judged.presented.credential.id() })
    }

    /// The parent of a new token, whose caller may issue it.
    pub(super) async fn tokens_parent(
        &self,
        parent: Option<&TokenParent>,
    ) -> Result<Option<ParentChoice>, Error<IssueRejection>> {
        Ok(match parent {
            None => None,
            Some(TokenParent::OwnSession(id)) => Some(ParentChoice::OwnSession(*id)),
            Some(TokenParent::Any(target)) => Some(ParentChoice::Any(self.parent(target).await?)),
        })
    }
}
