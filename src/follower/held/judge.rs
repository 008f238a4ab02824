//! Rules 1 to 7: the reason to refuse a credential.

use std::fmt;
use std::sync::OnceLock;

use super::Held;
use super::layer::Layer;
use super::presented::{Line, PresentedCredential};
use super::wholes::Whole;
use crate::compact::{AgeLimit, PresentedNames, WholeName, presented_names};
use crate::domain::{Origin, Sequence};

/// Why a credential is refused, in the order of the rules. `stale` is not among them: the program that follows knows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalReason {
    Revoked,
    ParentRevoked,
    Erased,
    Withdrawn,
    Generation,
    IssuedBefore,
    NotBefore,
}

impl RefusalReason {
    /// The reason's name in the rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::ParentRevoked => "parent-revoked",
            Self::Erased => "erased",
            Self::Withdrawn => "withdrawn",
            Self::Generation => "generation",
            Self::IssuedBefore => "issued-before",
            Self::NotBefore => "not-before",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Held {
    /// The reason to refuse the credential: rules 1 to 7.
    pub fn refuses(&self, presented: &PresentedCredential) -> Option<RefusalReason> {
        let ancestors = presented.ancestors();
        let layers = || self.layers.iter().map_while(OnceLock::get);
        let by_name = layers().filter_map(|layer| revoked_by_name(layer, presented, &ancestors)).min();
        by_name.or_else(|| layers().filter_map(|layer| revoked_as_a_whole(layer, presented, &ancestors)).min())
    }
}

fn revoked_by_name(layer: &Layer, presented: &PresentedCredential, ancestors: &[Line<'_>]) -> Option<RefusalReason> {
    if layer.plain.is_empty() && layer.scoped.is_empty() {
        return None;
    }
    let PresentedCredential { kind, tenant, subject, digest, id, iss, jti, payload, .. } = presented;
    let (tenant, subject) = (tenant.as_deref(), subject.as_deref());
    let jwt = iss.as_deref().map(|iss| (iss, jti.as_deref(), payload.as_deref()));
    let own = PresentedNames { kind, digest: digest.as_deref(), id: id.as_deref(), jwt, any_kind: false };
    if presented_names(own, |name| layer.is_revoked(name, tenant, subject)) {
        return Some(RefusalReason::Revoked);
    }
    let is_revoked = |ancestor: &Line<'_>| {
        let Line { kind, id, jwt, subject, .. } = *ancestor;
        let by_id = PresentedNames { kind, id, any_kind: true, ..PresentedNames::default() };
        let jwt = jwt.map(|(iss, jti)| (iss, Some(jti), None));
        let by_jti = PresentedNames { kind, jwt, ..PresentedNames::default() };
        [by_id, by_jti].into_iter().any(|names| presented_names(names, |name| layer.is_revoked(name, tenant, subject)))
    };
    ancestors.iter().any(is_revoked).then_some(RefusalReason::ParentRevoked)
}

fn revoked_as_a_whole(layer: &Layer, presented: &PresentedCredential, ancestors: &[Line<'_>]) -> Option<RefusalReason> {
    if layer.wholes.is_empty() {
        return None;
    }
    let ours = |name: &'_ Option<String>| !presented.foreign && name.is_some();
    let own = Line {
        kind: &presented.kind,
        id: None,
        jwt: None,
        subject: presented.subject.as_deref(),
        client_id: presented.client_id.as_deref().filter(|_| ours(&presented.client_id)),
        kid: presented.kid.as_deref().filter(|_| ours(&presented.kid)),
        // It is not older than its parent.
        iat: presented.iat.into_iter().chain(ancestors.first().and_then(|parent| parent.iat)).reduce(f64::max),
    };
    let own = wholes_of(layer, presented, own, presented.iss.as_deref());
    let line = |ancestor: &Line<'_>| {
        let issuer = ancestor.jwt.map(|(iss, _)| iss);
        wholes_of(layer, presented, Line { iat: ancestor.iat.or(presented.iat), ..*ancestor }, issuer)
    };
    own.into_iter().chain(ancestors.iter().filter_map(line)).min()
}

/// The reason of the subject and the cohorts of one credential of a line.
fn wholes_of(
    layer: &Layer,
    presented: &PresentedCredential,
    one: Line<'_>,
    issuer: Option<&str>,
) -> Option<RefusalReason> {
    let tenant = presented.tenant.as_deref();
    let subject = tenant.zip(one.subject).map(|(tenant, subject)| WholeName::Subject { tenant, subject });
    let cohorts = [("key", one.kid), ("application", one.client_id), ("issuer", issuer), ("tenant", tenant)];
    let cohorts = cohorts.into_iter().filter_map(|(what, name)| Some(WholeName::Cohort { what, name: name? }));
    let refused = subject.into_iter().chain(cohorts).filter_map(|name| {
        let mark = layer.whole(name, one.kind);
        layer.wholes.look(&mark, one.kind, |whole| refuses_whole(whole, presented, one.iat))
    });
    refused.min()
}

fn refuses_whole(held: &Whole, presented: &PresentedCredential, iat: Option<f64>) -> Option<RefusalReason> {
    if held.erased {
        return Some(RefusalReason::Erased);
    }
    if held.withdrawn {
        return Some(RefusalReason::Withdrawn);
    }
    if presented.foreign {
        // The one place where clocks are compared: another issuer's tokens carry no generation.
        let latest = held.not_before.saturating_add(presented.leeway) as f64;
        let is_later = presented.iat.is_some_and(|iat| iat > latest);
        return (!is_later).then_some(RefusalReason::NotBefore);
    }
    let reached = |origin: Origin| presented.generation.get(&origin).copied().unwrap_or(Sequence(0));
    if held.generation().any(|(origin, sequence)| sequence > reached(origin)) {
        return Some(RefusalReason::Generation);
    }
    // One that does not say when it was issued is taken for the oldest.
    let iat = iat.unwrap_or_default();
    let is_old = |AgeLimit { issued_before, origin, sequence }: AgeLimit| {
        iat < issued_before.as_millis() as f64 / 1_000.0 && reached(origin) < sequence
    };
    held.ages().any(is_old).then_some(RefusalReason::IssuedBefore)
}
