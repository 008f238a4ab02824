//! `authledger subject`: operations on a subject, over HTTP.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;

use super::client::{CallError, Client, ServerArgs};
use crate::domain::Tenant;
use crate::{tell, terminal};

const EXAMPLES: &str = "\
Examples:
  authledger subject erase u-4711 --reason gdpr-17 --token-file authledger-data/root-token
  authledger subject erase ada@example.com --tenant customers --yes --json";

/// What to do to which subject.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SubjectArgs {
    #[command(subcommand)]
    action: SubjectAction,
}

#[derive(Subcommand)]
enum SubjectAction {
    /// Erase a subject: revoke everything that it has permanently, and destroy the keys of its personal data. It can't
    /// be undone.
    Erase(Erase),
}

#[derive(Args)]
struct Erase {
    /// The subject to erase.
    subject: String,
    /// The name space of the subject
    #[arg(long, default_value = Tenant::DEFAULT)]
    tenant: String,
    /// The reason: a code of a-z, 0-9, '_', '.' and '-'; it goes on record
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Do it without asking for confirmation
    #[arg(long)]
    yes: bool,
    /// The server's answer as one JSON object on the standard output instead of lines for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The call did not succeed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The erasure was not confirmed.
    #[error(
        "erase {subject:?}: it can't be undone, and it was not confirmed; nothing was done. Without a terminal, give --yes"
    )]
    NotConfirmed {
        /// The subject to erase.
        subject: String,
    },
    /// The path can't be written.
    #[error(
        "name the subject {0:?} in a path: dots alone mean a directory there; send DELETE /v1/subjects/%2E/personal-data or %2E%2E yourself, with a client that leaves paths as they are"
    )]
    Dots(String),
    /// The answer can't be read.
    #[error("read the server's answer: {0}; is it of a later version than this program?")]
    Answer(#[from] serde_json::Error),
    /// The terminal can't be used.
    #[error("use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// An erasure as the server shows it.
#[derive(Deserialize)]
struct ErasureBody {
    tenant: String,
    subject: String,
    erased_at: String,
    keys_destroyed: u64,
    position: u64,
    already: bool,
}

pub async fn run(arguments: SubjectArgs) -> Result<(), SubjectError> {
    match arguments.action {
        SubjectAction::Erase(arguments) => erase(&arguments).await,
    }
}

async fn erase(arguments: &Erase) -> Result<(), SubjectError> {
    if matches!(&*arguments.subject, "." | "..") {
        return Err(SubjectError::Dots(arguments.subject.clone()));
    }
    let client = Client::new(&arguments.server)?;
    if !arguments.yes && !confirmed(arguments)? {
        return Err(SubjectError::NotConfirmed { subject: arguments.subject.clone() });
    }
    let path = format!("/v1/subjects/{}/personal-data", super::client::segment(&arguments.subject));
    let mut query = vec![("tenant", &arguments.tenant)];
    query.extend(arguments.reason.as_ref().map(|reason| ("reason", reason)));
    let answer = client.text(client.request(Method::DELETE, &path).query(&query)).await?;
    let mut out = terminal::out();
    if arguments.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let shown: ErasureBody = serde_json::from_str(&answer)?;
    writeln!(out, "tenant          {}", shown.tenant)?;
    writeln!(out, "subject         {}", shown.subject)?;
    writeln!(out, "erased at       {}{}", shown.erased_at, if shown.already { " (before)" } else { "" })?;
    writeln!(out, "keys destroyed  {}", shown.keys_destroyed)?;
    writeln!(out, "position        {}", shown.position)?;
    tell!("Older backups of the keys still open the data: destroy them.");
    Ok(())
}

/// Asks at the terminal to type the subject once more. Without a terminal, the erasure is not confirmed.
fn confirmed(arguments: &Erase) -> Result<bool, SubjectError> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let Erase { subject, tenant, .. } = arguments;
    tell!(
        "This revokes everything that {subject:?} of tenant {tenant:?} has, and destroys the keys of its personal data, permanently."
    );
    write!(terminal::err(), "Type the subject once more to continue: ")?;
    terminal::err().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']) == subject)
}
