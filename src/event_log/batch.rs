//! The records of one commit, and what decides them.

use std::time::Duration;

use super::chain::{Chain, ChainHash};
use super::reader::{Base, Head};
use crate::domain::{Origin, Position, RecordId, Sequence, Timestamp};

/// The most record bytes that a batch collects before it commits.
pub(super) const MAX_BATCH_BYTES: usize = 8 << 20;

/// What commands decide with, and what hooks in after a commit. What a command appends to its batch becomes durable with the batch, or
/// not at all.
pub trait Machine: Send + 'static {
    /// The batch is durable: fold it, publish it. Its answers have not been sent yet.
    fn committed(&mut self, entries: Vec<LogEntry>, took: Duration);

    /// Nothing of the batch was written, or will be: drop its decisions. No caller has been told of them.
    fn refused(&mut self);

    /// Time for housekeeping, between batches and in quiet moments.
    fn idle(&mut self);
}

/// A record on its way into the log, or in it.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its place in this file.
    pub position: Position,
    /// Its origin and sequence.
    pub place: RecordId,
    /// Its bytes.
    pub record: Box<str>,
    /// The chain up to and with it.
    pub hash: ChainHash,
}

/// Why another node's record is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// A record before it is missing: this sequence is due.
    #[error("sequence {0} is due")]
    Gap(Sequence),
    /// The record is in the log already, with the same chain.
    #[error("it is here already")]
    Duplicate,
    /// The record does not continue the chain that this node holds.
    #[error("it does not continue the chain that is held here")]
    Fork,
    /// Only the writer itself continues its own origin.
    #[error("it claims to be of this node's own origin")]
    Own,
}

/// The records that the commands of one commit append.
pub struct Batch {
    pub(super) origin: Origin,
    pub(super) now: Timestamp,
    pub(super) base: Base,
    pub(super) entries: Vec<LogEntry>,
    pub(super) bytes: usize,
    pub(super) chain: Chain,
}

impl Batch {
    /// The `recorded_at` of this node's records in this batch.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// This node's origin.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The place that this node's next record gets.
    pub fn next_place(&self) -> RecordId {
        RecordId { origin: self.origin, sequence: self.head(self.origin).sequence.next() }
    }

    /// Appends this node's next record; it must name [`Batch::next_place`] and [`Batch::now`].
    pub fn append(&mut self, record: String) -> Position {
        let place = self.next_place();
        let hash = self.chain.link(&self.head(place.origin).hash, record.as_bytes());
        self.push(place, record, hash)
    }

    /// Appends another node's record, if it is the next of its origin and `hash` is the chain with it.
    pub fn append_foreign(
        &mut self,
        place: RecordId,
        record: String,
        hash: ChainHash,
    ) -> Result<Position, ForeignError> {
        if place.origin == self.origin {
            return Err(ForeignError::Own);
        }
        let head = self.head(place.origin);
        if place.sequence <= head.sequence {
            let same = place.sequence == head.sequence && hash == head.hash;
            return Err(if same || place.sequence < head.sequence {
                ForeignError::Duplicate
            } else {
                ForeignError::Fork
            });
        }
        if place.sequence != head.sequence.next() {
            return Err(ForeignError::Gap(head.sequence.next()));
        }
        if self.chain.link(&head.hash, record.as_bytes()) != hash {
            return Err(ForeignError::Fork);
        }
        Ok(self.push(place, record, hash))
    }

    fn head(&self, origin: Origin) -> Head {
        self.base.heads.get(&origin).copied().unwrap_or_default()
    }

    fn push(&mut self, place: RecordId, record: String, hash: ChainHash) -> Position {
        self.base.position = self.base.position.next();
        self.base.heads.insert(place.origin, Head { sequence: place.sequence, hash });
        self.bytes += record.len();
        let position = self.base.position;
        self.entries.push(LogEntry { position, place, record: record.into(), hash });
        position
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BATCH_BYTES
    }
}
