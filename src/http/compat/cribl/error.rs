//! Cribl's errors: the status and message of each, and the mapping of the ledger's refusals to them.

use std::borrow::Cow;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::CriblErrorBody;
use crate::domain::Rejection;
use crate::http::answer;
use crate::service::Error;

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
    /// The application has too many revocations of unknown credentials in force.
    TooManyUnknownRevocations,
    /// The ledger takes no commands for now.
    Unavailable,
    /// The machine failed.
    Internal,
}

impl From<Error> for CriblError {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(Rejection::Unauthenticated) => Self::Unauthorized,
            Error::Rejected(Rejection::Forbidden | Rejection::GrantExceedsOwn) => Self::Forbidden,
            Error::Rejected(Rejection::RecordTooLarge) => {
                Self::Malformed("what would be recorded is larger than 65,535 bytes".into())
            }
            Error::Rejected(Rejection::TooManyUnknownRevocations) => Self::TooManyUnknownRevocations,
            error if error.is_unavailable() => Self::Unavailable,
            // No call of this contract meets another one: it names no credential, issues nothing, and waits for no node.
            error => {
                tracing::error!(%error, "a request to Cribl's contract failed");
                Self::Internal
            }
        }
    }
}

impl CriblError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::WrongVerb(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooManyUnknownRevocations => StatusCode::TOO_MANY_REQUESTS,
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
            Self::TooManyUnknownRevocations => "Too many unknown credentials were revoked by this application".into(),
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
            Self::WrongVerb(_)
            | Self::Forbidden
            | Self::Malformed(_)
            | Self::TooManyUnknownRevocations
            | Self::Internal => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::compat::a_place;

    fn told(error: Error) -> String {
        let refusal = CriblError::from(error);
        format!("{} {}", refusal.status().as_u16(), refusal.message())
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let rejected = |rejection| format!("{rejection:?}: {}", told(Error::Rejected(rejection)));
        let mut answers: Vec<String> = Rejection::ALL.into_iter().map(rejected).collect();
        for (name, error) in [
            ("Overloaded", Error::Overloaded),
            ("Stopping", Error::Stopping),
            ("ConsistencyTimeout", Error::ConsistencyTimeout(a_place())),
            ("Key", Error::Key("a path".into())),
            ("NoRandomness", Error::NoRandomness),
            ("Internal", Error::Internal("a case")),
        ] {
            answers.push(format!("{name}: {}", told(error)));
        }
        insta::assert_snapshot!(answers.join("\n"));
    }
}
