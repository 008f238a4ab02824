//! The edge: checks from memory next to the same process's handler that does nothing, JWTs at first sight next to their
//! signatures alone, and how long after a revocation the edge refuses, next to a bare follower.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use authledger::jose::{KeySet, ParsedToken, verify_signature};
use rustix::process::Signal;
use serde_json::json;

use super::checks::{cycles, issue};
use super::fanout::follow_request;
use crate::bench::Bench;
use crate::children::Program;
use crate::load::{Crowd, Followers, Http, Pace, ask};
use crate::ours::Server;
use crate::report::{Table, count, median, millis, ratio};
use crate::scripts::{Drain, Same};

const NOOP: &str = "edge: nothing (/v1/noop)";
const KEPT: &str = "edge: check of a ticket, from a kept answer";
const JWT: &str = "edge: check of a JWT that is known";
const FIRST: &str = "edge: check of a JWT at first sight";
const SIGNATURES: &str = "one core: signatures of these JWTs alone";
const REFUSED: &str = "edge: the check refuses";
const HEARD: &str = "a bare follower hears it";
const CONNECTIONS: usize = 64;
const SCHEDULED_PERCENT: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(60);
const RULES: &str = "[[check]]\nrule = \"bench\"\nkinds = [\"ticket\", \"session\", \"token\"]\n";
const TICKET: &str = r#"{"subject":"{}","ttl":86400}"#;
const TOKEN: &str = r#"{"subject":"{}","ttl":86400,"format":"jwt","scope":"read"}"#;

/// An edge that runs.
struct EdgeProgram {
    program: Program,
    checks: SocketAddr,
}

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let each = bench.arguments.sized(100_000, 5_000) as usize;
    bench.outcome.settings.insert("credentials".into(), json!(each));
    bench.outcome.settings.insert("connections".into(), json!(CONNECTIONS));
    let server = bench.server("data", &["--heartbeat", "1"])?;
    let edge = start(bench, &server)?;
    let tickets = Arc::new(issue(bench, &server, "/v1/tickets", TICKET, each, b"\"ticket\":\"")?);
    let tokens = Arc::new(issue(bench, &server, "/v1/tokens", TOKEN, each, b"\"token\":\"")?);
    for known in [&tickets, &tokens] {
        let scripts = Drain::shared(known.to_vec(), CONNECTIONS);
        let (ran, _) = bench.load(edge.checks, Pace::Closed, PATIENCE * 5, &check(), scripts)?;
        ensure!(ran.wrong == 0, "the edge refused: {}", ran.first_wrong.unwrap_or_default());
    }
    for _ in 0..bench.arguments.rounds() {
        let nothing = Http::get("/v1/noop", "", 200);
        full(bench, NOOP, edge.checks, &nothing, (0..CONNECTIONS).map(|_| Same(b"")).collect())?;
        full(bench, KEPT, edge.checks, &check(), cycles(&tickets))?;
        full(bench, JWT, edge.checks, &check(), cycles(&tokens))?;
        first_sight(bench, &server, &edge, each)?;
    }
    scheduled(bench, &edge, &tickets)?;
    let memory = edge.program.memory_bytes()?;
    bench.outcome.settings.insert("edge_memory_bytes".into(), json!(memory));
    for followers in [0, 999] {
        refusals(bench, &server, &edge, followers)?;
    }
    ensure!(edge.program.end()?.success(), "the edge did not stop properly");
    let head = server.head()?;
    server.settle(head, &[])?;
    tables(bench);
    Ok(())
}

fn start(bench: &Bench<'_>, server: &Server) -> anyhow::Result<EdgeProgram> {
    let (rules, secret) = (bench.work.join("edge.toml"), bench.work.join("edge-token"));
    std::fs::write(&rules, RULES)?;
    std::fs::write(&secret, server.secret())?;
    let mut command = Command::new(bench.programs.join("authledger"));
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUTHLEDGER_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.args(["edge", "--bench", "--log", "warn", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args(["--heartbeat", "1", "--upstream", &format!("http://{}", server.address), "--config"]).arg(&rules);
    command.arg("--token-file").arg(&secret);
    let mut program = Program::start("authledger edge", &mut command, &bench.work.join("edge.log"), Signal::TERM)?;
    let mut checks = None;
    let admin: SocketAddr = program.wait_for(PATIENCE, |line| {
        if let Some(address) = line.strip_prefix("authledger: checks on http://") {
            checks = address.trim_end_matches("/check/RULE").parse().ok();
        }
        line.strip_prefix("authledger: health and metrics on http://")?.parse().ok()
    })?;
    let ready = Http::get("/health/ready", "", 200);
    program.wait_until(PATIENCE, || ask(admin, &ready, "").is_ok_and(|answer| answer.status == 200))?;
    Ok(EdgeProgram { program, checks: checks.context("the edge does not say where it listens")? })
}

fn check() -> Http {
    Http::get("/check/bench", "Authorization: Bearer {}\r\n", 200)
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

/// JWTs that the edge has never seen, each once; and how many of their signatures one core verifies in the same time.
fn first_sight(bench: &mut Bench<'_>, server: &Server, edge: &EdgeProgram, each: usize) -> anyhow::Result<()> {
    let fresh = issue(bench, server, "/v1/tokens", TOKEN, each, b"\"token\":\"")?;
    let keys = ask(server.address, &Http::get("/.well-known/jwks.json", "", 200), "")?.body;
    let keys = KeySet::from_json(&keys).context("read the keys")?;
    let started = Instant::now();
    for token in &fresh {
        let token = ParsedToken::new(std::str::from_utf8(token)?)?;
        let key = keys.find(token.kid.as_deref(), token.algorithm).context("the key is published")?;
        verify_signature(&token, key)?;
    }
    let rate = fresh.len() as f64 / started.elapsed().as_secs_f64();
    bench.outcome.add(SIGNATURES, "a second", CONNECTIONS as u64, rate);
    let (ran, _) = bench.load(edge.checks, Pace::Closed, PATIENCE * 5, &check(), Drain::shared(fresh, CONNECTIONS))?;
    bench.record(FIRST, CONNECTIONS as u64, &ran);
    Ok(())
}

/// Latencies on a schedule, at half of what a kept answer can do.
fn scheduled(bench: &mut Bench<'_>, edge: &EdgeProgram, tickets: &Arc<Vec<Box<[u8]>>>) -> anyhow::Result<()> {
    let full = bench.outcome.median(KEPT, "a second", CONNECTIONS as u64).unwrap_or(1.0);
    let pace = Pace::Open { per_second: full * SCHEDULED_PERCENT as f64 / 100.0 };
    let lasting = bench.arguments.lasting();
    for _ in 0..bench.arguments.rounds() {
        let nothing = Http::get("/v1/noop", "", 200);
        let scripts = (0..CONNECTIONS).map(|_| Same(b"")).collect();
        let (ran, _) = bench.load(edge.checks, pace, lasting, &nothing, scripts)?;
        bench.record_latency(NOOP, SCHEDULED_PERCENT, &ran);
        let (ran, _) = bench.load(edge.checks, pace, lasting, &check(), cycles(tickets))?;
        bench.record_latency(KEPT, SCHEDULED_PERCENT, &ran);
    }
    Ok(())
}

/// Tickets that are revoked one after the other, with that many bare followers beside edge and listener.
fn refusals(bench: &mut Bench<'_>, server: &Server, edge: &EdgeProgram, followers: usize) -> anyhow::Result<()> {
    let rounds = if bench.arguments.quick { 20 } else { 200 };
    let crowd = Crowd {
        target: server.address,
        followers,
        request: follow_request(server),
        greeting: b"retry: ",
        marker: b"event: revoked",
    };
    let crowd = if followers == 0 { None } else { Some(Followers::gather(&crowd)?) };
    let heard = listen(server)?;
    let tickets = issue(bench, server, "/v1/tickets", TICKET, rounds, b"\"ticket\":\"")?;
    let revoke = Http::post("/v1/revocations", &server.authorization(), r#"{"credential":"{}"}"#, 201);
    let mut gateway = Gateway::connect(edge.checks)?;
    let (mut refused_after, mut heard_after) = (Vec::new(), Vec::new());
    for ticket in &tickets {
        let ticket = std::str::from_utf8(ticket)?;
        ensure!(gateway.status(ticket)? == 200, "the edge refuses a ticket that is active");
        let started = Instant::now();
        let (target, revoke, sent) = (server.address, revoke.clone(), ticket.to_owned());
        let revoking = std::thread::spawn(move || ask(target, &revoke, &sent).map(|answer| answer.status));
        while gateway.status(ticket)? == 200 {
            ensure!(started.elapsed() < PATIENCE, "the edge lets a revoked ticket pass");
        }
        refused_after.push(started.elapsed().as_secs_f64() * 1_000.0);
        let heard_at = heard.recv_timeout(PATIENCE).context("the follower hears nothing")?;
        heard_after.push(heard_at.saturating_duration_since(started).as_secs_f64() * 1_000.0);
        ensure!(revoking.join().is_ok_and(|status| status.is_ok_and(|status| status == 201)), "the revocation failed");
    }
    for (name, all) in [(REFUSED, &mut refused_after), (HEARD, &mut heard_after)] {
        bench.outcome.add(name, "p50 ms", followers as u64, median(all));
        all.sort_by(f64::total_cmp);
        bench.outcome.add(name, "p99 ms", followers as u64, all[(all.len() - 1) * 99 / 100]);
    }
    if let Some(crowd) = crowd {
        crowd.leave()?;
    }
    Ok(())
}

/// A follower that says when it hears a revocation.
fn listen(server: &Server) -> anyhow::Result<mpsc::Receiver<Instant>> {
    let mut stream = TcpStream::connect(server.address)?;
    let headers = format!("Host: localhost\r\n{}Accept: application/x-ndjson\r\n", server.authorization());
    write!(stream, "GET /v1/revocations HTTP/1.1\r\n{headers}\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("\"heartbeat\"") {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "the server does not let a follower in");
    }
    let (tell, told) = mpsc::sync_channel(1_024);
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.contains("\"event\":\"revoked\"") && tell.send(Instant::now()).is_err() {
                return;
            }
            line.clear();
        }
    });
    Ok(told)
}

/// One connection of a gateway, which is kept.
struct Gateway(BufReader<TcpStream>);

impl Gateway {
    fn connect(edge: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(edge)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn status(&mut self, credential: &str) -> anyhow::Result<u16> {
        let request = format!("GET /check/bench HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credential}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the edge closes the connection");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        while line.trim_end() != "" {
            line.clear();
            self.0.read_line(&mut line)?;
        }
        match status {
            Some(status) => Ok(status),
            None => bail!("the edge answers {line}"),
        }
    }
}

fn tables(bench: &mut Bench<'_>) {
    let at = CONNECTIONS as u64;
    let median = |name: &str, unit: &str, at: u64| bench.outcome.median(name, unit, at);
    let title = format!("Checks over {CONNECTIONS} connections, closed loop; on a schedule at {SCHEDULED_PERCENT} %");
    let columns = ["what", "a second", ": nothing", "p50 ms", "p99 ms", "p99 ms on a schedule"];
    let mut checks = Table::new(&title, &columns);
    for name in [NOOP, KEPT, JWT, FIRST, SIGNATURES] {
        let Some(rate) = median(name, "a second", at) else { continue };
        let cell = |unit: &str, at: u64| median(name, unit, at).map_or_else(|| "–".to_owned(), millis);
        let against = ratio(Some(rate), median(NOOP, "a second", at));
        let latencies = [cell("p50 ms", at), cell("p99 ms", at), cell("p99 ms", SCHEDULED_PERCENT)];
        checks.row([name.to_owned(), count(rate), against].into_iter().chain(latencies).collect());
    }
    let columns = [
        "bare followers beside it",
        "the edge refuses, p50 ms",
        "p99 ms",
        "a follower hears, p50 ms",
        "p99 ms",
        "ratio of p50",
    ];
    let mut refusals = Table::new("From a revocation's request to its refusal", &columns);
    for followers in [0, 999] {
        let cell = |name, unit| median(name, unit, followers).map_or_else(|| "–".to_owned(), millis);
        let against = ratio(median(REFUSED, "p50 ms", followers), median(HEARD, "p50 ms", followers));
        let mut row = vec![followers.to_string()];
        row.extend([
            cell(REFUSED, "p50 ms"),
            cell(REFUSED, "p99 ms"),
            cell(HEARD, "p50 ms"),
            cell(HEARD, "p99 ms"),
            against,
        ]);
        refusals.row(row);
    }
    bench.outcome.tables.extend([checks, refusals]);
    bench.outcome.note("The refusal is seen by a gateway that asks without a pause over one connection, so half a check's time is in it.");
}
