//! The `authledger` program: configuration, telemetry, run.

use std::process::ExitCode;

use anyhow::Context as _;
use authledger::cli::application::{self, ApplicationArgs};
use authledger::cli::backup::{self, BackupArgs};
use authledger::cli::demo::{self, DemoArgs};
use authledger::cli::follow::{self, FollowArgs};
use authledger::clock::Clock;
use authledger::config::{ServeArgs, Settings};
use authledger::server::{self, Server};
use authledger::telemetry;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every issue and every end of a ticket, session or token in one append-only ledger, and a stream that tells whoever enforces.
#[derive(Parser)]
#[command(name = "authledger", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Register, list and remove calling programs, over HTTP.
    Application(ApplicationArgs),
    /// Show what is revoked, as it is.
    Follow(FollowArgs),
    /// Copy a ledger, with or without a running server, and verify the copy.
    Backup(BackupArgs),
    /// Show all of it on a temporary ledger, in seconds.
    Demo(DemoArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("authledger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    match command {
        Command::Serve(arguments) => runtime.block_on(serve(arguments)),
        Command::Application(arguments) => Ok(runtime.block_on(application::run(arguments))?),
        Command::Follow(arguments) => Ok(runtime.block_on(follow::run(arguments))?),
        Command::Backup(arguments) => Ok(backup::run(&arguments)?),
        Command::Demo(arguments) => Ok(runtime.block_on(demo::run(arguments))?),
    }
}

async fn serve(arguments: ServeArgs) -> anyhow::Result<()> {
    let check = arguments.check;
    let settings = Settings::load(arguments)?;
    telemetry::start_logging(&settings.log, settings.log_format)?;
    if check {
        server::check(&settings)?;
        println!("authledger: these settings are good; nothing was started");
        return Ok(());
    }
    let tls = settings.tls.is_some();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let server = Server::start(settings, Clock::system()).await?;
    let scheme = if tls { "https" } else { "http" };
    println!("authledger: listening on {scheme}://{}", server.address());
    if let Some(path) = server.root_token() {
        println!(
            "authledger: root's secret is in {}; delete the file once applications are registered",
            path.display()
        );
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping");
    anyhow::ensure!(
        server.stop().await,
        "the event log has halted; what was acknowledged stands: mend the cause that the log names, and start again"
    );
    Ok(())
}
