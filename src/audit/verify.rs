//! Verifies that a log is complete: every hash, sequence, position and record, and the triggers that guard them.

use std::path::Path;
use std::time::Instant;

use super::forest::Forest;
use super::report::VerifiedLog;
use super::trust::Openings;
use super::{AuditError, pages};
use crate::domain::{Event, LedgerId, LedgerOpened, Position, RecordId, Recorded, Timestamp};
use crate::event_log::{Base, Damage, Lineage, ReadError, Reader, RecordError, RowRecord};
use crate::tlog::TreeHash;

/// Checks a log file from its beginning to its end when the check starts; a server may continue to write to it.
///
/// `progress` is called once for each page with the position reached and the last one. The error names the first bad
/// position.
pub fn verify(path: &Path, mut progress: impl FnMut(Position, Position)) -> Result<VerifiedLog, AuditError> {
    verify_grown(path, Forest::default(), &mut progress).map(|read| read.verified)
}

/// A log that is complete, and the data that was gathered on the way.
pub(super) struct Read {
    pub(super) verified: VerifiedLog,
    pub(super) openings: Openings,
    pub(super) forest: Forest,
    /// Whether status lists were published.
    pub(super) has_status_lists: bool,
}

/// The same, while the trees grow by the records.
pub(super) fn verify_grown(
    path: &Path,
    forest: Forest,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Read, AuditError> {
    let started = Instant::now();
    let reader = Reader::open(path)?;
    // What no single event shows: that the triggers are in place, and that no row lies before the first position.
    let failed = |error| AuditError::from_read(error, &Base::default());
    let schema = reader.schema_changes().map_err(failed)?;
    if let Some(position) = reader.before_the_first().map_err(failed)? {
        return Err(AuditError::Outside(position));
    }
    let head = reader.head().map_err(failed)?;
    let read = verify_events(&reader, head, forest, started, progress);
    match (schema.broken, read) {
        (None, Ok(read)) => Ok(Read { verified: VerifiedLog { added: schema.added, ..read.verified }, ..read }),
        (None, Err(error)) => Err(error),
        (Some(broken), Ok(_)) => Err(AuditError::Schema { broken, events: None }),
        (Some(broken), Err(error)) => Err(AuditError::Schema { broken, events: Some(Box::new(error)) }),
    }
}

fn verify_events(
    reader: &Reader,
    head: Position,
    forest: Forest,
    started: Instant,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Read, AuditError> {
    let (mut forest, mut told) = (forest, CrossRecordChecks::default());
    let is_hashed = !forest.is_idle();
    let base = pages::read(
        reader,
        head,
        progress,
        |row| CheckedRecord::of(row, is_hashed),
        |seen| {
            seen.into_iter().try_for_each(|seen| {
                seen.leaf.into_iter().for_each(|leaf| forest.take(seen.place.origin, leaf));
                told.take(seen)
            })
        },
    )?;
    if base.position < head {
        // A row was there when the head was read.
        let damage = Damage::MissingPosition { next: head };
        return Err(AuditError::Damaged { position: base.position.next(), damage });
    }
    let CrossRecordChecks { ledger, openings, unreadable, has_status_lists, .. } = told;
    if let Some((position, error, unreadable)) = unreadable {
        return Err(AuditError::Unreadable { position, error, unreadable, base });
    }
    let verified = VerifiedLog { events: base.position.0, base, ledger, added: Vec::new(), elapsed: started.elapsed() };
    Ok(Read { verified, openings, forest, has_status_lists })
}

/// The parts of a record that are checked against other records.
struct CheckedRecord {
    position: Position,
    place: RecordId,
    said: RecordContent,
    /// Its leaf in its origin's tree, if that is requested.
    leaf: Option<TreeHash>,
}

enum RecordContent {
    At(Timestamp),
    /// A publication of a status list.
    Published(Timestamp),
    Opened(Timestamp, Box<LedgerOpened>),
    /// It is of a later version.
    Unreadable(Box<RecordError>),
}

impl CheckedRecord {
    fn of(row: &RowRecord<'_>, is_hashed: bool) -> Result<Self, ReadError> {
        let said = match row.decode() {
            Ok(Recorded { recorded_at, event: Event::LedgerOpened(opened), .. }) => {
                RecordContent::Opened(recorded_at, Box::new(opened))
            }
            Ok(Recorded { recorded_at, event: Event::StatusListPublished(_), .. }) => {
                RecordContent::Published(recorded_at)
            }
            Ok(Recorded { recorded_at, .. }) => RecordContent::At(recorded_at),
            Err(ReadError::Damaged { damage: Damage::Record(error @ RecordError::Unreadable { .. }), .. }) => {
                RecordContent::Unreadable(Box::new(error))
            }
            Err(error) => return Err(error),
        };
        let leaf = is_hashed.then(|| TreeHash::of_leaf(row.record.as_bytes()));
        Ok(Self { position: row.position, place: row.place, said, leaf })
    }
}

/// The checks across records.
#[derive(Default)]
struct CrossRecordChecks {
    lineage: Lineage,
    ledger: Option<LedgerId>,
    openings: Openings,
    has_status_lists: bool,
    /// The first record of a later version, and how many there are.
    unreadable: Option<(Position, RecordError, u64)>,
}

impl CrossRecordChecks {
    fn take(&mut self, seen: CheckedRecord) -> Result<(), ReadError> {
        let CheckedRecord { position, place, said, .. } = seen;
        let (recorded_at, opened) = match said {
            RecordContent::At(recorded_at) => (recorded_at, None),
            RecordContent::Published(recorded_at) => {
                self.has_status_lists = true;
                (recorded_at, None)
            }
            RecordContent::Opened(recorded_at, opened) => (recorded_at, Some(opened)),
            RecordContent::Unreadable(error) => {
                self.unreadable.get_or_insert((position, *error, 0)).2 += 1;
                return Ok(());
            }
        };
        let ledger = opened.map(|opened| {
            self.openings.entry(place.origin).or_insert(opened.public_key);
            self.ledger.get_or_insert(opened.ledger);
            opened.ledger
        });
        self.lineage.check_place(position, place, recorded_at, ledger)
    }
}
