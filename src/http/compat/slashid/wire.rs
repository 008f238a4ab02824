//! SlashID's JSON. Other members of a request are ignored, as SlashID does.

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::http::answer;
use crate::http::wire::Shown;

/// The token that a call is about. It can't be printed.
#[derive(Deserialize, ToSchema)]
#[schema(as = SlashIdToken)]
pub struct TokenBody {
    /// A user token, or a token container: a JWT of 1 byte to 16 KiB.
    #[schema(value_type = String, required)]
    pub token: Option<String>,
}

/// The additional claims of a minted token.
#[derive(Deserialize, ToSchema)]
#[schema(as = SlashIdMint)]
pub struct MintBody {
    /// Claims by name. A claim that the ledger sets itself is refused.
    #[schema(value_type = Option<Object>)]
    pub custom_claims: Option<Map<String, Value>>,
}

/// Why a call was refused.
#[derive(Serialize, ToSchema)]
#[schema(as = SlashIdErrors)]
pub struct Errors<'a> {
    /// The one reason.
    #[schema(value_type = Vec<ErrorShown>)]
    pub errors: [ErrorShown<'a>; 1],
}

/// One reason.
#[derive(Serialize, ToSchema)]
#[schema(as = SlashIdError)]
pub struct ErrorShown<'a> {
    /// The answer's status.
    pub httpcode: u16,
    /// The error, for people.
    pub message: &'a str,
}

/// A success.
#[derive(Serialize, ToSchema)]
#[schema(as = SlashIdResult)]
pub struct Success<T> {
    /// The result.
    pub result: T,
}

/// Whether a token is active.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = SlashIdValidity)]
pub struct Validity {
    /// Whether it is active.
    pub valid: bool,
    /// If it is, and expires: in how many whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub expires_in_seconds: Option<u64>,
    /// If it is, and expires: the time of expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Option<Shown<Timestamp>>,
    /// If it is not: the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub invalidity_reason: Option<Invalidity>,
}

/// The reason why a token is inactive. SlashID also has `not_enough_factors`, for which no token of this ledger is
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Invalidity {
    /// It is not a JWT that can be verified, is not valid yet, or is bound, so that its text alone must not be accepted.
    InvalidTokenContent,
    /// It has expired.
    Expired,
    /// This ledger does not trust the issuer that it names, or does not trust it for that organisation.
    InvalidIssuer,
    /// It was revoked, and a hold refuses new tokens to its person.
    PersonNotActive,
    /// It was revoked.
    Revoked,
}

/// A success with that result, which nobody on the way may keep.
pub fn success(status: StatusCode, result: impl Serialize) -> Response {
    answer::secret(status, &Success { result })
}
