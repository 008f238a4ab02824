//! Kept answers: credentials that are known to be active, by the digest of their secret.
//!
//! An answer is kept as bytes, in two halves: when the young half is full, the old one is dropped, and what was used
//! meanwhile is in the young one. A kept answer is never believed without a look at what is revoked: it notes the number of
//! the last change that it was judged by, and is judged again after each further one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::known::Known;
use crate::clock::boot_millis;
use crate::domain::{Digest, Origin, Sequence, Timestamp};
use crate::follower::HighestGeneration;

/// Parts that are locked on their own.
const SHARDS: usize = 16;
/// What an answer costs beside its bytes: its place in a table that is two thirds full, and what the allocator adds.
const ENTRY_BYTES: usize = 150;

/// The answers.
pub(super) struct KeptAnswers {
    shards: [Mutex<KeptHalves>; SHARDS],
    half_bytes: usize,
    /// The numbers of origins, in the order in which they were met.
    origins: RwLock<Vec<Origin>>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct KeptHalves {
    young: HashMap<Digest, KeptAnswer>,
    young_bytes: usize,
    old: HashMap<Digest, KeptAnswer>,
}

/// One answer.
#[derive(Clone)]
pub(super) struct KeptAnswer {
    bytes: Arc<[u8]>,
    /// When what it is about expires.
    expires_at: Timestamp,
    /// Until when it is believed, by the boot clock.
    until: u64,
    /// The last change of what is revoked by which it was judged.
    judged_at: u64,
    /// The ledger that it is of, by its number.
    ledger: u32,
}

impl KeptAnswer {
    /// An answer that is believed for that long at most.
    pub(super) fn new(known: &Known, ttl: Duration, judged_at: u64, ledger: u32) -> Option<Self> {
        let expires_at = known.expires_at().unwrap_or(Timestamp::MAX);
        let until = boot_millis().saturating_add(ttl.as_millis().try_into().unwrap_or(u64::MAX));
        Some(Self { bytes: known.encode()?.into(), expires_at, until, judged_at, ledger })
    }

    pub(super) fn known(&self) -> Option<Known> {
        Known::decode(&self.bytes)
    }

    pub(super) const fn judged_at(&self) -> u64 {
        self.judged_at
    }

    fn size(&self) -> usize {
        ENTRY_BYTES + self.bytes.len()
    }
}

impl KeptAnswers {
    /// Room for so many bytes in all.
    pub(super) fn new(bytes: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, half_bytes: bytes / SHARDS / 2, origins: RwLock::default(), dropped: AtomicU64::new(0) }
    }

    /// The answer about that secret, if it is believed at that time and is of that ledger.
    pub(super) fn find(&self, digest: &Digest, now: Timestamp, ledger: u32) -> Option<KeptAnswer> {
        let mut halves = self.shard(digest).lock();
        let found = match halves.young.get(digest) {
            Some(found) => found.clone(),
            None => {
                let found = halves.old.remove(digest)?;
                halves.add(*digest, found.clone(), self.half_bytes);
                found
            }
        };
        (now < found.expires_at && boot_millis() < found.until && found.ledger == ledger).then_some(found)
    }

    pub(super) fn keep(&self, digest: Digest, answer: KeptAnswer) {
        self.shard(&digest).lock().add(digest, answer, self.half_bytes);
    }

    /// Notes that nothing up to that change revokes what the answer is about. Another answer may be there by now.
    pub(super) fn judged(&self, digest: &Digest, answer: &KeptAnswer, at: u64) {
        if let Some(found) = self.shard(digest).lock().young.get_mut(digest)
            && Arc::ptr_eq(&found.bytes, &answer.bytes)
        {
            found.judged_at = found.judged_at.max(at);
        }
    }

    /// Drops an answer, because what it is about is revoked.
    pub(super) fn drop_revoked(&self, digest: &Digest) {
        let mut halves = self.shard(digest).lock();
        let young = halves.young.remove(digest);
        if let Some(young) = &young {
            halves.young_bytes -= young.size();
        }
        if young.or_else(|| halves.old.remove(digest)).is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops everything: the ledger is another one.
    pub(super) fn clear(&self) {
        self.shards.iter().for_each(|shard| *shard.lock() = KeptHalves::default());
    }

    pub(super) fn len(&self) -> usize {
        let count = |halves: &KeptHalves| halves.young.len() + halves.old.len();
        self.shards.iter().map(|shard| count(&shard.lock())).sum()
    }

    /// How many answers were dropped because what they were about was revoked.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A generation with the numbers of origins, as it is kept.
    pub(super) fn numbered(&self, generation: &HighestGeneration) -> Vec<(u16, u64)> {
        generation.iter().filter_map(|(origin, sequence)| Some((self.number(*origin)?, sequence.0))).collect()
    }

    /// The generation that was kept so.
    pub(super) fn named(&self, generation: &[(u16, u64)]) -> HighestGeneration {
        let origins = self.origins.read();
        let named = |(number, sequence): &(u16, u64)| Some((*origins.get(usize::from(*number))?, Sequence(*sequence)));
        Arc::new(generation.iter().filter_map(named).collect())
    }

    /// The number of that origin. One beyond those that can be counted has none: a generation without it refuses more.
    fn number(&self, origin: Origin) -> Option<u16> {
        let find = |origins: &[Origin]| origins.iter().position(|one| *one == origin);
        let known = find(&self.origins.read());
        let number = known.or_else(|| {
            let mut origins = self.origins.write();
            find(&origins).or_else(|| {
                (origins.len() <= usize::from(u16::MAX)).then(|| {
                    origins.push(origin);
                    origins.len() - 1
                })
            })
        });
        number.and_then(|number| u16::try_from(number).ok())
    }

    fn shard(&self, digest: &Digest) -> &Mutex<KeptHalves> {
        // Strangers choose secrets, but not their digests.
        &self.shards[usize::from(digest.as_bytes()[0]) % SHARDS]
    }
}

impl KeptHalves {
    fn add(&mut self, digest: Digest, answer: KeptAnswer, half_bytes: usize) {
        let size = answer.size();
        if size > half_bytes {
            return;
        }
        if self.young_bytes + size > half_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&digest);
        match self.young.entry(digest) {
            Entry::Occupied(mut held) => {
                self.young_bytes -= held.get().size();
                held.insert(answer);
            }
            Entry::Vacant(place) => {
                place.insert(answer);
            }
        }
        self.young_bytes += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::known::{KnownKind, Name};

    fn known(subject: &str) -> Known {
        Known {
            kind: KnownKind::Ticket,
            id: Some(Name::new("767144e68e8aac2056101e6880efbb8f")),
            tenant: "default".to_owned(),
            subject: subject.to_owned(),
            issued_at: Some(1_000_000),
            expires_at: Some(2_000_000),
            life: None,
            application: None,
            client: None,
            scope: None,
            audience: Vec::new(),
            aal: None,
            authentication: None,
            cnf: None,
            jwt: None,
            ancestors: Vec::new(),
            generation: Vec::new(),
        }
    }

    fn digest(n: u32) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::default().plus_millis(millis)
    }

    fn answer(subject: &str) -> KeptAnswer {
        KeptAnswer::new(&known(subject), Duration::from_secs(60), 7, 1).expect("encodable")
    }

    #[test]
    fn an_answer_is_found_until_it_expires_and_only_of_its_ledger() {
        let kept = KeptAnswers::new(1 << 20);
        kept.keep(digest(1), answer("alice"));
        let found = kept.find(&digest(1), at(1_999_999), 1).expect("kept");
        assert_eq!(found.known().map(|known| known.subject), Some("alice".to_owned()));
        assert!(kept.find(&digest(1), at(2_000_000), 1).is_none(), "expired");
        assert!(kept.find(&digest(1), at(0), 2).is_none(), "of another ledger");
        kept.judged(&digest(1), &found, 9);
        assert_eq!(kept.find(&digest(1), at(0), 1).map(|found| found.judged_at()), Some(9));
        kept.keep(digest(1), answer("bob"));
        kept.judged(&digest(1), &found, 12);
        assert_eq!(kept.find(&digest(1), at(0), 1).map(|found| found.judged_at()), Some(7), "another answer by now");
        kept.drop_revoked(&digest(1));
        assert!(kept.find(&digest(1), at(0), 1).is_none());
        assert_eq!((kept.dropped(), kept.len()), (1, 0));
    }

    #[test]
    fn a_flood_stays_within_the_room_and_what_is_used_stays() {
        let kept = KeptAnswers::new(1 << 20);
        kept.keep(digest(0), answer("used"));
        for n in 1..100_000 {
            kept.keep(digest(n), answer("flood"));
            assert!(n % 50 != 0 || kept.find(&digest(0), at(0), 1).is_some(), "dropped at {n}");
        }
        let size = answer("flood").size();
        assert!(kept.len() * size <= 1 << 20, "{} answers of {size} bytes", kept.len());
        assert!(kept.len() * size > 1 << 19);
    }

    #[test]
    fn a_generation_comes_back_as_it_was() {
        let kept = KeptAnswers::new(1 << 20);
        let origins = [1_u8, 2, 3].map(|n| Origin::from_random([n; Origin::LEN]));
        let generation: HighestGeneration = Arc::new(origins.into_iter().zip([5, 6, 7].map(Sequence)).collect());
        assert_eq!(kept.named(&kept.numbered(&generation)), generation);
    }
}
