//! What is known of a trusted issuer before any of its tokens is read.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;

use crate::domain::{Malformed, Tenant};
use crate::setting::is_loopback;

/// The most that an issuer's clock may be ahead of ours, in seconds.
pub const MAX_CLOCK_LEEWAY_SECONDS: u64 = 60;
/// The default for how far an issuer's clock may be ahead, in seconds; also for this ledger, which has several nodes.
pub const CLOCK_LEEWAY_SECONDS: u64 = 5;

/// The deviations of an issuer's tokens from the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// SlashID: the claim `id` names the token where `jti` is missing. Elsewhere it may name the user.
    SlashId,
}

/// An issuer whose tokens are accepted besides this ledger's own.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// The tokens' `iss`, to the letter.
    pub issuer: Arc<str>,
    /// The source of its keys.
    pub source: KeySource,
    /// The tenants that its tokens may be for.
    pub tenants: Vec<Tenant>,
    /// The deviations of its tokens from the standard.
    pub profile: Option<Profile>,
    /// Seconds that its clock may be ahead: 0 to [`MAX_CLOCK_LEEWAY_SECONDS`].
    pub clock_leeway_seconds: u64,
    /// Whether it may revoke everything that a subject of its tenants has, by a JWT of its own.
    pub may_revoke: bool,
}

/// The source of an issuer's keys: a JWK set (RFC 7517, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// At an address.
    Url(JwksUrl),
}

/// An address of published keys: https, or http on this machine, because an attacker who can change keys on the way can
/// sign anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Url);

impl JwksUrl {
    /// The address, if keys may be fetched from there.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("a URL with https, or with http on a loopback host, and no name or password");
        let url = Url::parse(text).map_err(|_| FORM)?;
        let named = !url.username().is_empty() || url.password().is_some();
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if safe && !named { Ok(Self(url)) } else { Err(FORM) }
    }

    /// The address.
    pub const fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let punycode = "https://xn--bcher-kva.example/k";
        for good in ["https://a.example:8/k?x=y", "http://127.0.0.1:1/k", "http://localhost/k", punycode] {
            assert!(JwksUrl::new(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example/k",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "https://u:p@a.example/",
            "https://bücher.example/",
            "k",
        ] {
            assert!(JwksUrl::new(bad).is_err(), "{bad}");
        }
    }
}
