//! `authledger clock`: ledger time beside the wall clock, shown and corrected over HTTP.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;

use super::client::{CallArgs, CallError, Client};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  authledger clock --token-file authledger-data/root-token
  authledger clock accept --token-file authledger-data/root-token

Records are stamped with ledger time, and expiry is judged by it. It follows the wall clock while the two are within a minute of
each other. When the wall clock jumps, ledger time continues as before, readiness warns, and after an hour nothing is issued any
more; revoking and checking go on. There are two ways out:
  the wall clock is wrong   set it (NTP, timedatectl): ledger time follows it again by itself
  the wall clock is right   authledger clock accept: ledger time becomes the wall clock's

Check before you accept. If ledger time is ahead, `authledger clock` lists the credentials that were recorded beyond the wall
clock; accepting revokes them, and the server restarts by itself to continue under a new origin. Holds, and revocations of
everything that a subject had, stand.";

/// What to do with the clock, and where.
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct ClockArgs {
    #[command(subcommand)]
    action: Option<ClockAction>,
    #[command(flatten)]
    asked: CallArgs,
}

#[derive(Subcommand)]
enum ClockAction {
    /// Accept the wall clock as ledger time, and revoke the credentials that were recorded beyond it.
    Accept(CallArgs),
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The call did not succeed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer can't be read.
    #[error("read the server's answer: {0}; is it of a later version than this program?")]
    Answer(#[from] serde_json::Error),
    /// The answer can't be shown.
    #[error("write to the standard output: {0}")]
    Output(#[from] io::Error),
}

#[derive(Deserialize)]
struct ClockReading {
    ledger_time: String,
    wall_clock: String,
    settled: bool,
    unsettled_milliseconds: Option<u64>,
    refuses_issues: bool,
}

#[derive(Deserialize)]
struct RecordedBeyond {
    records: u64,
    subjects_revoked: u64,
    credentials_total: u64,
    credentials: Vec<CredentialBeyond>,
}

#[derive(Deserialize)]
struct CredentialBeyond {
    kind: String,
    id: String,
    tenant: String,
    subject: String,
    recorded_at: String,
}

#[derive(Deserialize)]
struct ClockBody {
    #[serde(flatten)]
    standing: ClockReading,
    recorded_beyond: RecordedBeyond,
}

#[derive(Deserialize)]
struct AcceptAnswer {
    changed: bool,
    starts_again: bool,
    before: ClockReading,
    recorded_beyond: RecordedBeyond,
}

pub async fn run(arguments: ClockArgs) -> Result<(), ClockError> {
    match arguments.action {
        None => look(&arguments.asked).await,
        Some(ClockAction::Accept(asked)) => accept(&asked).await,
    }
}

async fn look(asked: &CallArgs) -> Result<(), ClockError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/clock")).await?;
    let mut out = terminal::out();
    if asked.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let ClockBody { standing, recorded_beyond } = serde_json::from_str(&answer)?;
    writeln!(out, "ledger time  {}", standing.ledger_time)?;
    writeln!(out, "wall clock   {}", standing.wall_clock)?;
    if standing.settled {
        return Ok(writeln!(out, "settled      ledger time follows the wall clock")?);
    }
    let minutes = standing.unsettled_milliseconds.unwrap_or_default() / 60_000;
    let refuses = if standing.refuses_issues { "; nothing is issued until it is settled" } else { "" };
    writeln!(out, "unsettled    for {minutes} min{refuses}")?;
    list(&mut out, &recorded_beyond)?;
    writeln!(out, "next         set the wall clock if it is wrong; if it is right: authledger clock accept")?;
    Ok(())
}

async fn accept(asked: &CallArgs) -> Result<(), ClockError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::POST, "/v1/clock/accept")).await?;
    let mut out = terminal::out();
    if asked.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let AcceptAnswer { changed, starts_again, before, recorded_beyond } = serde_json::from_str(&answer)?;
    if !changed {
        return Ok(writeln!(out, "nothing to accept: ledger time follows the wall clock")?);
    }
    writeln!(out, "accepted     {}, instead of {}", before.wall_clock, before.ledger_time)?;
    list(&mut out, &recorded_beyond)?;
    if starts_again {
        writeln!(out, "next         the server restarts by itself, revokes these, and continues under a new origin")?;
    }
    Ok(())
}

fn list(out: &mut impl io::Write, beyond: &RecordedBeyond) -> io::Result<()> {
    let RecordedBeyond { records, subjects_revoked, credentials_total, credentials } = beyond;
    if *records == 0 {
        return Ok(());
    }
    writeln!(out, "beyond       {records} records, about {credentials_total} credentials that are not revoked")?;
    if *subjects_revoked > 0 {
        writeln!(
            out,
            "stand        {subjects_revoked} revocations of everything that a subject had, with their holds"
        )?;
    }
    for CredentialBeyond { kind, id, tenant, subject, recorded_at } in credentials {
        writeln!(out, "  {recorded_at}  {kind:7}  {id}  {tenant}  {subject}")?;
    }
    let unlisted = credentials_total.saturating_sub(credentials.len() as u64);
    if unlisted > 0 {
        writeln!(out, "  and {unlisted} more")?;
    }
    Ok(())
}
