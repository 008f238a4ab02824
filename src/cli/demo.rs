//! `authledger demo`: a real server, real HTTP, a temporary ledger, and every claim checked on the way.
//!
//! Nothing here reaches into the server: every client sees what is shown, and anybody can verify it from the file.

mod cohorts;
mod edge;
mod evidence;
mod narrator;
mod oauth;
mod sessions;
mod steps;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use self::narrator::Narrator;
use super::client::{CallError, Client};
use crate::audit::{AgainstError, AuditError};
use crate::clock::Clock;
use crate::config::{ConfigError, ServeArgs, Settings};
use crate::domain::Secret;
use crate::edge::EdgeError;
use crate::keys::{KeyError, SecretPrefix, mint};
use crate::server::{ServeError, Server};

/// How the demonstration is shown. It needs nothing, and leaves nothing behind.
#[derive(Args)]
pub struct DemoArgs {
    /// How many tickets are revoked one after another to measure how fast followers hear of it
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "COUNT")]
    rounds: u32,
}

/// The claim that did not hold, and its step.
#[derive(Debug, thiserror::Error)]
#[error("the demonstration failed at step {step}, {title}: {why}")]
pub struct DemoError {
    step: usize,
    title: &'static str,
    why: DemoFailure,
}

#[derive(Debug, thiserror::Error)]
enum DemoFailure {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{what}: {error}")]
    Request { what: &'static str, error: reqwest::Error },
    #[error("{0}")]
    Claim(String),
    #[error(transparent)]
    Settings(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Against(#[from] AgainstError),
    #[error("use a temporary directory: {0}")]
    Io(#[from] std::io::Error),
}

/// The state that the steps share.
struct Demo {
    narrator: Narrator,
    data: PathBuf,
    root: Secret,
    server: Option<Server>,
    rounds: u32,
    /// Every secret that was used: none of them may be in the ledger.
    secrets: Vec<String>,
}

/// Runs it all; fails with the first claim that does not hold.
pub async fn run(arguments: DemoArgs) -> Result<(), DemoError> {
    let started = Instant::now();
    let narrator = Narrator::new();
    narrator
        .title("authledger demo: the life of tickets, sessions and tokens, and what others see of their revocation");
    let (directory, mut demo) = match start(narrator, arguments.rounds).await {
        Ok(started) => started,
        Err(why) => return Err(DemoError { step: 1, title: "A server", why }),
    };
    let outcome = demo.steps().await;
    let failed = |why| DemoError { step: demo.narrator.step(), title: demo.narrator.current(), why };
    let left = directory.close().map_err(DemoFailure::from);
    let events = outcome.and_then(|events| left.map(|()| events)).map_err(failed)?;
    let took = started.elapsed().as_secs_f64();
    demo.narrator
        .title(&format!("Every claim held: {events} events, {took:.1} s. Nothing of it is left on this machine."));
    Ok(())
}

async fn start(mut narrator: Narrator, rounds: u32) -> Result<(tempfile::TempDir, Demo), DemoFailure> {
    narrator.begin("A server on a free port, with a ledger in a temporary directory");
    let directory = tempfile::Builder::new().prefix("authledger-demo-").tempdir()?;
    let data = directory.path().join("data");
    let root = mint(SecretPrefix::Application)?;
    let server = Server::start(settings(&data, &root)?, Clock::system()).await?;
    narrator.fact(&format!("listening on http://{}, ledger in {}", server.address(), data.display()));
    let secrets = vec![root.expose().to_owned()];
    Ok((directory, Demo { narrator, data, root, server: Some(server), rounds, secrets }))
}

fn settings(data: &Path, root: &Secret) -> Result<Settings, ConfigError> {
    let arguments = ServeArgs {
        data: Some(data.to_owned()),
        listen: Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
        ..ServeArgs::default()
    };
    Settings::check(arguments, Some(root.expose()))
}

impl Demo {
    fn client(&self, secret: &Secret) -> Result<Client, DemoFailure> {
        let address = self.server.as_ref().map(Server::address);
        let address = address.ok_or_else(|| DemoFailure::Claim("the server has stopped".to_owned()))?;
        Ok(Client::connect(&format!("http://{address}"), secret, None)?)
    }
}

/// A claim that must hold.
fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), DemoFailure> {
    if holds { Ok(()) } else { Err(DemoFailure::Claim(otherwise())) }
}
