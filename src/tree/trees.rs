//! The trees of a running node: grown by one thread, read by many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::{Checkpoints, GrownTree, TreeError};
use crate::domain::{Origin, RecordId};
use crate::event_log::Base;
use crate::tlog::{Checkpoint, InclusionProof, KeyName, SignedNote, Tile, TreeHash, VerifierKey, inclusion_proof};

/// A checkpoint that this node holds, its signature checked.
#[derive(Clone, Debug)]
pub struct SignedCheckpoint {
    pub note: Arc<SignedNote>,
    /// Its content.
    pub checkpoint: Checkpoint,
    /// The key that it is verified with.
    pub key: VerifierKey,
}

/// Why a node does not start with the checkpoints that it has signed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointStartError {
    /// They can't be read, or are not of this log.
    #[error(
        "{0}; this node has shown the file's checkpoint to others: put back a copy, or move it away to continue without it"
    )]
    Unreadable(#[from] TreeError),
    /// The log ends before the checkpoint.
    #[error(
        "the event log was rolled back: origin {origin} ends at sequence {head}, and {} holds a checkpoint over {size} records of it that this node has signed; continuing would contradict that. Put back the newest ledger.db, or make a ledger that continues under a new origin: authledger restore", path.display()
    )]
    RolledBack {
        origin: Origin,
        /// The end of its log.
        head: u64,
        /// The size of the checkpoint.
        size: u64,
        /// The checkpoint.
        path: PathBuf,
    },
    /// The name was fixed with the first checkpoint.
    #[error(
        "--checkpoint-origin is {set}, and this origin's checkpoints are signed as {fixed}, fixed with the first of them: set it to {fixed}, or leave it out"
    )]
    OtherName {
        /// The name that was set.
        set: KeyName,
        /// The name that is fixed.
        fixed: KeyName,
    },
    /// Another log's checkpoints have the name.
    #[error(
        "--checkpoint-origin is {set}, and checkpoints of origin {origin} have that name: two logs under one name would contradict each other; set another"
    )]
    TakenName {
        /// The name that was set.
        set: KeyName,
        /// The origin that has the name.
        origin: Origin,
    },
}

/// The trees of all origins that this node holds.
pub struct Trees {
    data: PathBuf,
    own: Origin,
    key: VerifierKey,
    checkpoints: Checkpoints,
    held: RwLock<BTreeMap<Origin, Arc<OriginTree>>>,
    /// The size of this node's own newest checkpoint.
    signed_size: watch::Sender<u64>,
    contradiction: OnceLock<String>,
    /// Why the trees do not grow, for as long as they do not.
    trouble: RwLock<Option<String>>,
}

/// One origin's tree and checkpoint. There is no tree until it has been opened.
#[derive(Default)]
pub(super) struct OriginTree {
    pub(super) tree: RwLock<Option<GrownTree>>,
    pub(super) signed: RwLock<Option<SignedCheckpoint>>,
}

impl Trees {
    /// The trees over a log with the heads of `base`. `keys` has the public key of each origin in it, and of `own`.
    ///
    /// The [`Keeper`](super::Keeper) opens the trees themselves; this checks only the reasons for not signing: a log
    /// that ends before its checkpoint, and another name.
    pub fn new(
        data: &Path,
        own: Origin,
        keys: &BTreeMap<Origin, [u8; 32]>,
        base: &Base,
        name: Option<KeyName>,
    ) -> Result<Self, CheckpointStartError> {
        let checkpoints = Checkpoints::of(data);
        let mut held = BTreeMap::new();
        for (origin, public) in keys {
            let signed = find(&checkpoints, *origin, *public)?;
            let one = OriginTree { tree: RwLock::default(), signed: RwLock::new(signed) };
            held.insert(*origin, Arc::new(one));
        }
        let name = settle_name(own, &held, name)?;
        let signed = held.get(&own).and_then(|own| own.signed.read().clone());
        let size = signed.as_ref().map_or(0, |signed| signed.checkpoint.size);
        let head = base.heads.get(&own).map_or(0, |head| head.sequence.0);
        if size > head {
            return Err(CheckpointStartError::RolledBack { origin: own, head, size, path: checkpoints.path(own) });
        }
        let key = VerifierKey::new(name, keys.get(&own).copied().unwrap_or_default());
        let (data, held, signed_size) = (data.to_owned(), RwLock::new(held), watch::Sender::new(size));
        Ok(Self {
            data,
            own,
            key,
            checkpoints,
            held,
            signed_size,
            contradiction: OnceLock::new(),
            trouble: RwLock::default(),
        })
    }

    /// This node's own origin.
    pub fn own(&self) -> Origin {
        self.own
    }

    /// The key that verifies this node's checkpoints.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The newest checkpoint of that origin, if there is one here.
    pub fn signed(&self, origin: Origin) -> Option<SignedCheckpoint> {
        self.held.read().get(&origin)?.signed.read().clone()
    }

    /// Why this node no longer signs: its log contradicts its checkpoints.
    pub fn contradiction(&self) -> Option<&str> {
        self.contradiction.get().map(String::as_str)
    }

    /// Why the trees do not grow, or nothing is signed, for as long as that lasts.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().clone()
    }

    /// Notes what keeps the trees from growing, or that nothing does any more; returns whether that is news.
    pub(super) fn note_trouble(&self, trouble: Option<String>) -> bool {
        let mut noted = self.trouble.write();
        let news = *noted != trouble;
        *noted = trouble;
        news
    }

    /// The hashes of that tile, within the newest checkpoint.
    pub fn tile(&self, origin: Origin, tile: Tile) -> Result<Option<Vec<TreeHash>>, TreeError> {
        if !self.signed(origin).is_some_and(|signed| tile.is_in(signed.checkpoint.size)) {
            return Ok(None);
        }
        let Some(held) = self.held.read().get(&origin).cloned() else { return Ok(None) };
        let tree = held.tree.read();
        tree.as_ref().map_or(Ok(None), |tree| tree.tile(tile))
    }

    /// The newest checkpoint that covers that place. If it is one of this node's own and due, this waits for it, within
    /// `patience`.
    pub async fn covering(&self, place: RecordId, patience: Duration) -> Option<SignedCheckpoint> {
        if place.origin == self.own {
            let mut sizes = self.signed_size.subscribe();
            let covered = sizes.wait_for(|size| *size >= place.sequence.0);
            // If it waited in vain, no checkpoint is found below.
            let _ = tokio::time::timeout(patience, covered).await;
        }
        self.signed(place.origin).filter(|signed| signed.checkpoint.size >= place.sequence.0)
    }

    /// The proof that the record at that place is in that checkpoint's tree.
    pub fn prove(
        &self,
        place: RecordId,
        record: &[u8],
        signed: &SignedCheckpoint,
    ) -> Result<Option<InclusionProof>, TreeError> {
        let Some(held) = self.held.read().get(&place.origin).cloned() else { return Ok(None) };
        let tree = held.tree.read();
        let Some(tree) = tree.as_ref() else { return Ok(None) };
        let index = place.sequence.0 - 1;
        let hashes = inclusion_proof(index, signed.checkpoint.size, tree)?;
        Ok(Some(InclusionProof { record: record.into(), index, hashes, checkpoint: (*signed.note).clone() }))
    }

    pub(super) fn hold(&self, origin: Origin) -> Arc<OriginTree> {
        if let Some(held) = self.held.read().get(&origin) {
            return held.clone();
        }
        self.held.write().entry(origin).or_default().clone()
    }

    pub(super) fn directory(&self, origin: Origin) -> PathBuf {
        super::tiles(&self.data, origin)
    }

    /// Shows a checkpoint of this node, once it is durable.
    pub(super) fn publish(&self, signed: SignedCheckpoint) -> Result<(), TreeError> {
        self.checkpoints.store(self.own, &signed.note)?;
        let size = signed.checkpoint.size;
        *self.hold(self.own).signed.write() = Some(signed);
        self.signed_size.send_replace(size);
        Ok(())
    }

    /// Drops every tree, so that it is opened again.
    pub(super) fn close(&self) {
        self.held.read().values().for_each(|held| *held.tree.write() = None);
    }

    pub(super) fn contradicted(&self, explanation: String) {
        tracing::error!(explanation, "this node does not sign any more");
        let _ = self.contradiction.set(explanation); // The first stands.
    }
}

/// The newest checkpoint of that origin, if that origin has signed it.
fn find(checkpoints: &Checkpoints, origin: Origin, public: [u8; 32]) -> Result<Option<SignedCheckpoint>, TreeError> {
    let Some(note) = checkpoints.find(origin)? else { return Ok(None) };
    let refused = |source| TreeError::NoCheckpoint { path: checkpoints.path(origin), source };
    let name = Checkpoint::parse(note.text()).map_err(refused)?.origin;
    let key = VerifierKey::new(name, public);
    let checkpoint = Checkpoint::open(&note, &key).map_err(refused)?;
    Ok(Some(SignedCheckpoint { note: Arc::new(note), checkpoint, key }))
}

fn settle_name(
    own: Origin,
    held: &BTreeMap<Origin, Arc<OriginTree>>,
    set: Option<KeyName>,
) -> Result<KeyName, CheckpointStartError> {
    let fixed = |held: &OriginTree| held.signed.read().as_ref().map(|signed| signed.key.name().clone());
    match (held.get(&own).and_then(|held| fixed(held)), set) {
        (Some(fixed), Some(set)) if fixed != set => Err(CheckpointStartError::OtherName { set, fixed }),
        (Some(fixed), _) => Ok(fixed),
        (None, Some(set)) => match held.iter().find(|(_, held)| fixed(held).as_ref() == Some(&set)) {
            Some((origin, _)) => Err(CheckpointStartError::TakenName { set, origin: *origin }),
            None => Ok(set),
        },
        (None, None) => Ok(KeyName::of_origin(own)),
    }
}
