//! The current messages of other nodes: plain messages, which are not kept, and the announcements in the bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::MAX_MESSAGE_BYTES;
use super::counted::add;
use super::names::last_token;
use super::session::{BrokerSession, SUBSCRIPTION_MESSAGES};
use crate::cluster::MAX_ANNOUNCEMENT_BYTES;
use crate::domain::Origin;
use crate::replication::courier::Receipt;

/// Bytes of plain messages of a region that wait to be received; those beyond are dropped, because the streams have
/// them.
const LIVE_BYTES: usize = 16 * 1024 * 1024;
/// Plain messages that are received side by side.
const IN_HAND: usize = 64;
/// The most announcements that are read from a bucket.
const MAX_NODES: usize = 1024;
/// The first and the longest pause before another reading of a bucket that could not be read. The first is short:
/// servers that have just started have no bucket until the first node has made it, and an announcement in that time is
/// not heard otherwise.
const RETRY_DELAY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// How long the bucket may take to name its keys.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// Hands over plain messages of records as they come.
pub(super) async fn live(session: BrokerSession) {
    let subscriber = match session.client.subscribe(session.shared.names.all_live()).await {
        Ok(subscriber) => subscriber,
        Err(error) => {
            return tracing::warn!(%error, "the newest records can't be subscribed to; the connection is made anew");
        }
    };
    let (queue, waiting) = mpsc::channel(SUBSCRIPTION_MESSAGES);
    tokio::join!(collect(&session, subscriber, queue), hand_over(&session, waiting));
}

struct LiveMessage {
    origin: Origin,
    text: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Empties the subscription, whose room is counted in messages, into a queue whose room is counted in bytes.
async fn collect(session: &BrokerSession, mut subscriber: async_nats::Subscriber, queue: mpsc::Sender<LiveMessage>) {
    let room = Arc::new(Semaphore::new(LIVE_BYTES));
    while let Some(message) = subscriber.next().await {
        let Ok(origin) = last_token(&message.subject).parse::<Origin>() else { continue };
        if origin == session.shared.names.origin() {
            continue;
        }
        if message.payload.len() > MAX_MESSAGE_BYTES {
            session.shared.refused(origin, "too_large");
            continue;
        }
        let bytes = u32::try_from(message.payload.len()).unwrap_or(u32::MAX);
        let waits = Arc::clone(&room)
            .try_acquire_many_owned(bytes)
            .is_ok_and(|permit| queue.try_send(LiveMessage { origin, text: message.payload, _room: permit }).is_ok());
        if !waits {
            add(&session.shared.counted.dropped_live);
        }
    }
}

/// In order, and many at a time: messages that are on their way to the disk together share a commit.
async fn hand_over(session: &BrokerSession, mut waiting: mpsc::Receiver<LiveMessage>) {
    let received =
        futures_util::stream::poll_fn(|context| waiting.poll_recv(context)).map(async |next: LiveMessage| {
            add(&session.shared.counted.received_live);
            // A gap is filled from the stream, and so is a message that can't be taken now.
            if let Receipt::Refused(reason) = session.shared.post.receive(next.text).await {
                session.shared.refused(next.origin, reason);
            }
        });
    received.buffered(IN_HAND).for_each(async |()| {}).await;
}

/// Hears announcements as they come, after those that the bucket keeps.
pub(super) async fn announcements(session: BrokerSession) {
    let subscriber = match session.client.subscribe(session.shared.names.all_announce()).await {
        Ok(subscriber) => subscriber,
        Err(error) => {
            return tracing::warn!(%error, "announcements can't be subscribed to; the connection is made anew");
        }
    };
    tokio::select! {
        () = hear_as_they_come(&session, subscriber) => {}
        () = hear_those_kept(&session) => {}
    }
}

async fn hear_as_they_come(session: &BrokerSession, mut subscriber: async_nats::Subscriber) {
    while let Some(first) = subscriber.next().await {
        // Of several waiting announcements of a node, only the newest is needed.
        let mut latest = BTreeMap::new();
        latest.insert(first.subject.clone(), first);
        for _ in 1..SUBSCRIPTION_MESSAGES {
            let Some(Some(next)) = subscriber.next().now_or_never() else { break };
            latest.insert(next.subject.clone(), next);
        }
        for message in latest.into_values() {
            hear_message(session, message);
        }
        // So that a flood of them can't keep this thread.
        tokio::task::yield_now().await;
    }
}

fn hear_message(session: &BrokerSession, message: Message) {
    hear(session, last_token(&message.subject), message.payload);
}

fn hear(session: &BrokerSession, node: &str, announcement: Bytes) {
    if node == session.shared.names.node() {
        return;
    }
    add(&session.shared.counted.heard);
    if announcement.len() > MAX_ANNOUNCEMENT_BYTES {
        session.shared.counted.refused("announcement_too_large");
    } else if !session.shared.post.hear(announcement) {
        session.shared.counted.refused("announcement");
        tracing::debug!(region = %session.region, node, "an announcement is not trusted; it is left out");
    }
}

/// Reads the bucket once, and then waits for ever: changes there come as plain messages too.
async fn hear_those_kept(session: &BrokerSession) {
    let [mut delay, longest] = RETRY_DELAY;
    while let Err(error) = read_bucket(session).await {
        tracing::debug!(region = %session.region, %error, "the bucket of announcements can't be read; it is tried again");
        // A node may be making it now, and nothing signals that; servers in trouble are not asked without a pause. The task ends with
        // the connection.
        tokio::time::sleep(delay).await;
        delay = longest.min(delay * 2);
    }
    std::future::pending().await
}

async fn read_bucket(session: &BrokerSession) -> Result<(), async_nats::Error> {
    let store = session.context.get_key_value(session.shared.names.bucket()).await?;
    let keys = tokio::time::timeout(KEYS_WITHIN, async {
        store
            .keys()
            .await?
            .take(MAX_NODES)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(async_nats::Error::from)
    })
    .await??;
    for node in keys {
        if let Some(announcement) = store.get(node.as_str()).await? {
            hear(session, &node, announcement);
        }
    }
    Ok(())
}
