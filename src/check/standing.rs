//! A good credential, in the form in which a rule judges it and a backend sees it.

use super::outcome::CheckOutcome;
use super::rule::CheckRule;
use crate::domain::{Kind, Subject, Tenant, Timestamp};

/// A good credential: everything that a rule asks about and that an identity header shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub kind: Kind,
    /// Its public id; a JWT without `jti` does not have one.
    pub id: Option<String>,
    /// Of a JWT its issuer, and otherwise this ledger's, if it has a name.
    pub issuer: Option<String>,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// Of a session its own id, of a token the session that it came from.
    pub session: Option<String>,
    /// Of a token: the client that it was issued to.
    pub client: Option<String>,
    /// Of a token: what it allows, separated by spaces.
    pub scope: Option<String>,
    /// Of a token: the parties that it is meant for.
    pub audience: Vec<String>,
    /// The assurance level of a session, or the `acr` of a JWT.
    pub aal: Option<String>,
    /// When it expires unless it is used or extended; never, if it does not say.
    pub expires_at: Option<Timestamp>,
}

impl CheckRule {
    /// Whether the rule holds of a good credential, or what does not. The first that does not hold is told.
    pub fn judge(&self, standing: &Standing) -> CheckOutcome {
        let issuer = standing.issuer.as_deref();
        let is_one_of = |issuers: &[Box<str>]| issuers.iter().any(|one| Some(&**one) == issuer);
        let is_meant_for = |one: &str| standing.audience.iter().any(|audience| audience == one);
        if !self.kinds.contains(standing.kind) {
            CheckOutcome::OtherKind
        } else if self.tenants.as_ref().is_some_and(|tenants| !tenants.contains(&standing.tenant)) {
            CheckOutcome::OtherTenant
        } else if self.issuers.as_deref().is_some_and(|issuers| !is_one_of(issuers)) {
            CheckOutcome::OtherIssuer
        } else if !self.audience.is_empty() && !self.audience.iter().any(|one| is_meant_for(one)) {
            CheckOutcome::OtherAudience
        } else if !self.has_scopes(standing.scope.as_deref().unwrap_or_default()) {
            CheckOutcome::NoScope
        } else if !self.has_level(standing.aal.as_deref()) {
            CheckOutcome::LowAal
        } else {
            CheckOutcome::Allowed
        }
    }

    fn has_scopes(&self, granted: &str) -> bool {
        self.scope.iter().all(|wanted| granted.split(' ').any(|one| one == &**wanted))
    }

    /// A level that is not one of ours can't be compared, so it is too low.
    fn has_level(&self, level: Option<&str>) -> bool {
        self.min_aal.is_none_or(|least| level.and_then(|level| level.parse().ok()).is_some_and(|level| least <= level))
    }
}
