//! Writes a bundle in one reading of the log.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{After, BundleHeader, BundleLine, BundleOriginStart, BundleTrailer, FORMAT, HASH_EVERY, VERSION, texts};
use crate::audit::evidence::checkpoints_in;
use crate::audit::prove::openings;
use crate::audit::trust::{KeptCheckpoint, Trust};
use crate::audit::{AuditError, EvidenceCheckError, Flaw};
use crate::domain::{Event, LedgerId, Origin, Position, RecordId, Sequence};
use crate::event_log::{Base, Damage, MAX_PAGE_ROWS, ReadError, Reader, RecordError, StoredRecord};
use crate::tlog::{Checkpoint, Frontier, GatheredHashes, TreeHash, cover};

/// Zstandard's level: beyond it the file hardly shrinks, and takes twice as long.
const LEVEL: i32 = 3;

/// The positions to export.
#[derive(Clone, Copy, Debug, Default)]
pub struct BundleRange {
    /// The first; absent, 1.
    pub from: Option<Position>,
    /// The last; absent, the end of the log when the export starts.
    pub to: Option<Position>,
}

/// The result of an export.
#[derive(Clone, Debug)]
pub struct Exported {
    /// How many records.
    pub records: u64,
    /// The first position.
    pub from: Position,
    /// The last one.
    pub to: Position,
    /// The file's length.
    pub bytes: u64,
    /// The checkpoints that it carries, by origin.
    pub checkpoints: BTreeMap<Origin, Checkpoint>,
}

/// Why the export failed. Everything that had been written of it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log can't be opened or read, or is damaged.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// A file beside it can't be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceCheckError),
    /// A file of that name exists.
    #[error("write {}: it exists; name another file", .0.display())]
    Exists(PathBuf),
    /// The log has no such positions.
    #[error("export positions {from} to {to}: the log has those from 1 to {head}")]
    Range {
        /// The first that was requested.
        from: Position,
        /// The last.
        to: Position,
        /// The end of the log.
        head: Position,
    },
    /// The file can't be written.
    #[error("write {}: {source}; check the space on that disk, and export again", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A checkpoint does not hold against this log.
    #[error("{place}: {flaw}")]
    Found {
        /// The checkpoint.
        place: String,
        flaw: Box<Flaw>,
    },
}

impl ExportError {
    /// Whether the log or a checkpoint is damaged, rather than the question wrong.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => error.is_damage(),
            Self::Found { .. } => true,
            _ => false,
        }
    }
}

/// Writes these positions to a new file, with the newest checkpoints beside the log. The file gets its name once it is
/// complete and durable.
pub fn export(
    ledger: &Path,
    file: &Path,
    range: BundleRange,
    mut progress: impl FnMut(Position, Position),
) -> Result<Exported, ExportError> {
    if file.exists() {
        return Err(ExportError::Exists(file.to_owned()));
    }
    let source = ExportSource::open(ledger, range)?;
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let written = write(&source, &unfinished, &mut progress).and_then(|exported| {
        name(&unfinished, file)?;
        Ok(exported)
    });
    // Under its own name it stays; a file that can't be removed does not have the name of a bundle.
    let _ = fs::remove_file(&unfinished);
    let exported = written?;
    sync_directory(file).map_err(failed(file))?;
    Ok(exported)
}

/// Gives the file its name. A file that was made meanwhile stays: a link does not replace, as a rename would.
fn name(unfinished: &Path, file: &Path) -> Result<(), ExportError> {
    match fs::hard_link(unfinished, file) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists || file.exists() => {
            Err(ExportError::Exists(file.to_owned()))
        }
        // Not every file system has links.
        Err(_) => fs::rename(unfinished, file).map_err(failed(file)),
    }
}

/// The source of an export.
struct ExportSource {
    reader: Reader,
    from: Position,
    to: Position,
    /// Each origin's head before the range, and after it.
    before: Base,
    after: Base,
    ledger: Option<LedgerId>,
    signed: BTreeMap<Origin, (KeptCheckpoint, Checkpoint)>,
    /// The last position that has to be read: of the range, or of the checkpoint.
    until: Position,
}

impl ExportSource {
    fn open(ledger: &Path, range: BundleRange) -> Result<Self, ExportError> {
        // Before the log: the records that are read later cover the checkpoints.
        let kept = checkpoints_in(&ledger.parent().unwrap_or(Path::new("")).join("checkpoints"))?;
        let reader = Reader::open(ledger).map_err(AuditError::from)?;
        let head = reader.head().map_err(unread)?;
        let (from, to) = (range.from.unwrap_or(Position(1)), range.to.unwrap_or(head));
        if from.0 == 0 || from > to || to > head {
            return Err(ExportError::Range { from, to, head });
        }
        let before = reader.base_at(Position(from.0 - 1)).map_err(unread)?;
        let mut after = reader.base_at(to).map_err(unread)?;
        after.heads.retain(|origin, head| before.heads.get(origin) != Some(head));
        let openings = openings(&reader)?;
        let mut source =
            Self { ledger: opened(&reader)?, reader, from, to, before, after, signed: BTreeMap::new(), until: to };
        for kept in kept {
            let believed = Trust::default().believe(&kept, &openings).map_err(found(&kept))?;
            let (origin, checkpoint) = (believed.origin, believed.checkpoint);
            let begin = source.before.heads.get(&origin).map_or(0, |head| head.sequence.0);
            if !source.after.heads.contains_key(&origin) || checkpoint.size <= begin {
                continue;
            }
            let place = RecordId { origin, sequence: Sequence(checkpoint.size) };
            let last = source.reader.find_place(place).map_err(unread)?;
            let Some(last) = last else {
                let records = source.reader.base_at(head).map_err(unread)?;
                let records = records.heads.get(&origin).map_or(0, |head| head.sequence.0);
                return Err(found(&kept)(Flaw::CutOff { origin, size: checkpoint.size, records }));
            };
            source.until = source.until.max(last.position);
            source.signed.insert(origin, (kept, checkpoint));
        }
        Ok(source)
    }

    fn begin(&self, origin: &Origin) -> u64 {
        self.before.heads.get(origin).map_or(0, |head| head.sequence.0)
    }
}

/// The ledger that the log belongs to.
fn opened(reader: &Reader) -> Result<Option<LedgerId>, ExportError> {
    let Some(first) = reader.find(Position(1)).map_err(unread)? else { return Ok(None) };
    match first.decode().map_err(unread)?.event {
        Event::LedgerOpened(opened) => Ok(Some(opened.ledger)),
        _ => Ok(None),
    }
}

/// The tree of an exported origin, as far as it has been read.
#[derive(Default)]
struct Tree {
    frontier: Frontier,
    right: GatheredHashes,
    signed: Option<TreeHash>,
}

fn write(
    source: &ExportSource,
    unfinished: &Path,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Exported, ExportError> {
    let mut trees: BTreeMap<Origin, Tree> =
        source.after.heads.keys().map(|origin| (*origin, tree(source, *origin))).collect();
    let mut lines = BundleFile::create(unfinished)?;
    let mut base = Base::default();
    let mut started = false;
    while base.position < source.until {
        if !started && base.position.0 + 1 == source.from.0 {
            lines.line(&first(source, &trees))?;
            started = true;
        }
        // No page lies across an end of the range.
        let end = if !started { Position(source.from.0 - 1) } else { source.to.max(base.position) };
        let end = if end == base.position { source.until } else { end };
        let limit = (end.0 - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
        let page = source.reader.next_page(&mut base, limit).map_err(|error| AuditError::from_read(error, &base))?;
        if page.is_empty() {
            let damage = Damage::MissingPosition { next: source.until };
            return Err(AuditError::Damaged { position: base.position.next(), damage }.into());
        }
        for stored in &page {
            if (source.from..=source.to).contains(&stored.position) {
                lines.record(stored)?;
            }
            if let Some(tree) = trees.get_mut(&stored.place.origin) {
                tree.take(stored, source.signed.get(&stored.place.origin).map(|(_, checkpoint)| checkpoint.size));
            }
        }
        progress(base.position, source.until);
    }
    for (origin, (kept, checkpoint)) in &source.signed {
        let computed = trees.get(origin).and_then(|tree| tree.signed).unwrap_or_else(TreeHash::of_nothing);
        if computed != checkpoint.root {
            let (origin, size, root) = (*origin, checkpoint.size, checkpoint.root);
            return Err(found(kept)(Flaw::Rewritten { origin, size, computed, root }));
        }
    }
    let bytes = lines.end(|blake3| last(source, &trees, blake3))?;
    Ok(Exported {
        records: source.to.0 - source.from.0 + 1,
        from: source.from,
        to: source.to,
        bytes,
        checkpoints: source.signed.iter().map(|(origin, (_, checkpoint))| (*origin, checkpoint.clone())).collect(),
    })
}

fn tree(source: &ExportSource, origin: Origin) -> Tree {
    let mut tree = Tree::default();
    let end = source.after.heads.get(&origin).map_or(0, |head| head.sequence.0);
    if let Some((_, checkpoint)) = source.signed.get(&origin) {
        tree.right.want(|nodes| right(end, checkpoint.size, nodes));
    }
    tree
}

/// The subtrees between the end of the range and that of the signed tree.
fn right<N: crate::tlog::Nodes>(end: u64, size: u64, nodes: &N) -> Result<Vec<TreeHash>, N::Error> {
    cover(end, size).map(|node| nodes.load(node)).collect()
}

impl Tree {
    fn take(&mut self, stored: &StoredRecord, signed: Option<u64>) {
        let Self { frontier, right, .. } = self;
        frontier.append(TreeHash::of_leaf(stored.record.as_bytes()), |node, hash| right.take(node, hash));
        if signed == Some(self.frontier.size()) {
            self.signed = Some(self.frontier.root());
        }
    }
}

fn first(source: &ExportSource, trees: &BTreeMap<Origin, Tree>) -> BundleHeader {
    let origins = trees.iter().map(|(origin, tree)| {
        let head = source.before.heads.get(origin).copied().unwrap_or_default();
        let before = BundleOriginStart {
            sequence: source.begin(origin),
            hash: head.hash.to_string(),
            left: texts(tree.frontier.peaks().iter().copied()),
            checkpoint: source.signed.get(origin).map(|(kept, _)| kept.text.clone()),
        };
        (origin.to_string(), before)
    });
    BundleHeader {
        format: FORMAT.to_owned(),
        version: VERSION,
        ledger: source.ledger.map(|ledger| ledger.to_string()),
        from: source.from.0,
        to: source.to.0,
        origins: origins.collect(),
    }
}

fn last(source: &ExportSource, trees: &BTreeMap<Origin, Tree>, blake3: String) -> BundleTrailer {
    let origins = source.after.heads.iter().map(|(origin, head)| {
        let size = source.signed.get(origin).map_or(0, |(_, checkpoint)| checkpoint.size);
        let right = trees.get(origin).and_then(|tree| right(head.sequence.0, size, &tree.right).ok());
        let after =
            After { sequence: head.sequence.0, hash: head.hash.to_string(), right: texts(right.unwrap_or_default()) };
        (origin.to_string(), after)
    });
    BundleTrailer { records: source.to.0 - source.from.0 + 1, origins: origins.collect(), blake3 }
}

/// The file: lines, hashed and compressed.
struct BundleFile {
    path: PathBuf,
    encoder: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl BundleFile {
    fn create(path: &Path) -> Result<Self, ExportError> {
        // The remains of a killed export belong to nobody.
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = BufWriter::with_capacity(1 << 18, made.map_err(failed(path))?);
        let mut encoder = zstd::stream::write::Encoder::new(file, LEVEL).map_err(failed(path))?;
        encoder.include_checksum(true).map_err(failed(path))?;
        Ok(Self { path: path.to_owned(), encoder, hasher: blake3::Hasher::new(), buffer: Vec::new() })
    }

    fn record(&mut self, stored: &StoredRecord) -> Result<(), ExportError> {
        match stored.decode() {
            Ok(_) | Err(ReadError::Damaged { damage: Damage::Record(RecordError::Unreadable { .. }), .. }) => {}
            // A text that is not a record could break the line that holds it.
            Err(error) => return Err(unread(error)),
        }
        let raw: &RawValue = serde_json::from_str(&stored.record).map_err(|error| failed(&self.path)(error.into()))?;
        let position = stored.position.0;
        let hash = position.is_multiple_of(HASH_EVERY).then(|| stored.hash.to_string());
        self.line(&BundleLine { position, stored_at: stored.stored_at.as_millis(), hash, record: raw })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line).map_err(|error| failed(&self.path)(error.into()))?;
        self.buffer.push(b'\n');
        self.hasher.update(&self.buffer);
        self.encoder.write_all(&self.buffer).map_err(failed(&self.path))
    }

    /// Writes the last line, which has the hash of all lines before it, and makes the file durable. Returns its length.
    fn end(mut self, last: impl FnOnce(String) -> BundleTrailer) -> Result<u64, ExportError> {
        let blake3 = self.hasher.finalize().to_string();
        self.line(&last(blake3))?;
        let path = self.path;
        let file = self.encoder.finish().and_then(|file| file.into_inner().map_err(|error| error.into_error()));
        let file = file.map_err(failed(&path))?;
        file.sync_all().and_then(|()| Ok(file.metadata()?.len())).map_err(failed(&path))
    }
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn unread(error: ReadError) -> ExportError {
    AuditError::from_read(error, &Base::default()).into()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Write { path, source }
}

fn found(kept: &KeptCheckpoint) -> impl FnOnce(Flaw) -> ExportError {
    let place = kept.place.clone();
    move |flaw| ExportError::Found { place, flaw: Box::new(flaw) }
}
