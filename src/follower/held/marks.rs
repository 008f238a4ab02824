//! A set of marks, each with the number of its bucket: many short sorted lists.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::buckets::{Buckets, Numbers};
use crate::compact::{MARK_BYTES, Mark};

/// A mark, and the number of its bucket.
pub(super) const ENTRY_BYTES: usize = MARK_BYTES + 1;
pub(super) type Entry = [u8; ENTRY_BYTES];

/// A list that is full grows by that part of itself.
const GROWTH: usize = 8;

/// The marks, in lists by their first `PREFIX` bytes. Marks are as good as random, so the lists are equally long, and so a mark's
/// place in its list is near to where its next bytes say.
#[derive(Debug)]
pub(super) struct Marks<const PREFIX: usize> {
    lists: Box<[RwLock<Vec<Entry>>]>,
    count: AtomicUsize,
}

impl<const PREFIX: usize> Default for Marks<PREFIX> {
    fn default() -> Self {
        let lists = (0..1 << (8 * PREFIX)).map(|_| RwLock::default()).collect();
        Self { lists, count: AtomicUsize::new(0) }
    }
}

impl<const PREFIX: usize> Marks<PREFIX> {
    pub fn contains(&self, mark: &Mark) -> bool {
        let list = self.list(mark).read();
        find::<PREFIX>(&list, mark).is_ok()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Adds a mark; one that is there is kept until the later instant.
    pub fn insert(&self, mark: &Mark, number: u8, buckets: &Buckets) {
        let mut list = self.list(mark).write();
        match find::<PREFIX>(&list, mark) {
            Ok(at) => {
                let own = &mut list[at][MARK_BYTES];
                *own = buckets.later(*own, number);
            }
            Err(at) => {
                if list.len() == list.capacity() {
                    let more = (list.len() / GROWTH).max(4);
                    list.reserve_exact(more);
                }
                list.insert(at, entry(mark, number));
                self.count.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// The same for marks that are sorted and differ, one list after the other.
    pub fn insert_sorted(&self, marks: &[Mark], number: u8, buckets: &Buckets) {
        for group in marks.chunk_by(|one, next| one.0[..PREFIX] == next.0[..PREFIX]) {
            let Some(first) = group.first() else { continue };
            let mut list = self.list(first).write();
            let before = list.len();
            merge(&mut list, group, number, buckets);
            self.count.fetch_add(list.len() - before, Ordering::Release);
        }
    }

    /// Drops the marks in these buckets; says how many there were.
    pub fn forget(&self, over: &Numbers) -> usize {
        let mut dropped = 0;
        for list in &self.lists {
            // Most lists have none, and then nobody who reads them waits.
            if !list.read().iter().any(|entry| over.contains(entry[MARK_BYTES])) {
                continue;
            }
            let mut list = list.write();
            let before = list.len();
            list.retain(|entry| !over.contains(entry[MARK_BYTES]));
            list.shrink_to_fit();
            dropped += before - list.len();
        }
        self.count.fetch_sub(dropped, Ordering::Release);
        dropped
    }

    /// The lists, in order.
    pub fn lists(&self) -> &[RwLock<Vec<Entry>>] {
        &self.lists
    }

    /// Puts a list into an empty place.
    pub fn restore(&self, at: usize, entries: Vec<Entry>) {
        self.count.fetch_add(entries.len(), Ordering::Release);
        *self.lists[at].write() = entries;
    }

    /// The bytes that the lists take.
    pub fn bytes(&self) -> usize {
        let own = size_of::<RwLock<Vec<Entry>>>() * self.lists.len();
        own + self.lists.iter().map(|list| list.read().capacity() * ENTRY_BYTES).sum::<usize>()
    }

    fn list(&self, mark: &Mark) -> &RwLock<Vec<Entry>> {
        let number = mark.0[..PREFIX].iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        &self.lists[number]
    }
}

fn entry(mark: &Mark, number: u8) -> Entry {
    let mut entry = [number; ENTRY_BYTES];
    entry[..MARK_BYTES].copy_from_slice(&mark.0);
    entry
}

fn is_before(entry: &Entry, mark: &Mark) -> bool {
    entry[..MARK_BYTES] < mark.0[..]
}

/// The place of the mark, or the one where it would be.
fn find<const PREFIX: usize>(list: &[Entry], mark: &Mark) -> Result<usize, usize> {
    let next = [0, 1, 2, 3].map(|at| mark.0[PREFIX + at]);
    let mut at = ((u64::from(u32::from_be_bytes(next)) * list.len() as u64) >> 32) as usize;
    while list.get(at).is_some_and(|entry| is_before(entry, mark)) {
        at += 1;
    }
    while at > 0 && !is_before(&list[at - 1], mark) {
        at -= 1;
    }
    if list.get(at).is_some_and(|entry| entry[..MARK_BYTES] == mark.0) { Ok(at) } else { Err(at) }
}

/// Merges sorted marks into a sorted list, from the last to the first, so that it needs no other memory.
fn merge(list: &mut Vec<Entry>, marks: &[Mark], number: u8, buckets: &Buckets) {
    let (mut from, mut to) = (list.len(), list.len() + marks.len());
    list.reserve_exact(marks.len());
    list.resize(to, [0; ENTRY_BYTES]);
    let mut again = 0;
    for mark in marks.iter().rev() {
        while from > 0 && list[from - 1][..MARK_BYTES] > mark.0[..] {
            (from, to) = (from - 1, to - 1);
            list[to] = list[from];
        }
        let mut number = number;
        if from > 0 && list[from - 1][..MARK_BYTES] == mark.0 {
            from -= 1;
            again += 1;
            number = buckets.later(list[from][MARK_BYTES], number);
        }
        to -= 1;
        list[to] = entry(mark, number);
    }
    // Marks that were there before leave a hole.
    if again > 0 {
        list.copy_within(to.., from);
        list.truncate(list.len() - again);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::Timestamp;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000).expect("in range")
    }

    /// Few values in each byte, so that many marks share a list, and come twice.
    fn marks(seed: u64, count: usize) -> Vec<Mark> {
        let hash = |n: usize| blake3::hash(format!("{seed} {n}").as_bytes());
        let mark = |n| Mark(std::array::from_fn(|at| hash(n).as_bytes()[at] & 3));
        (0..count).map(mark).collect()
    }

    #[test]
    fn a_set_of_marks_is_a_map_that_keeps_the_later_instant() {
        let buckets = Buckets::default();
        let (set, mut map) = (Marks::<1>::default(), BTreeMap::new());
        for (round, count) in [(1, 300), (2, 2), (3, 1_000), (4, 50), (5, 400)] {
            let number = buckets.number(at(1_000 * (6 - round)));
            let mut added = marks(round, count);
            if round % 2 == 0 {
                added.iter().for_each(|mark| set.insert(mark, number, &buckets));
            } else {
                added.sort_unstable();
                added.dedup();
                set.insert_sorted(&added, number, &buckets);
            }
            for mark in added {
                let own = map.entry(mark).or_insert(number);
                *own = buckets.later(*own, number);
            }
        }
        let listed: Vec<Entry> = set.lists().iter().flat_map(|list| list.read().clone()).collect();
        let expected: Vec<Entry> = map.iter().map(|(mark, number)| entry(mark, *number)).collect();
        assert_eq!(listed, expected);
        assert_eq!(set.len(), map.len());
        assert!(map.keys().all(|mark| set.contains(mark)));
        assert!(marks(9, 500).iter().all(|mark| set.contains(mark) == map.contains_key(mark)));
        let over = buckets.over(at(3_000));
        let kept = map.values().filter(|number| !over.contains(**number)).count();
        assert_eq!(set.forget(&over), map.len() - kept);
        assert_eq!(set.len(), kept);
    }
}
