//! The records that bear on a question: those that name its subject or credential, and those that follow from them.
//!
//! An issue names its subject, whose revocations may reach it, and its parent. The names in a record are looked up in the
//! next round, until there are no new ones. The records themselves are not kept: only the
//! state that they fold to, and the index keys to find them again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use super::point::LogPrefix;
use super::{Lookup, QuestionError};
use crate::domain::{
    ApplicationId, CohortRevoked, CohortsOf, CredentialId, CredentialKey, CredentialRevoked, Digest, Extends,
    Generation, Issuer, Issues, KeyId, Kind, MAX_ANCESTORS, Parent, Position, RecordId, Recorded, Revokes,
    RevokesSubject, Sequence, State, Subject, Tenant, Timestamp, TokenId,
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
    parent: Option<Parent>,
    issued_at: Timestamp,
    application: Option<ApplicationId>,
    issuer: Option<Issuer>,
    key: Option<KeyId>,
}

/// A credential in the question, and those from which it came.
pub(super) struct Traced {
    pub(super) issue: GatheredIssue,
    /// Its ancestors, the parent first, as far as they are on record.
    ancestors: Vec<GatheredIssue>,
    /// The first one that is not.
    unheard_of: Option<Parent>,
}

/// Everything that bears on a question up to a point.
pub(super) struct GatheredRecords {
    /// The index keys to find all of it again.
    sought: BTreeSet<Sought>,
    /// The folded state.
    pub(super) state: State,
    /// The issues of the credentials in the question, in the order of their positions.
    pub(super) issues: Vec<Traced>,
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
        if let Some(parent) = issues.parent {
            credential(parent.key.id, None);
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
        parent: issues.parent,
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
        let mut by_key: BTreeMap<(Kind, CredentialId), GatheredIssue> = BTreeMap::new();
        for issue in &all {
            let earliest = by_key.entry((issue.kind, issue.id)).or_insert_with(|| issue.clone());
            if issue.place < earliest.place {
                *earliest = issue.clone();
            }
        }
        let issues: Vec<_> = all
            .into_iter()
            .filter(is_own)
            .map(|issue| Traced::of(issue, |key| by_key.get(&(key.kind, key.id))))
            .collect();
        own.extend(issues.iter().flat_map(|traced| traced.issue.names()));
        let places = issues.iter().map(|traced| traced.issue.place).collect();
        Self { sought, state, issues, own, places }
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
        self.issues.is_empty() || self.issues.iter().any(|traced| traced.issue.kind == kind)
    }

    fn hit_by(&self, recorded: &Recorded, revoked: &CredentialRevoked) -> bool {
        let ids = [Some(revoked.credential.id()), revoked.session_digest.map(|digest| digest.id())];
        let named = |id: CredentialId| ids.contains(&Some(id));
        // An unseen credential may have been revoked as another kind.
        let itself = self.own.iter().any(|id| named(*id)) && (!revoked.known || self.has(revoked.kind));
        if self.issues.is_empty() {
            return itself;
        }
        let in_tenant = |issue: &GatheredIssue| recorded.tenant.as_ref().is_none_or(|tenant| *tenant == issue.tenant);
        let whose = revoked.subject.as_ref().filter(|_| !revoked.known);
        let theirs = |issue: &GatheredIssue| in_tenant(issue) && whose.is_none_or(|subject| *subject == issue.subject);
        let is_hit = |issue: &GatheredIssue| {
            issue.names().any(named) && (!revoked.known || revoked.kind == issue.kind) && theirs(issue)
        };
        self.issues.iter().any(|traced| {
            let unheard_of = traced.unheard_of.is_some_and(|parent| {
                let of_child =
                    || whose.is_none_or(|subject| parent.same_subject && *subject == traced.oldest().subject);
                named(parent.key.id) && in_tenant(&traced.issue) && of_child()
            });
            itself && theirs(&traced.issue) || traced.ancestors.iter().any(is_hit) || unheard_of
        })
    }

    fn hit_with_all(&self, recorded: &Recorded, revoked: &RevokesSubject<'_>) -> bool {
        let required: Generation = [(recorded.place.origin, recorded.place.sequence)].into_iter().collect();
        let tenant = recorded.tenant.clone().unwrap_or_default();
        self.issues.iter().any(|traced| {
            let reaches = |age: Timestamp| match revoked.issued_before {
                Some(instant) => age < instant && !traced.issue.generation.reaches(&required),
                // What is issued to a subject that was erased is inactive whenever it was issued.
                None => revoked.erased.is_some() || !traced.issue.generation.reaches(&required),
            };
            let is_hit = |(issue, age): (&GatheredIssue, Timestamp)| {
                let is_theirs = issue.tenant == tenant && issue.subject == *revoked.subject;
                is_theirs && revoked.kinds.contains(issue.kind) && reaches(age)
            };
            let unheard_of = traced.unheard_of.is_some_and(|parent| {
                let oldest = traced.oldest();
                let is_theirs = parent.same_subject && oldest.tenant == tenant && oldest.subject == *revoked.subject;
                is_theirs && revoked.kinds.contains(parent.key.kind) && reaches(traced.issue.issued_at)
            });
            traced.each().any(is_hit) || unheard_of
        })
    }

    fn hit_with_cohort(&self, recorded: &Recorded, revoked: &CohortRevoked) -> bool {
        let required: Generation = [(recorded.place.origin, recorded.place.sequence)].into_iter().collect();
        self.issues.iter().any(|traced| {
            let is_hit = |(issue, _): (&GatheredIssue, Timestamp)| {
                revoked.kinds.contains(issue.kind) && issue.cohorts().contains(&revoked.cohort)
            };
            let unheard_of = traced.unheard_of.is_some_and(|parent| {
                let cohorts = CohortsOf::with_secret(&traced.issue.tenant, None);
                parent.same_subject && revoked.kinds.contains(parent.key.kind) && cohorts.contains(&revoked.cohort)
            });
            let hit = traced.each().any(is_hit) || unheard_of;
            hit && (revoked.withdrawn || !traced.issue.generation.reaches(&required))
        })
    }
}

impl Traced {
    fn of<'a>(issue: GatheredIssue, find: impl Fn(CredentialKey) -> Option<&'a GatheredIssue>) -> Self {
        let (mut ancestors, mut next) = (Vec::new(), issue.parent);
        while let Some(parent) = next
            && ancestors.len() < MAX_ANCESTORS
            && let Some(found) = find(parent.key)
        {
            next = found.parent;
            ancestors.push(found.clone());
        }
        Self { issue, ancestors, unheard_of: next }
    }

    /// The last ancestor that is on record, or the credential itself.
    fn oldest(&self) -> &GatheredIssue {
        self.ancestors.last().unwrap_or(&self.issue)
    }

    /// The credential and its ancestors, each with its age: none is older than its parent, and goes with it.
    fn each(&self) -> impl Iterator<Item = (&GatheredIssue, Timestamp)> {
        let from_oldest = self.ancestors.iter().rev().chain([&self.issue]);
        from_oldest.scan(Timestamp::default(), |parent, issue| {
            *parent = issue.issued_at.max(*parent);
            Some((issue, *parent))
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
