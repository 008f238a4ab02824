//! `GET /health/live` and `GET /health/ready`: for whoever restarts the process, and whoever sends requests to it.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem, ProblemBody};
use super::{App, SharedApp, answer};

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    /// Always true.
    live: bool,
}

/// Requests are welcome.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always true; what is not ready answers 503.
    ready: bool,
    /// What the operator should do, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    warning: Option<Cow<'static, str>>,
}

const ROOT_TOKEN_EXISTS: &str = "DATA/root-token holds a secret that may do everything: register an application with \
     what you need, then start with AUTHLEDGER_ROOT_TOKEN and remove the file";

/// Whether the process answers at all. One that does not should be restarted.
#[utoipa::path(get, path = "/health/live", tag = "about", responses((status = 200, body = Live)), security(()))]
pub async fn live() -> Response {
    answer::json(StatusCode::OK, &Live { live: true })
}

/// Whether commands are carried out. While the log has halted they are not; reads and streams go on.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "about",
    responses(
        (status = 200, body = Ready),
        (status = 503, description = "The event log has halted, or this node has joined others and not caught up", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn ready(State(app): State<SharedApp>) -> Result<Response, Problem> {
    if app.service.fault().is_some() {
        return Err(Code::LogHalted.into());
    }
    if !app.service.cluster().is_admitted() {
        return Err(Code::NotAdmitted.into());
    }
    Ok(answer::json(StatusCode::OK, &Ready { ready: true, warning: warning(&app).await }))
}

const CONTRADICTED: &str = "the event log contradicts a checkpoint that this node has signed, so it signs no more: \
     compare the log with a backup, authledger-audit verify names the place";

const NOT_SIGNED: &str = "no checkpoint can be signed, because the log or the tree beside it can't be read or written: \
     the log lines say why, and authledger-audit verify names what is damaged";

async fn warning(app: &App) -> Option<Cow<'static, str>> {
    if app.service.trees().contradiction().is_some() {
        return Some(CONTRADICTED.into());
    }
    if app.service.trees().trouble().is_some() {
        return Some(NOT_SIGNED.into());
    }
    if let Some(warning) = app.service.clock_warning() {
        return Some(warning.into());
    }
    if let Some(warning) = app.service.cluster().warning() {
        return Some(warning.into());
    }
    let path = app.options.root_token_file.as_ref()?;
    // What can't be looked at counts as there.
    tokio::fs::try_exists(path).await.unwrap_or(true).then_some(ROOT_TOKEN_EXISTS.into())
}
