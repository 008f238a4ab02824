//! The acknowledgements of the own region's servers, kept in a small file across restarts.
//!
//! A stream that ends before it has lost messages that it had promised to keep. The file may be lost or old: then fewer
//! acknowledgements are known, and this node does not notice the loss of just those messages; nodes that miss the
//! records find the gap and ask a peer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::names::JetStreamNames;
use crate::domain::Sequence;

/// How often the file is written at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The most bytes that are read of it.
const MAX_FILE_BYTES: u64 = 4096;

/// How far a stream was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// The stream's number.
    pub(super) number: u32,
    /// The last message there; 0 if there is none yet.
    pub(super) message: u64,
    /// The last record in it.
    pub(super) record: Sequence,
}

#[derive(Serialize, Deserialize)]
struct File {
    stream: String,
    message: u64,
    record: u64,
}

/// The content of the file, or nothing if it has nothing about this origin.
pub(super) async fn load(path: &Path, names: &JetStreamNames) -> Option<Acknowledged> {
    let read = match read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the acknowledgements of NATS are not known, because their file can't be read; it is written anew");
            return None;
        }
    };
    let parsed = serde_json::from_slice::<File>(&read).ok().and_then(|file| {
        let number = names.number(&file.stream)?;
        Some(Acknowledged { number, message: file.message, record: Sequence(file.record) })
    });
    if parsed.is_none() {
        tracing::warn!(path = %path.display(), "the acknowledgements of NATS are not known, because their file is of another origin; it is written anew");
    }
    parsed
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Writes the file whenever there is something new, at most once a second, and when it stops.
pub(super) async fn keep(
    path: PathBuf,
    names: JetStreamNames,
    mut acknowledged: watch::Receiver<Option<Acknowledged>>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let stopped = tokio::select! {
            changed = acknowledged.changed() => changed.is_err(),
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let latest = *acknowledged.borrow_and_update();
        if let Some(latest) = latest
            && let Err(error) = write(&path, &names, latest).await
        {
            tracing::warn!(path = %path.display(), %error, "the acknowledgements of NATS can't be kept; it is tried again");
        }
        let ended = stopped || tokio::time::timeout(WRITE_EVERY, stop.wait_for(|stop| *stop)).await.is_ok();
        if ended && !acknowledged.has_changed().unwrap_or(false) {
            return;
        }
    }
}

async fn write(path: &Path, names: &JetStreamNames, latest: Acknowledged) -> io::Result<()> {
    let file = File { stream: names.stream(latest.number), message: latest.message, record: latest.record.0 };
    let unfinished = path.with_extension("unfinished");
    tokio::fs::write(&unfinished, serde_json::to_vec(&file)?).await?;
    tokio::fs::rename(&unfinished, path).await
}
