//! A large log: how fast its index is made, how large it is, and how long a question takes.
//!
//! `AUTHLEDGER_INDEX_EVENTS` is how many events: a few by default, and with twenty million the aim is under a second.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use authledger::audit::{Lookup, LookupCredential, history};
use authledger::domain::{Event, Position, RecordId, Recorded, Sequence, Tenant, TicketIssued, Timestamp, Ttl};
use authledger::event_log::{Chain, ChainHash, CopyWriter, Reader, StoredRecord, encode};
use authledger::index::{Builder, Finder, Shape};

use crate::support::node::{ModelNode, at, digest, issue, revoke_subject, subject};

const PAGE: u64 = 10_000;
/// Tickets of each subject.
const EACH: u64 = 10;

#[test]
fn a_question_about_one_subject_reads_little_of_a_large_log() {
    let events: u64 =
        std::env::var("AUTHLEDGER_INDEX_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(30_000);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let subjects = (events / EACH).max(1);
    let started = Instant::now();
    write(&path, events, subjects);
    say("rows written", events, started.elapsed());

    let index = directory.path().join("index");
    let shape = Shape { segment_records: if events < 1_000_000 { 4_096 } else { 131_072 }, fan_in: 8 };
    let started = Instant::now();
    let mut builder = Builder::open(Reader::open(&path).unwrap(), &index, shape, |_| ()).unwrap();
    builder.catch_up(|_| true).unwrap();
    say("indexed", events, started.elapsed());
    let sizes: Vec<u64> = fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    println!("{} files, {:.1} bytes an event", sizes.len(), sizes.iter().sum::<u64>() as f64 / events as f64);

    for (question, number) in [("first", subjects / 3), ("again", subjects / 3), ("another", subjects / 2)] {
        let started = Instant::now();
        let asked = Lookup::Subject(Tenant::default(), subject(&format!("subject-{number}")));
        let told = ask(&path, &index, &asked);
        println!("{question}: a subject's {told} records in {:?}", started.elapsed());
        assert!(told as u64 >= EACH - 1);
    }
    let started = Instant::now();
    let asked = Lookup::Credential(LookupCredential::digest(digest(events / 2)));
    assert_eq!(ask(&path, &index, &asked), 1);
    println!("a credential's record in {:?}", started.elapsed());
    if std::env::var_os("AUTHLEDGER_INDEX_EVENTS").is_some() {
        let started = Instant::now();
        ask(&path, Path::new("/nonexistent"), &asked);
        say("read without an index", events, started.elapsed());
    }
}

fn ask(path: &Path, index: &Path, asked: &Lookup) -> usize {
    let reader = Reader::open(path).unwrap();
    let mut finder = Finder::new(&reader, index, None).unwrap();
    let mut told = 0;
    history(&mut finder, asked, Position(0), usize::MAX, &mut |_, _| (), &mut |_| {
        told += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    told
}

fn say(task: &str, events: u64, took: Duration) {
    println!("{task}: {events} events in {took:?}, {:.0} a second", events as f64 / took.as_secs_f64());
}

/// A log of tickets, each subject's spread over all of it, and a revocation now and then.
fn write(path: &Path, events: u64, subjects: u64) {
    let mut node = ModelNode::lone();
    node.ask(issue(0, "subject-0")).unwrap();
    node.ask(revoke_subject("subject-1", None)).unwrap();
    let Event::TicketIssued(template) = node.log[1].event.clone() else { unreachable!() };
    let mut copy = CopyWriter::create(path).unwrap();
    let chain = Chain::default();
    let (mut hash, mut page) = (ChainHash::default(), Vec::new());
    for position in 1..=events {
        let mut recorded = match position {
            1 => node.log[0].clone(),
            2 => node.log[2].clone(),
            _ => ticket(&node.log[1], &template, position, subjects),
        };
        recorded.place = RecordId { origin: node.origin, sequence: Sequence(position) };
        let record: Box<str> = encode(&recorded).into();
        hash = chain.link(&hash, record.as_bytes());
        let place = recorded.place;
        page.push(StoredRecord { position: Position(position), place, stored_at: recorded.recorded_at, record, hash });
        if page.len() as u64 == PAGE || position == events {
            copy.append(&page).unwrap();
            page.clear();
        }
    }
    copy.finish().unwrap();
}

fn ticket(like: &Recorded, template: &TicketIssued, number: u64, subjects: u64) -> Recorded {
    let recorded_at: Timestamp = at(number);
    let expires_at = recorded_at.plus(Ttl::from_seconds(900).unwrap());
    let issued = TicketIssued {
        digest: digest(number),
        subject: subject(&format!("subject-{}", number % subjects)),
        expires_at,
        not_after: expires_at,
        ..template.clone()
    };
    Recorded { recorded_at, event: Event::TicketIssued(issued), ..like.clone() }
}
