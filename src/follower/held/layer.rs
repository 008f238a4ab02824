//! What is held under one key.

use super::marks::Marks;
use super::wholes::Wholes;
use crate::compact::{CredentialName, Due, Mark, MarkKey, WholeName, Whose};

/// Lists of the marks that hold for every tenant and subject: 65,536, so that each of ten million marks is in a list of some 150.
const PLAIN_PREFIX: usize = 2;
/// The same for marks that depend on whose the credential is; a ledger bounds their number.
const SCOPED_PREFIX: usize = 1;

#[derive(Debug)]
pub(super) struct Layer {
    key: MarkKey,
    pub plain: Marks<PLAIN_PREFIX>,
    pub scoped: Marks<SCOPED_PREFIX>,
    pub wholes: Wholes,
}

impl Layer {
    pub fn new(key: MarkKey) -> Self {
        Self { key, plain: Marks::default(), scoped: Marks::default(), wholes: Wholes::default() }
    }

    pub const fn key(&self) -> &MarkKey {
        &self.key
    }

    /// Whether a credential of that name is revoked, if it is that tenant's and subject's. Where one of them is not known, a
    /// revocation that names one applies.
    pub fn is_revoked(&self, name: CredentialName<'_>, tenant: Option<&str>, subject: Option<&str>) -> bool {
        if self.plain.contains(&self.key.credential(name, Whose::ANYBODY)) {
            return true;
        }
        // Nearly always there are none.
        if self.scoped.is_empty() || !self.scoped.contains(&self.key.credential(name, Whose::SOMEBODY)) {
            return false;
        }
        let dues = |own: Option<_>| [Due::Anybody, own.map_or(Due::Unknown, Due::Named)];
        let whose = dues(tenant).map(|tenant| dues(subject).map(|subject| Whose { tenant, subject }));
        whose.into_iter().flatten().any(|whose| self.scoped.contains(&self.key.credential(name, whose)))
    }

    /// The mark of a subject or cohort for that kind.
    pub fn whole(&self, name: WholeName<'_>, kind: &str) -> Mark {
        let is_known = kind.parse::<crate::domain::Kind>().is_ok();
        self.key.whole(name, (!is_known).then_some(kind))
    }
}
