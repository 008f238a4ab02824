//! The query and headers of a follower's request.

use std::cmp::Reverse;
use std::str::FromStr as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::compact::MEDIA_TYPE;
use crate::domain::{Kind, Kinds, Malformed, Tenant};
use crate::feed::{Cursor, FollowStart, FrameFormat, NoCursor};
use crate::http::fields;
use crate::http::input;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{TextForm, Whole, WireText, present};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// The longest that a request for a page waits for something to put on it.
const MAX_WAIT_SECONDS: u64 = 120;

/// The client's wishes about how an answer is made (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The layouts by their media types.
const LAYOUTS: [(&str, FeedLayout); 4] = [
    ("text/event-stream", FeedLayout::Stream(StreamForm::Text(FrameFormat::EventStream))),
    ("application/x-ndjson", FeedLayout::Stream(StreamForm::Text(FrameFormat::Lines))),
    (MEDIA_TYPE, FeedLayout::Stream(StreamForm::Compact)),
    ("application/json", FeedLayout::Page),
];
/// The forms of a snapshot by their media types.
const SNAPSHOTS: [(&str, StreamForm); 2] =
    [(MEDIA_TYPE, StreamForm::Compact), ("application/x-ndjson", StreamForm::Text(FrameFormat::Lines))];

/// How the answer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedLayout {
    /// One page of JSON.
    Page,
    /// A stream that does not end.
    Stream(StreamForm),
}

/// The form of a stream or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamForm {
    /// JSON.
    Text(FrameFormat),
    /// Frames with marks.
    Compact,
}

impl StreamForm {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text(FrameFormat::EventStream) => "text/event-stream",
            Self::Text(FrameFormat::Lines) => "application/x-ndjson",
            Self::Compact => MEDIA_TYPE,
        }
    }
}

/// A follower's request.
#[derive(Debug)]
pub struct Wanted {
    /// Where to start: `Last-Event-ID` takes precedence over `lastEventId`, and that over `after`; from now on without any.
    pub start: FollowStart,
    /// One tenant only.
    pub tenant: Option<Tenant>,
    /// These kinds only; all without `kind`.
    pub kinds: Kinds,
    /// The most revocations on a page.
    pub limit: usize,
    /// How long a request for a page waits for something to put on it.
    pub wait: Duration,
    /// How the answer is laid out.
    pub layout: FeedLayout,
}

/// The parameters as they stand in the query. An unknown one is refused: a filter with a typo would hide nothing.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedParameters {
    /// The cursor to continue from; `0` is the beginning. From now on if left out.
    after: Option<String>,
    /// The same, as EventSource polyfills that can't send `Last-Event-ID` name it; it takes precedence over `after`.
    #[serde(rename = "lastEventId")]
    #[param(rename = "lastEventId")]
    last_event_id: Option<String>,
    /// One tenant only; every one that the caller may follow if left out.
    #[param(value_type = Option<String>)]
    tenant: Option<WireText<Tenant>>,
    /// These kinds only, separated by commas: ticket, session, token.
    #[param(value_type = Option<String>)]
    kind: Option<WireText<Kinds>>,
    /// Items on a page of JSON.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<WireText<Whole>>,
}

/// The headers of a follower.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used; the headers are read one by one")]
pub struct FollowerHeaders {
    /// The cursor to continue from; it takes precedence over `after`
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
    /// `wait=30`: a page waits that many seconds for its first item, 120 at most
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

/// A follower's request whose cursor is too long for a header or a query: each origin adds 39 characters to it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Follow)]
pub struct FollowBody {
    /// The cursor to continue from; `0` is the beginning. From now on if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    after: Option<String>,
    /// One tenant only; every one that the caller may follow if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    tenant: Option<WireText<Tenant>>,
    /// These kinds only, separated by commas: ticket, session, token.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    kind: Option<WireText<Kinds>>,
    /// Items on a page of JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u64, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// The parameters of a snapshot.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SnapshotParameters {
    /// One tenant only; every one that the caller may follow if left out.
    #[param(value_type = Option<String>)]
    tenant: Option<WireText<Tenant>>,
    /// These kinds only, separated by commas: ticket, session, token.
    #[param(value_type = Option<String>)]
    kind: Option<WireText<Kinds>>,
}

impl TextForm for Kinds {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.split(',').map(Kind::from_str).collect()
    }
}

impl Wanted {
    /// Reads query and headers.
    pub fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let FeedParameters { after, last_event_id: polyfilled, tenant, kind, limit } = input::query(uri)?;
        let start = begin([last_event_id(headers)?, polyfilled.as_deref()], after.as_deref())?;
        let limit = input::limit(limit.map(|WireText(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_LIMIT)?;
        Ok(Self::new(headers, start, tenant, kind, limit))
    }

    /// Reads body and headers.
    pub fn read_body(body: &[u8], headers: &HeaderMap) -> Result<Self, Problem> {
        let FollowBody { after, tenant, kind, limit } = input::json(headers, body)?;
        let start = begin([last_event_id(headers)?, None], after.as_deref())?;
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = input::limit_in(Code::InvalidBody, limit, DEFAULT_LIMIT, MAX_LIMIT)?;
        Ok(Self::new(headers, start, tenant, kind, limit))
    }

    fn new(
        headers: &HeaderMap,
        start: FollowStart,
        tenant: Option<WireText<Tenant>>,
        kinds: Option<WireText<Kinds>>,
        limit: usize,
    ) -> Self {
        Self {
            start,
            tenant: tenant.map(|WireText(tenant)| tenant),
            kinds: kinds.map_or(Kinds::ALL, |WireText(kinds)| kinds),
            limit,
            wait: wait(headers),
            layout: preferred(headers, &LAYOUTS).unwrap_or(FeedLayout::Page),
        }
    }
}

/// The form of a snapshot: lines, unless the client prefers the other one.
pub fn snapshot_form(headers: &HeaderMap) -> StreamForm {
    preferred(headers, &SNAPSHOTS).unwrap_or(StreamForm::Text(FrameFormat::Lines))
}

/// The tenant and the kinds of a snapshot.
pub fn of_snapshot(uri: &Uri) -> Result<(Option<Tenant>, Kinds), Problem> {
    let SnapshotParameters { tenant, kind } = input::query(uri)?;
    Ok((tenant.map(|WireText(tenant)| tenant), kind.map_or(Kinds::ALL, |WireText(kinds)| kinds)))
}

/// An empty last event's id is none: an EventSource that has received nothing may send that. An empty `after` is refused, because
/// its sender has lost a cursor.
fn begin(last_event_ids: [Option<&str>; 2], after: Option<&str>) -> Result<FollowStart, Problem> {
    let last = last_event_ids.into_iter().flatten().find(|text| !text.is_empty());
    last.or(after).map_or(Ok(FollowStart::Now), start)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let last = headers.get("last-event-id").map(HeaderValue::to_str).transpose();
    last.map_err(|_| Problem::with_detail(Code::InvalidCursor, NoCursor.to_string()))
}

fn start(text: &str) -> Result<FollowStart, Problem> {
    if text == "0" {
        return Ok(FollowStart::Beginning);
    }
    let refused = |error: NoCursor| Problem::with_detail(Code::InvalidCursor, error.to_string());
    Cursor::from_str(text).map(FollowStart::Cursor).map_err(refused)
}

/// RFC 7240: the first `wait` counts, and one that is malformed is ignored.
fn wait(headers: &HeaderMap) -> Duration {
    let preferences = fields::elements(headers, &PREFER);
    let wait = preferences.iter().find(|preference| preference.name == "wait");
    let seconds: Option<u64> = wait.and_then(|wait| wait.value.as_deref()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0).min(MAX_WAIT_SECONDS))
}

/// The form that the client weighs most; of two that weigh the same, the one that it names more exactly, or else names first. A client
/// that accepts none of them gets the last one (RFC 9110, section 12.5.1, allows that).
fn preferred<T: Copy>(headers: &HeaderMap, forms: &[(&str, T)]) -> Option<T> {
    let accepted = fields::elements(headers, &header::ACCEPT);
    let named_at = |media_type: &str| accepted.iter().position(|element| element.name == media_type);
    let rank = |(media_type, _): &&(&str, T)| {
        let first = Reverse(named_at(media_type).unwrap_or(usize::MAX));
        fields::accepted(&accepted, media_type).filter(|(weight, _)| *weight > 0).map(|how| (how, first))
    };
    // Of several that rank the same, `max_by_key` takes the last.
    forms.iter().max_by_key(rank).map(|(_, form)| *form)
}
