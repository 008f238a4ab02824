//! Endings: what stays of a credential that was ended before its time, known here or not.

use super::ids::{ApplicationId, Place, Tenant};
use super::time::Timestamp;

/// One ending, in force until `retain_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The tenant whose credential it ends; none ends it in any.
    pub tenant: Option<Tenant>,
    /// The record that ended it first.
    pub place: Place,
    /// When that was.
    pub revoked_at: Timestamp,
    /// Until when it is kept.
    pub retain_until: Timestamp,
    /// The application that recorded it without knowing the credential: such endings are bounded.
    pub unknown_by: Option<ApplicationId>,
}

impl Ending {
    fn merge(&mut self, other: Self) {
        let retain_until = self.retain_until.max(other.retain_until);
        if (other.revoked_at, other.place) < (self.revoked_at, self.place) {
            *self = other;
        }
        self.retain_until = retain_until;
    }
}

/// The endings of one credential: at most one for each tenant that it was ended in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endings(Vec<Ending>);

impl Endings {
    /// Those of one record.
    pub fn one(ending: Ending) -> Self {
        Self(vec![ending])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The endings, by tenant.
    pub fn iter(&self) -> impl Iterator<Item = &Ending> {
        self.0.iter()
    }

    /// The ending that holds in that tenant, the earliest if several do.
    pub fn in_tenant(&self, tenant: &Tenant) -> Option<&Ending> {
        let holds = |ending: &&Ending| ending.tenant.as_ref().is_none_or(|ended| ended == tenant);
        self.0.iter().filter(holds).min_by_key(|ending| (ending.revoked_at, ending.place))
    }

    /// The last instant until which any of them is kept.
    pub fn retain_until(&self) -> Option<Timestamp> {
        self.0.iter().map(|ending| ending.retain_until).max()
    }

    /// Joins others.
    pub fn merge(&mut self, other: Self) {
        for ending in other.0 {
            match self.0.binary_search_by(|mine| mine.tenant.cmp(&ending.tenant)) {
                Ok(at) => self.0[at].merge(ending),
                Err(at) => self.0.insert(at, ending),
            }
        }
    }
}
