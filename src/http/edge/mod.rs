//! The surfaces of an edge beside its checks: introspection for resource servers, health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use serde::Serialize;

use super::health;
use super::oauth::{OauthError, plain::PlainQuestion};
use super::{answer, problem};
use crate::domain::Timestamp;
use crate::service::{Introspection, IssueFacts};
use crate::telemetry::METRICS_CONTENT_TYPE;

/// An edge, as these surfaces ask it.
pub trait EdgeView: Send + Sync + 'static {
    /// Whether that is the secret of callers that introspect.
    fn may_introspect(&self, secret: &str) -> bool;

    /// The ledger's name as an issuer.
    fn issuer(&self) -> Option<Arc<str>>;

    /// What it knows, or finds out, about that token.
    fn introspect(&self, token: &str) -> impl Future<Output = IntrospectedHere> + Send;

    /// The time by which it judges.
    fn now(&self) -> Timestamp;

    /// Whether it answers from memory.
    fn readiness(&self) -> Readiness;

    /// Everything that is counted, as OpenMetrics text.
    fn metrics(&self) -> String;
}

/// An introspection at an edge.
pub enum IntrospectedHere {
    Active(Box<(Introspection, IssueFacts)>),
    Inactive,
    /// Nobody can tell now.
    Blind,
}

/// Whether an edge answers from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has not heard a heartbeat since it started.
    Loading,
    Ready,
    /// It has heard nothing for too long.
    Stale,
}

/// The routes for resource servers.
pub fn introspection_routes<V: EdgeView>(view: Arc<V>) -> Router {
    Router::new()
        .route("/oauth2/introspect", post(introspect::<V>))
        .method_not_allowed_fallback(async || OauthError::WrongVerb("POST"))
        .fallback(async || OauthError::NotFound)
        .with_state(view)
}

/// The routes for operators: health and metrics. Nobody needs a secret for them.
pub fn admin_routes<V: EdgeView>(view: Arc<V>) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(ready::<V>))
        .route("/metrics", get(metrics::<V>))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::not_found)
        .with_state(view)
}

/// The same routes with a handler that does nothing, for measuring.
pub fn with_noop(routes: Router) -> Router {
    routes.route("/v1/noop", any(async || StatusCode::OK))
}

async fn introspect<V: EdgeView>(State(view): State<Arc<V>>, request: Request) -> Result<Response, OauthError> {
    let question = PlainQuestion::read(request, |secret| view.may_introspect(secret)).await?;
    let found = match view.introspect(&question.token()?).await {
        IntrospectedHere::Active(found) => Some(found),
        IntrospectedHere::Inactive => None,
        IntrospectedHere::Blind => return Err(OauthError::Unavailable),
    };
    question.answer(found.as_deref(), view.issuer().as_deref(), view.now())
}

/// The edge answers from memory, or does not.
#[derive(Serialize)]
struct EdgeReady {
    ready: bool,
    /// `loading`, `fresh` or `stale`.
    state: &'static str,
}

async fn ready<V: EdgeView>(State(view): State<Arc<V>>) -> Response {
    let (status, state) = match view.readiness() {
        Readiness::Ready => (StatusCode::OK, "fresh"),
        Readiness::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
        Readiness::Stale => (StatusCode::SERVICE_UNAVAILABLE, "stale"),
    };
    let is_ready = status == StatusCode::OK;
    let mut response = answer::json(status, &EdgeReady { ready: is_ready, state });
    if !is_ready {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

async fn metrics<V: EdgeView>(State(view): State<Arc<V>>) -> Response {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], view.metrics()).into_response()
}
