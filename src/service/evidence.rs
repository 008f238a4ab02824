//! Evidence that the log was not changed: proofs, tiles and entries.

use std::time::Duration;

use super::records::audit_everywhere;
use super::{CallerIdentity, Error, Failure, Service};
use crate::domain::{Origin, Position, RecordId, Sequence};
use crate::tlog::{InclusionProof, Tile};
use crate::tree::{SignedCheckpoint, TreeError};

/// How long a proof waits for the checkpoint over a record that was just stored: twice the promised time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// No checkpoint that is held here covers the record: its origin has not signed one, or this node cannot sign one.
    #[error("prove the record: no checkpoint covers it yet")]
    CheckpointPending,
    /// The tree can't be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The log can't be read, or the caller may not read it.
    #[error(transparent)]
    Service(#[from] Error),
}

impl From<Failure> for EvidenceError {
    fn from(failure: Failure) -> Self {
        Self::Service(failure.into())
    }
}

impl Service {
    /// Proves that the record at that position is in its origin's tree, under a signed checkpoint; nothing if there is
    /// no such record. Needs `audit` in every tenant. A record that was just stored waits for the next checkpoint.
    pub async fn prove(
        &self,
        identity: &CallerIdentity,
        position: Position,
    ) -> Result<Option<InclusionProof>, EvidenceError> {
        let Some(stored) = self.event(identity, position).await? else { return Ok(None) };
        let signed = self.log.trees.covering(stored.place, PATIENCE).await.ok_or(EvidenceError::CheckpointPending)?;
        let trees = self.log.trees.clone();
        let proof = blocking(move || trees.prove(stored.place, stored.record.as_bytes(), &signed)).await?;
        proof.map(Some).ok_or(EvidenceError::CheckpointPending)
    }

    /// The newest checkpoint of that origin, if one is held here. Anybody may see it.
    pub fn checkpoint(&self, origin: Origin) -> Option<SignedCheckpoint> {
        self.log.trees.signed(origin)
    }

    /// The bytes of that tile, within the newest checkpoint. Anybody may see it: it has only hashes.
    pub async fn tile(&self, origin: Origin, tile: Tile) -> Result<Option<Vec<u8>>, EvidenceError> {
        let trees = self.log.trees.clone();
        let hashes = blocking(move || trees.tile(origin, tile)).await?;
        Ok(hashes.map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()))
    }

    /// The records whose hashes are in that tile of level 0, each after its length in two big-endian bytes. Needs
    /// `audit` in every tenant.
    pub async fn entries(
        &self,
        identity: &CallerIdentity,
        origin: Origin,
        tile: Tile,
    ) -> Result<Option<Vec<u8>>, EvidenceError> {
        audit_everywhere(identity)?;
        if !self.log.trees.signed(origin).is_some_and(|signed| tile.is_in(signed.checkpoint.size)) {
            return Ok(None);
        }
        let bundle = self.read(move |reader| {
            let (mut bundle, mut left) = (Vec::new(), usize::from(tile.width));
            let mut next = RecordId { origin, sequence: Sequence(tile.index * u64::from(Tile::WIDTH) + 1) };
            while left > 0 {
                let run = reader.run_from(next, left)?;
                for stored in &run {
                    // No record is longer than 65,535 bytes.
                    bundle.extend_from_slice(&(stored.record.len() as u16).to_be_bytes());
                    bundle.extend_from_slice(stored.record.as_bytes());
                }
                let Some(last) = run.last() else { return Ok(None) };
                next.sequence = last.place.sequence.next();
                left -= run.len();
            }
            Ok(Some(bundle))
        });
        Ok(bundle.await?)
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, TreeError> + Send + 'static,
) -> Result<T, EvidenceError> {
    // A task that panicked or was cancelled at shutdown has no answer.
    Ok(tokio::task::spawn_blocking(read).await.map_err(Failure::of_task)??)
}
