//! Revocations of everything that a subject has, for callers of Global Token Revocation (draft-parecki-oauth-global-token-revocation):
//! applications, and other issuers that the operator lets do so.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, CallerIdentity, Error, NewSubjectRevocation, Service, Why};
use crate::domain::{
    Caller, Digest, GivenSubject, Grant, Grants, Issuer, Kinds, RevokeSubjectRejection, Scope, Scopes, Tenant,
    Timestamp, TokenId, Ttl, alone,
};
use crate::jose::{IssuerCall, TokenError, numeric_date};

/// How far ahead a call may expire, in seconds.
const MAX_CALL_SECONDS: u64 = 3_600;

/// Why a JWT of another issuer is not a call of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobalCallError {
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The issuer may not revoke, or the JWT is for something else, or not for now.
    #[error("accept the call: its issuer may not revoke here, or it is for something else, or not for now")]
    NotForThis,
}

/// Everything that a subject has, in some tenants.
pub struct GlobalRevocation {
    pub tenants: Vec<Tenant>,
    pub subject: GivenSubject,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
}

impl Service {
    /// The issuer that has signed that JWT to revoke in its tenants, at this endpoint of this ledger.
    pub async fn authenticate_issuer(&self, jwt: &str, path: &str) -> Result<CallerIdentity, GlobalCallError> {
        const REFUSED: GlobalCallError = GlobalCallError::NotForThis;
        let ours = self.token_issuer().ok_or(REFUSED)?;
        let call = self.fixed.trusted.call(jwt).await?;
        let endpoint = format!("{ours}{path}");
        let is_meant =
            is_of_type(&call) && is_for(&call, [ours.as_str(), &endpoint]) && is_now(&call, self.clock.now());
        if !call.issuer.may_revoke || !is_meant {
            return Err(REFUSED);
        }
        let grant =
            |tenant: &Tenant| Grant { tenant: Some(tenant.clone()), scopes: Scopes::from_iter([Scope::Revoke]) };
        // Of an issuer for more tenants than grants have room for, none counts: a part of them would be a surprise.
        let grants = Grants::new(call.issuer.tenants.iter().map(grant).collect()).map_err(|_| REFUSED)?;
        let grants = Arc::new(grants);
        let jti = match call.claims.get("jti") {
            Some(jti) => jti.as_str().ok_or(REFUSED)?.to_owned(),
            None => Digest::of_payload(&call.payload).to_string(),
        };
        let caller = Caller::Issuer {
            issuer: Issuer::new(&call.issuer.issuer).map_err(|_| REFUSED)?,
            jti: TokenId::new(&jti).map_err(|_| REFUSED)?,
            grants: grants.clone(),
        };
        Ok(CallerIdentity { caller, grants, registration: None })
    }

    /// The tenants that tokens of that issuer may be for, if it is trusted; nothing stands for this ledger, whose tokens may
    /// be for any.
    pub fn tenants_of_issuer(&self, issuer: &str) -> Option<Option<Vec<Tenant>>> {
        if self.token_issuer().is_some_and(|ours| ours.as_str() == issuer) {
            return Some(None);
        }
        self.fixed.trusted.find(issuer).map(|issuer| Some(issuer.tenants.clone()))
    }

    /// Revokes everything that the subject has in each of the tenants, by one record each. False if the subject is known in
    /// none, and nobody else can have issued it anything: then nothing is recorded. Needs `revoke` in each tenant.
    pub async fn revoke_globally(
        &self,
        call: &Call,
        GlobalRevocation { tenants, subject, hold }: GlobalRevocation,
    ) -> Result<bool, Error<RevokeSubjectRejection>> {
        if !tenants.iter().any(|tenant| self.may_have_something(tenant, &subject)) {
            return Ok(false);
        }
        for tenant in tenants {
            let end = NewSubjectRevocation {
                subject: self.named(&tenant, &subject),
                tenant,
                kinds: Kinds::ALL,
                issued_before: None,
                keep: None,
                hold,
                why: Why::default(),
            };
            self.revoke_subject(call, end).await?;
        }
        Ok(true)
    }

    /// Whether the subject may have a credential that is active somewhere.
    fn may_have_something(&self, tenant: &Tenant, subject: &GivenSubject) -> bool {
        let named = self.named(tenant, subject);
        !alone(&*self.projection)
            || self.fixed.trusted.of_tenant(tenant).next().is_some()
            || !self.projection.credentials_of(tenant, &named, Kinds::ALL, None, 1).is_empty()
    }
}

fn is_of_type(call: &IssuerCall) -> bool {
    match &call.typ {
        None => true,
        Some(Value::String(typ)) => {
            ["jwt", "global-token-revocation+jwt"].iter().any(|one| typ.eq_ignore_ascii_case(one))
        }
        Some(_) => false,
    }
}

fn is_for(call: &IssuerCall, names: [&str; 2]) -> bool {
    match call.claims.get("aud") {
        Some(Value::String(one)) => names.contains(&&**one),
        Some(Value::Array(several)) => matches!(&**several, [Value::String(one)] if names.contains(&&**one)),
        _ => false,
    }
}

fn is_now(call: &IssuerCall, now: Timestamp) -> bool {
    let at = |name: &str| call.claims.get(name).map(numeric_date);
    let leeway = call.issuer.clock_leeway_seconds;
    let latest = now.as_seconds() + leeway;
    let begins = ["nbf", "iat"].into_iter().filter_map(at).all(|begin| begin.is_some_and(|begin| begin <= latest));
    let ends = at("exp").flatten().is_some_and(|end| now.as_seconds() < end && end <= latest + MAX_CALL_SECONDS);
    begins && ends
}
