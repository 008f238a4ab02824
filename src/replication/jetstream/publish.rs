//! Publishes this node's own records to its own region's servers.
//!
//! The stream is written by one publisher, in order, several messages ahead of their acknowledgements. Each message
//! names the one that it follows, so that no message can come in between, twice, or after a loss. If an acknowledgement
//! fails or does not come, the publisher looks up the real end of the stream and continues from there.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{self, LastRawMessageErrorKind};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::counted::add;
use super::names::LAST_HEADER;
use super::remember::Acknowledged;
use super::session::BrokerSession;
use crate::domain::Sequence;
use crate::replication::courier::{Doing, OutgoingParcel};

/// How many of the last records a new stream begins with.
pub const START_RECORDS: u64 = 10_000;
/// Messages that may wait for their acknowledgement.
const MAX_UNACKNOWLEDGED: usize = 64;
/// Bytes of them, if a single one is not larger.
const MAX_UNACKNOWLEDGED_BYTES: usize = 8 * 1024 * 1024;
/// How often the stream is checked while there is nothing to publish: a deleted stream is made anew by then.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The first and the longest pause after something failed.
const RETRY_DELAY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// For how long servers recognise a message that was sent twice.
const DUPLICATES_WITHIN: Duration = Duration::from_secs(60);
/// The most streams of this origin that are looked through for the newest.
const MAX_STREAMS: usize = 4096;

/// Sends records as they become durable, without waiting for anything; the stream is for nodes that miss them.
pub(super) async fn live(session: BrokerSession, newest: watch::Sender<Option<OutgoingParcel>>) {
    let post = &session.shared.post;
    let mut head = post.head();
    let mut told = *head.borrow_and_update();
    loop {
        let parcel = after(&session, &mut head, told).await;
        told = parcel.last;
        if let Err(error) = session.client.publish(session.shared.names.live(), parcel.text.clone()).await {
            tracing::debug!(%error, "records were not sent at once; they come by the stream");
        }
        add(&session.shared.counted.published_live);
        newest.send_replace(Some(parcel));
    }
}

/// The records after that one, once there are any.
async fn after(session: &BrokerSession, head: &mut watch::Receiver<Sequence>, told: Sequence) -> OutgoingParcel {
    let [mut delay, longest] = RETRY_DELAY;
    loop {
        if *head.borrow_and_update() > told {
            let parcel = session.shared.post.outgoing(told, session.parcel_bytes()).await;
            if let Some(parcel) = parcel.filter(|parcel| parcel.last > told) {
                return parcel;
            }
            // The log could not be read, which the node has logged. It is read again, each time later, until the connection ends.
            tokio::time::sleep(delay).await;
            delay = longest.min(delay * 2);
        } else if head.changed().await.is_err() {
            // The node is gone; so is this, soon.
            std::future::pending::<()>().await;
        }
    }
}

/// Publishes in the stream, for as long as the connection lasts.
pub(super) async fn in_stream(session: BrokerSession, newest: watch::Receiver<Option<OutgoingParcel>>) {
    let mut publisher = Publisher { session, newest, is_known_to_fail: false };
    let [shortest, longest] = RETRY_DELAY;
    let mut delay = shortest;
    loop {
        let Err(trouble) = publisher.go_on().await else { continue };
        if !publisher.is_known_to_fail {
            publisher.is_known_to_fail = true;
            delay = shortest;
            tracing::warn!(%trouble, "records could not be published in the stream; it continues from the stream's end");
        }
        // Servers in trouble are asked again, each time later. The task ends with the connection.
        tokio::time::sleep(delay).await;
        delay = longest.min(delay * 2);
    }
}

/// Why publishing broke off.
#[derive(Debug, thiserror::Error)]
enum StreamPublishError {
    #[error("the stream can't be looked at: {0}")]
    Look(#[source] async_nats::Error),
    #[error("the stream can't be made: {0}")]
    Make(#[source] async_nats::Error),
    #[error("a message was not accepted: {0}")]
    Publish(#[from] PublishError),
    #[error("message {wanted} was acknowledged as {got}")]
    Acknowledged { wanted: u64, got: u64 },
    #[error(
        "stream {stream} was not made by this program: {setting}; nothing is published in it. Delete it (nats stream rm {stream}): this \
         node then makes it anew. Until then records travel without a stream, and over HTTP"
    )]
    Unfit { stream: String, setting: &'static str },
}

/// The end of the stream.
struct StreamEnd {
    number: u32,
    message: u64,
    record: Sequence,
}

/// The result of looking for a stream of a certain name.
enum StreamLookup {
    Nothing,
    Stream {
        message: u64,
        /// The last record, if the last message is there and names it.
        record: Option<Sequence>,
    },
}

/// A message that waits for its acknowledgement.
struct Unacknowledged {
    outcome: Pin<Box<dyn Future<Output = Result<PublishAck, PublishError>> + Send>>,
    message: u64,
    record: Sequence,
    bytes: usize,
}

struct Publisher {
    session: BrokerSession,
    newest: watch::Receiver<Option<OutgoingParcel>>,
    is_known_to_fail: bool,
}

impl Publisher {
    /// Finds the end of the stream and publishes from there, until something fails or it is time to look again.
    async fn go_on(&mut self) -> Result<(), StreamPublishError> {
        let end = self.find_end().await?;
        self.session.shared.post.publish_in(&self.session.shared.names.stream(end.number));
        self.publish(end).await
    }

    /// The end of the stream to write to, which is made if there is none. A stream that lost acknowledged messages, or
    /// holds records that this node does not, is abandoned for the next.
    async fn find_end(&self) -> Result<StreamEnd, StreamPublishError> {
        let shared = &self.session.shared;
        loop {
            let known = *shared.acknowledged.borrow();
            let number = match known {
                Some(known) => known.number,
                None => self.newest_number().await?.unwrap_or(1),
            };
            let known = known.unwrap_or(Acknowledged { number, message: 0, record: Sequence(0) });
            let found = self.look_at(number).await?;
            let head = *shared.post.head().borrow();
            match contradiction(&found, known, head) {
                Some(why) => self.abandon(number, why),
                None => return self.end_of(found, known, head).await,
            }
        }
    }

    async fn end_of(
        &self,
        found: StreamLookup,
        known: Acknowledged,
        head: Sequence,
    ) -> Result<StreamEnd, StreamPublishError> {
        let number = known.number;
        let start = Sequence(head.0.saturating_sub(START_RECORDS));
        match found {
            StreamLookup::Nothing => {
                self.make(number).await?;
                Ok(StreamEnd { number, message: 0, record: start })
            }
            StreamLookup::Stream { message: 0, .. } => Ok(StreamEnd { number, message: 0, record: start }),
            StreamLookup::Stream { message, record } => {
                let record = record.unwrap_or(known.record);
                // Only this node writes there, so its messages are this node's own, and durable.
                self.acknowledged(Acknowledged { number, message, record });
                Ok(StreamEnd { number, message, record })
            }
        }
    }

    fn abandon(&self, number: u32, why: &'static str) {
        let (shared, names) = (&self.session.shared, &self.session.shared.names);
        let (stream, next) = (names.stream(number), names.stream(number + 1));
        tracing::warn!(
            stream,
            next,
            why,
            "the stream of this node's records has lost messages; it is abandoned for another"
        );
        add(&shared.counted.abandoned);
        self.acknowledged(Acknowledged { number: number + 1, message: 0, record: Sequence(0) });
    }

    fn acknowledged(&self, now: Acknowledged) {
        self.session.shared.acknowledged.send_if_modified(|known| known.replace(now) != Some(now));
    }

    /// The highest number of a stream of this origin, if none is remembered.
    async fn newest_number(&self) -> Result<Option<u32>, StreamPublishError> {
        let names = &self.session.shared.names;
        let mut listed = self.session.context.stream_names().take(MAX_STREAMS);
        let mut newest = None;
        while let Some(stream) = listed.next().await {
            let stream = stream.map_err(|error| StreamPublishError::Look(error.into()))?;
            newest = newest.max(names.number(&stream));
        }
        Ok(newest)
    }

    async fn look_at(&self, number: u32) -> Result<StreamLookup, StreamPublishError> {
        let name = self.session.shared.names.stream(number);
        let stream = match self.session.context.get_stream(&name).await {
            Ok(stream) => stream,
            Err(error) if is_not_found(&error.kind()) => return Ok(StreamLookup::Nothing),
            Err(error) => return Err(StreamPublishError::Look(error.into())),
        };
        let config = &stream.cached_info().config;
        if let Some(setting) = unfit(config) {
            add(&self.session.shared.counted.unfit);
            return Err(StreamPublishError::Unfit { stream: name, setting });
        }
        self.adjust(config.clone()).await;
        let state = &stream.cached_info().state;
        if state.messages == 0 {
            return Ok(StreamLookup::Stream { message: state.last_sequence, record: None });
        }
        match stream.get_raw_message(state.last_sequence).await {
            Ok(last) => Ok(StreamLookup::Stream { message: last.sequence, record: last_record(&last.headers) }),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                Ok(StreamLookup::Stream { message: state.last_sequence, record: None })
            }
            Err(error) => Err(StreamPublishError::Look(error.into())),
        }
    }

    async fn make(&self, number: u32) -> Result<(), StreamPublishError> {
        let (names, limits) = (&self.session.shared.names, self.session.shared.streams);
        let config = limits.applied(stream::Config {
            name: names.stream(number),
            subjects: vec![names.records(number)],
            duplicate_window: DUPLICATES_WITHIN.min(limits.max_age),
            storage: stream::StorageType::File,
            retention: stream::RetentionPolicy::Limits,
            discard: stream::DiscardPolicy::Old,
            ..stream::Config::default()
        });
        let made =
            self.session.context.create_stream(config).await.map_err(|error| StreamPublishError::Make(error.into()))?;
        tracing::info!(stream = made.cached_info().config.name, "a stream for this node's records was made");
        Ok(())
    }

    /// Gives a stream with other settings the present ones. It can be written even if that fails.
    async fn adjust(&self, was: stream::Config) {
        let shall = self.session.shared.streams.applied(was.clone());
        if shall != was
            && let Err(error) = self.session.context.update_stream(&shall).await
            && self.session.shared.is_news(self.session.shared.names.origin(), "adjust")
        {
            tracing::warn!(stream = shall.name, %error, "the stream keeps its former limits, because the servers refuse the present ones");
        }
    }

    /// Publishes after that end, several messages ahead of their acknowledgements.
    async fn publish(&mut self, end: StreamEnd) -> Result<(), StreamPublishError> {
        let stream = self.session.shared.names.stream(end.number);
        let subject = self.session.shared.names.records(end.number);
        let mut waiting = VecDeque::new();
        let (mut message, mut bytes) = (end.message, 0);
        let mut next = self.next(end.record);
        let mut look_at = Instant::now() + LOOK_EVERY;
        loop {
            let has_room = waiting.len() < MAX_UNACKNOWLEDGED && bytes < MAX_UNACKNOWLEDGED_BYTES;
            tokio::select! {
                biased;
                (outcome, was) = oldest(&mut waiting) => {
                    self.is_known_to_fail = false;
                    bytes -= was.bytes;
                    self.check(end.number, outcome?, &was)?;
                }
                parcel = &mut next, if has_room => {
                    next = self.next(parcel.last);
                    if let Some(sent) = self.send(&stream, &subject, message, &parcel).await? {
                        message = sent.message;
                        bytes += sent.bytes;
                        waiting.push_back(sent);
                    }
                }
                () = tokio::time::sleep_until(look_at) => {
                    if waiting.is_empty() {
                        return Ok(());
                    }
                    look_at = Instant::now() + LOOK_EVERY;
                }
            }
        }
    }

    /// The records after that one: those that were just sent, if they match.
    fn next(&self, record: Sequence) -> Doing<'static, OutgoingParcel> {
        let (session, newest) = (self.session.clone(), self.newest.clone());
        let mut head = session.shared.post.head();
        Box::pin(async move {
            let told = newest.borrow().clone().filter(|parcel| parcel.first == record.next());
            match told {
                Some(parcel) => parcel,
                None => after(&session, &mut head, record).await,
            }
        })
    }

    /// Sends the parcel as the message after that one. Nothing, if no server would take it.
    async fn send(
        &self,
        stream: &str,
        subject: &str,
        after: u64,
        parcel: &OutgoingParcel,
    ) -> Result<Option<Unacknowledged>, StreamPublishError> {
        let shared = &self.session.shared;
        let message = PublishMessage::build()
            .payload(parcel.text.clone())
            .message_id(format!("{}:{}", shared.names.origin(), parcel.last))
            .expected_stream(stream)
            .expected_last_sequence(after)
            .header(LAST_HEADER, parcel.last.to_string());
        match self.session.context.send_publish(subject.to_owned(), message).await {
            Ok(outcome) => {
                add(&shared.counted.published);
                let outcome = outcome.into_future();
                Ok(Some(Unacknowledged { outcome, message: after + 1, record: parcel.last, bytes: parcel.text.len() }))
            }
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                tracing::error!(
                    first = parcel.first.0,
                    last = parcel.last.0,
                    bytes = parcel.text.len(),
                    max_payload = self.session.client.max_payload(),
                    "records are larger than the NATS servers take; others must fetch them from this node; raise max_payload of the servers"
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check(&self, number: u32, answer: PublishAck, was: &Unacknowledged) -> Result<(), StreamPublishError> {
        if answer.sequence != was.message || answer.duplicate {
            return Err(StreamPublishError::Acknowledged { wanted: was.message, got: answer.sequence });
        }
        add(&self.session.shared.counted.acknowledged);
        self.acknowledged(Acknowledged { number, message: was.message, record: was.record });
        Ok(())
    }
}

/// The outcome of the oldest message, once it is known; never, if none waits.
async fn oldest(waiting: &mut VecDeque<Unacknowledged>) -> (Result<PublishAck, PublishError>, Unacknowledged) {
    if let Some(first) = waiting.front_mut() {
        let outcome = (&mut first.outcome).await;
        if let Some(was) = waiting.pop_front() {
            return (outcome, was);
        }
    }
    std::future::pending().await
}

/// Why the stream that was found can't be the one that acknowledged, if it can't.
fn contradiction(found: &StreamLookup, known: Acknowledged, head: Sequence) -> Option<&'static str> {
    match *found {
        StreamLookup::Nothing => (known.message > 0).then_some("it is gone"),
        StreamLookup::Stream { message, .. } if message < known.message => {
            Some("it ends before messages that were acknowledged")
        }
        StreamLookup::Stream { message: 0, .. } => None,
        StreamLookup::Stream { message, record: None } => {
            (message != known.message).then_some("it does not have its last message, so its contents are not known")
        }
        StreamLookup::Stream { record: Some(record), .. } if record > head => {
            Some("it has records that this node does not have")
        }
        StreamLookup::Stream { message, record: Some(record) } => {
            let differs = record < known.record || (message == known.message && record != known.record);
            differs.then_some("its last message is not the one that was acknowledged")
        }
    }
}

/// The guarantee that an acknowledgement of a stream with these settings lacks, if there is one. The maker of the
/// stream sets them, and most of them can't be changed afterwards.
fn unfit(config: &stream::Config) -> Option<&'static str> {
    let copies = config.mirror.is_some() || config.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    let settings = [
        // It overrides `sync_interval: always` of the server.
        (
            config.persist_mode == Some(stream::PersistenceMode::Async),
            "`persist_mode: async` acknowledges messages that are not on disk",
        ),
        (config.storage != stream::StorageType::File, "`storage: memory` loses its messages with the server"),
        (config.no_ack, "`no_ack` acknowledges nothing"),
        (
            config.retention != stream::RetentionPolicy::Limits,
            "its retention drops messages once somebody has read them",
        ),
        (copies, "it is a copy of another stream"),
        (config.sealed, "it is sealed, and takes no message"),
    ];
    settings.into_iter().find_map(|(is, why)| is.then_some(why))
}

fn is_not_found(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The sequence of the last record in a message, by its header.
pub(super) fn last_record(headers: &async_nats::HeaderMap) -> Option<Sequence> {
    headers.get(LAST_HEADER)?.as_str().parse().ok().map(Sequence)
}

/// A stream as the servers have it, if it exists.
pub(super) async fn find(session: &BrokerSession, name: &str) -> Result<Option<stream::Stream>, async_nats::Error> {
    match session.context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_not_found(&error.kind()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn known(message: u64, record: u64) -> Acknowledged {
        Acknowledged { number: 1, message, record: Sequence(record) }
    }

    const fn stream(message: u64, record: Option<u64>) -> StreamLookup {
        StreamLookup::Stream {
            message,
            record: match record {
                Some(record) => Some(Sequence(record)),
                None => None,
            },
        }
    }

    #[test]
    fn a_stream_whose_acknowledgements_mean_less_is_not_written() {
        let good = || stream::Config { storage: stream::StorageType::File, ..stream::Config::default() };
        assert_eq!(unfit(&good()), None);
        assert_eq!(unfit(&stream::Config { persist_mode: Some(stream::PersistenceMode::Default), ..good() }), None);
        let bad = [
            stream::Config { persist_mode: Some(stream::PersistenceMode::Async), ..good() },
            stream::Config { storage: stream::StorageType::Memory, ..good() },
            stream::Config { no_ack: true, ..good() },
            stream::Config { retention: stream::RetentionPolicy::WorkQueue, ..good() },
            stream::Config { retention: stream::RetentionPolicy::Interest, ..good() },
            stream::Config { mirror: Some(stream::Source::default()), ..good() },
            stream::Config { sources: Some(vec![stream::Source::default()]), ..good() },
            stream::Config { sealed: true, ..good() },
        ];
        for config in bad {
            assert!(unfit(&config).is_some(), "{config:?}");
        }
    }

    #[test]
    fn a_stream_is_written_on_only_if_it_has_what_it_acknowledged() {
        let head = Sequence(100);
        let good = [
            (StreamLookup::Nothing, known(0, 0)),
            (stream(0, None), known(0, 0)),
            (stream(7, Some(70)), known(0, 0)),
            (stream(7, Some(70)), known(7, 70)),
            // Acknowledgements that were lost, and a file that is a second old.
            (stream(9, Some(90)), known(7, 70)),
            // Its messages have grown too old.
            (stream(7, None), known(7, 70)),
        ];
        for (found, known) in good {
            assert_eq!(contradiction(&found, known, head), None, "{known:?}");
        }
        let bad = [
            (StreamLookup::Nothing, known(7, 70)),
            (stream(0, None), known(7, 70)),
            (stream(6, Some(70)), known(7, 70)),
            (stream(7, Some(69)), known(7, 70)),
            (stream(7, Some(71)), known(7, 70)),
            (stream(9, Some(60)), known(7, 70)),
            (stream(9, None), known(7, 70)),
            (stream(9, Some(101)), known(7, 70)),
        ];
        for (found, known) in bad {
            assert!(contradiction(&found, known, head).is_some(), "{known:?}");
        }
    }
}
