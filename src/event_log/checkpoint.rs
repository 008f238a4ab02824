//! Checkpointing of the WAL, off the commit path.
//!
//! A thread of its own copies frames into the database while commits go on (SQLite's PASSIVE mode waits for nobody). Commits
//! keep adding frames, so that copy alone never catches up and the WAL would grow for ever: once it is large and nearly
//! all copied, the writer copies the few frames that are left between two batches, and its next commit starts the WAL anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::error::OpenError;

/// Bytes that are added to the WAL between two passes of the thread.
const PASS_EVERY_BYTES: u64 = 16 << 20;
/// The size from which on the writer finishes what the thread left over.
const FINISH_FROM_BYTES: u64 = 64 << 20;
/// A page with its header in the WAL.
const FRAME_BYTES: u64 = 16_384 + 24;
/// Pages that a commit changes beside those that its records fill: the edges of table and index, and the levels above.
const COMMIT_OVERHEAD_FRAMES: u64 = 4;

/// The writer's end of the checkpointing thread.
pub struct Checkpointer {
    shared: Arc<Shared>,
    pass: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since_pass: u64,
}

#[derive(Default)]
struct Shared {
    halted: AtomicBool,
    /// The thread found the WAL large and nearly copied.
    finish: AtomicBool,
    wal_bytes: AtomicU64,
}

impl Checkpointer {
    /// Starts the thread on a log that is open for writing elsewhere in this process.
    pub fn spawn(path: &Path) -> Result<Self, OpenError> {
        let connection = super::store::open_for_writing(path)?;
        let shared = Arc::new(Shared::default());
        let (pass, passes) = sync_channel::<()>(1);
        let theirs = shared.clone();
        let run = move || {
            for () in passes {
                if !theirs.halted.load(Ordering::Acquire) {
                    theirs.copy(&connection);
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(run);
        let thread = thread.map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
        Ok(Self { shared, pass: Some(pass), thread: Some(thread), since_pass: 0 })
    }

    /// The writer committed that many bytes of records.
    pub(super) fn written(&mut self, bytes: usize) {
        self.since_pass += bytes as u64 + COMMIT_OVERHEAD_FRAMES * FRAME_BYTES;
        if self.since_pass >= PASS_EVERY_BYTES {
            self.since_pass = 0;
            // A pass that is under way or waiting covers this one.
            let _ = self.pass.as_ref().map(|pass| pass.try_send(()));
        }
    }

    /// Copies what is left, if the thread asked for it. Called between batches.
    pub(super) fn finish(&self, connection: &Connection) {
        if self.shared.finish.swap(false, Ordering::AcqRel) && !self.shared.halted.load(Ordering::Acquire) {
            self.shared.copy(connection);
        }
    }

    /// Copies nothing more: the disk has failed.
    pub(super) fn halt(&self) {
        self.shared.halted.store(true, Ordering::Release);
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.pass = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn copy(&self, connection: &Connection) {
        let counts = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?.max(0).cast_unsigned(), row.get::<_, i64>(2)?.max(0).cast_unsigned()))
        });
        match counts {
            Ok((frames, copied)) => {
                self.wal_bytes.store(frames * FRAME_BYTES, Ordering::Relaxed);
                let large = frames * FRAME_BYTES >= FINISH_FROM_BYTES;
                let nearly = (frames - copied.min(frames)) * FRAME_BYTES <= PASS_EVERY_BYTES * 2;
                self.finish.store(large && nearly && copied < frames, Ordering::Release);
            }
            // The WAL stays as it is and the next pass tries again; a disk that fails shows itself at the next commit.
            Err(error) => tracing::warn!(%error, "a checkpoint of the write-ahead log did not finish"),
        }
    }
}
