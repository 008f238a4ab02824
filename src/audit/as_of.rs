//! Was it good then? The records up to a point are folded and judged by the rules that the server judges by.
//!
//! Of one credential only the records that bear on it are read; the answer is that of folding all of them, because nothing else
//! is looked at when it is judged.
//!
//! # What a ticket's uses leave open
//!
//! A use moves a ticket's end when the last one on record is at least a tenth of its life old, and only then does it go on
//! record, in a flush at most [`USES_FLUSHED_EVERY_MILLIS`] later. So until the end that is on record a ticket is good for sure.
//! From that end on it may have been used in the flush's last interval: a use before the end that is not on record by the point in question.
//! An interval later every such use would be, and the ticket is over for sure. At `not_after` it is over whatever happened.
//! Between the two the log can't say, and neither does the answer. On several nodes, uses at another one are on record here when
//! they arrive.

use std::collections::BTreeMap;

use super::gathered::{Gathered, gather};
use super::point::Prefix;
use super::replay::PRUNE_EVERY;
use super::{Asked, AskedCredential, AuditError, QuestionError, Tally, pages};
use crate::domain::{
    Actor, Credential, CredentialId, CredentialKey, CredentialView as _, Event, Inactive, Kind, Lifetime, Named,
    Origin, Place, Position, Reason, Recorded, State, Subject, Tenant, Timestamp, View as _, judge,
};
use crate::event_log::{Damage, ReadError, Reader, RowRecord};
use crate::index::Finder;

/// How long a use of a ticket that counts waits at most to be put on record, in milliseconds.
pub const USES_FLUSHED_EVERY_MILLIS: u64 = 1_000;

/// The type of the event that a subject is forgotten by.
const ERASED: &str = "subject.erased";

/// What became of a credential by a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was good.
    Active {
        /// When it would expire, as the log had it.
        expires_at: Timestamp,
    },
    /// It had been ended.
    Revoked(RevokedBy),
    /// It had been ended by forgetting its subject.
    Erased(RevokedBy),
    /// Its time was up.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// A ticket whose last use may not have been on record yet: good or expired, the log can't tell.
    Indeterminate {
        /// The end that is on record.
        from: Timestamp,
        /// When it is over whatever happened.
        until: Timestamp,
    },
    /// No record had issued it.
    NeverIssued {
        /// The earliest ending that was recorded under its name all the same.
        revoked: Option<RevokedBy>,
    },
}

impl Verdict {
    /// The verdict's name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active { .. } => "active",
            Self::Revoked(_) => "revoked",
            Self::Erased(_) => "erased",
            Self::Expired { .. } => "expired",
            Self::Indeterminate { .. } => "indeterminate",
            Self::NeverIssued { .. } => "never_issued",
        }
    }
}

/// The record that ended a credential first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedBy {
    /// Its place in this log.
    pub position: Position,
    /// Which record of which origin.
    pub place: Place,
    /// When it was recorded.
    pub at: Timestamp,
    /// The event's type.
    pub event: &'static str,
    /// Who caused it.
    pub actor: Option<Actor>,
    /// Why: a code.
    pub reason: Option<Reason>,
}

impl RevokedBy {
    fn is_erasure(&self) -> bool {
        self.event == ERASED
    }
}

/// A credential as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is, where that is known.
    pub kind: Option<Kind>,
    /// What it is named by.
    pub name: Named,
    /// How it was issued, if it was.
    pub issued: Option<Issued>,
    /// What became of it.
    pub verdict: Verdict,
    /// The record that its subject was forgotten by: whatever was personal can't be read any more.
    pub erased: Option<RevokedBy>,
}

/// How a credential was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The name space of its subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// When.
    pub at: Timestamp,
    /// The record.
    pub place: Place,
    /// Its place in this log.
    pub position: Position,
}

/// How what was asked for stood at the prefix's end: a subject's credentials in the order in which they were issued, or one
/// for each kind that a name fits, and at least one.
///
/// More than `limit` credentials are refused.
pub fn as_of(
    reader: &Reader,
    finder: &mut Finder<'_>,
    asked: &Asked,
    prefix: &Prefix,
    limit: usize,
    progress: &mut dyn FnMut(Position, Position),
) -> Result<Vec<Standing>, QuestionError> {
    let gathered = gather(finder, asked, prefix, limit, progress)?;
    let judge = Judge { reader, state: &gathered.state, at: prefix.at };
    let mut standings = Vec::new();
    for (position, key) in keys(&gathered, asked) {
        standings.extend(judge.standing(position, key)?);
    }
    if let (Asked::Credential(credential), true) = (asked, standings.is_empty()) {
        standings.extend(judge.never_issued(credential)?);
    }
    Ok(standings)
}

/// What was issued, each credential once, with the position of the record that counts, and in the order of these.
fn keys(gathered: &Gathered, asked: &Asked) -> Vec<(Position, CredentialKey)> {
    let mut keys = Vec::new();
    for issue in &gathered.issues {
        let key = CredentialKey { kind: issue.kind, id: issue.id };
        if named_by(&gathered.state, asked, key) && place_of(&gathered.state, key) == Some(issue.place) {
            keys.push((issue.position, key));
        }
    }
    keys
}

/// Whether the credential as it was issued first is the one that was asked for. A secret that was issued again under other
/// names is the first one's.
fn named_by(state: &State, asked: &Asked, key: CredentialKey) -> bool {
    match asked {
        Asked::Subject(tenant, subject) => {
            whose(state, key).is_some_and(|(space, name)| space == *tenant && name == *subject)
        }
        Asked::Credential(credential) => credential.names.iter().any(|name| match name {
            Named::Digest(digest) if key.kind == Kind::Session => state.session_with(digest) == Some(key.id),
            Named::Digest(digest) => state.credential(key).issue.is_some_and(|issue| issue.digest() == Some(digest)),
            Named::Id(_) | Named::Payload { .. } | Named::Jwt { .. } => name.id() == key.id,
        }),
    }
}

fn place_of(state: &State, key: CredentialKey) -> Option<Place> {
    state.credential(key).issue.map(|issue| issue.place)
}

fn whose(state: &State, key: CredentialKey) -> Option<(Tenant, Subject)> {
    state.credential(key).issue.map(|issue| (issue.tenant, issue.subject))
}

impl Issued {
    fn of(state: &State, position: Position, key: CredentialKey) -> Option<Self> {
        let issue = state.credential(key).issue?;
        Some(Self { tenant: issue.tenant, subject: issue.subject, at: issue.issued_at, place: issue.place, position })
    }
}

struct Judge<'a> {
    reader: &'a Reader,
    state: &'a State,
    at: Timestamp,
}

impl Judge<'_> {
    fn standing(&self, position: Position, key: CredentialKey) -> Result<Option<Standing>, QuestionError> {
        let Some(issued) = Issued::of(self.state, position, key) else { return Ok(None) };
        let credential = self.state.credential(key);
        let name = credential.named(key);
        let verdict = self.verdict(key, &credential)?;
        let erasure = self.state.subject(&issued.tenant, &issued.subject).erasure;
        let erased = erasure.map(|erasure| self.revoked_by(erasure.place)).transpose()?;
        Ok(Some(Standing { kind: Some(key.kind), name, issued: Some(issued), verdict, erased }))
    }

    fn revoked(&self, place: Place) -> Result<Verdict, QuestionError> {
        let by = self.revoked_by(place)?;
        Ok(if by.is_erasure() { Verdict::Erased(by) } else { Verdict::Revoked(by) })
    }

    fn verdict(&self, key: CredentialKey, credential: &Credential) -> Result<Verdict, QuestionError> {
        let expires_at = credential.expires_at().unwrap_or_default();
        Ok(match judge(self.state, key, self.at) {
            Ok(_) => Verdict::Active { expires_at },
            Err(Inactive::Revoked(place, _)) => self.revoked(place)?,
            Err(Inactive::Expired) => match indeterminate_until(credential, expires_at) {
                Some(until) if self.at < until => Verdict::Indeterminate { from: expires_at, until },
                _ => Verdict::Expired { at: expires_at },
            },
            Err(Inactive::Unknown) => Verdict::NeverIssued { revoked: None },
        })
    }

    /// Endings under the names that were asked for, whatever kind they were taken for.
    fn never_issued(&self, asked: &AskedCredential) -> Result<Option<Standing>, QuestionError> {
        let ids: Vec<CredentialId> = asked.ids().collect();
        let mut revocations = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| asked.of(*kind)) {
            for id in &ids {
                let found = self.state.credential(CredentialKey { kind, id: *id }).revocations;
                revocations.extend(found.iter().map(|revocation| (revocation.revoked_at, revocation.place)));
            }
        }
        let revoked = revocations.into_iter().min().map(|(_, place)| self.revoked_by(place)).transpose()?;
        let name = asked.names.first().cloned();
        Ok(name.map(|name| Standing {
            kind: asked.kind,
            name,
            issued: None,
            verdict: Verdict::NeverIssued { revoked },
            erased: None,
        }))
    }

    fn revoked_by(&self, place: Place) -> Result<RevokedBy, QuestionError> {
        let absent = ReadError::Damaged { position: Position(0), damage: Damage::Absent };
        let stored = self.reader.find_place(place)?.ok_or(absent)?;
        let recorded = stored.decode()?;
        let reason = match &recorded.event {
            Event::Revoked(revoked) => revoked.reason.clone(),
            Event::SubjectRevoked(revoked) => revoked.reason.clone(),
            Event::SubjectErased(erased) => erased.reason.clone(),
            _ => None,
        };
        Ok(RevokedBy {
            position: stored.position,
            place,
            at: recorded.recorded_at,
            event: recorded.event.type_name(),
            actor: recorded.actor,
            reason,
        })
    }
}

/// Until when a use that is not on record yet may have kept it alive: only a life that slides has such uses.
fn indeterminate_until(credential: &Credential, expires_at: Timestamp) -> Option<Timestamp> {
    let issue = credential.issue.as_ref().filter(|issue| matches!(issue.lifetime, Lifetime::Sliding(_)))?;
    Some(expires_at.plus_millis(USES_FLUSHED_EVERY_MILLIS).min(issue.not_after))
}

/// What the whole state was at a prefix's end: a replay of it.
pub fn tally_as_of(
    reader: &Reader,
    prefix: &Prefix,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Tally, AuditError> {
    let mut folded = Folded { at: prefix.at, ..Folded::default() };
    let held = |row: &RowRecord<'_>| Ok(Some(row.decode()?).filter(|recorded| prefix.holds(row.position, recorded)));
    pages::read(reader, prefix.until, progress, held, |records| {
        folded.take(&records);
        Ok(())
    })?;
    folded.state.prune(prefix.at);
    Ok(Tally::of(&folded.state, prefix.at))
}

/// What a prefix holds, folded.
#[derive(Default)]
struct Folded {
    state: State,
    clocks: BTreeMap<Origin, Timestamp>,
    unpruned: u64,
    at: Timestamp,
}

impl Folded {
    /// Takes the next records; those that the prefix does not hold are none.
    fn take(&mut self, records: &[Option<Recorded>]) {
        for recorded in records.iter().flatten() {
            self.state.fold(recorded);
            self.clocks.insert(recorded.place.origin, recorded.recorded_at);
        }
        self.unpruned += records.len() as u64;
        if self.unpruned >= PRUNE_EVERY {
            // By the clock that is furthest behind: a record further on may be about what is over by another one.
            self.state.prune(self.clocks.values().min().copied().unwrap_or_default().min(self.at));
            self.unpruned = 0;
        }
    }
}
