//! Sessions in the order in which they were issued, in blocks: a page is found without passing what comes before it.

use crate::domain::{CredentialId, Timestamp};

/// A session's place: when it was issued, and its id.
pub(in crate::projection) type Place = (Timestamp, CredentialId);

/// The most sessions of a block.
const BLOCK: usize = 512;

/// Sessions in order, the oldest first. No block is empty.
#[derive(Default)]
pub(super) struct Timeline {
    blocks: Vec<Vec<Place>>,
    len: usize,
}

impl Timeline {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, place: Place) {
        if self.blocks.is_empty() {
            self.blocks.push(Vec::new());
        }
        let at = self.block_of(place).min(self.blocks.len() - 1);
        let block = &mut self.blocks[at];
        let Err(within) = block.binary_search(&place) else { return };
        block.insert(within, place);
        self.len += 1;
        if block.len() > BLOCK {
            let rest = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, rest);
        }
    }

    pub(super) fn remove(&mut self, place: Place) {
        let at = self.block_of(place);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(within) = block.binary_search(&place) else { return };
        block.remove(within);
        self.len -= 1;
        self.join(at);
        if at > 0 {
            self.join(at - 1);
        }
    }

    /// The sessions that were issued before that one, the newest first, without the first so many: at most `limit`.
    pub(super) fn before(&self, before: Option<Place>, skip: usize, limit: usize) -> Vec<Place> {
        let end = before.map_or(self.blocks.len(), |before| (self.block_of(before) + 1).min(self.blocks.len()));
        let (mut found, mut skip) = (Vec::new(), skip);
        for block in self.blocks[..end].iter().rev() {
            let some = before.map_or(block.len(), |before| block.partition_point(|place| *place < before));
            let passed = skip.min(some);
            skip -= passed;
            found.extend(block[..some - passed].iter().rev().take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        found
    }

    /// The first block that does not end before that place.
    fn block_of(&self, place: Place) -> usize {
        self.blocks.partition_point(|block| block.last().is_none_or(|last| *last < place))
    }

    /// Joins a block with the next one if they are small, and removes it if it is empty.
    fn join(&mut self, at: usize) {
        let small = |blocks: &[Vec<Place>]| blocks.iter().map(Vec::len).sum::<usize>() <= BLOCK / 2;
        if self.blocks[at].is_empty() {
            self.blocks.remove(at);
        } else if self.blocks.get(at..at + 2).is_some_and(small) {
            let mut next = self.blocks.remove(at + 1);
            self.blocks[at].append(&mut next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn place(number: u16) -> Place {
        let at = Timestamp::from_millis(1_000 + u64::from(number / 3)).expect("in range");
        (at, CredentialId::from_bytes([number as u8; 16]))
    }

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out_in_order(
            changes in prop::collection::vec((0u16..3_000, 0u8..4), 0..4_000),
            before in prop::option::of(0u16..3_000),
            skip in 0usize..2_000,
            limit in 1usize..700,
        ) {
            let (mut timeline, mut all) = (Timeline::default(), BTreeSet::new());
            for (number, change) in changes {
                if change == 0 {
                    timeline.remove(place(number));
                    all.remove(&place(number));
                } else {
                    timeline.insert(place(number));
                    all.insert(place(number));
                }
            }
            prop_assert_eq!(timeline.len(), all.len());
            prop_assert!(timeline.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK));
            let before = before.map(place);
            let due: Vec<Place> =
                all.iter().rev().filter(|place| before.is_none_or(|before| **place < before)).copied().collect();
            let due: Vec<Place> = due.into_iter().skip(skip).take(limit).collect();
            prop_assert_eq!(timeline.before(before, skip, limit), due);
        }
    }
}
