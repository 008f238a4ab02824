//! The warnings that readiness makes of the writer's observations.

use authledger::event_log::{Observed, ROOM_FOR_A_BATCH_BYTES};

fn disk(free_bytes: u64, bytes: u64, growth_bytes: Option<u64>) -> Observed {
    Observed { disk_free_bytes: free_bytes, disk_bytes: bytes, growth_bytes, ..Observed::default() }
}

#[test]
fn a_disk_is_warned_of_before_it_is_full() {
    const GB: u64 = 1 << 30;
    assert_eq!(disk(6 * GB, 100 * GB, None).warnings(), Vec::<String>::new());
    let low = "the disk of ledger.db has 4096 MiB left, 4 %: make room before it is full";
    assert_eq!(disk(4 * GB, 100 * GB, None).warnings(), [low]);
    let growing = "the disk of ledger.db has 6144 MiB left, and the log grows by 7168 MiB in an hour";
    assert_eq!(disk(6 * GB, 100 * GB, Some(7 * GB)).warnings(), [growing]);
    assert_eq!(disk(6 * GB, 100 * GB, Some(5 * GB)).warnings(), Vec::<String>::new());
}

#[test]
fn a_disk_has_room_for_the_largest_batch_or_not() {
    assert!(disk(ROOM_FOR_A_BATCH_BYTES, u64::MAX, None).has_room());
    assert!(!disk(ROOM_FOR_A_BATCH_BYTES - 1, u64::MAX, None).has_room());
    assert!(!disk(4096, 1 << 30, None).has_room());
}
