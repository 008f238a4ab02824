//! Reads a long stretch of the log with every core, and takes the results in the order of positions.
//!
//! Pieces of the stretch go to the workers in turn, each of which has a connection of its own. A worker checks each
//! row, links it to the hash that is *stored* with the record before it of its origin, and makes a result of it. A
//! worker cannot know how far each origin was before the piece: the thread that joins the pieces follows every origin
//! from one to the next, so each link of each chain is computed once, and an error is reported by the first position at
//! which it is.
//!
//! Rows never change and positions have no gaps, so it does not matter that the workers' transactions see different
//! heads.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::chain::{Chain, ChainHash};
use super::error::{Damage, ReadError};
use super::links::Links;
use super::reader::{Base, Head, Reader, RowRecord};
use crate::domain::{Origin, Position, RecordId};

/// Positions in one piece: enough that starting it costs nothing beside reading it, few enough to be read within a page's time.
const PIECE: u64 = 2_048;
/// Pieces that each worker has ready beyond the current one: together with [`PIECE`] this bounds memory.
const READ_AHEAD: usize = 2;
/// The most workers, however many cores there are: the joining thread keeps up with no more, and each holds pieces in memory.
const MAX_WORKERS: usize = 8;

impl Reader {
    /// Reads the records that follow the base up to that position, or to the end of the log if that comes first, and
    /// moves the base past them.
    ///
    /// `make` is called on the workers' threads with each record, checked as by [`Reader::next_page`] except across
    /// pieces. `take` is called on this thread with the results of a piece, in order, when everything up to the given
    /// base has been checked. The first error by position ends the reading, after `take` was given everything before
    /// it. Then the base's position is that of the last valid record, but its heads are useless.
    pub fn read_ordered<T: Send>(
        &self,
        base: &mut Base,
        until: Position,
        make: impl Fn(&RowRecord<'_>) -> Result<T, ReadError> + Sync,
        mut take: impl FnMut(&Base, Vec<T>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let first = base.position;
        let pieces = until.0.saturating_sub(first.0).div_ceil(PIECE);
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS).min(pieces as usize);
        thread::scope(|scope| {
            let mut ready = Vec::with_capacity(workers);
            for worker in 0..workers as u64 {
                let (give, pieces) = sync_channel(READ_AHEAD);
                let (make, stride) = (&make, workers as u64 * PIECE);
                let begin = Position(first.0 + worker * PIECE);
                scope.spawn(move || self.read_pieces(begin, stride, until, make, &give));
                ready.push(pieces);
            }
            join(base, &ready, &mut take)
        })
    }

    /// One worker's pieces: those that begin after that position, and after every further stride.
    fn read_pieces<T>(
        &self,
        mut before: Position,
        stride: u64,
        until: Position,
        make: &impl Fn(&RowRecord<'_>) -> Result<T, ReadError>,
        give: &SyncSender<WorkerPiece<T>>,
    ) {
        let mut links = Links::default();
        while before < until {
            let last = Position(until.0.min(before.0 + PIECE));
            // The joining thread has left after an error.
            if give.send(self.read_piece(before, last, &mut links, make)).is_err() {
                return;
            }
            before = Position(before.0 + stride);
        }
    }

    fn read_piece<T>(
        &self,
        before: Position,
        last: Position,
        links: &mut Links,
        make: &impl Fn(&RowRecord<'_>) -> Result<T, ReadError>,
    ) -> WorkerPiece<T> {
        let mut piece = WorkerPiece::new(before, last);
        let read = self.rows(before, last, |row| piece.add(row, links, make));
        let read = read.and_then(|()| if piece.is_whole() { Ok(()) } else { self.hole_after(piece.reached, last) });
        // A link that does not hold lies before every other error, or at the same position, where it comes first.
        match links.check().and(read) {
            Ok(()) => {}
            Err(error) => piece.end_before(error),
        }
        piece
    }

    /// Refuses a piece that ends early and is not where the log ends.
    fn hole_after(&self, reached: Position, last: Position) -> Result<(), ReadError> {
        match self.first_after(last)? {
            Some(next) => {
                Err(ReadError::Damaged { position: reached.next(), damage: Damage::MissingPosition { next } })
            }
            None => Ok(()),
        }
    }
}

/// A worker's results for some positions.
struct WorkerPiece<T> {
    /// The end of the valid rows, and the expected one.
    reached: Position,
    last: Position,
    made: Vec<T>,
    /// Each origin's first record in the piece, in the order of positions: the joining thread checks how it follows
    /// from the piece before.
    firsts: Vec<FirstRecord>,
    /// Each origin's head at the end of the piece.
    heads: BTreeMap<Origin, Head>,
    /// Why the piece ends early.
    wrong: Option<ReadError>,
}

/// A record whose predecessor lies before the piece.
struct FirstRecord {
    position: Position,
    place: RecordId,
    record: Box<str>,
    hash: ChainHash,
}

impl<T> WorkerPiece<T> {
    fn new(before: Position, last: Position) -> Self {
        let made = Vec::with_capacity((last.0 - before.0) as usize);
        Self { reached: before, last, made, firsts: Vec::new(), heads: BTreeMap::new(), wrong: None }
    }

    fn is_whole(&self) -> bool {
        self.reached == self.last
    }

    fn add(
        &mut self,
        row: &RowRecord<'_>,
        links: &mut Links,
        make: impl Fn(&RowRecord<'_>) -> Result<T, ReadError>,
    ) -> Result<(), ReadError> {
        let due = self.reached.next();
        if row.position != due {
            let damage = Damage::MissingPosition { next: row.position };
            return Err(ReadError::Damaged { position: due, damage });
        }
        let (position, place, hash) = (row.position, row.place, row.hash);
        match self.heads.get(&place.origin) {
            Some(head) => {
                goes_on(head, position, place)?;
                links.add(position, &head.hash, row.record, hash)?;
            }
            None => self.firsts.push(FirstRecord { position, place, record: row.record.into(), hash }),
        }
        self.made.push(make(row)?);
        self.heads.insert(place.origin, Head { sequence: place.sequence, hash });
        self.reached = due;
        Ok(())
    }

    /// Ends the piece before the error.
    fn end_before(&mut self, error: ReadError) {
        if let ReadError::Damaged { position, .. } = &error {
            let before = self.reached.0 - self.made.len() as u64;
            // A link is checked some records later.
            self.reached = self.reached.min(Position(position.0 - 1));
            self.made.truncate((self.reached.0 - before) as usize);
        }
        self.wrong = Some(error);
    }

    /// Checks the links that cross from the pieces before, where `base` has every origin's head, and moves the base
    /// past the valid records.
    fn cross(&mut self, base: &mut Base, chain: &Chain) {
        let (wrong, due) = (&self.wrong, self.reached.next());
        for first in self.firsts.iter().filter(|first| wrong.is_none() || first.position <= due) {
            let head = base.heads.get(&first.place.origin).copied().unwrap_or_default();
            if let Err(error) = first.follows(&head, chain) {
                // The worker's error lies after this one, or at the same position: there a link comes before the
                // content of the record.
                self.end_before(error);
                break;
            }
        }
        base.position = self.reached;
        base.heads.extend(std::mem::take(&mut self.heads));
    }
}

impl FirstRecord {
    /// Whether it is the next record of its origin.
    fn follows(&self, head: &Head, chain: &Chain) -> Result<(), ReadError> {
        goes_on(head, self.position, self.place)?;
        let computed = chain.link(&head.hash, self.record.as_bytes());
        if computed == self.hash {
            return Ok(());
        }
        let damage = Damage::Hash { stored: self.hash, computed };
        Err(ReadError::Damaged { position: self.position, damage })
    }
}

fn goes_on(head: &Head, position: Position, place: RecordId) -> Result<(), ReadError> {
    if place.sequence == head.sequence.next() {
        return Ok(());
    }
    let (expected, found) = (head.sequence.next(), place.sequence);
    Err(ReadError::Damaged { position, damage: Damage::Sequence { origin: place.origin, expected, found } })
}

/// Takes the pieces in turn, one from each worker after the other.
fn join<T>(
    base: &mut Base,
    ready: &[Receiver<WorkerPiece<T>>],
    take: &mut impl FnMut(&Base, Vec<T>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let chain = Chain::default();
    for worker in ready.iter().cycle() {
        // The last piece has been taken, or a worker has panicked, which its scope passes on.
        let Ok(mut piece) = worker.recv() else { return Ok(()) };
        piece.cross(base, &chain);
        let ends = !piece.is_whole();
        take(base, piece.made)?;
        match piece.wrong {
            Some(error) => return Err(error),
            None if ends => return Ok(()),
            None => {}
        }
    }
    Ok(())
}
