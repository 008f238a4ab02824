//! Verifies that the index matches the log: every entry is derived again from the log, and compared.

use std::path::{Path, PathBuf};

use super::about::about;
use super::cover;
use super::damage::Unusable;
use super::key::IndexKeyHasher;
use super::range::PositionRange;
use super::segment::{Segment, SegmentEntry};
use crate::domain::Position;
use crate::event_log::{Damage, ReadError, Reader, RowRecord};

/// Positions whose entries are compared as one sum, so that memory does not grow with the log.
const BUCKET: u64 = 1_024;

/// An index that matches the log, as far as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexVerified {
    /// Files.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// The last position that they cover. Later records are read in the log, and none is missed.
    pub covered: Position,
}

/// Why an index failed its verification. It can be deleted then, and a server makes it again.
#[derive(Debug, thiserror::Error)]
pub enum IndexVerifyError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// A file is damaged, or is of another log.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Positions between two files are in none.
    #[error("position {0}: no file of the index covers it, but one covers later positions")]
    Gap(Position),
    /// The entries are not in order, so that a look-up misses them.
    #[error("{}: position {position}: its entry stands in the wrong place", path.display())]
    Order {
        path: PathBuf,
        /// The position of the first entry that is out of order.
        position: Position,
    },
    /// The file's entries do not follow from the log.
    #[error("{}: position {position}: its entries are not those that follow from its record", path.display())]
    Differs {
        path: PathBuf,
        /// The first position where they differ.
        position: Position,
    },
}

/// Derives every entry of the index in that directory anew from the log, and compares. An index that does not exist
/// passes.
///
/// `progress` is called once for each page with the position reached and the last one that is covered. The error names
/// the file and the first position of the difference.
pub fn verify(
    reader: &Reader,
    directory: &Path,
    mut progress: impl FnMut(Position, Position),
) -> Result<IndexVerified, IndexVerifyError> {
    let found = cover::open(directory, reader)?;
    if let Some(unusable) = found.unusable.into_iter().next() {
        return Err(unusable.into());
    }
    let covered = Position(found.segments.last().map_or(0, |last| last.range().last));
    let mut verified = IndexVerified { covered, ..IndexVerified::default() };
    let mut next = 1;
    for segment in &found.segments {
        if segment.range().first != next {
            return Err(IndexVerifyError::Gap(Position(next)));
        }
        next = segment.range().last + 1;
        compare(reader, segment, &mut |reached| progress(reached, covered))?;
        verified.segments += 1;
        verified.entries += segment.about().entries;
    }
    Ok(verified)
}

fn compare(reader: &Reader, segment: &Segment, progress: &mut dyn FnMut(Position)) -> Result<(), IndexVerifyError> {
    let range = segment.range();
    let mut sums = vec![0_u128; range.len().div_ceil(BUCKET) as usize];
    let bucket = |position: Position| ((position.0 - range.first) / BUCKET) as usize;
    let mut last = None;
    for entry in segment.entries() {
        let entry = entry?;
        let path = segment.path().to_owned();
        if !range.contains(entry.position) {
            return Err(IndexVerifyError::Differs { path, position: entry.position });
        }
        if last.is_some_and(|last| entry <= last) {
            return Err(IndexVerifyError::Order { path, position: entry.position });
        }
        last = Some(entry);
        let sum = &mut sums[bucket(entry.position)];
        *sum = sum.wrapping_add(weight(entry));
    }
    let keys = IndexKeyHasher::default();
    let due = |row: &RowRecord<'_>| {
        let weights = entries(&keys, row)?.into_iter().map(weight);
        Ok((row.position, weights.fold(0, u128::wrapping_add)))
    };
    read(reader, range, due, |due| {
        for (position, weight) in &due {
            let sum = &mut sums[bucket(*position)];
            *sum = sum.wrapping_sub(*weight);
        }
        due.last().into_iter().for_each(|(last, _)| progress(*last));
    })?;
    match sums.iter().position(|sum| *sum != 0) {
        None => Ok(()),
        Some(bucket) => {
            let first = range.first + bucket as u64 * BUCKET;
            let within = PositionRange { first, last: range.last.min(first + BUCKET - 1) };
            let position = first_difference(reader, segment, within)?;
            Err(IndexVerifyError::Differs { path: segment.path().to_owned(), position })
        }
    }
}

/// The addend of an entry: entries that differ cancel out by chance once in 2^128.
fn weight(entry: SegmentEntry) -> u128 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&entry.key.0.to_be_bytes());
    bytes[8..].copy_from_slice(&entry.position.0.to_be_bytes());
    let mut sum = [0; 16];
    sum.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    u128::from_be_bytes(sum)
}

/// The entries that follow from a record.
fn entries(keys: &IndexKeyHasher, row: &RowRecord<'_>) -> Result<Vec<SegmentEntry>, ReadError> {
    let mut entries = Vec::new();
    let position = row.position;
    about(&row.decode()?, |about| entries.push(SegmentEntry { key: keys.of(&about), position }));
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

fn first_difference(reader: &Reader, segment: &Segment, within: PositionRange) -> Result<Position, IndexVerifyError> {
    let by_position = |entry: &SegmentEntry| (entry.position, entry.key);
    let mut held = Vec::new();
    for entry in segment.entries() {
        held.extend(Some(entry?).filter(|entry| within.contains(entry.position)));
    }
    let (keys, mut due) = (IndexKeyHasher::default(), Vec::new());
    read(reader, within, |row| entries(&keys, row), |entries| due.extend(entries.into_iter().flatten()))?;
    held.sort_unstable_by_key(by_position);
    due.sort_unstable_by_key(by_position);
    let same = held.iter().zip(&due).take_while(|(held, due)| held == due).count();
    let here = [held.get(same), due.get(same)].into_iter().flatten().map(|entry| entry.position);
    Ok(here.min().unwrap_or(Position(within.first)))
}

fn read<T: Send>(
    reader: &Reader,
    range: PositionRange,
    make: impl Fn(&RowRecord<'_>) -> Result<T, ReadError> + Sync,
    mut take: impl FnMut(Vec<T>),
) -> Result<(), ReadError> {
    let mut base = reader.base_at(Position(range.first - 1))?;
    reader.read_ordered(&mut base, Position(range.last), make, |_, made| {
        take(made);
        Ok(())
    })?;
    if base.position.0 < range.last {
        return Err(ReadError::Damaged { position: base.position.next(), damage: Damage::Absent });
    }
    Ok(())
}
