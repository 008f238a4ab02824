//! Frames: the parts of a snapshot and of a stream.

use uuid::Uuid;

use super::block::{self, MAX_BLOCK_MARKS};
use super::bytes::Bytes;
use super::change::{Change, WholeChange};
use super::error::CompactError;
use super::mark::{MARK_BYTES, Mark, MarkKey};
use super::written::{put_integer, put_seconds, put_text};
use crate::domain::{LedgerId, Origin, Timestamp};

/// The version in the first frame.
pub const VERSION: u8 = 1;
/// The longest body of a frame: a full block needs some 9 MB.
pub const MAX_BODY_BYTES: usize = 10 << 20;
/// Type and length.
pub(super) const HEADER_BYTES: usize = 5;
/// A checksum behind each frame.
pub(super) const CHECK_BYTES: usize = 8;
/// A reader passes over a frame whose type it does not know, if the type is at least this.
const MAY_BE_IGNORED: u8 = 0x80;

const HEAD: u8 = 1;
const MARKS: u8 = 2;
const WHOLES: u8 = 3;
const COMPLETE: u8 = 4;
const REVOKED: u8 = 5;
const HEARTBEAT: u8 = 6;
const GAP: u8 = 7;
const END: u8 = 8;
const PAUSE: u8 = MAY_BE_IGNORED;

/// A part of a snapshot or of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of both.
    Head(Head),
    /// Marks that are kept until the same instant, in a snapshot.
    Marks(MarkBlock),
    /// Subjects and cohorts, in a snapshot.
    Wholes(Vec<WholeChange>),
    /// The last frame of a snapshot: how many marks, subjects and cohorts it has had.
    Complete { count: u64 },
    /// A revocation, in a stream.
    Revoked { cursor: String, change: Change },
    /// Nothing is missing as of `now`.
    Heartbeat {
        cursor: String,
        now: Timestamp,
        /// The age of each origin's newest record, in milliseconds.
        behind: Vec<(Origin, u64)>,
    },
    /// The cursor named a place where this log has never been: load the snapshot.
    Gap { cursor: String },
    /// The server closes the stream.
    End { reason: String, cursor: String },
    /// The next part of a snapshot takes time. Readers pass over it.
    Pause,
}

/// What the marks are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub ledger: LedgerId,
    /// The key of all marks that follow.
    pub key: MarkKey,
    pub now: Timestamp,
    /// The cursor to follow from; empty in a stream.
    pub cursor: String,
}

/// Marks that are kept until the same instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkBlock {
    /// Whether they revoke only credentials of some tenant or subject.
    pub scoped: bool,
    /// The end of their bucket: whole seconds.
    pub retain_until: Timestamp,
    /// Sorted, without any mark twice; at least one, and at most [`MAX_BLOCK_MARKS`].
    pub marks: Vec<Mark>,
}

impl Frame {
    /// Appends the frame.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(self.type_code());
        // Filled in below.
        out.extend_from_slice(&[0; HEADER_BYTES - 1]);
        self.put_body(out);
        let length = (out.len() - start - HEADER_BYTES) as u32;
        out[start + 1..start + HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        let sum = check(&out[start..]);
        out.extend_from_slice(&sum);
    }

    /// The frame's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    const fn type_code(&self) -> u8 {
        match self {
            Self::Head(_) => HEAD,
            Self::Marks(_) => MARKS,
            Self::Wholes(_) => WHOLES,
            Self::Complete { .. } => COMPLETE,
            Self::Revoked { .. } => REVOKED,
            Self::Heartbeat { .. } => HEARTBEAT,
            Self::Gap { .. } => GAP,
            Self::End { .. } => END,
            Self::Pause => PAUSE,
        }
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Head(Head { ledger, key, now, cursor }) => {
                out.push(VERSION);
                out.extend_from_slice(ledger.0.as_bytes());
                out.extend_from_slice(key.as_bytes());
                put_integer(now.as_millis(), out);
                put_text(cursor, out);
            }
            Self::Marks(MarkBlock { scoped, retain_until, marks }) => {
                out.push(u8::from(*scoped));
                put_seconds(*retain_until, out);
                put_integer(marks.len() as u64, out);
                block::encode(marks, out);
            }
            Self::Wholes(wholes) => WholeChange::put_all(wholes, out),
            Self::Complete { count } => put_integer(*count, out),
            Self::Revoked { cursor, change } => {
                put_text(cursor, out);
                put_seconds(change.retain_until, out);
                for marks in [&change.plain, &change.scoped] {
                    put_integer(marks.len() as u64, out);
                    marks.iter().for_each(|mark| out.extend_from_slice(&mark.0));
                }
                WholeChange::put_all(&change.wholes, out);
            }
            Self::Heartbeat { cursor, now, behind } => {
                put_text(cursor, out);
                put_integer(now.as_millis(), out);
                put_integer(behind.len() as u64, out);
                for (origin, millis) in behind {
                    out.extend_from_slice(origin.as_bytes());
                    put_integer(*millis, out);
                }
            }
            Self::Gap { cursor } => put_text(cursor, out),
            Self::End { reason, cursor } => {
                put_text(reason, out);
                put_text(cursor, out);
            }
            Self::Pause => {}
        }
    }

    /// Reads the body of a frame; nothing if a reader that does not know its type may ignore it.
    pub(super) fn read(type_code: u8, body: &[u8]) -> Result<Option<Self>, CompactError> {
        let mut bytes = Bytes(body);
        let text = |bytes: &mut Bytes<'_>| bytes.text().map(str::to_owned);
        let frame = match type_code {
            HEAD => Self::Head(Head::read(&mut bytes)?),
            MARKS => Self::Marks(MarkBlock::read(&mut bytes)?),
            WHOLES => Self::Wholes(WholeChange::read_all(&mut bytes)?),
            COMPLETE => Self::Complete { count: bytes.integer()? },
            REVOKED => {
                let cursor = text(&mut bytes)?;
                let retain_until = bytes.seconds()?;
                let (plain, scoped) = (read_marks(&mut bytes)?, read_marks(&mut bytes)?);
                let wholes = WholeChange::read_all(&mut bytes)?;
                Self::Revoked { cursor, change: Change { retain_until, plain, scoped, wholes } }
            }
            HEARTBEAT => {
                let (cursor, now) = (text(&mut bytes)?, bytes.millis()?);
                let entries = bytes.count(Origin::LEN + 1)?;
                let entry = |_| Ok((bytes.origin()?, bytes.integer()?));
                let behind = (0..entries).map(entry).collect::<Result<_, CompactError>>()?;
                Self::Heartbeat { cursor, now, behind }
            }
            GAP => Self::Gap { cursor: text(&mut bytes)? },
            END => Self::End { reason: text(&mut bytes)?, cursor: text(&mut bytes)? },
            MAY_BE_IGNORED.. => return Ok(None),
            _ => return Err(CompactError::UnknownType(type_code)),
        };
        bytes.end()?;
        Ok(Some(frame))
    }
}

impl Head {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, CompactError> {
        let version = bytes.byte()?;
        if version != VERSION {
            return Err(CompactError::UnknownVersion(version));
        }
        let ledger = LedgerId(Uuid::from_bytes(bytes.array()?));
        let key = MarkKey::from_bytes(bytes.array()?);
        Ok(Self { ledger, key, now: bytes.millis()?, cursor: bytes.text()?.to_owned() })
    }
}

impl MarkBlock {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, CompactError> {
        let scoped = match bytes.byte()? {
            0 => false,
            1 => true,
            _ => return Err(CompactError::Damaged("a flag that this release does not know")),
        };
        let retain_until = bytes.seconds()?;
        let count = usize::try_from(bytes.integer()?).unwrap_or(MAX_BLOCK_MARKS + 1);
        let marks = block::decode(std::mem::take(&mut bytes.0), count)?;
        Ok(Self { scoped, retain_until, marks })
    }
}

fn read_marks(bytes: &mut Bytes<'_>) -> Result<Vec<Mark>, CompactError> {
    let count = bytes.count(MARK_BYTES)?;
    (0..count).map(|_| bytes.mark()).collect()
}

/// The checksum of a frame's type, length and body.
pub(super) fn check(content: &[u8]) -> [u8; CHECK_BYTES] {
    let mut sum = [0; CHECK_BYTES];
    sum.copy_from_slice(&blake3::hash(content).as_bytes()[..CHECK_BYTES]);
    sum
}
