//! The place of a credential or a subject in memory, in 32 bits.

use std::hash::BuildHasher as _;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use crate::domain::{CredentialId, Hashing, Kind};

/// Shards of every table here, a power of two. Many, so that a step of the sweep or the snapshot delays few requests,
/// and briefly, and so that a table that grows is a small one.
pub(super) const SHARDS: usize = 1_024;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();

const PLACE_BITS: u32 = 30 - SHARD_BITS;
const SUBJECT_BITS: u32 = 32 - SHARD_BITS;

/// The choice of shard for a credential, and the capacity of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The seed that spreads ids over shards. Importers choose ids: without it they could fill one shard.
    pub(super) seed: [u64; 2],
    /// Places that a shard has for credentials of one kind.
    pub(super) room: u32,
    /// Places that a shard has for subjects.
    pub(super) subjects: u32,
}

impl Default for Layout {
    fn default() -> Self {
        // As random as the seeds of tables, and as fixed where those are.
        let seed = [0; 2].map(|_: u64| Hashing::default().hash_one(0));
        Self { seed, room: 1 << PLACE_BITS, subjects: (1 << SUBJECT_BITS) - 1 }
    }
}

impl Layout {
    /// The shard that a credential belongs to. It is another one only while this one is full.
    pub(super) fn shard_of(&self, id: &CredentialId) -> usize {
        let halves = u128::from_le_bytes(*id.as_bytes());
        let (low, high) = (halves as u64 ^ self.seed[0], (halves >> 64) as u64 ^ self.seed[1]);
        let product = u128::from(low) * u128::from(high);
        (spread(product as u64 ^ (product >> 64) as u64) >> 32) as usize % SHARDS
    }

    /// At how many credentials of a kind issuing stops: a sixteenth is kept for the credentials that other nodes issue.
    pub(super) const fn full(&self) -> usize {
        let all = self.room as usize * SHARDS;
        all - all / 16
    }

    /// At how many subjects in a shard no subject is added for an issue.
    pub(super) const fn full_of_subjects(&self) -> usize {
        let all = self.subjects as usize;
        all - all / 16
    }
}

/// A credential's slot: its kind in the top two bits, then its shard, then its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u32);

impl Handle {
    /// The shard has a place below [`Layout::room`] there.
    pub(super) const fn new(kind: Kind, shard: usize, at: u32) -> Self {
        debug_assert!(at < 1 << PLACE_BITS);
        Self((kind.index() as u32) << 30 | (shard as u32) << PLACE_BITS | at)
    }

    /// The bits of all handles of a kind.
    pub(super) const fn all_of(kind: Kind) -> RangeInclusive<u32> {
        let first = (kind.index() as u32) << 30;
        first..=first | (u32::MAX >> 2)
    }

    pub(super) const fn kind(self) -> Kind {
        match self.0 >> 30 {
            0 => Kind::Ticket,
            1 => Kind::Session,
            _ => Kind::Token,
        }
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
    /// The shard has a place below [`Layout::subjects`] there.
    pub(super) const fn new(shard: usize, at: u32) -> Self {
        debug_assert!(at < (1 << SUBJECT_BITS) - 1);
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

/// Spreads the randomness of some of its bits over all of them: a table uses the lowest and the highest.
pub(super) const fn spread(bits: u64) -> u64 {
    let product = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_what_it_was_made_of() {
        for (kind, shard, at) in
            [(Kind::Ticket, 0, 0), (Kind::Session, 7, 7), (Kind::Token, SHARDS - 1, Layout::default().room - 1)]
        {
            let handle = Handle::new(kind, shard, at);
            assert_eq!((handle.kind(), handle.shard(), handle.at()), (kind, shard, at));
        }
        for (shard, at) in [(0, 0), (SHARDS - 1, Layout::default().subjects - 1)] {
            let handle = SubjectHandle::new(shard, at);
            assert_eq!((handle.shard(), handle.at()), (shard, at));
            assert_eq!(SubjectHandle::from_bits(handle.bits()), Some(handle));
        }
    }

    /// Ids as an importer may choose them: equal in all bytes except a few, wherever those are.
    #[test]
    fn ids_that_are_alike_are_spread_over_all_shards() {
        const IDS: usize = 65_536;
        let layout = Layout::default();
        for first in [0, 3, 6, 8, 11, 14] {
            let mut filled = vec![0; SHARDS];
            for number in 0..IDS as u16 {
                let mut id = [0x5a; 16];
                id[first..first + 2].copy_from_slice(&number.to_be_bytes());
                filled[layout.shard_of(&CredentialId::from_bytes(id))] += 1;
            }
            let most = filled.iter().max().copied().unwrap_or_default();
            // 64 are due in each.
            assert!(most < 256, "{most} of {IDS} are in one shard where bytes {first} and after differ");
        }
    }
}
