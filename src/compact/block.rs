//! Blocks: sorted marks as the gaps between them, in Golomb's code with Rice's parameter.
//!
//! Marks are as good as random, so the gaps of `n` of them are geometrically distributed with a mean of 2^88 / n. With a
//! divisor of the power of two next to that mean, a gap takes about a tenth of a bit more than it must.

use super::error::CompactError;
use super::mark::{MARK_BYTES, Mark};

/// The most marks in a block. Larger ones would save half a bit a mark for each doubling.
pub const MAX_BLOCK_MARKS: usize = 1 << 20;
/// Bits of a mark.
const MARK_BITS: u32 = 8 * MARK_BYTES as u32;
/// The most bits that one step writes or reads.
const STEP_BITS: u32 = 56;

/// The low bits of a gap that are written as they are, for so many marks.
const fn low_bits(count: usize) -> u32 {
    MARK_BITS - 1 - count.ilog2()
}

fn number(mark: &Mark) -> u128 {
    let mut bytes = [0; 16];
    bytes[16 - MARK_BYTES..].copy_from_slice(&mark.0);
    u128::from_be_bytes(bytes)
}

fn mark(number: u128) -> Mark {
    let mut mark = [0; MARK_BYTES];
    mark.copy_from_slice(&number.to_be_bytes()[16 - MARK_BYTES..]);
    Mark(mark)
}

/// Appends the gaps of marks that are sorted and differ. There is at least one, and at most [`MAX_BLOCK_MARKS`].
pub(super) fn encode(marks: &[Mark], out: &mut Vec<u8>) {
    debug_assert!(!marks.is_empty() && marks.len() <= MAX_BLOCK_MARKS && marks.is_sorted());
    let low_bits = low_bits(marks.len());
    out.reserve(marks.len() * (low_bits as usize + 3) / 8 + 16);
    let mut writer = BitWriter { out, last: 0, bits: 0 };
    let mut before = 0;
    for one in marks {
        let number = number(one);
        let gap = number - before;
        before = number;
        writer.unary((gap >> low_bits) as u64);
        if low_bits > STEP_BITS {
            writer.put((gap >> STEP_BITS) as u64 & ones(low_bits - STEP_BITS), low_bits - STEP_BITS);
        }
        writer.put(gap as u64 & ones(low_bits.min(STEP_BITS)), low_bits.min(STEP_BITS));
    }
    writer.close();
}

/// Reads so many marks, which take all of the bytes. What it allocates is at most a quarter more than them.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<Mark>, CompactError> {
    if count == 0 || count > MAX_BLOCK_MARKS {
        return Err(CompactError::Damaged("a block with no mark, or too many"));
    }
    let low_bits = low_bits(count);
    if bytes.len() < count.saturating_mul(low_bits as usize + 1).div_ceil(8) {
        return Err(CompactError::Damaged("a block that is shorter than its marks"));
    }
    let mut reader = BitReader { bytes, at: 0 };
    let mut marks = Vec::with_capacity(count);
    let mut before = 0_u128;
    for index in 0..count {
        let high = reader.unary()?;
        let mut low = 0;
        if low_bits > STEP_BITS {
            low = u128::from(reader.take(low_bits - STEP_BITS)?) << STEP_BITS;
        }
        low |= u128::from(reader.take(low_bits.min(STEP_BITS))?);
        // The quotient has at most 2 × MAX_BLOCK_MARKS zeros, else the sum exceeds a mark.
        let gap = u128::from(high) << low_bits | low;
        before += gap;
        if index > 0 && gap == 0 || before >> MARK_BITS != 0 {
            return Err(CompactError::Damaged("marks that are not in order"));
        }
        marks.push(mark(before));
    }
    reader.end()?;
    Ok(marks)
}

const fn ones(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Writes bits, the highest of a byte first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The bits that do not fill a byte yet, in the lowest places.
    last: u64,
    bits: u32,
}

impl BitWriter<'_> {
    /// At most [`STEP_BITS`] of them.
    fn put(&mut self, value: u64, bits: u32) {
        self.last = self.last << bits | value;
        self.bits += bits;
        while self.bits >= 8 {
            self.bits -= 8;
            self.out.push((self.last >> self.bits) as u8);
        }
        self.last &= ones(self.bits);
    }

    /// So many zeros, and a one.
    fn unary(&mut self, mut zeros: u64) {
        while zeros >= u64::from(STEP_BITS) {
            self.put(0, STEP_BITS);
            zeros -= u64::from(STEP_BITS);
        }
        self.put(1, zeros as u32 + 1);
    }

    fn close(mut self) {
        if self.bits > 0 {
            self.put(0, 8 - self.bits);
        }
    }
}

/// Reads bits, the highest of a byte first.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl BitReader<'_> {
    /// The next bits, at least [`STEP_BITS`] of them, from the highest place on; zeros behind the end.
    fn peek(&self) -> u64 {
        let from = self.at / 8;
        let word = match self.bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_be_bytes(*word),
            None => {
                let rest = self.bytes.get(from..).unwrap_or_default();
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(word)
            }
        };
        word << (self.at % 8)
    }

    fn take(&mut self, bits: u32) -> Result<u64, CompactError> {
        let value = self.peek() >> (64 - bits);
        self.skip(bits)?;
        Ok(value)
    }

    /// The number of zeros before the next one.
    fn unary(&mut self) -> Result<u64, CompactError> {
        let mut zeros = 0;
        loop {
            let found = self.peek().leading_zeros();
            if found < STEP_BITS {
                self.skip(found + 1)?;
                return Ok(zeros + u64::from(found));
            }
            self.skip(STEP_BITS)?;
            zeros += u64::from(STEP_BITS);
        }
    }

    fn skip(&mut self, bits: u32) -> Result<(), CompactError> {
        self.at += bits as usize;
        if self.at > self.bytes.len() * 8 { Err(CompactError::Damaged("a block that is cut off")) } else { Ok(()) }
    }

    /// Nothing but zeros is left, and less than a byte of them.
    fn end(&self) -> Result<(), CompactError> {
        let left = self.bytes.len() * 8 - self.at;
        if left >= 8 || self.peek() != 0 {
            return Err(CompactError::Damaged("a block with more than its marks"));
        }
        Ok(())
    }
}
