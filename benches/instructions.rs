//! How many instructions the hot paths take, counted by Valgrind's callgrind: the same on every run, whatever else the machine
//! does. `tools/instructions` runs this and compares with `benches/instructions.json`.
//!
//! Each benchmark does the work of the server for one commit of 64 commands, on top of some thousand credentials.

#![allow(clippy::disallowed_methods, reason = "the macro that makes the program's start ends it by an exit code")]
#![allow(missing_docs, reason = "the macros make modules without any")]

use std::hint::black_box;
use std::sync::Arc;

use authledger::domain::{
    Caller, Command, Context, CredentialId, CredentialKey, CredentialRef, CredentialRevoked, Digest, Draft, Event,
    Hashing, IssueTicket, Kind, Origin, Overlay, Policy, Position, RecordId, Recorded, Request, Revoke, Secret,
    Sequence, State, Subject, Tenant, TicketIssued, Timestamp, Ttl, decide,
};
use authledger::event_log::{Base, Chain, ChainHash, Head, StoredRecord, decode, encode};
use authledger::feed::{Cursor, Frame, FrameFormat};
use authledger::projection::Projection;
use authledger::service::Filed;
use authledger::tlog::TreeHash;
use gungraun::{library_benchmark, library_benchmark_group, main};

/// Commands of one commit.
const COMMANDS: u64 = 64;
/// Credentials that exist already: enough, and the tables still well below the size at which they grow.
const CREDENTIALS: u64 = 5_000;
const NOW: u64 = 1_770_000_000_000;

fn origin() -> Origin {
    "k7m2qx4dnzr5a".parse().expect("an origin")
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW).expect("an instant")
}

fn secret(n: u64) -> String {
    format!("0c5be1d2-77aa-4f0e-8f6c-{n:012x}")
}

fn digest(n: u64) -> Digest {
    Secret::new(&secret(n)).digest()
}

/// Ten tickets to a subject.
fn subject(n: u64) -> Subject {
    Subject::new(&format!("subject-{:06}", n / 10)).expect("a subject")
}

fn recorded(n: u64, event: Event) -> Recorded {
    Recorded {
        place: RecordId { origin: origin(), sequence: Sequence(n) },
        recorded_at: now(),
        tenant: Some(Tenant::default()),
        actor: None,
        request: None,
        idempotency: None,
        event,
    }
}

fn issued(n: u64) -> Recorded {
    let ttl = Ttl::from_seconds(900).expect("a life");
    let event = TicketIssued {
        digest: digest(n),
        subject: subject(n),
        issued_at: None,
        ttl,
        expires_at: now().plus(ttl),
        not_after: now().plus_millis(86_400_000),
        generation: Default::default(),
        parent: None,
    };
    recorded(n, Event::TicketIssued(event))
}

fn revoked(n: u64, of: u64) -> Recorded {
    let event = CredentialRevoked {
        kind: Kind::Ticket,
        credential: CredentialRef::Digest(digest(of)),
        session_digest: None,
        subject: Some(subject(of)),
        known: true,
        retain_until: now().plus_millis(86_400_000),
        reason: None,
        note: None,
    };
    recorded(n, Event::Revoked(event))
}

fn full() -> Projection {
    Hashing::seed_all(1);
    let projection = Projection::default();
    (1..=CREDENTIALS).for_each(|n| projection.fold(&issued(n)));
    projection
}

/// Issues, and revocations of existing credentials.
fn requests() -> Vec<Request> {
    let command = |n: u64| match n % 2 {
        0 => Command::IssueTicket(IssueTicket {
            tenant: Tenant::default(),
            subject: subject(n),
            digest: digest(CREDENTIALS + n),
            ttl: None,
            parent: None,
        }),
        _ => Command::Revoke(Revoke {
            kind: Kind::Ticket,
            credential: CredentialRef::Digest(digest(n)),
            reason: None,
            note: None,
        }),
    };
    let request = |n| Request { caller: Caller::Root, request: None, idempotency: None, command: command(n) };
    (1..=COMMANDS).map(request).collect()
}

/// Those 64 events after the existing ones.
fn events() -> Vec<Recorded> {
    let event = |n: u64| if n.is_multiple_of(2) { issued(CREDENTIALS + n) } else { revoked(CREDENTIALS + n, n) };
    (1..=COMMANDS).map(event).collect()
}

fn rows() -> Vec<StoredRecord> {
    let chain = Chain::default();
    let mut hash = ChainHash::default();
    let row = |(n, recorded): (usize, Recorded)| {
        let record = encode(&recorded);
        hash = chain.link(&hash, record.as_bytes());
        let place = RecordId { origin: origin(), sequence: Sequence(n as u64 + 1) };
        StoredRecord { position: Position(n as u64 + 1), place, stored_at: now(), record: record.into(), hash }
    };
    events().into_iter().enumerate().map(row).collect()
}

// The writer's work on each record apart from SQLite's: its bytes, its link, its leaf.
#[library_benchmark]
#[bench::commit(setup = events)]
fn append(events: Vec<Recorded>) -> ChainHash {
    let chain = Chain::default();
    let mut head = ChainHash::default();
    for recorded in &events {
        let record = encode(recorded);
        head = chain.link(&head, record.as_bytes());
        black_box(TreeHash::of_leaf(record.as_bytes()));
    }
    head
}

fn undecided() -> (Projection, Vec<Request>) {
    (full(), requests())
}

#[library_benchmark]
#[bench::commit(setup = undecided)]
fn decided((projection, requests): (Projection, Vec<Request>)) -> (Projection, State) {
    let mut pending = State::default();
    let (now, policy) = (now(), Policy::default());
    let context = Context { now, latest: now, earliest: now, is_settled: true, origin: origin(), policy };
    for (n, request) in requests.iter().enumerate() {
        let view = Overlay { durable: &projection, pending: &pending };
        let decision = decide(&view, request, context).expect("allowed");
        if let authledger::domain::Decision::Append(drafts) = decision {
            let fold = |Draft { event, .. }| pending.fold(&recorded(CREDENTIALS + n as u64, event));
            drafts.into_iter().for_each(fold);
        }
    }
    (projection, pending)
}

fn unfolded() -> (Projection, Vec<Recorded>) {
    (full(), events())
}

#[library_benchmark]
#[bench::commit(setup = unfolded)]
fn evolve((projection, events): (Projection, Vec<Recorded>)) -> Projection {
    events.iter().for_each(|event| projection.fold(black_box(event)));
    projection
}

fn asked() -> (Projection, Vec<String>) {
    (full(), (1..=COMMANDS).map(secret).collect())
}

#[library_benchmark]
#[bench::questions(setup = asked)]
fn check((projection, secrets): (Projection, Vec<String>)) -> Projection {
    for secret in &secrets {
        let id: CredentialId = Digest::of(secret.as_bytes()).id();
        black_box(projection.check(CredentialKey { kind: Kind::Ticket, id }, now()).expect("good"));
    }
    projection
}

fn filed() -> Vec<Arc<Filed>> {
    let filed = |n| Arc::new(Filed { position: Position(n), recorded: revoked(n, n) });
    (1..=COMMANDS).map(filed).collect()
}

// A revocation in the form for followers, once for all of them.
#[library_benchmark]
#[bench::revocations(setup = filed)]
fn frame(filed: Vec<Arc<Filed>>) {
    let ledger = authledger::domain::LedgerId(Default::default());
    for (n, filed) in filed.into_iter().enumerate() {
        let head = Head { sequence: Sequence(n as u64 + 1), hash: ChainHash::default() };
        let base = Base { position: filed.position, heads: [(origin(), head)].into() };
        let frame = Frame::new(filed, || Arc::new(Cursor::at(ledger, &base))).expect("an ending");
        black_box(frame.bytes(FrameFormat::EventStream, false));
    }
}

// The auditor's work on each row: its one spelling, its link, its leaf.
#[library_benchmark]
#[bench::rows(setup = rows)]
fn verify(rows: Vec<StoredRecord>) {
    let chain = Chain::default();
    let mut hash = ChainHash::default();
    for row in &rows {
        hash = chain.link(&hash, row.record.as_bytes());
        assert_eq!(hash, row.hash);
        black_box(decode(row.record.as_bytes()).expect("a record"));
        black_box(TreeHash::of_leaf(row.record.as_bytes()));
    }
}

library_benchmark_group!(name = hot; benchmarks = append, decided, evolve, check, frame, verify);
main!(library_benchmark_groups = hot);
