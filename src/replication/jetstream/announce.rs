//! What this node says of itself: to everybody who listens, and in a bucket for those who start later.

use std::time::Duration;

use async_nats::jetstream::kv;
use bytes::Bytes;
use tokio::sync::watch;

use super::link::Session;

/// The pause after the bucket was written.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// What the bucket may hold, in bytes.
const BUCKET_BYTES: i64 = 64 * 1024 * 1024;

/// Tells the newest announcement to whoever listens. How often there is a new one, the node has bounded.
pub(super) async fn tell(session: Session) {
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
pub(super) async fn keep(session: Session) {
    let mut announcement = session.shared.post.announcement();
    announcement.mark_changed();
    let (mut bucket, mut is_known_to_fail) = (None, false);
    while let Some(latest) = next(&mut announcement).await {
        match put(&session, &mut bucket, latest).await {
            Ok(()) => is_known_to_fail = false,
            Err(error) => {
                // Made anew where it is gone.
                bucket = None;
                if !is_known_to_fail {
                    is_known_to_fail = true;
                    tracing::warn!(%error, "the bucket of announcements can't be written; it is tried again");
                }
                announcement.mark_changed();
            }
        }
        // Each write is synced by the servers, and only the latest is of use: those that come meanwhile are one.
        tokio::time::sleep(KEEP_EVERY).await;
    }
}

/// The newest, once there is one that was not looked at. Nothing when the node is gone.
async fn next(announcement: &mut watch::Receiver<Bytes>) -> Option<Bytes> {
    loop {
        announcement.changed().await.ok()?;
        let latest = announcement.borrow_and_update().clone();
        if !latest.is_empty() {
            return Some(latest);
        }
    }
}

async fn put(session: &Session, bucket: &mut Option<kv::Store>, latest: Bytes) -> Result<(), async_nats::Error> {
    let store = match bucket {
        Some(store) => store,
        None => bucket.insert(open(session).await?),
    };
    store.put(session.shared.names.node(), latest).await?;
    Ok(())
}

async fn open(session: &Session) -> Result<kv::Store, async_nats::Error> {
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
