//! The fold: what each recorded fact adds to the state.
//!
//! A fact becomes [`Patch`]es, small pieces of state, and state is what all patches join to. Every join is commutative,
//! associative and idempotent, so that nodes which hold the same records agree, whatever order they came in.

use std::collections::BTreeMap;

use super::actor::Actor;
use super::application::Application;
use super::credential::{CredentialId, CredentialKey, Kind};
use super::ending::{Ending, Endings, Stranger, Whose};
use super::event::{
    Event, Idempotency, KeyPublished, LedgerOpened, Named, NodeUpgraded, Recorded, Revoked, SessionIssued,
    SubjectErased, SubjectRevoked, TicketIssued, TokenIssued,
};
use super::ids::{ApplicationId, KeyId, Origin, Place, Subject, Tenant};
use super::lasting::{IssuedAs, Lasting, LastingIssue};
use super::membership::{Member, NodeKey, Removal};
use super::signing::SigningKeyState;
use super::subject::{Erasure, SubjectEnding, SubjectState};
use super::ticket::{Ticket, TicketIssue};
use super::time::Timestamp;

/// A piece of state that a fact adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// An origin was opened.
    Origin(Place, LedgerOpened),
    /// Something about an application.
    Application(ApplicationId, Application),
    /// Something about a ticket.
    Ticket(CredentialId, Ticket),
    /// The ticket that was issued at that place was used.
    TicketUsed(Place, Timestamp),
    /// Something about a session or token.
    Lasting(CredentialKey, Lasting),
    /// Something about a key that signs our JWTs.
    Key(KeyId, SigningKeyState),
    /// Something about a node.
    Node(NodeKey, Member),
    /// An origin uses the key in that slot of its store.
    Slot(Origin, u64),
    /// Something was imported: what this ledger does not know may have been issued elsewhere.
    Imported,
    /// Something about a subject.
    Subject(Tenant, Subject, SubjectState),
    /// A command was carried out under an idempotency key.
    Answered(Answered),
}

/// A command that was carried out, and what recognises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The digests that the command came with.
    pub digests: Idempotency,
    /// The first record that it appended.
    pub first: Place,
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

    /// Joins another answer under the same key: the latest stands, so that one that is over hides none that is in force.
    pub fn merge(&mut self, other: Self) {
        if (other.recorded_at, other.first) > (self.recorded_at, self.first) {
            *self = other;
        }
    }
}

/// What a recorded fact adds to the state.
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
            add(Patch::Ticket(issued.digest.id(), ticket_issued(recorded, issued)));
        }
        Event::TicketsRenewed(renewals) => {
            for Renewal { place, last_use_at } in renewals.iter().flat_map(each_renewal) {
                add(Patch::TicketUsed(place, last_use_at));
            }
        }
        Event::SessionIssued(issued) => {
            imported(issued.issued_at, &mut add);
            slot(recorded, issued.sealed.as_ref(), &mut add);
            let key = CredentialKey { kind: Kind::Session, id: issued.id };
            add(Patch::Lasting(key, session_issued(recorded, issued)));
        }
        Event::SessionExtended(extended) => {
            let key = CredentialKey { kind: Kind::Session, id: extended.id };
            add(Patch::Lasting(key, Lasting { extended_to: extended.expires_at, ..Lasting::default() }));
        }
        Event::TokenIssued(issued) => {
            imported(issued.issued_at, &mut add);
            slot(recorded, issued.sealed.as_ref(), &mut add);
            if let Some(key) = &issued.key {
                let signed = SigningKeyState { last_expiry: issued.expires_at, ..SigningKeyState::default() };
                add(Patch::Key(key.clone(), signed));
            }
            add(Patch::Lasting(issued.key(), token_issued(recorded, issued)));
        }
        Event::Revoked(revoked) => {
            slot(recorded, revoked.note.as_ref(), &mut add);
            add(ended(recorded, revoked));
        }
        Event::SubjectRevoked(revoked) => {
            slot(recorded, revoked.note.as_ref(), &mut add);
            let tenant = recorded.tenant.clone().unwrap_or_default();
            add(Patch::Subject(tenant, revoked.subject.clone(), subject_ended(recorded, revoked)));
        }
        Event::SubjectErased(erased) => {
            let tenant = recorded.tenant.clone().unwrap_or_default();
            add(Patch::Subject(tenant, erased.subject.clone(), subject_erased(recorded, erased)));
        }
        Event::KeyPublished(key) => add(Patch::Key(key.id.clone(), key_published(recorded, key))),
        Event::KeyRetired(id) => {
            add(Patch::Key(id.clone(), SigningKeyState { retired: true, ..SigningKeyState::default() }));
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

struct Renewal {
    place: Place,
    last_use_at: Timestamp,
}

fn each_renewal(renewals: &super::event::Renewals) -> impl Iterator<Item = Renewal> {
    let origin = renewals.origin;
    renewals.uses.iter().map(move |(sequence, last_use_at)| Renewal {
        place: Place { origin, sequence: *sequence },
        last_use_at: *last_use_at,
    })
}

fn ticket_issued(recorded: &Recorded, issued: &TicketIssued) -> Ticket {
    let issued_at = issued.issued_at.unwrap_or(recorded.recorded_at);
    let issue = TicketIssue {
        place: recorded.place,
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        digest: issued.digest,
        issued_at,
        ttl: issued.ttl,
        not_after: issued.not_after,
        generation: issued.generation.clone(),
    };
    // One that was imported may have been used since its issue: it expires that long after its last use.
    let last_use_at = issued_at.max(issued.expires_at.minus(issued.ttl));
    Ticket { issue: Some(issue), last_use_at, endings: Endings::default() }
}

fn session_issued(recorded: &Recorded, issued: &SessionIssued) -> Lasting {
    let issue = LastingIssue {
        place: recorded.place,
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        name: IssuedAs::Secret(issued.digest),
        issued_at: issued.issued_at.unwrap_or(recorded.recorded_at),
        expires_at: issued.expires_at,
        not_after: issued.not_after,
        generation: issued.generation.clone(),
        session: None,
        slot: issued.sealed.as_ref().map(|sealed| sealed.slot),
    };
    Lasting { issue: Some(issue), ..Lasting::default() }
}

fn token_issued(recorded: &Recorded, issued: &TokenIssued) -> Lasting {
    let name = match &issued.name {
        Named::Digest(digest) => IssuedAs::Secret(Some(*digest)),
        name => IssuedAs::Jwt(Box::new(name.clone())),
    };
    let issue = LastingIssue {
        place: recorded.place,
        tenant: recorded.tenant.clone().unwrap_or_default(),
        subject: issued.subject.clone(),
        name,
        issued_at: issued.issued_at.unwrap_or(recorded.recorded_at),
        expires_at: issued.expires_at,
        not_after: issued.expires_at,
        generation: issued.generation.clone(),
        session: issued.session,
        slot: issued.sealed.as_ref().map(|sealed| sealed.slot),
    };
    Lasting { issue: Some(issue), ..Lasting::default() }
}

fn ended(recorded: &Recorded, revoked: &Revoked) -> Patch {
    let key = revoked.key();
    let ending = Ending {
        whose: Whose { tenant: recorded.tenant.clone(), subject: revoked.subject.clone().filter(|_| !revoked.known) },
        place: recorded.place,
        revoked_at: recorded.recorded_at,
        retain_until: revoked.retain_until,
        unknown_by: stranger(recorded).filter(|_| !revoked.known),
        named: (key.kind != Kind::Ticket).then(|| Box::new(revoked.credential.clone())),
    };
    let endings = Endings::one(ending);
    match key {
        CredentialKey { kind: Kind::Ticket, id } => {
            Patch::Ticket(id, Ticket { issue: None, last_use_at: Timestamp::default(), endings })
        }
        key => Patch::Lasting(key, Lasting { endings, ..Lasting::default() }),
    }
}

/// Whoever must be counted where the credential was not known. Root bounds himself.
fn stranger(recorded: &Recorded) -> Option<Stranger> {
    match recorded.actor.as_ref()? {
        Actor::Application(id) => Some(Stranger::Application(*id)),
        Actor::Subject(subject) => {
            Some(Stranger::Subject(recorded.tenant.clone().unwrap_or_default(), subject.clone()))
        }
        Actor::Bearer { .. } | Actor::Root(_) => None,
    }
}

fn subject_ended(recorded: &Recorded, revoked: &SubjectRevoked) -> SubjectState {
    let mut state = SubjectState::default();
    let ending = SubjectEnding {
        sequence: recorded.place.sequence,
        revoked_at: recorded.recorded_at,
        not_before: revoked.not_before,
        retain_until: revoked.retain_until,
    };
    for kind in revoked.kinds.iter() {
        state.kinds[kind.index()].endings.insert(recorded.place.origin, ending);
        state.kinds[kind.index()].hold_until = revoked.hold_until;
    }
    state
}

/// As the ending of every kind, kept for ever, so that whoever judges by generations alone finds all of it dead too.
fn subject_erased(recorded: &Recorded, erased: &SubjectErased) -> SubjectState {
    let Place { origin, sequence } = recorded.place;
    let ending = SubjectEnding {
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
    let mut state = SubjectState { erasure: Some(Box::new(erasure)), ..SubjectState::default() };
    for kind in &mut state.kinds {
        kind.endings.insert(origin, ending);
    }
    state
}

fn key_published(recorded: &Recorded, key: &KeyPublished) -> SigningKeyState {
    SigningKeyState { published: Some((recorded.place, key.clone())), ..SigningKeyState::default() }
}
