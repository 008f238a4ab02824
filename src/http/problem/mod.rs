//! Refusals as RFC 9457 problems: one table of codes, and one exhaustive mapping of every error to its code.

mod page;
mod table;

use std::borrow::Cow;

use axum::http::HeaderValue;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use page::__path_page;
pub use page::page;
pub use table::Code;

use super::body::BodyError;
use super::coding;
use crate::domain::{RecordId, Rejection};
use crate::jose::TokenError;
use crate::json;
use crate::service::{Error, Failure, LogQuestionError, Refusal};

/// The longest detail, in bytes: it quotes requests, which may be long.
const MAX_DETAIL_BYTES: usize = 300;

/// A refusal. It echoes nothing but what this request presented.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Option<Cow<'static, str>>,
    id: Option<String>,
    record: Option<RecordId>,
    /// With [`Code::UnsupportedContentEncoding`]: the codings that the call takes.
    codings: &'static str,
}

/// A problem as it is sent, RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody<'a> {
    /// `/problems/{code}`; on this server it resolves to what the code means.
    #[serde(rename = "type")]
    reference: String,
    /// The problem, in a few words.
    title: &'a str,
    /// The answer's status.
    status: u16,
    /// The problem with this request.
    detail: &'a str,
    /// With `secret-already-shown`: the public id of what was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    id: Option<&'a str>,
    /// With `consistency-timeout`: the origin of the record. With `node-removed` between nodes: that of the removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    origin: Option<String>,
    /// With `consistency-timeout`: the record's place in that origin. `GET /v1/revocations/{origin}/{sequence}/reach`
    /// shows how far it has spread. With `node-removed` between nodes: the removal's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    sequence: Option<u64>,
}

impl Problem {
    /// A problem with that code, and the code's meaning as detail.
    pub const fn new(code: Code) -> Self {
        Self { code, detail: None, id: None, record: None, codings: coding::NONE_TAKEN }
    }

    /// A problem with that code and what is wrong with this request, cut where it is long.
    pub fn with_detail(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(cut(detail.into())), ..Self::new(code) }
    }

    /// The body has a coding other than these.
    pub fn of_coding(codings: &'static str) -> Self {
        Self { codings, ..Self::new(Code::UnsupportedContentEncoding) }
    }

    /// A member's key signed this request, but that member was removed by this record.
    pub fn removed_by(record: RecordId) -> Self {
        Self { record: Some(record), ..Self::new(Code::NodeRemoved) }
    }

    /// The problem's code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is wrong with this request, or else what the code means.
    pub fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.code.meaning())
    }

    fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            reference: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail(),
            id: self.id.as_deref(),
            origin: self.record.map(|place| place.origin.to_string()),
            sequence: self.record.map(|place| place.sequence.0),
        };
        json::bytes(&body)
    }
}

fn cut(detail: Cow<'static, str>) -> Cow<'static, str> {
    if detail.len() <= MAX_DETAIL_BYTES {
        return detail;
    }
    format!("{}…", &detail[..detail.floor_char_boundary(MAX_DETAIL_BYTES)]).into()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
        let mut response = (self.code.status(), [(CONTENT_TYPE, PROBLEM_JSON)], self.body()).into_response();
        let headers = response.headers_mut();
        // A tile that is not there yet will be: without this, caches may keep a 404 (RFC 9111, section 4.2.2).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.code.retry_after_seconds() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.code == Code::UnsupportedContentEncoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.codings));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<Rejection> for Code {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unauthenticated => Self::Unauthenticated,
            Rejection::Forbidden => Self::Forbidden,
            Rejection::GrantExceedsOwn => Self::GrantExceedsOwn,
            Rejection::ApplicationExists => Self::ApplicationExists,
            Rejection::UnknownApplication => Self::UnknownApplication,
            Rejection::UnknownCredential => Self::UnknownCredential,
            Rejection::CredentialExpired => Self::CredentialExpired,
            Rejection::SessionInactive => Self::SessionInactive,
            Rejection::ParentInactive => Self::ParentInactive,
            Rejection::LineageTooDeep => Self::LineageTooDeep,
            Rejection::CurrentSession => Self::CurrentSession,
            Rejection::IdUnavailable => Self::IdUnavailable,
            Rejection::ImplausibleTimes => Self::ImplausibleTimes,
            Rejection::UnknownKey => Self::UnknownKey,
            Rejection::UnknownIssuer => Self::UnknownIssuer,
            Rejection::NoSigningKey => Self::NoSigningKey,
            Rejection::NoStatusList => Self::NoStatusList,
            Rejection::GenerationTooLarge => Self::GenerationTooLarge,
            Rejection::IssuerDiffers => Self::IssuerDiffers,
            Rejection::NodeExists => Self::NodeExists,
            Rejection::UnknownNode => Self::UnknownNode,
            Rejection::NodeRemoved => Self::NodeRemoved,
            Rejection::NodeTooOld => Self::NodeTooOld,
            Rejection::CannotRemoveSelf => Self::CannotRemoveSelf,
            Rejection::ClockUnsettled => Self::ClockUnsettled,
            Rejection::MemberTooOld => Self::MemberTooOld,
            Rejection::SubjectOnHold => Self::SubjectOnHold,
            Rejection::SubjectErased => Self::SubjectErased,
            Rejection::TooManyUnknownRevocations => Self::TooManyUnknownRevocations,
            Rejection::IdempotencyMismatch => Self::IdempotencyMismatch,
            Rejection::RecordTooLarge => Self::RecordTooLarge,
            Rejection::MemoryFull => Self::MemoryFull,
        }
    }
}

impl From<LogQuestionError> for Problem {
    fn from(error: LogQuestionError) -> Self {
        match error {
            LogQuestionError::Failed(error) => error.into(),
            LogQuestionError::Beyond { head } => Self::with_detail(
                Code::UnknownPosition,
                format!(
                    "The log ends at position {head}. A time is written as in RFC 3339, not in seconds since 1970."
                ),
            ),
            LogQuestionError::TooMany => Self::with_detail(Code::InvalidQuery, error.to_string()),
        }
    }
}

impl<R: Into<Refusal>> From<Error<R>> for Problem {
    fn from(error: Error<R>) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into().into(),
            Error::SecretAlreadyShown { id } => Self { id: Some(id), ..Self::new(Code::SecretAlreadyShown) },
            Error::ConsistencyTimeout(place) => Self { record: Some(place), ..Self::new(Code::ConsistencyTimeout) },
            Error::Failed(failure) => failure.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => Self::new(rejection.into()),
            Refusal::Token(TokenError::KeysUnreachable) => Self::new(Code::KeysUnreachable),
            Refusal::Token(error) => Self::with_detail(Code::InvalidToken, error.to_string()),
            Refusal::ReservedClaim => Self::new(Code::ReservedClaim),
            Refusal::StatusListsOff => Self::new(Code::StatusListsOff),
            Refusal::PersonalDataTooLarge => Self::new(Code::PersonalDataTooLarge),
            Refusal::IssuerNotConfigured => Self::new(Code::IssuerNotConfigured),
            Refusal::NextKeyTooNew { from } => Self::with_detail(
                Code::NextKeyTooNew,
                format!("The next key may sign from {from} on. In an emergency, send {{\"now\": true}}."),
            ),
            Refusal::SigningKeyTooNew { from } => Self::with_detail(
                Code::SigningKeyTooNew,
                format!(
                    "This node's key signs from {from} on, when verifiers have had time to fetch it. Ask another node, or for an opaque token."
                ),
            ),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Overloaded => Self::new(Code::Overloaded),
            Failure::Locked => Self::new(Code::LogLocked),
            Failure::Stopping => Self::new(Code::Stopping),
            // The log's own error says why it halted; a caller only learns that it has.
            Failure::Fault(_) => Self::new(Code::LogHalted),
            Failure::Unreadable(error) => {
                tracing::error!(%error, "a durable record could not be read");
                Self::new(Code::RecordUnreadable)
            }
            Failure::Key(error) => {
                tracing::error!(%error, "a key could not be used");
                Self::new(Code::KeyUnusable)
            }
            Failure::NoRandomness => Self::new(Code::NoRandomness),
            Failure::Internal(_) => Self::new(Code::Internal),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(match error {
            BodyError::TooLarge => Code::BodyTooLarge,
            BodyError::Slow => Code::BodyTimeout,
            BodyError::Busy => Code::Overloaded,
            BodyError::Broken => Code::BodyIncomplete,
            BodyError::Encoded => Code::UnsupportedContentEncoding,
        })
    }
}

/// The answer for a path without a route.
pub async fn not_found() -> Problem {
    Problem::new(Code::NotFound)
}

/// The answer of a node that has not caught up with the others.
pub async fn not_admitted() -> Problem {
    Problem::new(Code::NodeNotReady)
}

/// The answer for a method that the path does not take. The router adds the ones that it takes.
pub async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed)
}
