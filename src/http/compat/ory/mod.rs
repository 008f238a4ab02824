//! Ory's sessions, public and admin, so that its SDKs work unmodified.

use axum::Router;

use crate::http::{Options, SharedApp};

/// The whole contract.
pub fn routes(_: &Options) -> Router<SharedApp> {
    Router::new()
}
