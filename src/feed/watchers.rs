//! Those who watch single credentials: each is woken by the records that may have made its credential inactive, and by no
//! others, so thousands cost a revocation one look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::Recorded;
use crate::service::{Reached, RevocableName};

/// A name's hash. Two names with the same one wake each other's watchers, which costs a look and changes nothing.
type NameHash = u64;

/// All watchers.
#[derive(Default)]
pub struct Watchers {
    bells: Mutex<Bells>,
    /// Records look no further while there are none.
    count: AtomicUsize,
    hashing: RandomState,
}

#[derive(Default)]
struct Bells {
    /// Of watchers whose names are known.
    by_name: HashMap<NameHash, Vec<Arc<Notify>>>,
    /// Of those whose names are being looked up: any revocation may concern them.
    unnamed: Vec<Arc<Notify>>,
}

/// One watcher. It is forgotten when this is dropped.
pub struct Watcher {
    all: Arc<Watchers>,
    bell: Arc<Notify>,
    names: Vec<NameHash>,
}

impl Watchers {
    /// A watcher that any revocation wakes, until it says what it watches. It hears of everything from now on.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        let bell = Arc::new(Notify::new());
        self.bells.lock().unnamed.push(bell.clone());
        // Before the watcher looks at its credential: a record that found nobody here can be seen by then.
        self.count.fetch_add(1, Ordering::SeqCst);
        Watcher { all: self.clone(), bell, names: Vec::new() }
    }

    /// Wakes those whom these records concern. Call it once the records can be seen.
    pub(super) fn tell<'a>(&self, records: impl Iterator<Item = &'a Recorded>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for recorded in records {
            match Reached::by(recorded) {
                Reached::Nothing => {}
                Reached::Named(names) => self.bells.lock().ring(names.iter().map(|name| self.hashing.hash_one(name))),
                Reached::Anything => self.bells.lock().ring_all(),
            }
        }
    }
}

impl Bells {
    fn ring(&self, names: impl Iterator<Item = NameHash>) {
        let named = names.filter_map(|name| self.by_name.get(&name)).flatten();
        named.chain(&self.unnamed).for_each(|bell| bell.notify_one());
    }

    fn ring_all(&self) {
        self.by_name.values().flatten().chain(&self.unnamed).for_each(|bell| bell.notify_one());
    }

    fn forget(&mut self, names: &[NameHash], bell: &Arc<Notify>) {
        forget(&mut self.unnamed, bell);
        for name in names {
            if let Some(bells) = self.by_name.get_mut(name) {
                forget(bells, bell);
                if bells.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
    }
}

fn forget(bells: &mut Vec<Arc<Notify>>, bell: &Arc<Notify>) {
    if let Some(at) = bells.iter().position(|one| Arc::ptr_eq(one, bell)) {
        bells.swap_remove(at);
    }
}

impl Watcher {
    /// From now on only records that reach one of these names wake it. What woke it before still does.
    pub fn watch_names(&mut self, names: &[RevocableName]) {
        self.names = names.iter().map(|name| self.all.hashing.hash_one(name)).collect();
        self.names.sort_unstable();
        self.names.dedup();
        let mut bells = self.all.bells.lock();
        for name in &self.names {
            bells.by_name.entry(*name).or_default().push(self.bell.clone());
        }
        forget(&mut bells.unnamed, &self.bell);
    }

    /// Returns once such a record is there, perhaps since before this call.
    pub async fn woken(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.all.bells.lock().forget(&self.names, &self.bell);
        self.all.count.fetch_sub(1, Ordering::SeqCst);
    }
}
