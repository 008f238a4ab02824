//! The settings of Crafter's contract.

use clap::Args;
use serde::Deserialize;

use crate::setting::Layers;

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct CrafterSettings {
    /// Accept Crafter's published default access tokens, which everybody knows; only for trying things out
    #[arg(long, env = "AUTHLEDGER_ALLOW_PUBLISHED_ACCESS_TOKENS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub allow_published_access_tokens: Option<bool>,
}

/// The settings, complete.
#[derive(Clone, Debug, Default)]
pub struct CrafterOptions {
    /// Whether the published default access tokens may be registered and used.
    pub allow_published_access_tokens: bool,
}

impl CrafterOptions {
    /// The options that the settings make.
    pub fn of(layers: &Layers<CrafterSettings>) -> Self {
        let allowed = layers.get("allow_published_access_tokens", |s| s.allow_published_access_tokens);
        Self { allow_published_access_tokens: allowed.or(false) }
    }
}
