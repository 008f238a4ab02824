//! A node's directory, and the node's keys: how a crash leaves them, a backup holds them, and a clone shares them.

use std::collections::BTreeMap;
use std::sync::Arc;

use authledger::cluster::{Anchors, Incarnation, SignedHead};
use authledger::domain::{
    CredentialKey, LedgerId, NodeKey, NodeName, Origin, RecordId, Recorded, Region, Sequence, State, Timestamp,
};
use authledger::event_log::{ChainHash, Head};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

/// The keys that a node signs with.
pub struct Key {
    pair: Ed25519KeyPair,
    pub public: NodeKey,
}

impl Key {
    pub fn of(seed: u64) -> Arc<Self> {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes).unwrap();
        let public = NodeKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
        Arc::new(Self { pair, public })
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}

/// A record in a log.
#[derive(Clone)]
pub struct Entry {
    pub recorded: Arc<Recorded>,
    pub text: Arc<str>,
    pub hash: ChainHash,
}

/// A directory.
#[derive(Clone)]
pub struct Disk {
    pub ledger: LedgerId,
    pub key: Arc<Key>,
    pub name: NodeName,
    pub region: Region,
    /// The origin that the node writes.
    pub own: Origin,
    pub anchors: Anchors,
    /// The keys in them.
    pub told: Vec<NodeKey>,
    pub log: Vec<Entry>,
    /// How much of the log a crash leaves.
    pub synced: usize,
    /// Where each origin's records stand in the log, by sequence.
    pub places: BTreeMap<Origin, Vec<u32>>,
    /// The heads that are kept of each origin, as far as the log is synced.
    pub heads: BTreeMap<Origin, Vec<SignedHead>>,
    /// The run that used it last.
    pub incarnation: Option<Incarnation>,
    /// Runs that were over when it began.
    pub past: Vec<Incarnation>,
    /// The first announcements of other nodes' runs, and when they came: known after a crash, too.
    pub heard: BTreeMap<Incarnation, (NodeKey, Timestamp, Arc<[u8]>)>,
    /// Whether a run of it was admitted, since its own origin was opened.
    pub admitted: bool,
    /// A head of its own origin that the log does not go up to.
    pub signed: Option<SignedHead>,
}

impl Disk {
    /// One that has just been made.
    pub fn create(
        key: Arc<Key>,
        name: NodeName,
        region: Region,
        ledger: LedgerId,
        anchors: Anchors,
        own: Origin,
    ) -> Self {
        Self {
            ledger,
            key,
            name,
            region,
            own,
            anchors,
            told: Vec::new(),
            log: Vec::new(),
            synced: 0,
            places: BTreeMap::new(),
            heads: BTreeMap::new(),
            incarnation: None,
            past: Vec::new(),
            heard: BTreeMap::new(),
            admitted: false,
            signed: None,
        }
    }

    pub fn head(&self, origin: Origin) -> Head {
        let places = self.places.get(&origin).map(Vec::as_slice).unwrap_or_default();
        let hash = places.last().map(|at| self.log[*at as usize].hash).unwrap_or_default();
        Head { sequence: Sequence(places.len() as u64), hash }
    }

    /// Whether the issue of that credential is in the log.
    pub fn has_issued(&self, credential: CredentialKey) -> bool {
        let is_it = |entry: &Entry| {
            let issues = entry.recorded.event.facets().issues;
            issues.is_some_and(|issues| (issues.kind, issues.name.id()) == (credential.kind, credential.id))
        };
        self.log.iter().any(is_it)
    }

    pub fn held(&self, origin: Origin) -> Sequence {
        Sequence(self.places.get(&origin).map_or(0, |places| places.len() as u64))
    }

    /// How far an origin goes in the synced part.
    pub fn durable(&self, origin: Origin) -> Sequence {
        let places = self.places.get(&origin).map(Vec::as_slice).unwrap_or_default();
        Sequence(places.partition_point(|at| (*at as usize) < self.synced) as u64)
    }

    /// How far each origin goes in the synced part.
    pub fn applied(&self) -> BTreeMap<Origin, Sequence> {
        let all = self.places.keys().map(|origin| (*origin, self.durable(*origin)));
        all.filter(|(_, sequence)| sequence.0 > 0).collect()
    }

    pub fn at(&self, place: RecordId) -> Option<&Entry> {
        let at = *self.places.get(&place.origin)?.get((place.sequence.0 as usize).checked_sub(1)?)?;
        self.log.get(at as usize)
    }

    pub fn hash_at(&self, origin: Origin, sequence: Sequence) -> Option<ChainHash> {
        self.at(RecordId { origin, sequence }).map(|entry| entry.hash)
    }

    /// Whether that very record is there, and synced.
    pub fn has(&self, place: RecordId, hash: ChainHash) -> bool {
        self.durable(place.origin) >= place.sequence && self.hash_at(place.origin, place.sequence) == Some(hash)
    }

    pub fn push(&mut self, entry: Entry) {
        let place = entry.recorded.place;
        let places = self.places.entry(place.origin).or_default();
        assert_eq!(places.len() as u64 + 1, place.sequence.0, "{place:?} is not the next of its origin");
        places.push(self.log.len() as u32);
        self.log.push(entry);
    }

    pub fn sign_head(&self, origin: Origin, head: Head) -> SignedHead {
        SignedHead::sign(self.ledger, origin, head, |message| self.key.sign(message))
    }

    pub fn keep(&mut self, head: SignedHead) {
        let kept = self.heads.entry(head.place.origin).or_default();
        if kept.last().is_none_or(|newest| newest.place.sequence < head.place.sequence) {
            kept.push(head);
        }
    }

    /// The directory as a crash leaves it.
    pub fn crash(&mut self) {
        self.log.truncate(self.synced);
        for places in self.places.values_mut() {
            let kept = places.partition_point(|at| (*at as usize) < self.synced);
            places.truncate(kept);
        }
        for (origin, heads) in &mut self.heads {
            let held = self.places.get(origin).map_or(0, |places| places.len() as u64);
            heads.retain(|head| head.place.sequence.0 <= held);
        }
    }

    /// The state that its records fold to.
    pub fn state(&self) -> State {
        let mut state = State::default();
        self.log.iter().for_each(|entry| state.fold(&entry.recorded));
        state
    }
}
