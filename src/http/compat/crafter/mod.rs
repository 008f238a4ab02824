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
mod openapi;
mod parameters;
mod published;
mod tickets;
mod wire;

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, any, get, post};

use crate::http::SharedApp;
use error::CrafterError;

pub use config::{CrafterOptions, CrafterSettings};
pub use openapi::CrafterApi;
pub use published::{
    PUBLISHED_ACCESS_TOKENS, ensure_published_access_tokens, is_published, remove_published_access_tokens,
};

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
