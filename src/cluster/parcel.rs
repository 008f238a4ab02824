//! Parcels: records of one origin, one after the other, up to a head that the origin signed. One text for every courier.

use serde::{Deserialize, Serialize};

use super::head::{HeadText, SignedHead};
use crate::domain::{Origin, Sequence};
use crate::event_log::MAX_RECORD_BYTES;
use crate::json;

/// The largest parcel that is read, in bytes. A commit's records are at most half of it, plus those of one command.
pub const MAX_PARCEL_BYTES: usize = 32 << 20;

/// Why a text is not a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// It is larger than any.
    #[error("larger than {MAX_PARCEL_BYTES} bytes")]
    TooLarge,
    /// Its lines are not records followed by a head.
    #[error("not records, one in a line, with a signed head in the last")]
    Malformed,
}

/// Records as they are stored, and the head that they lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The head before the first record, signed by the origin: it can prove that the origin has signed two histories.
    pub base: Option<SignedHead>,
    /// The records, without gaps.
    pub records: Vec<Box<str>>,
    /// The last record's place and chain, signed by the origin.
    pub head: SignedHead,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaseLine {
    base: HeadText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    head: HeadText,
}

impl Parcel {
    /// The origin of the records.
    pub fn origin(&self) -> Origin {
        self.head.place.origin
    }

    /// The first record's sequence.
    pub fn first(&self) -> Sequence {
        Sequence((self.head.place.sequence.0 + 1).saturating_sub(self.records.len() as u64))
    }

    /// The text that is carried: the base on a line if there is one, each record on one, and the head on the last.
    pub fn to_text(&self) -> Vec<u8> {
        let bytes = self.records.iter().map(|record| record.len() + 1).sum::<usize>();
        let mut text = Vec::with_capacity(bytes + 512);
        let mut line = |line: &[u8]| {
            text.extend_from_slice(line);
            text.push(b'\n');
        };
        if let Some(base) = self.base {
            line(&json::bytes(&BaseLine { base: base.to_text() }));
        }
        self.records.iter().for_each(|record| line(record.as_bytes()));
        line(&json::bytes(&HeadLine { head: self.head.to_text() }));
        text
    }

    /// Parses a text. Nothing in it has been verified.
    pub fn parse(text: &[u8]) -> Result<Self, ParcelError> {
        if text.len() > MAX_PARCEL_BYTES {
            return Err(ParcelError::TooLarge);
        }
        let text = std::str::from_utf8(text).map_err(|_| ParcelError::Malformed)?;
        let mut lines: Vec<&str> = text.strip_suffix('\n').ok_or(ParcelError::Malformed)?.split('\n').collect();
        let head = lines.pop().and_then(head_line).ok_or(ParcelError::Malformed)?;
        let base = lines.first().filter(|line| line.starts_with("{\"base\":")).map(|line| base_line(line));
        let records = &lines[usize::from(base.is_some())..];
        let base = base.map(|base| base.ok_or(ParcelError::Malformed)).transpose()?;
        let is_record = |line: &&str| line.starts_with('{') && line.len() <= MAX_RECORD_BYTES;
        let too_many = records.len() as u64 > head.place.sequence.0;
        let of_another = base.is_some_and(|base| base.place.origin != head.place.origin);
        if records.is_empty() || too_many || of_another || !records.iter().all(is_record) {
            return Err(ParcelError::Malformed);
        }
        Ok(Self { base, records: records.iter().map(|record| (*record).into()).collect(), head })
    }
}

impl SignedHead {
    /// The line of a parcel's text that has its head: the last one.
    pub fn last_in(parcel: &[u8]) -> Option<&str> {
        std::str::from_utf8(parcel).ok()?.strip_suffix('\n')?.rsplit('\n').next()
    }

    /// The head in such a line. Nothing in it has been verified.
    pub fn from_line(line: &str) -> Option<Self> {
        head_line(line)
    }
}

fn head_line(line: &str) -> Option<SignedHead> {
    SignedHead::from_text(&serde_json::from_str::<HeadLine>(line).ok()?.head)
}

fn base_line(line: &str) -> Option<SignedHead> {
    SignedHead::from_text(&serde_json::from_str::<BaseLine>(line).ok()?.base)
}
