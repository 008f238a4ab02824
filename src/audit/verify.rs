//! Is a log whole? Every hash, sequence, position and record, and what guards them.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::OptionalExtension as _;

use super::forest::Forest;
use super::trust::Openings;
use super::{AuditError, pages};
use crate::domain::{Event, LedgerId, Position};
use crate::event_log::{
    Base, Damage, Lineage, ReadError, Reader, RecordError, StoredRecord, altered, open_for_reading,
};

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
    verify_grown(path, Forest::default(), &mut progress).map(|read| read.verified)
}

/// A log that is whole, and what was gathered on the way.
pub(super) struct Read {
    pub(super) verified: Verified,
    pub(super) openings: Openings,
    pub(super) forest: Forest,
}

/// The same, while the trees grow by what is read, on a thread of their own.
pub(super) fn verify_grown(
    path: &Path,
    forest: Forest,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Read, AuditError> {
    let started = Instant::now();
    let reader = Reader::open(path)?;
    let guarded = guarded(path)?;
    let read = verify_events(&reader, guarded.head, forest, started, progress);
    match (guarded.broken, read) {
        (None, read) => read,
        (Some((name, what)), Ok(_)) => Err(AuditError::Schema { name, what, events: None }),
        (Some((name, what)), Err(error)) => Err(AuditError::Schema { name, what, events: Some(Box::new(error)) }),
    }
}

fn verify_events(
    reader: &Reader,
    head: Position,
    forest: Forest,
    started: Instant,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Read, AuditError> {
    let (base, (decoded, forest)) = pages::read(reader, head, progress, |pages| take(pages, forest))?;
    if base.position < head {
        // A row was there when the head was asked for.
        let damage = Damage::MissingPosition { next: head };
        return Err(AuditError::Damaged { position: base.position.next(), damage });
    }
    let Decoded { ledger, openings, unreadable, .. } = decoded;
    if let Some((position, error, unreadable)) = unreadable {
        return Err(AuditError::Unreadable { position, error, unreadable, base });
    }
    let verified = Verified { events: base.position.0, base, ledger, elapsed: started.elapsed() };
    Ok(Read { verified, openings, forest })
}

/// Decodes the records, and behind their backs hashes them where trees are asked for: SHA-256 takes as long as the chain.
fn take(pages: Receiver<Vec<StoredRecord>>, mut forest: Forest) -> Result<(Decoded, Forest), AuditError> {
    if forest.is_idle() {
        return Ok((Decoded::from_pages(pages)?, forest));
    }
    thread::scope(|scope| {
        let (forward, forwarded) = sync_channel(pages::READ_AHEAD);
        let decoding = scope.spawn(move || Decoded::from_pages(forwarded));
        for page in pages {
            page.iter().for_each(|stored| forest.take(stored));
            // The decoder ends early where it found damage, which it returns.
            if forward.send(page).is_err() {
                break;
            }
        }
        drop(forward);
        let decoded = decoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((decoded, forest))
    })
}

/// What is around the events.
struct Guarded {
    head: Position,
    /// The first part of the schema that is not as it should be, and what is wrong with it.
    broken: Option<(String, &'static str)>,
}

/// Checks what no single event shows: that the triggers are in place, and that no row lies before the first position.
fn guarded(path: &Path) -> Result<Guarded, AuditError> {
    let connection = open_for_reading(path)?;
    let failed = |error| AuditError::from_read(ReadError::Sqlite(error), &Base::default());
    let broken = altered(&connection).map_err(failed)?;
    let outside = "SELECT position FROM event WHERE position < 1 ORDER BY position LIMIT 1";
    if let Some(position) = connection.query_row(outside, [], |row| row.get(0)).optional().map_err(failed)? {
        return Err(AuditError::Outside(position));
    }
    let head: i64 =
        connection.query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0)).map_err(failed)?;
    Ok(Guarded { head: Position(head.cast_unsigned()), broken })
}

/// What the records say, page after page.
#[derive(Default)]
struct Decoded {
    lineage: Lineage,
    ledger: Option<LedgerId>,
    openings: Openings,
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
                    self.openings.entry(stored.place.origin).or_insert(opened.public_key);
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
