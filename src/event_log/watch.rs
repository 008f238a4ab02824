//! The writer's view of the world around its file: whether the file was taken away, who has locked it or keeps the WAL,
//! added objects, and the free space. Readiness and metrics show it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::batch::MAX_BATCH_BYTES;
use super::files::{Files, Sizes};
use super::rescue::{self, Saved};
use super::schema::{self, SchemaChanges};
use super::{locks, store};
use crate::domain::Position;

/// How often the writer looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The size of the WAL from which on readiness warns.
const WAL_WARNS_FROM_BYTES: u64 = 256 << 20;
/// The space that the largest batch needs: its records with half as much for their other columns, index and edges, once
/// in the WAL and once in the database.
pub const ROOM_FOR_A_BATCH_BYTES: u64 = 2 * (MAX_BATCH_BYTES + MAX_BATCH_BYTES / 2) as u64;
/// Readiness warns when less than this share of the disk is free: one twentieth.
const LOW_DISK_DIVISOR: u64 = 20;
/// How often the size of the log is noted, and for how long.
const GROWTH_EVERY: Duration = Duration::from_secs(60);
const GROWTH_FOR: Duration = Duration::from_secs(3_600);
/// A shorter time says too little about an hour.
const GROWTH_FROM: Duration = Duration::from_secs(300);
/// How long to wait before another attempt to save the log.
const RESCUE_EVERY: Duration = Duration::from_secs(10);

/// The latest observation.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The size of the write-ahead log's file.
    pub wal_bytes: u64,
    /// The free space on the log's disk for the server's user.
    pub disk_free_bytes: u64,
    /// The size of that disk.
    pub disk_bytes: u64,
    /// How much the log grows in an hour, if that is known.
    pub growth_bytes: Option<u64>,
    /// The program that has locked the log, so that a batch was refused.
    pub locked_by: Option<String>,
    /// If the WAL is large: the reader that keeps it from being copied.
    pub large_wal: Option<Option<String>>,
    /// The differences from a ledger's own schema.
    pub schema: SchemaChanges,
    /// The loss of the files, if they were taken away.
    pub taken: Option<RemovedLog>,
}

/// A log whose files were taken away.
#[derive(Clone, Debug)]
pub struct RemovedLog {
    /// The file, and what happened to it.
    pub what: Arc<str>,
    /// The state of the rescue.
    pub rescue: Rescue,
}

/// The state of a rescue.
#[derive(Clone, Debug)]
pub enum Rescue {
    /// It is being written.
    Running,
    /// A file of that name beside the log holds everything up to that position, verified.
    Whole(String, Position),
    /// A file of that name holds the readable part, up to that position.
    Partial(String, Position),
    /// Nothing could be saved; the attempt is repeated.
    Failed(String),
}

impl fmt::Display for Rescue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("What it still holds is being saved: do not stop it"),
            Self::Whole(name, position) => write!(
                f,
                "Everything that was acknowledged, up to position {position}, is in {name}, verified: stop the server and put that file in the place of ledger.db, without -wal and -shm"
            ),
            Self::Partial(name, position) => {
                write!(
                    f,
                    "What could still be read, up to position {position}, is in {name}; continue from that or from a backup"
                )
            }
            Self::Failed(why) => write!(f, "It could not be saved yet: do not stop the server ({why})"),
        }
    }
}

impl fmt::Display for RemovedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.rescue)
    }
}

impl Observed {
    /// Whether the largest batch fits on the disk.
    pub fn has_room(&self) -> bool {
        // A disk that does not tell its size may have any size.
        self.disk_bytes == 0 || self.disk_free_bytes >= ROOM_FOR_A_BATCH_BYTES
    }

    /// The warnings for the operator, the gravest first.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(self.locked_by.as_ref().map(|who| {
            format!(
                "ledger.db is locked for writing by {who}: commands are answered 503 until that ends its transaction"
            )
        }));
        warnings.extend(self.schema.broken.as_ref().map(|broken| {
            let mend = broken.mend.as_ref().map(|mend| format!("; {mend} removes it")).unwrap_or_default();
            format!("the {} of ledger.db {}: the next start refuses it{mend}", broken.name, broken.what)
        }));
        warnings.extend(self.disk());
        warnings.extend(self.large_wal.as_ref().map(|who| {
            let megabytes = self.wal_bytes >> 20;
            let why = match who {
                Some(who) => format!("because a reader does not end its transaction: {who}"),
                None => {
                    "and its reader was not found: its records are not copied into ledger.db fast enough".to_owned()
                }
            };
            format!("ledger.db-wal has {megabytes} MB and grows, {why}")
        }));
        warnings.extend(self.schema.added.iter().map(|added| format!("in ledger.db {added}")));
        warnings
    }

    fn disk(&self) -> Option<String> {
        let free = self.disk_free_bytes >> 20;
        if self.disk_free_bytes < self.disk_bytes / LOW_DISK_DIVISOR {
            let percent = self.disk_free_bytes * 100 / self.disk_bytes.max(1);
            return Some(format!(
                "the disk of ledger.db has {free} MiB left, {percent} %: make room before it is full"
            ));
        }
        let growth = self.growth_bytes.filter(|growth| self.disk_free_bytes < *growth)?;
        Some(format!("the disk of ledger.db has {free} MiB left, and the log grows by {} MiB in an hour", growth >> 20))
    }
}

/// The observations, shared with readiness and metrics.
pub(super) type SharedObservations = Arc<Mutex<Observed>>;

/// The writer's observer.
pub(super) struct Watch {
    files: Files,
    seen: SharedObservations,
    looked_at: Instant,
    schema_version: Option<i64>,
    sizes: VecDeque<(Instant, u64)>,
    rescued_at: Option<Instant>,
}

impl Watch {
    /// Of the files that the connection was opened with. It has looked once when this returns, so they are the ones that are there.
    pub(super) fn start(files: Files, connection: &Connection) -> io::Result<Self> {
        let mut watch = Self {
            files,
            seen: SharedObservations::default(),
            looked_at: Instant::now(),
            schema_version: None,
            sizes: VecDeque::new(),
            rescued_at: None,
        };
        watch.look(connection).map_err(io::Error::other)?;
        Ok(watch)
    }

    pub(super) fn seen(&self) -> &SharedObservations {
        &self.seen
    }

    /// Whether the names still stand for the opened files.
    pub(super) fn check(&self) -> Result<Sizes, String> {
        self.files.check()
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_EVERY
    }

    /// Looks at everything; returns an error if the files were taken away.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<Sizes, String> {
        self.looked_at = Instant::now();
        let sizes = self.files.check()?;
        let growth_bytes = self.growth(sizes.database_bytes);
        let disk = rustix::fs::statvfs(self.files.path());
        let is_large = sizes.wal_bytes >= WAL_WARNS_FROM_BYTES;
        let large_wal = is_large.then(|| locks::readers(self.files.shared_memory_inode()));
        let schema = self.changed_schema(connection);
        let mut seen = self.seen.lock();
        seen.wal_bytes = sizes.wal_bytes;
        seen.growth_bytes = growth_bytes;
        match disk {
            Ok(disk) => {
                seen.disk_free_bytes = disk.f_bavail * disk.f_frsize;
                seen.disk_bytes = disk.f_blocks * disk.f_frsize;
            }
            Err(error) => tracing::debug!(%error, "the room on the log's disk is not known"),
        }
        if let (Some(who), None) = (&large_wal, &seen.large_wal) {
            let reader = who.as_deref().unwrap_or("none was found");
            tracing::warn!(
                wal_bytes = sizes.wal_bytes,
                reader,
                "the write-ahead log is large; a reader that does not end its transaction keeps it from being copied"
            );
        }
        seen.large_wal = large_wal;
        if let Some(schema) = schema {
            seen.schema = schema;
        }
        Ok(sizes)
    }

    /// A batch was refused because of a lock, or the lock is gone.
    pub(super) fn set_locked(&self, locked: bool) {
        let mut seen = self.seen.lock();
        match (locked, &seen.locked_by) {
            (true, before) => {
                let who =
                    locks::writers(self.files.shared_memory_inode()).unwrap_or_else(|| "another process".to_owned());
                if before.is_none() {
                    tracing::warn!(lock_holder = %who, "another process has locked the event log for writing: commands are refused until it ends its transaction");
                }
                seen.locked_by = Some(who);
            }
            (false, Some(_)) => {
                tracing::info!("the event log is not locked any more");
                seen.locked_by = None;
            }
            (false, None) => {}
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.seen.lock().locked_by.is_some()
    }

    /// Saves everything that the connection still sees, if that is due: at once, and again after a while if it failed.
    /// Everything up to `acknowledged` should be there.
    pub(super) fn save(&mut self, connection: &Connection, what: &Arc<str>, acknowledged: Position) {
        let is_settled = match &self.seen.lock().taken {
            Some(RemovedLog { rescue: Rescue::Whole(..) | Rescue::Partial(..), .. }) => true,
            _ => self.rescued_at.is_some_and(|at| at.elapsed() < RESCUE_EVERY),
        };
        if is_settled {
            return;
        }
        self.set_taken(what, Rescue::Running);
        let rescue = match rescue::save(connection, self.files.path()) {
            Ok(Saved { path, base, stopped_by }) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let position = base.position;
                match stopped_by {
                    None if position >= acknowledged => {
                        tracing::error!(file = %path.display(), %position, "the log is saved after its files were taken away: everything that was acknowledged, and the last commit, which may be unknown to its caller; stop this server, move ledger.db, -wal and -shm away, and rename the saved file to ledger.db");
                        Rescue::Whole(name, position)
                    }
                    error => {
                        let error = error
                            .map_or_else(|| "the records behind it are gone".to_owned(), |error| error.to_string());
                        tracing::error!(file = %path.display(), %position, %acknowledged, error, "the readable part of the log is saved after its files were taken away; the rest is lost to this server");
                        Rescue::Partial(name, position)
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log could not be saved after its files were taken away: do not stop the server; it tries again in ten seconds");
                Rescue::Failed(error.to_string())
            }
        };
        self.rescued_at = Some(Instant::now());
        self.set_taken(what, rescue);
    }

    /// The files were taken away.
    pub(super) fn set_taken(&self, what: &Arc<str>, rescue: Rescue) {
        self.seen.lock().taken = Some(RemovedLog { what: what.clone(), rescue });
    }

    /// The differences of the schema, if it has changed since the last look.
    fn changed_schema(&mut self, connection: &Connection) -> Option<SchemaChanges> {
        let version = store::pragma(connection, "schema_version").ok()?;
        if self.schema_version == Some(version) {
            return None;
        }
        let changes = schema::changes(connection).ok()?;
        self.schema_version = Some(version);
        let before = &self.seen.lock().schema;
        for added in changes.added.iter().filter(|added| !before.added.contains(added)) {
            tracing::warn!("in ledger.db {added}");
        }
        if let Some(broken) = changes.broken.as_ref().filter(|broken| before.broken.as_ref() != Some(broken)) {
            tracing::error!(name = broken.name, "the schema of ledger.db was changed: it {}", broken.what);
        }
        Some(changes)
    }

    /// The growth of the database in an hour, as far as the last hour tells.
    fn growth(&mut self, bytes: u64) -> Option<u64> {
        let now = Instant::now();
        if self.sizes.back().is_none_or(|(at, _)| now - *at >= GROWTH_EVERY) {
            self.sizes.push_back((now, bytes));
        }
        while self.sizes.front().is_some_and(|(at, _)| now - *at > GROWTH_FOR) {
            self.sizes.pop_front();
        }
        let (since, before) = *self.sizes.front()?;
        let took = now - since;
        let grown = bytes.saturating_sub(before);
        (took >= GROWTH_FROM).then(|| grown.saturating_mul(GROWTH_FOR.as_secs()) / took.as_secs().max(1))
    }
}
