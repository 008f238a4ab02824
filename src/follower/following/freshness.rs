//! Whether a follower has missed nothing, and what time it is at the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::{boot_millis, wall_clock};
use crate::domain::Timestamp;

/// An instant that was never reached.
const NEVER: u64 = 0;

/// When a follower last heard something, by the boot clock, which goes on while the machine sleeps.
pub(super) struct Freshness {
    limit_millis: u64,
    /// The last frame since the last heartbeat that counts; [`NEVER`] before that.
    heard_at: AtomicU64,
    /// Whether this connection has had a heartbeat: before that its frames are what was missed.
    has_beaten: AtomicBool,
    /// The ledger's time less the boot clock, as of the last heartbeat; [`NEVER`] before the first.
    ledger_lead: AtomicU64,
    behind: RwLock<Behind>,
}

/// The ages of the origins' newest records, as the last heartbeat has them.
#[derive(Default)]
struct Behind {
    at: u64,
    millis: BTreeMap<String, u64>,
}

impl Freshness {
    /// Fresh for that long after each frame.
    pub(super) fn new(limit: Duration) -> Self {
        let limit_millis = limit.as_millis().try_into().unwrap_or(u64::MAX);
        let (heard_at, ledger_lead) = (AtomicU64::new(NEVER), AtomicU64::new(NEVER));
        Self { limit_millis, heard_at, has_beaten: AtomicBool::new(false), ledger_lead, behind: RwLock::default() }
    }

    /// A heartbeat came: nothing is missing as of that instant of the ledger.
    pub(super) fn beat(&self, now: Timestamp, behind: BTreeMap<String, u64>) {
        let boot = boot_millis();
        *self.behind.write() = Behind { at: boot, millis: behind };
        self.ledger_lead.store(now.as_millis().saturating_sub(boot), Ordering::Release);
        self.heard_at.store(boot, Ordering::Release);
        self.has_beaten.store(true, Ordering::Release);
    }

    /// The connection ended. It stays fresh for as long as it would with a connection that is silent.
    pub(super) fn part(&self) {
        self.has_beaten.store(false, Ordering::Release);
    }

    /// Another frame came. Before a heartbeat over the same connection it says nothing of what is missing.
    pub(super) fn hear(&self) {
        if !self.has_beaten.load(Ordering::Acquire) {
            return;
        }
        let boot = boot_millis();
        // Fails only if something was lost or a heartbeat has come meanwhile, and both are newer.
        let heard = |at: u64| (at != NEVER).then_some(boot.max(at));
        let _ = self.heard_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, heard);
    }

    /// Something may be missing: stale until the next heartbeat.
    pub(super) fn lose(&self) {
        self.part();
        self.heard_at.store(NEVER, Ordering::Release);
    }

    /// Whether nothing is missing, as far as that can be known.
    pub(super) fn is_fresh(&self) -> bool {
        self.age_millis().is_some_and(|age| age <= self.limit_millis)
    }

    /// Milliseconds since the last frame; nothing before the first heartbeat, or when something may be missing.
    pub(super) fn age_millis(&self) -> Option<u64> {
        let heard_at = self.heard_at.load(Ordering::Acquire);
        (heard_at != NEVER).then(|| boot_millis().saturating_sub(heard_at))
    }

    /// The ledger's time: the last heartbeat's `now` and what has elapsed since. The clock of this machine has no part
    /// in it.
    pub(super) fn ledger_time(&self) -> Option<Timestamp> {
        let lead = self.ledger_lead.load(Ordering::Acquire);
        if lead == NEVER { None } else { Timestamp::from_millis(lead.saturating_add(boot_millis())) }
    }

    /// The time to judge by: the later of this machine's clock and the ledger's.
    pub(super) fn now(&self) -> Timestamp {
        let own = wall_clock();
        self.ledger_time().map_or(own, |ledger| ledger.max(own))
    }

    /// How old each origin's newest record is at the node, in milliseconds.
    pub(super) fn behind_millis(&self) -> BTreeMap<String, u64> {
        let behind = self.behind.read();
        let elapsed = if behind.at == NEVER { 0 } else { boot_millis().saturating_sub(behind.at) };
        behind.millis.iter().map(|(origin, millis)| (origin.clone(), millis.saturating_add(elapsed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000).expect("an instant")
    }

    #[test]
    fn nothing_is_fresh_before_a_heartbeat_or_after_a_loss() {
        let freshness = Freshness::new(Duration::from_secs(60));
        assert!(!freshness.is_fresh() && freshness.age_millis().is_none());
        freshness.hear();
        assert!(!freshness.is_fresh(), "a frame alone does not say that nothing is missing");
        freshness.beat(at(2_000_000_000), BTreeMap::from([("o".to_owned(), 7)]));
        assert!(freshness.is_fresh());
        freshness.hear();
        assert!(freshness.is_fresh());
        freshness.part();
        assert!(freshness.is_fresh(), "a connection that ended is as good as a silent one");
        freshness.lose();
        freshness.hear();
        assert!(!freshness.is_fresh());
        assert!(freshness.behind_millis()["o"] >= 7);
    }

    #[test]
    fn frames_of_a_new_connection_count_only_after_its_heartbeat() {
        let freshness = Freshness::new(Duration::ZERO);
        freshness.beat(at(2_000_000_000), BTreeMap::new());
        freshness.part();
        let boot = boot_millis();
        while boot_millis() == boot {}
        assert!(!freshness.is_fresh(), "it is silent for longer than it may be");
        freshness.hear();
        assert!(!freshness.is_fresh(), "this frame is one that was missed");
        freshness.beat(at(2_000_000_000), BTreeMap::new());
        assert!(freshness.age_millis().is_some_and(|age| age < 1_000));
    }

    #[test]
    fn the_time_is_the_later_of_both_clocks() {
        let freshness = Freshness::new(Duration::from_secs(60));
        let own = wall_clock();
        assert!(freshness.now() >= own && freshness.ledger_time().is_none());
        // Beyond every clock, and long before it.
        freshness.beat(own.plus_millis(3_600_000), BTreeMap::new());
        assert!(freshness.now() >= own.plus_millis(3_600_000));
        freshness.beat(at(1_000_000_000), BTreeMap::new());
        assert!(freshness.now() >= own);
        assert!(freshness.ledger_time().is_some_and(|time| time < own));
    }
}
