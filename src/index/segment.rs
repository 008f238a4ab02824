//! Segments: sorted, immutable files, each with the entries of one range of positions.
//!
//! A head, then blocks of 4,096 bytes: 340 entries of 12 bytes (key, and position counted from the range's first) and a
//! checksum of 16 bytes, which covers the head's too, so that no block can stand in another's place or file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::damage::{IndexError, SegmentProblem, Unusable};
use super::key::IndexKey;
use super::range::PositionRange;
use crate::domain::{Origin, Position, Sequence, hex};
use crate::event_log::{Base, ChainHash, Head};
use crate::json;

const MAGIC: &[u8; 16] = b"authledger index";
const FORMAT: u64 = 1;
const HEAD_CONTEXT: &str = "authledger 2026 index head v1";
const BLOCK_CONTEXT: &str = "authledger 2026 index block v1";
const BLOCK_BYTES: usize = 4_096;
const ENTRY_BYTES: usize = 12;
/// Entries in a block that is full.
pub(super) const BLOCK_ENTRIES: usize = 340;
const CHECKED_BYTES: usize = BLOCK_ENTRIES * ENTRY_BYTES;
/// The largest head: it names some 10,000 origins.
const MAX_HEAD_BYTES: u64 = 1 << 20;
/// The suffix of a file until it is complete and synced.
pub(super) const UNFINISHED: &str = "unfinished";
/// The suffix of the index's files.
pub(super) const SUFFIX: &str = "segment";

/// A key, and a position at which the log has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentEntry {
    pub key: IndexKey,
    pub position: Position,
}

/// The contents of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentContents {
    /// The positions that it covers.
    pub(super) range: PositionRange,
    /// How many entries it has.
    pub(super) entries: u64,
    /// The head of the log at the range's last position.
    pub(super) base: Base,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadData {
    format: u64,
    first: u64,
    last: u64,
    entries: u64,
    heads: Vec<(String, u64, String)>,
}

impl From<&SegmentContents> for HeadData {
    fn from(about: &SegmentContents) -> Self {
        let head = |(origin, head): (&Origin, &Head)| (origin.to_string(), head.sequence.0, head.hash.to_string());
        Self {
            format: FORMAT,
            first: about.range.first,
            last: about.range.last,
            entries: about.entries,
            heads: about.base.heads.iter().map(head).collect(),
        }
    }
}

impl HeadData {
    fn into_contents(self) -> Option<SegmentContents> {
        let head = |(origin, sequence, hash): (String, u64, String)| {
            let hash = ChainHash(hex::parse(&hash).ok()?);
            Some((origin.parse().ok()?, Head { sequence: Sequence(sequence), hash }))
        };
        let heads = self.heads.into_iter().map(head).collect::<Option<BTreeMap<_, _>>>()?;
        let range = PositionRange { first: self.first, last: self.last };
        let base = Base { position: Position(self.last), heads };
        (range.first >= 1 && range.first <= range.last).then_some(SegmentContents {
            range,
            entries: self.entries,
            base,
        })
    }
}

/// The head's bytes, and the checksum at their end.
fn head_bytes(about: &SegmentContents) -> (Vec<u8>, [u8; 32]) {
    let text = json::bytes(&HeadData::from(about));
    let length = (MAGIC.len() + 4 + text.len() + 32).next_multiple_of(BLOCK_BYTES);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&text);
    bytes.resize(length - 32, 0);
    let seal = blake3::derive_key(HEAD_CONTEXT, &bytes);
    bytes.extend_from_slice(&seal);
    (bytes, seal)
}

/// Computes the checksums of one file's blocks.
struct Seals(blake3::Hasher);

impl Seals {
    fn new(head_seal: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(BLOCK_CONTEXT);
        hasher.update(head_seal);
        Self(hasher)
    }

    fn of(&self, number: u64, bytes: &[u8]) -> [u8; 16] {
        let mut seal = [0; 16];
        let hash = self.0.clone().update(&number.to_be_bytes()).update(bytes).finalize();
        seal.copy_from_slice(&hash.as_bytes()[..16]);
        seal
    }
}

/// The name of a segment of that range.
pub(super) fn file_name(range: PositionRange) -> String {
    format!("{:016}-{:016}.{SUFFIX}", range.first, range.last)
}

/// The range in a name.
pub(super) fn range_of(name: &str) -> Option<PositionRange> {
    let (first, last) = name.strip_suffix(SUFFIX)?.strip_suffix('.')?.split_once('-')?;
    let range = PositionRange { first: first.parse().ok()?, last: last.parse().ok()? };
    (file_name(range) == name && range.first >= 1 && range.first <= range.last).then_some(range)
}

/// Writes a segment under another name, syncs it, and gives it its own. `entries` come sorted, as many as `about` says.
pub(super) fn write(
    directory: &Path,
    about: &SegmentContents,
    entries: impl Iterator<Item = Result<SegmentEntry, IndexError>>,
) -> Result<PathBuf, IndexError> {
    let path = directory.join(file_name(about.range));
    let unfinished = path.with_extension(UNFINISHED);
    let failed = || IndexError::io("write", &unfinished);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut out = BufWriter::with_capacity(1 << 18, file.map_err(failed())?);
    let (head, seal) = head_bytes(about);
    out.write_all(&head).map_err(failed())?;
    let mut blocks = Blocks { seals: Seals::new(&seal), number: 0, bytes: Vec::with_capacity(BLOCK_BYTES) };
    for entry in entries {
        let SegmentEntry { key, position } = entry?;
        blocks.bytes.extend_from_slice(&key.0.to_be_bytes());
        // A range is no longer than 2^32 positions: `MAX_RANGE` in build.rs.
        blocks.bytes.extend_from_slice(&((position.0 - about.range.first) as u32).to_be_bytes());
        if blocks.bytes.len() == CHECKED_BYTES {
            blocks.write(&mut out).map_err(failed())?;
        }
    }
    if !blocks.bytes.is_empty() {
        blocks.write(&mut out).map_err(failed())?;
    }
    let file = out.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.sync_all().map_err(failed())?;
    fs::rename(&unfinished, &path).map_err(failed())?;
    sync_directory(directory)?;
    Ok(path)
}

pub(super) fn sync_directory(directory: &Path) -> Result<(), IndexError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(IndexError::io("sync", directory))
}

struct Blocks {
    seals: Seals,
    number: u64,
    bytes: Vec<u8>,
}

impl Blocks {
    fn write(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        self.bytes.resize(CHECKED_BYTES, 0);
        let seal = self.seals.of(self.number, &self.bytes);
        self.bytes.extend_from_slice(&seal);
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        self.number += 1;
        Ok(())
    }
}

/// A segment that is open for reading. It stays readable when it is merged away.
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    about: SegmentContents,
    seals: Seals,
    body_at: u64,
}

impl Segment {
    /// Opens the file and checks its head and its length. The blocks are checked when they are read.
    pub(super) fn open(path: &Path) -> Result<Self, Unusable> {
        Self::read(path).map_err(|problem| Unusable::new(path, problem))
    }

    fn read(path: &Path) -> Result<Self, SegmentProblem> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut start = [0; 20];
        file.read_exact_at(&mut start, 0).map_err(|_| SegmentProblem::Head)?;
        let text_bytes = u32::from_be_bytes([start[16], start[17], start[18], start[19]]);
        let body_at = (MAGIC.len() as u64 + 4 + u64::from(text_bytes) + 32).next_multiple_of(BLOCK_BYTES as u64);
        if start[..16] != MAGIC[..] || body_at > MAX_HEAD_BYTES || body_at > length {
            return Err(SegmentProblem::Head);
        }
        let mut head = vec![0; body_at as usize];
        file.read_exact_at(&mut head, 0)?;
        let (covered, seal) = head.split_at(head.len() - 32);
        if blake3::derive_key(HEAD_CONTEXT, covered) != seal {
            return Err(SegmentProblem::Head);
        }
        let about = read_head(&covered[20..20 + text_bytes as usize])?;
        let named = path.file_name().and_then(|name| name.to_str()).and_then(range_of);
        if named != Some(about.range) {
            return Err(SegmentProblem::Name);
        }
        let blocks = about.entries.div_ceil(BLOCK_ENTRIES as u64);
        if Some(length) != blocks.checked_mul(BLOCK_BYTES as u64).and_then(|body| body.checked_add(body_at)) {
            return Err(SegmentProblem::Length);
        }
        let mut head_seal = [0; 32];
        head_seal.copy_from_slice(seal);
        Ok(Self { path: path.to_owned(), file, about, seals: Seals::new(&head_seal), body_at })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn about(&self) -> &SegmentContents {
        &self.about
    }

    pub(super) fn range(&self) -> PositionRange {
        self.about.range
    }

    /// The positions of that key among those within `within`, in order.
    pub(super) fn positions(
        &self,
        key: IndexKey,
        within: PositionRange,
        found: &mut Vec<Position>,
    ) -> Result<(), Unusable> {
        for number in self.first_block(key)?..self.blocks() {
            for entry in self.block(number)? {
                if entry.key > key {
                    return Ok(());
                }
                if entry.key == key && within.contains(entry.position) {
                    found.push(entry.position);
                }
            }
        }
        Ok(())
    }

    /// All entries, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<SegmentEntry, Unusable>> + '_ {
        (0..self.blocks()).flat_map(|number| match self.block(number) {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    fn blocks(&self) -> u64 {
        self.about.entries.div_ceil(BLOCK_ENTRIES as u64)
    }

    /// The first block that can hold the key. Keys are uniform, so it is near the key's proportional place; from there
    /// the steps double, and then halve.
    fn first_block(&self, key: IndexKey) -> Result<u64, Unusable> {
        let (mut low, mut high) = (0, self.blocks());
        let mut probe = ((u128::from(key.0) * u128::from(high)) >> 64) as u64;
        let mut step = 1;
        while low < high {
            let ends_before = self.block(probe)?.last().is_none_or(|last| last.key < key);
            if ends_before {
                low = probe + 1
            } else {
                high = probe
            }
            probe = if ends_before { probe + step } else { probe.saturating_sub(step) };
            step *= 2;
            if !(low..high).contains(&probe) {
                probe = low + (high - low) / 2;
            }
        }
        Ok(low)
    }

    fn block(&self, number: u64) -> Result<Vec<SegmentEntry>, Unusable> {
        let mut bytes = [0; BLOCK_BYTES];
        let at = self.body_at + number * BLOCK_BYTES as u64;
        self.file.read_exact_at(&mut bytes, at).map_err(|error| Unusable::new(&self.path, error))?;
        let (entries, seal) = bytes.split_at(CHECKED_BYTES);
        if self.seals.of(number, entries) != seal {
            return Err(Unusable::new(&self.path, SegmentProblem::Block(number)));
        }
        let rest = self.about.entries - number * BLOCK_ENTRIES as u64;
        let here = rest.min(BLOCK_ENTRIES as u64) as usize;
        Ok(entries.chunks_exact(ENTRY_BYTES).take(here).map(|bytes| self.entry(bytes)).collect())
    }

    fn entry(&self, bytes: &[u8]) -> SegmentEntry {
        let (mut key, mut offset) = ([0; 8], [0; 4]);
        key.copy_from_slice(&bytes[..8]);
        offset.copy_from_slice(&bytes[8..]);
        let position = Position(self.about.range.first + u64::from(u32::from_be_bytes(offset)));
        SegmentEntry { key: IndexKey(u64::from_be_bytes(key)), position }
    }
}

fn read_head(text: &[u8]) -> Result<SegmentContents, SegmentProblem> {
    #[derive(Deserialize)]
    struct SegmentFormat {
        format: u64,
    }
    let SegmentFormat { format } = serde_json::from_slice(text).map_err(|_| SegmentProblem::Head)?;
    if format != FORMAT {
        return Err(SegmentProblem::Newer(format));
    }
    let data: HeadData = serde_json::from_slice(text).map_err(|_| SegmentProblem::Head)?;
    data.into_contents().ok_or(SegmentProblem::Head)
}
