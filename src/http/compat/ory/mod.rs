//! Ory's sessions, public and admin, so that its SDKs work unmodified.
//!
//! A session is a session, an identity its subject, and an API key an application's secret. Holders of a session token
//! make the public calls, about the sessions of their own subject; applications make the admin calls.
//!
//! A request is checked in this order: route and verb, credentials, identifier and parameters, whether the session or
//! identity exists.

mod admin;
mod api;
mod authority;
mod config;
mod credentials;
mod document;
mod error;
mod id;
mod identity;
mod paging;
mod public;
mod query;
mod tokenize;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use axum::{Extension, Router};

use crate::http::{SharedApp, caller};
use error::OryError;
use tokenize::Tokens;

pub use api::OryApi;
pub use config::{OryOptions, OrySettings, Template};

/// An answer about sessions is true for that moment only, so no cache may keep it.
const NEVER_KEPT: HeaderValue = HeaderValue::from_static("private, no-cache, no-store, must-revalidate");

/// The verbs of `whoami`. DELETE is among them, because `whoami` is not a session's id; gateways that ask about a caller
/// send the verb of the caller's own request, so OPTIONS is, too.
const WHOAMI: MethodFilter = MethodFilter::GET
    .or(MethodFilter::POST)
    .or(MethodFilter::PUT)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::OPTIONS);

/// Paths with an empty id. A call there was meant for one session or identity, and must not reach all of them.
const WITHOUT_ID: [&str; 6] = [
    "/sessions/",
    "/admin/sessions/",
    "/admin/sessions//extend",
    "/admin/sessions//extend/",
    "/admin/identities//sessions",
    "/admin/identities//sessions/",
];

/// The whole contract, under the prefix and without it.
pub fn routes(options: &OryOptions) -> Router<SharedApp> {
    let prefixes = BTreeSet::from(["", &options.prefix]);
    let whole = prefixes.into_iter().fold(Router::new(), |router, prefix| router.merge(under(prefix)));
    whole.method_not_allowed_fallback(wrong_verb).layer(Extension(Arc::new(Tokens::default())))
}

fn endpoints() -> [(&'static str, MethodRouter<SharedApp>); 8] {
    [
        ("/sessions/whoami", endpoint(WHOAMI, public::whoami)),
        (
            "/sessions",
            endpoint(MethodFilter::GET, public::list).merge(endpoint(MethodFilter::DELETE, public::disable_others)),
        ),
        ("/sessions/{id}", endpoint(MethodFilter::DELETE, public::disable)),
        ("/self-service/logout/api", endpoint(MethodFilter::DELETE, public::log_out)),
        (
            "/admin/sessions",
            endpoint(MethodFilter::GET, admin::list).merge(endpoint(MethodFilter::POST, admin::manage)),
        ),
        (
            "/admin/sessions/{id}",
            endpoint(MethodFilter::GET, admin::get).merge(endpoint(MethodFilter::DELETE, admin::disable)),
        ),
        ("/admin/sessions/{id}/extend", endpoint(MethodFilter::PATCH, admin::extend)),
        (
            "/admin/identities/{id}/sessions",
            endpoint(MethodFilter::GET, admin::list_of_identity)
                .merge(endpoint(MethodFilter::DELETE, admin::revoke_all_of_identity)),
        ),
    ]
}

fn under(prefix: &str) -> Router<SharedApp> {
    let calls = endpoints().into_iter().fold(Router::new(), |router, (path, endpoint)| {
        let router = router.route(&format!("{prefix}{path}"), endpoint.clone());
        let slashed = format!("{path}/");
        // The SDKs never leave a trailing slash; people who join paths by hand do.
        if WITHOUT_ID.contains(&&*slashed) { router } else { router.route(&format!("{prefix}{slashed}"), endpoint) }
    });
    WITHOUT_ID.into_iter().fold(calls, |router, path| router.route(&format!("{prefix}{path}"), any(without_id)))
}

/// A handler under these verbs, whose refusals are answered in Ory's shape.
fn endpoint<H, A>(verbs: MethodFilter, handler: H) -> MethodRouter<SharedApp>
where
    H: Fn(SharedApp, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response, OryError>> + Send + 'static,
{
    on(verbs, move |State(app): State<SharedApp>, request: Request| {
        let id = caller::request_id(request.headers());
        let answer = handler(app, request);
        async move {
            let mut response = answer.await.unwrap_or_else(|refusal| refusal.answer(id.as_ref()));
            response.headers_mut().insert(CACHE_CONTROL, NEVER_KEPT);
            response
        }
    })
}

async fn without_id(request: Request) -> Response {
    let mut response = id::empty().answer(caller::request_id(request.headers()).as_ref());
    response.headers_mut().insert(CACHE_CONTROL, NEVER_KEPT);
    response
}

async fn wrong_verb(request: Request) -> Response {
    OryError::WrongVerb.answer(caller::request_id(request.headers()).as_ref())
}
