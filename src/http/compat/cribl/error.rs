//! Cribl's errors: the status and message of each, and the mapping of the ledger's refusals to them.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new rejection needs an answer of its own")]

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::CriblErrorBody;
use crate::domain::{AnyRejection, RevokeSubjectRejection};
use crate::http::answer;
use crate::service::{Error, Failure};

/// Every answer other than a success.
#[derive(Debug)]
pub enum CriblError {
    /// The path is served, for other verbs.
    WrongVerb(Method),
    /// The caller did not present an application's secret.
    Unauthorized,
    /// The application may not revoke there.
    Forbidden,
    /// A value that was sent can't be used, for that reason.
    Malformed(Cow<'static, str>),
    /// The ledger takes no commands for now.
    Unavailable,
    /// The machine failed.
    Internal,
}

impl From<Error<RevokeSubjectRejection>> for CriblError {
    fn from(error: Error<RevokeSubjectRejection>) -> Self {
        match error {
            Error::Refused(RevokeSubjectRejection::Any(any)) => any.into(),
            Error::Failed(failure) => failure.into(),
            // They need a note, or headers, which the contract does not have.
            Error::Refused(RevokeSubjectRejection::SubjectErased)
            | Error::SecretAlreadyShown { .. }
            | Error::ConsistencyTimeout(_) => Self::internal(&error),
        }
    }
}

impl From<AnyRejection> for CriblError {
    fn from(rejection: AnyRejection) -> Self {
        match rejection {
            AnyRejection::Unauthenticated => Self::Unauthorized,
            AnyRejection::Forbidden => Self::Forbidden,
            AnyRejection::RecordTooLarge => {
                Self::Malformed("what would be recorded is larger than 65,535 bytes".into())
            }
            AnyRejection::MemberTooOld => Self::Unavailable,
            // It needs a header that the contract does not have.
            AnyRejection::IdempotencyMismatch => Self::internal(&rejection),
        }
    }
}

impl From<Failure> for CriblError {
    fn from(failure: Failure) -> Self {
        if failure.is_temporary() { Self::Unavailable } else { Self::internal(&failure) }
    }
}

impl CriblError {
    fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "a request to Cribl's contract failed");
        Self::Internal
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::WrongVerb(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn message(&self) -> Cow<'static, str> {
        match self {
            Self::WrongVerb(method) => format!("{method} is not served here").into(),
            Self::Unauthorized => "Unauthorized".into(),
            Self::Forbidden => "Forbidden".into(),
            Self::Malformed(message) => message.clone(),
            Self::Unavailable => "Service unavailable, try again in a moment".into(),
            Self::Internal => "Internal server error".into(),
        }
    }
}

impl IntoResponse for CriblError {
    fn into_response(self) -> Response {
        let mut response = answer::json(self.status(), &CriblErrorBody { status: "error", message: &self.message() });
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Unavailable => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::WrongVerb(_) | Self::Forbidden | Self::Malformed(_) | Self::Internal => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rejection;
    use crate::http::compat::a_place;

    fn told(error: Error<RevokeSubjectRejection>) -> String {
        let refusal = CriblError::from(error);
        format!("{} {}", refusal.status().as_u16(), refusal.message())
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let refused = |rejection| format!("{:?}: {}", Rejection::from(rejection), told(Error::Refused(rejection)));
        let mut answers: Vec<String> = RevokeSubjectRejection::all().into_iter().map(refused).collect();
        for (name, error) in [
            ("Overloaded", Failure::Overloaded.into()),
            ("Stopping", Failure::Stopping.into()),
            ("ConsistencyTimeout", Error::ConsistencyTimeout(a_place())),
            ("Key", Failure::Key("a path".into()).into()),
            ("NoRandomness", Failure::NoRandomness.into()),
            ("Internal", Failure::Internal("a case").into()),
        ] {
            answers.push(format!("{name}: {}", told(error)));
        }
        insta::assert_snapshot!(answers.join("\n"));
    }
}
