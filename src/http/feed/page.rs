//! A page of the feed: the revocations since the cursor, now or within a while.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::SNAPSHOT_PATH;
use crate::feed::{FollowError, Follower, Frame};
use crate::http::SharedApp;
use crate::json;
use crate::service::{Pace, STEP_ROWS};

/// The log readings that one page is worth, some hundred thousand records. If the filter hid all of them, the page is
/// empty and its cursor has moved.
const MAX_TAKES: usize = 100;

/// A page as OpenAPI describes it.
#[derive(utoipa::ToSchema)]
#[schema(as = RevocationsPage)]
#[expect(dead_code, reason = "only its description is used; a page is written from what followers share")]
pub(super) struct PageSchema {
    /// Revocations, in order. Each has its `cursor`, `type`, `kind` or `kinds`, the name of the credential,
    /// `retain_until`, `revoked_at`, `origin` and `sequence`; for callers with `audit` also `reason` and `actor`.
    items: Vec<serde_json::Map<String, serde_json::Value>>,
    /// The cursor for the next request.
    cursor: String,
    /// Present if the cursor named a place where this log has never been: load the snapshot that it names.
    #[schema(value_type = Option<Object>)]
    gap: Option<String>,
}

/// The cursor named a place where this log has never been: the snapshot has the revocations in force.
#[derive(Serialize)]
struct PageGap {
    snapshot: &'static str,
}

/// Answers with at most `limit` revocations; waits that long for the first of them.
pub(super) async fn answer(
    app: &SharedApp,
    mut follower: Follower,
    limit: usize,
    wait: Duration,
    pace: Pace,
) -> Result<Response, FollowError> {
    let mut news = app.hub.news();
    let mut stop = app.stop.clone();
    let until = Instant::now() + wait;
    let mut frames = Vec::new();
    let mut gap = false;
    for _ in 0..MAX_TAKES {
        let taken = follower.take(limit - frames.len()).await?;
        frames.extend(taken.frames);
        gap |= follower.take_gap();
        if gap || frames.len() >= limit {
            break;
        }
        if taken.more {
            continue;
        }
        if !frames.is_empty() {
            break;
        }
        let waited = tokio::select! {
            waited = timeout_at(until, follower.wait(&mut news)) => waited.is_ok_and(|waited| waited.is_ok()),
            _ = stop.wait_for(|stop| *stop) => false,
        };
        if !waited {
            break;
        }
    }
    page(&follower, &frames, gap, pace).await
}

/// The page, `{items, cursor, gap?}`, written a few items at a time: a thousand of them take long enough for others to wait.
async fn page(follower: &Follower, frames: &[Arc<Frame>], gap: bool, mut pace: Pace) -> Result<Response, FollowError> {
    let mut body = b"{\"items\":[".to_vec();
    for (number, some) in frames.chunks(STEP_ROWS).enumerate() {
        pace.step().await?;
        for (at, frame) in some.iter().enumerate() {
            if (number, at) != (0, 0) {
                body.push(b',');
            }
            let cursor = frame.cursor.at_least(follower.ahead()).to_string();
            write(&mut body, &frame.item(follower.filter().audits(frame.filed()), &cursor));
        }
    }
    body.extend_from_slice(b"],\"cursor\":");
    write(&mut body, &follower.cursor().to_string());
    if gap {
        body.extend_from_slice(b",\"gap\":");
        write(&mut body, &PageGap { snapshot: SNAPSHOT_PATH });
    }
    body.push(b'}');
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn write(body: &mut Vec<u8>, value: &impl Serialize) {
    json::append(body, value);
}
