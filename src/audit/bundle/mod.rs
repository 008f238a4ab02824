//! Bundles: a range of a log in one file, with the proof that it belongs to the signed tree. `schema/bundle.md` defines
//! the bytes.
//!
//! The first line has what comes before the range and the last line what comes after it, because one reading of the log
//! learns them in that order; so writing and reading take constant memory and one pass.

mod read;
mod verify;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use read::{BundleContents, BundleError, BundleReader};
pub use verify::verify;
pub use write::{BundleRange, ExportError, Exported, export};

use crate::domain::{RecordId, Sequence};
use crate::event_log::ChainHash;
use crate::tlog::TreeHash;

/// The format that the first line names.
const FORMAT: &str = "authledger bundle";
/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;
/// The longest line: the first of a bundle with a thousand origins. Records have 65,535 bytes at most.
const MAX_LINE_BYTES: usize = 8 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleHeader {
    format: String,
    version: u64,
    ledger: Option<String>,
    from: u64,
    to: u64,
    origins: BTreeMap<String, BundleOriginStart>,
}

/// An origin where the range begins.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleOriginStart {
    sequence: u64,
    hash: String,
    left: Vec<String>,
    checkpoint: Option<String>,
}

/// Every so many positions a line has the chain up to there, so that a change is found near its place.
const HASH_EVERY: u64 = 256;

/// A line between the first and the last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleLine<'a> {
    position: u64,
    stored_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleTrailer {
    records: u64,
    origins: BTreeMap<String, After>,
    blake3: String,
}

/// An origin where the range ends.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    sequence: u64,
    hash: String,
    right: Vec<String>,
}

fn texts(hashes: impl IntoIterator<Item = TreeHash>) -> Vec<String> {
    hashes.into_iter().map(|hash| hash.to_string()).collect()
}

fn hashes(texts: &[String]) -> Option<Vec<TreeHash>> {
    texts.iter().map(|text| TreeHash::from_base64(text)).collect()
}

fn chain_hash(text: &str) -> Option<ChainHash> {
    let digit = |at: usize| text.get(at..at + 1).filter(|digit| digit.bytes().all(|byte| !byte.is_ascii_uppercase()));
    if text.len() != 64 || (0..64).any(|at| digit(at).is_none_or(|digit| u8::from_str_radix(digit, 16).is_err())) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect();
    ChainHash::from_slice(&bytes?)
}

/// The place in a record, even if its type is of a later version.
pub(super) fn place_of(record: &[u8]) -> Result<RecordId, String> {
    #[derive(Deserialize)]
    struct Placed<'a> {
        origin: &'a str,
        sequence: u64,
    }
    let placed: Placed<'_> = serde_json::from_slice(record).map_err(|error| error.to_string())?;
    let origin = placed.origin.parse().map_err(|error| format!("{error}"))?;
    Ok(RecordId { origin, sequence: Sequence(placed.sequence) })
}
