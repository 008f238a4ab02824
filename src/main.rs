//! The `authledger` program: the choice of subcommand, and the text of its failure.

use std::process::ExitCode;

use anyhow::Context as _;
use authledger::cli::application::ApplicationArgs;
use authledger::cli::backup::BackupArgs;
use authledger::cli::clock::ClockArgs;
use authledger::cli::demo::DemoArgs;
use authledger::cli::follow::FollowArgs;
use authledger::cli::import::ImportArgs;
use authledger::cli::key::KeyArgs;
use authledger::cli::node::NodeArgs;
use authledger::cli::restore::RestoreArgs;
use authledger::cli::subject::SubjectArgs;
use authledger::cli::{application, backup, clock, demo, edge, follow, import, key, node, restore, serve, subject};
use authledger::config::{EdgeArgs, ServeArgs};
use authledger::{tell, terminal};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records every issue and every revocation of a ticket, session or token in one append-only ledger, and streams them
/// to the applications that enforce them.
#[derive(Parser)]
#[command(name = "authledger", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Run the server.
    Serve(Box<ServeArgs>),
    /// Answer the checks of a gateway beside it, from memory.
    Edge(Box<EdgeArgs>),
    /// Register, list and remove calling programs, over HTTP.
    Application(ApplicationArgs),
    /// List and rotate the keys that sign tokens, over HTTP.
    Key(KeyArgs),
    /// Show ledger time beside the wall clock, and correct it, over HTTP.
    Clock(ClockArgs),
    /// List, join, remove and promote the nodes of a ledger.
    Node(NodeArgs),
    /// Erase a subject, over HTTP.
    Subject(SubjectArgs),
    /// Show revocations as they happen.
    Follow(FollowArgs),
    /// Import credentials that were issued elsewhere, from a dump.
    Import(ImportArgs),
    /// Copy a ledger, with or without a running server, and verify the copy.
    Backup(BackupArgs),
    /// Make a data directory from a backup or a bundle, under an origin of its own.
    Restore(RestoreArgs),
    /// Show everything on a temporary ledger, in seconds.
    Demo(DemoArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command).and_then(|()| Ok(terminal::said()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Only the sentence: it includes the system's error already.
            tell!("authledger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: CliCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    match command {
        CliCommand::Serve(arguments) => Ok(runtime.block_on(serve::run(*arguments))?),
        CliCommand::Edge(arguments) => Ok(runtime.block_on(edge::run(&arguments))?),
        CliCommand::Application(arguments) => Ok(runtime.block_on(application::run(arguments))?),
        CliCommand::Key(arguments) => Ok(runtime.block_on(key::run(arguments))?),
        CliCommand::Clock(arguments) => Ok(runtime.block_on(clock::run(arguments))?),
        CliCommand::Node(arguments) => Ok(runtime.block_on(node::run(arguments))?),
        CliCommand::Subject(arguments) => Ok(runtime.block_on(subject::run(arguments))?),
        CliCommand::Follow(arguments) => Ok(runtime.block_on(follow::run(arguments))?),
        CliCommand::Import(arguments) => Ok(runtime.block_on(import::run(arguments))?),
        CliCommand::Backup(arguments) => Ok(backup::run(&arguments)?),
        CliCommand::Restore(arguments) => Ok(restore::run(&arguments)?),
        CliCommand::Demo(arguments) => Ok(runtime.block_on(demo::run(arguments))?),
    }
}
