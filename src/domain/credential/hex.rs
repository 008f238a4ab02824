//! Lower-case hexadecimal, the form of every digest in records and bodies.

use std::fmt;

use crate::domain::ids::Malformed;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes the digits without allocating.
pub fn write(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    // In pieces of 32 bytes: the writer escapes and copies each piece on its own.
    for piece in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(piece) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&digits[..piece.len() * 2]).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

/// The digit of that half of a byte. Computed, because the compiler then makes sixteen at once, which it can't with a table.
const fn digit(half: u8) -> u8 {
    half + b'0' + if half > 9 { b'a' - b'9' - 1 } else { 0 }
}

/// Appends the digits to a buffer.
pub fn push(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// The digits as text.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    // Writing to a String can't fail.
    let _ = write(bytes, &mut text);
    text
}

/// Reads exactly `N` bytes from lower-case digits.
pub fn parse<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    const FORM: Malformed = Malformed("lower-case hexadecimal digits of the right number");
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(FORM);
    }
    let (mut bytes, mut seen) = ([0; N], 0);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        // Checked once, after the loop: every audit reads millions of digests.
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    if seen == NO_DIGIT { Err(FORM) } else { Ok(bytes) }
}

/// The entry of [`VALUES`] for a byte that is not a digit: every bit, so that it shows in the result of any OR.
const NO_DIGIT: u8 = 0xff;

/// The value of each byte as a digit.
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([NO_DIGIT; 256], 0);
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
