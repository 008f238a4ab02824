//! `authledger key`: the keys that sign tokens, listed and rotated over HTTP, and the keys that verify checkpoints.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{CallArgs, CallError, Client};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  authledger key list --token-file authledger-data/root-token
  authledger key rotate --json
  authledger key verifier > log.vkey      # for authledger-audit as --key @log.vkey";

/// What to do with keys, and where.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct KeyArgs {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Subcommand)]
enum KeyAction {
    /// List the keys whose tokens may still be active.
    List(CallArgs),
    /// Make a new key sign from now on. The previous key verifies until its last token has expired.
    Rotate(CallArgs),
    /// Show the keys that this ledger's checkpoints and proofs are checked with. Give them to the people who are to
    /// check them.
    Verifier(CallArgs),
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyCommandError {
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

/// A key as the server shows it.
#[derive(Deserialize)]
struct KeyBody {
    kid: String,
    alg: String,
    issuer: String,
    published_at: String,
    verifies_until: Option<String>,
}

#[derive(Deserialize)]
struct KeyList<T> {
    keys: Vec<T>,
}

/// The used members of the status.
#[derive(Deserialize)]
struct VerifierStatus {
    head: HeadStatus,
    origins: Vec<OriginStatus>,
}

#[derive(Deserialize)]
struct HeadStatus {
    origin: String,
    verifier_key: String,
}

#[derive(Deserialize)]
struct OriginStatus {
    origin: String,
    checkpoint: Option<CheckpointStatus>,
}

#[derive(Deserialize)]
struct CheckpointStatus {
    verifier_key: String,
}

pub async fn run(arguments: KeyArgs) -> Result<(), KeyCommandError> {
    match arguments.action {
        KeyAction::List(asked) => list(&asked).await,
        KeyAction::Rotate(asked) => rotate(&asked).await,
        KeyAction::Verifier(asked) => verifier(&asked).await,
    }
}

/// The node's own key first, then the keys of other origins of which it holds checkpoints.
async fn verifier(asked: &CallArgs) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/status")).await?;
    let VerifierStatus { head, origins } = serde_json::from_str(&answer)?;
    let signed = origins.into_iter().filter_map(|one| Some((one.origin, one.checkpoint?.verifier_key)));
    let mut keys: Vec<_> = signed.filter(|(origin, _)| *origin != head.origin).collect();
    keys.insert(0, (head.origin, head.verifier_key));
    let mut out = terminal::out();
    for (origin, verifier_key) in keys {
        if asked.json {
            writeln!(out, "{}", serde_json::json!({"origin": origin, "verifier_key": verifier_key}))?;
        } else {
            writeln!(out, "{verifier_key}")?;
        }
    }
    Ok(())
}

async fn list(asked: &CallArgs) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/keys")).await?;
    let mut out = terminal::out();
    if asked.json {
        let listed: KeyList<&RawValue> = serde_json::from_str(&answer)?;
        for key in listed.keys {
            writeln!(out, "{key}")?;
        }
        return Ok(());
    }
    writeln!(out, "{:43}  {:5}  {:24}  STATE", "KID", "ALG", "PUBLISHED")?;
    for key in serde_json::from_str::<KeyList<KeyBody>>(&answer)?.keys {
        writeln!(out, "{:43}  {:5}  {:24}  {}", key.kid, key.alg, key.published_at, key.state())?;
    }
    Ok(())
}

async fn rotate(asked: &CallArgs) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::POST, "/v1/keys")).await?;
    let mut out = terminal::out();
    if asked.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let key: KeyBody = serde_json::from_str(&answer)?;
    writeln!(out, "kid        {}", key.kid)?;
    writeln!(out, "algorithm  {}", key.alg)?;
    writeln!(out, "issuer     {}", key.issuer)?;
    writeln!(out, "published  {}", key.published_at)?;
    Ok(())
}

impl KeyBody {
    fn state(&self) -> String {
        self.verifies_until.as_ref().map_or("signs".to_owned(), |until| format!("verifies until {until}"))
    }
}
