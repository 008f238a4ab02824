//! Revocations for machines: the bytes, what a follower makes of them, and the server that sends them.

mod bytes;
mod served;
mod vectors;
mod verdicts;

use std::sync::Arc;

use authledger::compact::{Change, Frame, Head, MarkKey, Sorter};
use authledger::domain::{LedgerId, Timestamp};
use authledger::follower::held::{CompactFeed, FeedError, Heard, Held};

/// When the tests take place: 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000_000;

pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub fn key(byte: u8) -> MarkKey {
    MarkKey::from_bytes([byte; 32])
}

pub fn head(key: &MarkKey, cursor: &str) -> Frame {
    let ledger = LedgerId("6f1f2a6e-3f5b-4c1d-9a57-0d9e6c2b8a11".parse().unwrap());
    Frame::Head(Head { ledger, key: key.clone(), now: at(NOW), cursor: cursor.to_owned() })
}

/// The bytes of a snapshot that gathers so many marks at most.
pub fn snapshot(key: &MarkKey, changes: impl IntoIterator<Item = Change>, room: usize) -> Vec<u8> {
    let mut bytes = head(key, "c").to_bytes();
    let mut sorter = Sorter::new(at(NOW));
    let mut sort = |sorter: &mut Sorter, room| {
        while let Some(unsorted) = sorter.take(room) {
            let frame = unsorted.sort();
            sorter.given_out(&frame);
            bytes.extend_from_slice(&frame.bytes);
        }
    };
    for change in changes {
        sorter.add(change);
        sort(&mut sorter, room);
    }
    sort(&mut sorter, 0);
    sorter.complete().put(&mut bytes);
    bytes
}

/// The bytes of a stream.
pub fn stream(key: &MarkKey, changes: impl IntoIterator<Item = Change>) -> Vec<u8> {
    let mut bytes = head(key, "").to_bytes();
    for (number, change) in changes.into_iter().enumerate() {
        Frame::Revoked { cursor: number.to_string(), change }.put(&mut bytes);
    }
    bytes
}

/// Reads bytes in pieces of that length.
pub fn hear(held: &Arc<Held>, bytes: &[u8], piece: usize) -> Result<Vec<Heard>, FeedError> {
    let mut feed = CompactFeed::new(held.clone());
    let mut heard = Vec::new();
    for piece in bytes.chunks(piece) {
        feed.push(piece);
        while let Some(one) = feed.hear()? {
            heard.push(one);
        }
    }
    Ok(heard)
}
