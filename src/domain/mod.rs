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
mod hashing;
mod ids;
mod judge;
mod lasting;
mod membership;
mod signing;
mod state;
mod subject;
mod ticket;
mod time;

pub use actor::Actor;
pub use application::{Application, Grant, Grants, MAX_GRANTS, Registration, Scope, Scopes};
pub use command::{
    Caller, Command, Context, Decision, EraseSubject, Import, ImportedLife, IssueSession, IssueTicket, IssueToken,
    JoinNode, OwnSessions, PastIssue, Policy, PresentedToken, PublishKey, Rejection, Request, Revoke, RevokeSubject,
    RevokeTokens, TokenForm,
};
pub use credential::{CredentialId, CredentialKey, Digest, Kind, Kinds, Secret, hex};
pub use decide::{
    MAX_ERASED_SLOTS, MAX_JWT_GENERATION, MAX_OWN_SESSIONS, actor_of, alone, decide, grants_of, issuer, lineage,
    may_see, signing_key, worth_recording,
};
pub use ending::{Ending, Endings, Stranger, Whose};
pub use event::{
    Draft, Event, Idempotency, IdempotencyMark, KeyPublished, LOG_FORMAT, LedgerOpened, Named, NodeJoined, NodeRemoved,
    NodeUpgraded, Previous, Recorded, Renewals, Revoked, Sealed, SessionExtended, SessionIssued, SubjectErased,
    SubjectRevoked, TicketIssued, TokenIssued,
};
pub use evolve::{Answered, IDEMPOTENCY_MILLIS, Patch, evolve};
pub use fingerprint::{Fingerprint, Row};
pub use hashing::{HashMap, Hashing};
pub use ids::{
    ApplicationId, GivenSubject, Issuer, KeyId, LedgerId, MAX_NAME_BYTES, Malformed, MethodName, NodeName, Origin,
    Place, Position, Reason, Region, RequestId, Sequence, Subject, Tenant, TokenId,
};
pub use judge::{judge_lasting, judge_presented, judge_ticket};
pub use lasting::{Aal, IssuedAs, Lasting, LastingIssue, Method};
pub use membership::{Member, Members, NodeKey, PeerAddress, Reads, Removal};
pub use signing::SigningKeyState;
pub use state::{Overlay, State, View, forget_use_at};
pub use subject::{Erasure, Generation, SubjectEnding, SubjectKind, SubjectState};
pub use ticket::{Dead, Ticket, TicketIssue};
pub use time::{MAX_INTEGER, RETENTION_MARGIN_MILLIS, Timestamp, Ttl};
