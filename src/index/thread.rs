//! The thread that keeps the index up with the log: fed after each commit, and never in the writer's way.
//!
//! It is fed through a bounded queue. When that is full the records are dropped, and the thread reads them in the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

use parking_lot::Mutex;

use super::build::{Builder, Shape};
use super::damage::{IndexError, Unusable};
use super::tail::Tail;
use crate::domain::{Position, Recorded};
use crate::event_log::{ChainHash, Reader};

/// The most waiting batches.
const QUEUED_BATCHES: usize = 1_024;
/// Records that wait at most.
const QUEUED_RECORDS: usize = 16_384;

/// How long the thread lets batches gather once there is one. Waking it for each would cost the writer a system call
/// for each commit, and two cores that are busy with commands a switch each.
const GATHER: Duration = Duration::from_millis(20);

/// A durable record, as the feeder of the thread has it.
pub trait IndexableRecord: Send + 'static {
    /// Its place in this node's log.
    fn position(&self) -> Position;
    /// The fact with its envelope.
    fn recorded(&self) -> &Recorded;
    /// The origin's chain up to and with it.
    fn hash(&self) -> ChainHash;
}

#[derive(Default)]
struct IndexingState {
    /// The newest position that the feeder has sent, or tried to.
    head: AtomicU64,
    queued: AtomicUsize,
    /// Files turned out to be damaged: repair the index.
    damaged: AtomicBool,
    stop: AtomicBool,
    /// Nothing until the builder has read the files.
    tail: Mutex<Option<Arc<Mutex<Tail>>>>,
}

/// The feeder's end.
pub struct IndexFeed<T> {
    sender: SyncSender<Vec<T>>,
    shared: Arc<IndexingState>,
}

/// The thread's end.
pub struct Fed<T> {
    receiver: Receiver<Vec<T>>,
    shared: Arc<IndexingState>,
    wake: SyncSender<Vec<T>>,
}

/// The two ends of a queue.
pub fn channel<T>() -> (IndexFeed<T>, Fed<T>) {
    let (sender, receiver) = sync_channel(QUEUED_BATCHES);
    let shared = Arc::<IndexingState>::default();
    (IndexFeed { sender: sender.clone(), shared: shared.clone() }, Fed { receiver, shared, wake: sender })
}

impl<T: IndexableRecord> IndexFeed<T> {
    /// Sends durable records, in order. It never waits: records that do not fit the queue are read in the log.
    pub fn tell(&self, records: Vec<T>) {
        let Some(last) = records.last() else { return };
        let count = records.len();
        self.shared.head.store(last.position().0, Ordering::Release);
        let queued = self.shared.queued.fetch_add(count, Ordering::AcqRel) + count;
        let told = queued <= QUEUED_RECORDS && self.sender.try_send(records).is_ok();
        if !told {
            self.shared.queued.fetch_sub(count, Ordering::AcqRel);
            // The thread looks at the head when it has emptied the queue; an empty batch wakes it if nothing else does.
            let _ = self.sender.try_send(Vec::new());
        }
    }
}

/// The thread, and its entries in memory.
pub struct Indexing {
    shared: Arc<IndexingState>,
    thread: Mutex<Option<JoinHandle<()>>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Indexing {
    /// Starts the thread on that log and directory. A failure to write the index is logged once, and ends it: then
    /// answers come from the log.
    pub fn spawn<T: IndexableRecord>(reader: Reader, directory: PathBuf, fed: Fed<T>) -> std::io::Result<Self> {
        let Fed { receiver, shared, wake } = fed;
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new().name("index".to_owned()).spawn(move || {
                let kept = keep(reader, directory.clone(), &receiver, &shared);
                *shared.tail.lock() = None;
                match kept {
                    Ok(()) | Err(IndexError::Stopping) => {}
                    Err(error) => tracing::warn!(
                        directory = %directory.display(), %error,
                        "the index is not kept any more; questions about the past read the log"
                    ),
                }
            })?
        };
        // A full queue wakes as well.
        let wake = Box::new(move || drop(wake.try_send(Vec::new())));
        Ok(Self { shared, thread: Mutex::new(Some(thread)), wake })
    }

    /// The entries in memory now.
    pub fn tail(&self) -> Option<Tail> {
        let tail = self.shared.tail.lock().clone()?;
        let tail = tail.lock().clone();
        Some(tail)
    }

    /// Makes the thread rebuild files that turned out to be damaged.
    pub fn mend(&self) {
        self.shared.damaged.store(true, Ordering::Release);
        (self.wake)();
    }

    /// Makes the thread write its queue and its entries in memory to a file, and waits for its end. A thread that is
    /// behind with reading the log leaves that to the next start.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        (self.wake)();
        let thread = self.thread.lock().take();
        thread.iter().for_each(|thread| thread.thread().unpark());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps the index panicked; the next start makes what is missing");
        }
    }
}

fn keep<T: IndexableRecord>(
    reader: Reader,
    directory: PathBuf,
    receiver: &Receiver<Vec<T>>,
    shared: &IndexingState,
) -> Result<(), IndexError> {
    let go_on = |_| !shared.stop.load(Ordering::Acquire);
    let mut builder = Builder::open(reader, &directory, Shape::default(), warn)?;
    mended(&mut builder, |builder| builder.catch_up(go_on))?;
    *shared.tail.lock() = Some(builder.tail());
    while let Some(batch) = next(receiver, shared, &mut builder)? {
        // At a stop, repairs are left to the next start.
        if !shared.stop.load(Ordering::Acquire) && shared.damaged.swap(false, Ordering::AcqRel) {
            builder.mend(true, warn)?;
        }
        mended(&mut builder, |builder| {
            for record in &batch {
                if !builder.add(record.position(), record.recorded(), record.hash())? {
                    return builder.catch_up(go_on);
                }
            }
            Ok(())
        })?;
        shared.queued.fetch_sub(batch.len(), Ordering::AcqRel);
    }
    builder.flush()
}

/// The next batch, after dropped records have been read in the log. Nothing once the feeder is gone.
fn next<T>(
    receiver: &Receiver<Vec<T>>,
    shared: &IndexingState,
    builder: &mut Builder,
) -> Result<Option<Vec<T>>, IndexError> {
    loop {
        match receiver.try_recv() {
            Ok(batch) => return Ok(Some(batch)),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) if builder.reached().0 < shared.head.load(Ordering::Acquire) => {
                mended(builder, |builder| builder.catch_up(|_| !shared.stop.load(Ordering::Acquire)))?;
            }
            Err(TryRecvError::Empty) if shared.stop.load(Ordering::Acquire) => return Ok(None),
            Err(TryRecvError::Empty) => {
                let first = receiver.recv().ok();
                if !shared.stop.load(Ordering::Acquire) {
                    park_timeout(GATHER);
                }
                return Ok(first);
            }
        }
    }
}

/// Tries again once after a file that was to be merged has turned out to be damaged. Records that were not added yet
/// are read in the log, because the head is beyond them.
fn mended(builder: &mut Builder, work: impl FnOnce(&mut Builder) -> Result<(), IndexError>) -> Result<(), IndexError> {
    match work(builder) {
        Err(IndexError::Damaged(_)) => builder.mend(true, warn),
        done => done,
    }
}

fn warn(unusable: &Unusable) {
    tracing::warn!(file = %unusable.path.display(), problem = %unusable.problem, "a part of the index is made again");
}
