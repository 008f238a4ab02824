//! Answers with a JSON body.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What most answers take, in bytes.
const USUAL_BYTES: usize = 320;

/// An answer with that body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    // A body of texts, numbers and lists can't fail to serialise, and a Vec takes all that is written.
    let _ = serde_json::to_writer(&mut bytes, body);
    (status, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// An answer that shows a secret this once: nobody on the way may keep it.
pub fn secret(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
