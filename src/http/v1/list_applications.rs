//! `GET /v1/applications`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::application::ApplicationShown;
use crate::domain::Scope;
use crate::http::openapi::Refusals;
use crate::http::problem::Problem;
use crate::http::{SharedApp, answer, caller};

/// Applications without their secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Applications)]
struct List<'a> {
    /// In the order of registration.
    applications: Vec<ApplicationShown<'a>>,
}

/// The applications whose grants are within the caller's. Needs the scope `admin`.
#[utoipa::path(
    get,
    path = "/v1/applications",
    tag = "applications",
    responses((status = 200, description = "The applications", body = List), Refusals),
)]
pub async fn list_applications(State(app): State<SharedApp>, headers: HeaderMap) -> Result<Response, Problem> {
    let identity = caller::authorise(&app, &headers, Scope::Admin)?;
    let found = app.service.applications(&identity)?;
    let applications = found.iter().map(|registration| ApplicationShown::from(&**registration)).collect();
    Ok(answer::json(StatusCode::OK, &List { applications }))
}
