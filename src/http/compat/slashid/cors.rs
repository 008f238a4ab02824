//! Pages of other origins: which origins may call, and what their browsers may send.
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>
//!
//! Never with credentials: a caller presents a token in a header, and a cookie could only come from somebody else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// The headers that the SDK sends, and those of a page that does not want a stale answer.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, dpop, cache-control, slashid-sdkversion, slashid-orgid, slashid-api-key, \
     slashid-required-consistency, slashid-required-consistency-timeout",
);
/// Ten minutes, the longest that every browser keeps a preflight's answer.
const PREFLIGHT_SECONDS: u64 = 600;

/// The origins whose pages may call.
#[derive(Clone)]
pub struct Cors(Arc<[String]>);

impl Cors {
    /// These, each as a browser writes it.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        // Browsers write scheme and host in lower case; an operator may not.
        let listed = |own: &String| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        self.0.iter().any(listed).then(|| origin.clone())
    }
}

/// Answers preflights, and lets pages of the listed origins read the answers to calls. Other origins are told nothing.
pub async fn across_origins(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let allowed = cors.allowed(request.headers());
    let preflight = is_preflight(&request);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    // On every answer: a cache must not give one origin's answer to another.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed else { return response };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS.into());
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
