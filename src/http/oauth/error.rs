//! The refusals of OAuth (RFC 6749, section 5.2; RFC 6750, section 3): the status, code and headers of each.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new rejection needs an answer of its own")]

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    AnyRejection, IssueRejection, IssueTokenRejection, RevokeRejection, RevokeSubjectRejection, Scope,
};
use crate::http::answer;
use crate::http::body::BodyError;
use crate::jose::TokenError;
use crate::service::{Error, Failure, GrantRefusal, Refusal, RevokeRefusal, TokenRefusal};

/// After how many seconds the keys of an issuer are requested again.
const KEYS_AGAIN_SECONDS: u64 = 60;
/// How long a caller that revokes too many unknown credentials is told to wait.
const LIMIT_SECONDS: u64 = 60;

pub const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"authledger\", charset=\"UTF-8\"");

/// Every answer other than a success. No text holds a byte of what was sent.
#[derive(Debug)]
pub enum OauthError {
    /// The path is served, for these verbs.
    WrongVerb(&'static str),
    /// Nobody has ever heard of that subject.
    UnknownSubject,
    /// There is no such document.
    NotFound,
    /// The client takes none of the types of the answer.
    NotAcceptable,
    /// The request can't be used, for that reason.
    Malformed(Cow<'static, str>),
    /// The body or the token is larger than allowed.
    TooLarge,
    /// The request has no credentials of a client.
    NoClient,
    /// The credentials belong to no client, or to another one.
    WrongClient,
    /// The assertion is not one of a client, or not one for now.
    BadAssertion,
    /// What the bearer presents is neither an application's secret nor an access token that this ledger has granted.
    WrongBearer,
    /// The client has that scope in no tenant.
    InsufficientScope { scope: Scope, is_bearer: bool },
    /// The client may not do this with this token.
    UnauthorizedClient,
    /// The token endpoint does not know the grant.
    UnsupportedGrantType,
    /// The scope is more than the client has.
    InvalidScope,
    /// The client asks too often.
    OverLimit,
    /// The client has too many access tokens.
    TooManyGranted,
    /// The command stands, but has not reached all the nodes in time.
    ConsistencyTimeout,
    /// The keys of an issuer are out of reach.
    KeysUnreachable,
    /// The ledger does not answer for now.
    Unavailable,
    /// The machine failed.
    Internal,
}

/// A refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = OauthError)]
pub struct OauthErrorBody<'a> {
    /// A code: RFC 6749, section 5.2, or RFC 6750, section 3.1.
    error: &'static str,
    /// For people.
    error_description: &'a str,
}

impl From<BodyError> for OauthError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Busy => Self::Unavailable,
            BodyError::Slow => Self::malformed("the body did not arrive in time"),
            BodyError::Broken => Self::malformed("the body ended early"),
            BodyError::Encoded => Self::malformed("the body must be sent without a Content-Encoding"),
        }
    }
}

impl<R> From<Error<R>> for OauthError
where
    Self: From<R>,
    Error<R>: Display,
{
    fn from(error: Error<R>) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::ConsistencyTimeout(_) => Self::ConsistencyTimeout,
            Error::Failed(failure) => failure.into(),
            // It needs a header that is ignored here.
            Error::SecretAlreadyShown { .. } => Self::internal(&error),
        }
    }
}

impl From<RevokeRefusal> for OauthError {
    fn from(refusal: RevokeRefusal) -> Self {
        match refusal {
            RevokeRefusal::Rejected(RevokeRejection::Any(any)) => any.into(),
            RevokeRefusal::Rejected(RevokeRejection::TooManyUnknownRevocations) => Self::OverLimit,
            RevokeRefusal::Token(TokenError::KeysUnreachable) => Self::KeysUnreachable,
            // They are successes of RFC 7009, which the endpoint has answered before.
            RevokeRefusal::Rejected(RevokeRejection::UnknownCredential | RevokeRejection::CredentialExpired)
            | RevokeRefusal::Token(_) => Self::internal(&refusal),
        }
    }
}

impl From<Refusal> for OauthError {
    /// Of an introspection, which can be refused for this reason alone once its caller is known.
    fn from(refusal: Refusal) -> Self {
        if matches!(refusal, Refusal::Token(TokenError::KeysUnreachable)) {
            Self::KeysUnreachable
        } else {
            Self::internal(&refusal)
        }
    }
}

impl From<GrantRefusal> for OauthError {
    fn from(refusal: GrantRefusal) -> Self {
        match refusal {
            GrantRefusal::Rejected(rejection) => rejection.into(),
            GrantRefusal::TooManyGranted => Self::TooManyGranted,
        }
    }
}

impl From<IssueTokenRejection> for OauthError {
    /// Of an access token that an application asks for.
    fn from(rejection: IssueTokenRejection) -> Self {
        match rejection {
            IssueTokenRejection::Issue(IssueRejection::Any(any)) => any.into(),
            IssueTokenRejection::Issue(IssueRejection::SubjectOnHold | IssueRejection::SubjectErased) => {
                Self::UnauthorizedClient
            }
            IssueTokenRejection::Issue(IssueRejection::ClockUnsettled | IssueRejection::MemoryFull) => {
                Self::Unavailable
            }
            // It is opaque, and comes from no other credential.
            IssueTokenRejection::SessionInactive
            | IssueTokenRejection::Issue(IssueRejection::ParentInactive | IssueRejection::LineageTooDeep)
            | IssueTokenRejection::NoStatusList
            | IssueTokenRejection::GenerationTooLarge
            | IssueTokenRejection::NoSigningKey
            | IssueTokenRejection::IssuerDiffers => Self::internal(&rejection),
        }
    }
}

/// Of an answer to sign.
impl From<TokenRefusal> for OauthError {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::IssuerNotConfigured | TokenRefusal::SigningKeyTooNew { .. } => Self::Unavailable,
            // Another request is making the key.
            TokenRefusal::Rejected(IssueTokenRejection::NoSigningKey) => Self::Unavailable,
            TokenRefusal::Rejected(rejection) => rejection.into(),
            TokenRefusal::ReservedClaim | TokenRefusal::PersonalDataTooLarge | TokenRefusal::StatusListsOff => {
                Self::internal(&refusal)
            }
        }
    }
}

impl From<RevokeSubjectRejection> for OauthError {
    fn from(rejection: RevokeSubjectRejection) -> Self {
        match rejection {
            RevokeSubjectRejection::Any(any) => any.into(),
            // It needs a note.
            RevokeSubjectRejection::SubjectErased => Self::internal(&rejection),
        }
    }
}

impl From<AnyRejection> for OauthError {
    fn from(rejection: AnyRejection) -> Self {
        match rejection {
            AnyRejection::Unauthenticated => Self::WrongClient,
            AnyRejection::Forbidden => Self::UnauthorizedClient,
            AnyRejection::MemberTooOld => Self::Unavailable,
            // They need a note, or a header that is ignored here.
            AnyRejection::RecordTooLarge | AnyRejection::IdempotencyMismatch => Self::internal(&rejection),
        }
    }
}

impl From<Failure> for OauthError {
    fn from(failure: Failure) -> Self {
        if failure.is_temporary() { Self::Unavailable } else { Self::internal(&failure) }
    }
}

impl OauthError {
    /// A request that can't be used, for that reason.
    pub const fn malformed(why: &'static str) -> Self {
        Self::Malformed(Cow::Borrowed(why))
    }

    fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "a request of an OAuth client failed");
        Self::Internal
    }

    /// The status, and the code.
    const fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::WrongVerb(_) => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request"),
            Self::UnknownSubject | Self::NotFound => (StatusCode::NOT_FOUND, "invalid_request"),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "invalid_request"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            Self::NoClient | Self::WrongClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::BadAssertion => (StatusCode::BAD_REQUEST, "invalid_client"),
            Self::WrongBearer => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::InsufficientScope { .. } => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Self::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::OverLimit | Self::TooManyGranted => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
            Self::ConsistencyTimeout => (StatusCode::REQUEST_TIMEOUT, "temporarily_unavailable"),
            Self::KeysUnreachable | Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    fn description(&self) -> &str {
        match self {
            Self::WrongVerb(_) => "this path does not take this method",
            Self::UnknownSubject => "the subject is not known, and cannot have been issued anything elsewhere",
            Self::NotFound => "there is nothing under this path",
            Self::NotAcceptable => "none of the media types in Accept is answered here",
            Self::Malformed(why) => why,
            Self::TooLarge => "the body or the token is larger than this server takes",
            Self::NoClient => "the request has no credentials of a client",
            Self::WrongClient => "the credentials are not those of a client",
            Self::BadAssertion => "the assertion is not a valid one of this client, or was used before",
            Self::WrongBearer => "the bearer token is neither an application's secret nor an active access token",
            Self::InsufficientScope { .. } => "the client does not have the scope of this call in any tenant",
            Self::UnauthorizedClient => "the client may not do this",
            Self::UnsupportedGrantType => "the only grant is client_credentials",
            Self::InvalidScope => "the scope is not one that the client has",
            Self::OverLimit => "the client has revoked too many tokens that this ledger does not know",
            Self::TooManyGranted => {
                "the client has too many access tokens that have not expired: use one until it expires"
            }
            Self::ConsistencyTimeout => {
                "the revocation stands, but has not reached every requested node in time; it will"
            }
            Self::KeysUnreachable => "the keys of the token's issuer are out of reach",
            Self::Unavailable => "try again in a moment",
            Self::Internal => "internal server error",
        }
    }

    fn challenge(&self) -> Option<HeaderValue> {
        if matches!(self, Self::NoClient | Self::WrongClient) {
            return Some(BASIC);
        }
        if matches!(self, Self::WrongBearer) {
            return Some(HeaderValue::from_static("Bearer realm=\"authledger\", error=\"invalid_token\""));
        }
        let Self::InsufficientScope { scope, is_bearer: true } = self else { return None };
        let challenge = format!("Bearer realm=\"authledger\", error=\"insufficient_scope\", scope=\"{scope}\"");
        HeaderValue::from_str(&challenge).ok()
    }

    const fn retry_after_seconds(&self) -> Option<u64> {
        if matches!(self, Self::KeysUnreachable) {
            Some(KEYS_AGAIN_SECONDS)
        } else if matches!(self, Self::OverLimit | Self::TooManyGranted) {
            Some(LIMIT_SECONDS)
        } else if matches!(self, Self::Unavailable) {
            Some(1)
        } else {
            None
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let (status, error) = self.code();
        let body = OauthErrorBody { error, error_description: self.description() };
        let mut response = answer::json(status, &body);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Self::WrongVerb(verbs) = self {
            headers.insert(ALLOW, HeaderValue::from_static(verbs));
        }
        response
    }
}

/// No answer of these calls may be kept: RFC 7662, section 2.2 and section 4.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rejection;
    use crate::http::compat::a_place;

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let mut answers: Vec<(String, OauthError)> = Vec::new();
        for rejection in RevokeRejection::all() {
            let refused: Error<RevokeRefusal> = Error::Refused(rejection.into());
            answers.push((format!("revoke {:?}", Rejection::from(rejection)), refused.into()));
        }
        for rejection in IssueTokenRejection::all() {
            answers.push((format!("grant {:?}", Rejection::from(rejection)), rejection.into()));
        }
        for rejection in RevokeSubjectRejection::all() {
            answers.push((format!("revoke all {:?}", Rejection::from(rejection)), rejection.into()));
        }
        for error in [TokenError::KeysUnreachable, TokenError::BadSignature] {
            answers.push((format!("token {error:?}"), RevokeRefusal::Token(error).into()));
        }
        for error in [
            Failure::Overloaded.into(),
            Failure::Stopping.into(),
            Failure::Key("a path".into()).into(),
            Failure::NoRandomness.into(),
            Failure::Internal("a case").into(),
            Error::ConsistencyTimeout(a_place()),
            Error::SecretAlreadyShown { id: "an id".to_owned() },
        ] {
            answers.push((format!("{error:?}"), Error::<RevokeRefusal>::into(error)));
        }
        let told = |refusal: &OauthError| {
            let (status, code) = refusal.code();
            format!("{} {code}: {}", status.as_u16(), refusal.description())
        };
        let lines: Vec<String> = answers.iter().map(|(name, refusal)| format!("{name}: {}", told(refusal))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
