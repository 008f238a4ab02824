//! `authledger edge`: answers the checks of a gateway, until a signal comes.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ConfigError, EdgeArgs, EdgeSettings};
use crate::edge::{EdgeError, RunningEdge};
use crate::say;
use crate::telemetry::{self, TelemetryError};

/// Why an edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeCommandError {
    /// A setting can't be used.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// Logging can't be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The edge does not start.
    #[error(transparent)]
    Start(#[from] EdgeError),
    /// Signals can't be waited for.
    #[error("wait for signals: {0}")]
    Signal(io::Error),
}

/// Runs until SIGTERM or SIGINT; with `--check` only says whether it would.
pub async fn run(arguments: &EdgeArgs) -> Result<(), EdgeCommandError> {
    let settings = EdgeSettings::load(arguments)?;
    telemetry::start_logging(&settings.log, settings.log_format)?;
    if arguments.check {
        say!("authledger: these settings are valid; nothing was started");
        return Ok(());
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(EdgeCommandError::Signal)?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let edge = RunningEdge::start(settings).await?;
    let listeners = edge.listeners();
    say!("authledger: checks on {scheme}://{}/check/RULE", listeners.checks);
    if let Some(grpc) = listeners.grpc {
        say!("authledger: checks over gRPC on {grpc}");
    }
    if let Some(introspect) = listeners.introspect {
        say!("authledger: introspection on {scheme}://{introspect}/oauth2/introspect");
    }
    say!("authledger: health and metrics on http://{}", listeners.admin);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping");
    edge.stop().await;
    Ok(())
}
