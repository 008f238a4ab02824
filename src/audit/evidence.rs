//! Verifies any kind of evidence: it is recognised, and everything in it is checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::flaw::{EvidenceCheckError, Flaw};
use super::forest::{Forest, Grown};
use super::manifest::{MANIFEST, Manifest};
use super::report::{EvidenceKind, Report};
use super::status_lists::status_lists;
use super::tiles::{Tiles, origins_in};
use super::trust::{KeptCheckpoint, Openings, Trust};
use super::verify::{Read, verify_grown};
use super::{AuditError, bundle, papers};
use crate::domain::{Origin, Position};
use crate::event_log::{Base, Reader};
use crate::index::{self, IndexVerified};
use crate::projection::{self, SnapshotError};
use crate::tlog::MAX_NOTE_BYTES;

const LEDGER: &str = "ledger.db";
const CHECKPOINTS: &str = "checkpoints";
const TILES: &str = "tiles";
const SNAPSHOT: &str = "snapshot";
/// The first bytes of a compressed file (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first bytes of an SQLite file.
const SQLITE: &[u8; 15] = b"SQLite format 3";

/// The kind of file at a path.
enum Given {
    Directory { kind: EvidenceKind, directory: PathBuf },
    Ledger(PathBuf),
    Bundle(PathBuf),
    Paper(PathBuf),
}

/// Recognises the file at that path, and checks it, everything in it, and whether it continues the checkpoints in
/// `trust`.
///
/// `progress` is called once for each page with the position reached and the last one.
pub fn verify_evidence(
    path: &Path,
    trust: &Trust,
    mut progress: impl FnMut(Position, Position),
) -> Result<Report, EvidenceCheckError> {
    match recognise(path)? {
        Given::Directory { kind, directory } => {
            let mut report = Report::new(kind);
            verify_directory(&directory, trust, &mut report, &mut progress)?;
            Ok(report)
        }
        Given::Ledger(ledger) => {
            let mut report = Report::new(EvidenceKind::Ledger);
            let forest = Forest::with_roots_at(trust.checkpoints.iter().filter_map(KeptCheckpoint::size));
            verify_log(&ledger, forest, &trust.checkpoints, trust, &mut report, &mut progress)?;
            Ok(report)
        }
        Given::Bundle(path) => bundle::verify(&path, trust, &mut progress),
        Given::Paper(path) => papers::verify(&path, trust),
    }
}

fn recognise(path: &Path) -> Result<Given, EvidenceCheckError> {
    if path.is_dir() {
        let kind = if path.join(MANIFEST).is_file() { EvidenceKind::Backup } else { EvidenceKind::Data };
        return Ok(Given::Directory { kind, directory: path.to_owned() });
    }
    let mut head = [0; SQLITE.len()];
    let read = File::open(path).and_then(|mut file| file.read(&mut head));
    match read {
        Ok(_) if head.starts_with(&ZSTD) => Ok(Given::Bundle(path.to_owned())),
        Ok(_) if head == *SQLITE => Ok(Given::Ledger(path.to_owned())),
        // A file that is named like a ledger and is not one, or can't be opened: the log's error describes it.
        _ if path.extension().is_none_or(|extension| extension == "db") && !is_text(path) => {
            Ok(Given::Ledger(path.to_owned()))
        }
        Ok(_) => Ok(Given::Paper(path.to_owned())),
        Err(source) => Err(EvidenceCheckError::Io { action: "open", path: path.to_owned(), source }),
    }
}

/// Whether the file is no longer than a proof, and holds no zero byte.
fn is_text(path: &Path) -> bool {
    super::trust::text(path, papers::MAX_PAPER_BYTES).is_ok_and(|text| !text.is_empty() && !text.contains('\0'))
}

/// Everything in a data directory or a backup.
fn verify_directory(
    directory: &Path,
    trust: &Trust,
    report: &mut Report,
    progress: &mut impl FnMut(Position, Position),
) -> Result<(), EvidenceCheckError> {
    // Before the log is read: the server writes records first and derived files later, so the records must cover these.
    let beside = checkpoints_in(&directory.join(CHECKPOINTS))?;
    let mut checkpoints = beside.clone();
    checkpoints.extend(trust.checkpoints.iter().cloned());
    let mut forest = Forest::with_roots_at(checkpoints.iter().filter_map(KeptCheckpoint::size));
    for (name, path) in origins_in(&directory.join(TILES))? {
        let tiles = Tiles::open(&path)?;
        match name.parse() {
            Ok(origin) if !tiles.is_empty() => forest.tree(origin).tiles = tiles,
            _ => {}
        }
    }
    let ledger = directory.join(LEDGER);
    let trees = verify_log(&ledger, forest, &checkpoints, trust, report, progress)?;
    for (origin, tree) in trees {
        let of_origin = checkpoints.iter().filter(|kept| kept.origin == Some(origin));
        take_tiles(tree, of_origin.filter_map(KeptCheckpoint::size).max().unwrap_or(0), report);
    }
    if beside.is_empty() {
        report.hold(CHECKPOINTS, "none: no checkpoint of this node was compared".to_owned());
    }
    verify_derived(directory, &ledger, report);
    if let (EvidenceKind::Backup, Some(verified)) = (report.kind, &report.verified) {
        let compared = match Manifest::read(directory)? {
            Ok(manifest) => manifest.compare(verified, &ledger)?.and_then(|()| manifest.compare_checkpoints(&beside)),
            Err(flaw) => Err(flaw),
        };
        report.take(MANIFEST, compared.map(|()| "it names this file".to_owned()));
    }
    Ok(())
}

/// The files that are derived from the log and checked beside it, each by a function of its own: the snapshot and the
/// index.
fn verify_derived(directory: &Path, ledger: &Path, report: &mut Report) {
    verify_index(ledger, report);
    match snapshot(&directory.join(SNAPSHOT), ledger) {
        None => {}
        Some(Ok(position)) => {
            let what =
                format!("complete, of this log, at position {position}; `replay --against` compares its contents");
            report.hold("snapshot/state", what);
        }
        // The next start folds the log instead, as after every upgrade.
        Some(Err(SnapshotError::Format(_))) => report.hold("snapshot/state", "of another version; it is not used"),
        Some(Err(error)) => report.find("snapshot/state", Flaw::Snapshot(error)),
    }
}

/// A log that can't be opened or read has been reported before.
fn verify_index(ledger: &Path, report: &mut Report) {
    if report.verified.is_none() {
        return;
    }
    let Ok(reader) = Reader::open(ledger) else { return };
    match index::verify(&reader, &index::beside(ledger), |_, _| {}) {
        Ok(IndexVerified { segments: 0, .. }) => {}
        Ok(IndexVerified { entries, covered, .. }) => {
            report.hold("index", format!("{entries} entries up to position {covered}, those of the records"));
        }
        Err(error) => report.find("index", error),
    }
}

/// The position of the snapshot, if there is one.
fn snapshot(directory: &Path, ledger: &Path) -> Option<Result<Position, SnapshotError>> {
    let check = || {
        let base = projection::check(directory)?;
        if stands_on(&base, ledger) {
            Ok(base.position)
        } else {
            Err(SnapshotError::Foreign("the chain is another one where it stands"))
        }
    };
    match check() {
        Err(SnapshotError::Absent) => None,
        checked => Some(checked),
    }
}

fn stands_on(base: &Base, ledger: &Path) -> bool {
    let Ok(reader) = Reader::open(ledger) else { return false };
    reader.head().is_ok_and(|head| base.position <= head)
        && reader.base_at(base.position).is_ok_and(|found| found == *base)
}

fn take_tiles(tree: Grown, signed: u64, report: &mut Report) {
    for (path, compared) in tree.tiles.into_findings(signed) {
        let place = path.display().to_string();
        report.take(place, compared.map(|hashes| format!("{hashes} hashes, those of the records")).map_err(Flaw::from));
    }
}

/// The log, and its checkpoints. Returns the trees that grew from it.
fn verify_log(
    ledger: &Path,
    forest: Forest,
    checkpoints: &[KeptCheckpoint],
    trust: &Trust,
    report: &mut Report,
    progress: &mut impl FnMut(Position, Position),
) -> Result<BTreeMap<Origin, Grown>, EvidenceCheckError> {
    let Read { verified, openings, forest, has_status_lists } = match verify_grown(ledger, forest, progress) {
        Ok(read) => read,
        Err(error) if error.is_damage() => {
            report.find("", error);
            return Ok(BTreeMap::new());
        }
        Err(error) => return Err(EvidenceCheckError::Log(error)),
    };
    verified.added.iter().for_each(|added| report.hold(LEDGER, added.to_string()));
    report.verified = Some(verified);
    if has_status_lists {
        verify_status_lists(ledger, report)?;
    }
    let trees = forest.into_trees();
    for kept in checkpoints {
        let checked = checkpoint(kept, trust, &openings, &trees);
        let is_signed = checked.is_ok();
        report.take(kept.place.clone(), checked);
        if let (true, Some((note, said))) = (is_signed, kept.parsed()) {
            trust.report_cosignatures(&kept.place, &note, &said.origin, report);
        }
    }
    for (name, flaw) in trust.unmet(&openings) {
        report.find(format!("key of {name}"), flaw);
    }
    Ok(trees)
}

/// Whether every published status list is signed, and follows from the records.
fn verify_status_lists(ledger: &Path, report: &mut Report) -> Result<(), EvidenceCheckError> {
    let (publications, flaws) = status_lists(ledger, |_, _| {})?;
    if flaws.is_empty() {
        report.hold("status lists", format!("{publications} publications: signed, and the records lead to them"));
    }
    flaws.into_iter().for_each(|(place, flaw)| {
        report.find(format!("record {}/{}", place.origin, place.sequence), flaw);
    });
    Ok(())
}

/// Whether the records are those under the checkpoint.
fn checkpoint(
    kept: &KeptCheckpoint,
    trust: &Trust,
    openings: &Openings,
    trees: &BTreeMap<Origin, Grown>,
) -> Result<String, Flaw> {
    let believed = trust.believe(kept, openings)?;
    let (origin, checkpoint) = (believed.origin, believed.checkpoint);
    let (size, root) = (checkpoint.size, checkpoint.root);
    let tree = trees.get(&origin);
    let records = tree.map_or(0, Grown::size);
    match tree.and_then(|tree| tree.root_at(size)) {
        None => Err(Flaw::CutOff { origin, size, records }),
        Some(computed) if computed != root => Err(Flaw::Rewritten { origin, size, computed, root }),
        Some(_) => Ok(format!("{} at {size}: signed, and the records lead to it", checkpoint.origin)),
    }
}

/// The checkpoints in a directory, each in a file with its origin's name; none if the directory does not exist.
pub fn checkpoints_in(directory: &Path) -> Result<Vec<KeptCheckpoint>, EvidenceCheckError> {
    let mut kept = Vec::new();
    for (name, path) in origins_in(directory)? {
        // The unfinished file of a crash has a name that no origin has.
        let Ok(origin) = name.parse() else { continue };
        let text = super::trust::text(&path, MAX_NOTE_BYTES as u64)?;
        kept.push(KeptCheckpoint { place: format!("{CHECKPOINTS}/{name}"), text, origin: Some(origin) });
    }
    Ok(kept)
}

impl From<AuditError> for EvidenceCheckError {
    fn from(error: AuditError) -> Self {
        Self::Log(error)
    }
}
