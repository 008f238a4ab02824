//! The writer, with the smallest machine that decides anything.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use authledger::domain::{Origin, Position, RecordId, Sequence, Timestamp};
use authledger::event_log::{
    Base, Batch, Chain, ChainHash, ForeignError, LogEntry, Machine, OpenLog, Reader, SubmitError, WalCopier, Writer,
    WriterHandle, WriterStart, open_for_writing,
};
use tempfile::TempDir;

use crate::support::node::{at, origin};

enum Ask {
    /// Append this text.
    Append(&'static str),
    /// Decide for nothing.
    Refuse,
    /// Meet a bug.
    Panic,
    /// Append another origin's record.
    Foreign(RecordId, &'static str, ChainHash),
    /// Say that the writer is here, and wait for leave to go on.
    Wait(Sender<()>, Receiver<()>),
}

#[derive(Debug, PartialEq)]
enum Told {
    Appended(Position),
    Refused,
    Foreign(Result<Position, ForeignError>),
    Waited,
}

/// How many entries each commit had.
type Commits = Arc<Mutex<Vec<usize>>>;

struct Scripted(Commits);

impl Scripted {
    fn decide(&mut self, ask: Ask, batch: &mut Batch) -> Told {
        match ask {
            Ask::Append(record) => Told::Appended(batch.append(record.to_owned())),
            Ask::Refuse => Told::Refused,
            Ask::Panic => panic!("a bug"),
            Ask::Foreign(place, record, hash) => Told::Foreign(batch.append_foreign(place, record.to_owned(), hash)),
            Ask::Wait(here, go_on) => {
                here.send(()).unwrap();
                go_on.recv().unwrap();
                Told::Waited
            }
        }
    }
}

impl Machine for Scripted {
    fn committed(&mut self, entries: Vec<LogEntry>, _took: Duration) {
        self.0.lock().unwrap().push(entries.len());
    }

    fn refused(&mut self) {}

    fn idle(&mut self) {}
}

struct Running {
    directory: TempDir,
    writer: Writer<Scripted>,
    commits: Commits,
}

fn own() -> Origin {
    origin('a')
}

fn start(queue: usize) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let start = WriterStart {
        log: OpenLog::open(&path).unwrap(),
        origin: own(),
        base: Base::default(),
        last_recorded_at: Timestamp::default(),
        queue,
        now: Arc::new(|| at(0)),
    };
    let commits = Commits::default();
    let writer = Writer::spawn(start, WalCopier::spawn(&path).unwrap(), Scripted(commits.clone())).unwrap();
    Running { directory, writer, commits }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Asks all of that while the writer is held, so that it finds them waiting together; the answers in order.
fn ask_together(running: &Running, asks: Vec<Ask>) -> Vec<Told> {
    let handle = running.writer.handle();
    let (release, go_on) = channel();
    let (here, arrived) = channel();
    block_on(async {
        let mut answers = vec![tokio_submit(&handle, Ask::Wait(here, go_on))];
        // The first poll queues the command.
        poll_once(&mut answers[0]).await;
        arrived.recv().unwrap();
        for ask in asks {
            answers.push(tokio_submit(&handle, ask));
            poll_once(answers.last_mut().unwrap()).await;
        }
        release.send(()).unwrap();
        let mut told = Vec::new();
        for answer in answers {
            told.push(answer.await.unwrap());
        }
        told.split_off(1)
    })
}

type Answer<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Told, SubmitError>> + 'a>>;

async fn submit(handle: &WriterHandle<Scripted>, ask: Ask) -> Result<Told, SubmitError> {
    handle.submit(move |scripted, batch| scripted.decide(ask, batch)).await
}

fn tokio_submit(handle: &WriterHandle<Scripted>, ask: Ask) -> Answer<'_> {
    Box::pin(submit(handle, ask))
}

async fn poll_once(answer: &mut Answer<'_>) {
    std::future::poll_fn(|context| {
        assert!(answer.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

fn records(running: &Running) -> Vec<String> {
    let reader = Reader::open(&running.directory.path().join("ledger.db")).unwrap();
    let page = reader.next_page(&mut Base::default(), 100).unwrap();
    page.into_iter().map(|stored| stored.record.into()).collect()
}

#[test]
fn commands_that_wait_together_share_a_commit() {
    let running = start(16);
    let told = ask_together(&running, vec![Ask::Append("one"), Ask::Append("two"), Ask::Append("three")]);
    let positions = [1, 2, 3].map(|position| Told::Appended(Position(position)));
    assert_eq!(told, positions);
    assert_eq!(*running.commits.lock().unwrap(), [3]);
    assert_eq!(records(&running), ["one", "two", "three"]);
}

#[test]
fn one_bad_command_does_not_fail_its_neighbours() {
    let running = start(16);
    let fork = Ask::Foreign(RecordId { origin: origin('b'), sequence: Sequence(1) }, "b1", ChainHash([1; 32]));
    let told = ask_together(&running, vec![Ask::Append("one"), Ask::Refuse, fork, Ask::Append("two")]);
    assert_eq!(told[1..3], [Told::Refused, Told::Foreign(Err(ForeignError::Fork))]);
    assert_eq!(told[3], Told::Appended(Position(2)));
    assert_eq!(records(&running), ["one", "two"]);
}

#[test]
fn nothing_is_committed_for_a_batch_without_records() {
    let running = start(16);
    assert_eq!(ask_together(&running, vec![Ask::Refuse]), [Told::Refused]);
    assert!(running.commits.lock().unwrap().is_empty());
}

#[test]
fn a_writer_that_panics_has_halted() {
    let running = start(16);
    let handle = running.writer.handle();
    let unknown = block_on(submit(&handle, Ask::Panic)).unwrap_err();
    assert!(matches!(unknown, SubmitError::Stopping), "{unknown}");
    assert!(running.writer.stop().is_err(), "it panicked");
    assert!(handle.fault().is_some());
    assert!(matches!(block_on(submit(&handle, Ask::Refuse)).unwrap_err(), SubmitError::Fault(_)));
}

#[test]
fn another_origins_records_are_taken_in_order_and_once() {
    let running = start(16);
    let chain = Chain::default();
    let first = chain.link(&ChainHash::default(), b"b1");
    let second = chain.link(&first, b"b2");
    let place = |letter, sequence| RecordId { origin: origin(letter), sequence: Sequence(sequence) };
    let handle = running.writer.handle();
    let take = |place, record, hash| match block_on(submit(&handle, Ask::Foreign(place, record, hash))).unwrap() {
        Told::Foreign(taken) => taken,
        other => panic!("{other:?}"),
    };
    assert_eq!(take(place('b', 2), "b2", second), Err(ForeignError::Gap(Sequence(1))));
    assert_eq!(take(place('b', 1), "b1", first), Ok(Position(1)));
    assert_eq!(take(place('b', 1), "b1", first), Err(ForeignError::Duplicate));
    assert_eq!(take(place('b', 1), "B1", chain.link(&ChainHash::default(), b"B1")), Err(ForeignError::Fork));
    assert_eq!(take(place('b', 2), "B2", second), Err(ForeignError::Fork), "not the bytes that were hashed");
    assert_eq!(take(place('b', 2), "b2", second), Ok(Position(2)));
    assert_eq!(take(place('a', 1), "a1", first), Err(ForeignError::Own));
    assert_eq!(block_on(submit(&handle, Ask::Append("a1"))).unwrap(), Told::Appended(Position(3)));
    assert_eq!(records(&running), ["b1", "b2", "a1"]);
}

#[test]
fn stopping_commits_what_waits_and_refuses_what_comes_after() {
    let Running { directory, writer, commits } = start(16);
    let handle = writer.handle();
    let (release, go_on) = channel();
    let (here, arrived) = channel();
    let told = block_on(async {
        let mut held = tokio_submit(&handle, Ask::Wait(here, go_on));
        poll_once(&mut held).await;
        arrived.recv().unwrap();
        let mut waiting = tokio_submit(&handle, Ask::Append("last"));
        poll_once(&mut waiting).await;
        let stopping = std::thread::spawn(move || writer.stop().map(|_| ()));
        release.send(()).unwrap();
        held.await.unwrap();
        let told = waiting.await.unwrap();
        stopping.join().unwrap().unwrap();
        told
    });
    assert_eq!(told, Told::Appended(Position(1)));
    assert_eq!(*commits.lock().unwrap(), [1]);
    let after = block_on(submit(&handle, Ask::Append("too late")));
    assert!(matches!(after, Err(SubmitError::Stopping)));
    assert_eq!(Reader::open(&directory.path().join("ledger.db")).unwrap().head().unwrap(), Position(1));
}

#[test]
fn a_full_queue_refuses_at_once() {
    let running = start(1);
    let handle = running.writer.handle();
    let (release, go_on) = channel();
    let (here, arrived) = channel();
    block_on(async {
        let mut held = tokio_submit(&handle, Ask::Wait(here, go_on));
        poll_once(&mut held).await;
        arrived.recv().unwrap();
        let mut queued = tokio_submit(&handle, Ask::Append("one"));
        poll_once(&mut queued).await;
        assert!(matches!(submit(&handle, Ask::Append("two")).await, Err(SubmitError::Overloaded)));
        release.send(()).unwrap();
        assert_eq!(queued.await.unwrap(), Told::Appended(Position(1)));
        held.await.unwrap();
    });
}

#[test]
fn a_log_that_failed_to_write_once_writes_no_more() {
    let running = start(16);
    let handle = running.writer.handle();
    block_on(submit(&handle, Ask::Append("one"))).unwrap();
    // Somebody else takes the place that is next, so that the triggers refuse the writer's row.
    let other = open_for_writing(&running.directory.path().join("ledger.db")).unwrap();
    other.execute_batch("INSERT INTO event VALUES (2, 'aaaaaaaaaaaaa', 2, 0, '{}', zeroblob(32))").unwrap();
    assert!(matches!(block_on(submit(&handle, Ask::Append("two"))), Err(SubmitError::Fault(_))));
    assert!(matches!(block_on(submit(&handle, Ask::Refuse)), Err(SubmitError::Fault(_))));
    assert!(handle.fault().is_some());
    assert_eq!(*running.commits.lock().unwrap(), [1]);
}
