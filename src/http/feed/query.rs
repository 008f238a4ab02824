//! The query and headers of a follower's request.

use std::str::FromStr as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::{Kind, Kinds, Malformed, Tenant};
use crate::feed::{Cursor, FollowStart, FrameFormat, NoCursor};
use crate::http::input;
use crate::http::problem::{Code, Problem};
use crate::http::wire::{Form, Text, Whole};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// The longest that a request for a page waits for something to put on it.
const MAX_WAIT_SECONDS: u64 = 120;

/// How the answer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One page of JSON.
    Page,
    /// A stream that does not end.
    Stream(FrameFormat),
}

/// A follower's request.
#[derive(Debug)]
pub struct Wanted {
    /// Where to start: `Last-Event-ID` beats `after`; from now on without either.
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
    pub layout: Layout,
}

/// The parameters as they stand in the query. An unknown one is refused: a filter with a typo would hide nothing.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// The cursor to continue from; `0` is the beginning. From now on if left out.
    after: Option<String>,
    /// One tenant only; every one that the caller may follow if left out.
    #[param(value_type = Option<String>)]
    tenant: Option<Text<Tenant>>,
    /// These kinds only, separated by commas: ticket, session, token.
    #[param(value_type = Option<String>)]
    kind: Option<Text<Kinds>>,
    /// Items on a page of JSON.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Text<Whole>>,
}

/// The parameters of a snapshot.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SnapshotParameters {
    /// One tenant only; every one that the caller may follow if left out.
    #[param(value_type = Option<String>)]
    tenant: Option<Text<Tenant>>,
    /// These kinds only, separated by commas: ticket, session, token.
    #[param(value_type = Option<String>)]
    kind: Option<Text<Kinds>>,
}

impl Form for Kinds {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.split(',').map(Kind::from_str).collect()
    }
}

impl Wanted {
    /// Reads query and headers.
    pub fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let Parameters { after, tenant, kind, limit } = input::query(uri)?;
        Ok(Self {
            start: begin(after.as_deref(), headers)?,
            tenant: tenant.map(|Text(tenant)| tenant),
            kinds: kind.map_or(Kinds::ALL, |Text(kinds)| kinds),
            limit: input::limit(limit.map(|Text(limit)| limit.saturating()), DEFAULT_LIMIT, MAX_LIMIT)?,
            wait: wait(headers),
            layout: layout(headers),
        })
    }
}

/// The tenant and the kinds of a snapshot.
pub fn of_snapshot(uri: &Uri) -> Result<(Option<Tenant>, Kinds), Problem> {
    let SnapshotParameters { tenant, kind } = input::query(uri)?;
    Ok((tenant.map(|Text(tenant)| tenant), kind.map_or(Kinds::ALL, |Text(kinds)| kinds)))
}

fn begin(after: Option<&str>, headers: &HeaderMap) -> Result<FollowStart, Problem> {
    let last = headers.get("last-event-id").map(HeaderValue::to_str).transpose();
    let last = last.map_err(|_| Problem::with_detail(Code::InvalidCursor, NoCursor.to_string()))?;
    match last.or(after) {
        None => Ok(FollowStart::Now),
        Some("0") => Ok(FollowStart::Beginning),
        Some(text) => Cursor::from_str(text)
            .map(FollowStart::Cursor)
            .map_err(|error| Problem::with_detail(Code::InvalidCursor, error.to_string())),
    }
}

/// RFC 7240: a preference that is malformed is ignored.
fn wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut each = preferences.flat_map(|value| value.split(','));
    let seconds = each.find_map(|preference| preference.trim().strip_prefix("wait=")?.trim().parse::<u64>().ok());
    Duration::from_secs(seconds.unwrap_or(0).min(MAX_WAIT_SECONDS))
}

/// The first type that is named decides; `*/*` and nothing at all get a page.
fn layout(headers: &HeaderMap) -> Layout {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    for part in accepted.split(',') {
        match part.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => return Layout::Stream(FrameFormat::EventStream),
            "application/x-ndjson" => return Layout::Stream(FrameFormat::Lines),
            "application/json" => return Layout::Page,
            _ => {}
        }
    }
    Layout::Page
}
