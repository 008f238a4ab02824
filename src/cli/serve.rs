//! `authledger serve`: a server until a signal comes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::config::{CheckListener, CheckListeners, ConfigError, ServeArgs, Settings};
use crate::say;
use crate::server::{self, ServeError, Server};
use crate::telemetry::{self, TelemetryError};

/// Why a server did not start, or did not stop properly.
#[derive(Debug, thiserror::Error)]
pub enum ServeCommandError {
    /// A setting can't be used.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// Logging can't be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The server does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Signals can't be waited for.
    #[error("wait for signals: {0}")]
    Signal(io::Error),
    /// The disk failed while it ran.
    #[error(
        "the event log has halted; everything that was acknowledged stands: fix the cause that the log names, and restart"
    )]
    Halted,
    /// The directory is an older copy.
    #[error(
        "other nodes hold records that this node has signed and its log lacks: the data directory is an older copy; restart, and this node continues under a new origin and takes the missing records from the others"
    )]
    SetBack,
}

/// Serves until SIGTERM or SIGINT; with `--check` only says whether it would.
pub async fn run(arguments: ServeArgs) -> Result<(), ServeCommandError> {
    let check = arguments.check;
    let settings = Settings::load(arguments)?;
    telemetry::start_logging(&settings.log, settings.log_format)?;
    if check {
        server::check(&settings)?;
        say!("authledger: these settings are valid; nothing was started");
        return Ok(());
    }
    let mut settings = settings;
    let mut server = Server::start(settings.clone(), Clock::system()).await?;
    settings.listen = server.address();
    settings.check_listeners = server.check_listeners();
    // Not before: a start that folds a long log has nothing to finish, and ends at the signal.
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeCommandError::Signal)?;
    while let StopReason::StartsAgain = serve(server, settings.tls.is_some(), &mut terminate).await? {
        tracing::info!("restarting, because an earlier time was accepted");
        server = tokio::select! {
            started = Server::start(settings.clone(), Clock::system()) => started?,
            _ = terminate.recv() => return Ok(()),
        };
    }
    Ok(())
}

/// The reason why a run of the server ended.
enum StopReason {
    Asked,
    StartsAgain,
}

/// Serves until a signal comes, or until the server must restart.
async fn serve(server: Server, with_tls: bool, terminate: &mut Signal) -> Result<StopReason, ServeCommandError> {
    let scheme = if with_tls { "https" } else { "http" };
    say!("authledger: listening on {scheme}://{}", server.address());
    let CheckListeners { http, grpc } = server.check_listeners();
    for (listener, protocol) in [(http, "http"), (grpc, "grpc")] {
        if let Some(CheckListener { address, tls }) = listener {
            say!("authledger: answering checks on {protocol}{}://{address}", if tls { "s" } else { "" });
        }
    }
    if let Some(path) = server.root_token() {
        let path = path.display();
        say!("authledger: root's secret is in {path}; delete the file once applications are registered");
    }
    let (is_set_back, end) = tokio::select! {
        _ = terminate.recv() => (false, StopReason::Asked),
        _ = tokio::signal::ctrl_c() => (false, StopReason::Asked),
        () = server.set_back() => (true, StopReason::Asked),
        () = server.starts_again() => (false, StopReason::StartsAgain),
    };
    tracing::info!("stopping");
    match server.stop().await {
        false => Err(ServeCommandError::Halted),
        true if is_set_back => Err(ServeCommandError::SetBack),
        true => Ok(end),
    }
}
