use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::keys;
use crate::keys::slots::STEP_SLOTS;

const CONTEXT: &[u8] = b"authledger sealed v1\nabcdefghijklm\nsession";
const PLAIN: &[u8] = b"a name, an address";

struct TestDirectory {
    _data: TempDir,
    dir: PathBuf,
}

impl TestDirectory {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        Self { _data: data, dir }
    }

    fn open(&self) -> SealingKeys {
        SealingKeys::open(&self.dir).expect("usable keys")
    }

    fn refusal(&self) -> KeyError {
        SealingKeys::open(&self.dir).expect_err("not usable")
    }

    fn file(&self) -> PathBuf {
        self.dir.join("sealing.keys")
    }

    /// Overwrites from that byte of that slot on, as an attacker who knows the format would.
    fn overwrite(&self, slot: u64, byte: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.file()).expect("our own file");
        file.write_all_at(bytes, 64 + 64 * slot + byte).expect("room");
    }

    /// Cuts the file within or before that slot.
    fn cut(&self, slot: u64, byte: u64) {
        let file = OpenOptions::new().write(true).open(self.file()).expect("our own file");
        file.set_len(64 + 64 * slot + byte).expect("room");
    }

    fn slots(&self) -> u64 {
        fs::metadata(self.file()).expect("it exists").len() / 64 - 1
    }
}

fn sealed(keys: &SealingKeys, slot: u64) -> Vec<u8> {
    keys.seal(slot, CONTEXT, PLAIN).expect("sealed")
}

#[track_caller]
fn assert_opens(keys: &SealingKeys, slot: u64, sealed: &[u8]) {
    assert_eq!(keys.open_sealed(slot, CONTEXT, sealed).expect("it opens"), PLAIN, "slot {slot}");
}

#[test]
fn sealed_data_opens_again_after_a_restart_and_no_two_sealings_are_alike() {
    let data = TestDirectory::new();
    let keys = data.open();
    let (one, other) = (sealed(&keys, 1), sealed(&keys, 1));
    assert_eq!(one.len(), PLAIN.len() + SealingKeys::OVERHEAD_BYTES);
    assert_ne!(one[..NONCE_LEN], other[..NONCE_LEN]);
    drop(keys);
    let again = data.open();
    assert_opens(&again, 1, &one);
    assert_opens(&again, 1, &other);
    let empty = again.seal(0, b"", b"").expect("sealed");
    assert_eq!(again.open_sealed(0, b"", &empty).expect("it opens"), b"");
}

#[test]
fn another_context_another_slot_and_any_other_byte_do_not_open() {
    let data = TestDirectory::new();
    let keys = data.open();
    let sealed = sealed(&keys, 7);
    let refused = |slot, context: &[u8], bytes: &[u8]| match keys.open_sealed(slot, context, bytes) {
        Err(UnsealError::NotAuthentic { slot: named }) => assert_eq!(named, slot),
        other => panic!("{other:?}"),
    };
    refused(7, b"authledger sealed v1\nabcdefghijklm\nnote", &sealed);
    refused(8, CONTEXT, &sealed);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        refused(7, CONTEXT, &changed);
        refused(7, CONTEXT, &sealed[..at]);
    }
    refused(7, CONTEXT, &[&sealed[..], b"x"].concat());
}

#[test]
fn an_erased_slot_says_so_for_ever_and_its_key_is_nowhere_in_the_file() {
    let data = TestDirectory::new();
    let keys = data.open();
    let (gone, kept) = (sealed(&keys, 3), sealed(&keys, 4));
    let key = fs::read(data.file()).expect("readable")[64 + 3 * 64..][..32].to_vec();
    keys.erase(3).expect("erased");
    keys.erase(3).expect("erased again");
    for keys in [keys, data.open()] {
        assert!(matches!(keys.open_sealed(3, CONTEXT, &gone), Err(UnsealError::Erased { slot: 3 })));
        assert!(matches!(keys.seal(3, CONTEXT, PLAIN), Err(SealError::Erased { slot: 3 })));
        keys.ensure(3).expect("there is such a slot");
        assert_opens(&keys, 4, &kept);
    }
    let file = fs::read(data.file()).expect("readable");
    assert!(!file.windows(8).any(|window| window == &key[..8]));
}

#[test]
fn slots_exist_in_the_file_before_they_can_be_used() {
    let data = TestDirectory::new();
    let keys = data.open();
    let next = data.slots();
    assert_eq!(next, STEP_SLOTS);
    assert!(matches!(keys.seal(next, CONTEXT, PLAIN), Err(SealError::Missing { slot }) if slot == next));
    assert!(matches!(keys.open_sealed(next, CONTEXT, PLAIN), Err(UnsealError::Missing { slot }) if slot == next));
    assert!(matches!(keys.erase(next), Err(KeyError::NoSlot { slot, .. }) if slot == next));
    keys.ensure(next).expect("room");
    assert_eq!(data.slots(), 2 * STEP_SLOTS);
    keys.ensure(0).expect("it exists");
    assert_eq!(data.slots(), 2 * STEP_SLOTS, "what exists costs nothing");
    assert!(matches!(keys.ensure(u64::MAX), Err(KeyError::TooManySlots { .. })));
    assert_eq!(data.slots(), 2 * STEP_SLOTS);
}

#[test]
fn ten_thousand_slots_have_ten_thousand_keys() {
    let data = TestDirectory::new();
    let keys = data.open();
    keys.ensure(9_999).expect("room");
    let all: Vec<_> = (0..10_000).map(|slot| sealed(&keys, slot)).collect();
    drop(keys);
    let again = data.open();
    for (slot, sealed) in (0..).zip(&all) {
        assert_opens(&again, slot, sealed);
        assert!(again.open_sealed((slot + 1) % 10_000, CONTEXT, sealed).is_err());
    }
}

#[test]
fn a_torn_last_step_is_completed_and_no_key_in_it_is_lost() {
    for (cut_at, byte) in [(0, 0), (0, 63), (1, 0), (100, 17), (STEP_SLOTS, 5), (STEP_SLOTS + 1_000, 63)] {
        let data = TestDirectory::new();
        let keys = data.open();
        keys.ensure(STEP_SLOTS).expect("room");
        let before: Vec<_> = (0..cut_at).map(|slot| sealed(&keys, slot)).collect();
        drop(keys);
        data.cut(cut_at, byte);
        let keys = data.open();
        assert_eq!(data.slots() % STEP_SLOTS, 0);
        for (slot, sealed) in (0..).zip(&before) {
            assert_opens(&keys, slot, sealed);
        }
        assert_opens(&keys, cut_at.min(STEP_SLOTS - 1), &sealed(&keys, cut_at.min(STEP_SLOTS - 1)));
    }
}

#[test]
fn slots_that_a_crash_left_empty_are_filled_and_those_around_them_stay() {
    let data = TestDirectory::new();
    let keys = data.open();
    let (before, after) = (sealed(&keys, 9), sealed(&keys, 20));
    drop(keys);
    data.overwrite(10, 0, &[0; 640]);
    let keys = data.open();
    assert_opens(&keys, 9, &before);
    assert_opens(&keys, 20, &after);
    assert_opens(&keys, 15, &sealed(&keys, 15));
}

#[test]
fn a_damaged_slot_is_named_and_never_given_a_new_key() {
    let data = TestDirectory::new();
    let keys = data.open();
    let kept = sealed(&keys, 6);
    data.overwrite(5, 31, b"?");
    assert!(matches!(keys.seal(5, CONTEXT, PLAIN), Err(SealError::Key(KeyError::DamagedSlot { slot: 5, .. }))));
    let refusal = data.refusal().to_string();
    assert!(refusal.contains("sealing.keys") && refusal.contains("slot 5"), "{refusal}");

    keys.ensure(STEP_SLOTS).expect("room");
    data.overwrite(8, 0, &[0; 64]);
    let keys = data.open();
    for slot in [5, 8] {
        let found = keys.open_sealed(slot, CONTEXT, &kept);
        assert!(matches!(found, Err(UnsealError::Key(KeyError::DamagedSlot { slot: named, .. })) if named == slot));
    }
    assert_opens(&keys, 6, &kept);
    keys.erase(5).expect("a damaged slot can still be erased");
    assert!(matches!(keys.seal(5, CONTEXT, PLAIN), Err(SealError::Erased { slot: 5 })));
}

#[test]
fn a_key_in_the_wrong_place_is_damage() {
    let data = TestDirectory::new();
    let keys = data.open();
    let file = fs::read(data.file()).expect("readable");
    data.overwrite(2, 0, &file[64 + 64..64 + 128]);
    assert!(matches!(keys.seal(2, CONTEXT, PLAIN), Err(SealError::Key(KeyError::DamagedSlot { slot: 2, .. }))));
}

#[test]
fn a_file_of_another_kind_or_format_is_named_and_left_alone() {
    for garbage in [&b"garbage"[..], &[0; 200], b""] {
        let data = TestDirectory::new();
        data.open();
        fs::write(data.file(), garbage).expect("our own file");
        let refusal = data.refusal().to_string();
        assert!(refusal.contains("sealing.keys") && refusal.contains("format 1"), "{refusal}");
        assert_eq!(fs::read(data.file()).expect("still there"), garbage);
    }
    let data = TestDirectory::new();
    data.open();
    let file = OpenOptions::new().write(true).open(data.file()).expect("our own file");
    file.write_all_at(&[2], 24).expect("room");
    assert!(matches!(data.refusal(), KeyError::Malformed { .. }));
}

#[test]
fn the_file_is_private_and_one_that_others_can_read_is_refused() {
    let data = TestDirectory::new();
    data.open();
    let mode = |path| fs::metadata(path).expect("it exists").permissions().mode() & 0o7777;
    assert_eq!((mode(data.dir.clone()), mode(data.file())), (0o700, 0o600));
    fs::set_permissions(data.file(), Permissions::from_mode(0o640)).expect("our own file");
    let refusal = data.refusal().to_string();
    assert!(refusal.contains("mode 0640") && refusal.contains("chmod 600"), "{refusal}");
}

#[test]
fn neither_the_file_nor_what_is_sealed_nor_a_debug_print_holds_the_plain_text_or_a_key() {
    let data = TestDirectory::new();
    let keys = data.open();
    let sealed = sealed(&keys, 1);
    let file = fs::read(data.file()).expect("readable");
    for bytes in [&file, &sealed] {
        assert!(!bytes.windows(6).any(|window| PLAIN.windows(6).any(|part| part == window)));
    }
    assert!(format!("{keys:?}").ends_with("slots: 4096 }"), "{keys:?}");
    let too_long = vec![0; MAX_PLAIN_BYTES + 1];
    assert!(matches!(keys.seal(1, CONTEXT, &too_long), Err(SealError::TooLong { bytes: 65_537 })));
}

#[test]
fn threads_that_extend_seal_and_erase_at_once_do_not_disturb_each_other() {
    const THREADS: u64 = 4;
    let data = TestDirectory::new();
    let keys = data.open();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let keys = &keys;
            scope.spawn(move || {
                for slot in (thread..3 * STEP_SLOTS).step_by(64) {
                    keys.ensure(slot).expect("room");
                    let sealed = sealed(keys, slot);
                    assert_opens(keys, slot, &sealed);
                    if slot % 32 == 0 {
                        keys.erase(slot).expect("erased");
                    }
                }
            });
        }
    });
    assert_eq!(data.slots(), 3 * STEP_SLOTS);
    assert!(matches!(keys.seal(64, CONTEXT, PLAIN), Err(SealError::Erased { .. })));
    data.open();
}

#[test]
fn a_copy_made_while_keys_are_added_and_erased_opens_what_was_sealed_before_it() {
    let data = TestDirectory::new();
    let keys = data.open();
    keys.ensure(2 * STEP_SLOTS).expect("room");
    let before: Vec<_> = (0..3 * STEP_SLOTS).step_by(97).map(|slot| (slot, sealed(&keys, slot))).collect();
    let target = TestDirectory::new();
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for step in 3..8 {
                keys.ensure(step * STEP_SLOTS).expect("room");
                (1..20).for_each(|slot| keys.erase(slot).expect("erased"));
            }
        });
        for round in 0..3 {
            let dir = target.dir.join(format!("{round}"));
            assert_eq!(keys::copy(&data.dir, &dir).expect("copied"), 1);
            let copied = SealingKeys::open(&dir).expect("a usable copy");
            before
                .iter()
                .filter(|(slot, _)| *slot >= 20)
                .for_each(|(slot, sealed)| assert_opens(&copied, *slot, sealed));
        }
        busy.join().expect("no panic");
    });
}

#[test]
fn a_torn_file_copies_whole_slots_and_a_damaged_one_is_refused() {
    let data = TestDirectory::new();
    let keys = data.open();
    keys.ensure(STEP_SLOTS).expect("room");
    let kept = sealed(&keys, 50);
    data.cut(STEP_SLOTS + 9, 20);
    let target = TestDirectory::new();
    keys::copy(&data.dir, &target.dir).expect("copied");
    assert_eq!(target.slots(), STEP_SLOTS + 9);
    assert_opens(&target.open(), 50, &kept);
    data.overwrite(60, 1, b"??");
    let target = TestDirectory::new();
    let refusal = keys::copy(&data.dir, &target.dir).expect_err("damaged");
    assert!(matches!(refusal, KeyError::DamagedSlot { slot: 60, .. }), "{refusal}");
    assert_eq!(fs::read_dir(&target.dir).expect("readable").count(), 0, "no half of a copy is left");
}
