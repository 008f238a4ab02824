//! The blocks of a snapshot's file, each with a checksum that binds it to its place.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::{SnapshotError, items::SnapshotItem};
use crate::domain::Timestamp;

const MAGIC: &[u8; 8] = b"aledsnap";
/// The snapshot's format. It has no history: another number means folding again. 5 carries the seed that spreads
/// credentials over shards, and the instant of the last sweep.
pub(super) const FORMAT: u32 = 8;
/// Entities in a block, at most.
pub(super) const BLOCK_ITEMS: usize = 4_096;
/// The largest block that is read: a damaged length must not claim all memory.
const MAX_BLOCK_BYTES: u32 = 256 << 20;

/// The place of the snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) ledger: Option<[u8; 16]>,
    pub(super) position: u64,
    /// The seed that spread the credentials over shards. A reader spreads them in the same way, so that a block's rows
    /// are in one shard; otherwise reading would only take longer.
    pub(super) seed: [u64; 2],
    /// For each origin its name, its sequence there and the chain's hash.
    pub(super) heads: Vec<([u8; 13], u64, [u8; 32])>,
}

/// The content of a block: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Items,
    Tickets,
    Sessions,
    Tokens,
    /// How many entities there are, and the instant of the last sweep: eight big-endian bytes each.
    End,
}

impl Content {
    const ALL: [Self; 5] = [Self::Items, Self::Tickets, Self::Sessions, Self::Tokens, Self::End];

    fn of(byte: u8) -> Result<Self, SnapshotError> {
        Self::ALL.get(usize::from(byte)).copied().ok_or(SnapshotError::Damaged("a block's content is unknown"))
    }
}

fn block_hash(first: &[u8; 32], number: u64, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(first).update(&number.to_be_bytes()).update(payload);
    *hasher.finalize().as_bytes()
}

pub(super) struct BlockWriter<W: Write> {
    out: W,
    first: [u8; 32],
    number: u64,
    entities: u64,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn start(mut out: W, header: &Header) -> Result<Self, SnapshotError> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_be_bytes())?;
        let mut blocks = Self { out, first: [0; 32], number: 0, entities: 0 };
        blocks.first = blocks.block(&encoded(header, Vec::new())?)?;
        Ok(blocks)
    }

    pub(super) fn items(&mut self, items: &[SnapshotItem]) -> Result<(), SnapshotError> {
        for chunk in items.chunks(BLOCK_ITEMS) {
            self.entities += chunk.len() as u64;
            self.block(&encoded(chunk, vec![Content::Items as u8])?)?;
        }
        Ok(())
    }

    /// Writes that many rows: the values that they refer to, and then the rows themselves.
    pub(super) fn rows(
        &mut self,
        content: Content,
        count: usize,
        refers_to: &impl Serialize,
        rows: &[u8],
    ) -> Result<(), SnapshotError> {
        self.entities += count as u64;
        let mut payload = encoded(refers_to, vec![content as u8])?;
        payload.extend_from_slice(rows);
        self.block(&payload).map(drop)
    }

    pub(super) fn end(mut self, forgotten_at: Timestamp) -> Result<W, SnapshotError> {
        let forgotten_at = forgotten_at.as_millis().to_be_bytes();
        let payload = [&[Content::End as u8][..], &self.entities.to_be_bytes(), &forgotten_at].concat();
        self.block(&payload)?;
        Ok(self.out)
    }

    fn block(&mut self, payload: &[u8]) -> Result<[u8; 32], SnapshotError> {
        let hash = block_hash(&self.first, self.number, payload);
        // A block holds some thousand entities, each made of the parts of one record.
        self.out.write_all(&(payload.len() as u32).to_be_bytes())?;
        self.out.write_all(&hash)?;
        self.out.write_all(payload)?;
        self.number += 1;
        Ok(hash)
    }
}

fn encoded(content: &(impl Serialize + ?Sized), behind: Vec<u8>) -> Result<Vec<u8>, SnapshotError> {
    postcard::to_extend(content, behind).map_err(|_| SnapshotError::Damaged("an entity can't be encoded"))
}

/// A block as it was read: nothing in it is trusted before it has been checked.
pub(super) struct Block {
    first: [u8; 32],
    number: u64,
    hash: [u8; 32],
    payload: Vec<u8>,
}

impl Block {
    /// Its content, if it is as it was written.
    pub(super) fn checked(&self) -> Result<(Content, &[u8]), SnapshotError> {
        self.whole()?;
        let (content, rest) = self.payload.split_first().ok_or(SnapshotError::Damaged("a block is empty"))?;
        Ok((Content::of(*content)?, rest))
    }

    /// Whether it claims to be the last one.
    pub(super) fn seems_last(&self) -> bool {
        self.payload.first() == Some(&(Content::End as u8))
    }

    fn whole(&self) -> Result<(), SnapshotError> {
        let due = block_hash(&self.first, self.number, &self.payload);
        if due == self.hash { Ok(()) } else { Err(SnapshotError::Damaged("a block's checksum is wrong")) }
    }
}

/// The content of the last block.
#[derive(Clone, Copy)]
pub(super) struct SnapshotTrailer {
    /// How many entities there are.
    pub(super) entities: u64,
    /// The instant of the last sweep, in milliseconds since 1970.
    pub(super) forgotten_at: u64,
}

impl SnapshotTrailer {
    pub(super) fn read(end: &[u8]) -> Result<Self, SnapshotError> {
        let (entities, forgotten_at) = end
            .split_first_chunk::<8>()
            .and_then(|(entities, rest)| Some((*entities, <[u8; 8]>::try_from(rest).ok()?)))
            .ok_or(SnapshotError::Damaged("its end can't be read"))?;
        Ok(Self { entities: u64::from_be_bytes(entities), forgotten_at: u64::from_be_bytes(forgotten_at) })
    }
}

pub(super) struct BlockReader<R: Read> {
    input: R,
    first: [u8; 32],
    number: u64,
}

impl<R: Read> BlockReader<R> {
    pub(super) fn start(mut input: R) -> Result<(Self, Header), SnapshotError> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(SnapshotError::Damaged("it does not start as a snapshot does"));
        }
        let mut format = [0; 4];
        input.read_exact(&mut format)?;
        if u32::from_be_bytes(format) != FORMAT {
            return Err(SnapshotError::Format(u32::from_be_bytes(format)));
        }
        let mut blocks = Self { input, first: [0; 32], number: 0 };
        let header = blocks.next()?;
        header.whole()?;
        blocks.first = header.hash;
        let header = postcard::from_bytes(&header.payload);
        Ok((blocks, header.map_err(|_| SnapshotError::Damaged("its header can't be read"))?))
    }

    pub(super) fn next(&mut self) -> Result<Block, SnapshotError> {
        let (mut length, mut hash) = ([0; 4], [0; 32]);
        self.input.read_exact(&mut length)?;
        self.input.read_exact(&mut hash)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_BLOCK_BYTES {
            return Err(SnapshotError::Damaged("a block is larger than any that is written"));
        }
        let mut payload = vec![0; length as usize];
        self.input.read_exact(&mut payload)?;
        let block = Block { first: self.first, number: self.number, hash, payload };
        self.number += 1;
        Ok(block)
    }

    /// Whether the file has been read to its end.
    pub(super) fn is_at_end(&mut self) -> Result<bool, SnapshotError> {
        Ok(self.input.read(&mut [0])? == 0)
    }
}
