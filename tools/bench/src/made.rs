//! Big ledgers, made in this process: records as the server would have written them, without a sync for each.
//!
//! A real server opens the log first, so that its keys and the first record are its own; then the log goes on in a new file that takes the
//! place of the old one. Whatever else the server keeps is derived from the log, and follows when it starts again.

use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use authledger::domain::{
    Aal, Actor, CredentialId, CredentialRef, CredentialRevoked, Digest, Event, Generation, Kind, Origin, Position,
    RETENTION_MARGIN_MILLIS, RecordId, Recorded, Sequence, SessionIssued, Subject, Tenant, TicketIssued, Timestamp,
    TokenIssued, Ttl,
};
use authledger::event_log::{Base, Chain, ChainHash, MAX_PAGE_ROWS, Reader, StoredRecord, encode, open_for_writing};
use rusqlite::Connection;
use uuid::Uuid;

use crate::bench::Bench;
use crate::ours::{Server, Setup};

/// How many pages may wait for being written.
const PAGES_AHEAD: usize = 4;
/// The life of whatever is made: longer than any benchmark.
const LIFE_SECONDS: u64 = 30 * 86_400;

/// What a ledger is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What its credentials are.
    pub kind: Kind,
    /// How many are issued.
    pub issued: u64,
    /// How many of them, from the first, are revoked afterwards.
    pub revoked: u64,
    /// How many each subject has.
    pub each: u64,
}

impl Plan {
    /// So many live tickets, ten to a subject.
    pub const fn tickets(issued: u64) -> Self {
        Self { kind: Kind::Ticket, issued, revoked: 0, each: 10 }
    }

    /// Records beside the first.
    pub const fn events(&self) -> u64 {
        self.issued + self.revoked
    }

    /// The subject of that credential. A subject's credentials lie all over the log.
    pub fn subject(&self, number: u64) -> String {
        format!("subject-{:08}", number % (self.issued / self.each).max(1))
    }
}

/// The secret of that credential: a UUID, as tickets are.
pub fn secret(number: u64) -> String {
    Uuid::from_u64_pair(0x6265_6e63_6800_4000, 0x8000_0000_0000_0000 | number).hyphenated().to_string()
}

/// Makes a ledger in that directory.
pub fn make(bench: &Bench<'_>, setup: &Setup, plan: Plan) -> anyhow::Result<()> {
    bench.say(format_args!("making a ledger of {} events", plan.events()));
    let server = Server::start(setup)?;
    server.stop()?;
    let (log, beside) = (setup.data.join("ledger.db"), setup.data.join("ledger.made"));
    let reader = Reader::open(&log)?;
    let mut base = Base::default();
    let first = reader.next_page(&mut base, MAX_PAGE_ROWS)?;
    ensure!(reader.head()? == base.position, "a new ledger has more than a page of events");
    drop(reader);
    write(&beside, first, plan)?;
    for suffix in ["-wal", "-shm"] {
        let path = setup.data.join(format!("ledger.db{suffix}"));
        if path.exists() {
            fs::remove_file(&path)?;
        }
    }
    fs::rename(&beside, &log).context("put the ledger in its place")
}

/// The file: the rows that are there, and then those of the plan. One thread makes them, this one writes them.
fn write(path: &Path, first: Vec<StoredRecord>, plan: Plan) -> anyhow::Result<()> {
    let mut connection = open_for_writing(path)?;
    // It becomes durable as a whole, before a server sees it.
    connection.execute_batch(
        "PRAGMA journal_mode = delete; PRAGMA journal_mode = memory; PRAGMA synchronous = off;
         PRAGMA locking_mode = exclusive;",
    )?;
    let (send, pages) = sync_channel(PAGES_AHEAD);
    let maker = thread::spawn(move || {
        let mut maker = Maker::after(&first)?;
        if send.send(first).is_err() {
            bail!("nobody writes the ledger that is made");
        }
        let mut made = 0;
        while made < plan.events() {
            let until = plan.events().min(made + MAX_PAGE_ROWS as u64);
            let page = (made..until).map(|number| maker.next(plan, number)).collect::<anyhow::Result<Vec<_>>>()?;
            made = until;
            if send.send(page).is_err() {
                break;
            }
        }
        Ok(())
    });
    for page in pages {
        insert(&mut connection, &page)?;
    }
    let Ok(made) = maker.join() else { bail!("the thread that makes records ended early") };
    made?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(fs::File::open(path)?.sync_all()?)
}

fn insert(connection: &mut Connection, page: &[StoredRecord]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for row in page {
        let (position, sequence) = (row.position.0.cast_signed(), row.place.sequence.0.cast_signed());
        let stored_at = row.stored_at.as_millis().cast_signed();
        insert.execute((position, row.place.origin.as_str(), sequence, stored_at, &*row.record, &row.hash.0[..]))?;
    }
    drop(insert);
    transaction.commit()
}

/// Continues a log.
struct Maker {
    origin: Origin,
    last: u64,
    hash: ChainHash,
    chain: Chain,
    now: Timestamp,
    life: Ttl,
}

impl Maker {
    fn after(first: &[StoredRecord]) -> anyhow::Result<Self> {
        let last = first.last().context("a new ledger has no event")?;
        let now = last.decode()?.recorded_at;
        let life = Ttl::from_seconds(LIFE_SECONDS).context("a life is a ttl")?;
        let (origin, position, hash) = (last.place.origin, last.position.0, last.hash);
        Ok(Self { origin, last: position, hash, chain: Chain::default(), now, life })
    }

    fn next(&mut self, plan: Plan, number: u64) -> anyhow::Result<StoredRecord> {
        self.last += 1;
        let place = RecordId { origin: self.origin, sequence: Sequence(self.last) };
        let event =
            if number < plan.issued { self.issued(plan, number)? } else { self.revoked(plan, number - plan.issued)? };
        let recorded = Recorded {
            place,
            recorded_at: self.now,
            tenant: Some(Tenant::default()),
            actor: Some(Actor::Root(self.origin)),
            request: None,
            idempotency: None,
            event,
        };
        let record: Box<str> = encode(&recorded).into();
        self.hash = self.chain.link(&self.hash, record.as_bytes());
        Ok(StoredRecord { position: Position(self.last), place, stored_at: self.now, record, hash: self.hash })
    }

    fn issued(&self, plan: Plan, number: u64) -> anyhow::Result<Event> {
        let subject = Subject::new(&plan.subject(number))?;
        let digest = Digest::of(secret(number).as_bytes());
        let expires_at = self.now.plus(self.life);
        let generation = Generation::default();
        Ok(match plan.kind {
            Kind::Ticket => Event::TicketIssued(TicketIssued {
                digest,
                subject,
                issued_at: None,
                ttl: self.life,
                expires_at,
                not_after: expires_at,
                generation,
                parent: None,
            }),
            Kind::Session => Event::SessionIssued(Box::new(SessionIssued {
                id: session(number),
                digest: Some(digest),
                subject,
                issued_at: None,
                authenticated_at: None,
                aal: Aal::default(),
                methods: Vec::new(),
                expires_at,
                not_after: expires_at,
                generation,
                parent: None,
                sealed: None,
            })),
            Kind::Token => Event::TokenIssued(Box::new(TokenIssued {
                name: CredentialRef::Digest(digest),
                key: None,
                subject,
                issued_at: None,
                parent: None,
                audience: Vec::new(),
                scope: None,
                confirmation: None,
                status: None,
                grant: None,
                expires_at,
                generation,
                sealed: None,
            })),
        })
    }

    fn revoked(&self, plan: Plan, number: u64) -> anyhow::Result<Event> {
        let digest = Digest::of(secret(number).as_bytes());
        let (credential, session_digest) = match plan.kind {
            Kind::Session => (CredentialRef::Id(session(number)), Some(digest)),
            Kind::Ticket | Kind::Token => (CredentialRef::Digest(digest), None),
        };
        Ok(Event::Revoked(CredentialRevoked {
            kind: plan.kind,
            credential,
            session_digest,
            subject: Some(Subject::new(&plan.subject(number))?),
            known: true,
            retain_until: self.now.plus(self.life).plus_millis(RETENTION_MARGIN_MILLIS),
            reason: None,
            note: None,
        }))
    }
}

/// The public id of that session.
pub fn session_id(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x7365_7373_0000_4000, 0x8000_0000_0000_0000 | number)
}

fn session(number: u64) -> CredentialId {
    CredentialId::of_session(session_id(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours::{Acknowledged, look_for};

    #[test]
    fn a_made_log_continues_the_one_before_and_can_be_read() -> anyhow::Result<()> {
        let directory = std::env::temp_dir().join(format!("authledger-bench-made-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut maker = Maker {
            origin: Origin::from_random([7; 13]),
            last: 0,
            hash: ChainHash::default(),
            chain: Chain::default(),
            now: Timestamp::from_millis(1_767_225_600_000).context("an instant")?,
            life: Ttl::from_seconds(LIFE_SECONDS).context("a life")?,
        };
        for kind in [Kind::Ticket, Kind::Session, Kind::Token] {
            let plan = Plan { kind, issued: 30, revoked: 10, each: 10 };
            let path = directory.join(kind.as_str());
            write(&path, vec![maker.next(plan, 0)?], plan)?;
            let reader = Reader::open(&path)?;
            let mut base = Base::default();
            // The reader follows the chain, and refuses a record that has another spelling.
            let rows = reader.next_page(&mut base, MAX_PAGE_ROWS)?;
            assert_eq!(rows.len() as u64, 1 + plan.events());
            for row in rows {
                row.decode()?;
            }
            let id = Digest::of(secret(0).as_bytes()).id().to_string();
            let acknowledged = |position| [Acknowledged { id: id.clone(), position }];
            assert!(look_for(&path, &acknowledged(2)).is_ok());
            // Somewhere else, or beyond the end, it is not what was acknowledged.
            assert!(look_for(&path, &acknowledged(3)).is_err() && look_for(&path, &acknowledged(99)).is_err());
            maker.last = 0;
            maker.hash = ChainHash::default();
        }
        Ok(fs::remove_dir_all(&directory)?)
    }
}
