//! Checks: how many questions a second are answered whether something is good, with many live credentials.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::bench::Bench;
use crate::load::{Http, Pace, Resp, ask};
use crate::made::{self, Plan};
use crate::ours::Server;
use crate::report::{Table, count, millis, ratio};
use crate::rivals::redis::{self, Redis};
use crate::scripts::{Cycle, Drain, Remember, Same};

const NOOP: &str = "authledger: nothing (/v1/noop)";
const INTROSPECT: &str = "authledger: POST /v1/introspect, a ticket";
const CRAFTER: &str = "authledger: Crafter, GET ticket";
const WHOAMI: &str = "authledger: Ory, whoami, personal part in the cache";
const WHOAMI_MISSES: &str = "authledger: Ory, whoami, personal part read from the log";
const VALIDATE: &str = "authledger: SlashID, validate a JWT";
const REDIS_GET: &str = "Redis: GET";
const KRATOS: &str = "Ory Kratos: whoami";
const CONNECTIONS: usize = 64;
/// Sessions that fit the cache several times over.
const CACHED_SESSIONS: usize = 1_000;
/// The part of a full rate, in percent, at which latencies are measured on a schedule.
const SCHEDULED_PERCENT: u64 = 50;
/// What a session's bearer is shown. It is sealed in the log.
const SESSION: &str = r#"{"subject":"{}","ttl":86400,"methods":["password"],"identity":{"schema_id":"default","traits":{"email":"somebody@example.com","name":{"first":"Some","last":"Body"}}},"device":{"ip_address":"192.0.2.1","user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#;

/// What is asked about.
struct Asked {
    tickets: Arc<Vec<String>>,
    sessions: Vec<Box<[u8]>>,
    tokens: Arc<Vec<Box<[u8]>>>,
}

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let live = bench.arguments.sized(1_000_000, 50_000);
    bench.outcome.settings.insert("live_credentials".into(), json!(live));
    bench.outcome.settings.insert("connections".into(), json!(CONNECTIONS));
    let setup = bench.setup("data", &[]);
    made::make(bench, &setup, Plan::tickets(live))?;
    let server = Server::start(&setup)?;
    let asked = prepare(bench, &server, live)?;
    let redis = Redis::start(&bench.work)?;
    match &redis {
        Some(redis) => populate(bench, redis, live)?,
        None => bench.outcome.note(redis::MISSING),
    }
    let kratos = kratos(bench)?;
    for _ in 0..bench.arguments.rounds() {
        round(bench, &server, &asked, redis.as_ref())?;
        if let Some((address, request)) = &kratos {
            full(bench, KRATOS, *address, request, (0..CONNECTIONS).map(|_| Same(b"")).collect())?;
        }
    }
    scheduled(bench, &server, &asked, redis.as_ref())?;
    let head = server.head()?;
    server.stop()?;
    misses(bench, Server::start(&setup)?, head, asked)?;
    table(bench);
    Ok(())
}

/// Sessions with personal parts and JWTs are issued by the server, because they have its keys in them.
fn prepare(bench: &Bench<'_>, server: &Server, live: u64) -> anyhow::Result<Asked> {
    let (sessions, tokens) = if bench.arguments.quick { (20_000, 2_000) } else { (200_000, 20_000) };
    let sessions = issue(bench, server, "/v1/sessions", SESSION, sessions, b"\"session_token\":\"")?;
    let token = r#"{"subject":"{}","ttl":86400,"format":"jwt"}"#;
    let tokens = Arc::new(issue(bench, server, "/v1/tokens", token, tokens, b"\"token\":\"")?);
    // Neighbours in the list are not neighbours in the log.
    let tickets = (0..live.min(1_000_000)).map(|number| made::secret(number * 7_919 % live)).collect();
    Ok(Asked { tickets: Arc::new(tickets), sessions, tokens })
}

pub(super) fn issue(
    bench: &Bench<'_>,
    server: &Server,
    path: &str,
    body: &str,
    wanted: usize,
    member: &'static [u8],
) -> anyhow::Result<Vec<Box<[u8]>>> {
    bench.say(format_args!("issuing {wanted} through {path}"));
    let request = Http::post(path, &server.authorization(), body, 201);
    let each = wanted.div_ceil(CONNECTIONS);
    let scripts = (0..CONNECTIONS).map(|line| Remember::new(format!("held-{line}-"), each, member)).collect();
    let patience = std::time::Duration::from_secs(300);
    let (ran, scripts) = bench.load(server.address, Pace::Closed, patience, &request, scripts)?;
    ensure!(ran.wrong == 0, "{path} refused: {}", ran.first_wrong.unwrap_or_default());
    Ok(scripts.into_iter().flat_map(|script| script.secrets).collect())
}

fn populate(bench: &mut Bench<'_>, redis: &Redis, live: u64) -> anyhow::Result<()> {
    bench.versions.push(("Redis".into(), redis.version.clone()));
    let request = Resp::new(&["DEBUG POPULATE {} ticket 100"]);
    let lasting = std::time::Duration::from_secs(60);
    let scripts = Drain::shared(vec![live.to_string()], 1);
    let (ran, _) = bench.load(redis.address, Pace::Closed, lasting, &request, scripts)?;
    ensure!(ran.good == 1, "Redis does not make keys: {}", ran.first_wrong.unwrap_or_default());
    Ok(())
}

fn kratos(bench: &Bench<'_>) -> anyhow::Result<Option<(SocketAddr, Http)>> {
    let Some(address) = bench.arguments.kratos else { return Ok(None) };
    let token = std::env::var("AUTHLEDGER_BENCH_KRATOS_TOKEN").context("read AUTHLEDGER_BENCH_KRATOS_TOKEN")?;
    let request = Http::get("/sessions/whoami", &format!("X-Session-Token: {token}\r\n"), 200);
    let status = ask(address, &request, "").context("ask Kratos")?.status;
    ensure!(status == 200, "Kratos answers {status} to its session token");
    Ok(Some((address, request)))
}

fn introspect(server: &Server) -> Http {
    Http::post("/v1/introspect", &server.authorization(), r#"{"credential":"{}"}"#, 200)
}

fn whoami() -> Http {
    Http::get("/sessions/whoami", "X-Session-Token: {}\r\n", 200)
}

fn full<P, S>(bench: &mut Bench<'_>, name: &str, at: SocketAddr, protocol: &P, scripts: Vec<S>) -> anyhow::Result<()>
where
    P: crate::load::Protocol + Clone,
    S: crate::load::Script,
{
    let (ran, _) = bench.full(at, protocol, scripts)?;
    bench.record(name, CONNECTIONS as u64, &ran);
    Ok(())
}

pub(super) fn cycles<T>(all: &Arc<Vec<T>>) -> Vec<Cycle<T>> {
    (0..CONNECTIONS).map(|line| Cycle::new(all.clone(), line, CONNECTIONS)).collect()
}

fn noop(bench: &mut Bench<'_>, server: &Server) -> anyhow::Result<()> {
    let nothing = Http::post("/v1/noop", "", r#"{"credential":"00000000-0000-4000-8000-000000000000"}"#, 201);
    full(bench, NOOP, server.address, &nothing, (0..CONNECTIONS).map(|_| Same(b"")).collect())
}

/// Each of them once.
fn round(bench: &mut Bench<'_>, server: &Server, asked: &Asked, redis: Option<&Redis>) -> anyhow::Result<()> {
    let at = server.address;
    noop(bench, server)?;
    full(bench, INTROSPECT, at, &introspect(server), cycles(&asked.tickets))?;
    let crafter = format!("/crafter-profile/api/1/authentication/ticket/{{}}.json?accessTokenId={}", server.secret());
    full(bench, CRAFTER, at, &Http::get(&crafter, "", 200), cycles(&asked.tickets))?;
    let cached = Arc::new(asked.sessions.iter().take(CACHED_SESSIONS).cloned().collect());
    full(bench, WHOAMI, at, &whoami(), cycles(&cached))?;
    let validate = Http::post("/slashid/token/validate", "", r#"{"token":"{}"}"#, 200);
    full(bench, VALIDATE, at, &validate, cycles(&asked.tokens))?;
    if let Some(redis) = redis {
        let keys = Arc::new((0..asked.tickets.len()).map(|number| number.to_string()).collect());
        full(bench, REDIS_GET, redis.address, &Resp::new(&["GET ticket:{}"]), cycles(&keys))?;
    }
    Ok(())
}

/// Latencies on a schedule, at half of what introspection can do.
fn scheduled(bench: &mut Bench<'_>, server: &Server, asked: &Asked, redis: Option<&Redis>) -> anyhow::Result<()> {
    let full = bench.outcome.median(INTROSPECT, "a second", CONNECTIONS as u64).unwrap_or(1.0);
    let per_second = full * SCHEDULED_PERCENT as f64 / 100.0;
    let (pace, lasting) = (Pace::Open { per_second }, bench.arguments.lasting());
    bench.outcome.settings.insert("scheduled_a_second".into(), json!(per_second.round()));
    for _ in 0..bench.arguments.rounds() {
        let (ran, _) = bench.load(server.address, pace, lasting, &introspect(server), cycles(&asked.tickets))?;
        bench.record_latency(INTROSPECT, SCHEDULED_PERCENT, &ran);
        let Some(redis) = redis else { continue };
        let keys = Arc::new((0..asked.tickets.len()).map(|number| number.to_string()).collect());
        let (ran, _) = bench.load(redis.address, pace, lasting, &Resp::new(&["GET ticket:{}"]), cycles(&keys))?;
        bench.record_latency(REDIS_GET, SCHEDULED_PERCENT, &ran);
    }
    Ok(())
}

/// A server that has just started has nothing in its cache, and each session is asked about once.
fn misses(bench: &mut Bench<'_>, server: Server, head: u64, mut asked: Asked) -> anyhow::Result<()> {
    let each = asked.sessions.len() / bench.arguments.rounds() as usize;
    for _ in 0..bench.arguments.rounds() {
        let list = asked.sessions.split_off(asked.sessions.len() - each);
        full(bench, WHOAMI_MISSES, server.address, &whoami(), Drain::shared(list, CONNECTIONS))?;
        noop(bench, &server)?;
    }
    server.settle(head, &[])?;
    Ok(())
}

fn table(bench: &mut Bench<'_>) {
    let columns = [
        "what",
        "a second",
        ": nothing",
        ": Redis GET",
        "p50 ms",
        "p99 ms",
        "p50 ms on a schedule",
        "p99 ms",
        "p99.9 ms",
    ];
    let title = format!(
        "Questions a second over {CONNECTIONS} connections, closed loop; on a schedule at {SCHEDULED_PERCENT} % of introspection's rate"
    );
    let mut table = Table::new(&title, &columns);
    let median = |name: &str, unit: &str, at: u64| bench.outcome.median(name, unit, at);
    let at = CONNECTIONS as u64;
    for name in [NOOP, INTROSPECT, CRAFTER, WHOAMI, WHOAMI_MISSES, VALIDATE, REDIS_GET, KRATOS] {
        let Some(rate) = median(name, "a second", at) else { continue };
        let against = |other: &str| ratio(Some(rate), median(other, "a second", at));
        let cell = |unit: &str, at: u64| median(name, unit, at).map_or_else(|| "–".to_owned(), millis);
        let mut row = vec![name.to_owned(), count(rate), against(NOOP), against(REDIS_GET)];
        row.extend(["p50 ms", "p99 ms"].map(|unit| cell(unit, at)));
        row.extend(["p50 ms", "p99 ms", "p99.9 ms"].map(|unit| cell(unit, SCHEDULED_PERCENT)));
        table.row(row);
    }
    bench.outcome.tables.push(table);
    bench.outcome.note("Each is asked about credentials that come again: a JWT by then costs a look-up instead of verifying its signature (ES256).");
    if bench.arguments.kratos.is_none() {
        bench.outcome.note("Ory Kratos was not measured: start one and give its public address with --kratos.");
    }
}
