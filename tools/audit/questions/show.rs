//! Answers about the past, for people or as JSON.

use std::io::{self, Write};

use authledger::audit::{
    ChangeCounts, ChangeTotals, CredentialStanding, CredentialVerdict, HistoryRecord, LogPrefix, PointDifference,
    RevokedBy, Stats, Tally,
};
use authledger::domain::{CredentialRef, Kind, Recorded, Revokes, RevokesSubject, Subject, Tenant};
use serde_json::{Value, json};
use terminal_size::{Width, terminal_size};

/// The width of a chart if the terminal's is not known.
const USUAL_WIDTH: usize = 80;
/// The narrowest bar, in columns.
const NARROWEST_BAR: usize = 8;

/// A record on one line: its time, event, subject, actor, reason and place.
pub(super) fn told(out: &mut dyn Write, told: &HistoryRecord) -> io::Result<()> {
    let recorded = &told.recorded;
    let actor = recorded.actor.as_ref().map(|actor| format!("  by {actor}")).unwrap_or_default();
    let reason = reason(recorded).map(|reason| format!("  because {reason}")).unwrap_or_default();
    let (at, event, position) = (recorded.recorded_at, recorded.event.type_name(), told.stored.position);
    writeln!(out, "{at}  {event:<16}  {}{actor}{reason}  position {position}", what(told))
}

/// `{"position","stored_at","record"}`: the record is embedded as its own JSON text, byte for byte.
pub(super) fn told_json(out: &mut dyn Write, told: &HistoryRecord) -> io::Result<()> {
    let stored = &told.stored;
    let (position, stored_at) = (stored.position, stored.stored_at.as_millis());
    writeln!(out, "{{\"position\":{position},\"stored_at\":{stored_at},\"record\":{}}}", stored.record)
}

fn what(told: &HistoryRecord) -> String {
    let recorded = &told.recorded;
    let whose = |subject: &Subject| format!("{}/{subject}", recorded.tenant.clone().unwrap_or_default());
    let facets = recorded.event.facets();
    if let Some(issues) = &facets.issues {
        let name = named(issues.kind, &issues.name);
        return format!("{name} of {} until {}", whose(issues.subject), issues.expires_at);
    }
    if let Some(extends) = &facets.extends {
        return format!("{} until {}", named(extends.kind, &CredentialRef::Id(extends.id)), extends.expires_at);
    }
    if !facets.uses.is_empty() {
        let times: Vec<String> = told.used_at.iter().map(ToString::to_string).collect();
        return format!("used {}", times.join(", "));
    }
    match facets.revokes {
        Some(Revokes::Credential(revoked)) => {
            let unseen = if revoked.known { "" } else { ", which was not known here" };
            let of = revoked.subject.as_ref().map(|subject| format!(" of {}", whose(subject))).unwrap_or_default();
            format!("{}{of}{unseen}", named(revoked.kind, &revoked.credential))
        }
        Some(Revokes::Subject(RevokesSubject { subject, erased: Some(slots), .. })) => {
            format!("{} was erased, and {} of its keys destroyed", whose(subject), slots.len())
        }
        Some(Revokes::Subject(all)) => {
            let kinds: Vec<String> = all.kinds.iter().map(|kind| format!("{kind}s")).collect();
            let hold = all.hold_until.map(|until| format!(", none issued until {until}")).unwrap_or_default();
            let before = all.issued_before.map(|at| format!(" that were issued before {at}")).unwrap_or_default();
            format!("all {} of {}{before}{hold}", kinds.join(", "), whose(all.subject))
        }
        Some(Revokes::Cohort(all)) => {
            let kinds: Vec<String> = all.kinds.iter().map(|kind| format!("{kind}s")).collect();
            let hold = all.hold_until.map(|until| format!(", none issued until {until}")).unwrap_or_default();
            let withdrawn = if all.withdrawn { ", which was withdrawn" } else { "" };
            let (what, name) = all.cohort.named();
            format!("all {} of {what} {name}{withdrawn}{hold}", kinds.join(", "))
        }
        None => facets.joins.map(|joined| format!("{} in {}", joined.node, joined.region)).unwrap_or_default(),
    }
}

fn reason(recorded: &Recorded) -> Option<&str> {
    recorded.event.facets().revokes?.reason().map(|reason| reason.as_str())
}

fn named(kind: Kind, name: &CredentialRef) -> String {
    let issuer = name.issuer().map(|issuer| format!(" of {issuer}")).unwrap_or_default();
    let id = name.public_id(kind).or_else(|| name.digest().map(|digest| format!("with digest {digest}")));
    format!("{kind} {}{issuer}", id.unwrap_or_default())
}

/// The verdict on each credential.
pub(super) fn standings(
    out: &mut dyn Write,
    prefix: &LogPrefix,
    standings: &[CredentialStanding],
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        let credentials: Vec<Value> = standings.iter().map(standing_json).collect();
        let answer = json!({"at": prefix.at.to_string(), "position": prefix.until.0, "credentials": credentials});
        return writeln!(out, "{answer}");
    }
    writeln!(out, "as of {}, from the first {} records", prefix.at, prefix.until)?;
    if standings.is_empty() {
        writeln!(out, "nothing had been issued")?;
    }
    standings.iter().try_for_each(|standing| stood(out, standing))
}

fn stood(out: &mut dyn Write, standing: &CredentialStanding) -> io::Result<()> {
    let name = match standing.kind {
        Some(kind) => named(kind, &standing.name),
        None => "the credential".to_owned(),
    };
    let issued = standing.issued.as_ref().map(|issued| {
        let (tenant, subject): (&Tenant, &Subject) = (&issued.tenant, &issued.subject);
        format!(" of {tenant}/{subject}, issued {} at position {}", issued.at, issued.position)
    });
    let erased = match (&standing.verdict, &standing.erased) {
        (CredentialVerdict::Erased(_), _) | (_, None) => String::new(),
        (_, Some(by)) => format!("; its subject was erased {}", revoked(by)),
    };
    writeln!(out, "{name}{}: {}{erased}", issued.unwrap_or_default(), verdict(&standing.verdict))
}

fn verdict(verdict: &CredentialVerdict) -> String {
    match verdict {
        CredentialVerdict::Active { expires_at } => format!("active; it would expire {expires_at}"),
        CredentialVerdict::Revoked(by) => format!("revoked {}", revoked(by)),
        CredentialVerdict::Erased(by) => format!("erased {}", revoked(by)),
        CredentialVerdict::Expired { at } => format!("expired since {at}"),
        CredentialVerdict::Indeterminate { from, until } => {
            format!("indeterminate: between {from} and {until} a use may have been made that is not on record")
        }
        CredentialVerdict::NeverIssued { revoked: None } => "never issued".to_owned(),
        CredentialVerdict::NeverIssued { revoked: Some(by) } => format!("never issued, but revoked {}", revoked(by)),
    }
}

fn revoked(by: &RevokedBy) -> String {
    let actor = by.actor.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
    let reason = by.reason.as_ref().map(|reason| format!(", because {}", reason.as_str())).unwrap_or_default();
    format!("{} by {} at position {}{actor}{reason}", by.at, by.event, by.position)
}

fn standing_json(standing: &CredentialStanding) -> Value {
    let mut answer = json!({"verdict": standing.verdict.as_str()});
    let mut add = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            answer[member] = value;
        }
    };
    add("kind", standing.kind.map(|kind| json!(kind.as_str())));
    add("id", standing.kind.and_then(|kind| standing.name.public_id(kind)).map(Value::from));
    add("iss", standing.name.issuer().map(|issuer| json!(issuer.as_str())));
    if let Some(issued) = &standing.issued {
        add("tenant", Some(json!(issued.tenant.as_str())));
        add("subject", Some(json!(issued.subject.as_str())));
        add("issued_at", Some(json!(issued.at.to_string())));
        add("position", Some(json!(issued.position.0)));
    }
    let by = match &standing.verdict {
        CredentialVerdict::Active { expires_at } | CredentialVerdict::Expired { at: expires_at } => {
            add("expires_at", Some(json!(expires_at.to_string())));
            None
        }
        CredentialVerdict::Indeterminate { from, until } => {
            add("expires_at", Some(json!(from.to_string())));
            add("indeterminate_until", Some(json!(until.to_string())));
            None
        }
        CredentialVerdict::Revoked(by) | CredentialVerdict::Erased(by) => Some(by),
        CredentialVerdict::NeverIssued { revoked } => revoked.as_ref(),
    };
    add("revoked", by.map(revoked_json));
    add("erased", standing.erased.as_ref().map(revoked_json));
    answer
}

fn revoked_json(by: &RevokedBy) -> Value {
    let mut answer = json!({"position": by.position.0, "at": by.at.to_string(), "type": by.event});
    if let Some(actor) = &by.actor {
        answer["actor"] = json!(actor.to_string());
    }
    if let Some(reason) = &by.reason {
        answer["reason"] = json!(reason.as_str());
    }
    answer
}

/// The tally of the whole state.
pub(super) fn tally(out: &mut dyn Write, prefix: &LogPrefix, tally: &Tally, as_json: bool) -> io::Result<()> {
    let kinds = [("tickets", tally.tickets), ("sessions", tally.sessions), ("tokens", tally.tokens)];
    if as_json {
        let mut answer = json!({"at": prefix.at.to_string(), "position": prefix.until.0, "subjects": tally.subjects,
            "applications": tally.applications, "applications_inactive": tally.applications_inactive});
        for (name, lives) in kinds {
            answer[name] = json!({"active": lives.active, "expired": lives.expired, "revoked": lives.revoked, "unknown": lives.unknown});
        }
        return writeln!(out, "{answer}");
    }
    writeln!(out, "as of {}, from the first {} records", prefix.at, prefix.until)?;
    for (name, lives) in kinds {
        let (active, expired, revoked, unknown) = (lives.active, lives.expired, lives.revoked, lives.unknown);
        writeln!(out, "  {name:<14}  {active} active, {expired} expired, {revoked} revoked, {unknown} revoked unseen")?;
    }
    writeln!(out, "  subjects        {} with a revocation or a hold", tally.subjects)?;
    writeln!(out, "  applications    {} that may call, {} inactive", tally.applications, tally.applications_inactive)
}

/// The changes between two points.
pub(super) fn changed(
    out: &mut dyn Write,
    from: &str,
    to: &str,
    changed: &PointDifference,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        let mut answer = counted_json(&changed.counted);
        answer["from"] = json!(from);
        answer["to"] = json!(to);
        answer["records"] = json!(changed.records);
        return writeln!(out, "{answer}");
    }
    writeln!(out, "from {from} to {to}: {} records", changed.records)?;
    counted(out, &changed.counted)
}

fn counted(out: &mut dyn Write, counted: &ChangeTotals) -> io::Result<()> {
    let total = &counted.total;
    for kind in Kind::ALL {
        let (issued, revoked) = (total.issued[kind.index()], total.revoked[kind.index()]);
        writeln!(out, "  {:<10}  {issued} issued, {revoked} revoked", format!("{kind}s"))?;
    }
    let (revoked, erased) = (total.subjects_revoked, total.subjects_erased);
    writeln!(out, "  {:<10}  {revoked} had all of some kinds revoked, {erased} were erased", "subjects")?;
    if total.cohorts_revoked > 0 {
        writeln!(out, "  {:<10}  {} had all of some kinds revoked", "cohorts", total.cohorts_revoked)?;
    }
    for (who, counts) in &counted.by_actor {
        writeln!(out, "  by {who}: {} issued, {} revoked", counts.all_issued(), counts.all_revoked())?;
    }
    Ok(())
}

fn counted_json(counted: &ChangeTotals) -> Value {
    let by_actor = counted.by_actor.iter().map(|(who, counts)| (who.to_string(), counts_json(counts)));
    let mut answer = counts_json(&counted.total);
    answer["by_actor"] = Value::Object(by_actor.collect());
    answer
}

fn counts_json(counts: &ChangeCounts) -> Value {
    let by_kind = |of: &[u64; 3]| -> Value {
        Value::Object(Kind::ALL.iter().map(|kind| (kind.to_string(), json!(of[kind.index()]))).collect())
    };
    json!({"issued": by_kind(&counts.issued), "revoked": by_kind(&counts.revoked), "subjects_revoked": counts.subjects_revoked,
        "subjects_erased": counts.subjects_erased, "cohorts_revoked": counts.cohorts_revoked})
}

/// Day by day, as a chart or JSON.
pub(super) fn stats(out: &mut dyn Write, stats: &Stats, as_json: bool) -> io::Result<()> {
    if as_json {
        let days = stats.days.iter().map(|(day, counted)| (day.to_string(), counted_json(counted)));
        let mut answer = counted_json(&stats.counted);
        answer["records"] = json!(stats.records);
        answer["days"] = Value::Object(days.collect());
        return writeln!(out, "{answer}");
    }
    writeln!(out, "{} records", stats.records)?;
    counted(out, &stats.counted)?;
    let width = terminal_size().map_or(USUAL_WIDTH, |(Width(columns), _)| usize::from(columns));
    chart(out, stats, width)
}

fn chart(out: &mut dyn Write, stats: &Stats, width: usize) -> io::Result<()> {
    let most = |of: fn(&ChangeCounts) -> u64| stats.days.values().map(|day| of(&day.total)).max().unwrap_or_default();
    let (issued, revoked) = (most(ChangeCounts::all_issued), most(ChangeCounts::all_revoked));
    let digits = |number: u64| number.to_string().len().max(6);
    let (left, right) = (digits(issued), digits(revoked));
    // The day, two numbers, and a space before each of the four other columns.
    let bars = width.saturating_sub(10 + left + right + 4);
    let bar_width = (bars / 2).max(NARROWEST_BAR);
    writeln!(out, "{:<10} {:>left$} {:<bar_width$} {:>right$}", "day", "issued", "", "revoked")?;
    for (day, counted) in &stats.days {
        let (of_issued, of_revoked) = (counted.total.all_issued(), counted.total.all_revoked());
        let (one, other) = (bar(of_issued, issued, bar_width), bar(of_revoked, revoked, bar_width));
        writeln!(out, "{day} {of_issued:>left$} {one:<bar_width$} {of_revoked:>right$} {other}")?;
    }
    Ok(())
}

/// A bar in eighths of a column. A value above zero is always visible.
fn bar(value: u64, most: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if value == 0 || most == 0 {
        return String::new();
    }
    let eighths = (u128::from(value) * width as u128 * 8 / u128::from(most)).max(1) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_has_its_share_of_the_width_and_is_never_wider() {
        assert_eq!((bar(0, 8, 4), bar(8, 8, 4)), (String::new(), "████".to_owned()));
        assert_eq!((bar(3, 8, 4), bar(1, 1_000_000, 4)), ("█▌".to_owned(), "▏".to_owned()));
        assert!((0..=100).all(|value| bar(value, 100, 9).chars().count() <= 9));
    }
}
