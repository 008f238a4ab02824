//! SlashID's user tokens, so that its JavaScript SDK works unmodified.

use axum::Router;

use crate::http::{Options, SharedApp};

/// The whole contract.
pub fn routes(_: &Options) -> Router<SharedApp> {
    Router::new()
}
