//! `status-list`: a published Token Status List, made again from the log.

use std::path::{Path, PathBuf};

use authledger::audit::{self, RebuiltStatusList};
use authledger::domain::{StatusListId, Timestamp, hex};
use authledger::say;
use clap::Args;
use serde_json::json;

use super::{instant, ledger_file, print};

const EXAMPLES: &str = "\
Examples:
  authledger-audit status-list ./authledger-data --list 7f3kq2mzn5xw4dba
  authledger-audit status-list backup/ledger.db --list 7f3kq2mzn5xw4dba --at 2026-06-01T12:00:00Z --token";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusList {
    /// The ledger.db, or the data directory that it is in.
    ledger: PathBuf,
    /// The list: the last part of its address, 16 characters.
    #[arg(long, value_name = "ID")]
    list: StatusListId,
    /// The publication that was the newest at that time: RFC 3339, or milliseconds since 1970. Absent: the last one.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
    /// Print the token alone, as it was published.
    #[arg(long, conflicts_with = "json")]
    token: bool,
    /// One JSON object on the standard output instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// True if the list is what the log leads to.
pub(crate) fn status_list(arguments: &StatusList) -> anyhow::Result<bool> {
    let path = ledger_file(&arguments.ledger);
    let mut progress = print::Progress::new("read");
    let at = arguments.at.map(Timestamp::as_seconds);
    let rebuilt = audit::status_list(&path, arguments.list, at, |reached, head| progress.show(reached, head));
    drop(progress);
    match rebuilt {
        Ok(Some(rebuilt)) => {
            show(&path, &rebuilt, arguments);
            Ok(rebuilt.flaw.is_none())
        }
        Ok(None) => anyhow::bail!("list {} was not published by then, or never", arguments.list),
        Err(error) if error.is_damage() => {
            print::damage(&path, &error, error.position(), arguments.json);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn show(path: &Path, rebuilt: &RebuiltStatusList, arguments: &StatusList) {
    let RebuiltStatusList { place, published, uri, array, token, is_whole, flaw } = rebuilt;
    let flaw = flaw.as_ref().map(ToString::to_string);
    let place = format!("{}/{}", place.origin, place.sequence);
    if arguments.json {
        let answer = json!({
            "list": published.list.as_str(), "uri": uri, "record": place, "iat": published.iat, "exp": published.exp,
            "kid": published.kid.as_str(), "array": hex::encode(&array.hash()), "revoked": array.set_entries(),
            "complete": is_whole, "as_recorded": flaw.is_none() && token.is_some(), "flaw": flaw, "token": token,
        });
        say!("{answer}");
        return;
    }
    if let (true, Some(token)) = (arguments.token, token) {
        say!("{token}");
        return;
    }
    say!("{}: status list {}", path.display(), published.list);
    let date = |seconds: u64| Timestamp::default().plus_millis(seconds.saturating_mul(1_000));
    say!("record    {place}, published at {}, valid until {}", date(published.iat), date(published.exp));
    say!("address   {}", uri.as_deref().unwrap_or("unknown: the log does not have the key"));
    say!("revoked   {} of {} entries", array.set_entries(), array.entries());
    match (flaw, token) {
        (Some(flaw), _) => say!("differs   {flaw}"),
        (None, Some(_)) => say!("held      the records lead to the array, and the signature fits"),
        (None, None) if !is_whole => say!("unknown   records of other nodes that it follows from have not arrived"),
        (None, None) => say!(
            "held      the records lead to the array; this release does not have the encoder {}",
            published.deflate
        ),
    }
    if let Some(token) = token {
        say!("{token}");
    }
}
