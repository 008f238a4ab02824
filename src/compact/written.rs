//! Integers, texts and instants, as frames and hashed names have them.

use crate::domain::Timestamp;

/// Appends an integer: seven bits a byte, the lowest first; every byte but the last has its top bit set.
pub(super) fn put_integer(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the length of a text, and the text.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_integer(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends an instant in whole seconds, rounded up.
pub(super) fn put_seconds(instant: Timestamp, out: &mut Vec<u8>) {
    put_integer(instant.as_millis().div_ceil(1_000), out);
}
