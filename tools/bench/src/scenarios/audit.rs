//! Audit: how many events a second are verified and folded from the files alone, and how long a question about one subject takes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use authledger::domain::Kind;
use authledger::event_log::open_for_reading;
use serde_json::json;

use crate::bench::Bench;
use crate::children::finish;
use crate::made::{self, Plan};
use crate::ours::{Server, Setup};
use crate::report::{Table, count, ratio};

const VERIFY: &str = "authledger-audit verify";
const REPLAY: &str = "authledger-audit replay";
const SCAN: &str = "a scan that only reads the rows";
const HASH: &str = "BLAKE3 over the file, one thread";
const HASH_ALL: &str = "BLAKE3 over the file, all cores";
const HISTORY: &str = "history of a subject";
const AS_OF: &str = "as-of in the middle, of a subject";
const AS_OF_ALL: &str = "as-of in the middle, the count of everything";
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(900);
const PART_BYTES: usize = 1 << 20;

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let events = bench.arguments.sized(20_000_000, 1_000_000);
    bench.outcome.settings.insert("events".into(), json!(events));
    // One in twenty is an ending.
    let revoked = events / 20;
    let plan = Plan { kind: Kind::Ticket, issued: events - revoked, revoked, each: 10 };
    let setup = bench.setup("data", &[]);
    made::make(bench, &setup, plan)?;
    let log = setup.data.join("ledger.db");
    let bytes = log.metadata()?.len();
    bench.outcome.add("ledger.db", "bytes an event", events, bytes as f64 / events as f64);
    for _ in 0..bench.arguments.rounds() {
        rates(bench, &setup, &log, events)?;
    }
    bench.say("letting the server make the index");
    let server = Server::start(&setup)?;
    let waited = server.wait_for_derived(&setup, PATIENCE)?;
    bench.outcome.add("index, tiles and checkpoint of a log that had none", "seconds", events, waited.as_secs_f64());
    server.stop()?;
    for _ in 0..bench.arguments.rounds() {
        questions(bench, &setup, plan, events)?;
    }
    tables(bench, events, bytes);
    Ok(())
}

/// Each reading of all of it once.
fn rates(bench: &mut Bench<'_>, setup: &Setup, log: &Path, events: u64) -> anyhow::Result<()> {
    let mut note = |name: &str, elapsed: Duration| {
        bench.say(format_args!("{name}: {:.2} s", elapsed.as_secs_f64()));
        bench.outcome.add(name, "events a second", events, events as f64 / elapsed.as_secs_f64());
    };
    note(SCAN, scan(log)?);
    note(HASH, hash(log, 1)?);
    note(HASH_ALL, hash(log, thread::available_parallelism().map_or(1, |cores| cores.get()))?);
    note(VERIFY, tool(setup, "verify", &[])?);
    note(REPLAY, tool(setup, "replay", &[])?);
    Ok(())
}

fn questions(bench: &mut Bench<'_>, setup: &Setup, plan: Plan, events: u64) -> anyhow::Result<()> {
    let middle = (events / 2).to_string();
    // Another subject each time, so that the second time is not easier.
    let turn = bench.outcome.measures.iter().find(|one| one.name == HISTORY).map_or(0, |one| one.rounds.len() as u64);
    let subject = plan.subject(plan.issued / 3 + turn * 1_000);
    for (name, question, rest) in [
        (HISTORY, "history", vec!["--subject", &subject]),
        (AS_OF, "as-of", vec![middle.as_str(), "--subject", &subject]),
        (AS_OF_ALL, "as-of", vec![middle.as_str()]),
    ] {
        let elapsed = tool(setup, question, &rest)?;
        bench.say(format_args!("{name}: {:.3} s", elapsed.as_secs_f64()));
        bench.outcome.add(name, "seconds", events, elapsed.as_secs_f64());
    }
    Ok(())
}

/// Runs the audit tool, which must find nothing wrong; how long that took from start to end.
fn tool(setup: &Setup, question: &str, rest: &[&str]) -> anyhow::Result<Duration> {
    let mut command = Command::new(setup.programs.join("authledger-audit"));
    let ran = finish(command.arg(question).arg(&setup.data).args(rest).arg("--json"), PATIENCE)?;
    ensure!(ran.success, "authledger-audit {question}: {}", ran.output.trim());
    Ok(ran.elapsed)
}

/// Reads every row and looks at nothing.
fn scan(log: &Path) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let connection = open_for_reading(log)?;
    let mut select = connection
        .prepare("SELECT position, origin, sequence, stored_at, record, hash FROM event ORDER BY position")?;
    let (mut rows, mut bytes) = (select.query([])?, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(4)?.as_str()?.len() + row.get_ref(5)?.as_blob()?.len();
    }
    ensure!(bytes > 0, "{} has no rows", log.display());
    Ok(started.elapsed())
}

/// Reads the file and hashes it, each thread a part of it.
fn hash(log: &Path, threads: usize) -> anyhow::Result<Duration> {
    let (started, length) = (Instant::now(), log.metadata()?.len());
    let each = length.div_ceil(threads as u64);
    thread::scope(|scope| {
        let parts = (0..threads as u64).map(|number| {
            scope.spawn(move || hash_part(log, number * each, each.min(length.saturating_sub(number * each))))
        });
        for part in parts.collect::<Vec<_>>() {
            let Ok(hashed) = part.join() else { bail!("a thread that hashes ended early") };
            hashed?;
        }
        Ok(started.elapsed())
    })
}

fn hash_part(log: &Path, from: u64, length: u64) -> anyhow::Result<blake3::Hash> {
    use std::io::Seek as _;
    let mut file = File::open(log).with_context(|| format!("open {}", log.display()))?;
    file.seek(std::io::SeekFrom::Start(from))?;
    let (mut file, mut hasher, mut part) = (file.take(length), blake3::Hasher::new(), vec![0; PART_BYTES]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hasher.finalize()),
            count => drop(hasher.update(&part[..count])),
        }
    }
}

fn tables(bench: &mut Bench<'_>, events: u64, bytes: u64) {
    let title = format!(
        "Reading {} events, {} bytes of ledger.db in the system's cache",
        count(events as f64),
        count(bytes as f64)
    );
    let mut rates =
        Table::new(&title, &["what", "events a second", "megabytes a second", ": scan", ": BLAKE3 on all cores"]);
    let rate = |name: &str| bench.outcome.median(name, "events a second", events);
    for name in [VERIFY, REPLAY, SCAN, HASH, HASH_ALL] {
        let Some(found) = rate(name) else { continue };
        let megabytes = found * bytes as f64 / events as f64 / 1e6;
        let against = |other: &str| ratio(Some(found), rate(other));
        rates.row(vec![name.into(), count(found), count(megabytes), against(SCAN), against(HASH_ALL)]);
    }
    let mut questions = Table::new("Questions, with the index that the server keeps", &["what", "seconds"]);
    for measure in bench.outcome.measures.iter().filter(|one| one.unit == "seconds") {
        questions.row(vec![measure.name.clone(), format!("{:.3}", measure.median)]);
    }
    bench.outcome.tables.extend([rates, questions]);
    bench.outcome.note("Times are those of the whole program, from its start to its end; the file was written just before, so it is read from memory as far as that goes.");
}
