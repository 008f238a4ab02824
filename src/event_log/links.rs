//! Many links of chains at once.
//!
//! A link needs the hash before it, and that one is stored: so the records of a piece need not wait for one another,
//! and are hashed side by side, as many as the processor's vectors hold. Hashed one after the other, they take four
//! times as long, which is more than all other work on a record.

use blake3::IncrementCounter;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};

use super::chain::{CONTEXT, Chain, ChainHash};
use super::error::{Damage, ReadError};
use crate::domain::Position;

/// Links that are computed together: enough that many have the same length, few enough that they stay in the
/// processor's cache.
const TOGETHER: usize = 256;
/// The most that the vectors of any processor hold.
const LANES: usize = 16;
const BLOCK: usize = 64;
/// A longer input is a tree of chunks (BLAKE3, section 2.1), and is hashed on its own.
const MAX_BLOCKS: usize = 16;

// The flags of BLAKE3, section 2.2.
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const DERIVE_KEY_MATERIAL: u8 = 1 << 6;

/// Links to be computed, and compared with the stored ones.
pub(super) struct Links {
    platform: Platform,
    key: [u32; 8],
    chain: Chain,
    /// The input: each previous hash and record, filled up to whole blocks.
    bytes: Vec<u8>,
    due: Vec<Due>,
}

/// A link to be computed.
struct Due {
    position: Position,
    stored: ChainHash,
    /// The start and the number of its bytes.
    at: usize,
    len: usize,
}

impl Due {
    fn blocks(&self) -> usize {
        self.len.div_ceil(BLOCK)
    }
}

impl Default for Links {
    fn default() -> Self {
        let key = blake3::hazmat::hash_derive_key_context(CONTEXT);
        Self {
            platform: Platform::detect(),
            key: words_from_le_bytes_32(&key),
            chain: Chain::default(),
            bytes: Vec::new(),
            due: Vec::with_capacity(TOGETHER),
        }
    }
}

impl Links {
    /// Adds a link. From time to time this reports the first by position that does not hold.
    pub(super) fn add(
        &mut self,
        position: Position,
        previous: &ChainHash,
        record: &str,
        stored: ChainHash,
    ) -> Result<(), ReadError> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&previous.0);
        self.bytes.extend_from_slice(record.as_bytes());
        let len = self.bytes.len() - at;
        self.bytes.resize(at + len.next_multiple_of(BLOCK), 0);
        self.due.push(Due { position, stored, at, len });
        if self.due.len() < TOGETHER { Ok(()) } else { self.check() }
    }

    /// Computes the added links, and reports the first that does not hold.
    pub(super) fn check(&mut self) -> Result<(), ReadError> {
        let mut due = std::mem::take(&mut self.due);
        due.sort_unstable_by_key(|due| (due.blocks(), due.position));
        let alike = due.chunk_by(|one, other| one.blocks() == other.blocks());
        let wrong = alike.flat_map(|alike| alike.chunks(LANES)).filter_map(|few| self.first_wrong(few));
        let first = wrong.min_by_key(|(position, _)| *position);
        due.clear();
        self.due = due;
        self.bytes.clear();
        first.map_or(Ok(()), |(position, damage)| Err(ReadError::Damaged { position, damage }))
    }

    /// The first that does not hold of links with the same number of blocks, in the order of positions.
    fn first_wrong(&self, few: &[Due]) -> Option<(Position, Damage)> {
        let computed = self.hashes(few);
        few.iter()
            .zip(computed)
            .find(|(due, computed)| due.stored != *computed)
            .map(|(due, computed)| (due.position, Damage::Hash { stored: due.stored, computed }))
    }

    fn hashes(&self, few: &[Due]) -> [ChainHash; LANES] {
        let mut hashes = [ChainHash::default(); LANES];
        let blocks = few.first().map_or(0, Due::blocks);
        if !(2..=MAX_BLOCKS).contains(&blocks) {
            for (hash, due) in hashes.iter_mut().zip(few) {
                *hash = self.chain.of(self.bytes_of(due));
            }
            return hashes;
        }
        let states = self.states(few, blocks - 1);
        for ((hash, due), state) in hashes.iter_mut().zip(few).zip(states.as_chunks::<32>().0) {
            *hash = self.last_block(due, words_from_le_bytes_32(state));
        }
        hashes
    }

    /// The states before each last block.
    fn states(&self, few: &[Due], blocks: usize) -> [u8; LANES * 32] {
        match blocks {
            1 => self.many::<64>(few),
            2 => self.many::<128>(few),
            3 => self.many::<192>(few),
            4 => self.many::<256>(few),
            5 => self.many::<320>(few),
            6 => self.many::<384>(few),
            7 => self.many::<448>(few),
            8 => self.many::<512>(few),
            9 => self.many::<576>(few),
            10 => self.many::<640>(few),
            11 => self.many::<704>(few),
            12 => self.many::<768>(few),
            13 => self.many::<832>(few),
            14 => self.many::<896>(few),
            _ => self.many::<960>(few),
        }
    }

    fn many<const N: usize>(&self, few: &[Due]) -> [u8; LANES * 32] {
        let inputs: Vec<&[u8; N]> = few.iter().filter_map(|due| self.bytes.get(due.at..)?.first_chunk()).collect();
        let mut states = [0; LANES * 32];
        let out = &mut states[..inputs.len() * 32];
        let flags = DERIVE_KEY_MATERIAL;
        self.platform.hash_many(&inputs, &self.key, 0, IncrementCounter::No, flags, CHUNK_START, 0, out);
        states
    }

    fn last_block(&self, due: &Due, mut state: [u32; 8]) -> ChainHash {
        let begin = (due.blocks() - 1) * BLOCK;
        let block = self.bytes.get(due.at + begin..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; BLOCK]);
        let flags = DERIVE_KEY_MATERIAL | CHUNK_END | ROOT;
        self.platform.compress_in_place(&mut state, block, (due.len - begin) as u8, 0, flags);
        ChainHash(le_bytes_from_words_32(&state))
    }

    fn bytes_of(&self, due: &Due) -> &[u8] {
        self.bytes.get(due.at..due.at + due.len).unwrap_or_default()
    }
}
