//! Every request is counted, timed and logged under its route's template, never with its URI.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tower::{Layer, Service};
use tracing::Level;

use super::caller::request_id;
use crate::telemetry::{RouteMetrics, SharedMetrics};

/// Requests without a route are counted under this.
const UNMATCHED: &str = "unmatched";

/// Observes every route that it is applied to.
#[derive(Clone)]
pub struct Observe(pub SharedMetrics);

impl<S> Layer<S> for Observe {
    type Service = ObservedRoute<S>;

    /// Called once for each route.
    fn layer(&self, inner: S) -> ObservedRoute<S> {
        ObservedRoute { inner, metrics: self.0.clone(), route: Arc::default() }
    }
}

/// A route that is observed. Its handle is looked up with its first request, because that knows the template.
#[derive(Clone)]
pub struct ObservedRoute<S> {
    inner: S,
    metrics: SharedMetrics,
    route: Arc<OnceLock<Arc<RouteMetrics>>>,
}

impl<S> ObservedRoute<S> {
    fn handle(&self, request: &Request) -> Arc<RouteMetrics> {
        let route = self.route.get_or_init(|| Arc::new(self.metrics.route(template(request))));
        route.clone()
    }
}

impl<S> Service<Request> for ObservedRoute<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let started = Instant::now();
        let route = self.handle(&request);
        let method = request.method().clone();
        let id = tracing::enabled!(Level::DEBUG).then(|| request_id(request.headers())).flatten();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let (status, took) = (response.status().as_u16(), started.elapsed());
            route.answered(method.as_str(), status, took);
            let (template, id) = (route.template(), id.as_ref().map(|id| id.as_str()));
            tracing::debug!(
                method = method.as_str(),
                route = template,
                status,
                micros = took.as_micros(),
                id,
                "answered"
            );
            Ok(response)
        })
    }
}

/// Metrics want names that live as long as they do: a few bytes for each route, once.
fn template(request: &Request) -> &'static str {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or(UNMATCHED, |path| Box::leak(Box::from(path.as_str())))
}
