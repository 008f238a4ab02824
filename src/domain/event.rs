//! The facts that the log holds.

use std::sync::Arc;

use super::actor::Actor;
use super::application::Registration;
use super::credential::{CredentialId, Digest, Kinds};
use super::ids::{
    ApplicationId, LedgerId, NodeName, Origin, Place, Reason, Region, RequestId, Sequence, Subject, Tenant,
};
use super::subject::Generation;
use super::time::{Timestamp, Ttl};

/// The format of the log that this version writes, named by every `ledger.opened`.
pub const LOG_FORMAT: u64 = 1;

/// A fact, without the envelope that it is recorded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first record of every origin.
    LedgerOpened(LedgerOpened),
    /// An application may call from now on.
    ApplicationRegistered(Arc<Registration>),
    /// An application may not call any more.
    ApplicationRemoved(ApplicationId),
    /// A ticket was issued.
    TicketIssued(TicketIssued),
    /// Tickets were used since they were last on record.
    TicketsRenewed(Vec<Renewals>),
    /// A ticket was ended before its time.
    TicketRevoked(TicketRevoked),
    /// All that a subject had of some kinds was ended.
    SubjectRevoked(SubjectRevoked),
}

impl Event {
    /// The event's name in records.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::LedgerOpened(_) => "ledger.opened",
            Self::ApplicationRegistered(_) => "application.registered",
            Self::ApplicationRemoved(_) => "application.removed",
            Self::TicketIssued(_) => "ticket.issued",
            Self::TicketsRenewed(_) => "tickets.renewed",
            Self::TicketRevoked(_) => "ticket.revoked",
            Self::SubjectRevoked(_) => "subject.revoked",
        }
    }

    /// The version of this event's data that is written.
    pub const fn version(&self) -> u64 {
        1
    }
}

/// What an origin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOpened {
    /// The ledger that the origin belongs to.
    pub ledger: LedgerId,
    /// The node whose log it is.
    pub node: NodeName,
    /// The region of that node.
    pub region: Region,
    /// [`LOG_FORMAT`] of whoever wrote it.
    pub format: u64,
    /// Ed25519, what the origin signs with.
    pub public_key: [u8; 32],
    /// The origin that this one continues.
    pub previous: Option<Previous>,
}

/// Where the origin ended that a new one continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its last record.
    pub place: Place,
    /// The chain up to there.
    pub hash: [u8; 32],
}

/// A ticket's issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketIssued {
    /// The digest of the secret.
    pub digest: Digest,
    /// Who it is for.
    pub subject: Subject,
    /// When it was issued, where that is not when it was recorded: an imported ticket.
    pub issued_at: Option<Timestamp>,
    /// How long it lives without use.
    pub ttl: Ttl,
    /// When it expires if nobody uses it.
    pub expires_at: Timestamp,
    /// The latest instant that any renewal may reach.
    pub not_after: Timestamp,
    /// The subject's generation that the issuer knew.
    pub generation: Generation,
}

/// The uses of tickets that one origin issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewals {
    /// The origin of the tickets' issues.
    pub origin: Origin,
    /// The sequence of each issue, and the ticket's last use.
    pub uses: Vec<(Sequence, Timestamp)>,
}

/// What an ending of a single credential names it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The digest of its secret.
    Digest(Digest),
    /// Its public id alone: the secret was never seen here.
    Id(CredentialId),
}

impl Named {
    /// The public id.
    pub fn id(&self) -> CredentialId {
        match self {
            Self::Digest(digest) => digest.id(),
            Self::Id(id) => *id,
        }
    }

    /// The digest, if that is known.
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Id(_) => None,
        }
    }
}

/// A ticket's end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRevoked {
    /// Which ticket.
    pub ticket: Named,
    /// Who it was for; absent where the ticket was not known.
    pub subject: Option<Subject>,
    /// Until when the ending is kept.
    pub retain_until: Timestamp,
    /// Why.
    pub reason: Option<Reason>,
}

/// The end of all that a subject had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRevoked {
    /// Whose credentials ended.
    pub subject: Subject,
    /// Which kinds of them.
    pub kinds: Kinds,
    /// Whole seconds since 1970: foreign tokens issued then or earlier are dead.
    pub not_before: u64,
    /// Until when nothing new of these kinds is issued.
    pub hold_until: Option<Timestamp>,
    /// Until when the ending is kept.
    pub retain_until: Timestamp,
    /// Why.
    pub reason: Option<Reason>,
}

/// Digests by which a command is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Of the caller's key, in its scope of application, method and path.
    pub key: [u8; 16],
    /// Of the body that came with it.
    pub body: [u8; 16],
}

/// On the first record of a command that came with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyMark {
    /// The digests.
    pub digests: Idempotency,
    /// How many records the command appended, this one included.
    pub records: u64,
}

/// A fact with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which record of which origin.
    pub place: Place,
    /// The origin's clock; it never goes back within an origin.
    pub recorded_at: Timestamp,
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// Who caused it, if anybody asked for it.
    pub actor: Option<Actor>,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How the command is recognised when it comes again.
    pub idempotency: Option<IdempotencyMark>,
    /// The fact.
    pub event: Event,
}

/// A fact that was decided and has no place in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The name space that the fact belongs to, if it belongs to one.
    pub tenant: Option<Tenant>,
    /// The fact.
    pub event: Event,
}
