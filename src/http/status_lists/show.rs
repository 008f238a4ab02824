//! `GET /status-lists/{id}` and `GET /status-lists`

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::StatusHistory;
use crate::domain::{Scope, StatusListId};
use crate::http::problem::{Code, Problem};
use crate::http::{SharedApp, answer, caller, fields, input};
use crate::service::{Party, ServedStatusList, StatusListAnswer};
use crate::status_list::JWT_MEDIA_TYPE;

const JWT: HeaderValue = HeaderValue::from_static(JWT_MEDIA_TYPE);
const BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Five minutes.
const AGGREGATION_CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// A year: what was published does not change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const FOR_EVER_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The addresses of the lists.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusLists)]
struct StatusListsShown {
    /// Each list that takes tokens, or has one that has not expired.
    status_lists: Vec<String>,
}

/// The newest publication of a Token Status List, as a signed JWT: draft-ietf-oauth-status-list-21, section 8.1. With `time`, the one that was valid then, if
/// the operator shows earlier ones.
#[utoipa::path(
    get,
    path = "/status-lists/{id}",
    tag = "status lists",
    params(
        ("id" = String, Path, pattern = "^[a-z2-7]{16}$", description = "Its 16 characters"),
        ("time" = Option<u64>, Query, description = "Seconds since 1970: the list as it was published then"),
    ),
    responses(
        (status = 200, description = "The list", body = String, content_type = "application/statuslist+jwt"),
        (status = 304, description = "The caller has it"),
        (status = 400, description = "A problem, RFC 9457, one of: invalid-path, invalid-query", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "A problem, RFC 9457, one of: unauthenticated", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A problem, RFC 9457, one of: forbidden", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "A problem, RFC 9457, one of: unknown-status-list", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 406, description = "None of the accepted media types", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 500, description = "A problem, RFC 9457, one of: internal", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "A problem, RFC 9457, one of: status-history-off", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "A problem, RFC 9457, one of: status-list-unavailable, overloaded, stopping", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security((), ("application" = [])),
)]
pub async fn status_list(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let id: StatusListId = input::segment(&mut parts).await?.parse().map_err(|_| Code::UnknownStatusList)?;
    let headers = &parts.headers;
    if !takes_jwt(headers) {
        let line = format!("This list is {JWT_MEDIA_TYPE}, which the request does not accept.\n");
        return Ok((StatusCode::NOT_ACCEPTABLE, [(CONTENT_TYPE, PLAIN), (VARY, BY)], line).into_response());
    }
    if let Some(at_seconds) = time(parts.uri.query())? {
        return then(&app, headers, id, at_seconds).await;
    }
    match app.service.status_list(id) {
        StatusListAnswer::Found(list) => Ok(now(&list, headers, app.service.clock().now().as_seconds())),
        StatusListAnswer::Unknown => Err(Code::UnknownStatusList.into()),
        StatusListAnswer::Unavailable => Err(Code::StatusListUnavailable.into()),
    }
}

/// The addresses of all Token Status Lists: draft-ietf-oauth-status-list-21, section 9.3.
#[utoipa::path(
    get,
    path = "/status-lists",
    tag = "status lists",
    responses((status = 200, description = "The addresses", body = StatusListsShown)),
    security(()),
)]
pub async fn status_lists(State(app): State<SharedApp>) -> Response {
    let shown = StatusListsShown { status_lists: app.service.status_list_uris() };
    let mut response = answer::json(StatusCode::OK, &shown);
    response.headers_mut().insert(CACHE_CONTROL, AGGREGATION_CACHED);
    response
}

/// Whether the caller takes the form that there is.
fn takes_jwt(headers: &HeaderMap) -> bool {
    let elements = fields::elements(headers, &ACCEPT);
    elements.is_empty() || fields::accepted(&elements, JWT_MEDIA_TYPE).is_some_and(|(weight, _)| weight > 0)
}

/// The parameter `time`. Others are left alone, as the draft says nothing of them.
fn time(query: Option<&str>) -> Result<Option<u64>, Problem> {
    let mut times = query.unwrap_or_default().split('&').filter_map(|pair| match pair.split_once('=') {
        Some(("time", value)) => Some(value),
        None if pair == "time" => Some(""),
        _ => None,
    });
    match (times.next(), times.next()) {
        (None, _) => Ok(None),
        (Some(digits), None) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Beyond all numbers is after everything.
            Ok(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => Err(Problem::with_detail(Code::InvalidQuery, "`time` must be given once, in seconds since 1970")),
    }
}

fn now(list: &ServedStatusList, headers: &HeaderMap, now_seconds: u64) -> Response {
    let published = &list.published;
    let left = published.exp.saturating_sub(now_seconds).min(published.ttl);
    let is_gzip = fields::accepts_coding(headers, "gzip");
    let (body, suffix) = if is_gzip { (&list.gzip, "-gzip") } else { (&list.token, "") };
    let mut response = tagged(body.clone(), &format!("\"{}{suffix}\"", list.hash), headers);
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, value(&format!("public, max-age={left}")));
    fields.insert(LAST_MODIFIED, value(&http_date(published.iat)));
    if is_gzip && fields.contains_key(CONTENT_TYPE) {
        fields.insert(CONTENT_ENCODING, GZIP);
    }
    response
}

/// The publication of that time, exactly as it was sent.
async fn then(app: &SharedApp, headers: &HeaderMap, id: StatusListId, at_seconds: u64) -> Result<Response, Problem> {
    let (party, kept) = match app.options.status_lists.history {
        StatusHistory::Off => return Err(Code::StatusHistoryOff.into()),
        StatusHistory::Audit => {
            (Party::of(&caller::authorise_everywhere(app, headers, Scope::Audit).await?), FOR_EVER_PRIVATE)
        }
        // Strangers share what one caller may ask.
        StatusHistory::Public => (Party::NODE, FOR_EVER),
    };
    let token = app.service.status_list_at(&party, id, at_seconds).await?.ok_or(Code::UnknownStatusList)?;
    let hash =
        crate::domain::hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref());
    let mut response = tagged(token.into(), &format!("\"{hash}\""), headers);
    response.headers_mut().insert(CACHE_CONTROL, kept);
    Ok(response)
}

/// The body under that tag, or 304 if the caller has it.
fn tagged(body: Bytes, tag: &str, headers: &HeaderMap) -> Response {
    let mut response = if has(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, JWT)], Body::from(body)).into_response()
    };
    response.headers_mut().insert(ETAG, value(tag));
    response.headers_mut().insert(VARY, BY);
    response
}

/// RFC 9110, section 13.1.2: tags are compared weakly.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Digits, letters and punctuation that this module makes.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// RFC 9110, section 5.6.7.
fn http_date(seconds: u64) -> String {
    let mut date = String::new();
    let instant = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    if let Some(instant) = instant {
        let _ = write!(date, "{}", instant.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    }
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_one_form_that_http_writes() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_time_is_given_once_and_in_digits() {
        assert_eq!(time(None).ok(), Some(None));
        assert_eq!(time(Some("x=1&times=2")).ok(), Some(None));
        assert_eq!(time(Some("a=b&time=17")).ok(), Some(Some(17)));
        assert_eq!(time(Some("time=99999999999999999999999")).ok(), Some(Some(u64::MAX)));
        for bad in ["time", "time=", "time=1.5", "time=-1", "time=+1", "time=1&time=1", "time=%31"] {
            assert!(time(Some(bad)).is_err(), "{bad}");
        }
    }
}
