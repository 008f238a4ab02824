//! Where a credential or a subject stands in memory, in 32 bits.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use crate::domain::Kind;

/// Shards of every table here, a power of two. Many, so that a step of the sweep or the snapshot holds few up, and briefly,
/// and so that a table which grows is a small one.
pub(super) const SHARDS: usize = 1_024;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();

const PLACE_BITS: u32 = 30 - SHARD_BITS;
const SUBJECT_BITS: u32 = 32 - SHARD_BITS;

/// A credential's slot: its kind in the top two bits, then its shard, then its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u32);

impl Handle {
    /// Ids are random, so shards fill alike: one is full when there are about 2^30 credentials of that kind, which is more
    /// than a machine of 64 GiB holds.
    pub(super) fn new(kind: Kind, shard: usize, at: u32) -> Self {
        assert!(at < 1 << PLACE_BITS, "a shard holds {at} credentials, and has room for no more");
        Self((kind.index() as u32) << 30 | (shard as u32) << PLACE_BITS | at)
    }

    /// The bits of all handles of a kind.
    pub(super) const fn all_of(kind: Kind) -> RangeInclusive<u32> {
        let first = (kind.index() as u32) << 30;
        first..=first | (u32::MAX >> 2)
    }

    pub(super) fn kind(self) -> Kind {
        Kind::ALL[(self.0 >> 30) as usize]
    }

    pub(super) const fn shard(self) -> usize {
        (self.0 >> PLACE_BITS) as usize % SHARDS
    }

    pub(super) const fn at(self) -> u32 {
        self.0 & ((1 << PLACE_BITS) - 1)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// A subject's entry: its shard, then its place there, plus 1, so that 0 can stand for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubjectHandle(NonZeroU32);

impl SubjectHandle {
    pub(super) fn new(shard: usize, at: u32) -> Self {
        assert!(at < (1 << SUBJECT_BITS) - 1, "a shard holds {at} subjects, and has room for no more");
        Self(NonZeroU32::MIN.saturating_add((shard as u32) << SUBJECT_BITS | at))
    }

    pub(super) const fn shard(self) -> usize {
        ((self.0.get() - 1) >> SUBJECT_BITS) as usize
    }

    pub(super) const fn at(self) -> u32 {
        (self.0.get() - 1) & ((1 << SUBJECT_BITS) - 1)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0.get()
    }

    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }
}

/// Spreads what is random in some of its bits over all of them: a table takes the lowest and the highest.
pub(super) const fn spread(bits: u64) -> u64 {
    let product = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_what_it_was_made_of() {
        for (kind, shard, at) in [(Kind::Ticket, 0, 0), (Kind::Token, SHARDS - 1, (1 << PLACE_BITS) - 1)] {
            let handle = Handle::new(kind, shard, at);
            assert_eq!((handle.kind(), handle.shard(), handle.at()), (kind, shard, at));
        }
        for (shard, at) in [(0, 0), (SHARDS - 1, (1 << SUBJECT_BITS) - 2)] {
            let handle = SubjectHandle::new(shard, at);
            assert_eq!((handle.shard(), handle.at()), (shard, at));
            assert_eq!(SubjectHandle::from_bits(handle.bits()), Some(handle));
        }
    }
}
