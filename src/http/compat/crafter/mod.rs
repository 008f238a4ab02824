//! Crafter Profile's authentication tickets and access tokens, so that its Java client works unmodified.
//!
//! A ticket is a ticket, a profile its subject, and an access token an application whose id is its secret. The client
//! reads strictly: an answer has exactly the members that it knows, and every error has a code that it knows.
//!
//! A request is checked in this order: route and verb, access token, parameters, the rest.

mod access_tokens;
mod asked;
mod config;
mod error;
mod parameters;
mod published;
mod refusals;
mod start;
mod tickets;
mod wire;

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, any, get, post};
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};

use crate::http::SharedApp;
use error::CrafterError;

pub use config::{CrafterOptions, CrafterSettings};
pub use published::{PUBLISHED_ACCESS_TOKENS, is_published};
pub use start::start;

/// Context paths that clients put before `/api/1`: none, the documented one, and the client's own default.
const PREFIXES: [&str; 3] = ["", "/crafter-profile", "/profile"];

/// The whole contract under every prefix.
pub fn routes() -> Router<SharedApp> {
    let whole = PREFIXES.into_iter().fold(Router::new(), |router, prefix| router.merge(under(prefix)));
    whole.method_not_allowed_fallback(wrong_verb)
}

/// Endpoints whose last segment is a word. The client asks for each with `.json` behind it.
fn named() -> [(&'static str, MethodRouter<SharedApp>); 6] {
    [
        ("/authentication/ticket/create", post(tickets::create)),
        ("/authentication/ticket/{id}/invalidate", post(tickets::invalidate)),
        ("/authentication/token/{id}/invalidate", post(tickets::invalidate_as_token)),
        ("/access_token/create", post(access_tokens::create)),
        ("/access_token/all", get(access_tokens::list)),
        ("/access_token/{id}/delete", post(access_tokens::delete)),
    ]
}

fn under(prefix: &str) -> Router<SharedApp> {
    let base = format!("{prefix}/api/1");
    // Where the last segment is an id, reading it takes the `.json` away.
    let mut router = Router::new()
        .route(&format!("{base}/authentication/ticket/{{id}}"), get(tickets::read).post(tickets::create_for))
        .route(&format!("{base}/access_token/{{id}}"), get(access_tokens::read));
    for (path, endpoint) in named() {
        router =
            router.route(&format!("{base}{path}"), endpoint.clone()).route(&format!("{base}{path}.json"), endpoint);
    }
    for unknown in ["", "/", "/{*rest}"] {
        router = router.route(&format!("{base}{unknown}"), any(no_endpoint));
    }
    router
}

async fn no_endpoint() -> CrafterError {
    CrafterError::NoEndpoint
}

async fn wrong_verb(method: Method) -> CrafterError {
    CrafterError::WrongVerb(method)
}

/// This surface's part of the OpenAPI document, under the documented base.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        tickets::create,
        tickets::create_for,
        tickets::read,
        tickets::invalidate,
        tickets::invalidate_as_token,
        access_tokens::create,
        access_tokens::read,
        access_tokens::list,
        access_tokens::delete,
    ),
    components(schemas(wire::ErrorDetails)),
    tags((
        name = "crafter",
        description = "Crafter Profile's contract: authentication tickets and access tokens. Served without `/crafter-profile` and \
                       under `/profile`, too, and with `.json` behind each path"
    )),
    modifiers(&AccessTokenId),
)]
pub struct CrafterApi;

struct AccessTokenId;

impl Modify for AccessTokenId {
    fn modify(&self, document: &mut OpenApi) {
        let value = ApiKeyValue::with_description("accessTokenId", "An application's secret; in a form, too");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("crafter", SecurityScheme::ApiKey(ApiKey::Query(value)));
    }
}
