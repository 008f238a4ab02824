//! The fold: what each recorded fact adds to the state.
//!
//! A fact becomes [`Patch`]es, small pieces of state, and state is what all patches join to. Every join is commutative,
//! associative and idempotent, so that nodes which hold the same records agree, whatever order they came in.

use super::actor::Actor;
use super::application::Application;
use super::credential::CredentialId;
use super::ending::{Ending, Endings};
use super::event::{Event, Idempotency, LedgerOpened, Recorded, TicketIssued, TicketRevoked};
use super::ids::{ApplicationId, Place, Subject, Tenant};
use super::subject::{SubjectEnding, SubjectState};
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
        Event::TicketIssued(issued) => add(Patch::Ticket(issued.digest.id(), ticket_issued(recorded, issued))),
        Event::TicketsRenewed(renewals) => {
            for Renewal { place, last_use_at } in renewals.iter().flat_map(each_renewal) {
                add(Patch::TicketUsed(place, last_use_at));
            }
        }
        Event::TicketRevoked(revoked) => add(Patch::Ticket(revoked.ticket.id(), ticket_revoked(recorded, revoked))),
        Event::SubjectRevoked(revoked) => {
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
            add(Patch::Subject(recorded.tenant.clone().unwrap_or_default(), revoked.subject.clone(), state));
        }
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
    Ticket { issue: Some(issue), last_use_at: issued_at, endings: Endings::default() }
}

fn ticket_revoked(recorded: &Recorded, revoked: &TicketRevoked) -> Ticket {
    let unknown_by = match (&revoked.subject, &recorded.actor) {
        (None, Some(Actor::Application(id))) => Some(*id),
        _ => None,
    };
    let ending = Ending {
        tenant: recorded.tenant.clone(),
        place: recorded.place,
        revoked_at: recorded.recorded_at,
        retain_until: revoked.retain_until,
        unknown_by,
    };
    Ticket { issue: None, last_use_at: Timestamp::default(), endings: Endings::one(ending) }
}
