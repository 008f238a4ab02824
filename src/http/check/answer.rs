//! Answers to gateways: four statuses, and never a body.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Version};
use axum::response::Response;

use crate::check::{CheckOutcome, CheckRule, Identity, IdentityHeaders};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ZERO: HeaderValue = HeaderValue::from_static("0");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// Seconds.
const SOON: HeaderValue = HeaderValue::from_static("1");
/// RFC 6750, section 3: a request without a credential is told of no error.
const NO_CREDENTIAL: HeaderValue = HeaderValue::from_static("Bearer realm=\"authledger\"");
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"authledger\", error=\"invalid_token\"");
const INSUFFICIENT_SCOPE: &str = "Bearer realm=\"authledger\", error=\"insufficient_scope\"";

/// The challenge of a rule to a bearer whose credential is active and does not suffice.
pub struct Challenge(HeaderValue);

impl Challenge {
    pub fn of(rule: &CheckRule) -> Self {
        let scope = rule.scope.join(" ");
        let scope = if scope.is_empty() { String::new() } else { format!(", scope=\"{scope}\"") };
        // A scope has no character that a header may not have.
        let challenge = HeaderValue::from_str(&format!("{INSUFFICIENT_SCOPE}{scope}"));
        Self(challenge.unwrap_or(HeaderValue::from_static(INSUFFICIENT_SCOPE)))
    }

    pub const fn as_value(&self) -> &HeaderValue {
        &self.0
    }
}

/// The challenge that goes with an outcome under a rule.
pub fn challenge(outcome: CheckOutcome, rule: Option<&Challenge>) -> Option<HeaderValue> {
    match outcome {
        CheckOutcome::NoCredential => Some(NO_CREDENTIAL),
        CheckOutcome::Malformed
        | CheckOutcome::Inactive
        | CheckOutcome::OtherKind
        | CheckOutcome::OtherTenant
        | CheckOutcome::OtherIssuer
        | CheckOutcome::OtherAudience => Some(INVALID_TOKEN),
        CheckOutcome::NoScope | CheckOutcome::LowAal => rule.map(|rule| rule.as_value().clone()),
        CheckOutcome::Allowed | CheckOutcome::UnknownRule | CheckOutcome::Blind | CheckOutcome::Busy => None,
    }
}

/// The answer of a check that is not allowed.
pub fn denied(outcome: CheckOutcome, rule: Option<&Challenge>) -> Response {
    let mut response = empty();
    *response.status_mut() = outcome.status();
    let headers = response.headers_mut();
    if let Some(challenge) = challenge(outcome, rule) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if matches!(outcome, CheckOutcome::Blind | CheckOutcome::Busy) {
        headers.insert(RETRY_AFTER, SOON);
    }
    response
}

/// The answer of a check that is allowed.
pub fn allowed(names: &IdentityHeaders, identity: Identity) -> Response {
    let mut response = empty();
    response.headers_mut().extend(names.lines(identity));
    response
}

fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(16);
    headers.insert(CONTENT_LENGTH, ZERO);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Fits an answer to its request's method and version.
pub fn fit(response: &mut Response, request: &Parts, announces_body: bool) {
    // RFC 9110, section 9.3.6: a 2xx to CONNECT has no length.
    if request.method == Method::CONNECT && response.status().is_success() {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    // Nobody reads the body, so the next request could not be told from the rest. A stream of HTTP/2 ends by itself.
    if announces_body && request.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
}
