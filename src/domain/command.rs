//! What can be asked of the ledger, and what it refuses.

use std::sync::Arc;

use super::application::Registration;
use super::credential::{CredentialId, Digest, Kind, Kinds};
use super::event::{Idempotency, Named};
use super::ids::{ApplicationId, Place, Reason, RequestId, Subject, Tenant};
use super::time::{Timestamp, Ttl};

/// Who asks. Grants are looked up when the command is decided, so that a removal holds from its commit on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever holds the node's root secret.
    Root,
    /// A registered application.
    Application(ApplicationId),
    /// The node itself, for what nobody asks for.
    Node,
}

/// One use case of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// Register an application.
    RegisterApplication(Arc<Registration>),
    /// Remove an application.
    RemoveApplication(ApplicationId),
    /// Issue a ticket.
    IssueTicket(IssueTicket),
    /// Put uses of tickets on record.
    RenewTickets(Vec<(CredentialId, Timestamp)>),
    /// End one credential.
    Revoke(Revoke),
    /// End all that a subject has.
    RevokeSubject(RevokeSubject),
}

/// Issue a ticket whose secret has that digest.
#[derive(Clone, Debug)]
pub struct IssueTicket {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Who it is for.
    pub subject: Subject,
    /// The digest of the fresh secret.
    pub digest: Digest,
    /// How long it lives without use; the policy's life where absent.
    pub ttl: Option<Ttl>,
}

/// End one credential.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// What the credential is taken for where this node does not know it.
    pub kind: Kind,
    /// Which one.
    pub credential: Named,
    /// Why.
    pub reason: Option<Reason>,
}

/// End all that a subject has of some kinds.
#[derive(Clone, Debug)]
pub struct RevokeSubject {
    /// The name space of the subject.
    pub tenant: Tenant,
    /// Whose credentials end.
    pub subject: Subject,
    /// Which kinds of them.
    pub kinds: Kinds,
    /// Keep the ending at least that long.
    pub keep: Option<Ttl>,
    /// Refuse new issues for that long.
    pub hold: Option<Ttl>,
    /// Why.
    pub reason: Option<Reason>,
}

/// A command with who sent it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The caller's own request id.
    pub request: Option<RequestId>,
    /// How the command is recognised when it comes again.
    pub idempotency: Option<Idempotency>,
    /// What is asked.
    pub command: Command,
}

/// What the operator has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a ticket lives without use where its issuer does not say.
    pub ticket_ttl: Ttl,
    /// How long a ticket lives at most, used or not.
    pub ticket_max_life: Ttl,
    /// The longest life that any node gives a credential: how long an ending is kept when its end is not known.
    pub longest_life: Ttl,
    /// How many endings of unknown credentials one application may have in force.
    pub max_unknown_endings: u64,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: Ttl = Ttl::from_seconds(86_400).expect("a day is within the bounds");
        const QUARTER_HOUR: Ttl = Ttl::from_seconds(900).expect("a quarter of an hour is within the bounds");
        Self { ticket_ttl: QUARTER_HOUR, ticket_max_life: DAY, longest_life: Ttl::MAX, max_unknown_endings: 100_000 }
    }
}

/// What a decision depends on beside state and command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// What will be the records' `recorded_at`.
    pub now: Timestamp,
    /// What the operator has settled.
    pub policy: Policy,
}

/// What came of a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These facts are to be appended, all or none.
    Append(Vec<super::event::Draft>),
    /// It holds already, since that record.
    Already(Place),
    /// It was carried out before, under the same idempotency key, by that many records from there on.
    Repeated(Place, u64),
    /// There is nothing to do.
    Nothing,
}

/// Why a command is refused. Stable codes: callers branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The secret belongs to nobody who may call.
    #[error("authenticate: the secret belongs to no registered application, or to one that has expired or was removed")]
    Unauthenticated,
    /// The caller lacks the scope in that tenant.
    #[error("authorise: the application's grants do not allow this there")]
    Forbidden,
    /// The caller would grant what it lacks.
    #[error("grant: nobody grants a scope or tenant that he lacks")]
    GrantExceedsOwn,
    /// An application with that secret exists.
    #[error("register: an application with this secret exists")]
    ApplicationExists,
    /// No application has that id.
    #[error("find the application: none has this id")]
    UnknownApplication,
    /// This node knows no such credential, and no other can.
    #[error("find the credential: this ledger never issued it, or its time is long up")]
    UnknownCredential,
    /// The subject gets no new credentials for now.
    #[error("issue: the subject is on hold")]
    SubjectOnHold,
    /// The application has too many endings of unknown credentials in force.
    #[error("record the ending: this application has too many endings of unknown credentials in force")]
    TooManyUnknown,
    /// The idempotency key came with another body before.
    #[error("repeat: this idempotency key was used with a different body")]
    IdempotencyMismatch,
    /// What would be recorded is larger than a record may be.
    #[error("record: it is larger than 65,535 bytes")]
    RecordTooLarge,
}

impl Rejection {
    /// Every rejection.
    pub const ALL: [Self; 10] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::GrantExceedsOwn,
        Self::ApplicationExists,
        Self::UnknownApplication,
        Self::UnknownCredential,
        Self::SubjectOnHold,
        Self::TooManyUnknown,
        Self::IdempotencyMismatch,
        Self::RecordTooLarge,
    ];
}
