//! The errors of a use case. Every surface maps them in one exhaustive `match`.

use std::sync::Arc;

use tokio::task::JoinError;

use super::limits::MAX_PERSONAL_BYTES;
use crate::clock::NoRandomness;
use crate::domain::{RecordId, Rejection, RequestId, Timestamp};
use crate::event_log::{Fault, ReadError, SubmitError};
use crate::jose::TokenError;

/// Why a use case has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The domain says no.
    #[error("{0}")]
    Rejected(Rejection),
    /// The first answer held a secret, and this process no longer has it. The credential or application that the secret
    /// belongs to stands.
    #[error("show the secret again: it has been shown, and is kept for a minute only")]
    SecretAlreadyShown {
        /// The public id of the credential or application.
        id: String,
    },
    /// Too many commands are waiting: try again in a moment.
    #[error("queue the command: too many are waiting")]
    Overloaded,
    /// Another process has locked the event log, and nothing was written: try again in a moment.
    #[error("write the command down: another process has locked the event log")]
    Locked,
    /// The server is stopping: whether the command was carried out is unknown.
    #[error("answer: the server is stopping")]
    Stopping,
    /// That record is durable here, but has not reached all the requested nodes in time. It stands and still spreads.
    #[error("reach every requested node in time; the command stands and is still sent to them")]
    ConsistencyTimeout(RecordId),
    /// The machine failed.
    #[error(transparent)]
    Fault(Fault),
    /// A durable record could not be read again.
    #[error("{0}")]
    Unreadable(Arc<ReadError>),
    /// A JWT is refused.
    #[error(transparent)]
    Token(TokenError),
    /// A reserved claim was to be added to a token.
    #[error("issue: a claim that the ledger sets itself can't be added")]
    ReservedClaim,
    /// The personal parts of a session, or the added claims of a token, are too large.
    #[error("issue: the personal parts or added claims are larger than {MAX_PERSONAL_BYTES} bytes")]
    PersonalDataTooLarge,
    /// The keys of tokens from this server could not be found without a public address.
    #[error("issue: other hosts reach this server, but its public address is not configured (--public-url)")]
    IssuerNotConfigured,
    /// The next key may not sign yet: verifiers that have fetched the published set may not have seen it.
    #[error("rotate: the next key was published too recently, and may sign from {from} on")]
    NextKeyTooNew {
        /// When it may sign.
        from: Timestamp,
    },
    /// This node's key does not sign yet: verifiers that have fetched the published set may not have seen it.
    #[error("issue: this node's key was published too recently, and signs from {from} on")]
    SigningKeyTooNew {
        /// When it signs.
        from: Timestamp,
    },
    /// A key can't be read, made or used.
    #[error("use a key: {0}")]
    Key(Arc<str>),
    /// The operating system has no random bytes: no secret can be made.
    #[error("get random bytes from the operating system")]
    NoRandomness,
    /// A case that cannot happen has happened: a fault of this program. The log lines name it, with the caller's request id.
    #[error("answer: {0}, which cannot happen")]
    Internal(&'static str),
}

impl Error {
    /// Whether the same call may succeed later, because the server or its ledger takes no such command for now.
    pub fn is_unavailable(&self) -> bool {
        use Rejection::{ClockUnsettled, MemberTooOld, MemoryFull};
        matches!(
            self,
            Self::Overloaded
                | Self::Locked
                | Self::Stopping
                | Self::Fault(_)
                | Self::SigningKeyTooNew { .. }
                | Self::Rejected(ClockUnsettled | MemberTooOld | MemoryFull)
        )
    }

    /// A case that cannot happen. The log lines say so once, here.
    pub(super) fn internal(request: Option<&RequestId>, case: &'static str) -> Self {
        let request = request.map(RequestId::as_str);
        tracing::error!(
            request,
            case,
            "a case that cannot happen has happened: this is a fault of authledger, please report it"
        );
        Self::Internal(case)
    }

    /// A task without an answer: it has panicked, or the server stops.
    pub(super) fn of_task(error: JoinError) -> Self {
        if error.is_panic() { Self::internal(None, "a task has panicked") } else { Self::Stopping }
    }

    pub(super) fn key(error: impl std::fmt::Display) -> Self {
        Self::Key(error.to_string().into())
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Overloaded => Self::Overloaded,
            SubmitError::Locked => Self::Locked,
            SubmitError::Fault(fault) => Self::Fault(fault),
            SubmitError::Stopping => Self::Stopping,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl From<NoRandomness> for Error {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}
