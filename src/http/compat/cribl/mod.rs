//! Cribl's invalidation of a user's tokens, so that its SDKs work unmodified.
//!
//! A user is a subject. Everything that was issued to it until now is inactive at once, and everything that is issued
//! from now on is active. Every answer is JSON, and repeating a request changes nothing: the SDKs do so by themselves.
//!
//! Two things are not Cribl's. A caller presents an application's secret, because otherwise anybody could revoke
//! anybody's tokens; and `kinds` and `X-Tenant` reach what Cribl does not have.

mod asked;
mod error;
mod invalidate;
mod wire;

use axum::Router;
use axum::http::Method;
use axum::routing::delete;

use crate::http::SharedApp;
use error::CriblError;

/// Paths before the call: Cribl's own, and none.
const BASES: [&str; 2] = ["", "/api/v1"];

/// The whole contract.
pub fn routes() -> Router<SharedApp> {
    let route = |router: Router<SharedApp>, base| {
        router.route(&format!("{base}/auth/users/{{id}}/token"), delete(invalidate::invalidate))
    };
    BASES.into_iter().fold(Router::new(), route).method_not_allowed_fallback(wrong_verb)
}

async fn wrong_verb(method: Method) -> CriblError {
    CriblError::WrongVerb(method)
}

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(invalidate::invalidate),
    components(schemas(wire::CriblErrorBody)),
    tags((name = "cribl", description = "Cribl's contract: invalidating a user's tokens")),
)]
pub struct CriblApi;
