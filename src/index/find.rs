//! Finds the records with a name: by the index where it covers the log, by reading the log elsewhere.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use super::about::{Sought, about};
use super::cover;
use super::damage::Unusable;
use super::key::{IndexKey, IndexKeyHasher};
use super::range::PositionRange;
use super::segment::Segment;
use super::tail::Tail;
use crate::domain::{Position, Recorded};
use crate::event_log::{Damage, MAX_PAGE_ROWS, ReadError, Reader, StoredRecord};

/// Texts that a record is searched for before it is decoded; with more, decoding it is cheaper.
const MAX_TEXTS: usize = 16;

/// The longest range without an index that is read once and remembered for the next look-up: records that a server has
/// not written yet.
const REMEMBERED_RECORDS: u64 = 262_144;
/// The most entries of it that are remembered: each takes 16 bytes.
const REMEMBERED_ENTRIES: usize = 1 << 22;

/// Why records were not found: the log can't be read. An unusable index is not a reason.
pub type FindError = ReadError;

/// How much of the log the index covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Positions that are looked up.
    pub indexed: u64,
    /// Positions that there are.
    pub head: Position,
}

/// Finds records of a log up to its end when the finder was made.
pub struct Finder<'a> {
    reader: &'a Reader,
    keys: IndexKeyHasher,
    head: Position,
    pieces: Vec<CoveragePiece>,
    unusable: Vec<Unusable>,
    remembered: u64,
}

struct CoveragePiece {
    range: PositionRange,
    source: PieceSource,
}

enum PieceSource {
    Segment(Box<Segment>),
    Tail(Tail),
    Log,
}

impl<'a> Finder<'a> {
    /// A finder with the index in that directory, if there is one, and the entries in a server's memory. Nothing is
    /// written.
    ///
    /// Take `tail` before: entries that move from memory to a file in between are then in both, rather than in neither.
    pub fn new(reader: &'a Reader, directory: &Path, tail: Option<Tail>) -> Result<Self, FindError> {
        let found = cover::open(directory, reader)?;
        let head = reader.head()?;
        let mut finder = Self {
            reader,
            keys: IndexKeyHasher::default(),
            head,
            pieces: Vec::new(),
            unusable: found.unusable,
            remembered: REMEMBERED_RECORDS,
        };
        let mut next = 1;
        for segment in found.segments {
            let range = segment.range();
            finder.bridge(next, range.first - 1, tail.as_ref());
            finder.pieces.push(CoveragePiece { range, source: PieceSource::Segment(Box::new(segment)) });
            next = range.last + 1;
        }
        finder.bridge(next, head.0, tail.as_ref());
        Ok(finder)
    }

    /// The same finder, which reads a range without an index each time anew if it is longer than that many records.
    #[must_use]
    pub fn remembering(self, records: u64) -> Self {
        Self { remembered: records, ..self }
    }

    /// The part that no segment covers is in the tail, or must be read.
    fn bridge(&mut self, first: u64, last: u64, tail: Option<&Tail>) {
        let gap = PositionRange { first, last };
        let remembered = tail.and_then(|tail| Some((tail, tail.range()?.and(gap)?)));
        let Some((tail, range)) = remembered.filter(|_| first <= last) else { return self.read_later(first, last) };
        self.read_later(first, range.first - 1);
        self.pieces.push(CoveragePiece { range, source: PieceSource::Tail(tail.clone()) });
        self.read_later(range.last + 1, last);
    }

    fn read_later(&mut self, first: u64, last: u64) {
        if first <= last {
            self.pieces.push(CoveragePiece { range: PositionRange { first, last }, source: PieceSource::Log });
        }
    }

    /// The end of the log when the finder was made.
    pub fn head(&self) -> Position {
        self.head
    }

    /// How much of the log is looked up rather than read.
    pub fn coverage(&self) -> Coverage {
        let indexed = self.pieces.iter().filter(|piece| !matches!(piece.source, PieceSource::Log));
        Coverage { indexed: indexed.map(|piece| piece.range.len()).sum(), head: self.head }
    }

    /// Files of the index that could not be used so far. Their ranges are read in the log.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Gives `take` every record after `after` and up to `until` with a sought name, in the order of their positions,
    /// until it breaks off.
    ///
    /// `progress` is called once for each page that has to be read, with the position reached and the head.
    pub fn find(
        &mut self,
        sought: &[Sought],
        after: Position,
        until: Position,
        progress: &mut dyn FnMut(Position, Position),
        take: &mut dyn FnMut(StoredRecord, Recorded) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FindError> {
        let wanted = PositionRange { first: after.0 + 1, last: until.0.min(self.head.0) };
        let mut keys: Vec<IndexKey> = sought.iter().map(|sought| self.keys.of(&sought.about)).collect();
        keys.sort_unstable();
        keys.dedup();
        let filter = RecordFilter::new(sought);
        for number in 0..self.pieces.len() {
            let Some(within) = self.pieces[number].range.and(wanted) else { continue };
            self.remember(number, progress)?;
            let flow = match self.look_up(number, &keys, within) {
                Some(positions) => self.visit(&positions, &filter, take)?,
                None => self.scan(within, &filter, progress, take)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads a short piece that has to be read, so that it can be looked up from then on. A piece with a record of a
    /// later version is left as it is: look-ups of other records still work.
    fn remember(&mut self, number: usize, progress: &mut dyn FnMut(Position, Position)) -> Result<(), FindError> {
        let CoveragePiece { range, source } = &self.pieces[number];
        if !matches!(source, PieceSource::Log) || range.len() > self.remembered {
            return Ok(());
        }
        let (mut base, mut tail) = (self.reader.base_at(Position(range.first - 1))?, Tail::default());
        while base.position.0 < range.last && tail.entries() < REMEMBERED_ENTRIES {
            let rest = (range.last - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
            let page = self.reader.next_page(&mut base, rest)?;
            let decoded = page.iter().try_for_each(|stored| {
                tail.add(&self.keys, stored.position, &stored.decode().ok()?);
                Some(())
            });
            if page.is_empty() || decoded.is_none() {
                return Ok(());
            }
            progress(base.position, self.head);
        }
        if base.position.0 == range.last {
            self.pieces[number].source = PieceSource::Tail(tail);
        }
        Ok(())
    }

    /// The positions that a piece has for these keys; none if it has to be read.
    fn look_up(&mut self, number: usize, keys: &[IndexKey], within: PositionRange) -> Option<Vec<Position>> {
        let mut found = Vec::new();
        let piece = &mut self.pieces[number];
        match &piece.source {
            PieceSource::Log => return None,
            PieceSource::Tail(tail) => tail.positions(keys, within, &mut found),
            PieceSource::Segment(segment) => {
                let looked_up = keys.iter().try_for_each(|key| segment.positions(*key, within, &mut found));
                if let Err(unusable) = looked_up {
                    self.unusable.push(unusable);
                    piece.source = PieceSource::Log;
                    return None;
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    fn visit(
        &self,
        positions: &[Position],
        filter: &RecordFilter<'_>,
        take: &mut dyn FnMut(StoredRecord, Recorded) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FindError> {
        for position in positions {
            let absent = ReadError::Damaged { position: *position, damage: Damage::Absent };
            let stored = self.reader.find(*position)?.ok_or(absent)?;
            let recorded = stored.decode()?;
            if filter.holds(&recorded) && take(stored, recorded).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn scan(
        &self,
        within: PositionRange,
        filter: &RecordFilter<'_>,
        progress: &mut dyn FnMut(Position, Position),
        take: &mut dyn FnMut(StoredRecord, Recorded) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FindError> {
        let mut base = self.reader.base_at(Position(within.first - 1))?;
        while base.position.0 < within.last {
            let rest = (within.last - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
            let due = base.position.next();
            let page = self.reader.next_page(&mut base, rest)?;
            if page.is_empty() {
                return Err(ReadError::Damaged { position: due, damage: Damage::Absent });
            }
            for stored in page {
                if !filter.may_hold(&stored.record) {
                    continue;
                }
                let recorded = stored.decode()?;
                if filter.holds(&recorded) && take(stored, recorded).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            progress(base.position, self.head);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The filter that tells the sought records from those that merely share a key or a text with them.
struct RecordFilter<'a> {
    sought: BTreeSet<&'a super::about::About>,
    texts: Vec<String>,
}

impl<'a> RecordFilter<'a> {
    fn new(sought: &'a [Sought]) -> Self {
        let mut texts = Vec::new();
        for one in sought {
            one.texts(&mut texts);
            if texts.len() > MAX_TEXTS {
                texts.clear();
                break;
            }
        }
        Self { sought: sought.iter().map(|sought| &sought.about).collect(), texts }
    }

    /// False if the record can't be one; true means nothing.
    fn may_hold(&self, record: &str) -> bool {
        self.texts.is_empty() || self.texts.iter().any(|text| record.contains(text.as_str()))
    }

    fn holds(&self, recorded: &Recorded) -> bool {
        let mut holds = false;
        about(recorded, |about| holds |= self.sought.contains(&about));
        holds
    }
}
