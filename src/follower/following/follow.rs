//! Snapshot and stream: how a follower gets up to date, and stays so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::reader::{FeedReader, LINES};
use super::upstream::{CallFailure, Upstream};
use super::{FeedForm, Follower};
use crate::clock::{random, wall_clock};
use crate::compact::MEDIA_TYPE;
use crate::domain::{LedgerId, Origin, Timestamp};
use crate::follower::held::{Heard, Held};

/// Between two connections: the shortest pause, and the longest, which is also the pause after a refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest cursor that is sent in a query: servers and proxies take 8 KiB of a request line.
const MAX_QUERY_CURSOR_BYTES: usize = 4_096;
/// How often what has expired is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// How often the state is written while the follower runs.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Why a connection ended.
enum Cut {
    /// Another connection may work.
    Again(CallFailure),
    /// The node said why it ended the stream.
    Ended(String),
    /// The secret is inactive there, or may not follow.
    Refused(String),
    /// The cursor is useless: the snapshot has another one.
    Useless(&'static str),
    /// What is held has too many keys: it is loaded anew.
    Full,
}

impl From<CallFailure> for Cut {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Status(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
                Self::Refused(status.to_string())
            }
            CallFailure::Full => Self::Full,
            failure => Self::Again(failure),
        }
    }
}

impl Follower {
    /// Follows without an end, one connection after the other.
    pub(super) async fn follow(&self) {
        let mut failures = 0_u32;
        loop {
            let upstream = self.upstream();
            let Err(cut) = self.connection(upstream, &mut failures).await;
            self.freshness.part();
            self.note(upstream, &cut);
            failures += 1;
            self.go_to_next();
            // Each node is tried at once; then all of them rest, so that a node that starts again is not helped by all its
            // followers asking at the same time. The loop ends with the follower: its owner drops this future.
            if failures as usize >= self.upstreams.len() {
                tokio::time::sleep(pause(failures, matches!(cut, Cut::Refused(_)))).await;
            }
        }
    }

    /// Forgets what has expired, and writes the state now and then.
    pub(super) async fn keep_up(&self) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        let mut save = tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        loop {
            tokio::select! {
                _ = forget.tick() => {
                    // By the ledger's time alone: this machine's clock may be far ahead, and be put right again.
                    if let Some(now) = self.freshness.ledger_time() {
                        let held = self.held();
                        // What a panic left undone is done the next time.
                        let _ = tokio::task::spawn_blocking(move || held.forget(now)).await;
                    }
                }
                _ = save.tick() => self.save().await,
            }
        }
    }

    fn note(&self, upstream: &Upstream, cut: &Cut) {
        let url = upstream.url();
        match cut {
            Cut::Again(failure) => tracing::warn!(url, %failure, "the feed broke off; connecting again"),
            Cut::Ended(reason) => tracing::info!(url, reason, "the node ended the feed; connecting again"),
            Cut::Refused(why) => {
                self.freshness.lose();
                tracing::error!(
                    url,
                    why,
                    "the node refuses this follower, which is stale until a node lets it follow: its application was \
                     removed, its secret is wrong, or it lacks the scope follow"
                );
            }
            Cut::Useless(why) => {
                // What came between the cursor and now is missing until the snapshot is loaded.
                self.freshness.lose();
                self.place.lock().cursor = None;
                tracing::warn!(url, why, "the feed can't be continued; loading the snapshot, and keeping what is held");
            }
            Cut::Full => {
                self.freshness.lose();
                let mut place = self.place.lock();
                (place.cursor, place.is_full) = (None, true);
                tracing::warn!(url, "the nodes' keys have changed too often; loading the snapshot anew");
            }
        }
    }

    /// Follows over one connection, until it ends.
    async fn connection(&self, upstream: &Upstream, failures: &mut u32) -> Result<std::convert::Infallible, Cut> {
        let cursor = self.place.lock().cursor.clone();
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => self.load(upstream).await?,
        };
        let mut reader = self.stream(upstream, &cursor).await?;
        while let Some(heard) = reader.next().await? {
            self.take(heard)?;
            *failures = 0;
        }
        Err(Cut::Ended("without a reason".to_owned()))
    }

    async fn stream(&self, upstream: &Upstream, cursor: &str) -> Result<FeedReader, Cut> {
        let request = if cursor.len() > MAX_QUERY_CURSOR_BYTES {
            upstream.request(Method::POST, "/v1/revocations/follow").json(&json!({"after": cursor}))
        } else {
            upstream.request(Method::GET, "/v1/revocations").query(&[("after", cursor)])
        };
        let response = upstream.begin(request.header(ACCEPT, self.accept())).await?;
        match response.status() {
            StatusCode::OK => Ok(FeedReader::new(response, self.silence, self.held())?),
            StatusCode::BAD_REQUEST => Err(Cut::Useless("the node does not know the cursor")),
            status => Err(CallFailure::Status(status).into()),
        }
    }

    /// What a frame says. Its revocation is in force already, so its cursor may be kept.
    fn take(&self, heard: Heard) -> Result<(), Cut> {
        match heard {
            Heard::Revoked { cursor, .. } => {
                self.tell();
                self.reach(cursor);
            }
            Heard::Heartbeat { cursor, now, behind } => {
                self.reach(cursor);
                self.beat(now, behind);
            }
            Heard::Head { .. } | Heard::Part | Heard::Complete => {}
            // The cursor that comes with it leads past what is missing.
            Heard::Gap { .. } => return Err(Cut::Useless("its log has never been at the cursor")),
            Heard::End { reason, .. } if reason == "unauthorized" => return Err(Cut::Refused(reason)),
            Heard::End { reason, cursor } => {
                self.reach(cursor);
                return Err(Cut::Ended(reason));
            }
        }
        self.freshness.hear();
        Ok(())
    }

    fn reach(&self, cursor: String) {
        if !cursor.is_empty() {
            self.place.lock().cursor = Some(cursor);
        }
    }

    fn beat(&self, now: Timestamp, behind: Vec<(Origin, u64)>) {
        let behind = behind.into_iter().map(|(origin, millis)| (origin.to_string(), millis)).collect();
        self.freshness.beat(now, behind);
        if !std::mem::replace(&mut self.place.lock().has_begun, true) {
            tracing::info!(revocations = self.len(), "following; nothing is missing");
        }
    }

    /// Loads the snapshot, and keeps what was held before if it is of the same ledger. Returns the cursor to follow from.
    async fn load(&self, upstream: &Upstream) -> Result<String, Cut> {
        let (own, is_full) = {
            let place = self.place.lock();
            (place.ledger, place.is_full)
        };
        let fresh = || Arc::new(Held::new(wall_clock()));
        let mut instead = is_full.then(fresh);
        loop {
            let held = instead.clone().unwrap_or_else(|| self.held());
            let (mut reader, ledger, cursor) = self.open_snapshot(upstream, held).await?;
            if instead.is_none() && own.is_some_and(|own| own != ledger) {
                tracing::warn!(%ledger, "the node is of another ledger than before; dropping what was held of that one");
                // What that one revoked stays in force until all of this one's is here.
                instead = Some(fresh());
                continue;
            }
            self.read_snapshot(&mut reader).await?;
            self.arrive(ledger, &cursor, instead);
            return Ok(cursor);
        }
    }

    /// The snapshot is here. It says nothing of what was revoked since: the stream's heartbeat does.
    fn arrive(&self, ledger: LedgerId, cursor: &str, instead: Option<Arc<Held>>) {
        let mut place = self.place.lock();
        if let Some(instead) = instead {
            *self.held.write() = instead;
            self.exchanged.fetch_add(1, Ordering::Release);
            place.is_full = false;
        }
        place.ledger = Some(ledger);
        place.cursor = Some(cursor.to_owned());
        drop(place);
        self.tell();
        tracing::info!(revocations = self.len(), "the snapshot is loaded");
    }

    async fn open_snapshot(&self, upstream: &Upstream, held: Arc<Held>) -> Result<(FeedReader, LedgerId, String), Cut> {
        let request = upstream.request(Method::GET, "/v1/revocations/snapshot").header(ACCEPT, self.accept());
        let response = upstream.begin(request).await?;
        if response.status() != StatusCode::OK {
            return Err(CallFailure::Status(response.status()).into());
        }
        let mut reader = FeedReader::new(response, self.silence, held)?;
        match reader.next().await? {
            Some(Heard::Head { ledger, cursor, .. }) => Ok((reader, ledger, cursor)),
            _ => Err(CallFailure::Unusable("the snapshot does not begin with a ledger and a cursor".into()).into()),
        }
    }

    async fn read_snapshot(&self, reader: &mut FeedReader) -> Result<(), Cut> {
        loop {
            match reader.next().await? {
                Some(Heard::Part) => {}
                Some(Heard::Complete) => return Ok(()),
                Some(_) => return Err(CallFailure::Unusable("the snapshot has frames of a stream".into()).into()),
                None => return Err(CallFailure::Broken("the snapshot is cut short".to_owned()).into()),
            }
        }
    }

    const fn accept(&self) -> &'static str {
        match self.form {
            FeedForm::Compact => PREFERRED,
            FeedForm::Json => LINES,
        }
    }

    /// Writes the state, if there is a file for it and something to write.
    pub(super) async fn save(&self) {
        let Some(file) = self.state.clone() else { return };
        let place = self.place.lock().clone();
        let (Some(ledger), Some(cursor)) = (place.ledger, place.cursor) else { return };
        // The cursor was taken first: what is applied meanwhile comes again.
        let held = self.held();
        let saved = tokio::task::spawn_blocking(move || file.save(ledger, &cursor, &held)).await;
        if let Err(error) = saved.map_err(std::io::Error::other).flatten() {
            tracing::warn!(%error, "the state was not written; the next start loads the snapshot");
        }
    }
}

/// The compact form, and lines at a node that does not know it.
const PREFERRED: &str = "application/vnd.authledger.revocations, application/x-ndjson;q=0.5";
const _: () = assert!(PREFERRED.len() == MEDIA_TYPE.len() + LINES.len() + ", ;q=0.5".len());

/// Longer with each failure, and never the same for two followers.
fn pause(failures: u32, is_refused: bool) -> Duration {
    let longest =
        if is_refused { LONGEST_PAUSE } else { (FIRST_PAUSE * 2_u32.pow(failures.min(6))).min(LONGEST_PAUSE) };
    let share = random::<1>().map_or(128, |[byte]| u32::from(byte));
    longest / 2 + longest * share / 512
}
