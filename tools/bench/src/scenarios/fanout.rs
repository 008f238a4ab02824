//! Fan-out: how long a revocation takes to the last of many followers, how many deliveries a second there are, and what an idle
//! follower costs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::bench::Bench;
use crate::load::{Crowd, Followers, Http, Latency, Pace, Protocol, Resp, ask, subscribe};
use crate::ours::Server;
use crate::report::{Table, count, millis, ratio};
use crate::rivals::redis::{self, Redis};
use crate::scripts::{Drain, Issue, TICKET_BYTES};

const OURS: &str = "authledger: GET /v1/revocations";
const REDIS: &str = "Redis: SUBSCRIBE";
/// What each delivery of ours has in it once.
pub const OUR_MARKER: &[u8] = b"event: revoked\n";
/// What a follower of ours hears first.
pub const OUR_GREETING: &[u8] = b"HTTP/1.1 200 ";
const REDIS_GREETING: &[u8] = b"*3\r\n$9\r\nsubscribe";
const REDIS_MARKER: &[u8] = b"$7\r\nmessage\r\n";
const CHANNEL: &str = "revocations";
/// Deliveries a second that are offered while a stream is measured: more than two cores do.
const OFFERED: f64 = 800_000.0;
/// The most revocations a second of that.
const MAX_REVOCATIONS: f64 = 20_000.0;
/// Connections that publish.
const PUBLISHERS: usize = 16;
/// How long deliveries may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a crowd sits before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Somebody who tells many.
struct Teller<'a, P> {
    name: &'static str,
    target: SocketAddr,
    request: Vec<u8>,
    greeting: &'static [u8],
    marker: &'static [u8],
    /// What makes one delivery to each.
    publish: P,
    memory: Box<dyn Fn() -> anyhow::Result<u64> + 'a>,
}

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let crowds = match bench.arguments.followers.as_slice() {
        [] => vec![1, 100, 1_000, 10_000],
        given => given.to_vec(),
    };
    bench.outcome.settings.insert("followers".into(), json!(crowds));
    let server = bench.server("data", &[])?;
    let redis = Redis::start(&bench.work)?;
    match &redis {
        Some(redis) => bench.versions.push(("Redis".into(), redis.version.clone())),
        None => bench.outcome.note(redis::MISSING),
    }
    let mut acknowledged = server.head()?;
    for followers in &crowds {
        idle(bench, *followers)?;
    }
    for followers in &crowds {
        for _ in 0..bench.arguments.rounds() {
            let needed = singles(bench) + streamed(bench, *followers);
            let tickets = issue(bench, &server, needed)?;
            acknowledged += 2 * needed as u64;
            one(bench, &ours(&server), *followers, tickets)?;
            if let Some(redis) = &redis {
                let item = frame_of_ours().into_bytes();
                one(bench, &theirs(redis), *followers, vec![item; needed])?;
            }
        }
    }
    let head = server.head()?;
    ensure!(head == acknowledged, "{acknowledged} events were acknowledged, and the log has {head}");
    server.settle(head, &[])?;
    table(bench, &crowds);
    Ok(())
}

/// Revocations of which each is waited for.
fn singles(bench: &Bench<'_>) -> usize {
    if bench.arguments.quick { 10 } else { 50 }
}

fn per_second(followers: usize) -> f64 {
    (OFFERED / followers as f64).min(MAX_REVOCATIONS)
}

fn streamed(bench: &Bench<'_>, followers: usize) -> usize {
    (per_second(followers) * bench.arguments.lasting().as_secs_f64()).ceil() as usize
}

/// What follows the feed of that server from now on.
pub fn follow_request(server: &Server) -> Vec<u8> {
    let headers = format!("{}Accept: text/event-stream\r\n", server.authorization());
    let mut out = Vec::new();
    Http::get("/v1/revocations", &headers, 200).write(b"", &mut out);
    out
}

fn ours(server: &Server) -> Teller<'_, Http> {
    Teller {
        name: OURS,
        target: server.address,
        request: follow_request(server),
        greeting: OUR_GREETING,
        marker: OUR_MARKER,
        publish: Http::post("/v1/revocations", &server.authorization(), r#"{"credential":"{}"}"#, 201),
        memory: Box::new(|| server.memory_bytes()),
    }
}

fn theirs(redis: &Redis) -> Teller<'_, Resp> {
    Teller {
        name: REDIS,
        target: redis.address,
        request: subscribe(CHANNEL),
        greeting: REDIS_GREETING,
        marker: REDIS_MARKER,
        publish: Resp::new(&[&format!("PUBLISH {CHANNEL} {{}}")]),
        memory: Box::new(|| redis.memory_bytes()),
    }
}

/// As many bytes as a revocation's frame has.
fn frame_of_ours() -> String {
    "x".repeat(400)
}

fn issue(bench: &Bench<'_>, server: &Server, needed: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let request = Http::post("/v1/tickets", &server.authorization(), r#"{"subject":"{}","ttl":86400}"#, 201);
    let names: Vec<String> = (0..needed).map(|number| format!("subject-{number}")).collect();
    let scripts =
        Drain::shared(names, PUBLISHERS).into_iter().map(|names| Issued { names, issue: Issue::new(String::new()) });
    let (ran, scripts) = bench.load(server.address, Pace::Closed, PATIENCE, &request, scripts.collect())?;
    ensure!(ran.good == needed as u64, "tickets were refused: {}", ran.first_wrong.unwrap_or_default());
    let tickets = scripts.into_iter().flat_map(|script| script.issue.tickets);
    Ok(tickets.map(|ticket: [u8; TICKET_BYTES]| ticket.to_vec()).collect())
}

/// Issues to those that are named, and remembers the tickets.
struct Issued {
    names: Drain<String>,
    issue: Issue,
}

impl crate::load::Script for Issued {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        self.names.next(slot)
    }

    fn answered(&mut self, body: &[u8]) {
        self.issue.answered(body);
    }
}

impl<P> Teller<'_, P> {
    fn gather(&self, followers: usize) -> anyhow::Result<Followers> {
        let request = self.request.clone();
        Followers::gather(&Crowd {
            target: self.target,
            followers,
            request,
            greeting: self.greeting,
            marker: self.marker,
        })
    }

    /// What a crowd costs a server that has just started, and so has nothing to use again.
    fn idle(&self, bench: &mut Bench<'_>, followers: usize) -> anyhow::Result<()> {
        std::thread::sleep(SETTLE);
        let before = (self.memory)()?;
        let crowd = self.gather(followers)?;
        std::thread::sleep(SETTLE);
        let each = (self.memory)()?.saturating_sub(before) as f64 / followers as f64;
        bench.outcome.add(self.name, "bytes a follower", followers as u64, each);
        bench.say(format_args!("{} to {followers}: {each:.0} bytes each while idle", self.name));
        crowd.leave()
    }
}

/// The memory that idle crowds take.
fn idle(bench: &mut Bench<'_>, followers: usize) -> anyhow::Result<()> {
    let server = bench.server(&format!("idle-{followers}"), &[])?;
    ours(&server).idle(bench, followers)?;
    server.stop()?;
    let work = bench.work.join(format!("idle-redis-{followers}"));
    std::fs::create_dir_all(&work)?;
    match Redis::start(&work)? {
        Some(redis) => theirs(&redis).idle(bench, followers),
        None => Ok(()),
    }
}

/// One teller, one crowd: told one thing at a time, and told many.
fn one<P>(
    bench: &mut Bench<'_>,
    teller: &Teller<'_, P>,
    followers: usize,
    mut items: Vec<Vec<u8>>,
) -> anyhow::Result<()>
where
    P: Protocol + Clone + Ask,
{
    let (at, target) = (followers as u64, teller.target);
    let crowd = teller.gather(followers)?;
    let mut delivered = crowd.delivered();
    let mut latency = Latency::default();
    for item in items.split_off(items.len() - singles(bench)) {
        delivered += at;
        crowd.expect(delivered);
        let told_at = Instant::now();
        teller.publish.once(target, &item)?;
        latency.add(crowd.reached(PATIENCE)?.saturating_duration_since(told_at));
    }
    bench.outcome.add(teller.name, "p50 ms", at, latency.millis_at(0.5));
    bench.outcome.add(teller.name, "max ms", at, latency.max_millis());
    let (told, started) = (items.len() as u64, Instant::now());
    crowd.expect(delivered + told * at);
    let pace = Pace::Open { per_second: per_second(followers) };
    // Longer than the schedule by what keeps the last of them from falling off its end.
    let lasting = bench.arguments.lasting() + Duration::from_millis(500);
    let (ran, _) = bench.load(target, pace, lasting, &teller.publish, Drain::shared(items, PUBLISHERS))?;
    ensure!(ran.good == told, "{}: {} of {told} were told: {:?}", teller.name, ran.good, ran.first_wrong);
    let ended = crowd.reached(PATIENCE)?;
    let rate = (told * at) as f64 / ended.saturating_duration_since(started).as_secs_f64();
    bench.outcome.add(teller.name, "deliveries a second", at, rate);
    let p50 = latency.millis_at(0.5);
    bench.say(format_args!("{} to {followers}: last after {p50:.2} ms, {rate:.0} deliveries a second", teller.name));
    crowd.leave()
}

/// Telling one thing, outside of a load.
trait Ask {
    fn once(&self, target: SocketAddr, item: &[u8]) -> anyhow::Result<()>;
}

impl Ask for Http {
    fn once(&self, target: SocketAddr, item: &[u8]) -> anyhow::Result<()> {
        ask(target, self, &String::from_utf8_lossy(item))?.json().map(drop)
    }
}

impl Ask for Resp {
    fn once(&self, target: SocketAddr, item: &[u8]) -> anyhow::Result<()> {
        let mut stream = std::net::TcpStream::connect(target)?;
        let mut out = Vec::new();
        self.write(item, &mut out);
        std::io::Write::write_all(&mut stream, &out)?;
        let mut answer = [0; 64];
        ensure!(std::io::Read::read(&mut stream, &mut answer)? > 0 && answer[0] == b':', "Redis did not publish");
        Ok(())
    }
}

fn table(bench: &mut Bench<'_>, crowds: &[usize]) {
    let columns = [
        "who",
        "followers",
        "to the last, p50 ms",
        "max ms",
        "deliveries a second",
        ": Redis",
        "bytes an idle follower",
    ];
    let mut table = Table::new(
        "One revocation to the last follower; a stream of them; an idle follower's memory in the server",
        &columns,
    );
    for followers in crowds {
        let at = *followers as u64;
        for name in [OURS, REDIS] {
            let median = |name: &str, unit: &str| bench.outcome.median(name, unit, at);
            let Some(rate) = median(name, "deliveries a second") else { continue };
            let cell = |unit: &str, shown: fn(f64) -> String| median(name, unit).map_or_else(String::new, shown);
            table.row(vec![
                name.to_owned(),
                count(at as f64),
                cell("p50 ms", millis),
                cell("max ms", millis),
                count(rate),
                ratio(Some(rate), median(REDIS, "deliveries a second")),
                cell("bytes a follower", count),
            ]);
        }
    }
    bench.outcome.tables.push(table);
    bench.outcome.note("The time to the last follower counts from before the revocation is sent, so it has the durable commit in it; Redis's PUBLISH is durable nowhere.");
    bench.outcome.note(format!("A stream offers {OFFERED} deliveries a second, at most {MAX_REVOCATIONS} revocations a second of {PUBLISHERS} connections; its rate counts until the last delivery. With few followers the offer is the bound, not the server."));
}
