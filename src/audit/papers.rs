//! Evidence on a page of text: proofs and checkpoints, checked with only a key.

use std::path::Path;

use serde::Deserialize;

use super::flaw::{EvidenceCheckError, Flaw};
use super::report::{EvidenceKind, Report};
use super::trust::{Trust, text};
use crate::domain::Sequence;
use crate::event_log::{RecordError, decode};
use crate::tlog::{Checkpoint, ConsistencyProof, FileError, InclusionProof, KeyName, SignedNote, VerifierKey};

/// The most bytes of such a page: two notes, a record in base64, and sixty-three hashes.
pub(super) const MAX_PAPER_BYTES: u64 = 512 * 1_024;

/// Recognises a page, and checks it.
pub(super) fn verify(path: &Path, trust: &Trust) -> Result<Report, EvidenceCheckError> {
    let text = match text(path, MAX_PAPER_BYTES) {
        // A text that is longer than any page is not one.
        Err(EvidenceCheckError::TooLong { .. }) => String::new(),
        read => read?,
    };
    if InclusionProof::is_one(&text) {
        return inclusion(&text, trust);
    }
    if ConsistencyProof::is_one(&text) {
        return consistency(&text, trust);
    }
    if let Ok(note) = SignedNote::parse(&text) {
        return checkpoint(&note, trust);
    }
    let mut report = Report::new(EvidenceKind::Unknown);
    report.find("", Flaw::Unknown);
    Ok(report)
}

fn inclusion(text: &str, trust: &Trust) -> Result<Report, EvidenceCheckError> {
    let mut report = Report::new(EvidenceKind::Inclusion);
    let Some(proof) = parsed(InclusionProof::parse(text), &mut report) else { return Ok(report) };
    let Some(key) = signer(&proof.checkpoint, trust, &mut report)? else { return Ok(report) };
    match proof.verify(key) {
        Ok(checkpoint) => {
            let size = checkpoint.size;
            let shown = record(&proof, checkpoint.origin.clone());
            let shown = shown.map(|record| format!("{record}: in {} at {size}, signed", checkpoint.origin));
            report.take(format!("leaf {}", proof.index), shown);
            trust.report_cosignatures(checkpoint.origin.as_str(), &proof.checkpoint, &checkpoint.origin, &mut report);
            compare(&[checkpoint], trust, &mut report)?;
        }
        Err(error) => report.find(format!("leaf {}", proof.index), error),
    }
    Ok(report)
}

/// A proof, or the finding that it does not have the form of one.
fn parsed<P>(read: Result<P, FileError>, report: &mut Report) -> Option<P> {
    read.map_err(|error| report.find("", error)).ok()
}

/// The record's description, if the record is at the place that the proof is for.
fn record(proof: &InclusionProof, name: KeyName) -> Result<String, Flaw> {
    #[derive(Deserialize)]
    struct ProvenEnvelope<'a> {
        sequence: u64,
        #[serde(rename = "type", borrow)]
        type_name: &'a str,
        recorded_at: u64,
    }
    match decode(&proof.record) {
        Ok(_) | Err(RecordError::Unreadable { .. }) => {}
        Err(error) => return Err(Flaw::Malformed(error.to_string())),
    }
    let envelope: ProvenEnvelope<'_> =
        serde_json::from_slice(&proof.record).map_err(|error| Flaw::Malformed(error.to_string()))?;
    let place = super::bundle::place_of(&proof.record).map_err(Flaw::Malformed)?;
    let ProvenEnvelope { sequence, type_name, recorded_at } = envelope;
    if sequence != proof.index + 1 || name.origin().is_some_and(|named| place.origin != named) {
        return Err(Flaw::OtherPlace { origin: place.origin, sequence: Sequence(sequence), index: proof.index, name });
    }
    Ok(format!("{type_name}, sequence {sequence} of {}, recorded at {recorded_at}", place.origin))
}

fn consistency(text: &str, trust: &Trust) -> Result<Report, EvidenceCheckError> {
    let mut report = Report::new(EvidenceKind::Consistency);
    let Some(proof) = parsed(ConsistencyProof::parse(text), &mut report) else { return Ok(report) };
    let Some(key) = signer(&proof.checkpoint, trust, &mut report)? else { return Ok(report) };
    match proof.verify(key) {
        Ok((old, new)) => {
            let what = format!("{} records continue the first {}, both signed", new.size, old.size);
            report.hold(new.origin.as_str(), what);
            trust.report_cosignatures(new.origin.as_str(), &proof.checkpoint, &new.origin, &mut report);
            compare(&[old, new], trust, &mut report)?;
        }
        Err(error) => report.find(key.name().as_str(), error),
    }
    Ok(report)
}

fn checkpoint(note: &SignedNote, trust: &Trust) -> Result<Report, EvidenceCheckError> {
    let mut report = Report::new(EvidenceKind::Checkpoint);
    let Some(key) = signer(note, trust, &mut report)? else { return Ok(report) };
    match Checkpoint::open(note, key) {
        Ok(checkpoint) => {
            report.hold(
                checkpoint.origin.as_str(),
                format!("{} records, root {}, signed", checkpoint.size, checkpoint.root),
            );
            trust.report_cosignatures(checkpoint.origin.as_str(), note, &checkpoint.origin, &mut report);
            compare(&[checkpoint], trust, &mut report)?;
        }
        Err(error) => report.find(key.name().as_str(), error),
    }
    Ok(report)
}

/// The key of the signer that the note names. A text that is not a checkpoint is a finding, and has no signer.
fn signer<'a>(
    note: &SignedNote,
    trust: &'a Trust,
    report: &mut Report,
) -> Result<Option<&'a VerifierKey>, EvidenceCheckError> {
    let said = match Checkpoint::parse(note.text()) {
        Ok(said) => said,
        Err(error) => {
            report.find("its checkpoint", error);
            return Ok(None);
        }
    };
    match (trust.key(&said.origin), trust.keys.is_empty()) {
        (Some(key), _) => Ok(Some(key)),
        (None, true) => Err(EvidenceCheckError::NoKey(said.origin)),
        // If keys are given, only they are trusted.
        (None, false) => {
            let [first, ..] = &*trust.keys else { return Ok(None) };
            let error =
                crate::tlog::CheckpointError::OtherOrigin { found: said.origin, expected: first.name().clone() };
            report.find("its checkpoint", error);
            Ok(None)
        }
    }
}

/// Compares signed heads with those that were kept: heads of the same size must be equal.
fn compare(given: &[Checkpoint], trust: &Trust, report: &mut Report) -> Result<(), EvidenceCheckError> {
    for kept in &trust.checkpoints {
        let opened = SignedNote::parse(&kept.text).map_err(|error| Flaw::Malformed(error.to_string()));
        let opened = opened.and_then(|note| {
            let said = Checkpoint::parse(note.text())?;
            let key = trust.key(&said.origin).ok_or(Flaw::NoOrigin(said.origin))?;
            Ok(Checkpoint::open(&note, key)?)
        });
        let old = match opened {
            Ok(old) => old,
            Err(flaw) => {
                report.find(kept.place.clone(), flaw);
                continue;
            }
        };
        let of_same_log = || given.iter().filter(|new| new.origin == old.origin);
        let newest = of_same_log().max_by_key(|new| new.size);
        match (of_same_log().find(|new| new.size == old.size), newest) {
            (Some(new), _) if new.root == old.root => report.hold(kept.place.clone(), "it is the same head"),
            (Some(new), _) => {
                let flaw = Flaw::Contradiction { size: old.size, old: old.root, new: new.root };
                report.find(kept.place.clone(), flaw);
            }
            (None, Some(new)) if new.size < old.size && report.kind == EvidenceKind::Checkpoint => {
                report.find(kept.place.clone(), Flaw::Shrunk { old: old.size, new: new.size });
            }
            (None, Some(_)) => return Err(EvidenceCheckError::Incomparable { place: kept.place.clone() }),
            (None, None) => report.find(kept.place.clone(), Flaw::NoOrigin(old.origin)),
        }
    }
    Ok(())
}
