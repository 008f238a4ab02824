//! The output of the tool: lines for people, or one JSON object.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use authledger::audit::{Compared, Differences, Finding, Lives, Replayed, Report, Tally};
use authledger::domain::{Position, StateRow};
use authledger::event_log::Base;
use authledger::{say, tell, terminal};
use serde_json::{Value, json};

/// Between two lines of progress: often on a terminal, seldom in a file of messages.
const WATCHED_EVERY: Duration = Duration::from_millis(200);
const LOGGED_EVERY: Duration = Duration::from_secs(5);

/// Shows on the standard error how far a long reading has come. A short one shows nothing.
pub(crate) struct Progress {
    verb: &'static str,
    watched: bool,
    shown_at: Instant,
    line_is_open: bool,
}

impl Progress {
    pub(crate) fn new(verb: &'static str) -> Self {
        Self { verb, watched: std::io::stderr().is_terminal(), shown_at: Instant::now(), line_is_open: false }
    }

    pub(crate) fn show(&mut self, reached: Position, head: Position) {
        let every = if self.watched { WATCHED_EVERY } else { LOGGED_EVERY };
        if self.shown_at.elapsed() < every {
            return;
        }
        self.shown_at = Instant::now();
        let percent = reached.0 * 100 / head.0.max(1);
        let line = format!("{} {reached} of {head} events ({percent} %)", self.verb);
        if self.watched {
            terminal::progress(&line);
            self.line_is_open = true;
        } else {
            tell!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.line_is_open {
            terminal::clear_progress();
        }
    }
}

/// The findings of a verification, one after another.
pub(crate) fn report(path: &Path, report: &Report, as_json: bool) {
    if as_json {
        say!("{}", report_json(path, report));
        return;
    }
    let path = path.display();
    for finding in &report.findings {
        say!("{path}: {finding}");
    }
    if report.findings.is_empty() {
        say!("{path}: {}, whole", report.kind);
    } else {
        say!("keep it as it is, and compare it with a backup, a checkpoint kept elsewhere, or another node");
    }
    if let Some(verified) = &report.verified {
        say!("ledger    {}", verified.ledger.map_or_else(|| "none yet".to_owned(), |ledger| ledger.to_string()));
        print_head(&verified.base, verified.events, rate(verified.events, verified.elapsed));
    }
    report.held.iter().for_each(|held| say!("held      {}: {}", held.place, held.what));
}

fn report_json(path: &Path, report: &Report) -> Value {
    let mut answer = report.verified.as_ref().map_or_else(
        || json!({}),
        |verified| {
            let mut answer = head(&verified.base, verified.events);
            answer["ledger"] = json!(verified.ledger.map(|ledger| ledger.to_string()));
            answer["events_per_second"] = json!(rate(verified.events, verified.elapsed));
            answer
        },
    );
    let finding = |finding: &Finding| json!({"place": finding.place, "position": finding.position(), "damage": finding.to_string()});
    answer["ok"] = json!(report.findings.is_empty());
    answer["path"] = json!(path.display().to_string());
    answer["kind"] = json!(report.kind.to_string());
    answer["held"] = report.held.iter().map(|held| json!({"place": held.place, "what": held.what})).collect();
    answer["findings"] = report.findings.iter().map(finding).collect();
    // The first of them also by itself: a reader with one question has one answer to look at.
    answer["position"] = json!(report.findings.first().and_then(Finding::position));
    answer["damage"] = json!(report.findings.first().map(Finding::to_string));
    answer
}

pub(crate) fn replayed(path: &Path, replayed: &Replayed, as_json: bool) {
    if as_json {
        say!("{}", replayed_json(replayed));
        return;
    }
    say!("{}: replayed", path.display());
    print_replayed(replayed);
}

pub(crate) fn compared(path: &Path, compared: &Compared, as_json: bool) {
    let Differences { only_replayed, only_snapshot, total } = &compared.differences;
    if as_json {
        let rows = |rows: &[StateRow]| rows.iter().map(StateRow::as_str).map(str::to_owned).collect::<Vec<_>>();
        let mut answer = replayed_json(&compared.replayed);
        answer["ok"] = json!(*total == 0);
        answer["snapshot_position"] = json!(compared.snapshot_position.0);
        answer["differences"] =
            json!({"total": total, "only_replayed": rows(only_replayed), "only_snapshot": rows(only_snapshot)});
        say!("{answer}");
        return;
    }
    say!("{}: replayed", path.display());
    print_replayed(&compared.replayed);
    say!("snapshot  position {}, brought to {}", compared.snapshot_position, compared.replayed.base.position);
    if *total == 0 {
        say!("the replay and the snapshot agree");
        return;
    }
    say!("the replay and the snapshot differ in {total} rows:");
    only_replayed.iter().for_each(|row| say!("  only replayed  {}", row.as_str()));
    only_snapshot.iter().for_each(|row| say!("  only snapshot  {}", row.as_str()));
    let listed = (only_replayed.len() + only_snapshot.len()) as u64;
    if listed < *total {
        say!("  and {} more", total - listed);
    }
}

/// The damage of a log, on the standard output: it is the answer, not a failure to give one.
pub(crate) fn damage(path: &Path, error: &dyn Display, position: Option<i64>, as_json: bool) {
    if as_json {
        say!("{}", json!({"ok": false, "position": position, "damage": error.to_string()}));
    } else {
        say!("{}: {error}", path.display());
        say!("keep the file as it is, and compare it with a backup or another node");
    }
}

fn print_replayed(replayed: &Replayed) {
    let ledger = replayed.ledger.map(|ledger| ledger.to_string());
    say!("ledger    {}", ledger.as_deref().unwrap_or("none yet"));
    print_head(&replayed.base, replayed.base.position.0, rate(replayed.base.position.0, replayed.elapsed));
    let tally = &replayed.tally;
    say!("state at  {}", replayed.at);
    for (name, Lives { active, expired, revoked, unknown }) in by_kind(tally) {
        say!("  {name:<14}  {active} active, {expired} expired, {revoked} revoked, {unknown} revoked unseen");
    }
    say!("  subjects        {} with a revocation or a hold", tally.subjects);
    say!("  applications    {} that may call, {} inactive", tally.applications, tally.applications_inactive);
    say!("  repetitions     {} keys recognised, {} early uses", tally.idempotency_keys, tally.early_uses);
    say!("  fingerprint     {}", replayed.fingerprint);
}

fn replayed_json(replayed: &Replayed) -> Value {
    let tally = &replayed.tally;
    let mut answer = head(&replayed.base, replayed.base.position.0);
    answer["ok"] = json!(true);
    answer["ledger"] = json!(replayed.ledger.map(|ledger| ledger.to_string()));
    answer["events_per_second"] = json!(rate(replayed.base.position.0, replayed.elapsed));
    answer["at"] = json!(replayed.at.to_string());
    answer["at_millis"] = json!(replayed.at.as_millis());
    answer["fingerprint"] = json!(replayed.fingerprint.to_string());
    answer["counts"] = json!({
        "origins": tally.origins,
        "applications": tally.applications,
        "applications_inactive": tally.applications_inactive,
        "keys": tally.keys,
        "subjects": tally.subjects,
        "early_uses": tally.early_uses,
        "idempotency_keys": tally.idempotency_keys,
    });
    for (name, lives) in by_kind(tally) {
        answer["counts"][format!("{name}_active")] = json!(lives.active);
        answer["counts"][format!("{name}_expired")] = json!(lives.expired);
        answer["counts"][format!("{name}_revoked")] = json!(lives.revoked);
        answer["counts"][format!("{name}_unknown")] = json!(lives.unknown);
    }
    answer
}

fn by_kind(tally: &Tally) -> [(&'static str, Lives); 3] {
    [("tickets", tally.tickets), ("sessions", tally.sessions), ("tokens", tally.tokens)]
}

fn print_head(base: &Base, events: u64, rate: u64) {
    say!("events    {events} ({rate} a second)");
    for (origin, head) in &base.heads {
        say!("head      {origin} {} {}", head.sequence, head.hash);
    }
}

fn head(base: &Base, events: u64) -> Value {
    let heads = base.heads.iter().map(|(origin, head)| {
        (origin.to_string(), json!({"sequence": head.sequence.0, "hash": head.hash.to_string()}))
    });
    json!({"events": events, "heads": heads.collect::<serde_json::Map<_, _>>()})
}

fn rate(events: u64, elapsed: Duration) -> u64 {
    (events as f64 / elapsed.as_secs_f64().max(1e-9)) as u64
}
