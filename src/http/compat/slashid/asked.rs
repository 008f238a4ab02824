//! The inputs of requests: headers that are given once, and a JSON body.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::error::SlashidError;
use crate::http::wire::JsonObject;
use crate::http::{App, body, caller};
use crate::service::{Authentication, CallerIdentity, Consistency, ConsistencyLevel};

/// An application's secret.
pub const API_KEY: HeaderName = HeaderName::from_static("slashid-api-key");
/// The tenant.
pub const ORGANISATION: HeaderName = HeaderName::from_static("slashid-orgid");
/// Which nodes must have applied the call before it is answered.
pub const CONSISTENCY: HeaderName = HeaderName::from_static("slashid-required-consistency");
/// How many seconds to wait for them.
pub const TIMEOUT: HeaderName = HeaderName::from_static("slashid-required-consistency-timeout");

const DEFAULT_WAIT_SECONDS: u64 = 30;
const MAX_WAIT_SECONDS: u64 = 120;

/// The header's value, if it is given once.
pub fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &str,
) -> Result<Option<&'a HeaderValue>, SlashidError> {
    caller::once(headers, name).map_err(|_| SlashidError::Malformed(format!("`{shown}` must be given once").into()))
}

/// The application with that key.
pub fn application(app: &App, key: &HeaderValue) -> Result<CallerIdentity, SlashidError> {
    match app.service.authenticate(key.as_bytes()) {
        Authentication::Caller(identity) => Ok(identity),
        Authentication::Expired(_) | Authentication::Unknown => {
            Err(SlashidError::Unauthenticated("`SlashID-API-Key` is unknown, expired or removed"))
        }
    }
}

/// How far the call must have spread before it is answered.
pub fn consistency(headers: &HeaderMap) -> Result<Consistency, SlashidError> {
    let level = match once(headers, &CONSISTENCY, "SlashID-Required-Consistency")?.map(HeaderValue::as_bytes) {
        None | Some(b"local_region") => ConsistencyLevel::LocalRegion,
        Some(b"all_regions") => ConsistencyLevel::AllRegions,
        Some(_) => {
            let message = "`SlashID-Required-Consistency` must be local_region or all_regions";
            return Err(SlashidError::Malformed(message.into()));
        }
    };
    Ok(Consistency { level, timeout: timeout(headers)? })
}

fn timeout(headers: &HeaderMap) -> Result<Duration, SlashidError> {
    let Some(value) = once(headers, &TIMEOUT, "SlashID-Required-Consistency-Timeout")? else {
        return Ok(Duration::from_secs(DEFAULT_WAIT_SECONDS));
    };
    // Only digits: parsing would also accept a sign.
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = text.and_then(|text| text.parse().ok()).filter(|seconds| (1..=MAX_WAIT_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        SlashidError::Malformed("`SlashID-Required-Consistency-Timeout` must be 1 to 120 whole seconds".into())
    })
}

/// The JSON object in the body. `form` says what the body must be.
pub async fn json<T: for<'de> Deserialize<'de>>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    form: &'static str,
) -> Result<T, SlashidError> {
    parsed(body::read(headers, body, app.options.body_bytes).await?, form)
}

/// The same for a caller that is authenticated by the body alone.
pub async fn json_unauthenticated<T: for<'de> Deserialize<'de>>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    form: &'static str,
) -> Result<T, SlashidError> {
    parsed(body::read_unauthenticated(headers, body, app.options.body_bytes).await?, form)
}

fn parsed<T: for<'de> Deserialize<'de>>(bytes: Bytes, form: &'static str) -> Result<T, SlashidError> {
    match serde_json::from_slice(&bytes) {
        Ok(JsonObject(read)) => Ok(read),
        Err(error) if error.is_data() => Err(SlashidError::Malformed(form.into())),
        Err(_) => Err(SlashidError::Malformed("the body must be JSON".into())),
    }
}
