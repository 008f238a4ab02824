//! The fold: the state that each recorded fact adds.
//!
//! A fact becomes [`Patch`]es, small pieces of state, and the state is the join of all patches. Every join is
//! commutative, associative and idempotent, so that nodes which hold the same records agree, whatever order they came
//! in.

use std::collections::BTreeMap;

use super::actor::Actor;
use super::application::Application;
use super::cohort::{Cohort, CohortState, Withdrawal};
use super::credential::{
    Credential, CredentialKey, CredentialRef, Issue, IssuedAs, IssuedJwt, Kind, Kinds, Lifetime, Revocation,
    RevocationTarget, Revocations, UnknownRevoker,
};
use super::event::{
    CohortRevoked, CredentialRevoked, Event, Idempotency, KeyPublished, LedgerOpened, NodeUpgraded, Recorded,
    SessionIssued, SubjectErased, SubjectRevoked, TicketIssued, TokenIssued,
};
use super::ids::{ApplicationId, KeyId, Origin, RecordId, Subject, Tenant};
use super::membership::{Member, Removal};
use super::node::NodeKey;
use super::signing::SigningKeyState;
use super::status_list::{StatusIndex, StatusListId, StatusListState};
use super::subject::{AgeRevocation, AgeRevocations, Erasure, KindRevocation, KindState, SubjectState};
use super::time::Timestamp;

/// A piece of state that a fact adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// An origin was opened.
    Origin(RecordId, LedgerOpened),
    /// Something about an application.
    Application(ApplicationId, Application),
    /// Something about a credential.
    Credential(CredentialKey, Credential),
    /// The ticket that was issued at that place was used.
    TicketUsed(RecordId, Timestamp),
    /// Something about a key that signs the ledger's JWTs.
    Key(KeyId, SigningKeyState),
    /// Something about a status list.
    StatusList(StatusListId, Box<StatusListState>),
    /// The token has that entry of a status list, and expires then.
    StatusIndex(CredentialKey, StatusIndex, Timestamp),
    /// Something about a node.
    Node(NodeKey, Member),
    /// An origin uses the key in that slot of its store.
    Slot(Origin, u64),
    /// Something was imported: a credential that this ledger does not know may have been issued elsewhere.
    Imported,
    /// Something about a cohort.
    Cohort(Cohort, CohortState),
    /// Something about a subject.
    Subject(Tenant, Subject, SubjectState),
    /// A command was carried out under an idempotency key.
    Answered(Answered),
}

/// A command that was carried out, and the digests by which a repetition is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The digests that the command came with.
    pub digests: Idempotency,
    /// The first record that it appended.
    pub first: RecordId,
    /// How many it appended.
    pub records: u64,
    /// When.
    pub recorded_at: Timestamp,
}

/// How long a repeated command is recognised: 24 h.
pub const IDEMPOTENCY_MILLIS: u64 = 86_400_000;

impl Answered {
    /// Until when a repetition is recognised.
    pub fn retain_until(&self) -> Timestamp {
        self.recorded_at.plus_millis(IDEMPOTENCY_MILLIS)
    }

    /// Joins another answer under the same key: the latest stands, so that an expired answer does not hide one that is
    /// in force.
    pub fn merge(&mut self, other: Self) {
        if (other.recorded_at, other.first) > (self.recorded_at, self.first) {
            *self = other;
        }
    }
}

/// The patches of a recorded fact.
pub fn evolve(recorded: &Recorded, mut add: impl FnMut(Patch)) {
    if let Some(mark) = recorded.idempotency {
        let (first, recorded_at) = (recorded.place, recorded.recorded_at);
        add(Patch::Answered(Answered { digests: mark.digests, first, records: mark.records, recorded_at }));
    }
    match &recorded.event {
        Event::LedgerOpened(opened) => add(Patch::Origin(recorded.place, opened.clone())),
        Event::ApplicationRegistered(registration) => {
            let registered = Some((recorded.place, registration.clone()));
            add(Patch::Application(registration.id, Application { registered, removed: false }));
        }
        Event::ApplicationRemoved(id) => add(Patch::Application(*id, Application { registered: None, removed: true })),
        Event::TicketIssued(issued) => {
            imported(issued.issued_at, &mut add);
            let key = CredentialKey { kind: Kind::Ticket, id: issued.digest.id() };
            add(Patch::Credential(key, ticket_issued(recorded, issued)));
        }
        Event::TicketsRenewed(renewals) => {
            for TicketRenewal { place, last_use_at } in renewals.iter().flat_map(each_renewal) {
                add(Patch::TicketUsed(place, last_use_at));
            }
        }
        Event::SessionIssued(issued) => {
            imported(issued.issued_at, &mut add);
            slot(recorded, issued.sealed.as_ref(), &mut add);
            let key = CredentialKey { kind: Kind::Session, id: issued.id };
            add(Patch::Credential(key, session_issued(recorded, issued)));
        }
        Event::SessionExtended(extended) => {
            let key = CredentialKey { kind: Kind::Session, id: extended.id };
            add(Patch::Credential(key, Credential { latest: extended.expires_at, ..Credential::default() }));
        }
        Event::TokenIssued(issued) => {
            imported(issued.issued_at, &mut add);
            slot(recorded, issued.sealed.as_ref(), &mut add);
            if let Some(key) = &issued.key {
                let signed = SigningKeyState { last_expiry: issued.expires_at, ..SigningKeyState::default() };
                add(Patch::Key(key.clone(), signed));
            }
            add(Patch::Credential(issued.key(), token_issued(recorded, issued)));
            if let Some(status) = issued.status {
                add(Patch::StatusIndex(issued.key(), status, issued.expires_at));
            }
        }
        Event::Revoked(revoked) => {
            slot(recorded, revoked.note.as_ref(), &mut add);
            add(revoked_alone(recorded, revoked));
        }
        Event::SubjectRevoked(revoked) => {
            slot(recorded, revoked.note.as_ref(), &mut add);
            let tenant = recorded.tenant.clone().unwrap_or_default();
            add(Patch::Subject(tenant, revoked.subject.clone(), subject_revoked(recorded, revoked)));
        }
        Event::CohortRevoked(revoked) => {
            slot(recorded, revoked.note.as_ref(), &mut add);
            if let (true, Cohort::Key(key)) = (revoked.withdrawn, &revoked.cohort) {
                let withdrawn = SigningKeyState { retired: true, withdrawn: true, ..SigningKeyState::default() };
                add(Patch::Key(key.clone(), withdrawn));
            }
            add(Patch::Cohort(revoked.cohort.clone(), cohort_revoked(recorded, revoked)));
        }
        #[cfg(test)]
        Event::Example(revoked) => {
            let tenant = recorded.tenant.clone().unwrap_or_default();
            add(Patch::Subject(tenant, revoked.subject.clone(), subject_revoked(recorded, revoked)));
        }
        Event::SubjectErased(erased) => {
            let tenant = recorded.tenant.clone().unwrap_or_default();
            add(Patch::Subject(tenant, erased.subject.clone(), subject_erased(recorded, erased)));
        }
        Event::KeyPublished(key) => add(Patch::Key(key.id.clone(), key_published(recorded, key))),
        Event::KeyRetired(id) => {
            add(Patch::Key(id.clone(), SigningKeyState { retired: true, ..SigningKeyState::default() }));
        }
        Event::StatusListOpened(opened) => {
            let opening = StatusListState::opening(recorded.place, recorded.recorded_at, *opened);
            add(Patch::StatusList(opened.list, opening.into()));
        }
        Event::StatusListPublished(published) => {
            // Verifiers need the key for as long as they may keep the list.
            let last_expiry = Timestamp::default().plus_millis(published.exp.saturating_mul(1_000));
            add(Patch::Key(published.kid.clone(), SigningKeyState { last_expiry, ..SigningKeyState::default() }));
            let publication = StatusListState::publication(recorded.place, (**published).clone());
            add(Patch::StatusList(published.list, publication.into()));
        }
        Event::NodeJoined(node) => {
            let joined = Member::of_join(recorded.place, recorded.recorded_at, (**node).clone());
            add(Patch::Node(node.key, joined));
        }
        Event::NodeUpgraded(NodeUpgraded { key, reads }) => {
            let upgraded = Some((recorded.recorded_at, recorded.place, reads.clone()));
            add(Patch::Node(*key, Member { upgraded, ..Member::default() }));
        }
        Event::NodeRemoved(removed) => {
            let removal = Removal::of(recorded.place, recorded.recorded_at, removed);
            add(Patch::Node(removed.key, Member { removed: Some(removal), ..Member::default() }));
        }
    }
}

fn imported(issued_at: Option<Timestamp>, add: &mut impl FnMut(Patch)) {
    if issued_at.is_some() {
        add(Patch::Imported);
    }
}

fn slot(recorded: &Recorded, sealed: Option<&super::event::Sealed>, add: &mut impl FnMut(Patch)) {
    if let Some(sealed) = sealed {
        add(Patch::Slot(recorded.place.origin, sealed.slot));
    }
}

struct TicketRenewal {
    place: RecordId,
    last_use_at: Timestamp,
}

fn each_renewal(renewals: &super::event::Renewals) -> impl Iterator<Item = TicketRenewal> {
    let origin = renewals.origin;
    renewals.uses.iter().map(move |(sequence, last_use_at)| TicketRenewal {
        place: RecordId { origin, sequence: *sequence },
        last_use_at: *last_use_at,
    })
}

fn ticket_issued(recorded: &Recorded, issued: &TicketIssued) -> Credential {
    let issued_at = issued.issued_at.unwrap_or(recorded.recorded_at);
    let issue = Issue {
        place: recorded.place,
        application: recorded.application(),
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        name: IssuedAs::Secret(Some(issued.digest)),
        issued_at,
        lifetime: Lifetime::Sliding(issued.ttl),
        not_after: issued.not_after,
        generation: issued.generation.clone(),
        parent: issued.parent.map(Box::new),
        confirmation: None,
        slot: None,
    };
    // An imported ticket may have been used since its issue: it expires that long after its last use.
    Credential { latest: issued_at.max(issued.expires_at.minus(issued.ttl)), ..Credential::issued(issue) }
}

fn session_issued(recorded: &Recorded, issued: &SessionIssued) -> Credential {
    let issue = Issue {
        place: recorded.place,
        application: recorded.application(),
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        name: IssuedAs::Secret(issued.digest),
        issued_at: issued.issued_at.unwrap_or(recorded.recorded_at),
        lifetime: Lifetime::Fixed(issued.expires_at),
        not_after: issued.not_after,
        generation: issued.generation.clone(),
        parent: issued.parent.map(Box::new),
        confirmation: None,
        slot: issued.sealed.as_ref().map(|sealed| sealed.slot),
    };
    Credential::issued(issue)
}

fn token_issued(recorded: &Recorded, issued: &TokenIssued) -> Credential {
    let name = match &issued.name {
        CredentialRef::Digest(digest) => IssuedAs::Secret(Some(*digest)),
        name => IssuedAs::Jwt(Box::new(IssuedJwt { name: name.clone(), key: issued.key.clone() })),
    };
    let issue = Issue {
        place: recorded.place,
        application: recorded.application(),
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        name,
        issued_at: issued.issued_at.unwrap_or(recorded.recorded_at),
        lifetime: Lifetime::Fixed(issued.expires_at),
        not_after: issued.expires_at,
        generation: issued.generation.clone(),
        parent: issued.parent.map(Box::new),
        confirmation: issued.confirmation.map(Box::new),
        slot: issued.sealed.as_ref().map(|sealed| sealed.slot),
    };
    Credential::issued(issue)
}

fn revoked_alone(recorded: &Recorded, revoked: &CredentialRevoked) -> Patch {
    let key = revoked.key();
    let revocation = Revocation {
        whose: RevocationTarget {
            tenant: recorded.tenant.clone(),
            subject: revoked.subject.clone().filter(|_| !revoked.known),
        },
        place: recorded.place,
        revoked_at: recorded.recorded_at,
        retain_until: revoked.retain_until,
        unknown_by: unknown_revoker(recorded).filter(|_| !revoked.known),
        named: (key.kind != Kind::Ticket).then(|| Box::new(revoked.credential.clone())),
    };
    Patch::Credential(key, Credential { revocations: Revocations::one(revocation), ..Credential::default() })
}

/// The caller that is counted if the credential was not known. Root is not bounded.
fn unknown_revoker(recorded: &Recorded) -> Option<UnknownRevoker> {
    match recorded.actor.as_ref()? {
        Actor::Application(id) => Some(UnknownRevoker::Application(*id)),
        Actor::Subject(subject) => {
            Some(UnknownRevoker::Subject(recorded.tenant.clone().unwrap_or_default(), subject.clone()))
        }
        Actor::Bearer { .. } | Actor::Root(_) => None,
    }
}

fn subject_revoked(recorded: &Recorded, revoked: &SubjectRevoked) -> SubjectState {
    let SubjectRevoked { kinds, issued_before, not_before, hold_until, retain_until, .. } = *revoked;
    let Some(issued_before) = issued_before else {
        return SubjectState::new(kinds_revoked(recorded, kinds, not_before, hold_until, retain_until), None);
    };
    let (place, revoked_at) = (recorded.place, recorded.recorded_at);
    let by_age = AgeRevocations::one(AgeRevocation { issued_before, place, revoked_at, retain_until });
    let of_kind = |kind| match kinds.contains(kind) {
        true => KindState { by_age: by_age.clone(), hold_until, ..KindState::default() },
        false => KindState::default(),
    };
    SubjectState::new(Kind::ALL.map(of_kind), None)
}

fn cohort_revoked(recorded: &Recorded, revoked: &CohortRevoked) -> CohortState {
    let CohortRevoked { kinds, not_before, hold_until, retain_until, .. } = *revoked;
    // A key that was withdrawn stays so.
    let kept_until = if revoked.withdrawn { Timestamp::MAX } else { retain_until };
    let until = |tenant| (tenant, kept_until);
    let reach = match (&revoked.cohort, &revoked.tenants) {
        (Cohort::Tenant(tenant), _) => BTreeMap::from([until(Some(tenant.clone()))]),
        (_, Some(tenants)) => tenants.iter().cloned().map(Some).map(until).collect(),
        (_, None) => BTreeMap::from([until(None)]),
    };
    let (withdrawn_at, place) = (recorded.recorded_at, recorded.place);
    CohortState {
        kinds: kinds_revoked(recorded, kinds, not_before, hold_until, retain_until),
        reach,
        withdrawal: revoked.withdrawn.then_some(Withdrawal { withdrawn_at, place }),
    }
}

fn kinds_revoked(
    recorded: &Recorded,
    kinds: Kinds,
    not_before: u64,
    hold_until: Option<Timestamp>,
    retain_until: Timestamp,
) -> [KindState; 3] {
    let RecordId { origin, sequence } = recorded.place;
    let revocation = KindRevocation { sequence, revoked_at: recorded.recorded_at, not_before, retain_until };
    Kind::ALL.map(|kind| match kinds.contains(kind) {
        true => KindState { revocations: BTreeMap::from([(origin, revocation)]), hold_until, ..KindState::default() },
        false => KindState::default(),
    })
}

/// Like a revocation of every kind that is kept permanently, so that a reader that judges by generations alone finds
/// all of it inactive too.
fn subject_erased(recorded: &Recorded, erased: &SubjectErased) -> SubjectState {
    let RecordId { origin, sequence } = recorded.place;
    let revocation = KindRevocation {
        sequence,
        revoked_at: recorded.recorded_at,
        not_before: erased.not_before,
        retain_until: Timestamp::MAX,
    };
    let erasure = Erasure {
        place: recorded.place,
        erased_at: recorded.recorded_at,
        slots: BTreeMap::from([(origin, erased.slots.clone())]),
    };
    let of_kind = |_| KindState { revocations: BTreeMap::from([(origin, revocation)]), ..KindState::default() };
    SubjectState::new(Kind::ALL.map(of_kind), Some(Box::new(erasure)))
}

fn key_published(recorded: &Recorded, key: &KeyPublished) -> SigningKeyState {
    SigningKeyState { published: Some((recorded.place, key.clone())), ..SigningKeyState::default() }
}
