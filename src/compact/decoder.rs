//! Reads frames from bytes as they come.

use super::error::CompactError;
use super::frame::{CHECK_BYTES, Frame, HEADER_BYTES, MAX_BODY_BYTES, check};

/// Reads frames. It holds at most one of them, and the bytes that were pushed last.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How far the buffer has been read.
    at: usize,
}

impl Decoder {
    /// Takes the next bytes. Read all frames before the next bytes are pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there. After an error there is no way on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CompactError> {
        loop {
            let rest = &self.buffer[self.at..];
            let Some((&[type_code, ref length @ ..], _)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                return Ok(None);
            };
            let length = u32::from_le_bytes(*length) as usize;
            if length > MAX_BODY_BYTES {
                return Err(CompactError::TooLong(length));
            }
            let content = HEADER_BYTES + length;
            let Some(frame) = rest.get(..content + CHECK_BYTES) else { return Ok(None) };
            let (content, sum) = frame.split_at(content);
            if check(content) != *sum {
                return Err(CompactError::Damaged("a frame with another checksum"));
            }
            self.at += frame.len();
            // A frame that may be ignored is passed over.
            if let Some(frame) = Frame::read(type_code, &content[HEADER_BYTES..])? {
                return Ok(Some(frame));
            }
        }
    }

    /// Whether no part of a frame is left.
    pub fn is_empty(&self) -> bool {
        self.at == self.buffer.len()
    }
}
