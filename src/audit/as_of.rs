//! The verdict on a credential at a point: the records up to the point are folded and judged by the server's own rules.
//!
//! For one credential only the records that bear on it are read; the answer equals that of folding all records, because
//! a judgement looks at nothing else.
//!
//! # The uncertainty of a ticket's uses
//!
//! A use moves a ticket's expiry if the last use on record is at least a tenth of its life old, and only then is it
//! recorded, in a flush at most [`USES_FLUSHED_EVERY_MILLIS`] later. So until the expiry on record a ticket is
//! certainly active. From that expiry on it may have been used in the flush's last interval: a use before the expiry
//! that is not on record at the point in question. An interval later every such use would be on record, and the ticket
//! has certainly expired. At `not_after` it has expired in any case. Between the two the log can't tell, and the
//! verdict says so. With several nodes, uses at another one are on record here when they arrive.

use std::collections::BTreeMap;

use super::gathered::{GatheredRecords, Traced, gather};
use super::point::LogPrefix;
use super::replay::PRUNE_EVERY;
use super::{AuditError, Lookup, LookupCredential, QuestionError, Tally, pages};
use crate::domain::{
    Actor, Credential, CredentialId, CredentialKey, CredentialRef, CredentialView as _, Inactive, Kind, Lifetime,
    Origin, Position, Reason, RecordId, Recorded, State, Subject, Tenant, Timestamp, View as _, judge,
};
use crate::event_log::{Damage, ReadError, Reader, RowRecord};
use crate::index::Finder;

/// How long a use that counts waits at most to be recorded, in milliseconds.
pub const USES_FLUSHED_EVERY_MILLIS: u64 = 1_000;

/// The type of the event that erases a subject.
const ERASED: &str = "subject.erased";

/// The verdict on a credential at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialVerdict {
    /// It was active.
    Active {
        /// When it would expire, according to the log.
        expires_at: Timestamp,
    },
    /// It had been revoked.
    Revoked(RevokedBy),
    /// It had been revoked by erasing its subject.
    Erased(RevokedBy),
    /// It had expired.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A ticket whose last use may not have been on record yet: active or expired, the log can't tell.
    Indeterminate {
        /// The expiry on record.
        from: Timestamp,
        /// When it has expired in any case.
        until: Timestamp,
    },
    /// No record had issued it.
    NeverIssued {
        /// The earliest revocation that was recorded under its name nevertheless.
        revoked: Option<RevokedBy>,
    },
}

impl CredentialVerdict {
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

/// The record that revoked a credential first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedBy {
    /// Its place in this log.
    pub position: Position,
    /// Which record of which origin.
    pub place: RecordId,
    /// When it was recorded.
    pub at: Timestamp,
    /// The event's type.
    pub event: &'static str,
    /// The actor that caused it.
    pub actor: Option<Actor>,
    /// The reason: a code.
    pub reason: Option<Reason>,
}

impl RevokedBy {
    fn is_erasure(&self) -> bool {
        self.event == ERASED
    }
}

/// A credential at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStanding {
    /// Its kind, if it is known.
    pub kind: Option<Kind>,
    pub name: CredentialRef,
    /// Its issue, if it was issued.
    pub issued: Option<IssueFound>,
    pub verdict: CredentialVerdict,
    /// The record that erased its subject: the personal data can't be read any more.
    pub erased: Option<RevokedBy>,
}

/// A credential's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueFound {
    /// The name space of its subject.
    pub tenant: Tenant,
    pub subject: Subject,
    /// When.
    pub at: Timestamp,
    /// The record.
    pub place: RecordId,
    /// Its place in this log.
    pub position: Position,
}

/// The credentials at the prefix's end: a subject's credentials in the order of issue, or one for each kind that a name
/// fits, and at least one.
///
/// More than `limit` credentials are refused.
pub fn as_of(
    reader: &Reader,
    finder: &mut Finder<'_>,
    asked: &Lookup,
    prefix: &LogPrefix,
    limit: usize,
    progress: &mut dyn FnMut(Position, Position),
) -> Result<Vec<CredentialStanding>, QuestionError> {
    let gathered = gather(finder, asked, prefix, limit, progress)?;
    let judge = Judge { reader, state: &gathered.state, at: prefix.at };
    let mut standings = Vec::new();
    for (position, key) in keys(&gathered, asked) {
        standings.extend(judge.standing(position, key)?);
    }
    if let (Lookup::Credential(credential), true) = (asked, standings.is_empty()) {
        standings.extend(judge.never_issued(credential)?);
    }
    Ok(standings)
}

/// The issued credentials, each once, with the position of the record that counts, and in the order of these.
fn keys(gathered: &GatheredRecords, asked: &Lookup) -> Vec<(Position, CredentialKey)> {
    let mut keys = Vec::new();
    for Traced { issue, .. } in &gathered.issues {
        let key = CredentialKey { kind: issue.kind, id: issue.id };
        if named_by(&gathered.state, asked, key) && place_of(&gathered.state, key) == Some(issue.place) {
            keys.push((issue.position, key));
        }
    }
    keys
}

/// Whether the credential as it was issued first is the one that the question names. A secret that was issued again
/// under other names belongs to the first one.
fn named_by(state: &State, asked: &Lookup, key: CredentialKey) -> bool {
    match asked {
        Lookup::Subject(tenant, subject) => {
            whose(state, key).is_some_and(|(space, name)| space == *tenant && name == *subject)
        }
        Lookup::Credential(credential) => credential.names.iter().any(|name| match name {
            CredentialRef::Digest(digest) if key.kind == Kind::Session => state.session_with(digest) == Some(key.id),
            CredentialRef::Digest(digest) => {
                state.credential(key).issue.is_some_and(|issue| issue.digest() == Some(digest))
            }
            CredentialRef::Id(_) | CredentialRef::Payload { .. } | CredentialRef::Jwt { .. } => name.id() == key.id,
        }),
    }
}

fn place_of(state: &State, key: CredentialKey) -> Option<RecordId> {
    state.credential(key).issue.map(|issue| issue.place)
}

fn whose(state: &State, key: CredentialKey) -> Option<(Tenant, Subject)> {
    state.credential(key).issue.map(|issue| (issue.tenant, issue.subject))
}

impl IssueFound {
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
    fn standing(&self, position: Position, key: CredentialKey) -> Result<Option<CredentialStanding>, QuestionError> {
        let Some(issued) = IssueFound::of(self.state, position, key) else { return Ok(None) };
        let credential = self.state.credential(key);
        let name = credential.named(key);
        let verdict = self.verdict(key, &credential)?;
        let erasure = self.state.subject(&issued.tenant, &issued.subject).erasure;
        let erased = erasure.map(|erasure| self.revoked_by(erasure.place)).transpose()?;
        Ok(Some(CredentialStanding { kind: Some(key.kind), name, issued: Some(issued), verdict, erased }))
    }

    fn revoked(&self, place: RecordId) -> Result<CredentialVerdict, QuestionError> {
        let by = self.revoked_by(place)?;
        Ok(if by.is_erasure() { CredentialVerdict::Erased(by) } else { CredentialVerdict::Revoked(by) })
    }

    fn verdict(&self, key: CredentialKey, credential: &Credential) -> Result<CredentialVerdict, QuestionError> {
        let expires_at = credential.expires_at().unwrap_or_default();
        Ok(match judge(self.state, key, self.at) {
            Ok(_) => CredentialVerdict::Active { expires_at },
            Err(Inactive::Revoked(place, _)) => self.revoked(place)?,
            Err(Inactive::Expired) => match indeterminate_until(credential, expires_at) {
                Some(until) if self.at < until => CredentialVerdict::Indeterminate { from: expires_at, until },
                _ => CredentialVerdict::Expired { at: expires_at },
            },
            Err(Inactive::Unknown) => CredentialVerdict::NeverIssued { revoked: None },
        })
    }

    /// Revocations under the names in the question, whatever kind they were taken for.
    fn never_issued(&self, asked: &LookupCredential) -> Result<Option<CredentialStanding>, QuestionError> {
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
        Ok(name.map(|name| CredentialStanding {
            kind: asked.kind,
            name,
            issued: None,
            verdict: CredentialVerdict::NeverIssued { revoked },
            erased: None,
        }))
    }

    fn revoked_by(&self, place: RecordId) -> Result<RevokedBy, QuestionError> {
        let absent = ReadError::Damaged { position: Position(0), damage: Damage::Absent };
        let stored = self.reader.find_place(place)?.ok_or(absent)?;
        let recorded = stored.decode()?;
        let reason = recorded.event.facets().revokes.and_then(|revokes| revokes.reason()).cloned();
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

/// Until when a use that is not on record yet may have kept it active: only a sliding life has such uses.
fn indeterminate_until(credential: &Credential, expires_at: Timestamp) -> Option<Timestamp> {
    let issue = credential.issue.as_ref().filter(|issue| matches!(issue.lifetime, Lifetime::Sliding(_)))?;
    Some(expires_at.plus_millis(USES_FLUSHED_EVERY_MILLIS).min(issue.not_after))
}

/// The tally of the whole state at a prefix's end, by a replay.
pub fn tally_as_of(
    reader: &Reader,
    prefix: &LogPrefix,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Tally, AuditError> {
    let mut folded = PrefixState { at: prefix.at, ..PrefixState::default() };
    let held = |row: &RowRecord<'_>| Ok(Some(row.decode()?).filter(|recorded| prefix.holds(row.position, recorded)));
    pages::read(reader, prefix.until, progress, held, |records| {
        folded.take(&records);
        Ok(())
    })?;
    folded.state.prune(prefix.at);
    Ok(Tally::of(&folded.state, prefix.at))
}

/// The state of a prefix, folded.
#[derive(Default)]
struct PrefixState {
    state: State,
    clocks: BTreeMap<Origin, Timestamp>,
    unpruned: u64,
    at: Timestamp,
}

impl PrefixState {
    /// Takes the next records; records outside the prefix are none.
    fn take(&mut self, records: &[Option<Recorded>]) {
        for recorded in records.iter().flatten() {
            self.state.fold(recorded);
            self.clocks.insert(recorded.place.origin, recorded.recorded_at);
        }
        self.unpruned += records.len() as u64;
        if self.unpruned >= PRUNE_EVERY {
            // By the clock that is furthest behind: a later record may be about a credential that has expired by
            // another clock.
            self.state.prune(self.clocks.values().min().copied().unwrap_or_default().min(self.at));
            self.unpruned = 0;
        }
    }
}
