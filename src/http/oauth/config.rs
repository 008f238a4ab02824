//! The settings of OAuth.

use clap::Args;
use serde::Deserialize;

use crate::http::prefix;
use crate::setting::{Layers, ValueError};

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct OauthSettings {
    /// The path prefix under which the calls of OAuth are served, and nowhere else; empty for no prefix [default: empty]
    #[arg(long, env = "AUTHLEDGER_OAUTH_PREFIX", value_name = "PATH")]
    pub oauth_prefix: Option<String>,
}

/// The settings, checked and complete.
#[derive(Clone, Debug, Default)]
pub struct OauthOptions {
    /// The path prefix of the calls: empty, or `/` and more.
    pub prefix: String,
}

impl OauthOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<OauthSettings>) -> Result<Self, ValueError> {
        Ok(Self { prefix: prefix::checked(layers.get("oauth_prefix", |s| s.oauth_prefix.clone()), "")? })
    }
}
