//! The members that several calls show of sessions, and how their paths name one.

use axum::http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{CredentialId, Kind, Method, Timestamp};
use crate::http::input;
use crate::http::problem::{Code, Problem};
use crate::http::wire::Shown;
use crate::service::Session;

/// A session without its token.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionShown<'a> {
    /// Its public id.
    #[schema(format = "uuid")]
    id: String,
    /// The name space of its subject.
    tenant: &'a str,
    /// Its subject.
    subject: &'a str,
    /// Whether it is active; absent if it was just issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    active: Option<bool>,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Shown<Timestamp>,
    /// When its subject was authenticated.
    #[schema(value_type = String, format = DateTime)]
    authenticated_at: Shown<Timestamp>,
    /// When it expires unless it is extended.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Shown<Timestamp>,
    /// The latest instant to which any extension can prolong it.
    #[schema(value_type = String, format = DateTime)]
    not_after: Shown<Timestamp>,
    /// The authenticator assurance level of its subject: `aal0` to `aal3`.
    aal: &'static str,
    /// How the subject was authenticated.
    methods: Vec<MethodShown<'a>>,
    /// The identity that was given when the session was issued; absent if none was, or its key is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    identity: Option<&'a Map<String, Value>>,
    /// The device that it was issued to; absent if none was given, or its key is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    device: Option<&'a Map<String, Value>>,
    /// The position of its issue in this node's log, if it was just issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    position: Option<u64>,
}

/// One way in which the subject was authenticated.
#[derive(Serialize, ToSchema)]
#[schema(as = Method)]
struct MethodShown<'a> {
    /// Its name.
    method: &'a str,
    /// The assurance level that it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    aal: Option<&'static str>,
    /// When it was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    completed_at: Option<Shown<Timestamp>>,
}

impl<'a> SessionShown<'a> {
    /// The session as it is now.
    pub fn now(session: &'a Session) -> Self {
        Self { active: Some(session.active), ..Self::parts(session) }
    }

    /// The session as the record at that position issued it, also when it is shown again.
    pub fn as_issued(session: &'a Session, expires_at: Timestamp, position: u64) -> Self {
        Self { expires_at: Shown(expires_at), position: Some(position), ..Self::parts(session) }
    }

    fn parts(session: &'a Session) -> Self {
        Self {
            id: session.id.uuid().to_string(),
            tenant: session.tenant.as_str(),
            subject: session.subject.as_str(),
            active: None,
            issued_at: Shown(session.issued_at),
            authenticated_at: Shown(session.authenticated_at),
            expires_at: Shown(session.expires_at),
            not_after: Shown(session.not_after),
            aal: session.aal.as_str(),
            methods: session.methods.iter().map(MethodShown::from).collect(),
            identity: session.personal.identity.as_ref(),
            device: session.personal.device.as_ref(),
            position: None,
        }
    }
}

impl<'a> From<&'a Method> for MethodShown<'a> {
    fn from(method: &'a Method) -> Self {
        Self {
            method: method.method.as_str(),
            aal: method.aal.map(crate::domain::Aal::as_str),
            completed_at: method.completed_at.map(Shown),
        }
    }
}

/// The session that a path names.
pub async fn named(parts: &mut Parts) -> Result<CredentialId, Problem> {
    let id = input::segment(parts).await?;
    CredentialId::parse(Kind::Session, &id)
        .map_err(|must_be| Problem::with_detail(Code::InvalidPath, format!("the session's id must be {must_be}")))
}
