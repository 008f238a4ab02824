//! The thread next to the writer: it has everything, also the records that its queue dropped, and the writer does not wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use authledger::domain::{Position, Recorded, Subject, Tenant};
use authledger::event_log::{ChainHash, Reader};
use authledger::index::{Finder, IndexableRecord, Indexing, beside, channel};
use authledger::service::{Authentication, Call, Hook, IndexedRecord, NewTicket};

use super::{Indexed, positions};
use crate::support::log::hashes;
use crate::support::node::{ModelNode, issue};
use crate::support::served::{self, Made, ROOT};

#[derive(Clone)]
struct Row(Position, Arc<Recorded>, ChainHash);

impl IndexableRecord for Row {
    fn position(&self) -> Position {
        self.0
    }

    fn recorded(&self) -> &Recorded {
        &self.1
    }

    fn hash(&self) -> ChainHash {
        self.2
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the thread has everything up to that position.
fn wait_for(indexed: &Indexed, indexing: &Indexing, head: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let finder = Finder::new(&indexed.reader, &indexed.directory(), indexing.tail()).unwrap();
        if finder.coverage().indexed == head {
            return;
        }
        assert!(Instant::now() < until, "the thread does not catch up: {:?}", finder.coverage());
        std::thread::yield_now();
    }
}

#[test]
fn records_that_the_queue_drops_are_read_in_the_log() {
    let mut node = ModelNode::lone();
    (0..2_000).for_each(|n| drop(node.ask(issue(n, ["alice", "bob"][n as usize % 2])).unwrap()));
    let indexed = Indexed::of(&node.log);
    let rows: Vec<Row> = hashes(&node.log)
        .into_iter()
        .zip(&node.log)
        .enumerate()
        .map(|(at, (hash, recorded))| Row(Position(at as u64 + 1), Arc::new(recorded.clone()), hash))
        .collect();
    let (feed, fed) = channel();
    // Nobody takes anything yet, and the queue holds 64 of these: telling does not wait.
    rows.chunks(10).for_each(|chunk| feed.tell(chunk.to_vec()));
    let indexing = Indexing::spawn(Reader::open(&indexed.log.path()).unwrap(), indexed.directory(), fed).unwrap();
    wait_for(&indexed, &indexing, rows.len() as u64);
    let mut finder = Finder::new(&indexed.reader, &indexed.directory(), indexing.tail()).unwrap();
    for (sought, due) in indexed.spoken_of.iter().zip(indexed.read()).take(50) {
        assert_eq!(positions(&mut finder, std::slice::from_ref(sought)), due);
    }
    // Asked to mend an index that is not broken, it has it all again; asked to stop, it stops.
    indexing.mend();
    wait_for(&indexed, &indexing, rows.len() as u64);
    indexing.stop();
    assert!(indexing.tail().is_none());
    // The records that were in memory are in files by now.
    let finder = Finder::new(&indexed.reader, &indexed.directory(), None).unwrap();
    assert_eq!(finder.coverage().indexed, rows.len() as u64);
}

/// Tickets that are issued in each round; the environment can ask for enough to measure.
fn per_round() -> usize {
    std::env::var("AUTHLEDGER_INDEX_RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_goes_on_as_fast_next_to_the_thread() {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..6 {
        let with = round % 2 == 1;
        let (feed, fed) = channel::<IndexedRecord>();
        let hook: Hook = Box::new(move |committed, _| feed.tell(committed.iter().map(IndexedRecord::from).collect()));
        let hooks = if with { vec![hook] } else { Vec::new() };
        let node = served::ServedNode::made(Made { hooks, ..Made::default() }).await;
        let ledger = node.ledger();
        let indexing =
            with.then(|| Arc::new(Indexing::spawn(Reader::open(&ledger).unwrap(), beside(&ledger), fed).unwrap()));
        if let Some(indexing) = &indexing {
            node.service().use_index(indexing.clone());
        }
        let took = issue_many(&node, per_round()).await;
        rates[usize::from(with)].push((per_round() as f64 / took.as_secs_f64()) as u64);
        let answer = node.root().get("/v1/history?subject=subject-7").await;
        assert_eq!(answer.body.iter().filter(|byte| **byte == b'\n').count(), 1, "{}", answer.shown());
        if let Some(indexing) = indexing {
            indexing.stop();
        }
    }
    println!("tickets a second without the thread {:?}, with it {:?}", rates[0], rates[1]);
}

async fn issue_many(node: &served::ServedNode, tickets: usize) -> Duration {
    let service = node.service().clone();
    let Authentication::Caller(identity) = service.authenticate(ROOT.as_bytes()) else { panic!("root is refused") };
    let call = Arc::new(Call { identity, request: None, idempotency: None, consistency: None });
    let started = Instant::now();
    let issuers: Vec<_> = (0..64)
        .map(|issuer| {
            let (service, call) = (service.clone(), call.clone());
            tokio::spawn(async move {
                for number in (issuer..tickets).step_by(64) {
                    let subject = Subject::new(&format!("subject-{number}")).unwrap();
                    let new = NewTicket { tenant: Tenant::default(), subject, ttl: None, parent: None };
                    service.issue_ticket(&call, new).await.unwrap();
                }
            })
        })
        .collect();
    for issuer in issuers {
        issuer.await.unwrap();
    }
    started.elapsed()
}
