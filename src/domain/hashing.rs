//! How tables hash their keys: several times as fast as the standard library's hasher, and seeded like it.

use std::hash::{BuildHasher, Hasher as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// A table whose keys come from outside.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, Hashing>;

static SEED: OnceLock<SharedSeed> = OnceLock::new();
/// Each table's own part: keys that leave one table in its order and enter another would otherwise collide there.
static TABLES: AtomicU64 = AtomicU64::new(0);

/// Hashes with a seed of its own, drawn from one that the process draws from the operating system's randomness: nobody
/// outside can choose keys that collide.
#[derive(Clone, Debug)]
pub struct Hashing(SeedableRandomState);

impl Hashing {
    /// Makes all tables of this process equal to those of another one with the same number, if it is called before
    /// there is a table. For a benchmark that counts instructions: whether two keys collide, or a table grows, is
    /// otherwise random.
    #[doc(hidden)]
    pub fn seed_all(seed: u64) {
        assert!(SEED.set(SharedSeed::from_u64(seed)).is_ok(), "a table has been made");
    }
}

impl Default for Hashing {
    fn default() -> Self {
        let seed = SEED.get_or_init(|| SharedSeed::from_u64(std::hash::RandomState::new().build_hasher().finish()));
        Self(SeedableRandomState::with_seed(TABLES.fetch_add(1, Ordering::Relaxed), seed))
    }
}

impl BuildHasher for Hashing {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
