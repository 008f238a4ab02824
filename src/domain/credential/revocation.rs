//! Revocations of credentials, known here or not, as the fold keeps them.

use super::CredentialRef;
use crate::domain::ids::{ApplicationId, RecordId, Subject, Tenant};
use crate::domain::time::Timestamp;

/// One revocation, in force until `retain_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The credentials that it may revoke: anybody's, or only those of a tenant or a subject.
    pub whose: RevocationTarget,
    /// The record that revoked it first.
    pub place: RecordId,
    /// When that was recorded.
    pub revoked_at: Timestamp,
    /// Until when it is kept.
    pub retain_until: Timestamp,
    /// The caller that recorded it without knowing the credential: the number of such revocations is bounded.
    pub unknown_by: Option<UnknownRevoker>,
    /// Of a session or token: the name by which it was revoked, given by those who revoked it for the same target; the
    /// greatest name, if there are several. A caller that may see this revocation may see that name, but not the names
    /// that others have for the credential.
    pub named: Option<Box<CredentialRef>>,
}

/// The target of a revocation. One that was recorded for an unseen credential must not revoke a credential over which
/// its author has no authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationTarget {
    /// Only credentials of this tenant.
    pub tenant: Option<Tenant>,
    /// Only credentials of this subject.
    pub subject: Option<Subject>,
}

impl RevocationTarget {
    /// Whether it includes a credential of that subject.
    pub fn is(&self, tenant: &Tenant, subject: &Subject) -> bool {
        self.tenant.as_ref().is_none_or(|mine| mine == tenant)
            && self.subject.as_ref().is_none_or(|mine| mine == subject)
    }
}

/// The caller that recorded the revocation of a credential which its node did not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnknownRevoker {
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

/// The revocations of one credential: at most one for each target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(Vec<Revocation>);

impl Revocations {
    /// The revocations of one record.
    pub fn one(revocation: Revocation) -> Self {
        Self(vec![revocation])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The revocations, in the order of their targets.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.iter()
    }

    /// The revocation that holds for a credential of that subject, the earliest if several do.
    pub fn of(&self, tenant: &Tenant, subject: &Subject) -> Option<&Revocation> {
        let holds = |revocation: &&Revocation| revocation.whose.is(tenant, subject);
        self.0.iter().filter(holds).min_by_key(|revocation| (revocation.revoked_at, revocation.place))
    }

    /// The revocations that hold for a credential of that tenant and of any subject.
    pub fn of_any_subject<'a>(&'a self, tenant: &'a Tenant) -> impl Iterator<Item = &'a Revocation> {
        self.0.iter().filter(move |revocation| {
            let RevocationTarget { tenant: own, subject } = &revocation.whose;
            subject.is_none() && own.as_ref().is_none_or(|own| own == tenant)
        })
    }

    /// The callers that recorded one without knowing the credential.
    pub fn unknown_revokers(&self) -> Vec<UnknownRevoker> {
        self.0.iter().filter_map(|revocation| revocation.unknown_by.clone()).collect()
    }

    /// The last instant until which any of them is kept.
    pub fn retain_until(&self) -> Option<Timestamp> {
        self.0.iter().map(|revocation| revocation.retain_until).max()
    }

    /// Joins other revocations.
    pub fn merge(&mut self, other: Self) {
        for revocation in other.0 {
            match self.0.binary_search_by(|mine| mine.whose.cmp(&revocation.whose)) {
                Ok(at) => self.0[at].merge(revocation),
                Err(at) => self.0.insert(at, revocation),
            }
        }
    }
}
