//! The folded state of a credential: its issue, how far its life was prolonged, and its revocations.

use super::{CredentialKey, CredentialRef, Digest, Kind, Parent, Revocation, Revocations};
use crate::domain::confirmation::Confirmation;
use crate::domain::ids::{ApplicationId, KeyId, RecordId, Subject, Tenant};
use crate::domain::subject::Generation;
use crate::domain::time::{RETENTION_MARGIN_MILLIS, Timestamp, Ttl};

/// The issue of a credential. Personal data and the parts that only its bearer is shown stay in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The record that issued it.
    pub place: RecordId,
    /// The application that issued it, if one did.
    pub application: Option<ApplicationId>,
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// The form in which its bearer presents it.
    pub name: IssuedAs,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The latest instant to which any use or extension can prolong it.
    pub not_after: Timestamp,
    /// The generation of its subject and cohorts, as its issuer knew it.
    pub generation: Generation,
    /// The credential that it came from, and is revoked with. Few have one, and issues are copied often.
    pub parent: Option<Box<Parent>>,
    /// What a token is bound to, if it is: its bearer alone is not let in.
    pub confirmation: Option<Box<Confirmation>>,
    /// The slot of the key that seals its personal data, in the store of the record's origin.
    pub slot: Option<u64>,
}

/// The form that the bearer presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedAs {
    /// A secret with that digest; the digest of some imported sessions is not known.
    Secret(Option<Digest>),
    Jwt(Box<IssuedJwt>),
}

/// A JWT's name, and the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedJwt {
    pub name: CredentialRef,
    /// Of a JWT of this ledger.
    pub key: Option<KeyId>,
}

/// The life of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// That long after its latest use: a ticket.
    Sliding(Ttl),
    /// Until that instant, unless it is extended: a session or token.
    Fixed(Timestamp),
}

/// The folded state of a credential. A revocation or an extension may be known before the issue, or without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// Its issue, by the earliest record if there are several.
    pub issue: Option<Issue>,
    /// The latest instant on record that moves its expiry: of a sliding life the latest use, of a fixed one the
    /// furthest extension.
    pub latest: Timestamp,
    /// The revocations of this credential alone.
    pub revocations: Revocations,
}

/// An active credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// How it was issued.
    pub issue: Issue,
    /// When it expires, as far as is known now.
    pub expires_at: Timestamp,
}

/// Why a credential is not active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive {
    /// It was never issued, as far as this node knows, or has left memory.
    Unknown,
    /// It has expired.
    Expired,
    /// It was revoked, by that record.
    Revoked(RecordId, Timestamp),
}

impl Issue {
    /// The credential that it came from.
    pub fn parent(&self) -> Option<Parent> {
        self.parent.as_deref().copied()
    }

    /// The digest of its secret, unless it is a JWT.
    pub const fn digest(&self) -> Option<&Digest> {
        match &self.name {
            IssuedAs::Secret(digest) => digest.as_ref(),
            IssuedAs::Jwt(_) => None,
        }
    }

    /// When it was issued, as far as its bearer is told: a JWT says so in whole seconds. It is not older than its parent.
    pub fn age(&self, parent_issued_at: Option<Timestamp>) -> Timestamp {
        let issued_at = match self.name {
            IssuedAs::Secret(_) => self.issued_at,
            IssuedAs::Jwt(_) => self.issued_at.floor_to_seconds(),
        };
        parent_issued_at.map_or(issued_at, |parent| issued_at.max(parent))
    }

    /// The key that signed it, if it is a JWT of this ledger.
    pub const fn signed_with(&self) -> Option<&KeyId> {
        match &self.name {
            IssuedAs::Secret(_) => None,
            IssuedAs::Jwt(jwt) => jwt.key.as_ref(),
        }
    }

    /// The name that a revocation gives it.
    pub fn named(&self, key: CredentialKey) -> CredentialRef {
        match (&self.name, key.kind) {
            (IssuedAs::Jwt(jwt), _) => jwt.name.clone(),
            (IssuedAs::Secret(Some(digest)), Kind::Ticket | Kind::Token) => CredentialRef::Digest(*digest),
            (IssuedAs::Secret(_), _) => CredentialRef::Id(key.id),
        }
    }

    /// When it expires after that use, or with that extension.
    pub fn expires_with(&self, latest: Timestamp) -> Timestamp {
        match self.lifetime {
            Lifetime::Sliding(ttl) => latest.max(self.issued_at).plus(ttl).min(self.not_after),
            Lifetime::Fixed(expires_at) => expires_at.max(latest).min(self.not_after),
        }
    }

    /// Until when a revocation of it is kept.
    pub fn retain_revocation_until(&self) -> Timestamp {
        self.not_after.plus_millis(RETENTION_MARGIN_MILLIS)
    }
}

impl Credential {
    /// A credential that is known by its issue alone.
    pub fn issued(issue: Issue) -> Self {
        Self { issue: Some(issue), ..Self::default() }
    }

    /// When it expires, according to the log.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.issue.as_ref().map(|issue| issue.expires_with(self.latest))
    }

    /// The name by which it was revoked: the greatest of all names that callers gave it.
    pub fn revoked_as(&self) -> Option<&CredentialRef> {
        self.revocations.iter().filter_map(|revocation| revocation.named.as_deref()).max()
    }

    /// The greatest name that is known of it.
    pub fn named(&self, key: CredentialKey) -> CredentialRef {
        let issued = self.issue.as_ref().map(|issue| issue.named(key));
        issued.or_else(|| self.revoked_as().cloned()).unwrap_or(CredentialRef::Id(key.id))
    }

    /// The revocation of this very credential, if there is one.
    pub fn revocation(&self) -> Option<&Revocation> {
        let issue = self.issue.as_ref()?;
        self.revocations.of(&issue.tenant, &issue.subject)
    }

    /// Until when it must be kept.
    pub fn retain_until(&self) -> Timestamp {
        let life = self.issue.as_ref().map_or(self.latest, |issue| issue.not_after);
        life.max(self.revocations.retain_until().unwrap_or_default())
    }

    /// Drops the issue once no use or extension can reach further: a revocation that is kept longer is enough, and a
    /// revocation that comes after it left memory finds the same.
    pub fn forget_issue(&mut self, now: Timestamp) {
        if self.issue.as_ref().is_some_and(|issue| issue.not_after <= now) {
            (self.issue, self.latest) = (None, Timestamp::default());
        }
    }

    /// Joins the state from another node or a later record.
    ///
    /// Uses belong to the issue that they name: where a ticket's secret was issued twice, the uses of the later issue
    /// go with it. An extension names only the session, so the furthest one stands.
    pub fn merge(&mut self, other: Self) {
        let place = |issue: &Option<Issue>| issue.as_ref().map(|issue| issue.place);
        let (mine, theirs) = (place(&self.issue), place(&other.issue));
        let takes_theirs = theirs.is_some_and(|theirs| mine.is_none_or(|mine| theirs < mine));
        let slides =
            |issue: &Option<Issue>| issue.as_ref().is_some_and(|issue| matches!(issue.lifetime, Lifetime::Sliding(_)));
        let is_of_another = theirs.is_some() && theirs != mine && slides(&other.issue);
        self.latest = match (is_of_another, takes_theirs) {
            (false, _) => self.latest.max(other.latest),
            (true, true) => other.latest,
            (true, false) => self.latest,
        };
        if takes_theirs {
            self.issue = other.issue;
        }
        self.revocations.merge(other.revocations);
    }

    /// Joins a use of the ticket that was issued at that place. True if this is that ticket.
    pub fn used(&mut self, issued: RecordId, used_at: Timestamp) -> bool {
        let is_this = self.issue.as_ref().is_some_and(|issue| issue.place == issued);
        if is_this {
            self.latest = self.latest.max(used_at);
        }
        is_this
    }
}
