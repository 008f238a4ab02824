//! The feed as a body that does not end: server-sent events, or lines of JSON.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::query::StreamForm;
use super::{SNAPSHOT_PATH, still_following};
use crate::compact;
use crate::domain::Position;
use crate::feed::{FollowError, Follower, Frame, FrameFormat, event_bytes};
use crate::http::SharedApp;

/// Revocations that go into one chunk of the body.
const CHUNK_FRAMES: usize = 256;
/// How often a follower is told of a cursor that moved past records which its filter hides.
const HIDDEN_EVERY: Duration = Duration::from_secs(1);
/// How long an EventSource waits before it connects again, in milliseconds.
const RETRY_MILLIS: u64 = 1_000;

#[derive(Serialize)]
struct Heartbeat<'a> {
    cursor: &'a str,
    now: String,
    behind_ms: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Progress<'a> {
    cursor: &'a str,
}

#[derive(Serialize)]
struct GapFrame<'a> {
    snapshot: &'a str,
    cursor: &'a str,
}

#[derive(Serialize)]
struct EndFrame<'a> {
    reason: &'a str,
    cursor: &'a str,
}

/// One follower's connection.
pub struct FollowerConnection {
    app: SharedApp,
    follower: Follower,
    /// Presented again at each heartbeat: an application that was removed does not follow on.
    secret: Arc<crate::domain::Secret>,
    form: StreamForm,
    news: watch::Receiver<Position>,
    stop: watch::Receiver<bool>,
    beat_at: Instant,
    /// Whether records may be there that it lacks: a heartbeat says that nothing is missing, so it waits for them.
    is_behind: bool,
    hidden_told_at: Instant,
    hidden: bool,
    step: StreamStep,
    _counted: CountedFollower,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamStep {
    Start,
    Follow,
    Done,
}

/// An event that wakes a waiting follower.
enum Woken {
    News,
    Beat,
    Stop,
}

/// Counts the follower for as long as the connection lasts.
struct CountedFollower(crate::telemetry::SharedMetrics);

impl CountedFollower {
    fn new(metrics: &crate::telemetry::SharedMetrics) -> Self {
        metrics.followers.inc();
        Self(metrics.clone())
    }
}

impl Drop for CountedFollower {
    fn drop(&mut self) {
        self.0.followers.dec();
    }
}

impl FollowerConnection {
    /// The connection of a follower that presented that secret.
    pub fn new(app: &SharedApp, follower: Follower, secret: crate::domain::Secret, form: StreamForm) -> Self {
        let heartbeat = match form {
            StreamForm::Text(FrameFormat::EventStream) => app.options.heartbeat,
            // It has no other way to learn its cursor.
            StreamForm::Text(FrameFormat::Lines) | StreamForm::Compact => Duration::ZERO,
        };
        Self {
            news: app.hub.news(),
            stop: app.stop.clone(),
            _counted: CountedFollower::new(&app.metrics),
            app: app.clone(),
            follower,
            secret: Arc::new(secret),
            form,
            beat_at: Instant::now() + heartbeat,
            is_behind: true,
            hidden_told_at: Instant::now(),
            hidden: false,
            step: StreamStep::Start,
        }
    }

    pub fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut session| async move {
            let chunk = session.next().await?;
            Some((Ok::<_, Infallible>(chunk), session))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.step {
            StreamStep::Start => {
                self.step = StreamStep::Follow;
                let opening = self.opening();
                if opening.is_empty() { Some(self.follow().await) } else { Some(opening) }
            }
            StreamStep::Follow => Some(self.follow().await),
            StreamStep::Done => None,
        }
    }

    async fn follow(&mut self) -> Bytes {
        loop {
            if *self.stop.borrow() {
                return self.end("stopping");
            }
            // Checked here too, so that a follower that is never idle still gets heartbeats, and stops when it loses
            // its rights.
            if self.beat_at <= Instant::now() {
                if !self.may_go_on().await {
                    return self.end("unauthorized");
                }
                if !self.is_behind {
                    return self.beat();
                }
            }
            let taken = match self.follower.take(CHUNK_FRAMES).await {
                Ok(taken) => taken,
                Err(FollowError::Overloaded) => return self.end("overloaded"),
                Err(error) => {
                    tracing::error!(%error, "a follower can't continue");
                    return self.end("unreadable");
                }
            };
            self.is_behind = taken.more;
            if self.follower.take_gap() {
                return self.gap();
            }
            if !taken.frames.is_empty() {
                return self.frames(&taken.frames);
            }
            self.hidden |= taken.moved;
            if let Some(chunk) = self.tell_hidden() {
                return chunk;
            }
            if taken.more {
                continue;
            }
            let woken = tokio::select! {
                waited = self.follower.wait(&mut self.news) => if waited.is_ok() { Woken::News } else { Woken::Stop },
                () = sleep_until(self.beat_at) => Woken::Beat,
                // A sender that has gone means the same.
                _ = self.stop.wait_for(|stop| *stop) => Woken::Stop,
            };
            match woken {
                // The loop looks at the time first.
                Woken::News | Woken::Beat => {}
                Woken::Stop => return self.end("stopping"),
            }
        }
    }

    fn frames(&mut self, frames: &[Arc<Frame>]) -> Bytes {
        self.hidden = false;
        let one = |frame: &Arc<Frame>| self.frame(frame);
        match frames {
            // The usual case: what all followers share goes out as it is.
            [frame] => one(frame),
            several => several
                .iter()
                .map(one)
                .fold(Vec::new(), |mut all, bytes| {
                    all.extend_from_slice(&bytes);
                    all
                })
                .into(),
        }
    }

    fn frame(&self, frame: &Frame) -> Bytes {
        let own = (!self.follower.shares_cursors()).then(|| frame.cursor.at_least(self.follower.ahead()));
        let audit = self.follower.filter().audits(frame.filed());
        let key = self.app.service.mark_key();
        match (self.form, own) {
            (StreamForm::Text(format), None) => frame.bytes(format, audit),
            (StreamForm::Text(format), Some(cursor)) => frame.bytes_at(format, audit, &cursor),
            (StreamForm::Compact, None) => frame.compact(key),
            (StreamForm::Compact, Some(cursor)) => frame.compact_at(key, &cursor),
        }
    }

    /// A gap goes before the start: a follower that receives only half of this must not come back with a cursor that
    /// hides it.
    fn opening(&mut self) -> Bytes {
        let gap = if self.follower.take_gap() { self.gap() } else { Bytes::new() };
        let start = match self.form {
            StreamForm::Text(FrameFormat::EventStream) => {
                format!("retry: {RETRY_MILLIS}\nid: {}\n\n", self.follower.cursor()).into()
            }
            // Not before the heartbeat that says so is nothing missing.
            StreamForm::Text(FrameFormat::Lines) | StreamForm::Compact => Bytes::new(),
        };
        [self.head(), gap, start].concat().into()
    }

    /// In the compact form the key comes first. The cursor comes with the heartbeat.
    fn head(&self) -> Bytes {
        if self.form != StreamForm::Compact {
            return Bytes::new();
        }
        let service = &self.app.service;
        let (ledger, key, now) = (service.ledger(), service.mark_key().clone(), service.clock().now());
        made(&compact::Frame::Head(compact::Head { ledger, key, now, cursor: String::new() }))
    }

    /// A cursor alone. Except in events it is only told while heartbeats wait for what is missing: the stream must not seem to be broken.
    fn tell_hidden(&mut self) -> Option<Bytes> {
        let by_id = self.form == StreamForm::Text(FrameFormat::EventStream);
        let is_wanted = self.hidden && (by_id || self.is_behind);
        if !is_wanted || self.hidden_told_at.elapsed() < HIDDEN_EVERY {
            return None;
        }
        self.hidden = false;
        self.hidden_told_at = Instant::now();
        let cursor = self.follower.cursor().to_string();
        Some(match self.form {
            StreamForm::Text(FrameFormat::EventStream) => format!("id: {cursor}\n\n").into(),
            StreamForm::Text(lines) => event_bytes(lines, "progress", Some(&cursor), &Progress { cursor: &cursor }),
            // Revokes nothing, and has a cursor.
            StreamForm::Compact => made(&compact::Frame::Revoked { cursor, change: compact::Change::default() }),
        })
    }

    /// Whether it may follow on, from now on within the rights that it has now.
    async fn may_go_on(&mut self) -> bool {
        // Boxed: an idle follower would keep room for it.
        let filter = Box::pin(still_following(&self.app, &self.secret, self.follower.filter())).await;
        filter.map(|filter| self.follower.set_filter(filter)).is_some()
    }

    fn beat(&mut self) -> Bytes {
        self.beat_at = Instant::now() + self.app.options.heartbeat;
        self.hidden = false;
        self.heartbeat()
    }

    fn heartbeat(&self) -> Bytes {
        let cursor = self.follower.cursor().to_string();
        let now = self.app.service.clock().now();
        let behind = self.follower.behind_millis(self.app.service.origin(), now);
        let StreamForm::Text(format) = self.form else {
            return made(&compact::Frame::Heartbeat { cursor, now, behind: behind.into_iter().collect() });
        };
        let behind_ms = behind.into_iter().map(|(origin, millis)| (origin.to_string(), millis)).collect();
        let data = Heartbeat { cursor: &cursor, now: now.to_string(), behind_ms };
        event_bytes(format, "heartbeat", Some(&cursor), &data)
    }

    fn gap(&self) -> Bytes {
        let cursor = self.follower.cursor().to_string();
        match self.form {
            StreamForm::Text(format) => {
                let data = GapFrame { snapshot: SNAPSHOT_PATH, cursor: &cursor };
                event_bytes(format, "gap", Some(&cursor), &data)
            }
            StreamForm::Compact => made(&compact::Frame::Gap { cursor }),
        }
    }

    fn end(&mut self, reason: &str) -> Bytes {
        self.step = StreamStep::Done;
        let cursor = self.follower.cursor().to_string();
        match self.form {
            StreamForm::Text(format) => {
                event_bytes(format, "end", Some(&cursor), &EndFrame { reason, cursor: &cursor })
            }
            StreamForm::Compact => made(&compact::Frame::End { reason: reason.to_owned(), cursor }),
        }
    }
}

fn made(frame: &compact::Frame) -> Bytes {
    frame.to_bytes().into()
}
