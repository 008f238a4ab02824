//! Verifies a bundle: its chain, and its place in the signed trees.

use std::path::Path;
use std::time::Instant;

use super::read::{BundleError, BundleReader, Bundled};
use crate::audit::report::{EvidenceKind, Report};
use crate::audit::trust::{KeptCheckpoint, Trust};
use crate::audit::{EvidenceCheckError, Flaw, VerifiedLog};
use crate::domain::{LedgerId, Position};
use crate::tlog::{Checkpoint, SignedNote};

/// Checks a bundle from its first line to its last.
pub fn verify(
    path: &Path,
    trust: &Trust,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Report, EvidenceCheckError> {
    let mut report = Report::new(EvidenceKind::Bundle);
    match read(path, trust, &mut report, progress) {
        Ok(()) => Ok(report),
        Err(BundleError::Flaw { line, flaw }) => {
            report.find(format!("line {line}"), *flaw);
            Ok(report)
        }
        Err(BundleError::Unread(error)) => Err(error),
    }
}

fn read(
    path: &Path,
    trust: &Trust,
    report: &mut Report,
    progress: &mut impl FnMut(Position, Position),
) -> Result<(), BundleError> {
    let started = Instant::now();
    let mut reader = BundleReader::open(path)?;
    reader.watched.extend(trust.checkpoints.iter().filter_map(KeptCheckpoint::size));
    let (from, to) = (reader.contents().from, reader.contents().to);
    while let Some(last) = reader.next_page()?.last() {
        progress(last.position, to);
    }
    let events = to.0 - from.0 + 1;
    let ledger = reader.contents().ledger.as_deref().and_then(|ledger| ledger.parse().ok()).map(LedgerId);
    report.verified =
        Some(VerifiedLog { events, base: reader.base(), ledger, added: Vec::new(), elapsed: started.elapsed() });
    report.hold(format!("positions {from} to {to}"), "chained without a gap");
    know_pinned(&mut reader, trust)?;
    for (origin, bundled) in &reader.origins {
        let kept = reader.contents().checkpoints.iter().find(|kept| kept.origin == Some(*origin));
        let place = format!("origin {origin}");
        match kept {
            Some(kept) => report.take(place, signed(kept, bundled, &reader, trust)),
            None => report.hold(place, "chained only: the bundle has no checkpoint that covers any of it"),
        }
    }
    for kept in &trust.checkpoints {
        match extends(kept, &reader, trust) {
            Some(checked) => report.take(kept.place.clone(), checked),
            None => return Err(EvidenceCheckError::Incomparable { place: kept.place.clone() }.into()),
        }
    }
    for (name, flaw) in trust.unmet(&reader.openings) {
        report.find(format!("key of {name}"), flaw);
    }
    Ok(())
}

/// If the range does not hold an origin's opening, its key is the one that was given for its name.
fn know_pinned(reader: &mut BundleReader, trust: &Trust) -> Result<(), EvidenceCheckError> {
    for kept in reader.contents().checkpoints.clone() {
        let Some(origin) = kept.origin.filter(|origin| !reader.openings.contains_key(origin)) else { continue };
        let said = SignedNote::parse(&kept.text).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
        // An unreadable checkpoint is a finding.
        let Some(said) = said else { continue };
        let key = trust.key(&said.origin).ok_or(EvidenceCheckError::NoKey(said.origin))?;
        reader.openings.insert(origin, *key.public());
    }
    for key in &trust.keys {
        let origin = key.name().origin().filter(|origin| reader.origins.contains_key(origin));
        origin.map(|origin| reader.openings.entry(origin).or_insert(*key.public()));
    }
    Ok(())
}

/// Whether the range is in the signed tree.
fn signed(kept: &KeptCheckpoint, bundled: &Bundled, reader: &BundleReader, trust: &Trust) -> Result<String, Flaw> {
    let believed = trust.believe(kept, &reader.openings)?;
    let (size, root, origin) = (believed.checkpoint.size, believed.checkpoint.root, believed.origin);
    let name = believed.checkpoint.origin;
    let end = reader.base().heads.get(&origin).map_or(0, |head| head.sequence.0);
    match bundled.roots.get(&size) {
        None => Err(Flaw::CutOff { origin, size, records: bundled.frontier.size() }),
        Some(computed) if *computed != root => Err(Flaw::Rewritten { origin, size, computed: *computed, root }),
        Some(_) if size < end => {
            let first = bundled.begin + 1;
            Ok(format!(
                "sequences {first} to {size} are in {name} at {size}, signed; {} to {end} are chained only",
                size + 1
            ))
        }
        Some(_) => Ok(format!("sequences {} to {end} are in {name} at {size}, signed", bundled.begin + 1)),
    }
}

/// Whether the bundle continues a checkpoint that was kept elsewhere; nothing if the range can't tell.
fn extends(kept: &KeptCheckpoint, reader: &BundleReader, trust: &Trust) -> Option<Result<String, Flaw>> {
    let believed = match trust.believe(kept, &reader.openings) {
        Ok(believed) => believed,
        Err(flaw) => return Some(Err(flaw)),
    };
    let (size, root, origin) = (believed.checkpoint.size, believed.checkpoint.root, believed.origin);
    let bundled = reader.origins.get(&origin)?;
    match bundled.roots.get(&size) {
        Some(computed) if *computed == root => {
            Some(Ok(format!("{} at {size}: signed, and the bundle leads to it", believed.checkpoint.origin)))
        }
        Some(computed) => Some(Err(Flaw::Rewritten { origin, size, computed: *computed, root })),
        None if size > bundled.frontier.size() => {
            Some(Err(Flaw::CutOff { origin, size, records: bundled.frontier.size() }))
        }
        None => None,
    }
}
