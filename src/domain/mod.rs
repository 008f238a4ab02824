//! The rules of the ledger. Pure: no clock, no I/O, no logging, nothing asynchronous; so nothing here can fail to work,
//! only refuse.

mod actor;
mod application;
mod command;
mod credential;
mod decide;
mod ending;
mod event;
mod evolve;
mod fingerprint;
mod ids;
mod state;
mod subject;
mod ticket;
mod time;

pub use actor::Actor;
pub use application::{Application, Grant, Grants, MAX_GRANTS, Registration, Scope, Scopes};
pub use command::{Caller, Command, Context, Decision, IssueTicket, Policy, Rejection, Request, Revoke, RevokeSubject};
pub use credential::{CredentialId, Digest, Kind, Kinds, Secret, hex};
pub use decide::{actor_of, alone, decide, grants_of, judge_ticket, may_see, worth_recording};
pub use ending::{Ending, Endings};
pub use event::{
    Draft, Event, Idempotency, IdempotencyMark, LOG_FORMAT, LedgerOpened, Named, Previous, Recorded, Renewals,
    SubjectRevoked, TicketIssued, TicketRevoked,
};
pub use evolve::{Answered, IDEMPOTENCY_MILLIS, Patch, evolve};
pub use fingerprint::{Fingerprint, Row};
pub use ids::{
    ApplicationId, LedgerId, MAX_NAME_BYTES, Malformed, NodeName, Origin, Place, Position, Reason, Region, RequestId,
    Sequence, Subject, Tenant,
};
pub use state::{Overlay, State, View, forget_use_at};
pub use subject::{Generation, SubjectEnding, SubjectKind, SubjectState};
pub use ticket::{Dead, Ticket, TicketIssue};
pub use time::{MAX_INTEGER, RETENTION_MARGIN_MILLIS, Timestamp, Ttl};
