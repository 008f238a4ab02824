//! Sessions and tokens: credentials that last until a stated instant, which no use moves.

use std::fmt;
use std::str::FromStr;

use super::credential::{CredentialId, CredentialKey, Digest, Kind};
use super::ending::{Ending, Endings};
use super::event::Named;
use super::ids::{Malformed, MethodName, Place, Subject, Tenant};
use super::subject::Generation;
use super::ticket::Dead;
use super::time::{RETENTION_MARGIN_MILLIS, Timestamp};

/// How surely somebody was authenticated, from `aal0` to `aal3`: NIST SP 800-63B, section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aal {
    /// Not at all.
    Aal0,
    /// By one factor.
    #[default]
    Aal1,
    /// By two.
    Aal2,
    /// By two, one of them hardware that resists phishing.
    Aal3,
}

impl Aal {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Aal0, Self::Aal1, Self::Aal2, Self::Aal3];

    /// The level's name in records and bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aal0 => "aal0",
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
            Self::Aal3 => "aal3",
        }
    }
}

impl FromStr for Aal {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|aal| aal.as_str() == text).ok_or(Malformed("one of aal0, aal1, aal2, aal3"))
    }
}

impl fmt::Display for Aal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way in which somebody was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub method: MethodName,
    /// The level that it gives.
    pub aal: Option<Aal>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
}

/// How a session or token was issued. What is personal, and what only its bearer is shown, stays in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastingIssue {
    /// The record that issued it.
    pub place: Place,
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// What its bearer presents it by.
    pub name: IssuedAs,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires unless it is extended.
    pub expires_at: Timestamp,
    /// The latest instant that any extension may reach.
    pub not_after: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
    /// The session that a token dies with.
    pub session: Option<CredentialId>,
    /// The slot of the key that seals its personal parts, in the store of the record's origin.
    pub slot: Option<u64>,
}

/// What the bearer presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedAs {
    /// A session token or opaque token with that digest; none is known of some imported sessions.
    Secret(Option<Digest>),
    /// A JWT.
    Jwt(Box<Named>),
}

impl LastingIssue {
    /// The digest of its secret, if it is no JWT.
    pub const fn digest(&self) -> Option<&Digest> {
        match &self.name {
            IssuedAs::Secret(digest) => digest.as_ref(),
            IssuedAs::Jwt(_) => None,
        }
    }

    /// How an ending names it.
    pub fn named(&self, key: CredentialKey) -> Named {
        match (&self.name, key.kind) {
            (IssuedAs::Jwt(name), _) => (**name).clone(),
            (IssuedAs::Secret(Some(digest)), Kind::Ticket | Kind::Token) => Named::Digest(*digest),
            (IssuedAs::Secret(_), _) => Named::Id(key.id),
        }
    }

    /// Until when an ending of it is kept.
    pub fn retain_ending_until(&self) -> Timestamp {
        self.not_after.plus_millis(RETENTION_MARGIN_MILLIS)
    }
}

/// What the fold knows of a session or token. An ending or an extension may be known before the issue, or without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lasting {
    /// How it was issued, by the earliest record if there are several.
    pub issue: Option<LastingIssue>,
    /// The latest instant that it was extended to.
    pub extended_to: Timestamp,
    /// How it was ended.
    pub endings: Endings,
}

impl Lasting {
    /// When it expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.issue.as_ref().map(|issue| issue.expires_at.max(self.extended_to).min(issue.not_after))
    }

    /// The issue of one whose time is not up at `now`; whether it was ended is for [`super::judge_lasting`] to say.
    pub fn in_time(&self, now: Timestamp) -> Result<&LastingIssue, Dead> {
        let issue = self.issue.as_ref().ok_or(Dead::Unknown)?;
        if self.expires_at().is_some_and(|expires_at| now < expires_at) { Ok(issue) } else { Err(Dead::Expired) }
    }

    /// What it was ended under: the greatest of all names that anybody had for it.
    pub fn ended_as(&self) -> Option<&Named> {
        self.endings.iter().filter_map(|ending| ending.named.as_deref()).max()
    }

    /// What it is named by, as far as that is known to anybody.
    pub fn named(&self, key: CredentialKey) -> Named {
        let issued = self.issue.as_ref().map(|issue| issue.named(key));
        issued.or_else(|| self.ended_as().cloned()).unwrap_or(Named::Id(key.id))
    }

    /// The ending of this very credential, if it was ended by itself.
    pub fn ending(&self) -> Option<&Ending> {
        let issue = self.issue.as_ref()?;
        self.endings.of(&issue.tenant, &issue.subject)
    }

    /// Until when this is worth remembering.
    pub fn retain_until(&self) -> Timestamp {
        let life = self.issue.as_ref().map_or(self.extended_to, |issue| issue.not_after);
        life.max(self.endings.retain_until().unwrap_or_default())
    }

    /// Forgets how it was issued once no extension can reach further: an ending that outlives it says all that is needed, and
    /// one that comes after it left memory finds the same.
    pub fn forget_issue(&mut self, now: Timestamp) {
        if self.issue.as_ref().is_some_and(|issue| issue.not_after <= now) {
            (self.issue, self.extended_to) = (None, Timestamp::default());
        }
    }

    /// Joins what another node, or a later record, knows.
    pub fn merge(&mut self, other: Self) {
        let place = |issue: &Option<LastingIssue>| issue.as_ref().map(|issue| issue.place);
        let earlier = match (place(&self.issue), place(&other.issue)) {
            (Some(mine), Some(theirs)) => theirs < mine,
            (mine, theirs) => mine.is_none() && theirs.is_some(),
        };
        if earlier {
            self.issue = other.issue;
        }
        self.extended_to = self.extended_to.max(other.extended_to);
        self.endings.merge(other.endings);
    }
}
