//! The thread that grows the trees behind the log, and signs checkpoints over this node's own.
//!
//! It is fed the hash of each durable record. Hashes that it was not fed, because it was not there yet or could not
//! keep up, it reads from the log; so nothing waits for it. A checkpoint is durable before it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use super::trees::{SignedCheckpoint, Trees};
use super::{GrownTree, TreeError};
use crate::domain::{Origin, Position, RecordId, Sequence};
use crate::event_log::{Base, MAX_PAGE_ROWS, Reader};
use crate::tlog::{Checkpoint, TreeHash, root};

/// Batches of leaves in the queue: a keeper that falls further behind reads the log instead.
const QUEUE_BATCHES: usize = 1_024;
/// Between two checkpoints, so that the disk is not kept busy with them. Half of the time that is promised to waiting
/// callers.
const SIGN_EVERY: Duration = Duration::from_millis(500);
/// How long the thread lets batches gather once there is one, so that it is not woken for each.
const GATHER: Duration = Duration::from_millis(20);
/// How long a stop waits for a tree that is far behind its log; the next start continues it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The hash of a durable record.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// The record's place.
    pub place: RecordId,
    /// The hash of its bytes.
    pub hash: TreeHash,
}

/// Signs for this node's origin: the Ed25519 signature over a message.
pub type Signer = Box<dyn Fn(&[u8]) -> [u8; 64] + Send>;

/// The entrance for leaves. It never blocks.
#[derive(Clone)]
pub struct LeafFeed {
    queue: SyncSender<Vec<Leaf>>,
    lost: Arc<AtomicBool>,
}

impl LeafFeed {
    /// Hands in the leaves of a commit, in order.
    pub fn send(&self, leaves: Vec<Leaf>) {
        if self.queue.try_send(leaves).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

/// The thread.
pub struct Keeper {
    stopping: Arc<OnceLock<Instant>>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it on the trees of that log.
    pub fn spawn(trees: Arc<Trees>, reader: Arc<Reader>, signer: Signer) -> std::io::Result<(Self, LeafFeed)> {
        let (queue, fed) = sync_channel(QUEUE_BATCHES);
        let lost = Arc::new(AtomicBool::new(false));
        let stopping = Arc::new(OnceLock::new());
        let gardener = Gardener {
            trees,
            reader,
            signer,
            lost: lost.clone(),
            stopping: stopping.clone(),
            pledged: BTreeMap::new(),
            grown_anew: BTreeSet::new(),
            signed_at: None,
        };
        let thread = std::thread::Builder::new().name("tree".to_owned()).spawn(move || gardener.run(&fed))?;
        Ok((Self { stopping, thread }, LeafFeed { queue, lost }))
    }

    /// Waits until the fed leaves are in the trees and signed. Every [`LeafFeed`] must be gone by then.
    pub fn stop(self) {
        // Stopped once, because this takes the keeper.
        let _ = self.stopping.set(Instant::now());
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread that grows the tree panicked; the next start grows it again");
        }
    }
}

/// The result of a leaf.
enum Step {
    /// The tree has it.
    Grown,
    /// Leaves before it are missing.
    Gap,
    /// The tree that it completes is not the one that its origin has signed.
    Contradiction(Contradiction),
}

struct Contradiction {
    origin: Origin,
    size: u64,
    computed: TreeHash,
    signed: TreeHash,
}

struct Gardener {
    trees: Arc<Trees>,
    reader: Arc<Reader>,
    signer: Signer,
    lost: Arc<AtomicBool>,
    stopping: Arc<OnceLock<Instant>>,
    /// The roots that trees must have at those sizes.
    pledged: BTreeMap<Origin, (u64, TreeHash)>,
    /// Origins whose tree was grown from the log alone, without an earlier tile.
    grown_anew: BTreeSet<Origin>,
    signed_at: Option<Instant>,
}

impl Gardener {
    fn run(mut self, fed: &Receiver<Vec<Leaf>>) {
        self.attempt(Self::catch_up);
        loop {
            match fed.recv_timeout(self.until_due()) {
                Ok(leaves) => {
                    if self.stopping.get().is_none() {
                        park_timeout(GATHER);
                    }
                    self.attempt(|one| one.take(&leaves));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // Leaves that have come meanwhile go under the same signature.
            for leaves in fed.try_iter().take(QUEUE_BATCHES) {
                self.attempt(|one| one.take(&leaves));
            }
            if self.lost.swap(false, Ordering::AcqRel) {
                self.attempt(Self::catch_up);
            }
            if self.until_due().is_zero() {
                self.attempt(Self::sign);
            }
        }
        self.attempt(Self::catch_up);
        self.attempt(Self::sign);
    }

    fn until_due(&self) -> Duration {
        let Some(signed_at) = self.signed_at else { return Duration::ZERO };
        SIGN_EVERY.saturating_sub(signed_at.elapsed())
    }

    /// A failure here keeps no caller from being answered. It is logged, and the trees are opened again.
    fn attempt(&mut self, what: impl FnOnce(&mut Self) -> Result<(), TreeError>) {
        let Err(error) = what(self) else { return };
        if self.trees.note_trouble(Some(error.to_string())) {
            tracing::warn!(%error, "the tree does not grow, or no checkpoint could be kept; it is tried again");
        }
        self.lost.store(true, Ordering::Release);
        self.trees.close();
        // Not at once: a disk that is full stays so for a while.
        self.signed_at = Some(Instant::now());
    }

    fn take(&mut self, leaves: &[Leaf]) -> Result<(), TreeError> {
        for leaf in leaves {
            match self.append(leaf)? {
                Step::Grown => {}
                Step::Gap => return self.catch_up(),
                Step::Contradiction(found) => {
                    self.contradicted(&found)?;
                    return self.catch_up();
                }
            }
        }
        Ok(())
    }

    /// Reads the leaves that the trees lack from the log.
    fn catch_up(&mut self) -> Result<(), TreeError> {
        while let Some(first) = self.first_missing()? {
            let mut base = self.reader.base_at(Position(first.0 - 1))?;
            match self.read_on(&mut base)? {
                Some(found) => self.contradicted(&found)?,
                None => break,
            }
        }
        Ok(())
    }

    fn read_on(&mut self, base: &mut Base) -> Result<Option<Contradiction>, TreeError> {
        while self.stopping.get().is_none_or(|since| since.elapsed() < PATIENCE) {
            let page = self.reader.next_page(base, MAX_PAGE_ROWS)?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                let leaf = Leaf { place: stored.place, hash: TreeHash::of_leaf(stored.record.as_bytes()) };
                if let Step::Contradiction(found) = self.append(&leaf)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The first position in the log that no tree has. Trees that are not open are opened.
    fn first_missing(&mut self) -> Result<Option<Position>, TreeError> {
        let mut first: Option<Position> = None;
        for origin in self.reader.origins()? {
            let sequence = Sequence(self.size_of(origin)?);
            let missing = self.reader.position_after(RecordId { origin, sequence })?;
            first = first.into_iter().chain(missing).min();
        }
        Ok(first)
    }

    fn size_of(&mut self, origin: Origin) -> Result<u64, TreeError> {
        let held = self.trees.hold(origin);
        if let Some(tree) = &*held.tree.read() {
            return Ok(tree.size());
        }
        let signed = self.trees.signed(origin).map(|signed| (signed.checkpoint.size, signed.checkpoint.root));
        self.pledged.extend(signed.map(|signed| (origin, signed)));
        let trusted = if self.grown_anew.contains(&origin) { 0 } else { signed.map_or(0, |(size, _)| size) };
        let tree = GrownTree::open(&self.trees.directory(origin), trusted)?;
        let (size, fits) = (tree.size(), self.fits(origin, &tree)?);
        *held.tree.write() = Some(tree);
        match fits {
            Step::Contradiction(found) => self.contradicted(&found).map(|()| 0),
            Step::Grown | Step::Gap => Ok(size),
        }
    }

    fn append(&self, leaf: &Leaf) -> Result<Step, TreeError> {
        let RecordId { origin, sequence } = leaf.place;
        let held = self.trees.hold(origin);
        let mut tree = held.tree.write();
        let Some(tree) = tree.as_mut() else { return Ok(Step::Gap) };
        let due = tree.size() + 1;
        if sequence.0 != due {
            return Ok(if sequence.0 < due { Step::Grown } else { Step::Gap });
        }
        tree.append(leaf.hash)?;
        self.fits(origin, tree)
    }

    /// Compares a tree that has reached the size that its origin has signed.
    fn fits(&self, origin: Origin, tree: &GrownTree) -> Result<Step, TreeError> {
        let Some((size, signed)) = self.pledged.get(&origin).copied().filter(|(size, _)| *size == tree.size()) else {
            return Ok(Step::Grown);
        };
        let computed = root(size, tree)?;
        if computed == signed {
            return Ok(Step::Grown);
        }
        Ok(Step::Contradiction(Contradiction { origin, size, computed, signed }))
    }

    /// Tiles may be wrong; the log may not.
    fn contradicted(&mut self, found: &Contradiction) -> Result<(), TreeError> {
        let Contradiction { origin, size, computed, signed } = found;
        if self.grown_anew.insert(*origin) {
            tracing::warn!(%origin, "the tiles do not lead to the newest checkpoint; they are grown again from the log");
            *self.trees.hold(*origin).tree.write() = Some(GrownTree::create(&self.trees.directory(*origin))?);
            return Ok(());
        }
        self.pledged.remove(origin);
        self.trees.contradicted(format!(
            "the first {size} records of origin {origin} lead to the root {computed}, and its checkpoint over them says {signed}:              the log was changed; compare it with a backup: authledger-audit verify"
        ));
        Ok(())
    }

    /// Signs this node's own tree, if it is larger than before.
    fn sign(&mut self) -> Result<(), TreeError> {
        self.signed_at = Some(Instant::now());
        let (own, key) = (self.trees.own(), self.trees.key());
        let checkpoint = match &*self.trees.hold(own).tree.read() {
            Some(tree) if tree.size() > self.trees.signed(own).map_or(0, |signed| signed.checkpoint.size) => {
                Checkpoint { origin: key.name().clone(), size: tree.size(), root: root(tree.size(), tree)? }
            }
            _ => return Ok(()),
        };
        if self.trees.contradiction().is_some() {
            return Ok(());
        }
        let note = checkpoint.sign(key, |message| (self.signer)(message));
        self.trees.publish(SignedCheckpoint { note: Arc::new(note), checkpoint, key: key.clone() })?;
        self.trees.note_trouble(None);
        Ok(())
    }
}
