//! Lineage: a credential that came from another one is revoked with it.
//!
//! A session's tokens are the usual case. A token may also come from a token that was exchanged for it, and an agent's
//! credentials from a person's. What revokes an ancestor revokes all that came from it, whatever their kinds and
//! subjects are.

use super::{CredentialId, CredentialKey, CredentialRef, Kind};
use crate::domain::ids::{ApplicationId, KeyId, Subject};
use crate::domain::time::Timestamp;

/// How many generations a lineage has at most; the first is a credential without a parent.
pub const MAX_GENERATIONS: usize = 8;
/// How many ancestors a credential has at most.
pub const MAX_ANCESTORS: usize = MAX_GENERATIONS - 1;

/// The credential that another one came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    pub key: CredentialKey,
    /// Whether it has its child's subject. Then a revocation of what the subject has reaches the child through it even where
    /// its issue is not known.
    pub same_subject: bool,
}

impl Parent {
    /// A session of its child's own subject: the usual parent of a token.
    pub const fn own_session(id: CredentialId) -> Self {
        Self { key: CredentialKey { kind: Kind::Session, id }, same_subject: true }
    }

    /// Its id, if it is a session.
    pub fn session(&self) -> Option<CredentialId> {
        (self.key.kind == Kind::Session).then_some(self.key.id)
    }

    /// The same, of a session with its child's subject.
    pub fn as_own_session(&self) -> Option<CredentialId> {
        self.session().filter(|_| self.same_subject)
    }
}

/// An ancestor as its descendants show it: what a reader needs to judge it without knowing its issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    pub kind: Kind,
    pub name: CredentialRef,
    pub subject: Subject,
    /// The application that issued it, if one did.
    pub application: Option<ApplicationId>,
    /// Of a JWT: the key that signed it.
    pub signed_with: Option<KeyId>,
    /// When it was issued, as far as that counts; tokens of releases before this do not say.
    pub issued_at: Option<Timestamp>,
}

impl Ancestor {
    /// The key that it is kept under.
    pub fn key(&self) -> CredentialKey {
        CredentialKey { kind: self.kind, id: self.name.id() }
    }
}
