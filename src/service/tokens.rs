//! Tokens: issued as JWTs or opaque secrets, judged and revoked when they are presented.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::limits::MAX_PERSONAL_BYTES;
use super::machine::{Filed, Issued};
use super::sealing::Belongs;
use super::signing::{RESERVED_CLAIMS, token_issued};
use super::status_lists::ENTRY_ATTEMPTS;
use super::{Call, CallerIdentity, Error, Failure, Holder, Service, TokenParent, TokenRefusal};
use crate::clock::{NoRandomness, fresh_uuid, random};
use crate::domain::{
    Ancestor, ApplicationId, Caller, Confirmation, CredentialKey, CredentialRef, CredentialView as _, Forbidden,
    Generation, Grants, Inactive, IssueToken, IssueTokenRejection, KeyId, Kind, Origin, PresentedToken, RecordId,
    RequestId, Scope, Secret, Sequence, StatusDraws, StatusListClass, Subject, Tenant, Timestamp, TokenForm, TokenId,
    Ttl, judge_presented,
};
use crate::jose::{Binding, Possession, Proof, ProofError, TargetUri, TokenError, TokenTimeError, VerifiedToken};
use crate::keys::{SecretPrefix, mint};

/// A token to issue.
#[derive(Clone)]
pub struct NewToken {
    /// The name space of the subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// How long it lasts, at most until its parent expires; the policy's life where absent.
    pub ttl: Option<Ttl>,
    /// The credential that it comes from.
    pub parent: Option<TokenParent>,
    pub audience: Vec<Box<str>>,
    pub scope: Option<Box<str>>,
    /// What it is bound to, if it is not a bearer token.
    pub confirmation: Option<Confirmation>,
    /// Claims that the caller adds; none of [`RESERVED_CLAIMS`].
    pub claims: Map<String, Value>,
    /// Whether it is to be opaque.
    pub opaque: bool,
    /// Whether a JWT is to have an entry in a status list; as the operator has set it, if that is not said.
    pub status_list: Option<bool>,
}

/// A token that the operator's settings describe, for a session whose bearer asks for it.
#[derive(Clone)]
pub struct SessionToken {
    /// How long it lasts, at most until its session expires.
    pub ttl: Ttl,
    pub audience: Vec<Box<str>>,
    /// Claims besides the ledger's own; none of [`RESERVED_CLAIMS`].
    pub claims: Map<String, Value>,
}

pub struct IssuedToken {
    /// The record of its issue.
    pub filed: Arc<Filed>,
    /// The token in clear, for its bearer only.
    pub secret: Secret,
    /// Its public id.
    pub id: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A JWT that a trusted issuer has signed, and its standing now.
pub struct Judged {
    /// Its claims.
    pub token: VerifiedToken,
    /// Its name, and the other facts that decide about it.
    pub presented: PresentedToken,
    /// Of a container: the token in it.
    pub inner: Option<PresentedToken>,
    /// Active, or why not. A container is active only if the token in it is, too.
    pub standing: JwtStanding,
}

impl Judged {
    /// What it is bound to, the token in it included; nothing if it is a bearer token.
    pub fn binding(&self) -> Option<Binding> {
        let inner = self.token.inner.as_ref().and_then(|inner| inner.binding.clone());
        match (self.token.binding.clone(), inner) {
            (Some(own), Some(inner)) => Some(own.joined(inner)),
            (own, inner) => own.or(inner),
        }
    }
}

/// The standing of a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtStanding {
    /// It is active.
    Active,
    /// It is not valid yet.
    NotYetValid,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked(RecordId, Timestamp),
}

impl Service {
    /// Whether new tokens are refused to the subject for now.
    pub fn is_on_hold(&self, token: &PresentedToken) -> bool {
        self.projection.subject(&token.tenant, &token.subject).on_hold(Kind::Token, self.clock.now())
    }

    /// Issues a token. Needs `issue` in its tenant.
    pub async fn issue_token(&self, call: &Call, new: NewToken) -> Result<IssuedToken, Error<TokenRefusal>> {
        self.may_issue(call, &new)?;
        self.gets_entry(new.status_list, new.opaque).map_err(Error::Refused)?;
        if new.opaque {
            return self.issue_opaque(call, &new).await;
        }
        self.ensure_key_signs().await?;
        match self.issue_jwt(call, &new).await {
            // An opaque token is introspected, so it can be issued to a subject that was revoked on any number of
            // nodes.
            Err(Error::Refused(TokenRefusal::Rejected(IssueTokenRejection::GenerationTooLarge))) => {
                self.issue_opaque(call, &new).await
            }
            issued => issued,
        }
    }

    fn may_issue(&self, call: &Call, new: &NewToken) -> Result<(), Error<TokenRefusal>> {
        if !call.identity.may(Scope::Issue, &new.tenant) {
            return Err(Forbidden.into());
        }
        self.refuse_on_hold(call, &new.tenant, &new.subject, Kind::Token).map_err(Error::widened)?;
        if RESERVED_CLAIMS.iter().any(|reserved| new.claims.contains_key(*reserved)) {
            return Err(Error::Refused(TokenRefusal::ReservedClaim));
        }
        Ok(())
    }

    /// Issues a JWT that belongs to the holder's session. The node issues it by its settings: the bearer decides nothing
    /// of what it says. There is no opaque token in its place, because nobody could tell by its text whether it is still active.
    pub async fn issue_session_token(
        &self,
        holder: &Holder,
        request: Option<RequestId>,
        SessionToken { ttl, audience, claims }: SessionToken,
    ) -> Result<IssuedToken, Error<TokenRefusal>> {
        let grants = Grants::everything().into();
        let identity = CallerIdentity { caller: Caller::Node, grants, registration: None };
        let new = NewToken {
            tenant: holder.tenant.clone(),
            subject: holder.subject.clone(),
            ttl: Some(ttl),
            parent: Some(TokenParent::OwnSession(holder.id)),
            audience,
            scope: None,
            confirmation: None,
            claims,
            opaque: false,
            status_list: None,
        };
        let call = Call { identity, request, idempotency: None, consistency: None };
        self.may_issue(&call, &new)?;
        self.ensure_key_signs().await?;
        self.issue_jwt(&call, &new).await
    }

    /// A JWT that is to have an entry in a status list waits for a list, if none takes indexes now.
    async fn issue_jwt(&self, call: &Call, new: &NewToken) -> Result<IssuedToken, Error<TokenRefusal>> {
        if !self.gets_entry(new.status_list, false).map_err(Error::Refused)? {
            return self.issue_jwt_once(call, new, false).await;
        }
        let policy = self.fixed.policy;
        let class = StatusListClass::of(new.ttl.unwrap_or(policy.token_ttl).min(policy.longest_life));
        for _ in 1..ENTRY_ATTEMPTS {
            self.ensure_status_list(class).await?;
            match self.issue_jwt_once(call, new, true).await {
                // The list was full, or closed, when it was the token's turn.
                Err(Error::Refused(TokenRefusal::Rejected(IssueTokenRejection::NoStatusList))) => {}
                issued => return issued,
            }
        }
        self.ensure_status_list(class).await?;
        self.issue_jwt_once(call, new, true).await
    }

    async fn issue_jwt_once(
        &self,
        call: &Call,
        new: &NewToken,
        is_listed: bool,
    ) -> Result<IssuedToken, Error<TokenRefusal>> {
        let jti = TokenId::new(&fresh_uuid()?.to_string()).map_err(Failure::key)?;
        let issuer = self.token_issuer().ok_or(Error::Refused(TokenRefusal::IssuerNotConfigured))?;
        let name = CredentialRef::Jwt { issuer, jti: jti.clone() };
        let filed = self.append_token(call, new, TokenForm::Jwt(jti), &name, is_listed).await?;
        match filed {
            Issued::Now(filed) => self.issued_jwt(filed, new.claims.clone()),
            Issued::Before(first) => self.token_issued_before(first).await,
        }
    }

    async fn issue_opaque(&self, call: &Call, new: &NewToken) -> Result<IssuedToken, Error<TokenRefusal>> {
        let secret = mint(SecretPrefix::OpaqueToken).map_err(|_| Failure::NoRandomness)?;
        self.keep_for_repetition(call, &secret);
        let digest = secret.digest();
        match self.append_token(call, new, TokenForm::Opaque(digest), &CredentialRef::Digest(digest), false).await? {
            Issued::Now(filed) => Ok(issued(filed, secret)?),
            Issued::Before(first) => self.token_issued_before(first).await,
        }
    }

    /// The record of the issue, or the place of the one that the call repeats.
    async fn append_token(
        &self,
        call: &Call,
        new: &NewToken,
        form: TokenForm,
        name: &CredentialRef,
        is_listed: bool,
    ) -> Result<Issued, Error<TokenRefusal>> {
        let sealed = if new.claims.is_empty() {
            None
        } else {
            let plain =
                serde_json::to_vec(&new.claims).map_err(|_| Error::Refused(TokenRefusal::PersonalDataTooLarge))?;
            if plain.len() > MAX_PERSONAL_BYTES {
                return Err(Error::Refused(TokenRefusal::PersonalDataTooLarge));
            }
            Some(self.seal(&new.tenant, &new.subject, &Belongs::Token(name), &plain)?)
        };
        let parent = self.tokens_parent(new.parent.as_ref()).await.map_err(Error::widened)?;
        let issue = IssueToken {
            tenant: new.tenant.clone(),
            subject: new.subject.clone(),
            form,
            ttl: new.ttl,
            parent,
            audience: new.audience.clone(),
            scope: new.scope.clone(),
            confirmation: new.confirmation,
            status: is_listed.then(draws).transpose()?,
            sealed,
        };
        let outcome = self.execute(call, issue).await.map_err(Error::widened)?;
        Ok(outcome.issued(call)?)
    }

    async fn token_issued_before(&self, first: RecordId) -> Result<IssuedToken, Error<TokenRefusal>> {
        let filed = self.filed(first, 1).await?.into_iter().next().ok_or_else(Failure::not_on_record)?;
        let token = token_issued(&filed).ok_or_else(Failure::not_on_record)?;
        self.refuse_erased(&filed, &token.subject).map_err(Error::widened)?;
        let Some(digest) = token.name.digest().copied() else {
            let added = self.added_claims(&filed).unwrap_or_default();
            return self.issued_jwt(filed, added);
        };
        let secret = self.recent_secrets.find(digest.id(), self.clock.now());
        let secret = secret.ok_or_else(|| Error::SecretAlreadyShown { id: digest.id().to_string() })?;
        Ok(issued(filed, secret)?)
    }

    fn issued_jwt(&self, filed: Arc<Filed>, added: Map<String, Value>) -> Result<IssuedToken, Error<TokenRefusal>> {
        let token = token_issued(&filed).ok_or_else(Failure::not_on_record)?;
        let secret = Secret::new(&self.jwt(&filed, token, added)?);
        Ok(issued(filed, secret)?)
    }

    /// The claims that were added to a token, if they can still be opened.
    pub(super) fn added_claims(&self, filed: &Filed) -> Option<Map<String, Value>> {
        let token = token_issued(filed)?;
        let sealed = token.sealed.as_ref()?;
        let plain = self.open_sealed(filed.recorded.place.origin, &Belongs::Token(&token.name), sealed)?;
        serde_json::from_slice(&plain).ok()
    }

    /// The standing of a JWT, if a trusted issuer has signed it.
    pub async fn judge_jwt(&self, text: &str) -> Result<Judged, TokenError> {
        let token = self.fixed.trusted.verify(text, self).await?;
        let presented = self.presented(&token)?;
        let inner = token.inner.as_deref().map(|inner| self.presented(inner)).transpose()?;
        let now = self.clock.now();
        let mut standing = self.standing(&token, &presented, now);
        if let (JwtStanding::Active, Some(token), Some(inner)) = (standing, &token.inner, &inner) {
            standing = self.standing(token, inner, now);
        }
        Ok(Judged { token, presented, inner, standing })
    }

    /// Whether that very token was revoked, and not only what it belongs to.
    pub fn is_revoked_alone(&self, judged: &Judged) -> bool {
        let PresentedToken { credential, tenant, subject, .. } = &judged.presented;
        let key = CredentialKey { kind: Kind::Token, id: credential.id() };
        self.projection.credential(key).revocations.of(tenant, subject).is_some()
    }

    /// Whether a presented token comes with a proof of the key that it is bound to, for a request to this ledger itself.
    /// The address of the ledger is its issuer: a caller says nothing of where its request went.
    pub fn proves_possession(
        &self,
        binding: &Binding,
        token: &str,
        proof: &str,
        method: &str,
        path: &str,
    ) -> Result<(), ProofError> {
        let issuer = self.token_issuer().ok_or(ProofError::OtherUri)?;
        let uri = TargetUri::new(&format!("{issuer}{path}")).map_err(|_| ProofError::OtherUri)?;
        let proof = Some(Proof { text: proof, method, uri: &uri });
        self.proofs.check(binding, token, &Possession { proof, certificate: None }, self.clock.now())
    }

    fn standing(&self, token: &VerifiedToken, presented: &PresentedToken, now: Timestamp) -> JwtStanding {
        match judge_presented(&*self.projection, presented, now) {
            Err(Inactive::Revoked(place, revoked_at)) => JwtStanding::Revoked(place, revoked_at),
            Err(Inactive::Expired | Inactive::Unknown) => JwtStanding::Expired,
            Ok(()) => match token.check_times(now.as_millis()) {
                Ok(()) => JwtStanding::Active,
                Err(TokenTimeError::Expired) => JwtStanding::Expired,
                Err(TokenTimeError::NotYetValid) => JwtStanding::NotYetValid,
            },
        }
    }

    /// A verified token in the domain's words.
    fn presented(&self, token: &VerifiedToken) -> Result<PresentedToken, TokenError> {
        let entry = |(origin, sequence): (&String, &u64)| {
            let origin: Origin = origin.parse().map_err(|_| TokenError::MalformedGeneration)?;
            Ok((origin, Sequence(*sequence)))
        };
        let generation: Generation = token.generation.iter().map(entry).collect::<Result<_, TokenError>>()?;
        let at = |seconds: u64| Timestamp::default().plus_millis(seconds.saturating_mul(1_000));
        // Revocations of a subject are kept for the longest life: a token that lives longer would be active again
        // afterwards.
        let good_until =
            token.issued_at.filter(|_| !token.ours).map(|seconds| at(seconds).plus(self.fixed.policy.longest_life));
        let subject = self.named(&token.tenant, &token.subject);
        let ancestors = token.ancestors.iter().scan(subject.clone(), |childs, claimed| {
            if let Some(own) = &claimed.subject {
                *childs = self.named(&token.tenant, own);
            }
            Some(Ancestor {
                kind: claimed.kind,
                name: claimed.name.clone(),
                subject: childs.clone(),
                application: claimed.application.map(ApplicationId),
                signed_with: claimed.kid.as_deref().and_then(|kid| KeyId::new(kid).ok()),
                issued_at: claimed.issued_at,
            })
        });
        Ok(PresentedToken {
            credential: token.identity.clone(),
            tenant: token.tenant.clone(),
            ancestors: ancestors.collect(),
            subject,
            issued_at_seconds: token.issued_at,
            expires_at: token.expires_at.map(at),
            good_until,
            generation: token.ours.then_some(generation),
            application: token.application.map(ApplicationId),
            key: token.kid.as_deref().filter(|_| token.ours).and_then(|kid| KeyId::new(kid).ok()),
            leeway_seconds: token.clock_leeway_seconds,
        })
    }

    /// Whether a bearer's token is the one that is to be revoked, or the one in it: the same identity, whatever its
    /// spelling.
    pub fn is_same_token(own: &Judged, token: &Judged) -> bool {
        let names = |judged: &Judged| {
            std::iter::once(&judged.presented)
                .chain(&judged.inner)
                .map(|one| one.credential.clone())
                .collect::<Vec<_>>()
        };
        names(token).contains(&own.presented.credential)
    }
}

/// Random numbers for the command: the writer, which decides, has no randomness.
fn draws() -> Result<StatusDraws, NoRandomness> {
    let bytes: [u8; size_of::<StatusDraws>()] = random()?;
    let (draws, _) = bytes.as_chunks::<4>();
    Ok(std::array::from_fn(|n| u32::from_le_bytes(draws[n])))
}

pub(super) fn issued(filed: Arc<Filed>, secret: Secret) -> Result<IssuedToken, Failure> {
    let token = token_issued(&filed).ok_or_else(Failure::not_on_record)?;
    let id = token.name.public_id(Kind::Token).ok_or_else(Failure::not_on_record)?;
    let expires_at = token.expires_at;
    Ok(IssuedToken { filed, secret, id, expires_at })
}
