//! The settings of SlashID's contract.

use clap::Args;
use serde::Deserialize;

use crate::domain::Malformed;
use crate::http::prefix;
use crate::setting::{Chosen, Layers, ValueError};

const DEFAULT_PREFIX: &str = "/slashid";

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct SlashidSettings {
    /// The path prefix under which SlashID's calls are served in addition; empty for no prefix [default: /slashid]
    #[arg(long, env = "AUTHLEDGER_SLASHID_PREFIX", value_name = "PATH")]
    pub slashid_prefix: Option<String>,

    /// The origins whose pages may call SlashID's contract from a browser, separated by commas [default: none]
    #[arg(long, env = "AUTHLEDGER_CORS_ORIGINS", value_delimiter = ',', value_name = "LIST")]
    pub cors_origins: Option<Vec<String>>,
}

/// The settings, checked and complete.
#[derive(Clone, Debug)]
pub struct SlashidOptions {
    /// The path prefix of the calls, which are also served without it: empty, or `/` and more.
    pub prefix: String,
    /// The origins whose pages may call from a browser.
    pub cors_origins: Vec<String>,
}

impl Default for SlashidOptions {
    fn default() -> Self {
        Self { prefix: DEFAULT_PREFIX.to_owned(), cors_origins: Vec::new() }
    }
}

impl SlashidOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<SlashidSettings>) -> Result<Self, ValueError> {
        Ok(Self {
            prefix: prefix::checked(layers.get("slashid_prefix", |s| s.slashid_prefix.clone()), DEFAULT_PREFIX)?,
            cors_origins: cors_origins(layers.get("cors_origins", |s| s.cors_origins.clone()))?,
        })
    }
}

/// RFC 6454, section 6.2: a scheme, a host and perhaps a port.
fn cors_origins(chosen: Chosen<Vec<String>>) -> Result<Vec<String>, ValueError> {
    const FORM: Malformed = Malformed("origins such as https://app.example, without a path");
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@,*".contains(&byte);
    let is_origin = |origin: &String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
    };
    chosen.formed(Vec::new(), FORM, |origins| origins.iter().all(is_origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SettingPlace;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        let chosen =
            |origin: &str| Chosen { value: Some(vec![origin.to_owned()]), place: SettingPlace::Arguments("key") };
        let origins = |origin: &str| cors_origins(chosen(origin)).is_ok();
        assert!(origins("https://app.example") && origins("http://127.0.0.1:3000"));
        for bad in ["*", "app.example", "https://", "https://a/", "https://a?x", "https://u@a", "null"] {
            assert!(!origins(bad), "{bad}");
        }
    }
}
