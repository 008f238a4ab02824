//! Reads the streams of other origins that are in a region.
//!
//! The node decides where to begin: at the first message whose last record it does not hold. The position is not kept
//! anywhere, so a lost connection, a restart and another way of the records make no difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use futures_util::StreamExt as _;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::MAX_MESSAGE_BYTES;
use super::counted::add;
use super::publish::{find, last_record};
use super::session::BrokerSession;
use crate::domain::{Origin, Sequence};
use crate::replication::courier::Receipt;

/// The most streams of a region that are read.
const MAX_STREAMS: usize = 1024;
/// How often a server says that it is there if it has nothing else to say. Its silence is noticed after two intervals.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a request for messages stands before it is made anew.
const REQUEST_LASTS: Duration = Duration::from_secs(10);
/// Messages that are requested at once, fewer than a subscription has room for.
const BATCH_MESSAGES: usize = 256;
/// Bytes of them.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// When the server drops a consumer that nobody reads.
const FORGET_AFTER: Duration = Duration::from_secs(30);
/// The first and the longest pause before another look for a stream that is missing, or could not be read.
const RETRY_DELAY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// The first and the longest pause before another attempt to hand over a message that the node could not take.
const NOT_NOW_DELAY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How long to wait for records that are in no stream to come another way, before the stream is checked again.
const GAP_PATIENCE: Duration = Duration::from_secs(5);

/// Reads the stream of every origin that publishes in the region; starts and stops as the node names them.
pub(super) async fn all(session: BrokerSession) {
    let mut streams = session.shared.post.streams();
    let mut followed: BTreeMap<Origin, (Arc<str>, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let named = Arc::clone(&streams.borrow_and_update());
        let here: BTreeMap<Origin, Arc<str>> = named
            .iter()
            .filter(|(origin, stream)| {
                stream.region == session.region && is_to_be_read(&session, **origin, &stream.name)
            })
            .map(|(origin, stream)| (*origin, Arc::clone(&stream.name)))
            .take(MAX_STREAMS)
            .collect();
        followed.retain(|origin, (name, task)| {
            let stays = here.get(origin) == Some(name);
            if !stays {
                task.abort();
            }
            stays
        });
        for (origin, name) in here {
            followed
                .entry(origin)
                .or_insert_with(|| (Arc::clone(&name), tasks.spawn(follow(session.clone(), origin, name))));
        }
        tokio::select! {
            changed = streams.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next() => if ended.is_err_and(|error| error.is_panic()) { return },
        }
    }
}

fn is_to_be_read(session: &BrokerSession, origin: Origin, stream: &str) -> bool {
    let names = &session.shared.names;
    origin != names.origin() && names.is_stream_of(origin, stream)
}

/// Why reading a stream broke off.
enum StreamReadError {
    /// The stream is not there.
    Missing,
    /// The server does not answer, or refuses.
    Failed(async_nats::Error),
    /// The records from there on are missing before the beginning of the stream.
    Gap,
}

async fn follow(session: BrokerSession, origin: Origin, name: Arc<str>) {
    let (mut last_gap, [shortest, longest]) = (None, RETRY_DELAY);
    let mut delay = shortest;
    loop {
        let began = Instant::now();
        let broken = read(&session, origin, &name).await;
        // A reading that went well for a while is repeated at once.
        delay = if began.elapsed() > longest { shortest } else { delay };
        match broken {
            StreamReadError::Missing => {
                tracing::debug!(%origin, stream = %name, "a stream that was announced is not there; it is looked for again")
            }
            StreamReadError::Failed(error) => {
                tracing::debug!(%origin, stream = %name, %error, "a stream can't be read; it is tried again")
            }
            StreamReadError::Gap => {
                let held = session.shared.post.held(origin);
                // The first time something may have been lost on the way; the next time the stream itself lacks it.
                if last_gap.replace(held) == Some(held) {
                    tracing::debug!(%origin, held = held.0, "a stream begins after what is held; the records between must come another way");
                    // Either way the stream is checked again.
                    let _ = tokio::time::timeout(GAP_PATIENCE, session.shared.post.held_beyond(origin, held)).await;
                }
                continue;
            }
        }
        // Servers in trouble, or a stream that is being made, are not helped by requests without a pause. The task ends with the
        // connection, or when the node no longer names the stream.
        tokio::time::sleep(delay).await;
        delay = longest.min(delay * 2);
    }
}

/// Reads a stream from the first message that holds something new.
async fn read(session: &BrokerSession, origin: Origin, name: &Arc<str>) -> StreamReadError {
    match try_to_read(session, origin, name).await {
        Ok(broken) => broken,
        Err(error) => StreamReadError::Failed(error),
    }
}

async fn try_to_read(
    session: &BrokerSession,
    origin: Origin,
    name: &Arc<str>,
) -> Result<StreamReadError, async_nats::Error> {
    let Some(stream) = find(session, name).await? else { return Ok(StreamReadError::Missing) };
    let start_sequence = first_new(&stream, session.shared.post.held(origin)).await?;
    let consumer = stream
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        })
        .await?;
    let mut messages = consumer
        .stream()
        .heartbeat(HEARTBEAT)
        .expires(REQUEST_LASTS)
        .max_messages_per_batch(BATCH_MESSAGES)
        .max_bytes_per_batch(BATCH_BYTES)
        .messages()
        .await?;
    while let Some(message) = messages.next().await {
        if !take(session, origin, &message?).await {
            return Ok(StreamReadError::Gap);
        }
    }
    Err("the server ended the messages".into())
}

/// Hands a message over. False if records are missing before it.
async fn take(session: &BrokerSession, origin: Origin, message: &Message) -> bool {
    let shared = &session.shared;
    let last = message.headers.as_ref().and_then(last_record);
    if last.is_some_and(|last| last <= shared.post.held(origin)) {
        return true;
    }
    if message.payload.len() > MAX_MESSAGE_BYTES {
        shared.refused(origin, "too_large");
        return true;
    }
    add(&shared.counted.received_from_streams);
    let [mut delay, longest] = NOT_NOW_DELAY;
    loop {
        match shared.post.receive(message.payload.clone()).await {
            Receipt::Held(_) => return true,
            Receipt::Gap(_) => return false,
            Receipt::Refused(reason) => {
                shared.refused(origin, reason);
                return true;
            }
            Receipt::NotNow => {
                // The disk is busy, or an upgrade is due, and nothing signals the end of either: the same message is offered again, each
                // time later, until the connection ends.
                tokio::time::sleep(delay).await;
                delay = longest.min(delay * 2);
            }
        }
    }
}

/// The first message whose last record is not held; if all are held, the next one to come.
async fn first_new(stream: &Stream, held: Sequence) -> Result<u64, async_nats::Error> {
    let state = &stream.cached_info().state;
    let mut search = Search::new(state.first_sequence.max(1), state.last_sequence + 1);
    while let Some(probe) = search.probe() {
        search.learn(probe, is_new(stream, probe, held).await?);
    }
    Ok(search.high)
}

/// Searches for the first new message from the end backwards in growing steps, because mostly little is missing, and
/// then halves.
struct Search {
    first: u64,
    /// Messages before it hold nothing new.
    low: u64,
    /// This one and those after it hold something new, or are not there yet.
    high: u64,
    step: u64,
}

impl Search {
    fn new(first: u64, end: u64) -> Self {
        Self { first, low: first, high: end.max(first), step: 1 }
    }

    /// The message to look at; nothing if the first new one is found.
    fn probe(&self) -> Option<u64> {
        let left = self.high - self.low;
        let farthest = if self.low == self.first { left } else { left.div_ceil(2) };
        (left > 0).then(|| self.high - self.step.min(farthest))
    }

    fn learn(&mut self, probe: u64, is_new: bool) {
        if is_new {
            self.high = probe;
            self.step *= 2;
        } else {
            self.low = probe + 1;
        }
    }
}

/// Whether the message there, or the first one after it, holds something new. A message without that header is assumed
/// to.
async fn is_new(stream: &Stream, message: u64, held: Sequence) -> Result<bool, async_nats::Error> {
    match stream.get_first_raw_message_by_subject(">", message).await {
        Ok(found) => Ok(last_record(&found.headers).is_none_or(|last| last > held)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_new_message_is_found_and_soon_where_little_is_missing() {
        for (first, end) in [(1, 1), (1, 2), (5, 40), (1, 1000)] {
            for wanted in first..=end {
                let (mut search, mut probes) = (Search::new(first, end), 0);
                while let Some(probe) = search.probe() {
                    assert!((first..end).contains(&probe));
                    search.learn(probe, probe >= wanted);
                    probes += 1;
                }
                assert_eq!(search.high, wanted);
                let missing = end - wanted;
                assert!(probes <= 2 * (u64::BITS - missing.leading_zeros()) + 2, "{probes} for {missing} of {end}");
            }
        }
    }
}
