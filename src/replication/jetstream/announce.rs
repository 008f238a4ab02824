//! This node's announcements: to every listener, and in a bucket for nodes that start later.

use std::time::Duration;

use async_nats::jetstream::kv;
use bytes::Bytes;
use tokio::sync::watch;

use super::session::BrokerSession;

/// The pause after the bucket was written.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// The size of the bucket, in bytes.
const BUCKET_BYTES: i64 = 64 * 1024 * 1024;

/// Sends the newest announcement to every listener. The node limits how often there is a new one.
pub(super) async fn tell(session: BrokerSession) {
    let mut announcement = session.shared.post.announcement();
    announcement.mark_changed();
    let subject = session.shared.names.announce();
    while let Some(latest) = next(&mut announcement).await {
        if let Err(error) = session.client.publish(subject.clone(), latest).await {
            tracing::debug!(%error, "an announcement was not sent; the next one follows");
        }
    }
}

/// Keeps the newest announcement in the bucket.
pub(super) async fn keep(session: BrokerSession) {
    let mut announcement = session.shared.post.announcement();
    announcement.mark_changed();
    let (mut bucket, mut is_known_to_fail) = (None, false);
    while let Some(latest) = next(&mut announcement).await {
        match put(&session, &mut bucket, latest).await {
            Ok(()) => is_known_to_fail = false,
            Err(error) => {
                // Made anew if it is gone.
                bucket = None;
                if !is_known_to_fail {
                    is_known_to_fail = true;
                    tracing::warn!(%error, "the bucket of announcements can't be written; it is tried again");
                }
                announcement.mark_changed();
            }
        }
        // The servers sync each write, and only the latest is useful: announcements that come meanwhile become one. This and every
        // other task of the courier ends with its connection.
        tokio::time::sleep(KEEP_EVERY).await;
    }
}

/// The newest, once there is a new one. Nothing when the node is gone.
async fn next(announcement: &mut watch::Receiver<Bytes>) -> Option<Bytes> {
    loop {
        announcement.changed().await.ok()?;
        let latest = announcement.borrow_and_update().clone();
        if !latest.is_empty() {
            return Some(latest);
        }
    }
}

async fn put(session: &BrokerSession, bucket: &mut Option<kv::Store>, latest: Bytes) -> Result<(), async_nats::Error> {
    let store = match bucket {
        Some(store) => store,
        None => bucket.insert(open(session).await?),
    };
    store.put(session.shared.names.node(), latest).await?;
    Ok(())
}

async fn open(session: &BrokerSession) -> Result<kv::Store, async_nats::Error> {
    let config = kv::Config {
        bucket: session.shared.names.bucket(),
        description: "The newest announcement of each node of the region".to_owned(),
        history: 1,
        max_bytes: BUCKET_BYTES,
        num_replicas: session.shared.streams.replicas,
        ..kv::Config::default()
    };
    match session.context.get_key_value(&config.bucket).await {
        Ok(store) => Ok(store),
        // Another node may have made it meanwhile, with the same settings or others; then the next attempt finds it.
        Err(_) => Ok(session.context.create_key_value(config).await?),
    }
}
