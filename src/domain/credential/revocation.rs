//! Endings: what stays of a credential that was ended before its time, known here or not.

use super::Named;
use crate::domain::ids::{ApplicationId, Place, Subject, Tenant};
use crate::domain::time::Timestamp;

/// One ending, in force until `retain_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose credential it ends: anybody's, or only one of that tenant, or of that subject.
    pub whose: RevocationTarget,
    /// The record that ended it first.
    pub place: Place,
    /// When that was.
    pub revoked_at: Timestamp,
    /// Until when it is kept.
    pub retain_until: Timestamp,
    /// Who recorded it without knowing the credential: such endings are bounded.
    pub unknown_by: Option<UnknownRevoker>,
    /// Of a session or token: what it was ended under, by those who ended it for the same; the greatest name, if there are
    /// several. Whoever may hear of this ending may hear that name, and none that others have for the credential.
    pub named: Option<Box<Named>>,
}

/// Whose credential an ending ends. One that was recorded unseen must not end what its author has no say over.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationTarget {
    /// One of this tenant only.
    pub tenant: Option<Tenant>,
    /// One of this subject only.
    pub subject: Option<Subject>,
}

impl RevocationTarget {
    /// Whether a credential of that subject is one.
    pub fn is(&self, tenant: &Tenant, subject: &Subject) -> bool {
        self.tenant.as_ref().is_none_or(|mine| mine == tenant)
            && self.subject.as_ref().is_none_or(|mine| mine == subject)
    }
}

/// Who recorded the ending of a credential that its node did not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnknownRevoker {
    /// An application.
    Application(ApplicationId),
    /// A subject, by one of its sessions.
    Subject(Tenant, Subject),
}

impl Revocation {
    fn merge(&mut self, mut other: Self) {
        let retain_until = self.retain_until.max(other.retain_until);
        let named = self.named.take().max(other.named.take());
        if (other.revoked_at, other.place) < (self.revoked_at, self.place) {
            *self = other;
        }
        (self.retain_until, self.named) = (retain_until, named);
    }
}

/// The endings of one credential: at most one for whomever it was ended for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(Vec<Revocation>);

impl Revocations {
    /// Those of one record.
    pub fn one(revocation: Revocation) -> Self {
        Self(vec![revocation])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The endings, in the order of whom they are for.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.iter()
    }

    /// The ending that holds for a credential of that subject, the earliest if several do.
    pub fn of(&self, tenant: &Tenant, subject: &Subject) -> Option<&Revocation> {
        let holds = |revocation: &&Revocation| revocation.whose.is(tenant, subject);
        self.0.iter().filter(holds).min_by_key(|revocation| (revocation.revoked_at, revocation.place))
    }

    /// Those who recorded one without knowing the credential.
    pub fn unknown_revokers(&self) -> Vec<UnknownRevoker> {
        self.0.iter().filter_map(|revocation| revocation.unknown_by.clone()).collect()
    }

    /// The last instant until which any of them is kept.
    pub fn retain_until(&self) -> Option<Timestamp> {
        self.0.iter().map(|revocation| revocation.retain_until).max()
    }

    /// Joins others.
    pub fn merge(&mut self, other: Self) {
        for revocation in other.0 {
            match self.0.binary_search_by(|mine| mine.whose.cmp(&revocation.whose)) {
                Ok(at) => self.0[at].merge(revocation),
                Err(at) => self.0.insert(at, revocation),
            }
        }
    }
}
