//! Crafter's JSON. The client knows exactly these members; they are written in the order in which they stand here.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A ticket.
#[derive(Serialize, ToSchema)]
#[schema(as = CrafterTicket)]
#[serde(rename_all = "camelCase")]
pub struct CrafterTicket<'a> {
    /// The name space of the profile.
    pub tenant: &'a str,
    /// The profile that the ticket is issued to.
    pub profile_id: &'a str,
    /// When it was last used, in milliseconds since 1970.
    pub last_request_time: u64,
    /// The bearer secret.
    pub id: &'a str,
}

/// An access token, as clients send and get it.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = CrafterAccessToken)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessToken {
    /// The name of the application.
    pub application: String,
    /// Whether it administers access tokens.
    #[serde(default, deserialize_with = "null_as_default")]
    pub master: bool,
    /// Its permissions, tenant by tenant.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tenant_permissions: Vec<TenantPermission>,
    /// When it stops working, in milliseconds since 1970; never, if null.
    #[serde(default)]
    pub expires_on: Option<u64>,
    /// The secret; null if it is not known, or belongs to another application.
    #[serde(default)]
    pub id: Option<String>,
}

/// The permissions of an access token in one tenant, or in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CrafterTenantPermission)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantPermission {
    /// Crafter's names of actions; `*` for all.
    #[serde(default, deserialize_with = "null_as_default")]
    pub allowed_actions: Vec<String>,
    /// The tenant; `*` for all.
    #[serde(default = "any")]
    pub tenant: String,
}

/// The part of an access token that is kept as it came, in an application's attributes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessTokenAttributes {
    /// Crafter's name of the application.
    pub application: String,
    /// Whether it administers access tokens.
    pub master: bool,
    /// Its permissions, tenant by tenant.
    pub tenant_permissions: Vec<TenantPermission>,
}

/// An error.
#[derive(Serialize, ToSchema)]
#[schema(as = CrafterError)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetails<'a> {
    /// One of the codes that the client knows.
    pub error_code: &'static str,
    /// The error, for people.
    pub message: &'a str,
}

/// The form of a ticket to make, as OpenAPI describes it.
#[derive(ToSchema)]
#[schema(as = CrafterTicketForm, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used; parameters are read from query and form alike")]
pub struct CrafterTicketForm {
    /// The profile: any subject.
    profile_id: String,
    /// The tenant; the application's own if it has exactly one, else `default`.
    tenant_name: Option<String>,
}

/// The form of a ticket to make for the profile in the path, as OpenAPI describes it.
#[derive(ToSchema)]
#[schema(as = CrafterTenantForm, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used; parameters are read from query and form alike")]
pub struct TenantForm {
    /// The tenant; the application's own if it has exactly one, else `default`.
    tenant_name: Option<String>,
}

/// The form of a ticket to invalidate, as OpenAPI describes it.
#[derive(ToSchema)]
#[schema(as = CrafterInvalidateForm, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used; parameters are read from query and form alike")]
pub struct InvalidateForm {
    /// The ticket, if the form repeats it.
    ticket_id: Option<String>,
}

/// An answer with a body. It may hold a secret, so nothing on the way may keep it.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    answered(status, crate::json::bytes(body).into())
}

/// An answer with that text.
pub fn answered(status: StatusCode, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

fn any() -> String {
    "*".to_owned()
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
