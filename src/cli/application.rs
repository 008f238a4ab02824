//! `authledger application`: calling programs, registered, listed and removed over HTTP.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::client::{CallError, Client, ServerArgs};
use crate::domain::{Scope, Tenant};
use crate::{tell, terminal, utf8};

const EXAMPLES: &str = "\
Examples:
  authledger application create gateway --scope follow --scope introspect --token-file authledger-data/root-token
  authledger application create portal --scope issue,revoke --tenant customers --expires 2030-01-01T00:00:00Z
  authledger application create api --scope introspect --audience https://api.example --jwks api-keys.json
  authledger application list --json
  authledger application remove 6f1c3f6e-4d0c-4f7e-9a51-0a5c4d1c2b3a --revoke   # its secret has leaked";

/// What to do with applications, and where.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplicationArgs {
    #[command(subcommand)]
    action: ApplicationAction,
}

#[derive(Subcommand)]
enum ApplicationAction {
    /// Register a calling program, and show its secret only this once.
    Create(Create),
    /// List the applications whose grants you hold.
    List(ApplicationListArgs),
    /// Remove an application: its secret is refused at once.
    Remove(ApplicationRemoveArgs),
}

#[derive(Args)]
struct Create {
    /// Its display name
    name: String,
    /// What it may do; more than once, or separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)))]
    scope: Vec<String>,
    /// The tenants in which it may do so; more than once, or separated by commas; '*' means all
    #[arg(long, default_value = Tenant::DEFAULT, value_delimiter = ',')]
    tenant: Vec<String>,
    /// When its secret stops working, RFC 3339; never, if absent
    #[arg(long, value_name = "INSTANT")]
    expires: Option<String>,
    /// A receiver that it is, as an OAuth client: tokens for others are not active for it; more than once, or separated by
    /// commas
    #[arg(long, value_delimiter = ',')]
    audience: Vec<String>,
    /// A file with the public keys that it authenticates with instead of a secret: a JWK set, RFC 7517
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
    jwks: Option<PathBuf>,
    /// The address at which it publishes these keys
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// The algorithm of the introspections that are signed for it: ES256, EdDSA or RS256
    #[arg(long, value_name = "ALGORITHM")]
    introspection_alg: Option<String>,
    /// Leave out when a token expires in introspections for it, so that it keeps none of them
    #[arg(long)]
    omit_exp: bool,
    /// One JSON object on the standard output instead of lines for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Create {
    /// What it is as an OAuth client, if any flag says something of that.
    fn oauth(&self) -> Result<Option<Value>, ApplicationError> {
        let mut client = Map::new();
        let mut say = |name: &str, value: Option<Value>| client.extend(value.map(|value| (name.to_owned(), value)));
        say("audiences", (!self.audience.is_empty()).then(|| json!(self.audience)));
        let jwks = self.jwks.as_deref().map(read_jwks).transpose()?;
        say("jwks", jwks);
        say("jwks_url", self.jwks_url.as_ref().map(|url| json!(url)));
        say("introspection_signed_response_alg", self.introspection_alg.as_ref().map(|algorithm| json!(algorithm)));
        say("omit_exp", self.omit_exp.then_some(Value::Bool(true)));
        Ok((!client.is_empty()).then_some(Value::Object(client)))
    }
}

fn read_jwks(path: &Path) -> Result<Value, ApplicationError> {
    let unreadable = |why: String| ApplicationError::Jwks { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(utf8::without_mark(&text)).map_err(|error| unreadable(error.to_string()))
}

#[derive(Args)]
struct ApplicationListArgs {
    /// One JSON object on each line of the standard output instead of a table for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
struct ApplicationRemoveArgs {
    /// Its id, as `list` shows it.
    id: uuid::Uuid,
    /// Revoke everything that it issued, in the same append
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// The call did not succeed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer can't be read.
    #[error("read the server's answer: {0}; is it of a later version than this program?")]
    Answer(#[from] serde_json::Error),
    /// The file with its keys can't be used.
    #[error("read the keys in {}: {why}; name a file with a JWK set (RFC 7517, section 5)", path.display())]
    Jwks { path: PathBuf, why: String },
    /// The answer can't be shown.
    #[error("write to the standard output: {0}")]
    Output(#[from] io::Error),
}

/// An application as the server shows it.
#[derive(Deserialize)]
struct ApplicationBody {
    id: String,
    name: String,
    grants: Vec<ShownGrant>,
    expires_at: Option<String>,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct ShownGrant {
    tenant: String,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct ApplicationList<T> {
    applications: Vec<T>,
}

pub async fn run(arguments: ApplicationArgs) -> Result<(), ApplicationError> {
    match arguments.action {
        ApplicationAction::Create(arguments) => create(&arguments).await,
        ApplicationAction::List(arguments) => list(&arguments).await,
        ApplicationAction::Remove(arguments) => remove(&arguments).await,
    }
}

async fn create(arguments: &Create) -> Result<(), ApplicationError> {
    let client = Client::new(&arguments.server)?;
    let mut body = json!({"name": arguments.name, "scopes": arguments.scope, "tenants": arguments.tenant});
    if let Some(expires) = &arguments.expires {
        body["expires_at"] = json!(expires);
    }
    if let Some(oauth) = arguments.oauth()? {
        body["oauth"] = oauth;
    }
    let answer = client.text(client.request(Method::POST, "/v1/applications").json(&body)).await?;
    let mut out = terminal::out();
    if arguments.json {
        return Ok(writeln!(out, "{}", answer.trim_end())?);
    }
    let shown: ApplicationBody = serde_json::from_str(&answer)?;
    writeln!(out, "id       {}", shown.id)?;
    writeln!(out, "name     {}", shown.name)?;
    writeln!(out, "grants   {}", shown.grants())?;
    writeln!(out, "expires  {}", shown.expires())?;
    match shown.secret {
        Some(secret) => {
            writeln!(out, "secret   {secret}")?;
            tell!("The secret is shown only once; the ledger keeps only its digest.");
        }
        None => writeln!(out, "secret   none: it authenticates with its keys")?,
    }
    Ok(())
}

async fn list(arguments: &ApplicationListArgs) -> Result<(), ApplicationError> {
    let client = Client::new(&arguments.server)?;
    let answer = client.text(client.request(Method::GET, "/v1/applications")).await?;
    let mut out = terminal::out();
    if arguments.json {
        let listed: ApplicationList<&RawValue> = serde_json::from_str(&answer)?;
        for application in listed.applications {
            writeln!(out, "{application}")?;
        }
        return Ok(());
    }
    let shown = serde_json::from_str::<ApplicationList<ApplicationBody>>(&answer)?.applications;
    let width = shown.iter().map(|one| one.name.chars().count()).max().unwrap_or_default().max("NAME".len());
    writeln!(out, "{:36}  {:width$}  {:24}  GRANTS", "ID", "NAME", "EXPIRES")?;
    for one in &shown {
        writeln!(out, "{:36}  {:width$}  {:24}  {}", one.id, one.name, one.expires(), one.grants())?;
    }
    Ok(())
}

async fn remove(arguments: &ApplicationRemoveArgs) -> Result<(), ApplicationError> {
    let client = Client::new(&arguments.server)?;
    let mut request = client.request(Method::DELETE, &format!("/v1/applications/{}", arguments.id));
    if arguments.revoke {
        request = request.query(&[("revoke", true)]);
    }
    client.send(request).await?;
    let issued = if arguments.revoke { "what it issued is revoked" } else { "what it issued stays active" };
    writeln!(terminal::out(), "removed {}; its secret is refused from now on, and {issued}", arguments.id)?;
    Ok(())
}

impl ApplicationBody {
    fn grants(&self) -> String {
        let one = |grant: &ShownGrant| format!("{}: {}", grant.tenant, grant.scopes.join(","));
        self.grants.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    fn expires(&self) -> &str {
        self.expires_at.as_deref().unwrap_or("never")
    }
}
