//! Crafter's errors: the status, code and message of each, and the mapping of the ledger's refusals to them.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new rejection needs an answer of its own")]

use std::fmt::Display;

use axum::http::header::{ACCEPT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorDetails, json};
use crate::domain::{
    AnyRejection, IssueRejection, RegisterRejection, RemoveRejection, RevokeRejection, Tenant, Timestamp,
};
use crate::http::body::BodyError;
use crate::http::coding::NONE_TAKEN;
use crate::service::{Error, Failure, RevokeRefusal};

/// Every answer other than a success. Messages hold what the request itself presented, and nothing of others.
pub enum CrafterError {
    /// Nothing is served at the path.
    NoEndpoint,
    /// The path is served, for other verbs.
    WrongVerb(Method),
    /// No access token was presented.
    MissingAccessToken,
    /// The presented access token is unknown.
    UnknownAccessToken(String),
    /// The presented access token has expired.
    ExpiredAccessToken {
        /// The access token.
        id: String,
        /// The application's name.
        application: String,
        /// When it expired.
        expired_at: Timestamp,
    },
    /// The application may not do that in that tenant.
    ActionDenied(Tenant),
    /// The application is not a master.
    GlobalActionDenied(GlobalAction),
    /// The ticket is not active.
    NoSuchTicket(String),
    /// The subject gets no tickets for now.
    DisabledProfile {
        /// The subject.
        profile: String,
        /// Its name space.
        tenant: Tenant,
    },
    /// The requested access token is unknown.
    NoSuchAccessToken(String),
    /// The chosen access token exists already.
    AccessTokenExists(String),
    /// A parameter was not sent.
    MissingParameter(&'static str),
    /// A value that was sent can't be used, for that reason.
    Malformed(String),
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body took too long to arrive.
    BodySlow,
    /// The endpoint does not read a body of this type.
    ContentType,
    /// The body is compressed, or encoded in another way.
    BodyEncoded,
    /// The application has too many revocations of unknown tickets in force.
    TooManyUnknownRevocations,
    /// The ledger takes no commands for now.
    Unavailable,
    /// The machine failed.
    Internal,
}

/// The actions that only a master may do.
#[derive(Clone, Copy)]
pub enum GlobalAction {
    /// Make an access token.
    Create,
    /// Look at access tokens.
    Read,
    /// Remove an access token.
    Delete,
}

impl GlobalAction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE_TOKEN",
            Self::Read => "READ_TOKEN",
            Self::Delete => "DELETE_TOKEN",
        }
    }
}

/// The ledger's error in Crafter's words, of a call that is refused so.
pub fn failed<R>(error: Error<R>, refused: impl FnOnce(R) -> CrafterError) -> CrafterError
where
    Error<R>: Display,
{
    match error {
        Error::Refused(refusal) => refused(refusal),
        Error::Failed(failure) => failure.into(),
        // They need headers that the contract does not have.
        Error::SecretAlreadyShown { .. } | Error::ConsistencyTimeout(_) => CrafterError::internal(&error),
    }
}

/// A ticket is not issued, to that profile in that tenant.
pub fn not_issued(rejection: IssueRejection, access_token_id: &str, tenant: &Tenant, profile: &str) -> CrafterError {
    match rejection {
        IssueRejection::Any(any) => rejected(any, access_token_id, CrafterError::ActionDenied(tenant.clone())),
        IssueRejection::SubjectOnHold | IssueRejection::SubjectErased => {
            CrafterError::DisabledProfile { profile: profile.to_owned(), tenant: tenant.clone() }
        }
        IssueRejection::ClockUnsettled | IssueRejection::MemoryFull => CrafterError::Unavailable,
        // A ticket of this contract has no parent.
        IssueRejection::ParentInactive | IssueRejection::LineageTooDeep => CrafterError::internal(&rejection),
    }
}

/// A ticket of that tenant is not invalidated.
pub fn not_invalidated(refusal: &RevokeRefusal, access_token_id: &str, tenant: &Tenant) -> CrafterError {
    match refusal {
        RevokeRefusal::Rejected(RevokeRejection::Any(any)) => {
            rejected(*any, access_token_id, CrafterError::ActionDenied(tenant.clone()))
        }
        RevokeRefusal::Rejected(RevokeRejection::TooManyUnknownRevocations) => CrafterError::TooManyUnknownRevocations,
        // An invalidation answers these itself: nothing is active that it names.
        RevokeRefusal::Rejected(RevokeRejection::UnknownCredential | RevokeRejection::CredentialExpired)
        | RevokeRefusal::Token(_) => CrafterError::internal(refusal),
    }
}

/// The access token with that id is not created.
pub fn not_created(rejection: RegisterRejection, access_token_id: &str, id: &str) -> CrafterError {
    const DENIED: CrafterError = CrafterError::GlobalActionDenied(GlobalAction::Create);
    match rejection {
        RegisterRejection::Any(any) => rejected(any, access_token_id, DENIED),
        RegisterRejection::GrantExceedsOwn => DENIED,
        RegisterRejection::ApplicationExists => CrafterError::AccessTokenExists(id.to_owned()),
    }
}

/// An access token is not deleted.
pub fn not_deleted(rejection: RemoveRejection, access_token_id: &str) -> CrafterError {
    match rejection {
        RemoveRejection::Any(any) => {
            rejected(any, access_token_id, CrafterError::GlobalActionDenied(GlobalAction::Delete))
        }
        // A deletion answers it itself.
        RemoveRejection::UnknownApplication => CrafterError::internal(&rejection),
    }
}

/// Any command can be rejected like this. `denied` is the answer if the application may not do it.
fn rejected(rejection: AnyRejection, access_token_id: &str, denied: CrafterError) -> CrafterError {
    match rejection {
        AnyRejection::Unauthenticated => CrafterError::UnknownAccessToken(access_token_id.to_owned()),
        AnyRejection::Forbidden => denied,
        AnyRejection::RecordTooLarge => {
            CrafterError::Malformed("Request must be smaller than 65,535 bytes when recorded".to_owned())
        }
        AnyRejection::MemberTooOld => CrafterError::Unavailable,
        // It needs a header that the contract does not have.
        AnyRejection::IdempotencyMismatch => CrafterError::internal(&rejection),
    }
}

impl From<Failure> for CrafterError {
    fn from(failure: Failure) -> Self {
        if failure.is_temporary() { Self::Unavailable } else { Self::internal(&failure) }
    }
}

impl From<BodyError> for CrafterError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::Slow => Self::BodySlow,
            BodyError::Busy => Self::Unavailable,
            BodyError::Broken => Self::Malformed("Request body must be complete".to_owned()),
            BodyError::Encoded => Self::BodyEncoded,
        }
    }
}

impl CrafterError {
    fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "a request to Crafter's contract failed");
        Self::Internal
    }

    /// Status and code. The client throws on a code that it does not know.
    const fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoEndpoint => (StatusCode::NOT_FOUND, "OTHER"),
            Self::WrongVerb(_) => (StatusCode::METHOD_NOT_ALLOWED, "OTHER"),
            Self::MissingAccessToken | Self::ExpiredAccessToken { .. } => (StatusCode::FORBIDDEN, "ACCESS_DENIED"),
            Self::UnknownAccessToken(_) => (StatusCode::FORBIDDEN, "NO_SUCH_ACCESS_TOKEN_ID"),
            Self::ActionDenied(_) | Self::GlobalActionDenied(_) => (StatusCode::FORBIDDEN, "ACTION_DENIED"),
            Self::NoSuchTicket(_) => (StatusCode::NOT_FOUND, "NO_SUCH_TICKET"),
            Self::DisabledProfile { .. } => (StatusCode::FORBIDDEN, "DISABLED_PROFILE"),
            Self::NoSuchAccessToken(_) => (StatusCode::NOT_FOUND, "NO_SUCH_ACCESS_TOKEN_ID"),
            Self::AccessTokenExists(_) => (StatusCode::CONFLICT, "ACCESS_TOKEN_EXISTS"),
            Self::MissingParameter(_) | Self::Malformed(_) => (StatusCode::BAD_REQUEST, "OTHER"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "OTHER"),
            Self::BodySlow => (StatusCode::REQUEST_TIMEOUT, "OTHER"),
            Self::ContentType | Self::BodyEncoded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "OTHER"),
            Self::TooManyUnknownRevocations => (StatusCode::TOO_MANY_REQUESTS, "OTHER"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "OTHER"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "OTHER"),
        }
    }

    fn message(&self) -> String {
        const SUBJECT: &str = "Current subject does not have permission to execute";
        match self {
            Self::NoEndpoint => "No endpoint found for this path".to_owned(),
            Self::WrongVerb(method) => format!("Request method '{method}' is not supported"),
            Self::MissingAccessToken => "Access token ID param missing from request".to_owned(),
            Self::UnknownAccessToken(id) | Self::NoSuchAccessToken(id) => {
                format!("No access token found for ID \"{id}\"")
            }
            Self::ExpiredAccessToken { id, application, expired_at } => {
                let day = day(*expired_at);
                format!("Access token \"{id}\" for application \"{application}\" expired on {day}")
            }
            Self::ActionDenied(tenant) => format!("{SUBJECT} action \"MANAGE_TICKETS\" on tenant \"{tenant}\""),
            Self::GlobalActionDenied(action) => format!("{SUBJECT} global action \"{}\"", action.as_str()),
            Self::NoSuchTicket(id) => format!("No ticket with ID \"{id}\" found"),
            Self::DisabledProfile { profile, tenant } => {
                format!("Profile \"{profile}\" of tenant \"{tenant}\" is disabled")
            }
            Self::AccessTokenExists(id) => format!("Access token \"{id}\" already exists"),
            Self::MissingParameter(name) => {
                format!("Required request parameter '{name}' for method parameter type String is not present")
            }
            Self::Malformed(message) => message.clone(),
            Self::BodyTooLarge => "Request body is larger than this server takes".to_owned(),
            Self::BodySlow => "Request body did not arrive within 30 seconds".to_owned(),
            Self::ContentType => "Request body must be of type application/json, in UTF-8".to_owned(),
            Self::BodyEncoded => "Request body must be sent without a Content-Encoding".to_owned(),
            Self::TooManyUnknownRevocations => {
                "Too many unknown tickets were invalidated by this application".to_owned()
            }
            Self::Unavailable => "Service unavailable, try again in a moment".to_owned(),
            Self::Internal => "Internal server error".to_owned(),
        }
    }
}

impl IntoResponse for CrafterError {
    fn into_response(self) -> Response {
        let (status, error_code) = self.kind();
        let mut response = json(status, &ErrorDetails { error_code, message: &self.message() });
        if matches!(self, Self::BodyEncoded) {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(NONE_TAKEN));
        }
        if matches!(self, Self::Unavailable) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The day in UTC, as Crafter writes it: `MM/dd/yyyy`.
fn day(instant: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(instant.as_millis().cast_signed()).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime("%m/%d/%Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::compat::a_place;

    fn told(refusal: &CrafterError) -> String {
        let (status, code) = refusal.kind();
        format!("{} {code} {}", status.as_u16(), refusal.message())
    }

    #[test]
    fn every_refusal_of_the_ledger_has_its_answer() {
        let tenant = Tenant::default();
        let denied = "403 ACTION_DENIED Current subject does not have permission to execute";
        let tickets_denied = format!("{denied} action \"MANAGE_TICKETS\" on tenant \"default\"");
        let unknown = "403 NO_SUCH_ACCESS_TOKEN_ID No access token found for ID \"TOKEN\"";
        let disabled = "403 DISABLED_PROFILE Profile \"p\" of tenant \"default\" is disabled";
        let large = "400 OTHER Request must be smaller than 65,535 bytes when recorded";
        let internal = "500 OTHER Internal server error";
        let later = "503 OTHER Service unavailable, try again in a moment";
        let any = |denied| [unknown, denied, internal, large, later];
        let answers = |told: Vec<String>, any: [&str; 5], own: &[&str]| assert_eq!(told, [&any, own].concat());

        let issue = |rejection| told(&not_issued(rejection, "TOKEN", &tenant, "p"));
        let issues = IssueRejection::all().into_iter().map(issue).collect();
        answers(issues, any(&tickets_denied), &[disabled, disabled, later, later, internal, internal]);

        let revoke = |rejection| told(&not_invalidated(&RevokeRefusal::Rejected(rejection), "TOKEN", &tenant));
        let revocations = RevokeRejection::all().into_iter().map(revoke).collect();
        let many = "429 OTHER Too many unknown tickets were invalidated by this application";
        answers(revocations, any(&tickets_denied), &[internal, internal, many]);

        let create = |rejection| told(&not_created(rejection, "TOKEN", "ID"));
        let creations = RegisterRejection::all().into_iter().map(create).collect();
        let exists = "409 ACCESS_TOKEN_EXISTS Access token \"ID\" already exists";
        let creation_denied = format!("{denied} global action \"CREATE_TOKEN\"");
        answers(creations, any(&creation_denied), &[&creation_denied, exists]);

        let delete = |rejection| told(&not_deleted(rejection, "TOKEN"));
        let deletions = RemoveRejection::all().into_iter().map(delete).collect();
        answers(deletions, any(&format!("{denied} global action \"DELETE_TOKEN\"")), &[internal]);

        for (error, answer) in [
            (Failure::Overloaded.into(), later),
            (Failure::Stopping.into(), later),
            (Error::ConsistencyTimeout(a_place()), internal),
            (Failure::NoRandomness.into(), internal),
            (Failure::Internal("a case").into(), internal),
            (Error::SecretAlreadyShown { id: String::new() }, internal),
        ] {
            assert_eq!(told(&failed(error, |rejection| not_deleted(rejection, "TOKEN"))), answer);
        }
    }

    #[test]
    fn days_are_written_as_crafter_writes_them() {
        assert_eq!(day(Timestamp::from_millis(1_704_067_199_999).expect("in range")), "12/31/2023");
        assert_eq!(day(Timestamp::from_millis(1_704_067_200_000).expect("in range")), "01/01/2024");
    }
}
