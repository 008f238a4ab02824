//! `authledger restore`: a data directory made of a backup or a bundle, which continues without a fork.
//!
//! The operator can't know whether the original still runs somewhere. So the copy never continues an origin that is in
//! it: it has a key of its own, and opens an origin of its own that names the one it continues.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Progress;
use super::directory::{DirectoryError, Filling};
use crate::audit::{self, AuditError, BundleError, BundleReader, EvidenceCheckError, KeptCheckpoint, Trust};
use crate::clock::{NoRandomness, fresh_origin, wall_clock};
use crate::domain::{
    Event, LOG_FORMAT, LedgerOpened, Origin, Position, Previous, RecordId, Recorded, Sequence, Timestamp,
};
use crate::event_log::{
    Base, Chain, ChainHash, CopyError, CopyWriter, DataDirectory, Head, MAX_PAGE_ROWS, OpenError, ReadError, Reader,
    StoredRecord, encode,
};
use crate::keys::{self, KeyError, OriginKey};
use crate::say;
use crate::tlog::SignedNote;
use crate::tree::{Checkpoints, TreeError};

const LEDGER: &str = "ledger.db";
/// The name of the log until it is complete.
const UNFINISHED: &str = "ledger.db.restoring";

const RULE: &str = "\
The restored ledger continues under an origin of its own: it gets a new origin key, and its first record names the origin,
sequence and hash that it continues. The original may have continued, or may do so later; the two then differ in their origins,
and neither contradicts the checkpoints of the other. Sessions, tickets and tokens are as they were at the backup, and a cursor
of the original either continues or gets a `gap` event.

Revocations and erasures after the backup are not in it: revoke again, and repeat erasures (authledger subject erase) before the
restored ledger is used, because the keys of an older backup open data that was erased since.

The backup or bundle is verified first, and must match its checkpoints; authledger-audit verify --key checks a bundle against a
key that is known from elsewhere.

Examples:
  authledger restore backup --keys backup-keys --data ./restored
  authledger restore june.bundle --data ./restored
  authledger serve --data ./restored";

/// What to restore, and to where.
#[derive(Args)]
#[command(after_help = RULE)]
pub struct RestoreArgs {
    /// A directory that `authledger backup` made, or a bundle from position 1 that `authledger-audit export` made
    source: PathBuf,

    /// The data directory to make; a directory that is not empty is refused
    #[arg(long, env = "AUTHLEDGER_DATA", value_name = "DIR")]
    data: PathBuf,

    /// The keys that `authledger backup --keys` copied; an origin's key among them is left out
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,

    /// The origin to continue, if the log has several that no other origin continues
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<Origin>,
}

/// Why the restore failed. Everything that had been written of it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory is not empty, or can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The source can't be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceCheckError),
    /// The source's log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source's log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bundle can't be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The source failed its verification.
    #[error("restore {}: {finding}; nothing was restored: take an older backup, or check this one with authledger-audit verify", path.display())]
    Found {
        /// The source.
        path: PathBuf,
        /// The first finding.
        finding: String,
    },
    /// A bundle of only some records is not a ledger.
    #[error("restore {}: it begins at position {from}, and a ledger begins at 1; restore a bundle that was exported from there", path.display())]
    Part {
        /// The bundle.
        path: PathBuf,
        /// Its first position.
        from: Position,
    },
    /// There is no origin to continue.
    #[error("restore {}: it holds no records; start a new ledger with authledger serve", .0.display())]
    Empty(PathBuf),
    /// More than one origin could be the one to continue.
    #[error(
        "more than one origin could be the one to continue ({0}); name it with --origin, or give the backup of its keys with --keys"
    )]
    Several(String),
    /// The named origin can't be continued.
    #[error(
        "continue origin {origin}: the log does not have an origin of that name that no other origin continues; it has {others}"
    )]
    NoOrigin {
        /// The named origin.
        origin: Origin,
        /// The origins that could be continued.
        others: String,
    },
    /// The copy can't be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The copy failed its verification.
    #[error("the restored log is not complete: {0}; check the disk that it was written to, and start again")]
    Audit(#[from] AuditError),
    /// The copy is complete, but of another length.
    #[error(
        "the restored log ends at position {found}, and {expected} records were written to it; check the disk, and start again"
    )]
    Differs {
        /// The end of the copy.
        found: Position,
        /// The expected end.
        expected: Position,
    },
    /// A checkpoint can't be kept.
    #[error(transparent)]
    Checkpoint(#[from] TreeError),
    /// A key can't be copied or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No origin can be named.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The file can't get its name.
    #[error("name {}: {source}", path.display())]
    Name { path: PathBuf, source: io::Error },
}

/// Restores, and verifies the restored log.
pub fn run(arguments: &RestoreArgs) -> Result<(), RestoreError> {
    let RestoreArgs { source, data, keys, .. } = arguments;
    let filling = Filling::start(data)?;
    // The lock is held until the directory is complete, so that no server starts on an incomplete one.
    let lock = DataDirectory::lock(data)?;
    let verified = verify_source(source)?;
    let mut input = RestoreInput::open(source)?;
    let unfinished = data.join(UNFINISHED);
    let mut copy = CopyWriter::create(&unfinished)?;
    let Copied { mut base, openings, lasts } = copy_rows(&mut input, &mut copy)?;
    if base != verified {
        return Err(RestoreError::Differs { found: base.position, expected: verified.position });
    }
    let previous = previous(arguments, &base, &openings)?;
    let copied = keys.as_deref().map(|keys| keys::copy(keys, &data.join("keys"))).transpose()?;
    let key = OriginKey::load_or_create(&data.join("keys"))?;
    let opened = openings.get(&previous.place.origin).ok_or_else(|| RestoreError::Empty(source.clone()))?;
    let successor = successor(opened, previous, &key);
    let (origin, continued) = (fresh_origin()?, successor.previous.clone());
    let last = continued.as_ref().and_then(|previous| lasts.get(&previous.place.origin));
    let not_before = last.and_then(|last| last.decode().ok()).map(|last| last.recorded_at).unwrap_or_default();
    copy.append(&[opening(origin, successor, not_before, &mut base)])?;
    copy.finish()?;
    for (origin, note) in input.checkpoints {
        Checkpoints::of(data).store(origin, &note)?;
    }
    verify_copy(&unfinished, &base)?;
    let ledger = data.join(LEDGER);
    fs::rename(&unfinished, &ledger).map_err(|source| RestoreError::Name { path: ledger.clone(), source })?;
    filling.keep()?;
    drop(lock);
    print(data, origin, continued.as_ref(), &base, copied);
    Ok(())
}

/// A backup or bundle that fails its verification, or contradicts its checkpoints, is not restored.
fn verify_source(source: &Path) -> Result<Base, RestoreError> {
    let mut progress = Progress::new("verified");
    let report = audit::verify_evidence(source, &Trust::default(), |reached, head| progress.show(reached, head))?;
    match (report.findings.first(), report.verified) {
        (None, Some(verified)) => Ok(verified.base),
        (None, None) => Err(RestoreError::Empty(source.to_owned())),
        (Some(finding), _) => Err(RestoreError::Found { path: source.to_owned(), finding: finding.to_string() }),
    }
}

/// The source of the records.
enum RecordSource {
    Ledger(Box<Reader>, Base, Position),
    Bundle(Box<BundleReader>),
}

struct RestoreInput {
    rows: RecordSource,
    checkpoints: Vec<(Origin, SignedNote)>,
}

impl RestoreInput {
    fn open(source: &Path) -> Result<Self, RestoreError> {
        if source.is_dir() {
            let checkpoints = notes(&audit::checkpoints_in(&source.join("checkpoints"))?);
            let reader = Reader::open(&source.join(LEDGER))?;
            let head = reader.head()?;
            return Ok(Self { rows: RecordSource::Ledger(Box::new(reader), Base::default(), head), checkpoints });
        }
        let reader = BundleReader::open(source)?;
        let from = reader.contents().from;
        if from != Position(1) {
            return Err(RestoreError::Part { path: source.to_owned(), from });
        }
        let checkpoints = notes(&reader.contents().checkpoints);
        Ok(Self { rows: RecordSource::Bundle(Box::new(reader)), checkpoints })
    }

    fn next_page(&mut self) -> Result<Vec<StoredRecord>, RestoreError> {
        match &mut self.rows {
            RecordSource::Bundle(bundle) => Ok(bundle.next_page()?),
            RecordSource::Ledger(reader, base, head) => {
                let limit = (head.0 - base.position.0).min(MAX_PAGE_ROWS as u64) as usize;
                if limit == 0 { Ok(Vec::new()) } else { Ok(reader.next_page(base, limit)?) }
            }
        }
    }
}

/// The notes of checkpoints that have been verified.
fn notes(kept: &[KeptCheckpoint]) -> Vec<(Origin, SignedNote)> {
    kept.iter().filter_map(|kept| Some((kept.origin?, SignedNote::parse(&kept.text).ok()?))).collect()
}

/// The result of a copy: its end, and the opening and the last record of each origin.
struct Copied {
    base: Base,
    openings: BTreeMap<Origin, LedgerOpened>,
    lasts: BTreeMap<Origin, StoredRecord>,
}

/// Copies all records.
fn copy_rows(input: &mut RestoreInput, copy: &mut CopyWriter) -> Result<Copied, RestoreError> {
    let (mut base, mut openings, mut lasts) = (Base::default(), BTreeMap::new(), BTreeMap::new());
    loop {
        let page = input.next_page()?;
        let Some(last) = page.last() else { return Ok(Copied { base, openings, lasts }) };
        base.position = last.position;
        for stored in &page {
            base.heads.insert(stored.place.origin, Head { sequence: stored.place.sequence, hash: stored.hash });
            if stored.place.sequence == Sequence(1)
                && let Event::LedgerOpened(opened) = stored.decode()?.event
            {
                openings.insert(stored.place.origin, opened);
            }
        }
        copy.append(&page)?;
        lasts.extend(page.into_iter().map(|stored| (stored.place.origin, stored)));
    }
}

/// The end that the restored log continues.
fn previous(
    arguments: &RestoreArgs,
    base: &Base,
    openings: &BTreeMap<Origin, LedgerOpened>,
) -> Result<Previous, RestoreError> {
    let continued: Vec<Origin> =
        openings.values().filter_map(|opened| opened.previous.as_ref()).map(|previous| previous.place.origin).collect();
    let open_ended: Vec<Origin> = openings.keys().filter(|origin| !continued.contains(origin)).copied().collect();
    let names = || open_ended.iter().map(Origin::to_string).collect::<Vec<_>>().join(", ");
    let origin = match (arguments.origin, &*open_ended) {
        (Some(origin), ends) if ends.contains(&origin) => origin,
        (Some(origin), _) => return Err(RestoreError::NoOrigin { origin, others: names() }),
        (None, []) => return Err(RestoreError::Empty(arguments.source.clone())),
        (None, [origin]) => *origin,
        (None, several) => match own(arguments.keys.as_deref(), several, openings)? {
            Some(origin) => origin,
            None => return Err(RestoreError::Several(names())),
        },
    };
    let head = base.heads.get(&origin).copied().unwrap_or_default();
    Ok(Previous { place: RecordId { origin, sequence: head.sequence }, hash: head.hash.0 })
}

/// The origin whose key is among those of the backup.
fn own(
    keys: Option<&Path>,
    several: &[Origin],
    openings: &BTreeMap<Origin, LedgerOpened>,
) -> Result<Option<Origin>, RestoreError> {
    let Some(keys) = keys.filter(|keys| keys.join("origin.key").is_file()) else { return Ok(None) };
    let public_key = OriginKey::load_or_create(keys)?.public_key();
    let own = several.iter().find(|origin| openings.get(origin).is_some_and(|opened| opened.public_key == public_key));
    Ok(own.copied())
}

/// The opening of an origin that continues another one.
fn successor(opened: &LedgerOpened, previous: Previous, key: &OriginKey) -> LedgerOpened {
    LedgerOpened {
        ledger: opened.ledger,
        node: opened.node.clone(),
        region: opened.region.clone(),
        format: LOG_FORMAT,
        public_key: key.public_key(),
        previous: Some(previous),
        pseudonyms: opened.pseudonyms,
    }
}

/// The record that opens it, after all others. It is not earlier than the origin that it continues: if this machine's
/// clock is behind that, expired credentials must not become active again, and the server says so when it starts.
fn opening(origin: Origin, opened: LedgerOpened, not_before: Timestamp, base: &mut Base) -> StoredRecord {
    let now = wall_clock().max(not_before);
    let place = RecordId { origin, sequence: Sequence(1) };
    let recorded = Recorded {
        place,
        recorded_at: now,
        tenant: None,
        actor: None,
        request: None,
        idempotency: None,
        event: Event::LedgerOpened(opened),
    };
    let record = encode(&recorded);
    let hash = Chain::default().link(&ChainHash::default(), record.as_bytes());
    base.position = base.position.next();
    base.heads.insert(origin, Head { sequence: place.sequence, hash });
    StoredRecord { position: base.position, place, stored_at: now, record: record.into(), hash }
}

/// The same heads as those that were verified at the source lead to the same records, and so to the same checkpoints.
fn verify_copy(copy: &Path, base: &Base) -> Result<(), RestoreError> {
    let mut progress = Progress::new("verified");
    let verified = audit::verify(copy, |reached, head| progress.show(reached, head))?;
    if verified.base == *base {
        return Ok(());
    }
    Err(RestoreError::Differs { found: verified.base.position, expected: base.position })
}

fn print(data: &Path, origin: Origin, continued: Option<&Previous>, base: &Base, keys: Option<usize>) {
    say!("{}: {} events, whole", data.display(), base.position);
    if let Some(Previous { place, .. }) = continued {
        say!("origin  {origin} continues {} at sequence {}", place.origin, place.sequence);
    }
    match keys {
        Some(count) => say!("keys    {count} copied, and a new one for the origin"),
        None => say!("keys    a new one for the origin; sealed data stays closed without --keys"),
    }
    say!("next    authledger serve --data {}", data.display());
}
