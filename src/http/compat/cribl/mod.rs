//! Cribl's invalidation of a user's tokens, so that its SDKs work unmodified.

use axum::Router;

use crate::http::SharedApp;

/// The whole contract.
pub fn routes() -> Router<SharedApp> {
    Router::new()
}
