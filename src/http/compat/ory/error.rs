//! Ory's errors: the status, reason and message of each, and the mapping of the ledger's refusals to them.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new rejection needs an answer of its own")]

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::header::{ACCEPT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::wire::{self, ErrorContent, OryErrorBody};
use crate::domain::{
    AnyRejection, ExtendRejection, Forbidden, IssueRejection, IssueTokenRejection, RequestId, RevokeOwnRejection,
    RevokeRejection, RevokeSessionsRejection, RevokeSubjectRejection,
};
use crate::http::body::BodyError;
use crate::http::coding::NONE_TAKEN;
use crate::service::{Error, Failure, RevokeRefusal, TokenRefusal};

/// Every answer other than a success. Texts hold what the request itself presented, and nothing of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OryError {
    /// `whoami` without an active session token.
    NoCredentials,
    /// Another public call without an active session token.
    NoCookie,
    /// An admin call without an application's secret.
    NoApplication,
    /// The application may not do that in that tenant.
    Forbidden,
    /// The id in the path is not a UUID, for that reason.
    MalformedId(String),
    /// A session cannot revoke itself with this call.
    CurrentSession,
    /// A parameter of that name can't be read.
    Parameter(&'static str),
    /// No part of that name can be expanded.
    Expand(String),
    /// Another value that was sent can't be used, for that reason.
    Malformed(&'static str),
    /// The same, with a reason that quotes the value.
    MalformedValue(String),
    /// Nothing is issued to the session's subject for now.
    OnHold,
    /// The session token to revoke is unknown.
    UnknownToken,
    /// There is no such session, or no session of such an identity.
    NotFound,
    /// The path is served, for other verbs.
    WrongVerb,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body took too long to arrive.
    BodySlow,
    /// The body is compressed, or encoded in another way.
    BodyEncoded,
    /// The caller has too many revocations of unknown sessions in force.
    TooManyUnknownRevocations,
    /// The ledger takes no commands for now.
    Unavailable,
    /// The machine failed.
    Internal,
}

impl<R> From<Error<R>> for OryError
where
    Self: From<R>,
    Error<R>: Display,
{
    fn from(error: Error<R>) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Failed(failure) => failure.into(),
            // They need headers that the contract does not have.
            Error::SecretAlreadyShown { .. } | Error::ConsistencyTimeout(_) => Self::internal(&error),
        }
    }
}

impl From<Forbidden> for OryError {
    fn from(Forbidden: Forbidden) -> Self {
        Self::Forbidden
    }
}

/// Of the holder's own sessions.
impl From<RevokeOwnRejection> for OryError {
    fn from(rejection: RevokeOwnRejection) -> Self {
        match rejection {
            RevokeOwnRejection::Any(any) => Self::of_holder(any),
            RevokeOwnRejection::CurrentSession => Self::CurrentSession,
            RevokeOwnRejection::TooManyUnknownRevocations => Self::TooManyUnknownRevocations,
        }
    }
}

/// Of a session, by its id.
impl From<RevokeRefusal> for OryError {
    fn from(refusal: RevokeRefusal) -> Self {
        match refusal {
            RevokeRefusal::Rejected(RevokeRejection::Any(any)) => Self::of_application(any),
            RevokeRefusal::Rejected(RevokeRejection::UnknownCredential) => Self::NotFound,
            RevokeRefusal::Rejected(RevokeRejection::TooManyUnknownRevocations) => Self::TooManyUnknownRevocations,
            // Only a JWT that was presented.
            RevokeRefusal::Rejected(RevokeRejection::CredentialExpired) | RevokeRefusal::Token(_) => {
                Self::internal(&refusal)
            }
        }
    }
}

impl From<RevokeSessionsRejection> for OryError {
    fn from(rejection: RevokeSessionsRejection) -> Self {
        match rejection {
            RevokeSessionsRejection::Any(any) => Self::of_application(any),
            RevokeSessionsRejection::TooManyUnknownRevocations => Self::TooManyUnknownRevocations,
        }
    }
}

/// Of all sessions of an identity.
impl From<RevokeSubjectRejection> for OryError {
    fn from(rejection: RevokeSubjectRejection) -> Self {
        match rejection {
            RevokeSubjectRejection::Any(any) => Self::of_application(any),
            // It needs a note, which the contract does not have.
            RevokeSubjectRejection::SubjectErased => Self::internal(&rejection),
        }
    }
}

impl From<ExtendRejection> for OryError {
    fn from(rejection: ExtendRejection) -> Self {
        match rejection {
            ExtendRejection::Any(any) => Self::of_application(any),
            ExtendRejection::UnknownCredential => Self::NotFound,
            ExtendRejection::ClockUnsettled => Self::Unavailable,
        }
    }
}

/// Of `tokenize_as`.
impl From<TokenRefusal> for OryError {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Rejected(rejection) => rejection.into(),
            TokenRefusal::IssuerNotConfigured => {
                Self::Malformed("This server signs no tokens: it has no public address.")
            }
            TokenRefusal::SigningKeyTooNew { .. } => Self::Unavailable,
            // The settings with the templates are checked at the start.
            TokenRefusal::ReservedClaim | TokenRefusal::PersonalDataTooLarge | TokenRefusal::StatusListsOff => {
                Self::internal(&refusal)
            }
        }
    }
}

impl From<IssueTokenRejection> for OryError {
    fn from(rejection: IssueTokenRejection) -> Self {
        match rejection {
            IssueTokenRejection::Issue(IssueRejection::Any(any)) => Self::of_holder(any),
            IssueTokenRejection::Issue(IssueRejection::SubjectOnHold | IssueRejection::SubjectErased) => Self::OnHold,
            IssueTokenRejection::Issue(IssueRejection::ClockUnsettled | IssueRejection::MemoryFull) => {
                Self::Unavailable
            }
            IssueTokenRejection::SessionInactive => Self::NoCredentials,
            IssueTokenRejection::Issue(IssueRejection::LineageTooDeep) => {
                Self::Malformed("This session came from too many others to have a token.")
            }
            IssueTokenRejection::GenerationTooLarge => {
                Self::Malformed("This session's subject was revoked on more nodes than a JWT can list.")
            }
            // A session's token is given no entry unless every token is; then a list is being opened.
            IssueTokenRejection::NoStatusList => Self::Unavailable,
            // The parent of such a token is its session.
            IssueTokenRejection::Issue(IssueRejection::ParentInactive)
            | IssueTokenRejection::NoSigningKey
            | IssueTokenRejection::IssuerDiffers => Self::internal(&rejection),
        }
    }
}

impl From<Failure> for OryError {
    fn from(failure: Failure) -> Self {
        if failure.is_temporary() { Self::Unavailable } else { Self::internal(&failure) }
    }
}

impl From<BodyError> for OryError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::Slow => Self::BodySlow,
            BodyError::Busy => Self::Unavailable,
            BodyError::Broken => Self::Malformed("The body ended early."),
            BodyError::Encoded => Self::BodyEncoded,
        }
    }
}

const UNAUTHORIZED: &str = "The request could not be authorized";
const FORBIDDEN: &str = "The requested action was forbidden";
const MALFORMED: &str = "The request was malformed or contained invalid parameters";

impl OryError {
    /// Of a call of the holder of a session token: the session was revoked while the request was handled.
    fn of_holder(rejection: AnyRejection) -> Self {
        if rejection == AnyRejection::Unauthenticated { Self::NoCookie } else { Self::of_application(rejection) }
    }

    /// Of an admin call: the application was removed while the request was handled.
    fn of_application(rejection: AnyRejection) -> Self {
        match rejection {
            AnyRejection::Unauthenticated => Self::NoApplication,
            AnyRejection::Forbidden => Self::Forbidden,
            AnyRejection::MemberTooOld => Self::Unavailable,
            // The first needs a header that the contract does not have, the second a longer text than it takes.
            AnyRejection::IdempotencyMismatch | AnyRejection::RecordTooLarge => Self::internal(&rejection),
        }
    }

    fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "a request to Ory's contract failed");
        Self::Internal
    }

    /// The answer, in Ory's shape.
    pub fn answer(&self, request: Option<&RequestId>) -> Response {
        let (status, reason, message) = (self.status(), self.reason(), self.message());
        let error = ErrorContent {
            code: status.as_u16(),
            status: status.canonical_reason().unwrap_or_default(),
            request: request.map(RequestId::as_str),
            reason: reason.as_deref(),
            message: &message,
        };
        let mut response = wire::json(status, &OryErrorBody { error });
        if *self == Self::BodyEncoded {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(NONE_TAKEN));
        }
        if *self == Self::Unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NoCredentials | Self::NoCookie | Self::NoApplication => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::UnknownToken | Self::OnHold => StatusCode::FORBIDDEN,
            Self::MalformedId(_)
            | Self::CurrentSession
            | Self::Parameter(_)
            | Self::Expand(_)
            | Self::Malformed(_)
            | Self::MalformedValue(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongVerb => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyUnknownRevocations => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn reason(&self) -> Option<Cow<'static, str>> {
        let reason = match self {
            Self::NoCredentials => "No valid session credentials found in the request.",
            Self::NoCookie => "No valid session cookie found.",
            Self::NoApplication => "No valid application secret found in the Authorization header.",
            Self::Forbidden => "The application's grants do not allow this in this tenant.",
            Self::Expand(option) => return Some(format!("Could not parse expand option: {option}").into()),
            Self::Malformed(reason) => reason,
            Self::MalformedValue(reason) => return Some(reason.clone().into()),
            Self::OnHold => "Nothing is issued to this identity for now.",
            Self::UnknownToken => {
                "The provided Ory Session Token could not be found, is invalid, or otherwise malformed."
            }
            Self::TooManyUnknownRevocations => "Too many revocations of unknown sessions are in force.",
            Self::MalformedId(_)
            | Self::CurrentSession
            | Self::Parameter(_)
            | Self::NotFound
            | Self::WrongVerb
            | Self::BodyTooLarge
            | Self::BodySlow
            | Self::BodyEncoded
            | Self::Unavailable
            | Self::Internal => return None,
        };
        Some(reason.into())
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::NoCredentials | Self::NoCookie | Self::NoApplication => UNAUTHORIZED.into(),
            Self::Forbidden | Self::UnknownToken | Self::OnHold => FORBIDDEN.into(),
            Self::MalformedId(problem) => problem.as_str().into(),
            Self::CurrentSession => "cannot revoke current session".into(),
            Self::Parameter(name) => format!("could not parse parameter {name}").into(),
            Self::Expand(_) | Self::Malformed(_) | Self::MalformedValue(_) => MALFORMED.into(),
            Self::NotFound => "Unable to locate the resource".into(),
            Self::WrongVerb => "The method is not supported here".into(),
            Self::BodyTooLarge => "The body is larger than this server takes".into(),
            Self::BodySlow => "The body did not arrive within 30 seconds".into(),
            Self::BodyEncoded => "The body must be sent without a Content-Encoding".into(),
            Self::TooManyUnknownRevocations => "Too many requests of this kind have been made".into(),
            Self::Unavailable => "The service is unavailable, try again in a moment".into(),
            Self::Internal => "An internal server error occurred".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Rejection, Timestamp};
    use crate::http::compat::a_place;

    fn told(refusal: &OryError) -> String {
        let reason = refusal.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{} {}{reason}", refusal.status().as_u16(), refusal.message())
    }

    /// Each rejection of a call, with its answer.
    fn rejected<R: Copy + Into<Rejection> + Into<OryError>>(call: &str, all: Vec<R>) -> String {
        let line = |rejection: R| {
            let name: Rejection = rejection.into();
            format!("{call} {name:?}: {}\n", told(&rejection.into()))
        };
        all.into_iter().map(line).collect()
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let mut answers = rejected("revoke own", RevokeOwnRejection::all())
            + &rejected("revoke many", RevokeSessionsRejection::all())
            + &rejected("revoke all", RevokeSubjectRejection::all())
            + &rejected("extend", ExtendRejection::all())
            + &rejected("tokenize", IssueTokenRejection::all());
        for rejection in RevokeRejection::all() {
            let answer = told(&RevokeRefusal::Rejected(rejection).into());
            answers += &format!("revoke {:?}: {answer}\n", Rejection::from(rejection));
        }
        for refusal in [
            TokenRefusal::ReservedClaim,
            TokenRefusal::StatusListsOff,
            TokenRefusal::PersonalDataTooLarge,
            TokenRefusal::IssuerNotConfigured,
            TokenRefusal::SigningKeyTooNew { from: Timestamp::default() },
        ] {
            answers += &format!("tokenize {refusal:?}: {}\n", told(&refusal.clone().into()));
        }
        let others: [Error<Forbidden>; 6] = [
            Error::Refused(Forbidden),
            Failure::Overloaded.into(),
            Failure::Stopping.into(),
            Failure::NoRandomness.into(),
            Failure::Internal("a case").into(),
            Error::ConsistencyTimeout(a_place()),
        ];
        for error in others {
            answers += &format!("{error:?}: {}\n", told(&error.clone().into()));
        }
        insta::assert_snapshot!(answers);
    }

    #[tokio::test]
    async fn every_refusal_is_answered_in_one_shape() {
        let request = RequestId::new("request-7").expect("an id");
        let refusals = [
            OryError::NoCredentials,
            OryError::NoCookie,
            OryError::NoApplication,
            OryError::Forbidden,
            OryError::MalformedId("uuid: invalid UUID format".into()),
            OryError::CurrentSession,
            OryError::Parameter("active"),
            OryError::Expand("x".into()),
            OryError::Malformed("Why."),
            OryError::MalformedValue("Why \"this\".".into()),
            OryError::OnHold,
            OryError::UnknownToken,
            OryError::NotFound,
            OryError::WrongVerb,
            OryError::BodyTooLarge,
            OryError::BodySlow,
            OryError::BodyEncoded,
            OryError::TooManyUnknownRevocations,
            OryError::Unavailable,
            OryError::Internal,
        ];
        let mut bodies = String::new();
        for (at, refusal) in refusals.iter().enumerate() {
            let response = refusal.answer(Some(&request).filter(|_| at % 2 == 0));
            assert_eq!(response.headers().contains_key(RETRY_AFTER), *refusal == OryError::Unavailable);
            assert_eq!(response.headers().contains_key(ACCEPT_ENCODING), *refusal == OryError::BodyEncoded);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            bodies = bodies + std::str::from_utf8(&body).expect("UTF-8") + "\n";
        }
        insta::assert_snapshot!(bodies);
    }
}
