//! `GET /v1/sessions/{id}`

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::session::{SessionShown, named};
use crate::domain::Scope;
use crate::http::descriptions::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, caller};

/// A session, active or not, for as long as the ledger keeps it. Needs the scope `introspect` in its tenant; a session
/// of another tenant is unknown.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "Its public id, a UUID")),
    responses((status = 200, description = "The session as it is now", body = SessionShown), Refusals),
)]
pub async fn find_session(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let identity = caller::authorise(&app, &parts.headers, Scope::Introspect).await?;
    let id = named(&mut parts).await?;
    let session = app.service.session(&identity, id).await?.ok_or(Code::UnknownCredential)?;
    Ok(answer::json(StatusCode::OK, &SessionShown::now(&session)))
}
