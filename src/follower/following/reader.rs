//! Snapshot and stream as they come, in either form, into what is held.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use uuid::Uuid;

use super::upstream::CallFailure;
use crate::compact::MEDIA_TYPE;
use crate::domain::{LedgerId, Origin, Timestamp};
use crate::follower::held::{CompactFeed, FeedError, Heard, Held, RevocationItem};

/// The media type of the form in JSON.
pub(super) const LINES: &str = "application/x-ndjson";
/// The longest line: a cursor over many origins, and a record.
const MAX_LINE_BYTES: usize = 1 << 20;

/// An answer that is being read. What it revokes is in force when [`FeedReader::next`] returns.
pub(super) struct FeedReader {
    response: Response,
    silence: Duration,
    form: ReaderForm,
}

enum ReaderForm {
    Compact(Box<CompactFeed>),
    Lines(Lines),
}

impl FeedReader {
    /// The reader of an answer in the form that it names. Silence for that long is a failure.
    pub(super) fn new(response: Response, silence: Duration, held: Arc<Held>) -> Result<Self, CallFailure> {
        let media_type = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        let form = match media_type {
            Some(one) if one == MEDIA_TYPE.as_bytes() => ReaderForm::Compact(Box::new(CompactFeed::new(held))),
            Some(one) if one == LINES.as_bytes() => ReaderForm::Lines(Lines::new(held)),
            Some(_) | None => return Err(CallFailure::Unusable("it has another media type".into())),
        };
        Ok(Self { response, silence, form })
    }

    /// The next frame; nothing if the answer has ended after a whole one. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Heard>, CallFailure> {
        loop {
            let heard = match &mut self.form {
                ReaderForm::Compact(feed) => feed.hear().map_err(of_feed)?,
                ReaderForm::Lines(lines) => lines.hear()?,
            };
            if heard.is_some() {
                return Ok(heard);
            }
            let chunk = tokio::time::timeout(self.silence, self.response.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| CallFailure::Late)?? else { return Ok(None) };
            match &mut self.form {
                ReaderForm::Compact(feed) => feed.push(&chunk),
                ReaderForm::Lines(lines) => lines.push(&chunk)?,
            }
        }
    }
}

fn of_feed(error: FeedError) -> CallFailure {
    match error {
        FeedError::TooManyKeys(_) => CallFailure::Full,
        error => unusable(error),
    }
}

fn unusable(error: impl std::error::Error) -> CallFailure {
    CallFailure::Unusable(error.to_string().into())
}

/// Lines of JSON.
struct Lines {
    held: Arc<Held>,
    buffer: Vec<u8>,
    /// The part of the buffer that was taken, and the part in which no line ends.
    taken: usize,
    searched: usize,
    /// The items of a snapshot so far, once its first line was there; nothing in a stream.
    count: Option<u64>,
}

/// A line of the stream, with the members of every event other than a revocation.
#[derive(Deserialize)]
struct StreamLine<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default)]
    cursor: String,
    now: Option<Cow<'a, str>>,
    #[serde(default)]
    behind_ms: BTreeMap<String, u64>,
    #[serde(default)]
    reason: String,
}

/// The first line of a snapshot.
#[derive(Deserialize)]
struct FirstLine {
    ledger: String,
    cursor: String,
}

/// The last line of a snapshot.
#[derive(Deserialize)]
struct LastLine {
    end: bool,
    count: u64,
}

impl Lines {
    const fn new(held: Arc<Held>) -> Self {
        Self { held, buffer: Vec::new(), taken: 0, searched: 0, count: None }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CallFailure> {
        self.buffer.drain(..self.taken);
        (self.searched, self.taken) = (self.searched - self.taken, 0);
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(CallFailure::Unusable("a line is too long".into()));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn hear(&mut self) -> Result<Option<Heard>, CallFailure> {
        let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let end = self.searched + end;
        let text = &self.buffer[self.taken..end];
        (self.taken, self.searched) = (end + 1, end + 1);
        if let Some(count) = &mut self.count {
            return of_snapshot(text, count, &self.held).map(Some);
        }
        if let Ok(FirstLine { ledger, cursor }) = serde_json::from_slice(text) {
            let ledger = LedgerId(Uuid::try_parse(&ledger).map_err(|_| wrong("its ledger is not one"))?);
            self.count = Some(0);
            return Ok(Some(Heard::Head { ledger, cursor, now: Timestamp::default() }));
        }
        of_stream(text, &self.held)
    }
}

fn of_snapshot(text: &[u8], count: &mut u64, held: &Held) -> Result<Heard, CallFailure> {
    match serde_json::from_slice::<LastLine>(text) {
        Ok(last) if last.end && last.count == *count => Ok(Heard::Complete),
        Ok(_) => Err(wrong("the snapshot has another count than it says")),
        // Revocations are never taken back: those of a snapshot that is cut short hold as well.
        Err(_) => {
            apply(text, held)?;
            *count += 1;
            Ok(Heard::Part)
        }
    }
}

/// A frame; nothing if it is of a kind that is not known here.
fn of_stream(text: &[u8], held: &Held) -> Result<Option<Heard>, CallFailure> {
    let line: StreamLine<'_> = serde_json::from_slice(text).map_err(|_| wrong("a line of the stream can't be read"))?;
    let cursor = line.cursor;
    Ok(Some(match &*line.event {
        "revoked" => Heard::Revoked { cursor, change: apply(text, held)? },
        "heartbeat" => {
            let now = line.now.as_deref().and_then(instant).ok_or(wrong("a heartbeat does not say when it is"))?;
            let behind = |(origin, millis): (String, u64)| Some((origin.parse::<Origin>().ok()?, millis));
            Heard::Heartbeat { cursor, now, behind: line.behind_ms.into_iter().filter_map(behind).collect() }
        }
        "gap" => Heard::Gap { cursor },
        "end" => Heard::End { reason: line.reason, cursor },
        _ => Heard::Part,
    }))
}

fn apply(text: &[u8], held: &Held) -> Result<crate::compact::Change, CallFailure> {
    let item: RevocationItem = serde_json::from_slice(text).map_err(|_| wrong("a revocation can't be read"))?;
    held.apply_item(&item).map_err(unusable)
}

const fn wrong(what: &'static str) -> CallFailure {
    CallFailure::Unusable(Cow::Borrowed(what))
}

fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).ok()?)
}
