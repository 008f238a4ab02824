//! The OpenAPI 3.1 document, generated from the handlers; each surface contributes its own part.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa::{IntoParams, IntoResponses, OpenApi as _};

use super::compat::{crafter, cribl, ory, slashid};
use super::problem::{Code, ProblemBody};
use super::{feed, health, peers, problem, tlog, v1, well_known};

/// What every surface shares.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "authledger", description = "Every issue and every end of a ticket, session or token, durable and streamed to those who enforce it."),
    paths(health::live, health::ready, problem::page, well_known::jwks, well_known::configuration),
    components(schemas(ProblemBody)),
    tags(
        (name = "applications", description = "Who may call, and what for"),
        (name = "tickets", description = "Bearer secrets whose life slides with their use"),
        (name = "sessions", description = "Logged-in devices, with whom and what they were authenticated by"),
        (name = "tokens", description = "Bearer tokens: JWTs that this ledger signs, or opaque ones"),
        (name = "keys", description = "What signs this ledger's tokens, and verifies them"),
        (name = "credentials", description = "Whether one is good, and making it not so"),
        (name = "feed", description = "Every ending, as it happens"),
        (name = "subjects", description = "What somebody has"),
        (name = "audit", description = "The log itself"),
        (name = "evidence", description = "What shows that the log is what it was: checkpoints, tiles and proofs"),
        (name = "clock", description = "What time it is for the ledger"),
        (name = "nodes", description = "The nodes that belong together, and how far each has got"),
        (name = "about", description = "This process"),
    ),
)]
struct Common;

const SCHEME: &str = "application";

/// The document with every surface's part.
pub fn document() -> OpenApi {
    // A surface joins with one more merge here.
    let mut document = Common::openapi().merge_from(v1::Api::openapi()).merge_from(feed::Api::openapi());
    for part in [
        tlog::Api::openapi(),
        peers::Api::openapi(),
        crafter::Api::openapi(),
        ory::Api::openapi(),
        slashid::Api::openapi(),
        cribl::Api::openapi(),
    ] {
        document.merge(part);
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

/// Every refusal of the native surface has one form. Which of the statuses a call has follows from what it takes.
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

/// What may come with every command.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used; the headers are read where callers are")]
pub(super) struct CommandHeaders {
    /// Makes it safe to send the command again: the same body gets the first answer, another one is refused. 24 hours,
    /// for this caller, method and path.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 16, max_length = 255)]
    idempotency_key: (),
    /// Which nodes must have applied the command before it is answered; durable on this one if left out.
    #[param(rename = "Ledger-Consistency", value_type = String, required = false, pattern = "^(local_region|all_regions)$")]
    ledger_consistency: (),
    /// How many seconds to wait for them; 30 if left out.
    #[param(rename = "Ledger-Consistency-Timeout", value_type = u64, required = false, minimum = 1, maximum = 120)]
    ledger_consistency_timeout: (),
    /// The caller's own name of the request, 1 to 64 visible ASCII characters; it goes on record.
    #[param(rename = "X-Request-ID", value_type = String, required = false, max_length = 64)]
    x_request_id: (),
}
