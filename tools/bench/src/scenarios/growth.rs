//! Growth: whether a ledger with millions of live credentials is as fast as an empty one, and what each of them costs.

use std::time::Duration;

use anyhow::ensure;
use authledger::domain::Kind;
use serde_json::json;

use crate::bench::Bench;
use crate::load::Http;
use crate::made::{self, Plan};
use crate::ours::{Acknowledged, Server, Setup};
use crate::report::{Table, count, millis, ratio};
use crate::scripts::{Cycle, Issue};
use crate::svg::{Plot, Series};

const ISSUE: &str = "issue a ticket";
const INTROSPECT: &str = "introspect a ticket";
const CONNECTIONS: usize = 64;
/// How long trees and index may take to follow a log that was made without them.
const PATIENCE: Duration = Duration::from_secs(900);
/// Tickets that are asked about.
const ASKED: u64 = 100_000;

/// A ledger of some size, with its server.
struct Point {
    setup: Setup,
    plan: Plan,
    server: Server,
    acknowledged: u64,
    sample: Vec<Acknowledged>,
}

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let unit = bench.arguments.sized(1_000_000, 100_000);
    let sizes: &[(u64, u64)] = if bench.arguments.quick {
        &[(0, 0), (1, 0), (5, 0)]
    } else {
        // The last has as many live ones as the one before, and twice the events.
        &[(0, 0), (1, 0), (5, 0), (10, 0), (15, 5)]
    };
    let plans = sizes.iter().map(|(issued, revoked)| Plan { revoked: revoked * unit, ..Plan::tickets(issued * unit) });
    let plans: Vec<Plan> = plans.collect();
    bench.outcome.settings.insert("events".into(), json!(plans.iter().map(Plan::events).collect::<Vec<_>>()));
    let mut points = Vec::new();
    for plan in &plans {
        points.push(start(bench, *plan)?);
    }
    for _ in 0..bench.arguments.rounds() {
        for point in &mut points {
            round(bench, point)?;
        }
    }
    for point in points {
        let head = point.server.head()?;
        ensure!(head >= point.acknowledged, "{} events were acknowledged, and the log has {head}", point.acknowledged);
        let path = point.setup.data.join("ledger.db");
        let events = point.server.settle(head, &point.sample)?;
        bench.outcome.add(
            "ledger.db",
            "bytes an event",
            point.plan.events(),
            path.metadata()?.len() as f64 / events as f64,
        );
        std::fs::remove_dir_all(&point.setup.data)?;
    }
    memory(bench, unit)?;
    tables(bench, &plans);
    plot(bench, &plans)
}

/// Makes a ledger, and starts its server twice: once from the log alone, and once from the snapshot that it leaves.
fn start(bench: &mut Bench<'_>, plan: Plan) -> anyhow::Result<Point> {
    let at = plan.events();
    let setup = bench.setup(&format!("data-{at}"), &[]);
    if at > 0 {
        made::make(bench, &setup, plan)?;
    }
    let folded = Server::start(&setup)?;
    bench.outcome.add("start from the log", "seconds", at, folded.started_in.as_secs_f64());
    let behind = folded.wait_for_derived(&setup, PATIENCE)?;
    bench.outcome.add("trees and index follow", "seconds", at, behind.as_secs_f64());
    folded.stop()?;
    let server = Server::start(&setup)?;
    bench.outcome.add("start from the snapshot", "seconds", at, server.started_in.as_secs_f64());
    server.wait_for_derived(&setup, PATIENCE)?;
    bench.outcome.add("memory", "bytes", at, server.memory_bytes()? as f64);
    let acknowledged = server.head()?;
    bench.say(format_args!(
        "{at} events: started in {:.2} s, {} bytes",
        server.started_in.as_secs_f64(),
        server.memory_bytes()?
    ));
    Ok(Point { setup, plan, server, acknowledged, sample: Vec::new() })
}

fn round(bench: &mut Bench<'_>, point: &mut Point) -> anyhow::Result<()> {
    let (at, server) = (point.plan.events(), &point.server);
    let request = Http::post("/v1/tickets", &server.authorization(), r#"{"subject":"{}"}"#, 201);
    let turn = point.acknowledged;
    let scripts = (0..CONNECTIONS).map(|line| Issue::new(format!("s-{turn}-{line}-"))).collect();
    let (ran, scripts) = bench.full(server.address, &request, scripts)?;
    bench.record(ISSUE, at, &ran);
    point.acknowledged += ran.good;
    let fresh: Vec<String> = tickets(&scripts);
    point.sample.extend(scripts.into_iter().flat_map(|script| script.sample));
    let live = point.plan.issued - point.plan.revoked;
    // Of those that were made, the ones that are not revoked; of an empty ledger, those that were issued just now.
    let made = |number: u64| made::secret(point.plan.revoked + number * 7_919 % live);
    let asked = if live == 0 { fresh } else { (0..ASKED.min(live)).map(made).collect() };
    let asked = std::sync::Arc::new(asked);
    let request = Http::post("/v1/introspect", &server.authorization(), r#"{"credential":"{}"}"#, 200);
    let scripts = (0..CONNECTIONS).map(|line| Cycle::new(asked.clone(), line, CONNECTIONS)).collect();
    let (ran, _) = bench.full(server.address, &request, scripts)?;
    bench.record(INTROSPECT, at, &ran);
    Ok(())
}

fn tickets(scripts: &[Issue]) -> Vec<String> {
    let all = scripts.iter().flat_map(|script| &script.tickets).take(ASKED as usize);
    all.map(|ticket| String::from_utf8_lossy(ticket).into_owned()).collect()
}

/// What one live credential of each kind takes, with many to a subject and with one.
fn memory(bench: &mut Bench<'_>, unit: u64) -> anyhow::Result<()> {
    let empty = bench.outcome.median("memory", "bytes", 0).unwrap_or(0.0);
    let mut table = Table::new(
        &format!("Memory of one of {} live credentials, over that of an empty server", count(unit as f64)),
        &["kind", "ten to a subject, bytes", "one to a subject, bytes", "the server's own counts"],
    );
    for kind in [Kind::Ticket, Kind::Token, Kind::Session] {
        let mut row = vec![kind.as_str().to_owned()];
        let mut counts = String::new();
        for each in [10, 1] {
            let setup = bench.setup(&format!("{}-{each}", kind.as_str()), &[]);
            made::make(bench, &setup, Plan { kind, issued: unit, revoked: 0, each })?;
            // What folding has touched is given back with the process; a start from the snapshot has what is needed.
            Server::start(&setup)?.stop()?;
            let server = Server::start(&setup)?;
            server.wait_for_derived(&setup, PATIENCE)?;
            let bytes = (server.memory_bytes()? as f64 - empty) / unit as f64;
            bench.outcome.add(&format!("a {}, {each} to a subject", kind.as_str()), "bytes", unit, bytes);
            row.push(count(bytes));
            counts = server.status()?["counts"].to_string().replace(['"', '{', '}'], "").replace(',', ", ");
            server.stop()?;
            std::fs::remove_dir_all(&setup.data)?;
        }
        row.push(counts);
        table.row(row);
    }
    bench.outcome.tables.push(table);
    Ok(())
}

fn tables(bench: &mut Bench<'_>, plans: &[Plan]) {
    let columns = [
        "events",
        "live",
        "issues a second",
        ": empty",
        "p99 ms",
        "introspections a second",
        ": empty",
        "p99 ms",
        "memory, MiB",
        "bytes an event on disk",
        "start from the log, s",
        "from the snapshot, s",
        "trees and index follow, s",
    ];
    let mut table =
        Table::new(&format!("Rates over {CONNECTIONS} connections, closed loop, as the ledger grows"), &columns);
    for plan in plans {
        let at = plan.events();
        let median = |name: &str, unit: &str, at: u64| bench.outcome.median(name, unit, at);
        let rate = |name: &str| median(name, "a second", at);
        let against = |name: &str| ratio(rate(name), median(name, "a second", 0));
        let cell =
            |name: &str, unit: &str, shown: fn(f64) -> String| median(name, unit, at).map_or_else(String::new, shown);
        let seconds: fn(f64) -> String = |value| format!("{value:.2}");
        table.row(vec![
            count(at as f64),
            count((plan.issued - plan.revoked) as f64),
            cell(ISSUE, "a second", count),
            against(ISSUE),
            cell(ISSUE, "p99 ms", millis),
            cell(INTROSPECT, "a second", count),
            against(INTROSPECT),
            cell(INTROSPECT, "p99 ms", millis),
            cell("memory", "bytes", |bytes| count(bytes / 1_048_576.0)),
            cell("ledger.db", "bytes an event", count),
            cell("start from the log", "seconds", seconds),
            cell("start from the snapshot", "seconds", seconds),
            cell("trees and index follow", "seconds", seconds),
        ]);
    }
    bench.outcome.tables.insert(0, table);
    bench
        .outcome
        .note("All ledgers are served at the same time and take turns, so that each round meets the same machine.");
    bench.outcome.note(
        "Of a small ledger, what the server keeps in memory of its newest events weighs more than its credentials do: \
         the memory of one is to be read at a million and more.",
    );
    bench.outcome.note("Memory is what the process has touched and shares with nobody (RssAnon), before the load.");
}

fn plot(bench: &mut Bench<'_>, plans: &[Plan]) -> anyhow::Result<()> {
    let series = |name: &str| Series {
        name: name.to_owned(),
        points: plans
            .iter()
            .filter_map(|plan| {
                let rate = bench.outcome.median(name, "a second", plan.events())?;
                Some((plan.events() as f64 / 1e6, rate))
            })
            .collect(),
    };
    let plot = Plot {
        title: "Answers a second as the ledger grows".to_owned(),
        across: "millions of events in the log".to_owned(),
        up: "answers a second".to_owned(),
        series: vec![series(ISSUE), series(INTROSPECT)],
    };
    Ok(std::fs::write(bench.arguments.work.join("growth.svg"), plot.svg())?)
}
