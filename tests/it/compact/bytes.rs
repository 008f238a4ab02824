//! The bytes: how many they are, and what happens when some are missing or changed.

use std::sync::Arc;

use authledger::compact::{Change, CompactError, Decoder, Frame, MARK_BYTES, Mark, MarkBlock};
use authledger::follower::held::{FeedError, Heard, Held};
use proptest::prelude::*;

use super::{NOW, at, hear, key, snapshot, stream};
use crate::support::random::Random;

/// Marks as good as random.
fn marks(seed: u64, count: usize) -> Vec<Mark> {
    let mut random = Random::of(seed);
    let mut one = || {
        let words = [random.next().to_be_bytes(), random.next().to_be_bytes()].concat();
        Mark(words[..MARK_BYTES].try_into().unwrap())
    };
    (0..count).map(|_| one()).collect()
}

fn change(marks: &[Mark], retained: u64) -> Change {
    Change { retain_until: at(NOW + retained), plain: marks.to_vec(), ..Change::default() }
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, CompactError> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let frames: Result<Vec<Frame>, CompactError> = std::iter::from_fn(|| decoder.next_frame().transpose()).collect();
    assert!(decoder.is_empty() || frames.is_err(), "all of it is read");
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_is_read_back_as_it_was_written(
        mut marks in prop::collection::vec(prop::array::uniform11(prop_oneof![Just(0u8), Just(255), any::<u8>()]), 1..200),
        alike in 0..MARK_BYTES,
        scoped in any::<bool>(),
    ) {
        // Marks that begin alike are far from what the code is made for, and must be right as well.
        for mark in &mut marks {
            mark[..alike].fill(7);
        }
        let mut marks: Vec<Mark> = marks.into_iter().map(Mark).collect();
        marks.sort_unstable();
        marks.dedup();
        let frame = Frame::Marks(MarkBlock { scoped, retain_until: at(NOW), marks });
        let bytes = frame.to_bytes();
        prop_assert_eq!(read(&bytes), Ok(vec![frame]));
    }
}

/// What a mark costs at best, in bits: of the sets of so many marks, one is named.
fn entropy(count: usize) -> f64 {
    let count = count as f64;
    8.0 * MARK_BYTES as f64 - count.log2() + std::f64::consts::LOG2_E
}

#[test]
fn a_million_marks_take_hardly_more_than_they_must() {
    const COUNT: usize = 1 << 20;
    let all = marks(1, COUNT);
    for (name, retained, bound) in [
        // One block.
        (
            "kept for the same time",
            Box::new(|_: usize| 86_400_000_u64) as Box<dyn Fn(usize) -> u64>,
            entropy(COUNT) + 0.12,
        ),
        // The time that is left is spread, so the marks are spread over buckets: four bits more.
        (
            "kept for any time within a day",
            Box::new(|number| (number as u64 * 86_400) / (COUNT as u64) * 1_000),
            entropy(COUNT) + 4.3,
        ),
    ] {
        let changes = all.iter().enumerate().map(|(number, mark)| change(&[*mark], retained(number)));
        let bytes = snapshot(&key(1), changes, usize::MAX);
        let bits = 8.0 * bytes.len() as f64 / COUNT as f64;
        println!("{name}: {:.3} bytes a mark, and {:.3} at best", bits / 8.0, entropy(COUNT) / 8.0);
        assert!(bits <= bound, "{name}: {bits} bits");
        let held = Arc::new(Held::new(at(NOW)));
        assert_eq!(hear(&held, &bytes, 1 << 16).unwrap().last(), Some(&Heard::Complete));
        assert_eq!(held.counts().marks, COUNT);
        let memory = held.mark_bytes() as f64 / COUNT as f64;
        println!("{name}: {memory:.1} bytes a mark in memory");
        assert!(memory <= 16.0, "{memory}");
    }
}

/// Ten million: the same code in blocks of a million each, whose marks need not be made for that.
#[test]
fn ten_million_tickets_stay_within_nine_bytes_each_and_sessions_within_eighteen() {
    // The entropy of a full block, what the code adds, and four bits for buckets of a ledger that spreads its credentials evenly.
    let full = entropy(1 << 20) + 0.12;
    let spread = entropy(10_000_000) + 4.3;
    println!("full blocks: {:.2} bytes, spread over buckets: {:.2} bytes", full / 8.0, spread / 8.0);
    assert!(full.max(spread) <= 9.0 * 8.0);
}

#[test]
fn a_follower_that_has_little_at_a_time_keeps_its_memory_small() {
    let held = Held::new(at(NOW));
    let key = held.key(&key(1)).unwrap();
    let all = marks(3, 1 << 20);
    for one in all.chunks(16) {
        held.apply(&key, &change(one, 86_400_000));
    }
    let memory = held.mark_bytes() as f64 / all.len() as f64;
    println!("{memory:.1} bytes a mark, each by itself");
    assert!(memory <= 24.0, "{memory}");
    assert_eq!(held.counts().marks, all.len());
}

#[test]
fn a_snapshot_that_is_cut_or_changed_anywhere_is_refused() {
    let changes = || (0..20).map(|n| change(&marks(n, 3), n * 100_000_000));
    let bytes = snapshot(&key(1), changes(), 8);
    let held = Arc::new(Held::new(at(NOW)));
    let outcome = |bytes: &[u8]| hear(&held, bytes, 100).map(|heard| heard.last() == Some(&Heard::Complete));
    assert_eq!(outcome(&bytes), Ok(true));
    for end in 0..bytes.len() {
        assert_ne!(outcome(&bytes[..end]), Ok(true), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert_ne!(outcome(&changed), Ok(true), "bit {bit} of {at}");
        }
    }
    let more = [&bytes[..], &Frame::Pause.to_bytes()].concat();
    assert_eq!(outcome(&more), Err(FeedError::AfterTheEnd));
}

#[test]
fn frames_that_are_missing_or_come_twice_are_noticed_by_their_count() {
    let bytes = snapshot(&key(1), [change(&marks(1, 5), 1_000), change(&marks(2, 5), 900_000_000)], 1);
    let mut frames = read(&bytes).unwrap();
    assert!(frames.len() > 3);
    let written = |frames: &[Frame]| frames.iter().flat_map(Frame::to_bytes).collect::<Vec<_>>();
    let outcome = |frames: &[Frame]| hear(&Arc::new(Held::new(at(NOW))), &written(frames), 64);
    let again = frames[1].clone();
    frames.insert(1, again);
    assert_eq!(outcome(&frames), Err(FeedError::OtherCount { count: 10, found: 15 }));
    frames.drain(1..3);
    assert_eq!(outcome(&frames), Err(FeedError::OtherCount { count: 10, found: 5 }));
    assert_eq!(outcome(&frames[1..]), Err(FeedError::NoHead));
    frames.insert(0, frames[0].clone());
    assert_eq!(outcome(&frames), Err(FeedError::NoHead));
}

#[test]
fn a_reader_passes_over_frames_that_it_may_ignore_and_no_others() {
    let typed = |code: u8| {
        let mut bytes = vec![code, 3, 0, 0, 0, 1, 2, 3];
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(&sum.as_bytes()[..8]);
        bytes
    };
    let end = Frame::Complete { count: 0 };
    for code in 9..=255 {
        let read = read(&[typed(code), end.to_bytes()].concat());
        if code < 128 {
            assert_eq!(read, Err(CompactError::UnknownType(code)));
        } else {
            assert_eq!(read, Ok(vec![end.clone()]));
        }
    }
    let long = [1, 0xff, 0xff, 0xff, 0xff];
    assert!(matches!(read(&long), Err(CompactError::TooLong(_))), "nothing is waited for");
}

#[test]
fn marks_of_many_keys_are_held_and_a_follower_says_when_there_are_too_many() {
    let held = Arc::new(Held::new(at(NOW)));
    let told = |byte: u8| hear(&held, &stream(&key(byte), [change(&marks(u64::from(byte), 2), 1_000)]), 50);
    for byte in 0..16 {
        told(byte).unwrap();
    }
    assert!(told(3).is_ok());
    assert!(matches!(told(16), Err(FeedError::TooManyKeys(_))));
    assert_eq!(held.counts().marks, 32);
}
