//! From a text to a token that a trusted issuer has signed.

use crate::domain::{GivenSubject, Tenant};
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{Proven, VerifiedToken};
use super::issuer::Issuer;
use super::key_set::{PublicKey, verify_signature};
use super::seen::{SeenSignatures, SignatureMark};
use super::trusted::TrustedIssuer;
use super::{ParsedToken, TokenError, TrustError};
use crate::clock::Clock;

/// The ledger's own name and keys. Both may change while it runs.
pub trait OwnKeys: Sync {
    /// The issuer of this ledger's tokens, if there is one.
    fn issuer(&self) -> Option<Arc<str>>;

    /// The public JWK of that name, as text, if it verifies this ledger's tokens.
    fn jwk(&self, kid: &str) -> Option<Arc<str>>;

    /// When the last token expires that the key of that name has signed, in whole seconds since 1970, if it no longer
    /// signs: a token with a later expiry was made by somebody who has the key and should not.
    fn signed_until(&self, kid: &str) -> Option<u64> {
        let _ = kid;
        None
    }

    /// Whether both names stand for one subject in that tenant.
    fn same_subject(&self, tenant: &Tenant, one: &GivenSubject, other: &GivenSubject) -> bool {
        let _ = tenant;
        one == other
    }
}

/// A JWT by which another issuer calls this ledger; its signature is valid.
pub struct IssuerCall {
    /// The issuer.
    pub issuer: Arc<TrustedIssuer>,
    /// The header's `typ`.
    pub typ: Option<Value>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The payload's members.
    pub claims: Map<String, Value>,
}

/// The other issuers whose tokens are accepted.
pub struct TrustedIssuers {
    issuers: HashMap<Arc<str>, Arc<Issuer>>,
    clock: Clock,
    seen: SeenSignatures,
}

impl TrustedIssuers {
    /// The issuers, each with a different name. Keys in files are read now, so that a bad file is refused at the start;
    /// others at their first use. The clock tells when keys may be loaded again.
    pub fn new(issuers: Vec<TrustedIssuer>, clock: Clock) -> Result<Self, TrustError> {
        let now = clock.now();
        let named = |settings: TrustedIssuer| Ok((settings.issuer.clone(), Arc::new(Issuer::new(settings, now)?)));
        let issuers = issuers.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(Self { issuers, clock, seen: SeenSignatures::default() })
    }

    /// Whether tokens of that issuer are accepted.
    pub fn trusts(&self, issuer: &crate::domain::Issuer) -> bool {
        self.issuers.contains_key(issuer.as_str())
    }

    /// The token of that text, and the one within it if it is a container, if both signatures are valid and the issuers
    /// trusted for their tenant. Times are not judged: see [`VerifiedToken::check_times`].
    ///
    /// It waits at most for an issuer's keys, and not longer than [`super::KEYS_TIMEOUT`].
    pub async fn verify(&self, text: &str, own: &impl OwnKeys) -> Result<VerifiedToken, TokenError> {
        let mut outer = self.prove(text, own).await?;
        let Some(text) = outer.take_inner() else { return outer.verified(None) };
        let mut inner = self.prove(&text, own).await?;
        if inner.take_inner().is_some() {
            return Err(TokenError::NestedContainer);
        }
        let inner = inner.verified(None)?;
        outer.verified_over(Some(inner), |tenant, one, other| own.same_subject(tenant, one, other))
    }

    /// The call of another issuer, which it has signed for this ledger: not a token of a subject.
    pub async fn call(&self, text: &str) -> Result<IssuerCall, TokenError> {
        let (token, header) = ParsedToken::with_header(text)?;
        let issuer = token.claims.get("iss").and_then(Value::as_str).ok_or(TokenError::MissingIssuer)?;
        let trusted = self.issuers.get(issuer).ok_or(TokenError::UnknownIssuer)?;
        let key = trusted.key(token.kid.as_deref(), token.algorithm, &self.clock).await?;
        verify_signature(&token, &key)?;
        let typ = header.get("typ").cloned();
        let ParsedToken { payload, claims, .. } = token;
        Ok(IssuerCall { issuer: trusted.settings.clone(), typ, payload, claims })
    }

    /// The issuers whose tokens may be for that tenant.
    pub fn of_tenant(&self, tenant: &Tenant) -> impl Iterator<Item = &TrustedIssuer> {
        self.issuers.values().map(|issuer| &*issuer.settings).filter(move |issuer| issuer.tenants.contains(tenant))
    }

    /// What is known of that issuer, if it is trusted.
    pub fn find(&self, issuer: &str) -> Option<&TrustedIssuer> {
        self.issuers.get(issuer).map(|issuer| &*issuer.settings)
    }

    async fn prove(&self, text: &str, own: &impl OwnKeys) -> Result<Proven, TokenError> {
        let token = ParsedToken::new(text)?;
        let issuer = token.claims.get("iss").and_then(Value::as_str).ok_or(TokenError::MissingIssuer)?;
        let (key, issuer, terms) = match own.issuer() {
            Some(ours) if *ours == *issuer => (own_key(&token, own)?, ours, None),
            _ => {
                let trusted = self.issuers.get(issuer).ok_or(TokenError::UnknownIssuer)?;
                let key = trusted.key(token.kid.as_deref(), token.algorithm, &self.clock).await?;
                (key, trusted.settings.issuer.clone(), Some(trusted.settings.clone()))
            }
        };
        let mark = SignatureMark::of(&key, text);
        if !self.seen.has(&mark) {
            verify_signature(&token, &key)?;
            self.seen.add(mark);
        }
        let ParsedToken { kid, payload, claims, .. } = token;
        Ok(Proven { issuer, terms, kid, payload, claims })
    }
}

fn own_key(token: &ParsedToken<'_>, own: &impl OwnKeys) -> Result<PublicKey, TokenError> {
    let kid = token.kid.as_deref().ok_or(TokenError::KeyIdNeeded)?;
    let expires_at = token.claims.get("exp").and_then(Value::as_u64);
    if own.signed_until(kid).is_some_and(|until| expires_at.is_none_or(|expires_at| until < expires_at)) {
        return Err(TokenError::UnknownKey);
    }
    let key = own.jwk(kid).and_then(|jwk| PublicKey::from_jwk(&jwk));
    key.filter(|key| key.algorithm() == token.algorithm).ok_or(TokenError::UnknownKey)
}
