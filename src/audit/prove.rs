//! Proofs made from a log: that an event is under a checkpoint, and that a later checkpoint continues an earlier one.
//!
//! The log is read from its beginning, and its chain followed, up to the last record that the checkpoint covers: so the
//! command has seen that its log leads to the signed root.

use std::path::Path;

use super::evidence::checkpoints_in;
use super::forest::{Forest, Grown};
use super::trust::{Believed, KeptCheckpoint, Openings, Trust};
use super::{AuditError, EvidenceCheckError, Flaw, pages};
use crate::domain::{Event, Origin, Position, RecordId, Sequence};
use crate::event_log::{Base, Reader, RowRecord, StoredRecord};
use crate::tlog::{
    Checkpoint, ConsistencyProof, GatheredHashes, InclusionProof, Missing, SignedNote, TreeHash, consistency_proof,
    inclusion_proof,
};

/// The event that a proof is for.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// The one at that position of this file.
    Position(Position),
    /// The one at that place of its origin.
    Place(RecordId),
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log can't be opened or read, or is damaged.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// A file beside it can't be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceCheckError),
    /// There is no such event.
    #[error("prove an event that is not in the log: {0}")]
    NoEvent(String),
    /// There is no checkpoint.
    #[error(
        "there is no checkpoint of origin {0} beside the log; name one with --checkpoint, or let the server sign one"
    )]
    NoCheckpoint(Origin),
    /// The event came after the checkpoint.
    #[error(
        "origin {origin} has signed its first {size} records, and the event is its {sequence}th: wait for the next checkpoint, \
         which a running server signs within seconds, or name a newer one with --checkpoint"
    )]
    Newer {
        /// The event's origin.
        origin: Origin,
        /// The event's sequence.
        sequence: Sequence,
        /// The size of the checkpoint.
        size: u64,
    },
    /// A checkpoint is of another origin than the event, or than the other checkpoint.
    #[error("{place} is a checkpoint of origin {found}, and one of origin {due} is needed")]
    OtherOrigin {
        /// The checkpoint.
        place: String,
        found: Origin,
        /// The one that is needed.
        due: Origin,
    },
    /// The earlier checkpoint is the later one.
    #[error(
        "{place} covers {old} records, and the one that should continue it {new}: give the earlier one with --from"
    )]
    Order {
        /// The earlier one.
        place: String,
        /// Its size.
        old: u64,
        /// The later one's size.
        new: u64,
    },
    /// A checkpoint does not hold against this log.
    #[error("{place}: {flaw}")]
    Found {
        /// The checkpoint.
        place: String,
        flaw: Box<Flaw>,
    },
    /// The tree does not have a hash that the proof needs.
    #[error(transparent)]
    Missing(#[from] Missing),
}

impl ProveError {
    /// Whether the log or a checkpoint is damaged, rather than the question wrong.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => error.is_damage(),
            Self::Found { .. } => true,
            _ => false,
        }
    }
}

/// Proves that an event is in the newest checkpoint beside the log, or in the one that is given.
pub fn prove_inclusion(
    ledger: &Path,
    which: Which,
    checkpoint: Option<KeptCheckpoint>,
    trust: &Trust,
    mut progress: impl FnMut(Position, Position),
) -> Result<InclusionProof, ProveError> {
    let reader = Reader::open(ledger).map_err(AuditError::from)?;
    let stored = find(&reader, which)?;
    let RecordId { origin, sequence } = stored.place;
    let kept = checkpoint.map_or_else(|| newest(ledger, origin), Ok)?;
    let checkpoint = believe(&kept, trust, &openings(&reader)?, origin)?;
    if sequence.0 > checkpoint.size {
        return Err(ProveError::Newer { origin, sequence, size: checkpoint.size });
    }
    let (index, size) = (sequence.0 - 1, checkpoint.size);
    let mut wanted = GatheredHashes::default();
    wanted.want(|nodes| inclusion_proof(index, size, nodes));
    let tree = grow(&reader, origin, &[(&kept, &checkpoint)], wanted, &mut progress)?;
    let hashes = inclusion_proof(index, size, &tree.gathered)?;
    Ok(InclusionProof { record: stored.record.into_boxed_bytes(), index, hashes, checkpoint: note(&kept)? })
}

/// Proves that a later checkpoint, or the newest one beside the log, continues an earlier one.
pub fn prove_consistency(
    ledger: &Path,
    from: &KeptCheckpoint,
    to: Option<KeptCheckpoint>,
    trust: &Trust,
    mut progress: impl FnMut(Position, Position),
) -> Result<ConsistencyProof, ProveError> {
    let reader = Reader::open(ledger).map_err(AuditError::from)?;
    let openings = openings(&reader)?;
    let Believed { origin, checkpoint: old } = trust.believe(from, &openings).map_err(found(from))?;
    let kept = to.map_or_else(|| newest(ledger, origin), Ok)?;
    let new = believe(&kept, trust, &openings, origin)?;
    if old.size > new.size {
        return Err(ProveError::Order { place: from.place.clone(), old: old.size, new: new.size });
    }
    let mut wanted = GatheredHashes::default();
    wanted.want(|nodes| consistency_proof(old.size, new.size, nodes));
    let tree = grow(&reader, origin, &[(from, &old), (&kept, &new)], wanted, &mut progress)?;
    let hashes = consistency_proof(old.size, new.size, &tree.gathered)?;
    Ok(ConsistencyProof { old: note(from)?, hashes, checkpoint: note(&kept)? })
}

fn find(reader: &Reader, which: Which) -> Result<StoredRecord, ProveError> {
    let found = match which {
        Which::Position(position) => reader.find(position),
        Which::Place(place) => reader.find_place(place),
    };
    let found = found.map_err(|error| AuditError::from_read(error, &Base::default()))?;
    found.ok_or_else(|| {
        ProveError::NoEvent(match which {
            Which::Position(position) => format!("it has no position {position}"),
            Which::Place(place) => format!("origin {} has no sequence {}", place.origin, place.sequence),
        })
    })
}

/// The newest checkpoint of that origin beside the log.
fn newest(ledger: &Path, origin: Origin) -> Result<KeptCheckpoint, ProveError> {
    let beside = ledger.parent().unwrap_or(Path::new("")).join("checkpoints");
    let kept = checkpoints_in(&beside)?.into_iter().find(|kept| kept.origin == Some(origin));
    kept.ok_or(ProveError::NoCheckpoint(origin))
}

fn believe(kept: &KeptCheckpoint, trust: &Trust, openings: &Openings, due: Origin) -> Result<Checkpoint, ProveError> {
    let believed = trust.believe(kept, openings).map_err(found(kept))?;
    if believed.origin == due {
        return Ok(believed.checkpoint);
    }
    Err(ProveError::OtherOrigin { place: kept.place.clone(), found: believed.origin, due })
}

/// The keys that the origins of this log were opened with.
pub(super) fn openings(reader: &Reader) -> Result<Openings, AuditError> {
    let failed = |error| AuditError::from_read(error, &Base::default());
    let mut openings = Openings::new();
    for origin in reader.origins().map_err(failed)? {
        let first = reader.find_place(RecordId { origin, sequence: Sequence(1) }).map_err(failed)?;
        let Some(first) = first else { continue };
        if let Event::LedgerOpened(opened) = first.decode().map_err(failed)?.event {
            openings.insert(origin, opened.public_key);
        }
    }
    Ok(openings)
}

/// Grows the origin's tree as far as the last of the checkpoints goes, and compares its roots with theirs.
fn grow(
    reader: &Reader,
    origin: Origin,
    checkpoints: &[(&KeptCheckpoint, &Checkpoint)],
    gathered: GatheredHashes,
    progress: &mut impl FnMut(Position, Position),
) -> Result<Grown, ProveError> {
    let last = checkpoints.iter().map(|(_, checkpoint)| checkpoint.size).max().unwrap_or(0);
    let until = position_of(reader, RecordId { origin, sequence: Sequence(last) })?;
    let mut forest = Forest::with_roots_at(checkpoints.iter().map(|(_, checkpoint)| checkpoint.size));
    forest.tree(origin).gathered = gathered;
    let head = reader.head().map_err(|error| AuditError::from_read(error, &Base::default()))?;
    let leaf = |row: &RowRecord<'_>| Ok((row.place.origin == origin).then(|| TreeHash::of_leaf(row.record.as_bytes())));
    pages::read(reader, until.unwrap_or(head), progress, leaf, |leaves| {
        leaves.into_iter().flatten().for_each(|leaf| forest.take(origin, leaf));
        Ok(())
    })?;
    let tree = std::mem::take(forest.tree(origin));
    for (kept, checkpoint) in checkpoints {
        let (size, root, records) = (checkpoint.size, checkpoint.root, tree.size());
        match tree.root_at(size) {
            None => return Err(found(kept)(Flaw::CutOff { origin, size, records })),
            Some(computed) if computed != root => {
                return Err(found(kept)(Flaw::Rewritten { origin, size, computed, root }));
            }
            Some(_) => {}
        }
    }
    Ok(tree)
}

/// The position of that record, if it exists.
fn position_of(reader: &Reader, place: RecordId) -> Result<Option<Position>, AuditError> {
    let found = reader.find_place(place).map_err(|error| AuditError::from_read(error, &Base::default()))?;
    Ok(found.map(|stored| stored.position))
}

fn note(kept: &KeptCheckpoint) -> Result<SignedNote, ProveError> {
    SignedNote::parse(&kept.text).map_err(|error| found(kept)(Flaw::Malformed(error.to_string())))
}

fn found(kept: &KeptCheckpoint) -> impl FnOnce(Flaw) -> ProveError {
    let place = kept.place.clone();
    move |flaw| ProveError::Found { place, flaw: Box::new(flaw) }
}
