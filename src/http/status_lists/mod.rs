//! Token Status Lists, draft-ietf-oauth-status-list-21: for everybody, without credentials, and for caches.

mod config;
mod show;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;

use super::{SharedApp, problem, well_known};

pub use config::{ListedTokens, StatusHistory, StatusListArgs, StatusListOptions};

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(show::status_list, show::status_lists))]
pub struct StatusListApi;

pub(super) fn routes() -> Router<SharedApp> {
    let lists = Router::new()
        .route("/status-lists", get(show::status_lists))
        .route("/status-lists/{id}", get(show::status_list));
    // Set here, because a fallback that is set later would be outside the layer.
    lists.method_not_allowed_fallback(problem::method_not_allowed).layer(from_fn(well_known::across_origins))
}
