//! Reads a bundle: every line is checked as it passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{
    BundleHeader, BundleLine, BundleTrailer, FORMAT, HASH_EVERY, MAX_LINE_BYTES, VERSION, chain_hash, hashes, place_of,
};
use crate::audit::trust::{KeptCheckpoint, Openings};
use crate::audit::{EvidenceCheckError, Flaw};
use crate::domain::{Event, Origin, Position, RecordId, Sequence, Timestamp};
use crate::event_log::{
    Base, Chain, ChainHash, Damage, Head, Lineage, MAX_PAGE_ROWS, ReadError, RecordError, StoredRecord, decode,
};
use crate::tlog::{Frontier, TreeHash, cover};

/// Why a bundle is not read further.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is not as it was written, or not as a bundle may be.
    #[error("line {line}: {flaw}")]
    Flaw {
        /// From 1.
        line: u64,
        flaw: Box<Flaw>,
    },
    /// The file can't be read.
    #[error(transparent)]
    Unread(#[from] EvidenceCheckError),
}

/// The first line of a bundle.
#[derive(Clone, Debug)]
pub struct BundleContents {
    pub ledger: Option<String>,
    /// The first position.
    pub from: Position,
    /// The last one.
    pub to: Position,
    /// The checkpoints, by origin.
    pub checkpoints: Vec<KeptCheckpoint>,
}

/// An origin of the bundle, as far as it has been read.
pub(super) struct Bundled {
    head: Head,
    pub(super) begin: u64,
    pub(super) frontier: Frontier,
    /// The roots at the watched sizes.
    pub(super) roots: BTreeMap<u64, TreeHash>,
}

/// A bundle that is being read.
pub struct BundleReader {
    path: PathBuf,
    input: BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>,
    line: u64,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    contents: BundleContents,
    position: Position,
    chain: Chain,
    lineage: Lineage,
    pub(super) origins: BTreeMap<Origin, Bundled>,
    pub(super) openings: Openings,
    pub(super) watched: BTreeSet<u64>,
    pub(super) unreadable: u64,
    ended: bool,
}

impl BundleReader {
    /// Opens a bundle and reads its first line.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let failed = |source| EvidenceCheckError::Io { action: "open", path: path.to_owned(), source };
        let file = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
        let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(failed)?;
        let mut reader = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 18, decoder),
            line: 0,
            buffer: Vec::new(),
            hasher: blake3::Hasher::new(),
            contents: BundleContents { ledger: None, from: Position(0), to: Position(0), checkpoints: Vec::new() },
            position: Position(0),
            chain: Chain::default(),
            lineage: Lineage::default(),
            origins: BTreeMap::new(),
            openings: Openings::new(),
            watched: BTreeSet::new(),
            unreadable: 0,
            ended: false,
        };
        reader.first()?;
        Ok(reader)
    }

    /// The content of the first line.
    pub fn contents(&self) -> &BundleContents {
        &self.contents
    }

    /// Each origin's current head.
    pub fn base(&self) -> Base {
        let heads = self.origins.iter().map(|(origin, bundled)| (*origin, bundled.head));
        Base { position: self.position, heads: heads.filter(|(_, head)| head.sequence.0 > 0).collect() }
    }

    /// The next records, checked against chain and rules of the log. An empty page is the end, which has been checked too.
    pub fn next_page(&mut self) -> Result<Vec<StoredRecord>, BundleError> {
        let mut page = Vec::new();
        while page.len() < MAX_PAGE_ROWS && self.position < self.contents.to {
            page.push(self.record()?);
        }
        if page.is_empty() && !self.ended {
            self.last()?;
            self.ended = true;
        }
        Ok(page)
    }

    fn first(&mut self) -> Result<(), BundleError> {
        self.next_line()?;
        let first: BundleHeader = serde_json::from_slice(&self.buffer).map_err(|error| self.malformed(error))?;
        if first.format != FORMAT || first.version != VERSION {
            let why = format!(
                "{:?}, version {}: this version of authledger reads bundles of version {VERSION}",
                first.format, first.version
            );
            return Err(self.malformed(why));
        }
        if first.from == 0 || first.from > first.to || first.to > crate::domain::MAX_INTEGER {
            return Err(self.malformed("it has no positions"));
        }
        self.position = Position(first.from - 1);
        for (name, before) in &first.origins {
            let origin: Origin = name.parse().map_err(|error| self.malformed(format!("{name:?}: {error}")))?;
            let frontier = hashes(&before.left).and_then(|left| Frontier::new(before.sequence, left));
            let (Some(frontier), Some(hash)) = (frontier, chain_hash(&before.hash)) else {
                return Err(self
                    .malformed(format!("origin {origin}: hash and subtrees do not fit sequence {}", before.sequence)));
            };
            if before.sequence == 0 && hash != ChainHash::default() {
                return Err(self.malformed(format!("origin {origin}: a chain begins with zeros")));
            }
            let head = Head { sequence: Sequence(before.sequence), hash };
            let roots = BTreeMap::from([(before.sequence, frontier.root())]);
            self.origins.insert(origin, Bundled { head, begin: before.sequence, frontier, roots });
            let kept = |text: &String| KeptCheckpoint {
                place: format!("line 1, checkpoint of {origin}"),
                text: text.clone(),
                origin: Some(origin),
            };
            self.contents.checkpoints.extend(before.checkpoint.as_ref().map(kept));
        }
        self.contents = BundleContents {
            ledger: first.ledger,
            from: Position(first.from),
            to: Position(first.to),
            checkpoints: std::mem::take(&mut self.contents.checkpoints),
        };
        self.watched.extend(self.contents.checkpoints.iter().filter_map(KeptCheckpoint::size));
        Ok(())
    }

    fn record(&mut self) -> Result<StoredRecord, BundleError> {
        self.next_line()?;
        let line: BundleLine<'_> = serde_json::from_slice(&self.buffer).map_err(|error| self.malformed(error))?;
        let (found, stored_at, said, record) =
            (line.position, line.stored_at, line.hash, Box::<str>::from(line.record.get()));
        let position = self.position.next();
        let damaged = |damage| Flaw::Record { position, damage };
        if found != position.0 {
            return Err(self.flaw(damaged(Damage::MissingPosition { next: Position(found) })));
        }
        let stored_at = Timestamp::from_millis(stored_at).ok_or_else(|| self.flaw(damaged(Damage::Column)))?;
        let malformed = |error: String| damaged(Damage::Record(RecordError::Malformed(error)));
        let place = place_of(record.as_bytes()).map_err(|error| self.flaw(malformed(error)))?;
        let Some(bundled) = self.origins.get(&place.origin) else {
            return Err(
                self.malformed(format!("position {position}: origin {} is not one of those in line 1", place.origin))
            );
        };
        let due = bundled.head.sequence.next();
        if place.sequence != due {
            let damage = Damage::Sequence { origin: place.origin, expected: due, found: place.sequence };
            return Err(self.flaw(damaged(damage)));
        }
        let hash = self.chain.link(&bundled.head.hash, record.as_bytes());
        let due = position.0.is_multiple_of(HASH_EVERY);
        if due != said.is_some() {
            return Err(self.malformed("every 256th position has a hash, and no other"));
        }
        if let Some(said) = said {
            let stored = chain_hash(&said).ok_or_else(|| self.flaw(damaged(Damage::Column)))?;
            if stored != hash {
                return Err(self.flaw(damaged(Damage::Hash { stored, computed: hash })));
            }
        }
        self.decode(position, &record)?;
        self.take(place, hash, record.as_bytes());
        self.position = position;
        Ok(StoredRecord { position, place, stored_at, record, hash })
    }

    /// Checks single records, and each against those before it.
    fn decode(&mut self, position: Position, record: &str) -> Result<(), BundleError> {
        let recorded = match decode(record.as_bytes()) {
            Ok(recorded) => recorded,
            Err(RecordError::Unreadable { .. }) => {
                self.unreadable += 1;
                return Ok(());
            }
            Err(error) => return Err(self.flaw(Flaw::Record { position, damage: Damage::Record(error) })),
        };
        if let Event::LedgerOpened(opened) = &recorded.event {
            self.openings.insert(recorded.place.origin, opened.public_key);
            if self.contents.ledger.as_deref() != Some(&*opened.ledger.to_string()) {
                return Err(self.flaw(Flaw::Record { position, damage: Damage::OtherLedger(recorded.place.origin) }));
            }
        }
        match self.lineage.check(position, &recorded) {
            Ok(()) => Ok(()),
            Err(ReadError::Damaged { position, damage }) => Err(self.flaw(Flaw::Record { position, damage })),
            Err(error @ (ReadError::Sqlite(_) | ReadError::Replaced(_))) => Err(self.malformed(error)),
        }
    }

    fn take(&mut self, place: RecordId, hash: ChainHash, record: &[u8]) {
        let Some(bundled) = self.origins.get_mut(&place.origin) else { return };
        bundled.head = Head { sequence: place.sequence, hash };
        bundled.frontier.append(TreeHash::of_leaf(record), |_, _| {});
        if self.watched.contains(&place.sequence.0) {
            bundled.roots.insert(place.sequence.0, bundled.frontier.root());
        }
    }

    /// Checks the last line: that nothing is missing, and the subtrees between the range and the end of the signed
    /// tree.
    fn last(&mut self) -> Result<(), BundleError> {
        let blake3 = self.hasher.finalize().to_string();
        self.next_line()?;
        let last: BundleTrailer = serde_json::from_slice(&self.buffer).map_err(|error| self.malformed(error))?;
        let records = self.contents.to.0 - self.contents.from.0 + 1;
        if last.records != records {
            return Err(self.malformed(format!("it counts {} records, and there are {records}", last.records)));
        }
        if last.blake3 != blake3 {
            return Err(self.malformed(format!(
                "it says that the lines before it hash to {}, and they hash to {blake3}",
                last.blake3
            )));
        }
        if last.origins.len() != self.origins.len() {
            return Err(self.malformed("it has other origins than line 1"));
        }
        for (name, after) in &last.origins {
            let (head, origin) =
                match name.parse::<Origin>().ok().and_then(|origin| Some((self.origins.get(&origin)?.head, origin))) {
                    Some(known) => known,
                    None => return Err(self.malformed("it has other origins than line 1")),
                };
            if after.sequence != head.sequence.0 || chain_hash(&after.hash) != Some(head.hash) {
                return Err(self.malformed(format!(
                    "origin {origin} ends with sequence {} and hash {}, and the records lead to {} and {}",
                    after.sequence, after.hash, head.sequence, head.hash
                )));
            }
            let right = hashes(&after.right)
                .ok_or_else(|| self.malformed(format!("origin {origin}: a subtree is not a hash")))?;
            self.complete(origin, &right)?;
        }
        match self.read_line()? {
            0 => Ok(()),
            _ => Err(self.malformed("something follows the last line")),
        }
    }

    /// Adds the subtrees after the range, up to the end of the signed tree.
    fn complete(&mut self, origin: Origin, right: &[TreeHash]) -> Result<(), BundleError> {
        let signed =
            self.contents.checkpoints.iter().find(|kept| kept.origin == Some(origin)).and_then(KeptCheckpoint::size);
        let Some(bundled) = self.origins.get_mut(&origin) else { return Ok(()) };
        let end = bundled.frontier.size();
        let due: Vec<_> = signed.map_or_else(Vec::new, |size| cover(end, size).collect());
        let fits = due.len() == right.len()
            && due.iter().zip(right).all(|(node, hash)| bundled.frontier.push(node.height, *hash));
        if fits && let Some(size) = signed.filter(|size| *size > end) {
            bundled.roots.insert(size, bundled.frontier.root());
        }
        if fits {
            Ok(())
        } else {
            Err(self.malformed(format!("origin {origin}: these are not the subtrees up to the checkpoint")))
        }
    }

    fn next_line(&mut self) -> Result<(), BundleError> {
        match self.read_line()? {
            0 => {
                let why = format!("the bundle ends here, before position {} and its last line", self.position.next());
                Err(self.malformed(why))
            }
            _ if self.buffer.pop_if(|byte| *byte == b'\n').is_none() => {
                Err(self.malformed("this line is cut off, or longer than any may be"))
            }
            _ => Ok(()),
        }
    }

    /// The next line with its end, unless it is too long; returns how many bytes it has.
    fn read_line(&mut self) -> Result<usize, BundleError> {
        self.line += 1;
        self.buffer.clear();
        let read = (&mut self.input).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|error| self.unread(error))?;
        self.hasher.update(&self.buffer);
        Ok(read)
    }

    /// An error without a system error comes from the decompressor: the bytes are not those that were written.
    fn unread(&self, source: io::Error) -> BundleError {
        if source.raw_os_error().is_some() {
            return EvidenceCheckError::Io { action: "read", path: self.path.clone(), source }.into();
        }
        self.malformed(format!("the compressed bytes are damaged here: {source}"))
    }

    fn malformed(&self, why: impl ToString) -> BundleError {
        self.flaw(Flaw::Malformed(why.to_string()))
    }

    fn flaw(&self, flaw: Flaw) -> BundleError {
        BundleError::Flaw { line: self.line, flaw: Box::new(flaw) }
    }
}
