//! Storm: many sessions are revoked at once, while checks go on and followers listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use authledger::domain::Kind;
use serde_json::json;

use crate::bench::Bench;
use crate::load::{self, Crowd, Followers, Http, Load, Pace, Ran};
use crate::made::{self, Plan};
use crate::ours::Server;
use crate::report::{Table, count, millis};
use crate::scenarios::fanout::{OUR_GREETING, OUR_MARKER, follow_request};
use crate::scripts::{Cycle, Drain};

const FOLLOWERS: usize = 1_000;
const REVOKERS: usize = 64;
const CHECKERS: usize = 32;
/// Checks a second that go on all the time.
const CHECKS: f64 = 2_000.0;
/// The storm's checks are counted in parts of that length, so that they end when it does.
const PART: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let revoked = bench.arguments.sized(50_000, 5_000);
    let followers = bench.arguments.followers.first().copied().unwrap_or(FOLLOWERS);
    for (name, value) in
        [("sessions", json!(revoked)), ("followers", json!(followers)), ("checks_a_second", json!(CHECKS))]
    {
        bench.outcome.settings.insert(name.into(), value);
    }
    for round in 0..bench.arguments.rounds() {
        let setup = bench.setup(&format!("data-{round}"), &[]);
        // As many stay good, and are asked about.
        made::make(bench, &setup, Plan { kind: Kind::Session, issued: 2 * revoked, revoked: 0, each: 10 })?;
        let server = Server::start(&setup)?;
        server.wait_for_derived(&setup, PATIENCE)?;
        let head = server.head()? + revoked;
        storm(bench, &server, revoked, followers)?;
        let stands = server.head()?;
        ensure!(stands == head, "{head} events were acknowledged, and the log has {stands}");
        server.settle(head, &[])?;
        std::fs::remove_dir_all(&setup.data)?;
    }
    table(bench, revoked);
    Ok(())
}

fn storm(bench: &mut Bench<'_>, server: &Server, revoked: u64, followers: usize) -> anyhow::Result<()> {
    let request = follow_request(server);
    let crowd = Followers::gather(&Crowd {
        target: server.address,
        followers,
        request,
        greeting: OUR_GREETING,
        marker: OUR_MARKER,
    })?;
    let asked: Arc<Vec<String>> = Arc::new((revoked..2 * revoked).map(made::secret).collect());
    let calm = bench.arguments.lasting().max(PART);
    let before = checks(server, &asked, calm, &AtomicBool::new(false))?;
    note(bench, "before", revoked, &before);
    crowd.expect(revoked * followers as u64);
    let (over, started) = (AtomicBool::new(false), Instant::now());
    let (told, last, during) = thread::scope(|scope| {
        let checking = scope.spawn(|| checks(server, &asked, PATIENCE, &over));
        let told = revoke(bench, server, revoked);
        let told_at = Instant::now();
        let last = told.and_then(|ran| Ok((ran, crowd.reached(PATIENCE)?)));
        over.store(true, Ordering::Relaxed);
        let Ok(during) = checking.join() else { bail!("the thread that checks ended early") };
        let (ran, last) = last?;
        ensure!(ran.good == revoked, "{} of {revoked} were revoked: {:?}", ran.good, ran.first_wrong);
        Ok((told_at, last, during?))
    })?;
    note(bench, "during", revoked, &during);
    let after = checks(server, &asked, calm, &AtomicBool::new(false))?;
    note(bench, "after", revoked, &after);
    let late = last.saturating_duration_since(told).as_secs_f64() * 1e3;
    let whole = last.saturating_duration_since(started).as_secs_f64();
    bench.outcome.add(
        "storm",
        "seconds to the last answer",
        revoked,
        told.saturating_duration_since(started).as_secs_f64(),
    );
    bench.outcome.add("storm", "seconds to the last delivery", revoked, whole);
    bench.outcome.add("storm", "ms from last answer to last delivery", revoked, late);
    bench.outcome.add("storm", "deliveries a second", revoked, (revoked * followers as u64) as f64 / whole);
    bench.say(format_args!(
        "{revoked} revoked: the last delivery after {whole:.2} s, {late:.0} ms after the last answer"
    ));
    crowd.leave()
}

fn revoke(bench: &Bench<'_>, server: &Server, revoked: u64) -> anyhow::Result<Ran> {
    let request = Http::post("/v1/revocations", &server.authorization(), r#"{"kind":"session","id":"{}"}"#, 201);
    let ids: Vec<String> = (0..revoked).map(|number| made::session_id(number).to_string()).collect();
    let scripts = Drain::shared(ids, REVOKERS);
    Ok(bench.load(server.address, Pace::Closed, PATIENCE, &request, scripts)?.0)
}

/// Checks on a schedule until somebody says that it is over, or for that long.
fn checks(server: &Server, asked: &Arc<Vec<String>>, lasting: Duration, over: &AtomicBool) -> anyhow::Result<Ran> {
    let request = Http::post("/v1/introspect", &server.authorization(), r#"{"credential":"{}"}"#, 200);
    let load = Load { target: server.address, threads: 1, pace: Pace::Open { per_second: CHECKS }, lasting: PART };
    let (started, mut all) = (Instant::now(), Ran::default());
    while started.elapsed() < lasting && !over.load(Ordering::Relaxed) {
        let scripts = (0..CHECKERS).map(|line| Cycle::new(asked.clone(), line, CHECKERS)).collect();
        let (ran, _) = load::run(&load, &request, scripts)?;
        all.good += ran.good;
        all.wrong += ran.wrong;
        all.first_wrong = all.first_wrong.or(ran.first_wrong);
        all.latency.join(&ran.latency);
    }
    Ok(all)
}

fn note(bench: &mut Bench<'_>, when: &str, at: u64, ran: &Ran) {
    bench.record_latency(&format!("checks {when}"), at, ran);
}

fn table(bench: &mut Bench<'_>, revoked: u64) {
    let median = |name: &str, unit: &str| bench.outcome.median(name, unit, revoked);
    let mut storm =
        Table::new(&format!("{} sessions revoked over {REVOKERS} connections", count(revoked as f64)), &["what", ""]);
    for unit in [
        "seconds to the last answer",
        "seconds to the last delivery",
        "ms from last answer to last delivery",
        "deliveries a second",
    ] {
        let value = median("storm", unit).unwrap_or(f64::NAN);
        storm.row(vec![unit.into(), if unit.starts_with("deliveries") { count(value) } else { format!("{value:.2}") }]);
    }
    let title = format!("Milliseconds of {CHECKS} checks a second on a schedule, counted from when each fell due");
    let mut checks = Table::new(&title, &["when", "p50", "p99", "p99.9", "max"]);
    for when in ["before", "during", "after"] {
        let cells = ["p50 ms", "p99 ms", "p99.9 ms", "max ms"]
            .map(|unit| median(&format!("checks {when}"), unit).map_or_else(String::new, millis));
        checks.row(std::iter::once(when.to_owned()).chain(cells).collect());
    }
    bench.outcome.tables.extend([storm, checks]);
}
