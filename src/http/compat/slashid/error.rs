//! SlashID's errors: the status and message of each, and the mapping of the ledger's refusals to them.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new rejection needs an answer of its own")]

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::header::{ACCEPT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorShown, Errors};
use crate::domain::{AnyRejection, IssueRejection, IssueTokenRejection, RevokeTokensRejection};
use crate::http::answer;
use crate::http::body::BodyError;
use crate::http::coding::NONE_TAKEN;
use crate::jose::TokenError;
use crate::service::{Error, Failure, TokenRefusal};

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
    /// The caller's own token is bound, and did not come with what proves possession.
    Bound(Challenge),
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
    /// The keys of the issuer are out of reach.
    KeysUnreachable,
    /// The ledger takes no commands for now.
    Unavailable,
    /// The address under which this server signs tokens is not configured.
    IssuerNotConfigured,
    /// The machine failed.
    Internal,
}

/// What the holder of a bound token is asked for: RFC 9449, section 7.1, and RFC 6750, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The token with the scheme `DPoP`, and a proof.
    Proof,
    /// Another proof.
    OtherProof,
    /// Another token: this one is not bound, and came as if it were.
    BoundToken,
    /// Another token: this one is bound to what can't be proven here.
    OtherToken,
}

impl Challenge {
    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Proof | Self::BoundToken => "DPoP algs=\"ES256 EdDSA RS256\", error=\"invalid_token\"",
            Self::OtherProof => "DPoP algs=\"ES256 EdDSA RS256\", error=\"invalid_dpop_proof\"",
            Self::OtherToken => "Bearer error=\"invalid_token\"",
        })
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Proof => "the token is bound to a key: present it with the scheme DPoP and a proof",
            Self::BoundToken => "the token is not bound to a key: present it with the scheme Bearer",
            Self::OtherProof => "the proof is not one of this token for this request, or was used before",
            Self::OtherToken => "the token is bound, and possession of what it is bound to can't be proven here",
        }
    }
}

impl From<TokenError> for SlashidError {
    fn from(error: TokenError) -> Self {
        if matches!(error, TokenError::KeysUnreachable) { Self::KeysUnreachable } else { Self::Token(error) }
    }
}

impl From<BodyError> for SlashidError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::Slow => Self::BodySlow,
            BodyError::Busy => Self::Unavailable,
            BodyError::Broken => Self::BodyBroken,
            BodyError::Encoded => Self::BodyEncoded,
        }
    }
}

impl<R> From<Error<R>> for SlashidError
where
    Self: From<R>,
    Error<R>: Display,
{
    fn from(error: Error<R>) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::ConsistencyTimeout(_) => Self::ConsistencyTimeout,
            Error::Failed(failure) => failure.into(),
            // It needs a header that the contract does not have.
            Error::SecretAlreadyShown { .. } => Self::internal(&error),
        }
    }
}

impl From<TokenRefusal> for SlashidError {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Rejected(rejection) => rejection.into(),
            TokenRefusal::PersonalDataTooLarge => {
                Self::Malformed("`custom_claims` must have at most 32 KiB as JSON".into())
            }
            TokenRefusal::ReservedClaim => {
                Self::Malformed("`custom_claims` has a claim that the ledger sets itself".into())
            }
            // No call of this contract asks for an entry.
            TokenRefusal::StatusListsOff => Self::internal(&refusal),
            TokenRefusal::IssuerNotConfigured => Self::IssuerNotConfigured,
            TokenRefusal::SigningKeyTooNew { .. } => Self::Unavailable,
        }
    }
}

impl From<IssueTokenRejection> for SlashidError {
    fn from(rejection: IssueTokenRejection) -> Self {
        match rejection {
            IssueTokenRejection::Issue(IssueRejection::Any(any)) => any.into(),
            IssueTokenRejection::Issue(IssueRejection::SubjectOnHold) => Self::PersonOnHold,
            IssueTokenRejection::Issue(IssueRejection::SubjectErased) => Self::PersonErased,
            IssueTokenRejection::Issue(IssueRejection::ClockUnsettled | IssueRejection::MemoryFull) => {
                Self::Unavailable
            }
            // Another request is making the key, or opens a list.
            IssueTokenRejection::NoSigningKey | IssueTokenRejection::NoStatusList => Self::Unavailable,
            // A token of this contract has no parent, and is opaque where a JWT has no room.
            IssueTokenRejection::SessionInactive
            | IssueTokenRejection::Issue(IssueRejection::ParentInactive | IssueRejection::LineageTooDeep)
            | IssueTokenRejection::GenerationTooLarge
            | IssueTokenRejection::IssuerDiffers => Self::internal(&rejection),
        }
    }
}

impl From<RevokeTokensRejection> for SlashidError {
    fn from(rejection: RevokeTokensRejection) -> Self {
        match rejection {
            RevokeTokensRejection::Any(any) => any.into(),
            RevokeTokensRejection::CredentialExpired => Self::AlreadyExpired,
        }
    }
}

impl From<AnyRejection> for SlashidError {
    fn from(rejection: AnyRejection) -> Self {
        match rejection {
            AnyRejection::Unauthenticated => Self::Unauthenticated("the caller was removed just now"),
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

impl From<Failure> for SlashidError {
    fn from(failure: Failure) -> Self {
        if failure.is_temporary() { Self::Unavailable } else { Self::internal(&failure) }
    }
}

impl SlashidError {
    fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "a request to SlashID's contract failed");
        Self::Internal
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::BodyTooLarge
            | Self::BodySlow
            | Self::BodyBroken
            | Self::Token(_)
            | Self::AlreadyRevoked
            | Self::AlreadyExpired => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) | Self::Bound(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnknownOrganisation => StatusCode::NOT_FOUND,
            Self::WrongVerb(_) => StatusCode::METHOD_NOT_ALLOWED,
            // Only where the command stands: the contract defines the status like this.
            Self::ConsistencyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PersonOnHold | Self::PersonErased => StatusCode::CONFLICT,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
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
            Self::Bound(challenge) => challenge.message().into(),
            Self::Forbidden => "the application's grants do not allow this in this organization".into(),
            Self::UnknownOrganisation => "this application does not know this organization".into(),
            Self::PersonOnHold => "the person gets no new tokens for now".into(),
            Self::PersonErased => "the person was erased, and gets no tokens any more".into(),
            Self::ConsistencyTimeout => {
                "the request stands, but has not reached every requested region in time; it will".into()
            }
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
        if matches!(self, Self::KeysUnreachable) {
            Some(KEYS_AGAIN_SECONDS)
        } else if matches!(self, Self::Unavailable) {
            Some(1)
        } else {
            None
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
        if let Self::Bound(challenge) = self {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.header());
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
    use crate::domain::{Rejection, Timestamp};
    use crate::http::compat::a_place;

    fn told(refusal: &SlashidError) -> String {
        format!("{} {}", refusal.status().as_u16(), refusal.message())
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let mut answers: Vec<(String, SlashidError)> = Vec::new();
        for rejection in IssueTokenRejection::all() {
            answers.push((format!("mint {:?}", Rejection::from(rejection)), rejection.into()));
        }
        for rejection in RevokeTokensRejection::all() {
            answers.push((format!("revoke {:?}", Rejection::from(rejection)), rejection.into()));
        }
        for refusal in [
            TokenRefusal::ReservedClaim,
            TokenRefusal::StatusListsOff,
            TokenRefusal::PersonalDataTooLarge,
            TokenRefusal::IssuerNotConfigured,
            TokenRefusal::SigningKeyTooNew { from: Timestamp::default() },
        ] {
            answers.push((format!("mint {refusal:?}"), refusal.into()));
        }
        for error in [TokenError::KeysUnreachable, TokenError::BadSignature] {
            answers.push((format!("token {error:?}"), error.into()));
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
            answers.push((format!("{error:?}"), Error::<TokenRefusal>::into(error)));
        }
        let lines: Vec<String> = answers.iter().map(|(name, refusal)| format!("{name}: {}", told(refusal))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
