//! What a use case can come back with instead of its answer. Every surface maps it in one exhaustive `match`.

use std::sync::Arc;

use super::sealing::MAX_PERSONAL_BYTES;
use crate::clock::NoRandomness;
use crate::domain::{Place, Rejection};
use crate::event_log::{Fault, ReadError, SubmitError};
use crate::jose::TokenError;

/// Why a use case has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The domain says no.
    #[error("{0}")]
    Rejected(Rejection),
    /// The first answer held a secret, and this process does not have it any more. What it was the secret of stands.
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
    /// That record is durable here, and has not reached all that were asked for in time. It stands and goes on.
    #[error("reach every node that was asked for in time; the command stands and goes on")]
    ConsistencyTimeout(Place),
    /// The machine failed.
    #[error(transparent)]
    Fault(Fault),
    /// A durable record could not be read again.
    #[error("{0}")]
    Unreadable(Arc<ReadError>),
    /// A JWT is refused.
    #[error(transparent)]
    Token(TokenError),
    /// A claim that is ours to say was to be added to a token.
    #[error("issue: a claim that the ledger itself says can't be added")]
    ReservedClaim,
    /// The personal parts of a session, or the added claims of a token, are too large.
    #[error("issue: the personal parts or added claims are larger than {MAX_PERSONAL_BYTES} bytes")]
    PersonalDataTooLarge,
    /// Nobody could find the keys of tokens that this server would sign.
    #[error("issue: others reach this server, and it was not told under which address (--public-url)")]
    IssuerNotConfigured,
    /// A key can't be read, made or used.
    #[error("use a key: {0}")]
    Key(Arc<str>),
    /// The operating system has no randomness to give: no secret can be made.
    #[error("get random bytes from the operating system")]
    NoRandomness,
}

impl Error {
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
