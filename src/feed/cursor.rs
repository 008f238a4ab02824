//! Cursors: a follower's place over all origins. Opaque to the follower, and valid after a restart and on another node.
//!
//! The bytes, in base64url without padding: version 1; the ledger's 16 bytes; the number of origins, two big-endian bytes; for
//! each origin in order its 13 characters, its sequence as eight big-endian bytes and the first eight bytes of its chain
//! there; and the first four bytes of BLAKE3 over all of that, so that a mangled cursor is told from one of another log.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::domain::{LedgerId, Origin, Sequence};
use crate::event_log::{Base, ChainHash, Head};

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
const ENTRY_BYTES: usize = Origin::LEN + 8 + HASH_BYTES;
const HASH_BYTES: usize = 8;
/// The longest cursor that is read, in characters: some 1,600 origins.
pub const MAX_CURSOR_CHARS: usize = 65_536;

/// How far a follower has read one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginPosition {
    /// The last record that it has.
    pub sequence: Sequence,
    /// The first bytes of the chain there.
    pub hash: [u8; HASH_BYTES],
}

impl OriginPosition {
    /// Whether that chain is the one which the follower saw.
    pub fn agrees(&self, hash: &ChainHash) -> bool {
        hash.0.starts_with(&self.hash)
    }
}

impl From<&Head> for OriginPosition {
    fn from(head: &Head) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&head.hash.0[..HASH_BYTES]);
        Self { sequence: head.sequence, hash }
    }
}

/// A place in the ledger over all origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The ledger that it is valid for.
    pub ledger: LedgerId,
    /// How far each origin has been followed.
    pub origins: BTreeMap<Origin, OriginPosition>,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not from this server; follow from now on, from 0, or from a snapshot")]
pub struct NoCursor;

impl Cursor {
    /// The place of a reading of the log.
    pub fn at(ledger: LedgerId, base: &Base) -> Self {
        Self { ledger, origins: base.heads.iter().map(|(origin, head)| (*origin, head.into())).collect() }
    }

    /// The same place, and for each origin at least that one.
    #[must_use]
    pub fn at_least(&self, floor: &BTreeMap<Origin, OriginPosition>) -> Self {
        let mut origins = self.origins.clone();
        for (origin, reached) in floor {
            let own = origins.entry(*origin).or_insert(*reached);
            if own.sequence < reached.sequence {
                *own = *reached;
            }
        }
        Self { ledger: self.ledger, origins }
    }

    /// Whether that record is before this place.
    pub fn covers(&self, origin: &Origin, sequence: Sequence) -> bool {
        self.origins.get(origin).is_some_and(|reached| sequence <= reached.sequence)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(19 + self.origins.len() * ENTRY_BYTES + CHECK_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.ledger.0.as_bytes());
        // A ledger with more origins than two bytes can count cannot be made with this program.
        bytes.extend_from_slice(&(self.origins.len() as u16).to_be_bytes());
        for (origin, reached) in &self.origins {
            bytes.extend_from_slice(origin.as_bytes());
            bytes.extend_from_slice(&reached.sequence.0.to_be_bytes());
            bytes.extend_from_slice(&reached.hash);
        }
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK_BYTES]);
        f.write_str(&URL_SAFE_NO_PAD.encode(&bytes))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        if text.len() > MAX_CURSOR_CHARS {
            return Err(NoCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoCursor)?;
        let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(NoCursor)?;
        if !blake3::hash(content).as_bytes().starts_with(check) {
            return Err(NoCursor);
        }
        read(content).ok_or(NoCursor)
    }
}

fn read(content: &[u8]) -> Option<Cursor> {
    let (&[version], rest) = content.split_first_chunk()?;
    let (ledger, rest) = rest.split_first_chunk::<16>()?;
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    if version != VERSION || rest.len() != count * ENTRY_BYTES {
        return None;
    }
    let origins: BTreeMap<Origin, OriginPosition> = rest.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<_>>()?;
    (origins.len() == count).then_some(Cursor { ledger: LedgerId(Uuid::from_bytes(*ledger)), origins })
}

fn entry(bytes: &[u8]) -> Option<(Origin, OriginPosition)> {
    let (origin, rest) = bytes.split_first_chunk::<{ Origin::LEN }>()?;
    let (sequence, hash) = rest.split_first_chunk::<8>()?;
    let origin = std::str::from_utf8(origin).ok()?.parse().ok()?;
    let sequence = Sequence(u64::from_be_bytes(*sequence));
    Some((origin, OriginPosition { sequence, hash: hash.try_into().ok()? }))
}
