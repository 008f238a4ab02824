//! Is a log whole? Every hash, sequence, position and record, and what guards them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};

use super::{AuditError, pages};
use crate::domain::{Event, LedgerId, Position};
use crate::event_log::{Base, Damage, Lineage, ReadError, Reader, RecordError, StoredRecord, open_for_reading};

/// The one schema that a log has.
const SCHEMA: &str = include_str!("../../schema/ledger.sql");

/// A log that is whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How many events it holds.
    pub events: u64,
    /// Where it ends, and each origin in it with its last sequence and hash.
    pub base: Base,
    /// The ledger that it belongs to; none has been opened in an empty log.
    pub ledger: Option<LedgerId>,
    /// How long it took to read.
    pub elapsed: Duration,
}

/// Checks a log file from its beginning to where it ends when the check starts; a server may go on writing to it.
///
/// `progress` is called once a page with the position reached and the last one. The error names the first bad position.
pub fn verify(path: &Path, mut progress: impl FnMut(Position, Position)) -> Result<Verified, AuditError> {
    let started = Instant::now();
    let reader = Reader::open(path)?;
    let head = guarded(path)?;
    let (base, decoded) = pages::read(&reader, head, &mut progress, Decoded::from_pages)?;
    if base.position < head {
        // A row was there when the head was asked for.
        let damage = Damage::MissingPosition { next: head };
        return Err(AuditError::Damaged { position: base.position.next(), damage });
    }
    match decoded.unreadable {
        Some((position, error, unreadable)) => Err(AuditError::Unreadable { position, error, unreadable, base }),
        None => {
            let events = base.position.0;
            Ok(Verified { events, base, ledger: decoded.ledger, elapsed: started.elapsed() })
        }
    }
}

/// Checks what no single event shows: that the triggers are in place, and that no row lies before the first position. Returns
/// the head.
fn guarded(path: &Path) -> Result<Position, AuditError> {
    let connection = open_for_reading(path)?;
    let failed = |error| AuditError::from_read(ReadError::Sqlite(error), &Base::default());
    let (found, due) = (schema(&connection).map_err(failed)?, due_schema().map_err(failed)?);
    for (name, text) in &due {
        match found.get(name) {
            None => return Err(AuditError::Schema { name: name.clone(), what: "is missing" }),
            Some(found) if found != text => {
                return Err(AuditError::Schema { name: name.clone(), what: "is not the one of schema/ledger.sql" });
            }
            Some(_) => {}
        }
    }
    if let Some(name) = found.keys().find(|name| !due.contains_key(*name)) {
        return Err(AuditError::Schema { name: name.clone(), what: "does not belong into a ledger" });
    }
    let outside = "SELECT position FROM event WHERE position < 1 ORDER BY position LIMIT 1";
    if let Some(position) = connection.query_row(outside, [], |row| row.get(0)).optional().map_err(failed)? {
        return Err(AuditError::Outside(position));
    }
    let head: i64 =
        connection.query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0)).map_err(failed)?;
    Ok(Position(head.cast_unsigned()))
}

/// The text of every table, index and trigger, by name. An index that a constraint makes has none.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut select = connection.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn due_schema() -> rusqlite::Result<BTreeMap<String, String>> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(SCHEMA)?;
    schema(&empty)
}

/// What the records say, page after page.
#[derive(Default)]
struct Decoded {
    lineage: Lineage,
    ledger: Option<LedgerId>,
    /// The first record of a later version, and how many there are.
    unreadable: Option<(Position, RecordError, u64)>,
}

impl Decoded {
    fn from_pages(pages: Receiver<Vec<StoredRecord>>) -> Result<Self, AuditError> {
        let mut decoded = Self::default();
        for stored in pages.into_iter().flatten() {
            // Damage carries its own position.
            decoded.take(&stored).map_err(|error| AuditError::from_read(error, &Base::default()))?;
        }
        Ok(decoded)
    }

    fn take(&mut self, stored: &StoredRecord) -> Result<(), ReadError> {
        match stored.decode() {
            Ok(recorded) => {
                if let Event::LedgerOpened(opened) = &recorded.event {
                    self.ledger.get_or_insert(opened.ledger);
                }
                self.lineage.check(stored.position, &recorded)
            }
            Err(ReadError::Damaged { position, damage: Damage::Record(error @ RecordError::Unreadable { .. }) }) => {
                self.unreadable.get_or_insert((position, error, 0)).2 += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
