//! `authledger key`: the keys that sign tokens, listed, rotated and withdrawn over HTTP, and the keys that verify checkpoints.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{CallArgs, CallError, Client};
use crate::keys::public_key_pem;
use crate::{tell, terminal};

const EXAMPLES: &str = "\
Examples:
  authledger key list --token-file authledger-data/root-token
  authledger key list --pem               # the public keys, for verifiers that take files
  authledger key rotate --json
  authledger key withdraw KID --reason leaked   # somebody else may have it
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
    /// List the keys whose tokens may still be active, and the next ones.
    List(KeyListArgs),
    /// Make the next key sign from now on, and make another one, which is next. The previous key verifies until its last
    /// token has expired.
    Rotate(KeyRotateArgs),
    /// Withdraw a key that somebody else may have: it leaves the published set at once, and everything that it signed is
    /// revoked. If it is the key that signs, the next one takes over once it has been published for --key-publish-ahead.
    Withdraw(KeyWithdrawArgs),
    /// Show the keys that this ledger's checkpoints and proofs are checked with. Give them to the people who are to
    /// check them.
    Verifier(CallArgs),
}

#[derive(Args)]
struct KeyListArgs {
    /// The public keys in PEM, each behind a line with its name, algorithm and state
    #[arg(long, conflicts_with = "json")]
    pem: bool,
    #[command(flatten)]
    asked: CallArgs,
}

#[derive(Args)]
struct KeyRotateArgs {
    /// Rotate even if the next key was published too recently: because the key that signs is no longer secret
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    asked: CallArgs,
}

#[derive(Args)]
struct KeyWithdrawArgs {
    /// Its name, as `list` shows it
    kid: String,
    /// Why: a code of 1 to 64 characters a-z, 0-9, '_', '.' and '-'
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    asked: CallArgs,
}

/// What a withdrawal does not reach.
const WITHDRAWAL_NOTE: &str = "\
note: introspection and followers of the feed refuse its tokens from now on. A verifier that does neither believes them until
      it fetches the keys again, or until they expire.
      If it was the key that signs: the next one signs from the instant that `authledger key list` shows, and JWTs are refused
      until then. `authledger key rotate --now` does not wait.";

/// How long verifiers refuse what a key signs that was published too recently, as measured with their defaults.
const NOW_WARNING: &str = "\
warning: verifiers that have not fetched the key that signs now refuse its tokens until they do: npm jose,
         express-oauth2-jwt-bearer and PyJWT 2.15 for up to 31 s, Envoy's jwt_authn for up to 602 s, jwx 3.4 for more
         than 640 s. Tokens of the previous key stay active until they expire: revoke those that must not be.
         If the files of this node's keys were stolen, the next key was, too: rotate once more.";

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
    #[serde(default)]
    state: String,
    signs_from: Option<String>,
    verifies_until: Option<String>,
}

/// The keys after a rotation.
#[derive(Deserialize)]
struct RotatedKeysBody {
    #[serde(flatten)]
    signs: KeyBody,
    next: KeyBody,
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
        KeyAction::List(KeyListArgs { pem: true, asked }) => list_pem(&asked).await,
        KeyAction::List(KeyListArgs { pem: false, asked }) => list(&asked).await,
        KeyAction::Rotate(KeyRotateArgs { now, asked }) => rotate(&asked, now).await,
        KeyAction::Withdraw(arguments) => withdraw(&arguments).await,
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

/// The keys of the published set that the list names: the list has their states, and the set the keys themselves.
async fn list_pem(asked: &CallArgs) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/keys")).await?;
    let KeyList::<KeyBody> { keys } = serde_json::from_str(&answer)?;
    let answer = client.text(client.request(Method::GET, "/.well-known/jwks.json")).await?;
    let set: KeyList<Value> = serde_json::from_str(&answer)?;
    let mut out = terminal::out();
    for key in keys {
        let pem = set.keys.iter().find(|jwk| jwk["kid"] == *key.kid).and_then(public_key_pem);
        if let Some(pem) = pem {
            write!(out, "# {} {} {}\n{pem}", key.kid, key.alg, key.state())?;
        }
    }
    Ok(())
}

async fn rotate(asked: &CallArgs, now: bool) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let mut request = client.request(Method::POST, "/v1/keys");
    if now {
        tell!("{NOW_WARNING}");
        request = request.json(&json!({"now": true}));
    }
    let answer = client.text(request).await?;
    let mut out = terminal::out();
    if asked.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let RotatedKeysBody { signs, next } = serde_json::from_str(&answer)?;
    for (n, key) in [&signs, &next].into_iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        writeln!(out, "kid        {}", key.kid)?;
        writeln!(out, "state      {}", key.state())?;
        writeln!(out, "algorithm  {}", key.alg)?;
        writeln!(out, "issuer     {}", key.issuer)?;
        writeln!(out, "published  {}", key.published_at)?;
    }
    Ok(())
}

async fn withdraw(KeyWithdrawArgs { kid, reason, asked }: &KeyWithdrawArgs) -> Result<(), KeyCommandError> {
    let client = Client::new(&asked.server)?;
    let mut request = client.request(Method::DELETE, &format!("/v1/keys/{kid}"));
    if let Some(reason) = reason {
        request = request.query(&[("reason", reason)]);
    }
    let answer = client.text(request).await?;
    let mut out = terminal::out();
    if asked.json {
        writeln!(out, "{}", answer.trim_end())?;
    } else {
        writeln!(out, "withdrew {kid}; what it signed is revoked")?;
    }
    tell!("{WITHDRAWAL_NOTE}");
    Ok(())
}

impl KeyBody {
    fn state(&self) -> String {
        match (&self.verifies_until, &self.signs_from) {
            (Some(until), _) => format!("verifies until {until}"),
            (None, Some(from)) if self.state == "next" => format!("next, may sign from {from}"),
            (None, Some(from)) => format!("signs from {from}"),
            (None, None) => "signs".to_owned(),
        }
    }
}
