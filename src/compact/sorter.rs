//! Sorts the marks of a snapshot into blocks, within bounded memory.

use std::collections::BTreeMap;

use super::block::MAX_BLOCK_MARKS;
use super::bucket::bucket;
use super::change::{Change, WholeChange};
use super::frame::{Frame, MarkBlock};
use super::mark::Mark;
use crate::domain::Timestamp;

/// Subjects and cohorts in a frame. Each may have a generation of as many origins as a cursor names, which are some 40 KB.
const MAX_WHOLES: usize = 256;

/// What a snapshot has gathered, and not given out as frames yet.
#[derive(Debug)]
pub struct Sorter {
    now: Timestamp,
    /// By whether they are of somebody, and by the end of their bucket.
    marks: BTreeMap<(bool, Timestamp), Vec<Mark>>,
    gathered: usize,
    wholes: Vec<WholeChange>,
    /// What the frames have had so far.
    count: u64,
}

impl Sorter {
    /// Buckets are of what is left at that instant.
    pub fn new(now: Timestamp) -> Self {
        Self { now, marks: BTreeMap::new(), gathered: 0, wholes: Vec::new(), count: 0 }
    }

    /// Takes a revocation.
    pub fn add(&mut self, change: Change) {
        let end = bucket(change.retain_until, self.now);
        for (scoped, marks) in [(false, &change.plain), (true, &change.scoped)] {
            if !marks.is_empty() {
                self.marks.entry((scoped, end)).or_default().extend_from_slice(marks);
                self.gathered += marks.len();
            }
        }
        self.wholes.extend(change.wholes);
    }

    /// The next part to be made a frame of, if more than `room` marks are gathered or some block or frame is full; with no room,
    /// everything that is left, one part after the other.
    pub fn take(&mut self, room: usize) -> Option<Unsorted> {
        if self.wholes.len() >= MAX_WHOLES || room == 0 && !self.wholes.is_empty() {
            let rest = self.wholes.split_off(self.wholes.len().min(MAX_WHOLES));
            return Some(Unsorted::Wholes(std::mem::replace(&mut self.wholes, rest)));
        }
        let (&place, fullest) = self.marks.iter().max_by_key(|(_, marks)| marks.len())?;
        if fullest.len() < MAX_BLOCK_MARKS && self.gathered <= room {
            return None;
        }
        let mut marks = self.marks.remove(&place)?;
        if marks.len() > MAX_BLOCK_MARKS {
            let rest = marks.split_off(MAX_BLOCK_MARKS);
            self.marks.insert(place, rest);
        }
        self.gathered -= marks.len();
        Some(Unsorted::Marks { scoped: place.0, retain_until: place.1, marks })
    }

    /// Counts what a frame has.
    pub fn given_out(&mut self, frame: &SortedFrame) {
        self.count += frame.count;
    }

    /// The last frame.
    pub fn complete(&self) -> Frame {
        Frame::Complete { count: self.count }
    }
}

/// What a frame will be made of.
#[derive(Debug)]
pub enum Unsorted {
    Marks { scoped: bool, retain_until: Timestamp, marks: Vec<Mark> },
    Wholes(Vec<WholeChange>),
}

/// A frame of a snapshot.
#[derive(Debug)]
pub struct SortedFrame {
    pub bytes: Vec<u8>,
    /// How many marks, subjects or cohorts it has.
    count: u64,
}

impl Unsorted {
    /// Makes the frame. Sorting a full block takes about a tenth of a second.
    pub fn sort(self) -> SortedFrame {
        match self {
            Self::Wholes(wholes) => {
                let count = wholes.len() as u64;
                SortedFrame { bytes: Frame::Wholes(wholes).to_bytes(), count }
            }
            Self::Marks { scoped, retain_until, mut marks } => {
                marks.sort_unstable();
                marks.dedup();
                let count = marks.len() as u64;
                let frame = Frame::Marks(MarkBlock { scoped, retain_until, marks });
                SortedFrame { bytes: frame.to_bytes(), count }
            }
        }
    }
}
