//! Compact frames as they come, into what is held.

use std::sync::Arc;

use super::{Held, HeldKey, TooManyKeys};
use crate::compact::{Change, CompactError, Decoder, Frame};
use crate::domain::{LedgerId, Origin, Timestamp};

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The snapshot or stream has begun.
    Head { ledger: LedgerId, cursor: String, now: Timestamp },
    /// A part of a snapshot is applied.
    Part,
    /// A snapshot is complete: follow from the cursor of its head.
    Complete,
    /// A revocation of the stream is applied: keep the cursor.
    Revoked { cursor: String, change: Change },
    /// Nothing is missing as of `now`.
    Heartbeat { cursor: String, now: Timestamp, behind: Vec<(Origin, u64)> },
    /// Load the snapshot.
    Gap { cursor: String },
    /// The server closes the stream.
    End { reason: String, cursor: String },
}

/// Why what is heard can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    Compact(#[from] CompactError),
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
    /// The first frame is not a head, or a head is not the first frame.
    #[error("the compact form does not begin with its head")]
    NoHead,
    /// Frames are missing in a snapshot.
    #[error("the snapshot has {found} revocations where it should have {count}")]
    OtherCount { count: u64, found: u64 },
    /// A snapshot goes on after its last frame.
    #[error("the snapshot goes on after its end")]
    AfterTheEnd,
}

/// A snapshot or a stream that is being read. What was applied stays in force, also if the rest never comes.
#[derive(Debug)]
pub struct CompactFeed {
    held: Arc<Held>,
    decoder: Decoder,
    key: Option<HeldKey>,
    /// The marks, subjects and cohorts of a snapshot so far.
    found: u64,
    complete: bool,
}

impl CompactFeed {
    /// A feed that has not begun.
    pub fn new(held: Arc<Held>) -> Self {
        Self { held, decoder: Decoder::default(), key: None, found: 0, complete: false }
    }

    /// Takes the next bytes. Hear all of them before the next ones are pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// Applies the next frame, if all of it is there. After an error there is no way on.
    pub fn hear(&mut self) -> Result<Option<Heard>, FeedError> {
        if self.complete {
            return if self.decoder.is_empty() { Ok(None) } else { Err(FeedError::AfterTheEnd) };
        }
        let Some(frame) = self.decoder.next_frame()? else { return Ok(None) };
        let heard = match (frame, self.key.clone()) {
            (Frame::Head(head), None) => {
                self.held.hear(head.now);
                self.key = Some(self.held.key(&head.key)?);
                Heard::Head { ledger: head.ledger, cursor: head.cursor, now: head.now }
            }
            (Frame::Head(_), Some(_)) | (_, None) => return Err(FeedError::NoHead),
            (Frame::Marks(block), Some(key)) => {
                self.held.apply_block(&key, &block);
                self.found += block.marks.len() as u64;
                Heard::Part
            }
            (Frame::Wholes(wholes), Some(key)) => {
                self.held.apply_wholes(&key, &wholes);
                self.found += wholes.len() as u64;
                Heard::Part
            }
            (Frame::Complete { count }, Some(_)) if count == self.found => {
                self.complete = true;
                Heard::Complete
            }
            (Frame::Complete { count }, Some(_)) => {
                return Err(FeedError::OtherCount { count, found: self.found });
            }
            (Frame::Revoked { cursor, change }, Some(key)) => {
                self.held.apply(&key, &change);
                Heard::Revoked { cursor, change }
            }
            (Frame::Heartbeat { cursor, now, behind }, Some(_)) => {
                self.held.hear(now);
                Heard::Heartbeat { cursor, now, behind }
            }
            (Frame::Gap { cursor }, Some(_)) => Heard::Gap { cursor },
            (Frame::End { reason, cursor }, Some(_)) => Heard::End { reason, cursor },
            (Frame::Pause, Some(_)) => Heard::Part,
        };
        Ok(Some(heard))
    }
}
