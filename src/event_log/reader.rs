//! Reading the log: in pages, each one short transaction, each checked against the chain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::chain::{Chain, ChainHash};
use super::error::{Damage, OpenError, ReadError};
use super::files::FileId;
use super::record;
use super::schema::{self, SchemaChanges};
use super::store;
use crate::domain::{Event, LedgerId, Origin, Position, RecordId, Recorded, Sequence, Timestamp};

/// The most rows that one read transaction returns: a longer one would pin the WAL.
pub const MAX_PAGE_ROWS: usize = 10_000;
/// The longest that one read transaction goes on.
const MAX_PAGE_TIME: Duration = Duration::from_millis(50);
/// Rows between two looks at the clock.
const ROWS_BETWEEN_LOOKS: u64 = 64;
/// Connections kept for their next use.
const IDLE_CONNECTIONS: usize = 8;

/// A record as it is stored, verified against the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in this file.
    pub position: Position,
    /// Its origin and sequence.
    pub place: RecordId,
    /// When this node stored it.
    pub stored_at: Timestamp,
    /// Its bytes.
    pub record: Box<str>,
    /// The chain up to and with it.
    pub hash: ChainHash,
}

impl StoredRecord {
    /// The fact, if this version can read it.
    pub fn decode(&self) -> Result<Recorded, ReadError> {
        self.as_row().decode()
    }

    fn as_row(&self) -> RowRecord<'_> {
        let Self { position, place, stored_at, record, hash } = self;
        RowRecord { position: *position, place: *place, stored_at: *stored_at, record, hash: *hash }
    }
}

/// A [`StoredRecord`] in SQLite's memory, before it is copied.
#[derive(Clone, Copy, Debug)]
pub struct RowRecord<'a> {
    /// Its place in this file.
    pub position: Position,
    /// Its origin and sequence.
    pub place: RecordId,
    /// When this node stored it.
    pub stored_at: Timestamp,
    /// Its bytes.
    pub record: &'a str,
    /// The chain up to and with it.
    pub hash: ChainHash,
}

impl RowRecord<'_> {
    /// The fact, if this version can read it.
    pub fn decode(&self) -> Result<Recorded, ReadError> {
        let damaged = |damage| ReadError::Damaged { position: self.position, damage };
        let recorded = record::decode_text(self.record).map_err(|error| damaged(Damage::Record(error)))?;
        if recorded.place == self.place {
            return Ok(recorded);
        }
        Err(damaged(Damage::Place {
            origin: self.place.origin,
            sequence: self.place.sequence,
            record_origin: recorded.place.origin,
            record_sequence: recorded.place.sequence,
        }))
    }

    fn to_stored(self) -> StoredRecord {
        let Self { position, place, stored_at, record, hash } = self;
        StoredRecord { position, place, stored_at, record: record.into(), hash }
    }
}

/// How far an origin goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its last record.
    pub sequence: Sequence,
    /// The chain up to there.
    pub hash: ChainHash,
}

/// A place in the log: a position and how far each origin is there. All zero at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The last position that was read.
    pub position: Position,
    /// Each origin's head there.
    pub heads: BTreeMap<Origin, Head>,
}

/// Reads a log file, from any number of threads.
pub struct Reader {
    path: PathBuf,
    /// The file that was opened: connections are only added to that one.
    file: FileId,
    idle: Mutex<Vec<Connection>>,
    chain: Chain,
}

impl Reader {
    /// A reader of that file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let first = store::open_for_reading(path)?;
        let closed = |source| OpenError::Closed { path: path.to_owned(), access: "reading", source };
        let file = FileId::find(path).map_err(closed)?;
        Ok(Self { path: path.to_owned(), file, idle: Mutex::new(vec![first]), chain: Chain::default() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest position.
    pub fn head(&self) -> Result<Position, ReadError> {
        self.with(|connection| {
            let head: i64 =
                connection.query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0))?;
            Ok(Position(head.cast_unsigned()))
        })
    }

    /// A row that lies where no reader looks, for positions count from 1.
    pub fn before_the_first(&self) -> Result<Option<i64>, ReadError> {
        let outside = "SELECT position FROM event WHERE position < 1 ORDER BY position LIMIT 1";
        self.with(|connection| Ok(connection.query_row(outside, [], |row| row.get(0)).optional()?))
    }

    /// What of the file's schema is not the one of a ledger.
    pub fn schema_changes(&self) -> Result<SchemaChanges, ReadError> {
        self.with(|connection| Ok(schema::changes(connection)?))
    }

    /// The records that follow the base, at most `limit` and [`MAX_PAGE_ROWS`]; moves the base past them.
    ///
    /// Every position, sequence and hash is checked. At the end of the log the page is empty.
    pub fn next_page(&self, base: &mut Base, limit: usize) -> Result<Vec<StoredRecord>, ReadError> {
        self.with(|connection| page(connection, &self.chain, base, limit))
    }

    /// The rows between the two positions, the first excluded, in order and unchecked. A transaction of a page's time
    /// is followed by another.
    pub(super) fn rows(
        &self,
        before: Position,
        last: Position,
        mut take: impl FnMut(&RowRecord<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut before = before;
        loop {
            let is_over = self.with(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT position, origin, sequence, stored_at, record, hash FROM event \
                     WHERE position > ?1 AND position <= ?2 ORDER BY position",
                )?;
                let started = Instant::now();
                let mut rows = statement.query((before.0.cast_signed(), last.0.cast_signed()))?;
                for number in 1_u64.. {
                    let Some(row) = rows.next()? else { break };
                    let row = borrowed(row)?;
                    take(&row)?;
                    before = row.position;
                    if number.is_multiple_of(ROWS_BETWEEN_LOOKS) && started.elapsed() > MAX_PAGE_TIME {
                        return Ok(false);
                    }
                }
                Ok(true)
            })?;
            if is_over {
                return Ok(());
            }
        }
    }

    /// The first position beyond that one.
    pub(super) fn first_after(&self, position: Position) -> Result<Option<Position>, ReadError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT min(position) FROM event WHERE position > ?1")?;
            let first: Option<i64> = statement.query_row([position.0.cast_signed()], |row| row.get(0))?;
            Ok(first.map(|first| Position(first.cast_unsigned())))
        })
    }

    /// The record at that position, checked against the one before it in its origin.
    pub fn find(&self, position: Position) -> Result<Option<StoredRecord>, ReadError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, origin, sequence, stored_at, record, hash FROM event WHERE position = ?1",
            )?;
            let stored = statement.query_row([position.0.cast_signed()], |row| Ok(columns(row))).optional()?;
            stored.map(|stored| self.linked(connection, stored?)).transpose()
        })
    }

    /// The record at that place of its origin, checked against the one before it.
    pub fn find_place(&self, place: RecordId) -> Result<Option<StoredRecord>, ReadError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, origin, sequence, stored_at, record, hash FROM event WHERE origin = ?1 AND sequence = ?2",
            )?;
            let key = (place.origin.as_str(), place.sequence.0.cast_signed());
            let stored = statement.query_row(key, |row| Ok(columns(row))).optional()?;
            stored.map(|stored| self.linked(connection, stored?)).transpose()
        })
    }

    /// The records of one origin from that place on, at most `limit` and [`MAX_PAGE_ROWS`], each checked against the one before
    /// it. A page that takes long ends early.
    pub fn run_from(&self, first: RecordId, limit: usize) -> Result<Vec<StoredRecord>, ReadError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, origin, sequence, stored_at, record, hash FROM event \
                 WHERE origin = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT ?3",
            )?;
            let started = Instant::now();
            let limit = limit.min(MAX_PAGE_ROWS) as i64;
            let mut rows = statement.query((first.origin.as_str(), first.sequence.0.cast_signed(), limit))?;
            let mut run: Vec<StoredRecord> = Vec::new();
            while let Some(row) = rows.next()? {
                let stored = columns(row)?;
                run.push(match run.last() {
                    Some(previous) => self.following(&previous.hash, stored)?,
                    None => self.linked(connection, stored)?,
                });
                if started.elapsed() > MAX_PAGE_TIME {
                    break;
                }
            }
            Ok(run)
        })
    }

    /// The position of the first record of that origin beyond that sequence.
    pub fn position_after(&self, place: RecordId) -> Result<Option<Position>, ReadError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position FROM event WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence LIMIT 1",
            )?;
            let key = (place.origin.as_str(), place.sequence.0.cast_signed());
            let position: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
            Ok(position.map(|position| Position(position.cast_unsigned())))
        })
    }

    /// Every origin's head at that position: the start of a reading that continues from there.
    pub fn base_at(&self, position: Position) -> Result<Base, ReadError> {
        let mut heads = BTreeMap::new();
        for origin in self.origins()? {
            let head = self.with(|connection| {
                // Sequences of one origin grow with the position, so bisection over the index finds the place.
                head_at(connection, origin, position)
            })?;
            heads.extend(head.map(|head| (origin, head)));
        }
        Ok(Base { position, heads })
    }

    /// The origins with records in this file, in order.
    pub fn origins(&self) -> Result<Vec<Origin>, ReadError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT origin FROM event WHERE origin > ?1 ORDER BY origin LIMIT 1")?;
            let mut origins: Vec<Origin> = Vec::new();
            loop {
                let last = origins.last().map_or("", Origin::as_str);
                let next: Option<String> = statement.query_row([last], |row| row.get(0)).optional()?;
                let Some(next) = next else { return Ok(origins) };
                let damaged = |_| ReadError::Damaged { position: Position(0), damage: Damage::Column };
                origins.push(next.parse().map_err(damaged)?);
            }
        })
    }

    /// The ledger that the log belongs to, by its first record; nothing for an empty log.
    pub fn ledger(&self) -> Result<Option<LedgerId>, ReadError> {
        let Some(first) = self.find(Position(1))? else { return Ok(None) };
        match first.decode()?.event {
            Event::LedgerOpened(opened) => Ok(Some(opened.ledger)),
            _ => Ok(None),
        }
    }

    /// Every origin's head now.
    pub fn current_base(&self) -> Result<Base, ReadError> {
        self.base_at(self.head()?)
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = read(&connection)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Another connection, unless the name stands for another file by now.
    fn connect(&self) -> Result<Connection, ReadError> {
        let is_same = || FileId::find(&self.path).is_ok_and(|found| found == self.file);
        let replaced = || ReadError::Replaced(self.path.clone());
        let connection = is_same().then(|| store::open_for_reading(&self.path)).ok_or_else(replaced)?;
        let connection = connection.map_err(|error| match error {
            OpenError::Unusable { source, .. } => ReadError::Sqlite(source),
            _ => ReadError::Sqlite(rusqlite::Error::InvalidPath(self.path.clone())),
        })?;
        if is_same() { Ok(connection) } else { Err(replaced()) }
    }

    fn linked(&self, connection: &Connection, stored: StoredRecord) -> Result<StoredRecord, ReadError> {
        let previous = match stored.place.sequence.0 {
            0 | 1 => ChainHash::default(),
            sequence => {
                let mut statement =
                    connection.prepare_cached("SELECT hash FROM event WHERE origin = ?1 AND sequence = ?2")?;
                let key = (stored.place.origin.as_str(), (sequence - 1).cast_signed());
                let hash: Option<Vec<u8>> = statement.query_row(key, |row| row.get(0)).optional()?;
                hash.and_then(|hash| ChainHash::from_slice(&hash)).unwrap_or_default()
            }
        };
        self.following(&previous, stored)
    }

    fn following(&self, previous: &ChainHash, stored: StoredRecord) -> Result<StoredRecord, ReadError> {
        let computed = self.chain.link(previous, stored.record.as_bytes());
        if computed == stored.hash {
            return Ok(stored);
        }
        let damage = Damage::Hash { stored: stored.hash, computed };
        Err(ReadError::Damaged { position: stored.position, damage })
    }
}

/// The records that follow the base, as [`Reader::next_page`] gives them.
pub(super) fn page(
    connection: &Connection,
    chain: &Chain,
    base: &mut Base,
    limit: usize,
) -> Result<Vec<StoredRecord>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, origin, sequence, stored_at, record, hash FROM event WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let started = Instant::now();
    let limit = limit.min(MAX_PAGE_ROWS);
    let mut rows = statement.query((base.position.0.cast_signed(), limit as i64))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        match checked(chain, row, base) {
            Ok(stored) => page.push(stored),
            Err(error) if page.is_empty() => return Err(error),
            // The rows before the damage are valid; the next call reports the damage first.
            Err(_) => break,
        }
        if started.elapsed() > MAX_PAGE_TIME {
            break;
        }
    }
    Ok(page)
}

fn checked(chain: &Chain, row: &Row<'_>, base: &mut Base) -> Result<StoredRecord, ReadError> {
    let due = base.position.next();
    let stored = columns(row)?;
    if stored.position != due {
        let damage = Damage::MissingPosition { next: stored.position };
        return Err(ReadError::Damaged { position: due, damage });
    }
    let damaged = |damage| ReadError::Damaged { position: due, damage };
    let origin = stored.place.origin;
    let head = base.heads.get(&origin).copied().unwrap_or_default();
    if stored.place.sequence != head.sequence.next() {
        let (expected, found) = (head.sequence.next(), stored.place.sequence);
        return Err(damaged(Damage::Sequence { origin, expected, found }));
    }
    let computed = chain.link(&head.hash, stored.record.as_bytes());
    if computed != stored.hash {
        return Err(damaged(Damage::Hash { stored: stored.hash, computed }));
    }
    base.position = due;
    base.heads.insert(origin, Head { sequence: stored.place.sequence, hash: computed });
    Ok(stored)
}

fn columns(row: &Row<'_>) -> Result<StoredRecord, ReadError> {
    borrowed(row).map(RowRecord::to_stored)
}

fn borrowed<'a>(row: &'a Row<'_>) -> Result<RowRecord<'a>, ReadError> {
    let position = Position(row.get::<_, i64>(0)?.cast_unsigned());
    let read = || {
        Some(RowRecord {
            position,
            place: RecordId {
                origin: row.get_ref(1).ok()?.as_str().ok()?.parse().ok()?,
                sequence: Sequence(u64::try_from(row.get_ref(2).ok()?.as_i64().ok()?).ok()?),
            },
            stored_at: Timestamp::from_millis(u64::try_from(row.get_ref(3).ok()?.as_i64().ok()?).ok()?)?,
            record: row.get_ref(4).ok()?.as_str().ok()?,
            hash: ChainHash::from_slice(row.get_ref(5).ok()?.as_blob().ok()?)?,
        })
    };
    read().ok_or(ReadError::Damaged { position, damage: Damage::Column })
}

fn head_at(connection: &Connection, origin: Origin, position: Position) -> Result<Option<Head>, ReadError> {
    let mut place =
        connection.prepare_cached("SELECT position, hash FROM event WHERE origin = ?1 AND sequence = ?2")?;
    let last: i64 = connection
        .prepare_cached("SELECT max(sequence) FROM event WHERE origin = ?1")?
        .query_row([origin.as_str()], |row| row.get(0))?;
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let found: i64 = place.query_row((origin.as_str(), middle), |row| row.get(0))?;
        if found.cast_unsigned() <= position.0 { low = middle } else { high = middle - 1 }
    }
    if low == 0 {
        return Ok(None);
    }
    let hash: Vec<u8> = place.query_row((origin.as_str(), low), |row| row.get(1))?;
    let damaged = ReadError::Damaged { position, damage: Damage::Column };
    let hash = ChainHash::from_slice(&hash).ok_or(damaged)?;
    Ok(Some(Head { sequence: Sequence(low.cast_unsigned()), hash }))
}

/// The rules that no single row shows: an origin begins with its opening, its clock never goes back, and all origins
/// belong to one ledger.
#[derive(Default)]
pub struct Lineage {
    ledger: Option<LedgerId>,
    clocks: BTreeMap<Origin, Timestamp>,
}

impl Lineage {
    /// Checks the next record of its origin.
    pub fn check(&mut self, position: Position, recorded: &Recorded) -> Result<(), ReadError> {
        let opened = match &recorded.event {
            Event::LedgerOpened(opened) => Some(opened.ledger),
            _ => None,
        };
        self.check_place(position, recorded.place, recorded.recorded_at, opened)
    }

    /// The same for a record that is no longer at hand: its place and time, and the ledger if it opened one.
    pub fn check_place(
        &mut self,
        position: Position,
        place: RecordId,
        recorded_at: Timestamp,
        opened: Option<LedgerId>,
    ) -> Result<(), ReadError> {
        let damaged = |damage| Err(ReadError::Damaged { position, damage });
        if opened.is_some() != (place.sequence.0 == 1) {
            return damaged(Damage::Opening(place.origin));
        }
        if opened.is_some_and(|ledger| *self.ledger.get_or_insert(ledger) != ledger) {
            return damaged(Damage::OtherLedger(place.origin));
        }
        let clock = self.clocks.entry(place.origin).or_default();
        if recorded_at < *clock {
            return damaged(Damage::ClockWentBack);
        }
        *clock = recorded_at;
        Ok(())
    }
}
