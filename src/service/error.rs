//! The errors of a use case. Every surface maps them in one exhaustive `match`, and each error lists only what its use case can meet.

use std::sync::Arc;

use tokio::task::JoinError;

use super::limits::{MAX_GRANTED, MAX_PERSONAL_BYTES};
use crate::clock::NoRandomness;
use crate::domain::{Forbidden, IssueTokenRejection, RecordId, Rejection, RequestId, RevokeRejection, Timestamp};
use crate::event_log::{Fault, ReadError, SubmitError};
use crate::jose::TokenError;

/// Why a use case has no answer. `R` has the reasons that this use case can be refused for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error<R = Refusal> {
    /// The ledger says no.
    #[error("{0}")]
    Refused(R),
    /// The first answer held a secret, and this process no longer has it. The credential or application that the secret
    /// belongs to stands.
    #[error("show the secret again: it has been shown, and is kept for a minute only")]
    SecretAlreadyShown {
        /// The public id of the credential or application.
        id: String,
    },
    /// That record is durable here, but has not reached all the requested nodes in time. It stands and still spreads.
    #[error("reach every requested node in time; the command stands and is still sent to them")]
    ConsistencyTimeout(RecordId),
    /// Any use case can fail.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why a use case failed that the ledger did not refuse.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Too many commands are waiting: try again in a moment.
    #[error("queue the command: too many are waiting")]
    Overloaded,
    /// Another process has locked the event log, and nothing was written: try again in a moment.
    #[error("write the command down: another process has locked the event log")]
    Locked,
    /// The server is stopping: whether the command was carried out is unknown.
    #[error("answer: the server is stopping")]
    Stopping,
    /// The machine failed.
    #[error(transparent)]
    Fault(Fault),
    /// A durable record could not be read again.
    #[error("{0}")]
    Unreadable(Arc<ReadError>),
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

/// Every reason that a use case can be refused for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The domain says no.
    #[error("{0}")]
    Rejected(Rejection),
    /// A JWT is refused.
    #[error(transparent)]
    Token(TokenError),
    /// A reserved claim was to be added to a token.
    #[error("issue: a claim that the ledger sets itself can't be added")]
    ReservedClaim,
    /// A token was to have an entry in a status list, and this node has none.
    #[error("issue: this node gives tokens no entry in a status list, and opaque ones never")]
    StatusListsOff,
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
}

/// Why a token is not issued.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", Refusal::from(self.clone()))]
pub enum TokenRefusal {
    Rejected(IssueTokenRejection),
    /// A claim that the ledger sets itself was to be added.
    ReservedClaim,
    /// It was to have an entry in a status list, and this node has none.
    StatusListsOff,
    /// The added claims are too large.
    PersonalDataTooLarge,
    /// This server's public address is not configured.
    IssuerNotConfigured,
    /// This node's key does not sign yet.
    SigningKeyTooNew {
        /// When it signs.
        from: Timestamp,
    },
}

/// Why an application gets no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GrantRefusal {
    #[error("{0}")]
    Rejected(IssueTokenRejection),
    /// It has as many as it may have.
    #[error("the application has {MAX_GRANTED} access tokens that have not expired")]
    TooManyGranted,
}

impl From<IssueTokenRejection> for GrantRefusal {
    fn from(rejection: IssueTokenRejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Why a credential is not revoked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", Refusal::from(self.clone()))]
pub enum RevokeRefusal {
    Rejected(RevokeRejection),
    /// It is a JWT, which is refused.
    Token(TokenError),
}

impl<R> Error<R> {
    /// The same error of a use case that can be refused for more reasons.
    pub fn widened<W: From<R>>(self) -> Error<W> {
        match self {
            Self::Refused(refusal) => Error::Refused(refusal.into()),
            Self::SecretAlreadyShown { id } => Error::SecretAlreadyShown { id },
            Self::ConsistencyTimeout(place) => Error::ConsistencyTimeout(place),
            Self::Failed(failure) => Error::Failed(failure),
        }
    }
}

impl Failure {
    /// Whether the same call may succeed later, because the server or its ledger takes no such command for now.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Overloaded | Self::Locked | Self::Stopping | Self::Fault(_) => true,
            Self::Unreadable(_) | Self::Key(_) | Self::NoRandomness | Self::Internal(_) => false,
        }
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

    /// Of a repetition: the first command's record is not there.
    pub(super) fn not_on_record() -> Self {
        Self::internal(None, "what a call repeats has no record")
    }

    pub(super) fn key(error: impl std::fmt::Display) -> Self {
        Self::Key(error.to_string().into())
    }
}

impl<R: From<Forbidden>> From<Forbidden> for Error<R> {
    fn from(forbidden: Forbidden) -> Self {
        Self::Refused(forbidden.into())
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection.into())
    }
}

impl<R: Into<Rejection>> From<R> for Refusal {
    fn from(rejection: R) -> Self {
        Self::Rejected(rejection.into())
    }
}

impl<R: Into<IssueTokenRejection>> From<R> for TokenRefusal {
    fn from(rejection: R) -> Self {
        Self::Rejected(rejection.into())
    }
}

impl<R: Into<RevokeRejection>> From<R> for RevokeRefusal {
    fn from(rejection: R) -> Self {
        Self::Rejected(rejection.into())
    }
}

impl From<TokenRefusal> for Refusal {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Rejected(rejection) => Self::Rejected(rejection.into()),
            TokenRefusal::ReservedClaim => Self::ReservedClaim,
            TokenRefusal::StatusListsOff => Self::StatusListsOff,
            TokenRefusal::PersonalDataTooLarge => Self::PersonalDataTooLarge,
            TokenRefusal::IssuerNotConfigured => Self::IssuerNotConfigured,
            TokenRefusal::SigningKeyTooNew { from } => Self::SigningKeyTooNew { from },
        }
    }
}

impl From<RevokeRefusal> for Refusal {
    fn from(refusal: RevokeRefusal) -> Self {
        match refusal {
            RevokeRefusal::Rejected(rejection) => Self::Rejected(rejection.into()),
            RevokeRefusal::Token(error) => Self::Token(error),
        }
    }
}

impl<R> From<SubmitError> for Error<R> {
    fn from(error: SubmitError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<ReadError> for Error<R> {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<NoRandomness> for Error<R> {
    fn from(error: NoRandomness) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Overloaded => Self::Overloaded,
            SubmitError::Locked => Self::Locked,
            SubmitError::Fault(fault) => Self::Fault(fault),
            SubmitError::Stopping => Self::Stopping,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl From<NoRandomness> for Failure {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}
