//! The settings of Ory's contract.

use clap::Args;
use serde::Deserialize;

use crate::domain::Malformed;
use crate::http::compat::prefix;
use crate::setting::{Chosen, Layers, ValueError};

const DEFAULT_PREFIX: &str = "/auth";
const DEFAULT_COOKIE: &str = "ory_kratos_session";

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct OrySettings {
    /// The path prefix under which Ory's public and admin calls are served in addition; empty for no prefix [default:
    /// /auth]
    #[arg(long, env = "AUTHLEDGER_ORY_PREFIX", value_name = "PATH")]
    pub ory_prefix: Option<String>,

    /// The cookie that carries a session token on Ory's public calls [default: ory_kratos_session]
    #[arg(long, env = "AUTHLEDGER_ORY_COOKIE", value_name = "NAME")]
    pub ory_cookie: Option<String>,
}

/// The settings, checked and complete.
#[derive(Clone, Debug)]
pub struct OryOptions {
    /// The path prefix of the calls, which are also served without it: empty, or `/` and more.
    pub prefix: String,
    /// The cookie that carries a session token on public calls.
    pub cookie: String,
}

impl Default for OryOptions {
    fn default() -> Self {
        Self { prefix: DEFAULT_PREFIX.to_owned(), cookie: DEFAULT_COOKIE.to_owned() }
    }
}

impl OryOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<OrySettings>) -> Result<Self, ValueError> {
        Ok(Self {
            prefix: prefix::checked(layers.get("ory_prefix", |s| s.ory_prefix.clone()), DEFAULT_PREFIX)?,
            cookie: cookie(layers.get("ory_cookie", |s| s.ory_cookie.clone()))?,
        })
    }
}

/// RFC 6265, section 4.1.1: a cookie's name is a token.
fn cookie(chosen: Chosen<String>) -> Result<String, ValueError> {
    const FORM: Malformed = Malformed("1 to 64 letters, digits, '-', '_' and '.'");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    chosen.formed(DEFAULT_COOKIE.to_owned(), FORM, |name| name.bytes().all(plain) && (1..=64).contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SettingPlace;

    #[test]
    fn the_cookies_name_is_a_token() {
        let cookie =
            |name: &str| cookie(Chosen { value: Some(name.to_owned()), place: SettingPlace::Arguments("key") });
        assert!(cookie("ory_session").is_ok() && cookie("a=b").is_err() && cookie("").is_err());
    }
}
