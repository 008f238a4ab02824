//! Stream: how fast a follower catches up that is millions of revocations behind.

use std::time::{Duration, Instant};

use authledger::domain::Kind;
use serde_json::json;

use crate::bench::Bench;
use crate::load::{Crowd, Followers, Http, Protocol as _};
use crate::made::{self, Plan};
use crate::ours::Server;
use crate::report::{Table, count};
use crate::scenarios::fanout::{OUR_GREETING, OUR_MARKER};

const CATCH_UP: &str = "one follower from the beginning";
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the scenario.
pub fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let behind = bench.arguments.sized(5_000_000, 500_000);
    bench.outcome.settings.insert("revocations".into(), json!(behind));
    let setup = bench.setup("data", &[]);
    // Each is of a ticket that was issued, so there are twice as many events to read.
    let plan = Plan { kind: Kind::Ticket, issued: behind, revoked: behind, each: 10 };
    made::make(bench, &setup, plan)?;
    let server = Server::start(&setup)?;
    server.wait_for_derived(&setup, PATIENCE)?;
    for _ in 0..bench.arguments.rounds() {
        let (started, before) = (Instant::now(), server.memory_bytes()?);
        let crowd = Followers::gather(&crowd(&server))?;
        crowd.expect(behind);
        let elapsed = crowd.reached(PATIENCE)?.saturating_duration_since(started);
        let rate = behind as f64 / elapsed.as_secs_f64();
        bench.outcome.add(CATCH_UP, "events a second", behind, rate);
        bench.outcome.add(CATCH_UP, "bytes an event", behind, crowd.bytes() as f64 / behind as f64);
        bench.outcome.add(CATCH_UP, "bytes of memory more", behind, server.memory_bytes()? as f64 - before as f64);
        bench.say(format_args!("{behind} revocations in {:.2} s, {rate:.0} a second", elapsed.as_secs_f64()));
        crowd.leave()?;
    }
    let head = server.head()?;
    server.settle(head, &[])?;
    table(bench, behind);
    Ok(())
}

fn crowd(server: &Server) -> Crowd {
    let headers = format!("{}Accept: text/event-stream\r\n", server.authorization());
    let mut request = Vec::new();
    Http::get("/v1/revocations?after=0", &headers, 200).write(b"", &mut request);
    Crowd { target: server.address, followers: 1, request, greeting: OUR_GREETING, marker: OUR_MARKER }
}

fn table(bench: &mut Bench<'_>, behind: u64) {
    let columns = ["what", "revocations a second", "megabytes a second", "bytes of memory that it takes"];
    let mut table = Table::new(&format!("A follower {} revocations behind", count(behind as f64)), &columns);
    let median = |unit: &str| bench.outcome.median(CATCH_UP, unit, behind).unwrap_or(f64::NAN);
    let (rate, bytes) = (median("events a second"), median("bytes an event"));
    table.row(vec![
        CATCH_UP.into(),
        count(rate),
        count(rate * bytes / 1e6),
        count(median("bytes of memory more").max(0.0)),
    ]);
    bench.outcome.tables.push(table);
    bench
        .outcome
        .note("Each revocation is of a ticket that the log issued, so the server reads two records for each frame.");
}
