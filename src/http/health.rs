//! `GET /health/live` and `GET /health/ready`: for a supervisor that restarts the process, and a load balancer that
//! sends requests to it.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem, ProblemBody};
use super::{App, SharedApp, answer};
use crate::event_log::Observed;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    /// Always true.
    live: bool,
}

/// The node takes requests.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always true; a node that is not ready answers 503.
    ready: bool,
    /// What the operator should do, if there is a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    warning: Option<Cow<'static, str>>,
    /// If there are several warnings: all of them, the gravest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    warnings: Vec<Cow<'static, str>>,
}

const ROOT_TOKEN_EXISTS: &str = "DATA/root-token holds a secret that may do everything: register an application with \
     what you need, then start with AUTHLEDGER_ROOT_TOKEN and remove the file";

/// Whether the process answers at all. A process that does not should be restarted.
#[utoipa::path(get, path = "/health/live", tag = "about", responses((status = 200, body = Live)), security(()))]
pub async fn live() -> Response {
    answer::json(StatusCode::OK, &Live { live: true })
}

/// Whether commands are carried out. They are not while the log is halted; reads and streams go on.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "about",
    responses(
        (status = 200, body = Ready),
        (status = 503, description = "The event log has halted, its disk has no room for a batch, or this node has not caught up with the others", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn ready(State(app): State<SharedApp>) -> Result<Response, Problem> {
    let observed = app.service.observed();
    if let Some(fault) = app.service.fault() {
        // Where files were taken away, the text also says where the records were saved.
        let detail = observed.taken.map_or_else(|| fault.to_string(), |taken| taken.to_string());
        return Err(Problem::with_detail(Code::LogHalted, detail));
    }
    if !observed.has_room() {
        return Err(Code::DiskFull.into());
    }
    if !app.service.cluster().is_admitted() {
        return Err(Code::NodeNotReady.into());
    }
    let mut warnings = warnings(&app, &observed).await;
    let warning = warnings.first().cloned();
    if warnings.len() < 2 {
        warnings.clear();
    }
    Ok(answer::json(StatusCode::OK, &Ready { ready: true, warning, warnings }))
}

const CONTRADICTED: &str = "the event log contradicts a checkpoint that this node has signed, so it does not sign any more: \
     compare the log with a backup, authledger-audit verify names the place";

const NOT_SIGNED: &str = "no checkpoint can be signed, because the log or the tree beside it can't be read or written: \
     the log lines say why, and authledger-audit verify names the damage";

/// All warnings for the operator, the gravest first.
async fn warnings(app: &App, observed: &Observed) -> Vec<Cow<'static, str>> {
    let trees = app.service.trees();
    let evidence = [trees.contradiction().map(|_| CONTRADICTED), trees.trouble().map(|_| NOT_SIGNED)];
    let mut warnings: Vec<Cow<'static, str>> = evidence.into_iter().flatten().map(Cow::Borrowed).collect();
    // A clock that jumped also shows in what nodes say of each other: the cause comes first.
    warnings.extend(app.service.clock_warning().map(Cow::Owned));
    warnings.extend(app.service.cluster().warning().map(Cow::Borrowed));
    warnings.extend(observed.warnings().into_iter().map(Cow::Owned));
    if root_token_exists(app).await {
        warnings.push(ROOT_TOKEN_EXISTS.into());
    }
    warnings
}

async fn root_token_exists(app: &App) -> bool {
    let Some(path) = app.options.root_token_file.as_ref() else { return false };
    // A file that can't be looked at counts as present.
    tokio::fs::try_exists(path).await.unwrap_or(true)
}
