//! Snapshots: how long a follower takes to load millions of revocations in each form, and what it holds of them in memory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use authledger::compact::MEDIA_TYPE;
use authledger::domain::{Digest, Kind, Timestamp};
use authledger::follower::held::{CompactFeed, Heard, Held, PresentedCredential, RevocationItem};
use serde::Deserialize;
use serde_json::json;

use crate::bench::Bench;
use crate::made::{self, Plan};
use crate::ours::Server;
use crate::report::{Table, count, ratio};

const JSON: &str = "lines of JSON";
const COMPACT: &str = "compact";
const STATE: &str = "the file of what was held";
const CHECK: &str = "a check of a ticket that is not revoked";
const PATIENCE: Duration = Duration::from_secs(600);
/// How long the server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 1 << 16;
const CHECKS: u64 = 1_000_000;

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let revoked = bench.arguments.sized(10_000_000, 500_000);
    bench.outcome.settings.insert("revocations".into(), json!(revoked));
    let setup = bench.setup("data", &[]);
    made::make(bench, &setup, Plan { kind: Kind::Ticket, issued: revoked, revoked, each: 10 })?;
    let server = Server::start(&setup)?;
    server.wait_for_derived(&setup, PATIENCE)?;
    for round in 0..bench.arguments.rounds() {
        let json = fetch(bench, &server, JSON, "application/x-ndjson", revoked)?;
        let compact = fetch(bench, &server, COMPACT, MEDIA_TYPE, revoked)?;
        let lines = timed(bench, JSON, revoked, || load_lines(&json))?;
        drop(lines);
        let held = timed(bench, COMPACT, revoked, || load_compact(&compact))?;
        judge(bench, &held, revoked)?;
        let state = bench.work.join("held");
        held.save("cursor", &mut File::create(&state)?)?;
        drop(held);
        bench.outcome.add(STATE, "bytes each", revoked, state.metadata()?.len() as f64 / revoked as f64);
        let held = timed(bench, STATE, revoked, || Ok(Held::restore(&fs::read(&state)?)?.0))?;
        ensure!(held.counts().marks as u64 == revoked, "round {round}: {} marks", held.counts().marks);
        let memory = held.mark_bytes() as f64 / revoked as f64;
        bench.outcome.add(STATE, "bytes of memory each", revoked, memory);
    }
    let head = server.head()?;
    server.settle(head, &[])?;
    table(bench, revoked);
    Ok(())
}

/// Fetches a snapshot into a file; notes how long that takes, and how long it is.
fn fetch(bench: &mut Bench<'_>, server: &Server, name: &str, accept: &str, revoked: u64) -> anyhow::Result<PathBuf> {
    let path = bench.work.join(name.replace(' ', "-"));
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let head = format!("Host: localhost\r\n{}Accept: {accept}\r\nConnection: close\r\n", server.authorization());
    write!(stream, "GET /v1/revocations/snapshot HTTP/1.1\r\n{head}\r\n")?;
    let mut answer = BufReader::with_capacity(PIECE_BYTES, stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "the server answers {line}");
    while line.trim_end() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    let bytes = unchunk(&mut answer, &mut File::create(&path)?)?;
    let elapsed = started.elapsed();
    bench.outcome.add(name, "seconds to fetch", revoked, elapsed.as_secs_f64());
    bench.outcome.add(name, "bytes each", revoked, bytes as f64 / revoked as f64);
    bench.say(format_args!("{name}: fetched {bytes} bytes in {:.2} s", elapsed.as_secs_f64()));
    Ok(path)
}

/// Takes a body out of its chunks (RFC 9112, section 7.1); how long it is.
fn unchunk(from: &mut BufReader<TcpStream>, to: &mut File) -> anyhow::Result<u64> {
    let (mut all, mut line) = (0, String::new());
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim_end(), 16).context("read the length of a chunk")?;
        ensure!(std::io::copy(&mut from.by_ref().take(length), to)? == length, "a chunk is cut off");
        from.read_line(&mut line)?;
        all += length;
        if length == 0 {
            return Ok(all);
        }
    }
}

fn timed<T>(
    bench: &mut Bench<'_>,
    name: &str,
    revoked: u64,
    load: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    let loaded = load()?;
    let seconds = started.elapsed().as_secs_f64();
    bench.outcome.add(name, "seconds to load", revoked, seconds);
    bench.say(format_args!("{name}: loaded in {seconds:.2} s"));
    Ok(loaded)
}

/// A line that is not an item.
#[derive(Deserialize)]
struct End {
    count: u64,
}

fn load_lines(path: &Path) -> anyhow::Result<Held> {
    let held = Held::new(Timestamp::default());
    let mut lines = BufReader::with_capacity(PIECE_BYTES, File::open(path)?);
    let (mut line, mut applied) = (String::new(), 0);
    lines.read_line(&mut line)?;
    loop {
        line.clear();
        lines.read_line(&mut line)?;
        if line.starts_with("{\"end\"") {
            let End { count } = serde_json::from_str(&line)?;
            ensure!(count == applied, "{applied} items where there should be {count}");
            return Ok(held);
        }
        held.apply_item(&serde_json::from_str::<RevocationItem>(&line)?)?;
        applied += 1;
    }
}

fn load_compact(path: &Path) -> anyhow::Result<Arc<Held>> {
    let held = Arc::new(Held::new(Timestamp::default()));
    let (mut feed, mut file, mut piece) = (CompactFeed::new(held.clone()), File::open(path)?, vec![0; PIECE_BYTES]);
    loop {
        let length = file.read(&mut piece)?;
        ensure!(length > 0, "the snapshot is cut off");
        feed.push(&piece[..length]);
        while let Some(heard) = feed.hear()? {
            if heard == Heard::Complete {
                return Ok(held);
            }
        }
    }
}

/// Every revoked ticket is refused, and others are not; how long a check of one of these takes.
fn judge(bench: &mut Bench<'_>, held: &Held, revoked: u64) -> anyhow::Result<()> {
    let presented = |number: u64| PresentedCredential {
        kind: "ticket".to_owned(),
        tenant: Some("default".to_owned()),
        subject: Some("subject".to_owned()),
        digest: Some(Digest::of(made::secret(number).as_bytes()).to_string()),
        ..PresentedCredential::default()
    };
    if let Some(number) = (0..revoked).step_by(997).find(|number| held.refuses(&presented(*number)).is_none()) {
        bail!("ticket {number} is revoked, and not refused");
    }
    let others: Vec<_> = (revoked..revoked + CHECKS / 10).map(presented).collect();
    let started = Instant::now();
    let refused = others.iter().cycle().take(CHECKS as usize).filter(|one| held.refuses(one).is_some()).count();
    let nanos = started.elapsed().as_nanos() as f64 / CHECKS as f64;
    bench.outcome.add(CHECK, "ns", revoked, nanos);
    bench.say(format_args!("{CHECK}: {nanos:.0} ns"));
    ensure!(refused == 0, "{refused} tickets that are not revoked are refused");
    Ok(())
}

fn table(bench: &mut Bench<'_>, revoked: u64) {
    let title = format!("Loading {} revoked tickets", count(revoked as f64));
    let columns = ["from", "seconds to load", "faster than JSON", "bytes each", "seconds to fetch"];
    let mut table = Table::new(&title, &columns);
    let median = |name: &str, unit: &str| bench.outcome.median(name, unit, revoked).unwrap_or(f64::NAN);
    for name in [JSON, COMPACT, STATE] {
        let seconds = median(name, "seconds to load");
        table.row(vec![
            name.into(),
            format!("{seconds:.2}"),
            ratio(Some(median(JSON, "seconds to load")), Some(seconds)),
            format!("{:.2}", median(name, "bytes each")),
            format!("{:.2}", median(name, "seconds to fetch")),
        ]);
    }
    let memory = median(STATE, "bytes of memory each");
    let check = median(CHECK, "ns");
    bench.outcome.tables.push(table);
    bench
        .outcome
        .note(format!("In memory each takes {memory:.1} bytes. {CHECK} takes {check:.0} ns, its digest at hand."));
    bench.outcome.note("Loading reads a file that the system has in its cache, on one thread; the file of what was held is not fetched.");
}
