//! Several nodes in one thread: the real rules over a network, disks, clocks and directories that a seed spoils.
//!
//! One seed is one run. `cargo test --test it -- simulation` runs two thousand of them;
//! `tools/simulate --rounds 100000` more, and `tools/simulate --seed 42` one, with all that happened in it.

mod clocks;
mod disk;
mod node;
mod steps;
mod truth;
mod weaken;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use steps::Run;
use weaken::Weakness;
use world::TRACED;

/// How many seeds a test runs.
const ROUNDS: u64 = 2_000;
/// Seeds that have found a fault, whatever the number of rounds.
const ONCE_FAILED: [u64; 2] = [36_023, 70_009];
/// A long run says how far it is after as many.
const TOLD_EVERY: u64 = 5_000;
/// The first of how many seeds must show that a rule was left out.
const ROUNDS_OF_THE_WEAKENED: u64 = 4_000;

/// How often each kind of trouble must have come up in as many seeds as a test runs.
const OFTEN: [(&str, u64); 27] = [
    ("command acknowledged", 50_000),
    ("message lost", 30_000),
    ("message altered", 6_000),
    ("message doubled", 10_000),
    ("message delayed", 50_000),
    ("partition", 1_500),
    ("crash", 5_000),
    ("restart", 3_000),
    ("record lost that was not synced", 3_000),
    ("record lost with its disk", 200),
    ("backup", 1_000),
    ("restore", 300),
    ("clone", 100),
    ("join", 500),
    ("removal", 500),
    ("release upgraded", 300),
    ("parcel set aside: unreadable", 50),
    ("stream rolled back", 1_500),
    ("page relayed", 30_000),
    ("gap found", 20_000),
    ("origin renewed: older copy", 100),
    ("wait for all answered", 8_000),
    ("clock that jumps ahead", 500),
    ("clock that jumps back", 500),
    ("clock that drifts", 500),
    ("later time accepted", 50),
    ("JWT judged without its issue in memory", 1_000),
];

type Counts = BTreeMap<&'static str, u64>;

/// The counts of one seed, or the check that failed and the events before it.
fn lived(seed: u64, weakness: Weakness, traced: usize) -> Result<Counts, String> {
    let mut run = Run::new(seed, weakness);
    run.world.traced = traced;
    match run.live() {
        Ok(()) => Ok(run.world.counts),
        Err(failed) => Err(format!(
            "{}{failed}\nRun it alone: AUTHLEDGER_SIMULATION_SEED={seed} cargo test --test it -- simulation",
            run.world.told()
        )),
    }
}

/// The counts of all seeds from that one on, and the smallest that failed.
fn live_all(first: u64, rounds: u64, weakness: Weakness) -> (Counts, Option<(u64, String)>) {
    let next = AtomicU64::new(first);
    let (counts, failed) = (Mutex::new(Counts::new()), Mutex::new(None::<(u64, String)>));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + rounds || failed.lock().unwrap().is_some() {
                        return;
                    }
                    if seed > first && (seed - first).is_multiple_of(TOLD_EVERY) {
                        println!("{} of {rounds} seeds", seed - first);
                    }
                    match lived(seed, weakness, TRACED) {
                        Ok(done) => {
                            let mut counts = counts.lock().unwrap();
                            done.into_iter().for_each(|(what, times)| *counts.entry(what).or_default() += times);
                        }
                        Err(why) => {
                            let mut failed = failed.lock().unwrap();
                            if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                                *failed = Some((seed, why));
                            }
                        }
                    }
                }
            });
        }
    });
    (counts.into_inner().unwrap(), failed.into_inner().unwrap())
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_promise_holds_whatever_happens_between_nodes() {
    if let Some(seed) = number("AUTHLEDGER_SIMULATION_SEED") {
        let counts = lived(seed, Weakness::None, usize::MAX).unwrap_or_else(|why| panic!("seed {seed}\n{why}"));
        return println!("seed {seed}: {counts:?}");
    }
    for seed in ONCE_FAILED {
        lived(seed, Weakness::None, TRACED).unwrap_or_else(|why| panic!("seed {seed}\n{why}"));
    }
    let rounds = number("AUTHLEDGER_SIMULATION_ROUNDS").unwrap_or(ROUNDS);
    let first = number("AUTHLEDGER_SIMULATION_FIRST").unwrap_or(0);
    let (counts, failed) = live_all(first, rounds, Weakness::None);
    if let Some((seed, why)) = failed {
        panic!("seed {seed} of {rounds}\n{why}");
    }
    println!("{rounds} seeds: {counts:?}");
    if rounds >= ROUNDS {
        let rare: Vec<_> =
            OFTEN.iter().filter(|(what, often)| counts.get(what).is_none_or(|times| times < often)).collect();
        assert!(rare.is_empty(), "a trouble that never happens proves nothing: {rare:?}");
    }
}

/// Which checks notice that a rule was left out.
fn noticed_by(weakness: Weakness) -> &'static [&'static str] {
    const EARLY: &str = "nobody is told too early";
    const FORK: &str = "no fork goes unnoticed";
    match weakness {
        Weakness::None => &[],
        Weakness::GenerationsAreNotCompared => {
            &["a credential issued before its subject or application was revoked is inactive"]
        }
        Weakness::UnknownRevocationsAreForgotten => &["a revoked credential is inactive"],
        Weakness::SealsAreIgnored => &["a credential that a removed node issued beyond its seal is inactive"],
        Weakness::AMemberIsNotWaitedFor | Weakness::NodesAnswerAtOnce => &[EARLY],
        Weakness::BasesAreNotCompared => &[FORK, "nothing acknowledged is lost", "all agree"],
        Weakness::OriginsAreAlwaysContinued => &[FORK, EARLY, "nothing acknowledged is lost", "all agree"],
    }
}

#[test]
fn a_rule_that_is_left_out_is_noticed() {
    for weakness in Weakness::ALL {
        let (_, failed) = live_all(0, ROUNDS_OF_THE_WEAKENED, weakness);
        let (seed, why) = failed.unwrap_or_else(|| panic!("{weakness:?}: no seed notices it"));
        let check = why.lines().rev().nth(1).unwrap_or_default();
        println!("{weakness:?}: seed {seed}: {check}");
        assert!(noticed_by(weakness).iter().any(|due| check.starts_with(due)), "{weakness:?}, seed {seed}: {check}");
    }
}
