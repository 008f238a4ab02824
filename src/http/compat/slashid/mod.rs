//! SlashID's user tokens, so that its JavaScript SDK works unmodified.
//!
//! An organisation is a tenant, a person its subject, a user token a JWT: one of this ledger, or of an issuer that the
//! operator trusts. Errors are a list with one member, and a success has no such list: an empty list is true in
//! JavaScript, and the SDK throws.
//!
//! A request is checked in this order: route and verb, caller, inputs, whether the caller may ask this there, the rest.

mod asked;
mod config;
mod cors;
mod error;
mod mint;
mod published;
mod revoke;
mod validate;
mod wire;

use axum::Router;
use axum::http::Method;
use axum::routing::{get, post};

use crate::http::{SharedApp, well_known};
use cors::Cors;
use error::SlashidError;

pub use config::{SlashidOptions, SlashidSettings};

/// The whole contract under both bases. The native surface publishes the keys without a base.
pub fn routes(options: &SlashidOptions) -> Router<SharedApp> {
    let mut routes = calls("");
    if !options.prefix.is_empty() {
        routes = routes.merge(calls(&options.prefix)).merge(keys(&options.prefix));
    }
    let cors = axum::middleware::from_fn_with_state(Cors::new(&options.cors_origins), cors::across_origins);
    routes.method_not_allowed_fallback(wrong_verb).layer(cors)
}

fn calls(base: &str) -> Router<SharedApp> {
    Router::new()
        .route(&format!("{base}/token/revoke"), post(revoke::revoke))
        .route(&format!("{base}/token/validate"), post(validate::validate))
        .route(&format!("{base}/persons/{{person_id}}/mint-token"), post(mint::mint_token))
}

fn keys(base: &str) -> Router<SharedApp> {
    Router::new()
        .route(&format!("{base}{}", well_known::JWKS_PATH), get(published::jwks))
        .route(&format!("{base}{}", well_known::CONFIGURATION_PATH), get(published::configuration))
}

async fn wrong_verb(method: Method) -> SlashidError {
    SlashidError::WrongVerb(method)
}

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(revoke::revoke, validate::validate, mint::mint_token, published::jwks, published::configuration),
    components(schemas(wire::Errors)),
    tags((name = "slashid", description = "SlashID's contract: user tokens")),
    modifiers(&ApiKey),
)]
pub struct SlashidApi;

/// The name of SlashID's key in OpenAPI.
const SCHEME: &str = "slashid";

struct ApiKey;

impl utoipa::Modify for ApiKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
        let value = ApiKeyValue::with_description("SlashID-API-Key", "An application's secret");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(SCHEME, SecurityScheme::ApiKey(ApiKey::Header(value)));
    }
}
