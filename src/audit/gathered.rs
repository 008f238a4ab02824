//! The records that bear on a question: those that name its subject or credential, and those that follow from them.
//!
//! A ticket's issue names its subject, whose revocations may reach it; a token's names its session. The names in a
//! record are looked up in the next round, until there are no new ones. The records themselves are not kept: only the
//! state that they fold to, and the index keys to find them again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use super::point::LogPrefix;
use super::{Lookup, QuestionError};
use crate::domain::{
    ApplicationId, CohortRevoked, CohortsOf, CredentialId, CredentialRevoked, Digest, Extends, Generation, Issuer,
    Issues, KeyId, Kind, Position, RecordId, Recorded, Revokes, RevokesSubject, Sequence, State, Subject, Tenant,
    Timestamp, TokenId,
};
use crate::index::{About, Finder, Sought};

/// A credential's issue, as far as it matters for revocations.
#[derive(Clone, Debug)]
pub(super) struct GatheredIssue {
    pub(super) position: Position,
    pub(super) place: RecordId,
    pub(super) kind: Kind,
    /// The id that it is kept under.
    pub(super) id: CredentialId,
    /// The id of its secret's digest, if that is different.
    digest_id: Option<CredentialId>,
    tenant: Tenant,
    subject: Subject,
    generation: Generation,
    session: Option<CredentialId>,
    issued_at: Timestamp,
    application: Option<ApplicationId>,
    issuer: Option<Issuer>,
    key: Option<KeyId>,
}

/// Everything that bears on a question up to a point.
pub(super) struct GatheredRecords {
    /// The index keys to find all of it again.
    sought: BTreeSet<Sought>,
    /// The folded state.
    pub(super) state: State,
    /// The issues of the credentials in the question, in the order of their positions.
    pub(super) issues: Vec<GatheredIssue>,
    /// The sessions that tokens among them belong to, and their digests.
    sessions: BTreeSet<CredentialId>,
    /// How those sessions were issued: when, and by which application.
    session_issues: BTreeMap<CredentialId, (Timestamp, Option<ApplicationId>)>,
    /// The credentials in the question, by all their names.
    own: BTreeSet<CredentialId>,
    places: BTreeSet<RecordId>,
}

/// Gathers the records. More than `limit` credentials are refused, because each is followed.
pub(super) fn gather(
    finder: &mut Finder<'_>,
    asked: &Lookup,
    prefix: &LogPrefix,
    limit: usize,
    progress: &mut dyn FnMut(Position, Position),
) -> Result<GatheredRecords, QuestionError> {
    let mut sought: BTreeSet<Sought> = asked.sought().into_iter().collect();
    let mut round: Vec<Sought> = sought.iter().cloned().collect();
    let (mut state, mut issues) = (State::default(), Vec::new());
    while !round.is_empty() && issues.len() <= limit {
        let mut named = VecDeque::new();
        // A record that two rounds find is folded twice, which changes nothing: the fold is a join.
        let _ = finder.find(&round, Position(0), prefix.until, progress, &mut |stored, recorded| {
            if prefix.holds(stored.position, &recorded) {
                state.fold(&recorded);
                follow(&recorded, &mut |sought| named.push_back(sought));
                issues.extend(issue(stored.position, &recorded));
            }
            if issues.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        round = named.into_iter().filter(|one| sought.insert(one.clone())).collect();
    }
    if issues.len() > limit {
        return Err(QuestionError::TooMany { limit });
    }
    issues.sort_unstable_by_key(|issue| (issue.position, issue.place));
    issues.dedup_by_key(|issue| issue.position);
    Ok(GatheredRecords::of(asked, sought, state, issues))
}

/// The index keys to look up because the record names them.
fn follow(recorded: &Recorded, add: &mut impl FnMut(Sought)) {
    let facets = recorded.event.facets();
    let mut credential = |id: CredentialId, jti: Option<&TokenId>| add(Sought::credential(id, jti.cloned()));
    if let Some(issues) = &facets.issues {
        credential(issues.name.id(), issues.name.jti());
        if let Some(digest) = issues.digest {
            credential(digest.id(), None);
        }
        if let Some(session) = issues.session {
            credential(session, None);
        }
    }
    if let Some(extends) = &facets.extends {
        credential(extends.id, None);
    }
    if let Some(Revokes::Credential(revoked)) = facets.revokes {
        credential(revoked.credential.id(), revoked.credential.jti());
        if let Some(digest) = &revoked.session_digest {
            credential(digest.id(), None);
        }
    }
    if let Some(issues) = facets.issues {
        if issues.kind == Kind::Ticket {
            add(About::Use(recorded.place).into());
        }
        let tenant = recorded.tenant.clone().unwrap_or_default();
        add(About::SubjectRevocation(tenant.clone(), issues.subject.clone()).into());
        for cohort in cohorts(recorded, &tenant, &issues).each() {
            add(About::Cohort(cohort).into());
        }
    }
}

/// The cohorts of the credential that the record issues.
fn cohorts<'a>(recorded: &Recorded, tenant: &'a Tenant, issues: &'a Issues<'_>) -> CohortsOf<'a> {
    CohortsOf { tenant, application: recorded.application(), issuer: issues.name.issuer(), key: issues.key }
}

fn issue(position: Position, recorded: &Recorded) -> Option<GatheredIssue> {
    let issues = recorded.event.facets().issues?;
    Some(GatheredIssue {
        position,
        place: recorded.place,
        kind: issues.kind,
        id: issues.name.id(),
        digest_id: issues.digest.map(Digest::id),
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issues.subject.clone(),
        generation: issues.generation.clone(),
        session: issues.session,
        issued_at: issues.issued_at(recorded.recorded_at),
        application: recorded.application(),
        issuer: issues.name.issuer().cloned(),
        key: issues.key.cloned(),
    })
}

impl GatheredRecords {
    fn of(asked: &Lookup, sought: BTreeSet<Sought>, state: State, all: Vec<GatheredIssue>) -> Self {
        let mut own: BTreeSet<CredentialId> = match asked {
            Lookup::Subject(..) => BTreeSet::new(),
            Lookup::Credential(credential) => credential.ids().collect(),
        };
        let is_own = |issue: &GatheredIssue| match asked {
            Lookup::Subject(tenant, subject) => issue.tenant == *tenant && issue.subject == *subject,
            Lookup::Credential(credential) => {
                credential.of(issue.kind) && issue.names().any(|name| credential.ids().any(|id| id == name))
            }
        };
        let (issues, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_own);
        own.extend(issues.iter().flat_map(GatheredIssue::names));
        let mut sessions: BTreeSet<CredentialId> = issues.iter().filter_map(|issue| issue.session).collect();
        let of_sessions = others.iter().filter(|other| other.kind == Kind::Session && sessions.contains(&other.id));
        let session_issues =
            of_sessions.clone().map(|session| (session.id, (session.issued_at, session.application))).collect();
        let digests: Vec<_> = of_sessions.filter_map(|session| session.digest_id).collect();
        sessions.extend(digests);
        let places = issues.iter().map(|issue| issue.place).collect();
        Self { sought, state, issues, sessions, session_issues, own, places }
    }

    /// The index keys to find all of it again.
    pub(super) fn sought(&self) -> Vec<Sought> {
        self.sought.iter().cloned().collect()
    }

    /// Whether the record is part of the history of a credential in the question: that it was issued, used, extended or
    /// revoked, by itself, with its session, or with everything that its subject or a cohort had.
    pub(super) fn tells(&self, asked: &Lookup, recorded: &Recorded) -> bool {
        if let Lookup::Subject(tenant, subject) = asked
            && names(recorded, tenant, subject)
        {
            return true;
        }
        let facets = recorded.event.facets();
        let is_extended = |extends: &Extends<'_>| self.own.contains(&extends.id) && self.has(extends.kind);
        facets.issues.is_some() && self.places.contains(&recorded.place)
            || facets.extends.as_ref().is_some_and(is_extended)
            || !self.uses(recorded).is_empty()
            || match facets.revokes {
                Some(Revokes::Credential(revoked)) => self.hit_by(recorded, revoked),
                Some(Revokes::Subject(all)) => self.hit_with_all(recorded, &all),
                Some(Revokes::Cohort(all)) => self.hit_with_cohort(recorded, all),
                None => false,
            }
    }

    /// When tickets in the question were used, according to that record.
    pub(super) fn uses(&self, recorded: &Recorded) -> Vec<Timestamp> {
        let renewals = recorded.event.facets().uses;
        let own = |origin, sequence: &Sequence| self.places.contains(&RecordId { origin, sequence: *sequence });
        let uses = renewals.iter().flat_map(|one| one.uses.iter().map(move |used| (one.origin, used)));
        uses.filter(|(origin, (sequence, _))| own(*origin, sequence)).map(|(_, (_, at))| *at).collect()
    }

    /// Whether a credential of that kind may be meant: one was issued, or nothing was.
    fn has(&self, kind: Kind) -> bool {
        self.issues.is_empty() || self.issues.iter().any(|issue| issue.kind == kind)
    }

    fn hit_by(&self, recorded: &Recorded, revoked: &CredentialRevoked) -> bool {
        let ids = [Some(revoked.credential.id()), revoked.session_digest.map(|digest| digest.id())];
        let named = |set: &BTreeSet<CredentialId>| ids.iter().flatten().any(|id| set.contains(id));
        let (itself, session) = (named(&self.own), named(&self.sessions));
        // An unseen credential may have been revoked as another kind.
        let of_kind = !revoked.known || self.has(revoked.kind) || session && revoked.kind == Kind::Session;
        let theirs = |issue: &GatheredIssue| {
            recorded.tenant.as_ref().is_none_or(|tenant| *tenant == issue.tenant)
                && (revoked.known || revoked.subject.as_ref().is_none_or(|subject| *subject == issue.subject))
        };
        (itself || session) && of_kind && (self.issues.is_empty() || self.issues.iter().any(theirs))
    }

    fn hit_with_all(&self, recorded: &Recorded, revoked: &RevokesSubject<'_>) -> bool {
        let required: Generation = [(recorded.place.origin, recorded.place.sequence)].into_iter().collect();
        let tenant = recorded.tenant.clone().unwrap_or_default();
        self.issues.iter().any(|issue| {
            let kinds = revoked.kinds;
            let is_theirs = issue.tenant == tenant && issue.subject == *revoked.subject;
            let session = issue.session.and_then(|id| self.session_issues.get(&id)).map(|(issued_at, _)| *issued_at);
            // A token is not older than its session, and goes with it.
            let own_age = session.map_or(issue.issued_at, |session| issue.issued_at.max(session));
            let session_age = issue.session.map(|_| session.unwrap_or(issue.issued_at));
            let reaches = |age: Timestamp| match revoked.issued_before {
                Some(instant) => age < instant && !issue.generation.reaches(&required),
                // What is issued to a subject that was erased is inactive whenever it was issued.
                None => revoked.erased.is_some() || !issue.generation.reaches(&required),
            };
            let itself = kinds.contains(issue.kind) && reaches(own_age);
            let with_session = kinds.contains(Kind::Session) && session_age.is_some_and(reaches);
            is_theirs && (itself || with_session)
        })
    }
}

impl GatheredRecords {
    fn hit_with_cohort(&self, recorded: &Recorded, revoked: &CohortRevoked) -> bool {
        let required: Generation = [(recorded.place.origin, recorded.place.sequence)].into_iter().collect();
        self.issues.iter().any(|issue| {
            let itself = revoked.kinds.contains(issue.kind) && issue.cohorts().contains(&revoked.cohort);
            let with_session = revoked.kinds.contains(Kind::Session)
                && issue.session.is_some_and(|session| {
                    let application = self.session_issues.get(&session).and_then(|(_, application)| *application);
                    CohortsOf::with_secret(&issue.tenant, application).contains(&revoked.cohort)
                });
            (itself || with_session) && (revoked.withdrawn || !issue.generation.reaches(&required))
        })
    }
}

impl GatheredIssue {
    fn cohorts(&self) -> CohortsOf<'_> {
        let Self { tenant, application, issuer, key, .. } = self;
        CohortsOf { tenant, application: *application, issuer: issuer.as_ref(), key: key.as_ref() }
    }

    fn names(&self) -> impl Iterator<Item = CredentialId> {
        [Some(self.id), self.digest_id].into_iter().flatten()
    }
}

/// Whether the record names that subject.
fn names(recorded: &Recorded, tenant: &Tenant, subject: &Subject) -> bool {
    let mut names = false;
    crate::index::about(recorded, |about| {
        names |= matches!(&about, About::Subject(space, name)
            if name == subject && space.as_ref().is_none_or(|space| space == tenant));
    });
    names
}
