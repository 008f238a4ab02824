//! `authledger-bench`: measures authledger on this machine, beside what people would build instead.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a load generator has threads that sleep and block, and ends all at once; it judges nothing by a clock"
)]

mod arguments;
mod bench;
mod children;
mod load;
mod machine;
mod made;
mod ours;
mod report;
mod rivals;
mod scenarios;
mod scripts;
mod svg;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser as _, ValueEnum as _};
use serde_json::json;

use arguments::{Arguments, Scenario};
use bench::Bench;
use machine::Machine;
use report::{Outcome, Results};
use rivals::bare;

/// What the results call a comparison of two builds.
const COMPARISON: &str = "compare";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(bare::SUBCOMMAND) {
        return ended(bare::serve().map(|()| true));
    }
    ended(run(&Arguments::parse()))
}

fn ended(ran: anyhow::Result<bool>) -> ExitCode {
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("authledger-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True if all that ran holds.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    children::end_with_signals()?;
    let programs = programs(arguments)?;
    let digest = digest(&programs.join("authledger"))?;
    std::fs::create_dir_all(&arguments.work).with_context(|| format!("make {}", arguments.work.display()))?;
    // Servers are given absolute paths, wherever they are started.
    let arguments = Arguments { work: arguments.work.canonicalize()?, ..arguments.clone() };
    let kept = arguments.work.join("results.json");
    let mut results = Results::load(&kept)?;
    results.machine = Machine::of(&arguments.work);
    results.versions.insert("authledger".into(), children::version(&programs.join("authledger"), "--version"));
    eprintln!("authledger-bench: {}", results.machine.sentence());
    if let Some(other) = &arguments.compare {
        return compare(other, &arguments, &programs, &digest, &mut results);
    }
    let (mut holds, mut ran) = (true, Vec::new());
    for scenario in wanted(&arguments) {
        let name = scenario.name();
        ran.push(name.clone());
        if arguments.resume && is_there(&results, &name, &digest, arguments.quick) {
            eprintln!("authledger-bench: {name} is there already");
            holds &= results.scenarios.get(&name).is_some_and(|outcome| outcome.failures.is_empty());
            continue;
        }
        let outcome = one(scenario, &arguments, &programs, &digest, &mut results)?;
        holds &= outcome.failures.is_empty();
        results.scenarios.insert(name, outcome);
        results.keep(&kept)?;
        let all: Vec<String> = Scenario::value_variants().iter().map(|one| one.name()).collect();
        let page = results.markdown(&all.iter().map(String::as_str).collect::<Vec<_>>());
        std::fs::write(arguments.work.join("results.md"), page)?;
    }
    print!("{}", results.markdown(&ran.iter().map(String::as_str).collect::<Vec<_>>()));
    Ok(holds)
}

/// Compares with that other build; the results go beside those of the scenarios. True if it holds.
fn compare(
    other: &Path,
    arguments: &Arguments,
    programs: &Path,
    digest: &str,
    results: &mut Results,
) -> anyhow::Result<bool> {
    let other = other.canonicalize().with_context(|| format!("find {}", other.display()))?;
    let before = self::digest(&other)?;
    eprintln!("authledger-bench: {COMPARISON}");
    let mut bench = Bench::new(arguments, programs, COMPARISON)?;
    bench.outcome.settings.insert("before".into(), json!(before));
    bench.outcome.settings.insert("seconds".into(), json!(arguments.lasting().as_secs()));
    bench.outcome.settings.insert("generator_threads".into(), json!(arguments.threads));
    results.versions.insert("authledger before".into(), children::version(&other, "--version"));
    let ran = scenarios::compare::run(&mut bench, &other);
    let outcome = finished(bench, ran, digest, results)?;
    let holds = outcome.failures.is_empty();
    results.scenarios.insert(COMPARISON.to_owned(), outcome);
    results.keep(&arguments.work.join("results.json"))?;
    print!("{}", results.markdown(&[COMPARISON]));
    Ok(holds)
}

fn wanted(arguments: &Arguments) -> Vec<Scenario> {
    let all = Scenario::value_variants().iter().copied();
    all.filter(|one| arguments.only.is_empty() || arguments.only.contains(one)).collect()
}

fn is_there(results: &Results, name: &str, digest: &str, quick: bool) -> bool {
    results.scenarios.get(name).is_some_and(|outcome| outcome.program == digest && outcome.quick == quick)
}

/// Runs one scenario. What goes wrong in it is one of its failures, and the next one runs all the same.
fn one(
    scenario: Scenario,
    arguments: &Arguments,
    programs: &Path,
    digest: &str,
    results: &mut Results,
) -> anyhow::Result<Outcome> {
    let name = scenario.name();
    eprintln!("authledger-bench: {name}");
    let mut bench = Bench::new(arguments, programs, &name)?;
    bench.outcome.settings.insert("rounds".into(), json!(arguments.rounds()));
    bench.outcome.settings.insert("seconds".into(), json!(arguments.lasting().as_secs()));
    bench.outcome.settings.insert("generator_threads".into(), json!(arguments.threads));
    let ran = match scenario {
        Scenario::Commands => scenarios::commands::run(&mut bench),
        Scenario::Checks => scenarios::checks::run(&mut bench),
        Scenario::Oauth => scenarios::oauth::run(&mut bench),
        Scenario::Fanout => scenarios::fanout::run(&mut bench),
        Scenario::Audit => scenarios::audit::run(&mut bench),
        Scenario::Growth => scenarios::growth::run(&mut bench),
        Scenario::Storm => scenarios::storm::run(&mut bench),
        Scenario::Stream => scenarios::stream::run(&mut bench),
        Scenario::Snapshots => scenarios::snapshots::run(&mut bench),
        Scenario::Edge => scenarios::edge::run(&mut bench),
    };
    finished(bench, ran, digest, results)
}

/// What came of a scenario that ran to its end, or did not.
fn finished(
    mut bench: Bench<'_>,
    ran: anyhow::Result<()>,
    digest: &str,
    results: &mut Results,
) -> anyhow::Result<Outcome> {
    if let Err(error) = ran {
        bench.outcome.fail(format!("{error:#}"));
    }
    let seconds = bench.elapsed().as_secs_f64();
    let Bench { arguments, work, mut outcome, versions, .. } = bench;
    results.versions.extend(versions);
    if !arguments.keep {
        std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    }
    outcome.seconds = seconds;
    outcome.ended_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    digest.clone_into(&mut outcome.program);
    outcome.quick = arguments.quick;
    Ok(outcome)
}

/// Where the programs are that are measured.
fn programs(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    let directory = arguments.programs.clone().or_else(beside).unwrap_or_default();
    for name in ["authledger", "authledger-audit"] {
        ensure!(
            directory.join(name).is_file(),
            "there is no {name} in {}; build it there with `cargo build --profile ship`, or say with --programs where it is",
            directory.display()
        );
    }
    Ok(directory)
}

/// What tells one build from another.
fn digest(program: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    Ok(blake3::hash(&bytes).to_hex()[..32].to_owned())
}
