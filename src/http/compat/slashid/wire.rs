//! SlashID's JSON. Members that a request has beside these are passed over, as SlashID does.

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

/// What a minted token is to say beside what the ledger says.
#[derive(Deserialize, ToSchema)]
#[schema(as = SlashIdMint)]
pub struct MintBody {
    /// Claims by name, none of which the ledger says itself.
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
    /// What is wrong, for people.
    pub message: &'a str,
}

/// A success.
#[derive(Serialize, ToSchema)]
#[schema(as = SlashIdResult)]
pub struct Success<T> {
    /// What was asked for.
    pub result: T,
}

/// Whether a token is good.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = SlashIdValidity)]
pub struct Validity {
    /// Whether it is.
    pub valid: bool,
    /// If it is, and expires: in how many whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub expires_in_seconds: Option<u64>,
    /// If it is, and expires: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Option<Shown<Timestamp>>,
    /// If it is not: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub invalidity_reason: Option<Invalidity>,
}

/// Why a token is not good. SlashID has `not_enough_factors` too, which no token of this ledger is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Invalidity {
    /// It is no JWT that anybody could verify, or its time is still to come.
    InvalidTokenContent,
    /// Its time is up.
    Expired,
    /// Nobody whom this ledger trusts, or trusts for that organisation, is named as its issuer.
    InvalidIssuer,
    /// It was ended, and its person gets no new one for now.
    PersonNotActive,
    /// It was ended.
    Revoked,
}

/// A success with that result, which nobody on the way may keep.
pub fn success(status: StatusCode, result: impl Serialize) -> Response {
    answer::secret(status, &Success { result })
}
