//! The OpenAPI 3.1 document, generated from the handlers; each surface contributes its own part.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum as _;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, SecurityRequirement};

use super::problem::ProblemBody;
use super::{Surface, health, peers, problem, well_known};

/// The part that every surface shares.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "authledger", description = "The issue and revocation of every ticket, session and token, durable and streamed to the applications that enforce it."),
    paths(health::live, health::ready, problem::page, well_known::jwks, well_known::configuration),
    components(schemas(ProblemBody)),
    tags(
        (name = "applications", description = "The applications that may call, and what they may do"),
        (name = "tickets", description = "Bearer secrets that each use prolongs"),
        (name = "sessions", description = "Logged-in devices, with their subject and how it was authenticated"),
        (name = "tokens", description = "Bearer tokens: JWTs that this ledger signs, or opaque ones"),
        (name = "keys", description = "The keys that sign and verify this ledger's tokens"),
        (name = "status lists", description = "Token Status Lists: which JWTs were revoked, signed, for everybody and for caches"),
        (name = "credentials", description = "Checking and revoking a credential"),
        (name = "feed", description = "Every revocation, as it happens"),
        (name = "subjects", description = "The credentials of a subject"),
        (name = "audit", description = "The log itself"),
        (name = "evidence", description = "Evidence that the log was not changed: checkpoints, tiles and proofs"),
        (name = "clock", description = "Ledger time"),
        (name = "nodes", description = "The nodes of the ledger, and how far each has applied it"),
        (name = "about", description = "This process"),
    ),
)]
struct Common;

const SCHEME: &str = "application";

/// The document with every surface's part.
pub fn document() -> OpenApi {
    let mut document = Common::openapi().merge_from(peers::PeersApi::openapi());
    for surface in Surface::value_variants() {
        document.merge((surface.part().document)());
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An application's secret"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer.build()));
    document.security = Some(vec![SecurityRequirement::new(SCHEME, [] as [&str; 0])]);
    document
}

/// The document as it is served.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| crate::json::pretty(&document()));
    &JSON
}

/// `GET /openapi.json`
pub async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], json()).into_response()
}
