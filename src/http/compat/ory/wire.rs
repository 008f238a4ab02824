//! Ory's JSON. Members stand in the order of Ory's own; a session's identity and devices are null if the request does
//! not ask for them.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::document;
use super::identity::{self, Viewer};
use crate::domain::{Method, Timestamp};
use crate::http::answer;
use crate::http::wire::Shown;
use crate::json;
use crate::service::{Failure, Pace, Session};

/// The parts of sessions that a list shows in addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expand {
    pub identity: bool,
    pub devices: bool,
}

impl Expand {
    /// Everything.
    pub const ALL: Self = Self { identity: true, devices: true };
    /// Nothing.
    pub const NONE: Self = Self { identity: false, devices: false };
    /// The identity alone.
    pub const IDENTITY: Self = Self { identity: true, devices: false };
}

/// The methods that the SDKs know; they cannot read any other.
const METHODS: [&str; 13] = [
    "password",
    "oidc",
    "totp",
    "lookup_secret",
    "webauthn",
    "code",
    "passkey",
    "profile",
    "saml",
    "deviceauthn",
    "identifier_first",
    "link_recovery",
    "code_recovery",
];

/// A device's id is derived from this and its session.
const DEVICE: &[u8] = b"device";

/// A session, without its token.
#[derive(Serialize, ToSchema)]
#[schema(as = OrySession)]
pub struct OrySession<'a> {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Whether it is active.
    active: bool,
    /// When it expires unless it is extended.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Shown<Timestamp>,
    /// When its subject was authenticated.
    #[schema(value_type = String, format = DateTime)]
    authenticated_at: Shown<Timestamp>,
    /// The authenticator assurance level: `aal0` to `aal3`.
    authenticator_assurance_level: &'static str,
    /// The methods of authentication, as far as Ory has a name for them.
    authentication_methods: Vec<OryMethod<'a>>,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Shown<Timestamp>,
    /// The identity; null if it is not expanded.
    #[schema(value_type = Option<document::OryIdentity>)]
    identity: Option<Map<String, Value>>,
    /// The devices that it was issued to. If they are not expanded: null in a list, and empty elsewhere.
    devices: Option<Vec<DeviceShown<'a>>>,
    /// A token for the session, if one was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    tokenized: Option<&'a str>,
}

/// One way in which the subject was authenticated.
#[derive(Serialize, ToSchema)]
#[schema(as = OryAuthenticationMethod)]
struct OryMethod<'a> {
    /// Ory's name of it.
    method: &'a str,
    /// The assurance level that it gives, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    aal: Option<&'static str>,
    /// When it was completed; if that is not known, when the subject was authenticated.
    #[schema(value_type = String, format = DateTime)]
    completed_at: Shown<Timestamp>,
}

/// A device that a session was issued to.
#[derive(Serialize, ToSchema)]
#[schema(as = OryDevice)]
struct DeviceShown<'a> {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<&'a str>,
    /// Its user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    /// Its location.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
}

/// The number of revoked sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = OrySessionsRevoked)]
pub struct OrySessionsRevoked {
    /// How many sessions this call revoked.
    pub count: usize,
}

/// The session to revoke.
#[derive(Deserialize, ToSchema)]
#[schema(as = OryLogout)]
pub struct LogOut {
    /// Its token.
    #[serde(default)]
    pub session_token: Option<String>,
}

/// Many sessions to revoke: either `identities` or `sessions`.
#[derive(Deserialize, ToSchema)]
#[schema(as = OryManageSessions)]
pub struct Manage {
    /// `disable`, after which they are listed as inactive, or `delete`.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(disable|delete)$")]
    pub action: Option<String>,
    /// Whose sessions; `*` alone for all sessions of the tenant.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 500)]
    pub identities: Option<Vec<String>>,
    /// The sessions' ids.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 500)]
    pub sessions: Option<Vec<String>>,
}

/// The result of a call about many sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = OrySessionsManaged)]
pub struct Managed {
    /// How many sessions were revoked, or deleted.
    pub processed: usize,
    /// Whether there may be more, which the same call goes on with.
    pub more: bool,
}

/// An answer other than a success.
#[derive(Serialize, ToSchema)]
#[schema(as = OryError)]
pub struct OryErrorBody<'a> {
    /// The error.
    pub error: ErrorContent<'a>,
}

/// An error.
#[derive(Serialize, ToSchema)]
#[schema(as = OryErrorContent)]
pub struct ErrorContent<'a> {
    /// The status.
    pub code: u16,
    /// The status in words.
    pub status: &'a str,
    /// The caller's own `X-Request-ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    /// The reason, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The message, for people.
    pub message: &'a str,
}

impl<'a> OrySession<'a> {
    /// The session, as it is shown to that viewer.
    pub fn of(session: &'a Session, expand: Expand, viewer: Viewer) -> Self {
        let method = |method| OryMethod::of(method, session.authenticated_at);
        Self {
            id: session.id.uuid(),
            active: session.active,
            expires_at: Shown(session.expires_at),
            authenticated_at: Shown(session.authenticated_at),
            authenticator_assurance_level: session.aal.as_str(),
            authentication_methods: session.methods.iter().filter_map(method).collect(),
            issued_at: Shown(session.issued_at),
            identity: expand.identity.then(|| identity::of(session, viewer)),
            devices: expand.devices.then(|| DeviceShown::of(session).into_iter().collect()),
            tokenized: None,
        }
    }

    /// The same for an answer with this session alone.
    pub fn alone(session: &'a Session, expand: Expand, viewer: Viewer) -> Self {
        let mut shown = Self::of(session, expand, viewer);
        shown.devices.get_or_insert_default();
        shown
    }

    /// With a token for it.
    pub fn tokenized(mut self, token: Option<&'a str>) -> Self {
        self.tokenized = token;
        self
    }
}

impl<'a> OryMethod<'a> {
    fn of(method: &'a Method, authenticated_at: Timestamp) -> Option<Self> {
        let name = method.method.as_str();
        METHODS.contains(&name).then(|| Self {
            method: name,
            aal: method.aal.map(|aal| aal.as_str()),
            completed_at: Shown(method.completed_at.unwrap_or(authenticated_at)),
        })
    }
}

impl<'a> DeviceShown<'a> {
    fn of(session: &'a Session) -> Option<Self> {
        let device = session.personal.device.as_ref()?;
        let text = |name| device.get(name).and_then(Value::as_str);
        Some(Self {
            id: Uuid::new_v5(&session.id.uuid(), DEVICE),
            ip_address: text("ip_address"),
            user_agent: text("user_agent"),
            location: text("location"),
        })
    }
}

/// The usual size of a session in an answer, in bytes: most take less.
const SESSION_BYTES: usize = 1_024;
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// An answer with that body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(SESSION_BYTES);
    json::append(&mut bytes, body);
    (status, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// An answer with these sessions.
pub fn sessions(sessions: Vec<Session>, expand: Expand, viewer: Viewer, pace: Pace) -> Result<Response, Failure> {
    let write = move |session: &Session, bytes: &mut Vec<u8>| {
        json::append(bytes, &OrySession::of(session, expand, viewer));
    };
    let body = answer::list(["[", ",", "]"], sessions, write, pace)?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, JSON)], body).into_response())
}

/// An answer without a body.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
