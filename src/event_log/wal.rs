//! Copying the WAL into the database, off the commit path. SQLite calls it a checkpoint; here that word is for signed tree heads.
//!
//! A thread of its own copies pages into the database while commits go on (SQLite's PASSIVE mode never waits). Commits
//! keep adding frames, so the thread alone never catches up and the WAL would grow without end: after a pass over a
//! large WAL the writer copies the remaining frames between two batches, and its next commit starts the WAL anew. These
//! are few: a page that many commits touched is copied once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::error::OpenError;
use super::store::{LOCK_WAIT, WAL_KEPT_BYTES, is_lock};

/// Bytes that are added to the WAL between two passes of the thread.
const PASS_EVERY_BYTES: u64 = 16 << 20;
/// The size from which on the writer finishes the work of the thread.
const FINISH_FROM_BYTES: u64 = 48 << 20;
/// The most that the writer copies itself, because commits wait meanwhile.
const FINISH_AT_MOST_BYTES: u64 = 32 << 20;
/// The most passes of the thread over frames that came in during the one before.
const MAX_PASSES: usize = 8;
/// A page with its header in the WAL.
const FRAME_BYTES: u64 = 16_384 + 24;
/// Pages that a commit changes beside those of its records: the edges of table and index, and the levels above.
const COMMIT_OVERHEAD_FRAMES: u64 = 4;

/// The writer's end of the copying thread.
pub struct WalCopier {
    shared: Arc<CopierState>,
    pass: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since_pass: u64,
}

#[derive(Default)]
struct CopierState {
    halted: AtomicBool,
    /// The thread has passed over a large WAL.
    finish: AtomicBool,
    /// The thread has copied all but little.
    copied: AtomicBool,
    /// The disk's error. As final as a failed commit: data that was not synced may be lost, whatever a later sync says.
    failure: OnceLock<String>,
}

impl WalCopier {
    /// Starts the thread on a log that is open for writing elsewhere in this process.
    pub fn spawn(path: &Path) -> Result<Self, OpenError> {
        let connection = super::store::open_for_writing(path)?;
        only_when_told(&connection).map_err(|source| OpenError::unusable(path, "writing", source))?;
        let shared = Arc::new(CopierState::default());
        let (pass, passes) = sync_channel::<()>(1);
        let theirs = shared.clone();
        let run = move || {
            for () in passes {
                if !theirs.halted.load(Ordering::Acquire) {
                    theirs.pass(&connection);
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
            // A pass that is running or waiting covers this one.
            let _ = self.pass.as_ref().map(|pass| pass.try_send(()));
        }
    }

    /// Copies the rest, if the thread asked for it. Called between batches.
    pub(super) fn finish(&self, connection: &Connection) {
        if self.shared.finish.swap(false, Ordering::AcqRel) && !self.shared.halted.load(Ordering::Acquire) {
            self.shared.copy(connection);
        }
    }

    /// Shortens the WAL's file if it is larger than needed and nobody reads from it: a reader that stayed in its
    /// transaction has let it grow. Never waits. Called now and then.
    pub(super) fn shorten(&self, connection: &Connection, wal_bytes: u64) {
        if wal_bytes <= WAL_KEPT_BYTES || self.shared.halted.load(Ordering::Acquire) {
            return;
        }
        if self.shared.copied.swap(false, Ordering::AcqRel) {
            self.shared.truncate(connection);
        } else {
            let _ = self.pass.as_ref().map(|pass| pass.try_send(())); // One that is waiting covers this one.
        }
    }

    /// The disk's error, if copying has failed.
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

/// Keeps SQLite from copying the WAL as the connection closes: on a failed disk, that would be a second try.
pub(super) fn only_when_told(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ())
}

/// How far a pass came.
#[derive(Clone, Copy, Default)]
struct Pass {
    /// The bytes in the WAL.
    held_bytes: u64,
    /// The bytes that are in the database.
    copied_bytes: u64,
}

impl CopierState {
    /// Copies the frames that no reader needs in the WAL any more, repeatedly until few come in during a pass.
    fn pass(&self, connection: &Connection) {
        let (mut before, mut last) = (0, Pass::default());
        for _ in 0..MAX_PASSES {
            let Some(pass) = self.copy(connection) else { return };
            last = pass;
            let newly = pass.copied_bytes.saturating_sub(before);
            before = pass.copied_bytes;
            if newly <= FINISH_AT_MOST_BYTES {
                break;
            }
        }
        // If they come in as fast as they are copied, commits wait once, or the WAL would grow for as long.
        let is_copied = last.held_bytes.saturating_sub(last.copied_bytes) <= FINISH_AT_MOST_BYTES;
        self.copied.store(is_copied, Ordering::Release);
        self.finish.store(is_copied && last.held_bytes >= FINISH_FROM_BYTES, Ordering::Release);
    }

    /// Copies the frames that no reader needs in the WAL any more; silent if it had to wait for another process.
    fn copy(&self, connection: &Connection) -> Option<Pass> {
        self.told(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pass))
    }

    /// Copies the rest, and cuts off the WAL's file.
    fn truncate(&self, connection: &Connection) {
        let cut = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], pass));
        self.told(cut);
        self.told(connection.busy_timeout(LOCK_WAIT).map(|()| Pass::default()));
    }

    /// Notes SQLite's result.
    fn told(&self, copied: rusqlite::Result<Pass>) -> Option<Pass> {
        match copied {
            Ok(pass) => Some(pass),
            // Mostly SQLite says so in the row's first column; for a recovery by another process it returns an error.
            Err(error) if is_lock(&error) => None,
            Err(error) => {
                self.halted.store(true, Ordering::Release);
                let _ = self.failure.set(format!("copy the write-ahead log into the database: {error}")); // The first stands.
                None
            }
        }
    }
}

/// SQLite gives frames, and -1 if it failed.
fn pass(row: &rusqlite::Row<'_>) -> rusqlite::Result<Pass> {
    let bytes = |frames: i64| frames.max(0).cast_unsigned() * FRAME_BYTES;
    Ok(Pass { held_bytes: bytes(row.get(1)?), copied_bytes: bytes(row.get(2)?) })
}
