//! `GET /v1/applications`

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use utoipa::ToSchema;

use super::application::ApplicationShown;
use crate::domain::{Registration, Scope};
use crate::http::descriptions::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};
use crate::json;
use crate::service::Party;

/// Applications without their secrets.
#[derive(ToSchema)]
#[schema(as = Applications)]
#[expect(dead_code, reason = "only its description is used; a long list is written piece by piece")]
struct ApplicationListShown<'a> {
    /// In the order of registration.
    applications: Vec<ApplicationShown<'a>>,
}

/// The applications whose grants the caller holds. Needs the scope `admin`.
#[utoipa::path(
    get,
    path = "/v1/applications",
    tag = "applications",
    responses((status = 200, description = "The applications", body = ApplicationListShown), Refusals),
)]
pub async fn list_applications(State(app): State<SharedApp>, headers: HeaderMap) -> Result<Response, Problem> {
    let identity = caller::authorise(&app, &headers, Scope::Admin).await?;
    let mut pace = app.service.pace(Party::of(&identity));
    let found = app.service.applications(&identity, &mut pace).await?;
    let write = |one: &Arc<Registration>, bytes: &mut Vec<u8>| {
        json::append(bytes, &ApplicationShown::from(&**one));
    };
    let body = answer::list(["{\"applications\":[", ",", "]}"], found, write, pace)?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], body).into_response())
}
