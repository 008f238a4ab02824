//! HTTP: how connections are taken, bounded and closed, and what each surface answers.

pub mod body;
pub mod caller;
pub mod compat;
pub mod feed;
pub mod guard;
pub mod listen;
pub mod problem;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Surface;
use crate::feed::Hub;
use crate::service::Service;
use crate::telemetry::SharedMetrics;

/// What the handlers work with.
pub struct App {
    /// The ledger.
    pub service: Arc<Service>,
    /// The newest endings.
    pub hub: Arc<Hub>,
    /// Turns true when the server is to stop.
    pub stop: watch::Receiver<bool>,
    /// What is counted.
    pub metrics: SharedMetrics,
    /// What the operator has settled for HTTP.
    pub options: Options,
}

/// The handlers' shared state.
pub type SharedApp = Arc<App>;

/// What the operator has settled for HTTP.
#[derive(Clone, Debug)]
pub struct Options {
    /// The surfaces that are served.
    pub surfaces: Vec<Surface>,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Whether Crafter's published default access tokens may be registered and used.
    pub allow_published_access_tokens: bool,
    /// How often a follower is told that it is fresh.
    pub heartbeat: Duration,
    /// Whether the handler that does nothing is served, for measuring.
    pub bench: bool,
}

/// The routes.
pub fn router(app: SharedApp) -> axum::Router {
    feed::routes().merge(compat::crafter::routes()).with_state(app)
}
