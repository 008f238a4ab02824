//! Copying the WAL into the database, off the commit path. SQLite calls it a checkpoint; here that word is for signed tree heads.
//!
//! A thread of its own copies pages into the database while commits go on (SQLite's PASSIVE mode waits for nobody). Commits
//! keep adding frames, so that copy alone never catches up and the WAL would grow for ever: after a pass over a large WAL
//! the writer copies what came in meanwhile, between two batches, and its next commit starts the WAL anew. That is little:
//! a page that many commits touched is copied once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::error::OpenError;

/// Bytes that are added to the WAL between two passes of the thread.
const PASS_EVERY_BYTES: u64 = 16 << 20;
/// The size from which on the writer finishes what the thread left over.
const FINISH_FROM_BYTES: u64 = 48 << 20;
/// A page with its header in the WAL.
const FRAME_BYTES: u64 = 16_384 + 24;
/// Pages that a commit changes beside those that its records fill: the edges of table and index, and the levels above.
const COMMIT_OVERHEAD_FRAMES: u64 = 4;

/// The writer's end of the copying thread.
pub struct WalCopier {
    shared: Arc<Shared>,
    pass: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since_pass: u64,
}

#[derive(Default)]
struct Shared {
    halted: AtomicBool,
    /// The thread has passed over a large WAL.
    finish: AtomicBool,
    /// What the disk said as it failed. As final as a failed commit: what was not synced may be lost, whatever a later sync says.
    failure: OnceLock<String>,
}

impl WalCopier {
    /// Starts the thread on a log that is open for writing elsewhere in this process.
    pub fn spawn(path: &Path) -> Result<Self, OpenError> {
        let connection = super::store::open_for_writing(path)?;
        only_when_told(&connection).map_err(|source| OpenError::unusable(path, "writing", source))?;
        let shared = Arc::new(Shared::default());
        let (pass, passes) = sync_channel::<()>(1);
        let theirs = shared.clone();
        let run = move || {
            for () in passes {
                if !theirs.halted.load(Ordering::Acquire) {
                    let large = theirs.copy(&connection) >= FINISH_FROM_BYTES;
                    theirs.finish.store(large, Ordering::Release);
                }
            }
        };
        let thread = std::thread::Builder::new().name("wal-copier".to_owned()).spawn(run);
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

    /// What the disk said, if copying has failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }

    /// Copies nothing more: the disk has failed.
    pub(super) fn halt(&self) {
        self.shared.halted.store(true, Ordering::Release);
    }
}

impl Drop for WalCopier {
    fn drop(&mut self) {
        self.pass = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

/// Keeps SQLite from copying the WAL as the connection closes: on a disk that has failed, that would be a second try.
pub(super) fn only_when_told(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ())
}

impl Shared {
    /// Copies what no reader needs in the WAL any more; how many bytes the WAL has.
    fn copy(&self, connection: &Connection) -> u64 {
        // Another connection that is copying is no error: SQLite says so in the row's first column.
        let frames = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        match frames {
            Ok(frames) => frames.max(0).cast_unsigned() * FRAME_BYTES,
            Err(error) => {
                self.halted.store(true, Ordering::Release);
                let _ = self.failure.set(format!("copy the write-ahead log into the database: {error}")); // The first stands.
                0
            }
        }
    }
}
