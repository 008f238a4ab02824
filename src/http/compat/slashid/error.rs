//! SlashID's errors: the status and message of each, and the mapping of the ledger's refusals to them.

use std::borrow::Cow;

use axum::http::header::{ACCEPT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorShown, Errors};
use crate::domain::Rejection;
use crate::http::answer;
use crate::http::body::BodyError;
use crate::http::coding::NONE_TAKEN;
use crate::jose::TokenError;
use crate::service::Error;

/// After how many seconds the keys of an issuer are requested again.
const KEYS_AGAIN_SECONDS: u64 = 60;

/// Every answer other than a success. No message holds a byte of a token or a key.
#[derive(Debug)]
pub enum SlashidError {
    /// The path is served, for other verbs.
    WrongVerb(Method),
    /// A value that was sent can't be used, for that reason.
    Malformed(Cow<'static, str>),
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body took too long to arrive.
    BodySlow,
    /// The body ended early.
    BodyBroken,
    /// The body is compressed, or encoded in another way.
    BodyEncoded,
    /// The token is refused.
    Token(TokenError),
    /// The token was revoked before.
    AlreadyRevoked,
    /// The token has expired.
    AlreadyExpired,
    /// The caller is not authenticated, for that reason.
    Unauthenticated(&'static str),
    /// The application has other scopes in that organisation.
    Forbidden,
    /// The application has no grant in that organisation, if it exists.
    UnknownOrganisation,
    /// The person gets no tokens for now.
    PersonOnHold,
    /// The person was erased.
    PersonErased,
    /// The command stands, but has not reached all the nodes in time.
    ConsistencyTimeout,
    /// The application has too many revocations of unknown credentials in force.
    TooManyUnknownRevocations,
    /// The keys of the issuer are out of reach.
    KeysUnreachable,
    /// The ledger takes no commands for now.
    Unavailable,
    /// The address under which this server signs tokens is not configured.
    IssuerNotConfigured,
    /// The machine failed.
    Internal,
}

impl From<TokenError> for SlashidError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::KeysUnreachable => Self::KeysUnreachable,
            other => Self::Token(other),
        }
    }
}

impl From<BodyError> for SlashidError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::Slow => Self::BodySlow,
            BodyError::Busy => Error::Overloaded.into(),
            BodyError::Broken => Self::BodyBroken,
            BodyError::Encoded => Self::BodyEncoded,
        }
    }
}

impl From<Error> for SlashidError {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(Rejection::Unauthenticated) => Self::Unauthenticated("the caller was removed just now"),
            Error::Rejected(Rejection::Forbidden | Rejection::GrantExceedsOwn) => Self::Forbidden,
            Error::Rejected(Rejection::CredentialExpired) => Self::AlreadyExpired,
            Error::Rejected(Rejection::SubjectOnHold) => Self::PersonOnHold,
            Error::Rejected(Rejection::SubjectErased) => Self::PersonErased,
            Error::Rejected(Rejection::TooManyUnknownRevocations) => Self::TooManyUnknownRevocations,
            Error::Rejected(Rejection::RecordTooLarge) => {
                Self::Malformed("what would be recorded is larger than 65,535 bytes".into())
            }
            Error::PersonalDataTooLarge => Self::Malformed("`custom_claims` must have at most 32 KiB as JSON".into()),
            Error::ReservedClaim => Self::Malformed("`custom_claims` has a claim that the ledger sets itself".into()),
            Error::Token(error) => error.into(),
            Error::ConsistencyTimeout(_) => Self::ConsistencyTimeout,
            Error::IssuerNotConfigured => Self::IssuerNotConfigured,
            // Another request is making the key.
            Error::Rejected(Rejection::NoSigningKey) => Self::Unavailable,
            error if error.is_unavailable() => Self::Unavailable,
            // No call of this contract meets another one: that needs headers, credentials or commands that it does not have.
            error => {
                tracing::error!(%error, "a request to SlashID's contract failed");
                Self::Internal
            }
        }
    }
}

impl SlashidError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::BodyTooLarge
            | Self::BodySlow
            | Self::BodyBroken
            | Self::Token(_)
            | Self::AlreadyRevoked
            | Self::AlreadyExpired => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnknownOrganisation => StatusCode::NOT_FOUND,
            Self::WrongVerb(_) => StatusCode::METHOD_NOT_ALLOWED,
            // Only where the command stands: the contract defines the status like this.
            Self::ConsistencyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PersonOnHold | Self::PersonErased => StatusCode::CONFLICT,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyUnknownRevocations => StatusCode::TOO_MANY_REQUESTS,
            Self::KeysUnreachable | Self::Unavailable | Self::IssuerNotConfigured => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn message(&self) -> Cow<'static, str> {
        match self {
            Self::WrongVerb(method) => format!("this path does not take {method}").into(),
            Self::Malformed(message) => message.clone(),
            Self::BodyTooLarge => "the body is larger than this server takes".into(),
            Self::BodySlow => "the body did not arrive in time; nothing was done".into(),
            Self::BodyBroken => "the body ended early; nothing was done".into(),
            Self::BodyEncoded => "the body must be sent without a Content-Encoding; nothing was done".into(),
            Self::Token(error) => format!("failed to {error}").into(),
            Self::AlreadyRevoked => "the token has been revoked already".into(),
            Self::AlreadyExpired => "the token has expired already".into(),
            Self::Unauthenticated(message) => (*message).into(),
            Self::Forbidden => "the application's grants do not allow this in this organization".into(),
            Self::UnknownOrganisation => "this application does not know this organization".into(),
            Self::PersonOnHold => "the person gets no new tokens for now".into(),
            Self::PersonErased => "the person was erased, and gets no tokens any more".into(),
            Self::ConsistencyTimeout => {
                "the request stands, but has not reached every requested region in time; it will".into()
            }
            Self::TooManyUnknownRevocations => "this application has revoked too many unknown tokens".into(),
            Self::KeysUnreachable => {
                "the keys of the token's issuer are out of reach; try again in a minute; nothing was done".into()
            }
            Self::Unavailable => "the ledger takes no commands now; try again in a moment".into(),
            Self::IssuerNotConfigured => {
                "this server does not sign tokens yet: its public URL is not configured".into()
            }
            Self::Internal => "internal server error".into(),
        }
    }

    const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::KeysUnreachable => Some(KEYS_AGAIN_SECONDS),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}

impl IntoResponse for SlashidError {
    fn into_response(self) -> Response {
        let (status, message) = (self.status(), self.message());
        let body = Errors { errors: [ErrorShown { httpcode: status.as_u16(), message: &message }] };
        let mut response = answer::json(status, &body);
        if matches!(self, Self::BodyEncoded) {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(NONE_TAKEN));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::compat::a_place;

    fn told(error: Error) -> String {
        let refusal = SlashidError::from(error);
        format!("{} {}", refusal.status().as_u16(), refusal.message())
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let mut answers: Vec<String> = Rejection::ALL
            .into_iter()
            .map(|rejection| format!("{rejection:?}: {}", told(Error::Rejected(rejection))))
            .collect();
        for (name, error) in [
            ("Overloaded", Error::Overloaded),
            ("Stopping", Error::Stopping),
            ("ConsistencyTimeout", Error::ConsistencyTimeout(a_place())),
            ("KeysUnreachable", Error::Token(TokenError::KeysUnreachable)),
            ("BadSignature", Error::Token(TokenError::BadSignature)),
            ("ReservedClaim", Error::ReservedClaim),
            ("PersonalDataTooLarge", Error::PersonalDataTooLarge),
            ("IssuerNotConfigured", Error::IssuerNotConfigured),
            ("Key", Error::Key("a path".into())),
            ("NoRandomness", Error::NoRandomness),
            ("Internal", Error::Internal("a case")),
            ("SecretAlreadyShown", Error::SecretAlreadyShown { id: "an id".to_owned() }),
        ] {
            answers.push(format!("{name}: {}", told(error)));
        }
        insta::assert_snapshot!(answers.join("\n"));
    }
}
