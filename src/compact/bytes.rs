//! Reads integers, texts and marks from the bytes of a frame.

use super::error::CompactError;
use super::mark::{MARK_BYTES, Mark};
use crate::domain::{Origin, Timestamp};

/// The rest of a body.
pub(super) struct Bytes<'a>(pub &'a [u8]);

const CUT: CompactError = CompactError::Damaged("a body that is cut off");

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], CompactError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CompactError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn byte(&mut self) -> Result<u8, CompactError> {
        self.array().map(|[byte]| byte)
    }

    /// An integer in its one spelling.
    pub fn integer(&mut self) -> Result<u64, CompactError> {
        const FORM: CompactError = CompactError::Damaged("an integer with another spelling");
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || byte == 0 && shift > 0 {
                return Err(FORM);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FORM)
    }

    /// A count of parts, each of at least that many bytes.
    pub fn count(&mut self, part_bytes: usize) -> Result<usize, CompactError> {
        let count = usize::try_from(self.integer()?).map_err(|_| CUT)?;
        if count > self.0.len() / part_bytes { Err(CUT) } else { Ok(count) }
    }

    pub fn text(&mut self) -> Result<&'a str, CompactError> {
        let length = self.count(1)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CompactError::Damaged("a text that is not UTF-8"))
    }

    /// An instant in milliseconds.
    pub fn millis(&mut self) -> Result<Timestamp, CompactError> {
        Timestamp::from_millis(self.integer()?).ok_or(CompactError::Damaged("an instant out of range"))
    }

    /// An instant in whole seconds. The last one there is has a part of a second, and is written as the next second.
    pub fn seconds(&mut self) -> Result<Timestamp, CompactError> {
        let seconds = self.integer()?;
        if seconds > Timestamp::MAX.as_millis().div_ceil(1_000) {
            return Err(CompactError::Damaged("an instant out of range"));
        }
        Ok(Timestamp::from_millis(seconds * 1_000).unwrap_or(Timestamp::MAX))
    }

    pub fn mark(&mut self) -> Result<Mark, CompactError> {
        self.array::<MARK_BYTES>().map(Mark)
    }

    pub fn origin(&mut self) -> Result<Origin, CompactError> {
        let text = self.take(Origin::LEN)?;
        let origin = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        origin.ok_or(CompactError::Damaged("a name that is not an origin's"))
    }

    pub fn end(&self) -> Result<(), CompactError> {
        if self.0.is_empty() { Ok(()) } else { Err(CompactError::Damaged("a body with more than its content")) }
    }
}
