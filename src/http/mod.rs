//! HTTP: how connections are taken, bounded and closed, and what each surface answers.

mod answer;
pub mod body;
pub mod caller;
pub mod check;
mod coding;
pub mod compat;
mod descriptions;
pub mod doors;
pub mod edge;
mod exact;
pub mod feed;
mod fields;
pub mod guard;
mod health;
mod host;
mod input;
pub mod listen;
mod metrics;
pub mod oauth;
mod observe;
pub mod openapi;
pub mod peers;
mod prefix;
pub mod problem;
pub mod status_lists;
mod surface;
mod tlog;
pub mod tls;
mod v1;
pub mod well_known;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use clap::ValueEnum as _;
use tokio::sync::watch;

use crate::feed::Hub;
use crate::service::Service;
use crate::telemetry::SharedMetrics;
use check::{CheckOptions, Checks, NodeAuthority};
use observe::Observe;
use surface::Part;

pub use surface::Surface;

/// Every route of every surface that is switched on.
///
/// A surface answers refusals under its paths in its own shape; an unknown path gets a problem.
pub fn router(app: SharedApp) -> Router {
    let on = Surface::value_variants().iter().filter(|surface| app.options.surfaces.contains(surface));
    let (contracts, ours): (Vec<Part>, Vec<Part>) = on.map(|surface| surface.part()).partition(|part| part.is_contract);
    let merged = |routes, parts: Vec<Part>| {
        parts.iter().fold(routes, |routes: Router<SharedApp>, part| routes.merge((part.routes)(&app.options)))
    };
    let mut routes = merged(about().merge(among_nodes(&app)), ours);
    if app.options.bench {
        routes = routes.route("/v1/noop", post(v1::noop));
    }
    // Not for the contracts: each answers a wrong verb in its own shape.
    let routes = merged(routes.method_not_allowed_fallback(problem::method_not_allowed), contracts);
    routes.fallback(problem::not_found).layer(Observe(app.metrics.clone())).with_state(app)
}

/// The routes of a node that has joined and does not hold yet what the others hold.
pub fn waiting_router(app: SharedApp) -> Router {
    // The clock is among them: a wrong clock may be why the others do not answer.
    let mut routes = about().merge(among_nodes(&app)).merge(clock()).route("/v1/status", get(v1::status));
    if app.options.surfaces.contains(&Surface::Metrics) {
        routes = routes.merge(measured());
    }
    let mut routes = routes.method_not_allowed_fallback(problem::method_not_allowed);
    if app.options.surfaces.contains(&Surface::Check) {
        routes = routes.merge(check::blind_routes());
    }
    if app.options.serves_oauth() {
        routes = routes.merge(oauth::waiting(&app.options.compat.oauth));
    }
    routes.fallback(problem::not_admitted).layer(Observe(app.metrics.clone())).with_state(app)
}

/// The routes of a node that still asks its members whether it may continue its origin.
pub fn starting_router(hearing: peers::Hearing) -> Router {
    let routes = peers::hearing(hearing).route("/health/live", get(health::live)).merge(check::blind_routes());
    routes.merge(well_known::all_answer(problem::not_admitted)).fallback(problem::not_admitted)
}

/// The routes of every node, whatever its surfaces.
fn about() -> Router<SharedApp> {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/problems/{code}", get(problem::page))
        .merge(well_known::routes())
}

/// The time of the ledger.
fn clock() -> Router<SharedApp> {
    Router::new().route("/v1/clock", get(v1::show_clock)).route("/v1/clock/accept", post(v1::accept_clock))
}

/// Members, as administrators see them, and what nodes ask one another.
fn among_nodes(app: &App) -> Router<SharedApp> {
    Router::new()
        .route("/v1/nodes", post(v1::join_node).get(v1::list_nodes))
        .route("/v1/nodes/promote", post(v1::promote_node))
        .route("/v1/nodes/{node}", delete(v1::remove_node))
        .merge(peers::routes())
        .merge(peers::hearing(peers::Hearing::of(&app.service)))
}

fn native() -> Router<SharedApp> {
    Router::new()
        .route("/v1/applications", post(v1::register_application).get(v1::list_applications))
        .route("/v1/applications/{id}", delete(v1::remove_application))
        .route("/v1/tickets", post(v1::issue_ticket))
        .route("/v1/sessions", post(v1::issue_session))
        .route("/v1/sessions/{id}", get(v1::find_session))
        .route("/v1/sessions/{id}/extend", post(v1::extend_session))
        .route("/v1/tokens", post(v1::issue_token))
        .route("/v1/introspect", post(v1::introspect))
        .route("/v1/revocations", post(v1::revoke))
        .route("/v1/revocations/{origin}/{sequence}/reach", get(v1::reach))
        .route("/v1/imports", post(v1::import))
        .route("/v1/uses", post(v1::report_uses))
        .route("/v1/subjects/{subject}", get(v1::subject))
        .route("/v1/subjects/{subject}/personal-data", delete(v1::erase))
        .route("/v1/events", get(v1::events))
        .route("/v1/events/{position}", get(v1::event))
        .route("/v1/events/{position}/proof", get(v1::prove))
        .route("/v1/events/{position}/sealed", get(v1::sealed))
        .route("/v1/history", get(v1::history).post(v1::presented_history))
        .route("/v1/as-of", get(v1::as_of).post(v1::presented_as_of))
        .route("/v1/keys", post(v1::rotate_key).get(v1::list_keys))
        .route("/v1/keys/{kid}", delete(v1::withdraw_key))
        .merge(clock())
        .route("/v1/status", get(v1::status))
        .route("/openapi.json", get(openapi::show))
}

fn evidence() -> Router<SharedApp> {
    Router::new()
        .route("/checkpoint", get(tlog::checkpoint))
        .route("/tile/{*path}", get(tlog::tile))
        .route("/origins/{origin}/checkpoint", get(tlog::checkpoint_of))
        .route("/origins/{origin}/tile/{*path}", get(tlog::tile_of))
}

fn measured() -> Router<SharedApp> {
    Router::new().route("/metrics", get(metrics::show))
}

fn followed() -> Router<SharedApp> {
    Router::new()
        .route("/v1/revocations", get(feed::follow))
        .route(feed::FOLLOW_PATH, post(feed::follow_body))
        .route(feed::SNAPSHOT_PATH, get(feed::snapshot))
}

/// The handlers' shared state.
pub struct App {
    /// The ledger.
    pub service: Arc<Service>,
    /// The newest revocations.
    pub hub: Arc<Hub>,
    /// Turns true when the server is to stop.
    pub stop: watch::Receiver<bool>,
    /// The metrics.
    pub metrics: SharedMetrics,
    /// The HTTP settings.
    pub options: HttpOptions,
    /// What gateways ask.
    pub checks: Arc<Checks<NodeAuthority>>,
}

impl App {
    /// The state over these parts.
    pub fn new(
        service: Arc<Service>,
        hub: Arc<Hub>,
        stop: watch::Receiver<bool>,
        metrics: SharedMetrics,
        options: HttpOptions,
    ) -> Self {
        let authority = Arc::new(NodeAuthority::new(service.clone(), hub.clone()));
        let checks = Checks::new(authority, options.check.clone(), metrics.checks.clone(), stop.clone());
        Self { service, hub, stop, metrics, options, checks: Arc::new(checks) }
    }
}

pub type SharedApp = Arc<App>;

/// The HTTP settings.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The surfaces that are served.
    pub surfaces: Vec<Surface>,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Whether a session that is issued without a device gets the one that the headers of proxies describe.
    pub device_headers: bool,
    /// The options of status lists.
    pub status_lists: status_lists::StatusListOptions,
    /// The options of other vendors' contracts.
    pub compat: compat::CompatOptions,
    /// The options of checks.
    pub check: CheckOptions,
    /// How often a follower is told that it is up to date.
    pub heartbeat: Duration,
    /// The file with root's secret, if there is one: readiness warns while it exists.
    pub root_token_file: Option<PathBuf>,
    /// Whether the handler that does nothing is served, for measuring.
    pub bench: bool,
}

impl HttpOptions {
    /// Whether documents about the issuer lead to the calls of OAuth.
    fn serves_oauth(&self) -> bool {
        self.surfaces.contains(&Surface::Oauth)
    }

    /// Whether they lead to the status lists.
    fn serves_status_lists(&self) -> bool {
        self.surfaces.contains(&Surface::Status)
    }
}

impl Default for HttpOptions {
    /// Every surface, and the defaults of the settings.
    fn default() -> Self {
        Self {
            surfaces: Surface::value_variants().to_vec(),
            body_bytes: 65_536,
            device_headers: false,
            status_lists: status_lists::StatusListOptions::default(),
            compat: compat::CompatOptions::default(),
            check: CheckOptions::default(),
            heartbeat: Duration::from_secs(15),
            root_token_file: None,
            bench: false,
        }
    }
}
