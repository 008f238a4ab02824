//! The files of a directory that are used: their names give ranges, and where two overlap the larger one was merged
//! from the smaller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{SegmentProblem, Unusable};
use super::range::PositionRange;
use super::segment::{Segment, range_of};
use crate::domain::Position;
use crate::event_log::{ReadError, Reader};

/// The contents of a directory.
#[derive(Default)]
pub(super) struct SegmentScan {
    /// Segments that are complete according to their heads, of this log, without overlaps, in order.
    pub(super) segments: Vec<Segment>,
    /// Segments that others cover: left over from a merge that a crash cut short.
    pub(super) covered: Vec<PathBuf>,
    /// Unusable files.
    pub(super) unusable: Vec<Unusable>,
}

/// Opens the files. A directory that does not exist is empty.
pub(super) fn open(directory: &Path, reader: &Reader) -> Result<SegmentScan, ReadError> {
    let mut found = SegmentScan::default();
    let names = match list(directory) {
        Ok(names) => names,
        Err(source) => {
            found.unusable.push(Unusable::new(directory, source));
            return Ok(found);
        }
    };
    let head = reader.head()?;
    let mut next = 1;
    for (range, path) in names {
        if range.first < next {
            found.covered.push(path);
            continue;
        }
        match usable(&path, reader, head)? {
            Ok(segment) => {
                next = range.last + 1;
                found.segments.push(segment);
            }
            // A merge deletes the merged segments afterwards: the larger segment has their entries.
            Err(Unusable { problem: SegmentProblem::Io(error), .. }) if error.kind() == io::ErrorKind::NotFound => {}
            Err(unusable) => found.unusable.push(unusable),
        }
    }
    Ok(found)
}

/// Ranges and paths of the segments, the larger first where several start at one position.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(PositionRange, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        names.extend(entry.file_name().to_str().and_then(range_of).map(|range| (range, entry.path())));
    }
    names.sort_by_key(|(range, _)| (range.first, u64::MAX - range.last));
    Ok(names)
}

fn usable(path: &Path, reader: &Reader, head: Position) -> Result<Result<Segment, Unusable>, ReadError> {
    let segment = match Segment::open(path) {
        Ok(segment) => segment,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let base = &segment.about().base;
    let of_this_log = base.position <= head && reader.base_at(base.position)? == *base;
    Ok(if of_this_log { Ok(segment) } else { Err(Unusable::new(path, SegmentProblem::Foreign)) })
}
