//! Changes and their actors, in numbers whose memory is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::domain::{Actor, ApplicationId, Kind, Origin, Recorded, Revokes};

/// Actors that are counted by name; the changes of further ones are counted together.
pub const MAX_ACTORS: usize = 1_000;

/// The change that a record makes. Uses and extensions only change an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A credential of that kind was issued.
    Issued(Kind),
    /// A credential of that kind was revoked.
    Revoked(Kind),
    /// Everything that a subject had of some kinds was revoked.
    RevokedSubject,
    /// Everything of some kinds in a cohort was revoked.
    RevokedCohort,
    /// A subject was erased, and with that everything that it had was revoked.
    ErasedSubject,
}

impl Change {
    /// The change that the record makes, if it makes one.
    pub fn of(recorded: &Recorded) -> Option<Self> {
        let facets = recorded.event.facets();
        match (facets.issues, facets.revokes) {
            (Some(issues), _) => Some(Self::Issued(issues.kind)),
            (None, Some(Revokes::Credential(revoked))) => Some(Self::Revoked(revoked.kind)),
            (None, Some(Revokes::Subject(all))) if all.erased.is_some() => Some(Self::ErasedSubject),
            (None, Some(Revokes::Subject(_))) => Some(Self::RevokedSubject),
            (None, Some(Revokes::Cohort(_))) => Some(Self::RevokedCohort),
            (None, None) => None,
        }
    }
}

/// The actor of a change. There may be as many subjects and bearers as people, so they are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeActor {
    Application(ApplicationId),
    /// The holder of a node's root secret.
    Root(Origin),
    /// People, by sessions of their own.
    Subjects,
    /// Bearers of JWTs.
    Bearers,
    /// The node by itself.
    Nobody,
    /// Actors beyond [`MAX_ACTORS`].
    Others,
}

impl From<Option<&Actor>> for ChangeActor {
    fn from(actor: Option<&Actor>) -> Self {
        match actor {
            Some(Actor::Application(id)) => Self::Application(*id),
            Some(Actor::Root(origin)) => Self::Root(*origin),
            Some(Actor::Subject(_)) => Self::Subjects,
            Some(Actor::Bearer { .. }) => Self::Bearers,
            None => Self::Nobody,
        }
    }
}

impl fmt::Display for ChangeActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(id) => write!(f, "application:{id}"),
            Self::Root(origin) => write!(f, "root@{origin}"),
            Self::Subjects => f.write_str("subjects"),
            Self::Bearers => f.write_str("bearers"),
            Self::Nobody => f.write_str("nobody"),
            Self::Others => f.write_str("others"),
        }
    }
}

/// Changes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Credentials issued, by kind in the order of [`Kind::ALL`].
    pub issued: [u64; 3],
    /// Credentials revoked one by one, by kind in the order of [`Kind::ALL`].
    pub revoked: [u64; 3],
    /// Subjects all of whose credentials of some kinds were revoked.
    pub subjects_revoked: u64,
    /// Subjects that were erased.
    pub subjects_erased: u64,
    /// Cohorts of which all of some kinds was revoked.
    pub cohorts_revoked: u64,
}

impl ChangeCounts {
    /// The number of all issues.
    pub fn all_issued(&self) -> u64 {
        self.issued.iter().sum()
    }

    /// The number of all revocations, each of a subject or cohort as one.
    pub fn all_revoked(&self) -> u64 {
        self.revoked.iter().sum::<u64>() + self.subjects_revoked + self.subjects_erased + self.cohorts_revoked
    }
}

impl AddAssign<Change> for ChangeCounts {
    fn add_assign(&mut self, change: Change) {
        match change {
            Change::Issued(kind) => self.issued[kind.index()] += 1,
            Change::Revoked(kind) => self.revoked[kind.index()] += 1,
            Change::RevokedSubject => self.subjects_revoked += 1,
            Change::ErasedSubject => self.subjects_erased += 1,
            Change::RevokedCohort => self.cohorts_revoked += 1,
        }
    }
}

/// Changes, counted in total and by actor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeTotals {
    /// All of them.
    pub total: ChangeCounts,
    /// By actor, [`MAX_ACTORS`] and the rest.
    pub by_actor: BTreeMap<ChangeActor, ChangeCounts>,
}

impl ChangeTotals {
    /// Counts a change.
    pub fn add(&mut self, who: ChangeActor, change: Change) {
        self.total += change;
        let full = self.by_actor.len() >= MAX_ACTORS && !self.by_actor.contains_key(&who);
        *self.by_actor.entry(if full { ChangeActor::Others } else { who }).or_default() += change;
    }
}
