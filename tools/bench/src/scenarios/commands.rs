//! Commands: how many issues and revocations a second are durable when they are answered, and how long one takes.

use std::net::SocketAddr;

use anyhow::ensure;
use serde_json::json;

use crate::bench::Bench;
use crate::load::{Http, Pace, Resp};
use crate::ours::{Acknowledged, Server};
use crate::report::{Table, count, millis, ratio};
use crate::rivals::postgres::{self, Asked, Postgres};
use crate::rivals::redis::{self, Redis};
use crate::rivals::{bare, disk};
use crate::scripts::{Drain, Issue, Numbered, Same, TICKET_BYTES};

const ISSUE: &str = "authledger: issue a ticket";
const REVOKE: &str = "authledger: revoke a ticket";
const NOOP: &str = "authledger: nothing (/v1/noop)";
const BARE: &str = "hyper alone: nothing";
const REDIS_EVENT: &str = "Redis: MULTI, SET EX, XADD, EXEC";
const REDIS_SET: &str = "Redis: SET";
const PG_EVENT: &str = "PostgreSQL: INSERT and NOTIFY";
const PG_INSERT: &str = "PostgreSQL: INSERT";
const DISK: &str = "the disk: append 4 KiB, fdatasync";
/// Connections at which open loops are driven, so that a free one is nearly always there.
const OPEN_CONNECTIONS: usize = 256;

/// Those that take turns.
struct Parties {
    ours: Server,
    bare: SocketAddr,
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    /// Events that are acknowledged.
    acknowledged: u64,
    sample: Vec<Acknowledged>,
    turn: u64,
}

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let connections = connections(bench);
    let ours = bench.server("data", &[])?;
    let (_bare, bare) = bare::start(&bench.work)?;
    let redis = Redis::start(&bench.work)?;
    match &redis {
        Some(redis) => bench.versions.push(("Redis".into(), redis.version.clone())),
        None => bench.outcome.note(redis::MISSING),
    }
    let postgres = Postgres::start(&bench.work, connections.iter().copied().max().unwrap_or(1))?;
    match &postgres {
        Some(postgres) => bench.versions.push(("PostgreSQL".into(), postgres.version.clone())),
        None => bench.outcome.note(postgres::MISSING),
    }
    let acknowledged = ours.head()?;
    let mut parties = Parties { ours, bare, redis, postgres, acknowledged, sample: Vec::new(), turn: 0 };
    bench.outcome.settings.insert("connections".into(), json!(connections));
    for connections in &connections {
        for _ in 0..bench.arguments.rounds() {
            round(bench, &mut parties, *connections)?;
        }
    }
    for percent in [25, 50, 75] {
        for _ in 0..bench.arguments.rounds() {
            open(bench, &mut parties, percent)?;
        }
    }
    let Parties { ours, acknowledged, sample, .. } = parties;
    let head = ours.head()?;
    ensure!(head == acknowledged, "{acknowledged} events were acknowledged, and the log has {head}");
    bench.say(format_args!("verifying {head} events, and looking for {} of them", sample.len()));
    ours.settle(head, &sample)?;
    tables(bench, &connections);
    Ok(())
}

fn connections(bench: &Bench<'_>) -> Vec<usize> {
    match bench.arguments.connections.as_slice() {
        [] if bench.arguments.quick => vec![1, 64, 256],
        [] => vec![1, 16, 64, 256, 1_024],
        given => given.to_vec(),
    }
}

/// Each of them once.
fn round(bench: &mut Bench<'_>, parties: &mut Parties, connections: usize) -> anyhow::Result<()> {
    let at = connections as u64;
    let nothing = Http::post("/v1/noop", "", r#"{"subject":"s-0-0-0000000000"}"#, 201);
    let same = || (0..connections).map(|_| Same(b"")).collect::<Vec<_>>();
    let (ran, _) = bench.full(parties.bare, &nothing, same())?;
    bench.record(BARE, at, &ran);
    let (ran, _) = bench.full(parties.ours.address, &nothing, same())?;
    bench.record(NOOP, at, &ran);
    let tickets = issue(bench, parties, connections)?;
    revoke(bench, parties, connections, tickets)?;
    if let Some(redis) = &parties.redis {
        let address = redis.address;
        let names =
            |turn: u64| (0..connections).map(|line| Numbered::new(format!("{turn}-{line}-"))).collect::<Vec<_>>();
        let (ran, _) = bench.full(address, &redis_event(), names(parties.turn))?;
        bench.record(REDIS_EVENT, at, &ran);
        let (ran, _) = bench.full(address, &redis_set(), names(parties.turn))?;
        bench.record(REDIS_SET, at, &ran);
    }
    if let Some(postgres) = &parties.postgres {
        for (name, asked) in [(PG_EVENT, Asked::InsertAndNotify), (PG_INSERT, Asked::Insert)] {
            let ran = postgres.run(asked, connections, bench.arguments.lasting())?;
            bench.record(name, at, &ran);
        }
    }
    parties.turn += 1;
    let ran = disk::sync_rate(&bench.work, bench.arguments.lasting())?;
    bench.record(DISK, 1, &ran);
    Ok(())
}

/// What a ticket is in Redis: a key that expires, and an entry in a stream that others read.
fn redis_event() -> Resp {
    Resp::new(&[
        "MULTI",
        "SET ticket:{} subject-of-this-ticket EX 900",
        "XADD events * type ticket.issued id {}",
        "EXEC",
    ])
}

/// The least that a ticket can be.
fn redis_set() -> Resp {
    Resp::new(&["SET ticket:{} subject-of-this-ticket"])
}

fn issue_request(ours: &Server) -> Http {
    Http::post("/v1/tickets", &ours.authorization(), r#"{"subject":"{}"}"#, 201)
}

fn issue(bench: &mut Bench<'_>, parties: &mut Parties, connections: usize) -> anyhow::Result<Vec<[u8; TICKET_BYTES]>> {
    let turn = parties.turn;
    let scripts = (0..connections).map(|line| Issue::new(format!("s-{turn}-{line}-"))).collect();
    let (ran, scripts) = bench.full(parties.ours.address, &issue_request(&parties.ours), scripts)?;
    bench.record(ISSUE, connections as u64, &ran);
    Ok(parties.remember(ran.good, scripts))
}

/// Revokes what was issued just before, so that each is known and ends once.
fn revoke(
    bench: &mut Bench<'_>,
    parties: &mut Parties,
    connections: usize,
    tickets: Vec<[u8; TICKET_BYTES]>,
) -> anyhow::Result<()> {
    let scripts = Drain::shared(tickets, connections);
    let request = Http::post("/v1/revocations", &parties.ours.authorization(), r#"{"credential":"{}"}"#, 201);
    let (ran, _) = bench.full(parties.ours.address, &request, scripts)?;
    bench.record(REVOKE, connections as u64, &ran);
    parties.acknowledged += ran.good;
    Ok(())
}

/// Tickets, and what stands against them, at a part of the rate that tickets had.
fn open(bench: &mut Bench<'_>, parties: &mut Parties, percent: u64) -> anyhow::Result<()> {
    let full = bench.outcome.measures.iter().filter(|one| one.name == ISSUE && one.unit == "a second");
    let Some(full) = full.map(|one| one.median).reduce(f64::max) else { return Ok(()) };
    let (turn, per_second) = (parties.turn, full * percent as f64 / 100.0);
    parties.turn += 1;
    let pace = Pace::Open { per_second };
    let scripts = (0..OPEN_CONNECTIONS).map(|line| Issue::new(format!("s-{turn}-{line}-"))).collect();
    let lasting = bench.arguments.lasting();
    let (ran, scripts) = bench.load(parties.ours.address, pace, lasting, &issue_request(&parties.ours), scripts)?;
    parties.remember(ran.good, scripts);
    bench.record_latency(&open_name(ISSUE), percent, &ran);
    bench.outcome.add(&open_name(ISSUE), "asked a second", percent, per_second);
    if let Some(redis) = &parties.redis {
        let names = (0..OPEN_CONNECTIONS).map(|line| Numbered::new(format!("{turn}-{line}-"))).collect();
        let (ran, _) = bench.load(redis.address, pace, lasting, &redis_event(), names)?;
        bench.record_latency(&open_name(REDIS_EVENT), percent, &ran);
        bench.outcome.add(&open_name(REDIS_EVENT), "asked a second", percent, per_second);
    }
    bench.say(format_args!("open loop at {per_second:.0} a second"));
    Ok(())
}

fn open_name(name: &str) -> String {
    format!("{name}, on a schedule")
}

impl Parties {
    fn remember(&mut self, good: u64, scripts: Vec<Issue>) -> Vec<[u8; TICKET_BYTES]> {
        self.acknowledged += good;
        let mut tickets = Vec::new();
        for mut script in scripts {
            tickets.append(&mut script.tickets);
            self.sample.append(&mut script.sample);
        }
        tickets
    }
}

fn tables(bench: &mut Bench<'_>, connections: &[usize]) {
    let names = [ISSUE, REVOKE, NOOP, BARE, REDIS_EVENT, REDIS_SET, PG_EVENT, PG_INSERT, DISK];
    let mut rates = Table::new("Answers a second, closed loop, medians of the rounds", &["connections"]);
    rates.columns.extend(connections.iter().map(|count| count.to_string()));
    let mut tails = Table::new("p99 in milliseconds of those answers (a full server's)", &["connections"]);
    tails.columns.clone_from(&rates.columns);
    for name in names {
        // The disk has no connections.
        let at = |connections: usize| if name == DISK { 1 } else { connections as u64 };
        let cell = |unit: &str, shown: fn(f64) -> String, connections: usize| {
            bench.outcome.median(name, unit, at(connections)).map_or_else(|| "–".to_owned(), shown)
        };
        let row = |unit: &str, shown: fn(f64) -> String| {
            let cells = connections.iter().map(|count| cell(unit, shown, *count));
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        rates.row(row("a second", count));
        tails.row(row("p99 ms", millis));
    }
    let ratios = ratios(bench, connections);
    let open = open_table(bench);
    bench.outcome.tables.extend([rates, ratios, tails, open]);
    bench.outcome.note("Redis syncs its append-only file before it answers (appendfsync always); its transaction is one write of four commands.");
    bench.outcome.note(
        "PostgreSQL has fsync and synchronous_commit on, and is asked with one prepared statement, which is one \
         transaction and one round trip. Its client is tokio-postgres on two threads, which costs more than the \
         generator of the others.",
    );
    bench
        .outcome
        .note("The disk's row is one thread's: what one commit after the other could do without sharing a sync.");
}

fn ratios(bench: &Bench<'_>, connections: &[usize]) -> Table {
    let mut table = Table::new("Ratios of those medians", &["connections"]);
    table.columns.extend(connections.iter().map(|count| count.to_string()));
    for (what, one, other) in [
        ("nothing in authledger : hyper alone", NOOP, BARE),
        ("a ticket : nothing in authledger", ISSUE, NOOP),
        ("a revocation : nothing in authledger", REVOKE, NOOP),
        ("a ticket : Redis's transaction", ISSUE, REDIS_EVENT),
        ("a ticket : Redis's SET", ISSUE, REDIS_SET),
        ("a ticket : PostgreSQL's INSERT and NOTIFY", ISSUE, PG_EVENT),
        ("a ticket : PostgreSQL's INSERT", ISSUE, PG_INSERT),
    ] {
        let rate = |name: &str, at: usize| bench.outcome.median(name, "a second", at as u64);
        let cells = connections.iter().map(|at| ratio(rate(one, *at), rate(other, *at)));
        table.row(std::iter::once(what.to_owned()).chain(cells).collect());
    }
    table
}

fn open_table(bench: &Bench<'_>) -> Table {
    let title =
        format!("Milliseconds on a schedule, {OPEN_CONNECTIONS} connections, counted from when a request fell due");
    let mut table = Table::new(&title, &["what", "of the full rate", "a second", "p50", "p99", "p99.9", "max"]);
    for name in [ISSUE, REDIS_EVENT].map(open_name) {
        for percent in [25, 50, 75] {
            let median = |unit: &str| bench.outcome.median(&name, unit, percent);
            let Some(asked) = median("asked a second") else { continue };
            let cells =
                ["p50 ms", "p99 ms", "p99.9 ms", "max ms"].map(|unit| median(unit).map_or_else(String::new, millis));
            table.row([name.clone(), format!("{percent} %"), count(asked)].into_iter().chain(cells).collect());
        }
    }
    table
}
