//! `POST /v1/sessions/{id}/extend`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::named;
use crate::domain::{Scope, Timestamp};
use crate::http::descriptions::{CommandHeaders, Refusals};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{MAX_TTL_SECONDS, Seconds, Shown, present};
use crate::http::{SharedApp, answer, caller};

/// How long a session is to last.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Extend)]
struct ExtendBody {
    /// How many seconds the session lasts from now on; the operator's default if left out. An extension never makes it
    /// expire earlier, nor after its `not_after`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 31_622_400)]
    ttl: Option<Seconds<MAX_TTL_SECONDS>>,
}

/// How long a session lasts now.
#[derive(Serialize, ToSchema)]
#[schema(as = ExtendedSession)]
struct Extended<'a> {
    /// Its public id.
    #[schema(format = "uuid")]
    id: String,
    /// The name space of its subject.
    tenant: &'a str,
    /// Its subject.
    subject: &'a str,
    /// When it expires unless it is extended again.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Shown<Timestamp>,
    /// The latest instant to which any extension can prolong it.
    #[schema(value_type = String, format = DateTime)]
    not_after: Shown<Timestamp>,
}

/// Extends a session. A session that has expired or was revoked stays inactive. The body may be left out. Needs the scope `issue` in
/// its tenant.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/extend",
    tag = "sessions",
    params(("id" = String, Path, description = "Its public id, a UUID"), CommandHeaders),
    request_body = ExtendBody,
    responses((status = 200, description = "How long it lasts now", body = Extended), Refusals),
)]
pub async fn extend_session(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (call, mut parts, body) = caller::command_at_or_default::<ExtendBody>(&app, request, Scope::Issue).await?;
    let id = named(&mut parts).await?;
    app.service.extend_session(&call, id, body.ttl.map(|Seconds(ttl)| ttl)).await?;
    let session = app.service.sessions(&[id]).await?.pop().ok_or(Code::UnknownCredential)?;
    // An inactive session was left as it is, so the answer must not show a longer life.
    if !session.active {
        return Err(Code::SessionInactive.into());
    }
    let body = Extended {
        id: session.id.uuid().to_string(),
        tenant: session.tenant.as_str(),
        subject: session.subject.as_str(),
        expires_at: Shown(session.expires_at),
        not_after: Shown(session.not_after),
    };
    Ok(answer::json(StatusCode::OK, &body))
}
