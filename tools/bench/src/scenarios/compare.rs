//! Two builds of ours in turn: what a change costs.
//!
//! Both run all the time, and one at a time is asked. Each pair measures both right after one another, every other one in the opposite order,
//! and only the ratio within a pair counts: what the machine does meanwhile concerns both. The result is the median of the ratios, with
//! their spread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use crate::arguments::Scenario;
use crate::bench::Bench;
use crate::load::{Http, Ran};
use crate::ours::{Acknowledged, Server, Setup};
use crate::report::{Spread, Table, count};
use crate::scripts::{Cycle, Drain, Issue, TICKET_BYTES};

const CONNECTIONS: usize = 64;
const ISSUE: &str = "issue a ticket";
const REVOKE: &str = "revoke a ticket";
const INTROSPECT: &str = "introspect a ticket";
const COMMANDS: [&str; 2] = [ISSUE, REVOKE];
const RATIO: &str = "after : before";

/// One of the two builds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Before,
    After,
}

impl Which {
    const BOTH: [Self; 2] = [Self::Before, Self::After];

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// A build that runs.
struct Party {
    which: Which,
    server: Server,
    /// Events that are acknowledged.
    acknowledged: u64,
    sample: Vec<Acknowledged>,
    turn: u64,
    /// Tickets to ask about.
    known: Arc<Vec<String>>,
}

/// Runs the comparison with that other build.
pub fn run(bench: &mut Bench<'_>, other: &Path) -> anyhow::Result<()> {
    let what = wanted(bench)?;
    let connections = bench.arguments.connections.first().copied().unwrap_or(CONNECTIONS);
    bench.outcome.settings.insert("connections".into(), json!(connections));
    bench.outcome.settings.insert("pairs".into(), json!(bench.arguments.pairs));
    let mut parties = Vec::new();
    for which in Which::BOTH {
        parties.push(Party::start(bench, which, other)?);
    }
    if what.contains(&Scenario::Checks) {
        for party in &mut parties {
            party.prepare(bench, connections)?;
        }
    }
    // The first pair warms both up and does not count.
    for pair in 0..=bench.arguments.pairs {
        let mut rates = Vec::new();
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for turn in order {
            rates.extend(parties[turn].measure(bench, &what, connections)?);
        }
        if pair > 0 {
            note(bench, &rates, connections as u64);
        }
    }
    for party in parties {
        party.settle(bench)?;
    }
    conclude(bench, connections as u64);
    Ok(())
}

fn wanted(bench: &Bench<'_>) -> anyhow::Result<Vec<Scenario>> {
    let only = &bench.arguments.only;
    if let Some(other) = only.iter().find(|one| !matches!(one, Scenario::Commands | Scenario::Checks)) {
        bail!("two builds are compared by commands and checks, not by {}; leave it out of --only", other.name());
    }
    Ok(if only.is_empty() { vec![Scenario::Commands, Scenario::Checks] } else { only.clone() })
}

/// A rate: of what, and of which build.
type Rate = (&'static str, Which, f64);

fn note(bench: &mut Bench<'_>, rates: &[Rate], at: u64) {
    let find = |what: &str, which: Which| rates.iter().find(|rate| rate.0 == what && rate.1 == which);
    for (what, which, before) in rates.iter().filter(|rate| rate.1 == Which::Before) {
        bench.outcome.add(what, which.name(), at, *before);
        if let Some((_, _, after)) = find(what, Which::After) {
            bench.outcome.add(what, Which::After.name(), at, *after);
            bench.outcome.add(what, RATIO, at, after / before);
        }
    }
}

impl Party {
    fn start(bench: &Bench<'_>, which: Which, other: &Path) -> anyhow::Result<Self> {
        let mut setup: Setup = bench.setup(which.name(), &[]);
        if which == Which::Before {
            setup.server = PathBuf::from(other);
        }
        let server = Server::start(&setup).with_context(|| format!("start the build {}", which.name()))?;
        let acknowledged = server.head()?;
        Ok(Self { which, server, acknowledged, sample: Vec::new(), turn: 0, known: Arc::default() })
    }

    /// Issues what is asked about.
    fn prepare(&mut self, bench: &mut Bench<'_>, connections: usize) -> anyhow::Result<()> {
        let (ran, tickets) = self.issue(bench, connections)?;
        ensure!(ran.good > 0, "the build {} issued nothing", self.which.name());
        let text = |ticket: &[u8; TICKET_BYTES]| String::from_utf8_lossy(ticket).into_owned();
        self.known = Arc::new(tickets.iter().map(text).collect());
        Ok(())
    }

    fn measure(&mut self, bench: &mut Bench<'_>, what: &[Scenario], connections: usize) -> anyhow::Result<Vec<Rate>> {
        let mut rates = Vec::new();
        if what.contains(&Scenario::Commands) {
            let (ran, tickets) = self.issue(bench, connections)?;
            rates.push((ISSUE, self.which, ran.rate()));
            let body = r#"{"credential":"{}"}"#;
            let request = Http::post("/v1/revocations", &self.server.authorization(), body, 201);
            let scripts = Drain::shared(tickets, connections);
            let (ran, _) = bench.full(self.server.address, &request, scripts)?;
            self.acknowledged += ran.good;
            rates.push((REVOKE, self.which, self.rate_of(bench, REVOKE, &ran)));
        }
        if what.contains(&Scenario::Checks) {
            let body = r#"{"credential":"{}"}"#;
            let request = Http::post("/v1/introspect", &self.server.authorization(), body, 200);
            let scripts = (0..connections).map(|line| Cycle::new(self.known.clone(), line, connections)).collect();
            let (ran, _) = bench.full(self.server.address, &request, scripts)?;
            rates.push((INTROSPECT, self.which, self.rate_of(bench, INTROSPECT, &ran)));
        }
        Ok(rates)
    }

    fn issue(&mut self, bench: &mut Bench<'_>, connections: usize) -> anyhow::Result<(Ran, Vec<[u8; TICKET_BYTES]>)> {
        let turn = self.turn;
        self.turn += 1;
        // Longer than the comparison: an expired one is found sooner.
        let body = r#"{"subject":"{}","ttl":86400}"#;
        let request = Http::post("/v1/tickets", &self.server.authorization(), body, 201);
        let scripts = (0..connections).map(|line| Issue::new(format!("s-{turn}-{line}-"))).collect();
        let (ran, scripts) = bench.full(self.server.address, &request, scripts)?;
        self.rate_of(bench, ISSUE, &ran);
        self.acknowledged += ran.good;
        let mut tickets = Vec::new();
        for mut script in scripts {
            tickets.append(&mut script.tickets);
            self.sample.append(&mut script.sample);
        }
        Ok((ran, tickets))
    }

    /// The rate. Wrong answers make the comparison fail.
    fn rate_of(&self, bench: &mut Bench<'_>, what: &str, ran: &Ran) -> f64 {
        let which = self.which.name();
        if ran.wrong > 0 {
            let first = ran.first_wrong.as_deref().unwrap_or_default();
            bench.outcome.fail(format!("{which}, {what}: {} wrong answers, the first: {first}", ran.wrong));
        }
        bench.say(format_args!("{which}: {what}: {:.0} a second", ran.rate()));
        ran.rate()
    }

    /// Whether all that was acknowledged is in the log.
    fn settle(self, bench: &Bench<'_>) -> anyhow::Result<()> {
        let Self { which, server, acknowledged, sample, .. } = self;
        let head = server.head()?;
        let name = which.name();
        ensure!(head == acknowledged, "{name}: {acknowledged} events were acknowledged, and the log has {head}");
        bench.say(format_args!("verifying the {head} events of the build {name}"));
        server.settle(head, &sample)?;
        Ok(())
    }
}

fn conclude(bench: &mut Bench<'_>, at: u64) {
    let columns = ["what", "before, a second", "after, a second", RATIO, "middle half", "all"];
    let mut table = Table::new("Medians of interleaved pairs, and the spread of their ratios", &columns);
    let mut slow = Vec::new();
    for what in [ISSUE, REVOKE, INTROSPECT] {
        let median = |unit: &str| bench.outcome.median(what, unit, at);
        let Some(ratios) = bench.outcome.rounds(what, RATIO, at).and_then(Spread::of) else { continue };
        let rates = [Which::Before, Which::After].map(|which| median(which.name()).map_or_else(String::new, count));
        let [before, after] = rates;
        let range = |from: f64, to: f64| format!("{from:.3} to {to:.3}");
        let (half, all) = (range(ratios.lower, ratios.upper), range(ratios.least, ratios.most));
        table.row(vec![what.to_owned(), before, after, format!("{:.3}", ratios.median), half, all]);
        let is_slow = bench.arguments.at_least.is_some_and(|least| ratios.median < least);
        if COMMANDS.contains(&what) && is_slow {
            slow.push((what, ratios.median));
        }
    }
    bench.outcome.tables.push(table);
    for (what, median) in slow {
        let least = bench.arguments.at_least.unwrap_or_default();
        bench.outcome.fail(format!("{what}: after : before is {median:.3}, and must be at least {least}"));
    }
}
