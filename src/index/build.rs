//! Builds the index: entries gather in memory, become a segment, and segments of one size become a larger one.
//!
//! A crash at any step leaves something that [`Builder::open`] repairs: an unfinished file, segments beside the one
//! that they were merged into, or a gap. None of them ever makes an answer wrong, because ranges are known by names and
//! checked heads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::cover;
use super::damage::{IndexError, Unusable};
use super::key::IndexKeyHasher;
use super::range::PositionRange;
use super::segment::{self, SUFFIX, Segment, SegmentContents, SegmentEntry, UNFINISHED};
use super::tail::Tail;
use crate::domain::{Position, Recorded};
use crate::event_log::{Base, ChainHash, Damage, Head, MAX_PAGE_ROWS, ReadError, Reader};

/// The number of entries at which a segment is written, however few records they come from: they take 16 bytes each in
/// memory.
const MAX_ENTRIES: usize = 1 << 20;
/// The longest range of one segment: places in it have four bytes.
const MAX_RANGE: u64 = 1 << 32;

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Records in a segment that is written from memory.
    pub segment_records: u64,
    /// Segments of one size that are merged.
    pub fan_in: usize,
}

impl Default for Shape {
    /// 131,072 records, and 8: a log of 20 million records has some 15 files.
    fn default() -> Self {
        Self { segment_records: 131_072, fan_in: 8 }
    }
}

/// Builds the index of one log. There must not be a second one on the directory.
pub struct Builder {
    reader: Reader,
    directory: PathBuf,
    shape: Shape,
    keys: IndexKeyHasher,
    /// The end of the tail.
    base: Base,
    tail: Arc<Mutex<Tail>>,
}

impl Builder {
    /// Repairs the remains of a crash, drops unusable files, and continues after the last segment. Unusable files are
    /// given to `dropped`.
    pub fn open(
        reader: Reader,
        directory: &Path,
        shape: Shape,
        dropped: impl FnMut(&Unusable),
    ) -> Result<Self, IndexError> {
        let (directory, tail) = (directory.to_owned(), Arc::default());
        let mut builder =
            Self { reader, directory, shape, keys: IndexKeyHasher::default(), base: Base::default(), tail };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&builder.directory)
            .map_err(IndexError::io("make", &builder.directory))?;
        builder.mend(false, dropped)?;
        Ok(builder)
    }

    /// The entries in memory, for look-ups.
    pub fn tail(&self) -> Arc<Mutex<Tail>> {
        self.tail.clone()
    }

    /// The last position that is in the index or in memory.
    pub fn reached(&self) -> Position {
        self.base.position
    }

    /// Removes the remains of a crash and unusable files, fills the gaps, and begins the tail after the last segment.
    ///
    /// `blocks` are checked if something has turned out to be damaged; at a start the heads are enough.
    pub fn mend(&mut self, blocks: bool, mut dropped: impl FnMut(&Unusable)) -> Result<(), IndexError> {
        self.remove_unfinished()?;
        let mut found = cover::open(&self.directory, &self.reader)?;
        if blocks {
            found.unusable.extend(found.segments.iter().filter_map(|one| one.entries().find_map(Result::err)));
        }
        for unusable in &found.unusable {
            dropped(unusable);
            remove(&unusable.path)?;
        }
        if found.unusable.is_empty() {
            found.covered.iter().try_for_each(|path| remove(path))?;
        }
        // A file that was hidden by a damaged one is used now.
        let found = if found.unusable.is_empty() { found } else { cover::open(&self.directory, &self.reader)? };
        let mut next = 1;
        for segment in &found.segments {
            self.fill(PositionRange { first: next, last: segment.range().first - 1 })?;
            next = segment.range().last + 1;
        }
        self.base = self.reader.base_at(Position(next - 1))?;
        *self.tail.lock() = Tail::default();
        self.merge()
    }

    /// Adds a record, if it is the next; true if it was, or has been added before.
    pub fn add(&mut self, position: Position, recorded: &Recorded, hash: ChainHash) -> Result<bool, IndexError> {
        if position > self.base.position.next() {
            return Ok(false);
        }
        if position == self.base.position.next() {
            let head = Head { sequence: recorded.place.sequence, hash };
            self.base.position = position;
            self.base.heads.insert(recorded.place.origin, head);
            self.tail.lock().add(&self.keys, position, recorded);
            self.write_if_full()?;
        }
        Ok(true)
    }

    /// Reads the log from the end of the tail to its head, a page at a time; `go_on` is called before each.
    pub fn catch_up(&mut self, mut go_on: impl FnMut(Position) -> bool) -> Result<(), IndexError> {
        let mut base = self.base.clone();
        loop {
            if !go_on(base.position) {
                return Err(IndexError::Stopping);
            }
            let page = self.reader.next_page(&mut base, MAX_PAGE_ROWS)?;
            if page.is_empty() {
                return Ok(());
            }
            for stored in page {
                self.add(stored.position, &stored.decode()?, stored.hash)?;
            }
        }
    }

    /// Writes the entries in memory to a file, however few they are.
    pub fn flush(&mut self) -> Result<(), IndexError> {
        // Look-ups see the tail until its segment is there.
        let whole = self.tail.lock().clone();
        self.write(whole)?;
        *self.tail.lock() = Tail::default();
        self.merge()
    }

    fn write_if_full(&mut self) -> Result<(), IndexError> {
        let (range, entries) = {
            let tail = self.tail.lock();
            let Some(range) = tail.range() else { return Ok(()) };
            (range, tail.entries())
        };
        if range.len() < self.shape.segment_records && entries < MAX_ENTRIES {
            return Ok(());
        }
        self.flush()
    }

    fn write(&self, mut tail: Tail) -> Result<(), IndexError> {
        let Some((range, entries)) = tail.take_sorted() else { return Ok(()) };
        let base = if range.last == self.base.position.0 {
            self.base.clone()
        } else {
            self.reader.base_at(Position(range.last))?
        };
        let contents = SegmentContents { range, entries: entries.len() as u64, base };
        segment::write(&self.directory, &contents, entries.into_iter().map(Ok)).map(drop)
    }

    /// Reads a gap between two segments, and writes its entries.
    fn fill(&self, gap: PositionRange) -> Result<(), IndexError> {
        if gap.first > gap.last {
            return Ok(());
        }
        let mut base = self.reader.base_at(Position(gap.first - 1))?;
        let mut tail = Tail::default();
        while base.position.0 < gap.last {
            let due = base.position.next();
            let rest = (gap.last - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
            let page = self.reader.next_page(&mut base, rest)?;
            if page.is_empty() {
                return Err(ReadError::Damaged { position: due, damage: Damage::Absent }.into());
            }
            for stored in page {
                tail.add(&self.keys, stored.position, &stored.decode()?);
                let full = tail.range().is_some_and(|range| range.len() >= self.shape.segment_records);
                if full || tail.entries() >= MAX_ENTRIES {
                    self.write(std::mem::take(&mut tail))?;
                }
            }
        }
        self.write(tail)
    }

    /// Merges neighbours of one size for as long as there are enough.
    fn merge(&self) -> Result<(), IndexError> {
        loop {
            let segments = cover::open(&self.directory, &self.reader)?.segments;
            let Some(run) = segments.windows(self.shape.fan_in).find(|run| self.alike(run)) else { return Ok(()) };
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
            let range = PositionRange { first: first.range().first, last: last.range().last };
            let entries = run.iter().map(|segment| segment.about().entries).sum();
            let contents = SegmentContents { range, entries, base: last.about().base.clone() };
            segment::write(&self.directory, &contents, merged(run))?;
            run.iter().try_for_each(|segment| remove(segment.path()))?;
            segment::sync_directory(&self.directory)?;
        }
    }

    fn alike(&self, run: &[Segment]) -> bool {
        let tier = |segment: &Segment| {
            let size = (segment.about().entries / self.shape.segment_records.max(1)).max(1);
            size.ilog(self.shape.fan_in.max(2) as u64)
        };
        let adjacent = |pair: &[Segment]| pair[0].range().last + 1 == pair[1].range().first;
        let records: u64 = run.iter().map(|segment| segment.range().len()).sum();
        run.len() > 1
            && records <= MAX_RANGE
            && run.windows(2).all(|pair| tier(&pair[0]) == tier(&pair[1]) && adjacent(pair))
    }

    fn remove_unfinished(&self) -> Result<(), IndexError> {
        let failed = || IndexError::io("read", &self.directory);
        for entry in fs::read_dir(&self.directory).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let suffix = path.extension().and_then(|suffix| suffix.to_str());
            // A file that is named like a segment without a range is not one.
            let misnamed = suffix == Some(SUFFIX)
                && path.file_name().and_then(|name| name.to_str()).is_none_or(|name| segment::range_of(name).is_none());
            if suffix == Some(UNFINISHED) || misnamed {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), IndexError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(IndexError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The entries of all these, sorted.
fn merged(segments: &[Segment]) -> impl Iterator<Item = Result<SegmentEntry, IndexError>> + '_ {
    let mut sources: Vec<_> = segments.iter().map(Segment::entries).collect();
    let mut heap = BinaryHeap::new();
    let mut failed = None;
    for (number, source) in sources.iter_mut().enumerate() {
        match source.next() {
            Some(Ok(entry)) => heap.push(Reverse((entry, number))),
            Some(Err(unusable)) => failed = Some(unusable),
            None => {}
        }
    }
    std::iter::from_fn(move || {
        if let Some(unusable) = failed.take() {
            heap.clear();
            return Some(Err(unusable.into()));
        }
        let Reverse((entry, number)) = heap.pop()?;
        match sources[number].next() {
            Some(Ok(next)) => heap.push(Reverse((next, number))),
            Some(Err(unusable)) => failed = Some(unusable),
            None => {}
        }
        Some(Ok(entry))
    })
}
