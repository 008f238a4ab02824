//! The fuzzing targets without the fuzzer: the corpus in `fuzz/corpus/`, and its files changed at random.
//!
//! The seed is fixed, so a run that fails fails again. `AUTHLEDGER_FUZZ_ROUNDS` says how often each file is changed; `fuzz/README.md`
//! says how to let LLVM look for more.

#[path = "../../fuzz/src/entries.rs"]
mod entries;

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use authledger::domain::hex;

use crate::support::node;
use crate::support::random::Random;
use entries::{Entry, TARGETS};

/// How often each file of the corpus is changed.
const ROUNDS: usize = 200;
/// The length that changed files are cut to.
const MAX_BYTES: usize = 16 * 1_024;
/// Bytes that mean something to one of the readers.
const TELLING: &[u8] = b"\0\n\r\"'\\,.:;{}[]+-/=09azAZ\x7f\x80\xff";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder().join("corpus").join(target)).unwrap();
    let read = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap());
    let mut files: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    files.sort();
    files
}

/// A part of so many bytes, itself 32 at most.
fn part(random: &mut Random, bytes: usize) -> Range<usize> {
    let start = below(random, bytes + 1);
    start..bytes.min(start + below(random, 33))
}

/// Less than that, which is not 0.
fn below(random: &mut Random, bound: usize) -> usize {
    random.below(bound as u64) as usize
}

/// One to four small changes; some take a part of another file.
fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        match below(random, 7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = TELLING[below(random, TELLING.len())];
                }
            }
            2 => bytes.insert(at, random.next() as u8),
            3 => drop(bytes.drain(part(random, bytes.len()))),
            4 => {
                let again = bytes[part(random, bytes.len())].to_owned();
                bytes.splice(at..at, again);
            }
            5 => bytes.truncate(at),
            _ => {
                let replaced = part(random, bytes.len());
                bytes.splice(replaced, other[part(random, other.len())].iter().copied());
            }
        }
    }
    bytes.truncate(MAX_BYTES);
}

fn run(target: &str, entry: Entry, case: &str, bytes: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| entry(bytes)));
    assert!(held.is_ok(), "{target} breaks on {case}: {}", hex::encode(bytes));
}

/// The corpus of a target, and each file of it changed so often.
fn replay(target: &str) {
    let entry = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let rounds = std::env::var("AUTHLEDGER_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let corpus = corpus(target);
    let mut random = Random::of(0);
    for (name, bytes) in &corpus {
        run(target, entry, name, bytes);
        for round in 0..rounds {
            let mut changed = bytes.clone();
            let (_, other) = &corpus[below(&mut random, corpus.len())];
            change(&mut random, &mut changed, other);
            run(target, entry, &format!("{name}, change {round}"), &changed);
        }
    }
    println!("{target}: {} files, each changed {rounds} times", corpus.len());
}

#[test]
fn a_record_has_one_spelling_whatever_the_bytes() {
    replay("record");
}

#[test]
fn a_cursor_is_ours_or_refused_whatever_the_bytes() {
    replay("cursor");
}

#[test]
fn a_note_is_read_back_as_it_was_read_whatever_the_bytes() {
    replay("note");
}

#[test]
fn a_token_is_verified_or_refused_whatever_the_bytes() {
    replay("jwt");
}

#[test]
fn a_proof_is_accepted_once_whatever_the_bytes() {
    replay("proof");
}

#[test]
fn every_message_of_a_peer_is_judged_whatever_the_bytes() {
    replay("parcel");
}

#[test]
fn a_dump_becomes_lines_or_refusals_whatever_the_bytes() {
    replay("import");
}

#[test]
fn every_decision_can_be_folded_whatever_the_bytes() {
    replay("decide");
}

#[test]
fn a_frame_has_one_spelling_whatever_the_bytes() {
    replay("compact");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let program = fs::read_to_string(folder().join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(program.contains("authledger_fuzz::entries::"), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")), "{target}");
        assert!(!corpus(target).is_empty(), "{target}");
    }
    let programs = fs::read_dir(folder().join("fuzz_targets")).unwrap().count();
    assert_eq!(programs, TARGETS.len());
}
