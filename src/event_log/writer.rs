//! The writer thread: the only code that adds to the log.
//!
//! Appends that arrive while a commit is syncing share the next one, so one fsync pays for many. The [`Machine`]
//! decides and applies; the writer knows bytes, places and hashes. A fault halts the thread permanently: a log that
//! failed to write once is not trusted to write again.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::runtime::Handle;

use super::batch::{Batch, LogEntry, Machine};
use super::chain::{Chain, ChainHash};
use super::error::{Damage, Fault, ReadError};
use super::files::OpenLog;
use super::queue::{SubmitError, UncommittedCommands, Work, WriterHandle, refuse, refuse_all};
use super::reader::{Base, Head};
use super::store::{LOCK_WAIT, is_lock};
use super::wal::{WalCopier, only_when_told};
use super::watch::{Rescue, Watch};
use crate::domain::{Origin, Position, Sequence, Timestamp};

/// The most commands that share a commit.
const MAX_BATCH_COMMANDS: usize = 4_096;
/// The clock that stamps records: milliseconds since 1970.
pub type NowFn = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The writer thread.
pub struct Writer<M: Machine> {
    handle: WriterHandle<M>,
    thread: JoinHandle<M>,
}

/// The start of a writer.
pub struct WriterStart {
    /// The log, which it alone writes.
    pub log: OpenLog,
    /// The origin that it continues, or starts if that has no records yet.
    pub origin: Origin,
    /// The end of the log.
    pub base: Base,
    /// The `recorded_at` of the origin's last record.
    pub last_recorded_at: Timestamp,
    /// How many commands may wait.
    pub queue: usize,
    /// The clock.
    pub now: NowFn,
}

impl<M: Machine> Writer<M> {
    /// Starts the thread. Within a runtime, that runtime's threads hand out the answers.
    pub fn spawn(start: WriterStart, wal_copier: WalCopier, machine: M) -> std::io::Result<Self> {
        // The triggers are meant for all other programs. For each insert that a trigger watches, SQLite copies the page
        // that the row goes to, which is half of an insert's time; the check before COMMIT finds what they would refuse.
        let OpenLog { connection, files } = start.log;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(std::io::Error::other)?;
        only_when_told(&connection).map_err(std::io::Error::other)?;
        let watch = Watch::start(files, &connection)?;
        let (queue, work) = sync_channel(start.queue);
        let fault = Arc::new(OnceLock::new());
        let handle = WriterHandle { queue, fault: fault.clone(), seen: watch.seen().clone() };
        let scribe = Scribe {
            connection,
            origin: start.origin,
            base: start.base,
            recorded_at: start.last_recorded_at,
            now: start.now,
            chain: Chain::default(),
            wal_copier,
            watch,
            taken: None,
            fault,
            runtime: Handle::try_current().ok(),
        };
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let _panic_is_a_fault = PanicIsAFault(scribe.fault.clone());
            scribe.run(&work, machine)
        })?;
        Ok(Self { handle, thread })
    }

    /// Access to the thread.
    pub fn handle(&self) -> WriterHandle<M> {
        self.handle.clone()
    }

    /// Commits what is queued, stops the thread and gives the machine back.
    pub fn stop(self) -> std::thread::Result<M> {
        // A writer that has gone already has nothing left to drain.
        let _ = self.handle.queue.send(Work::Stop);
        drop(self.handle);
        self.thread.join()
    }
}

/// Says that the log has halted if the thread that holds it panics: nobody else would know.
struct PanicIsAFault(Arc<OnceLock<Fault>>);

impl Drop for PanicIsAFault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.set(Fault("its thread panicked".into())); // What halted it before stands.
        }
    }
}

/// How long the writer waits for work before it does its housekeeping.
const QUIET: Duration = Duration::from_millis(100);
/// How long a batch waits for the write lock after another one was refused: commands in the queue do not wait for each.
const LOCK_WAIT_AGAIN: Duration = Duration::from_millis(500);

struct Scribe {
    connection: Connection,
    origin: Origin,
    base: Base,
    recorded_at: Timestamp,
    now: NowFn,
    chain: Chain,
    wal_copier: WalCopier,
    watch: Watch,
    /// The loss of the files, if they were taken away.
    taken: Option<Arc<str>>,
    fault: Arc<OnceLock<Fault>>,
    runtime: Option<Handle>,
}

/// Why a batch is not acknowledged.
enum Unwritten {
    /// Another process has the lock, and nothing was written.
    Locked,
    /// It may have been written, or not, or into files that are no longer reachable.
    Failed(Arc<str>),
}

impl From<rusqlite::Error> for Unwritten {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string().into())
    }
}

impl From<ReadError> for Unwritten {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string().into())
    }
}

impl Scribe {
    fn run<M: Machine>(mut self, work: &Receiver<Work<M>>, mut machine: M) -> M {
        let mut stopping = false;
        while !stopping {
            let received = work.recv_timeout(QUIET);
            if self.fault.get().is_none()
                && let Some(failure) = self.wal_copier.failure().map(Arc::from)
            {
                self.fail_for(failure);
            }
            self.look();
            let first = match received {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.save();
                    machine.idle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(fault) = self.fault.get() {
                stopping = refuse(fault, first);
                // Saving the log takes a while: the callers that are already here do not wait for it.
                while !stopping && let Ok(next) = work.try_recv() {
                    stopping = refuse(fault, next);
                }
                self.save();
                continue;
            }
            stopping = self.batch(first, work, &mut machine);
            machine.idle();
            self.wal_copier.finish(&self.connection);
        }
        self.close();
        machine
    }

    /// Leaves an empty WAL behind, so that the log is one file while no server runs. Readers may prevent that, which
    /// does no harm.
    fn close(self) {
        if self.fault.get().is_none() && self.wal_copier.failure().is_none() {
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            tracing::debug!(?emptied, "the write-ahead log was copied");
        }
    }

    /// Decides and commits the waiting commands. True if the writer is to stop then.
    fn batch<M: Machine>(&mut self, first: Work<M>, work: &Receiver<Work<M>>, machine: &mut M) -> bool {
        let mut batch = self.begin();
        let mut waiting: UncommittedCommands<M> = Vec::new();
        let mut next = Some(first);
        let mut stopping = false;
        while let Some(item) = next {
            match item {
                Work::Decide(mut command) => {
                    command.decide(machine, &mut batch);
                    waiting.push(command);
                }
                Work::Stop => stopping = true,
            }
            let full = stopping || waiting.len() >= MAX_BATCH_COMMANDS || batch.is_full();
            next = if full { None } else { work.try_recv().ok() };
        }
        self.finish(batch, waiting, machine);
        stopping
    }

    fn begin(&self) -> Batch {
        let now = (self.now)().max(self.recorded_at);
        Batch {
            origin: self.origin,
            now,
            base: self.base.clone(),
            entries: Vec::new(),
            bytes: 0,
            chain: self.chain.clone(),
        }
    }

    fn finish<M: Machine>(&mut self, batch: Batch, waiting: UncommittedCommands<M>, machine: &mut M) {
        let Batch { now, base, entries, bytes, .. } = batch;
        if !entries.is_empty() {
            let started = Instant::now();
            match self.commit(&entries, now) {
                Ok(()) => {}
                Err(Unwritten::Locked) => {
                    machine.refused();
                    self.watch.set_locked(true);
                    return refuse_all(waiting, &SubmitError::Locked);
                }
                Err(Unwritten::Failed(cause)) => {
                    let fault = self.fail_for(cause);
                    return refuse_all(waiting, &SubmitError::Fault(fault));
                }
            }
            self.base = base;
            self.recorded_at = now;
            machine.committed(entries, started.elapsed());
            self.wal_copier.written(bytes);
        }
        // Reply after COMMIT, not before: "revoked" must survive the power going out.
        let answer = move || {
            for command in waiting {
                command.answer(Ok(()));
            }
        };
        match &self.runtime {
            // Each wake-up from outside the runtime would cost this thread a lock, and often a system call.
            Some(runtime) => drop(runtime.spawn(async move { answer() })),
            None => answer(),
        }
    }

    fn commit(&mut self, entries: &[LogEntry], now: Timestamp) -> Result<(), Unwritten> {
        let stored_at = now.as_millis().cast_signed();
        self.take_lock()?;
        if let Some(foreign) = self.foreign_end()? {
            return Err(Unwritten::Failed(foreign));
        }
        {
            let mut insert = self.connection.prepare_cached(
                "INSERT INTO event (position, origin, sequence, stored_at, record, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for entry in entries {
                insert.execute((
                    entry.position.0.cast_signed(),
                    entry.place.origin.as_str(),
                    entry.place.sequence.0.cast_signed(),
                    stored_at,
                    &*entry.record,
                    &entry.hash.0[..],
                ))?;
            }
        }
        self.check_written(entries.len())?;
        // Without a lock to wait for: in WAL mode the transaction has everything that a COMMIT needs, so one that fails
        // is a fault.
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        // After the sync and before the answer: data that was synced into a file without a name is gone with this
        // process.
        self.watch.check().map(drop).map_err(|what| Unwritten::Failed(what.into()))
    }

    /// Begins the transaction. If another process has the write lock, SQLite waits for it a while, and has written
    /// nothing.
    fn take_lock(&self) -> Result<(), Unwritten> {
        let is_locked = self.watch.is_locked();
        if is_locked {
            // Other callers have waited for it already.
            self.connection.busy_timeout(LOCK_WAIT_AGAIN)?;
        }
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        if is_locked {
            self.connection.busy_timeout(LOCK_WAIT)?;
        }
        match begun {
            Ok(_) => {
                if is_locked {
                    self.watch.set_locked(false);
                }
                Ok(())
            }
            Err(error) if is_lock(&error) && self.connection.is_autocommit() => Err(Unwritten::Locked),
            Err(error) => Err(error.into()),
        }
    }

    /// The difference between the end of the log and the state in which this writer left it, if there is one: another
    /// program may have written to it, or replaced it.
    fn foreign_end(&self) -> rusqlite::Result<Option<Arc<str>>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT position, origin, hash FROM event ORDER BY position DESC LIMIT 1")?;
        let mut rows = select.query([])?;
        let due = self.base.position;
        let (found, is_ours) = match rows.next()? {
            None => (0, true),
            Some(row) => {
                let head = row.get_ref(1)?.as_str().ok().and_then(|origin| self.base.heads.get(&origin.parse().ok()?));
                let hash = row.get_ref(2)?.as_blob().ok();
                (row.get::<_, i64>(0)?.cast_unsigned(), head.is_some_and(|head| hash == Some(&head.hash.0[..])))
            }
        };
        if found != due.0 {
            return Ok(Some(format!("another program has written to ledger.db: it ends at position {found}, and this server has written up to position {due}").into()));
        }
        Ok((!is_ours).then(|| format!("another program has written to ledger.db: the record at position {due} is not the one that this server wrote").into()))
    }

    /// Reads back the records that are about to be committed and follows the chain over them: the last chance to find a
    /// flipped bit.
    fn check_written(&self, records: usize) -> Result<(), ReadError> {
        let mut heads: BTreeMap<Origin, Head> = self.base.heads.clone();
        let mut select = self.connection.prepare_cached(
            "SELECT position, origin, sequence, record, hash FROM event WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = select.query([self.base.position.0.cast_signed()])?;
        let mut due = self.base.position;
        while let Some(row) = rows.next()? {
            let position = Position(row.get::<_, i64>(0)?.cast_unsigned());
            due = due.next();
            if position != due {
                return Err(ReadError::Damaged { position: due, damage: Damage::MissingPosition { next: position } });
            }
            let damaged = |damage| ReadError::Damaged { position, damage };
            let origin: Origin = row
                .get_ref(1)?
                .as_str()
                .ok()
                .and_then(|origin| origin.parse().ok())
                .ok_or_else(|| damaged(Damage::Column))?;
            let found = Sequence(row.get::<_, i64>(2)?.cast_unsigned());
            let head = heads.entry(origin).or_default();
            let expected = head.sequence.next();
            if found != expected {
                return Err(damaged(Damage::Sequence { origin, expected, found }));
            }
            let stored = row.get_ref(4)?.as_blob().ok().and_then(ChainHash::from_slice).unwrap_or_default();
            let record = row.get_ref(3)?.as_str().map_err(|_| damaged(Damage::Column))?;
            let computed = self.chain.link(&head.hash, record.as_bytes());
            if stored != computed {
                return Err(damaged(Damage::Hash { stored, computed }));
            }
            *head = Head { sequence: expected, hash: computed };
        }
        if due.0 == self.base.position.0 + records as u64 {
            return Ok(());
        }
        Err(ReadError::Damaged { position: due.next(), damage: Damage::Absent })
    }

    /// Writes nothing more, because of that; the first cause stands.
    fn fail(&self, cause: Arc<str>) -> Fault {
        self.wal_copier.halt();
        let first = self.fault.get().is_none();
        let fault = self.fault.get_or_init(|| Fault(cause)).clone();
        if first {
            tracing::error!(%fault, "the event log has halted");
        }
        fault
    }

    /// Halts for that cause, or for the one behind it: files that were taken away. The log is saved once every waiting
    /// caller has been answered.
    fn fail_for(&mut self, cause: Arc<str>) -> Fault {
        // Before the first answer: a caller that gets one finds readiness consistent with it.
        match self.watch.check() {
            Ok(_) => self.fail(cause),
            Err(what) => {
                let what = self.note_taken(what);
                self.fail(what)
            }
        }
    }

    fn note_taken(&mut self, what: String) -> Arc<str> {
        let what: Arc<str> =
            format!("{what}: no program may delete, move or copy over files of a running server").into();
        self.watch.set_taken(&what, Rescue::Running);
        self.taken.get_or_insert(what).clone()
    }

    /// Saves the log, until that has succeeded.
    fn save(&mut self) {
        let Some(what) = &self.taken else { return };
        // A batch that failed half-way was not written.
        if self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok() {
            self.watch.save(&self.connection, what, self.base.position);
        }
    }

    /// Looks around once a second, whether there is work or not.
    fn look(&mut self) {
        if self.fault.get().is_some() || !self.watch.is_due() {
            return;
        }
        match self.watch.look(&self.connection) {
            Ok(sizes) => self.wal_copier.shorten(&self.connection, sizes.wal_bytes),
            Err(what) => {
                self.fail_for(what.into());
                return;
            }
        }
        // If another program locks even readers out, the next look tells.
        if let Ok(Some(foreign)) = self.foreign_end() {
            self.fail_for(foreign);
            return;
        }
        if self.watch.is_locked() && self.can_lock() {
            self.watch.set_locked(false);
        }
    }

    /// Whether the write lock can be had now.
    fn can_lock(&self) -> bool {
        let tried = self
            .connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| self.connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
        let restored = self.connection.busy_timeout(LOCK_WAIT);
        tried.and(restored).is_ok()
    }
}
