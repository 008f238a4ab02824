//! What a follower asks for, in the query and the headers.

use std::str::FromStr as _;
use std::time::Duration;

use axum::http::{HeaderMap, header};

use crate::domain::{Kind, Kinds, Tenant};
use crate::feed::{Cursor, Format, Start};
use crate::http::problem::{Code, Problem};

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
    Stream(Format),
}

/// What a follower asks for.
#[derive(Debug)]
pub struct Wanted {
    /// Where to start: `Last-Event-ID` beats `after`; from now on without either.
    pub start: Start,
    /// One tenant only.
    pub tenant: Option<Tenant>,
    /// These kinds only; all without `kind`.
    pub kinds: Kinds,
    /// Endings on a page.
    pub limit: usize,
    /// How long a request for a page waits for something to put on it.
    pub wait: Duration,
    /// How the answer is laid out.
    pub layout: Layout,
}

impl Wanted {
    /// Reads query and headers. Unknown parameters are refused: a filter with a typo would hide nothing.
    pub fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Self {
            start: Start::Now,
            tenant: None,
            kinds: Kinds::ALL,
            limit: DEFAULT_LIMIT,
            wait: wait(headers),
            layout: layout(headers),
        };
        let mut kinds: Vec<Kind> = Vec::new();
        for (name, value) in pairs(query.unwrap_or_default())? {
            match &*name {
                "after" => wanted.start = start(&value)?,
                "tenant" => {
                    let tenant = Tenant::new(&value).map_err(|form| bad(&name, form))?;
                    if wanted.tenant.replace(tenant).is_some() {
                        return Err(bad(&name, "given once"));
                    }
                }
                "kind" => kinds.push(Kind::from_str(&value).map_err(|form| bad(&name, form))?),
                "limit" => wanted.limit = limit(&value)?,
                _ => {
                    return Err(Problem::with_detail(
                        Code::InvalidQuery,
                        format!("the query has no parameter {name:?}; it takes after, tenant, kind, limit"),
                    ));
                }
            }
        }
        if !kinds.is_empty() {
            wanted.kinds = kinds.into_iter().collect();
        }
        if let Some(last) = headers.get("last-event-id") {
            let last = last.to_str().map_err(|_| bad("Last-Event-ID", "a cursor"))?;
            wanted.start = start(last)?;
        }
        Ok(wanted)
    }
}

fn bad(name: &str, form: impl std::fmt::Display) -> Problem {
    Problem::with_detail(Code::InvalidQuery, format!("{name} must be {form}"))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn pair(pair: &str) -> Result<(String, String), Problem> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((decoded(name)?, decoded(value)?))
}

/// A part of a query, percent-decoded strictly: a broken escape or broken UTF-8 is refused, not repaired.
fn decoded(part: &str) -> Result<String, Problem> {
    let refuse = || {
        Problem::with_detail(
            Code::InvalidQuery,
            "the query has a percent escape that is broken or does not spell UTF-8",
        )
    };
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(refuse)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refuse())?);
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

fn start(text: &str) -> Result<Start, Problem> {
    if text == "0" {
        return Ok(Start::Beginning);
    }
    Cursor::from_str(text)
        .map(Start::Cursor)
        .map_err(|error| Problem::with_detail(Code::InvalidQuery, error.to_string()))
}

fn limit(text: &str) -> Result<usize, Problem> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| bad("limit", "a number from 1 to 1000"))
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
            "text/event-stream" => return Layout::Stream(Format::EventStream),
            "application/x-ndjson" => return Layout::Stream(Format::Lines),
            "application/json" => return Layout::Page,
            _ => {}
        }
    }
    Layout::Page
}
