//! The settings of checks, of a node and of an edge.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::check::{CheckRules, CheckTable, IdentityHeaders, RuleError};
use crate::setting::{Layers, ValueError};

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct CheckArgs {
    /// The rules; only in the file.
    #[arg(skip)]
    pub check: Option<Vec<CheckTable>>,

    /// How many checks may wait for an answer at a time; more are answered 503 [default: 4096]
    #[arg(long, env = "AUTHLEDGER_CHECK_CONCURRENCY", value_name = "COUNT")]
    pub check_concurrency: Option<u64>,

    /// How many watchers of a credential may be connected; more are answered 503 [default: 4096]
    #[arg(long, env = "AUTHLEDGER_CHECK_WATCHERS", value_name = "COUNT")]
    pub check_watchers: Option<u64>,

    /// The beginning of the names of identity headers. Gateways must remove a client's own headers that begin so, with _
    /// for - too [default: X-Auth-]
    #[arg(long, env = "AUTHLEDGER_CHECK_HEADER_PREFIX", value_name = "TEXT")]
    pub check_header_prefix: Option<String>,
}

/// Why the settings of checks are refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckConfigError {
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A table of the file can't be used.
    #[error("read the settings in {}: {source}", path.display())]
    Rule { path: PathBuf, source: RuleError },
}

/// The settings, checked and complete.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    pub rules: CheckRules,
    /// The names of the identity headers.
    pub headers: IdentityHeaders,
    /// Checks that may wait for an answer at a time.
    pub concurrency: usize,
    /// Watchers that may be connected.
    pub watchers: usize,
    /// How often a watcher is told that nothing has changed, and its credential is looked at again.
    pub heartbeat: Duration,
}

impl Default for CheckOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        Self {
            rules: CheckRules::default(),
            headers: IdentityHeaders::default(),
            concurrency: 4_096,
            watchers: 4_096,
            heartbeat: Duration::from_secs(15),
        }
    }
}

impl CheckOptions {
    /// The options that the settings make, with that time between two heartbeats.
    pub fn check(layers: &Layers<CheckArgs>, heartbeat: Duration) -> Result<Self, CheckConfigError> {
        let default = Self::default();
        let count = |default: usize| default as u64;
        let concurrency = layers.get("check_concurrency", |s| s.check_concurrency);
        let watchers = layers.get("check_watchers", |s| s.check_watchers);
        let prefix = layers.get("check_header_prefix", |s| s.check_header_prefix.clone());
        Ok(Self {
            rules: rules(layers)?,
            headers: prefix.named(IdentityHeaders::DEFAULT_PREFIX, IdentityHeaders::new)?,
            concurrency: concurrency.count(count(default.concurrency), 1..=1_000_000, "checks")?,
            watchers: watchers.count(count(default.watchers), 0..=1_000_000, "watchers")?,
            heartbeat,
        })
    }
}

/// Only the file can name them.
fn rules(layers: &Layers<CheckArgs>) -> Result<CheckRules, CheckConfigError> {
    match layers.file {
        Some((path, CheckArgs { check: Some(tables), .. })) => {
            CheckRules::of_tables(tables).map_err(|source| CheckConfigError::Rule { path: path.to_owned(), source })
        }
        _ => Ok(CheckRules::default()),
    }
}
