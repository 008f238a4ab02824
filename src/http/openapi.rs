//! The OpenAPI 3.1 document, generated from the handlers; each surface contributes its own part.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa::{IntoParams, IntoResponses, OpenApi as _};

use super::problem::{Code, ProblemBody};
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

/// Every refusal of the native surface has the same form. The statuses that a call can have follow from its inputs.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for code in Code::ALL {
            codes.entry(code.status().as_u16()).or_default().push(code.as_str());
        }
        let problem = |(status, codes): (u16, Vec<&str>)| {
            let body = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(format!("A problem, RFC 9457, one of: {}", codes.join(", ")))
                .content("application/problem+json", body);
            (status.to_string(), response.build().into())
        };
        codes.into_iter().map(problem).collect()
    }
}

/// The headers that every command can have.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used; the headers are read where callers are")]
pub(super) struct CommandHeaders {
    /// Makes it safe to send the command again: the same body gets the first answer, and a different body is refused.
    /// Valid for 24 hours, for this caller, method and path.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 16, max_length = 255)]
    idempotency_key: (),
    /// Which nodes must have applied the command before it is answered; if left out, it is durable on this one only.
    #[param(rename = "Ledger-Consistency", value_type = String, required = false, pattern = "^(local_region|all_regions)$")]
    ledger_consistency: (),
    /// How many seconds to wait for them; 30 if left out.
    #[param(rename = "Ledger-Consistency-Timeout", value_type = u64, required = false, minimum = 1, maximum = 120)]
    ledger_consistency_timeout: (),
    /// The caller's own id of the request, 1 to 64 visible ASCII characters; it goes on record.
    #[param(rename = "X-Request-ID", value_type = String, required = false, max_length = 64)]
    x_request_id: (),
}
