//! The keys that verify this ledger's tokens, and the document that leads to them: RFC 7517 and OpenID Connect
//! Discovery 1.0.
//!
//! Pages of every origin may read them, because they are public: verifiers run in browsers, too.
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_TYPE, ORIGIN,
};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};

use super::oauth::members_of;
use super::problem::{self, Code, Problem};
use super::{App, SharedApp, answer};

/// The path of the keys, under any base.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// The path of the document, under any base.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// A minute. Verifiers that keep keys longer find the next one among them: it is published long before it signs.
pub const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// Ten minutes, the longest that every browser keeps a preflight's answer.
const PREFLIGHT_SECONDS: u64 = 600;

/// The paths without a base.
pub(super) fn routes() -> Router<SharedApp> {
    let documents = Router::new().route(JWKS_PATH, get(jwks)).route(CONFIGURATION_PATH, get(configuration));
    // Set here, because a fallback that is set later would be outside the layer.
    documents
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(across_origins))
        .merge(all_answer(problem::not_found))
}

/// All paths of this kind, which answer with that.
pub(super) fn all_answer<S, H, T>(handler: H) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
{
    Router::new().route("/.well-known/{*path}", any(handler)).layer(from_fn(across_origins))
}

/// Answers preflights, and lets pages of every origin read each answer: a refusal, too, so that a page learns why.
///
/// The answer is the same for every origin, so caches may give one origin's to another. Never with credentials.
pub async fn across_origins(request: Request, next: Next) -> Response {
    const ANY: HeaderValue = HeaderValue::from_static("*");
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS.into());
    }
    response
}

/// The public keys that verify this ledger's tokens: the keys that sign now, those that are next, and the earlier keys
/// whose tokens may still be active.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "published_keys",
    tag = "keys",
    responses((status = 200, description = "A JWK set, RFC 7517", body = Object)),
    security(()),
)]
pub async fn jwks(State(app): State<SharedApp>) -> Response {
    let set = app.service.key_set();
    let headers = [(CONTENT_TYPE, answer::JSON), (CACHE_CONTROL, CACHED)];
    (StatusCode::OK, headers, set.body.clone()).into_response()
}

/// The issuer of this ledger's tokens, and where its keys are, in the members of OpenID Connect Discovery 1.0 that
/// apply to it.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    operation_id = "token_issuer",
    tag = "keys",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 503, description = "A problem, RFC 9457, one of: issuer-not-configured", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(()),
)]
pub async fn configuration(State(app): State<SharedApp>, uri: Uri) -> Result<Response, Problem> {
    configuration_at(&app, uri.path()).ok_or(Problem::new(Code::IssuerNotConfigured))
}

/// The document for that path, if this server signs tokens. It leads to keys under the same base, so that both are served
/// or neither is.
pub fn configuration_at(app: &App, path: &str) -> Option<Response> {
    let issuer = app.service.token_issuer()?;
    let base = path.strip_suffix(CONFIGURATION_PATH).unwrap_or_default();
    let mut body = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": format!("{}{base}{JWKS_PATH}", issuer.as_str()),
        // Some verifiers take this list once, when they start: the next key's algorithm is among them.
        "id_token_signing_alg_values_supported": app.service.key_set().algorithms,
        "subject_types_supported": ["public"],
        // It issues tokens to applications that ask for them, and does not redirect anybody.
        "response_types_supported": ["none"],
    });
    if let (Value::Object(members), true) = (&mut body, app.options.serves_oauth()) {
        members.extend(members_of(app, &issuer));
    }
    let mut response = answer::json(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    Some(response)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_page_reads_the_refusal_of_a_node_that_is_not_ready() {
        let waiting: Router = all_answer(problem::not_admitted);
        let request = Request::builder().uri(JWKS_PATH).header(ORIGIN, "https://app.example").body(Body::empty());
        let response = waiting.oneshot(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}
