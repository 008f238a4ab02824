//! Why settings are refused, and where each was made.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ROOT_TOKEN_VARIABLE;
use crate::domain::Malformed;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line or in the environment: the setting's key.
    Arguments(&'static str),
    /// In the file: the setting's key and the file.
    File(&'static str, PathBuf),
    /// Nowhere: the default of that key.
    Default(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(key) => {
                write!(f, "--{} (or AUTHLEDGER_{})", key.replace('_', "-"), key.to_uppercase())
            }
            Self::File(key, path) => write!(f, "`{key}` in {}", path.display()),
            Self::Default(key) => write!(f, "the default of `{key}`"),
        }
    }
}

/// Why the settings are refused: what is wrong, where it was set, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is not there, or closed to us.
    #[error("read the settings in {}: {source}; give --config another file, or make this one readable", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no TOML, or holds a key or a value that no setting has.
    #[error("read the settings in {}: {problem}; `authledger serve --help` lists every setting", path.display())]
    MalformedFile {
        /// The file.
        path: PathBuf,
        /// Line, column and what was found there.
        problem: String,
    },
    /// A number is too small or too large.
    #[error("use {value} for {place}: it must be {low} to {high} {unit}")]
    OutOfBounds {
        /// Where it was set.
        place: Place,
        /// The number.
        value: u64,
        /// The least allowed.
        low: u64,
        /// The most allowed.
        high: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A text has the wrong form.
    #[error("use the text of {place}: it must be {must_be}")]
    Malformed {
        /// Where it was set.
        place: Place,
        /// The form that it should have.
        must_be: Malformed,
    },
    /// A table of a trusted issuer can't be used.
    #[error("use the [[trusted_issuer]] of {issuer:?} in {}: its `{key}` must be {must_be}", path.display())]
    TrustedIssuer {
        /// The file.
        path: PathBuf,
        /// The issuer as written.
        issuer: String,
        /// The key in the table.
        key: &'static str,
        /// The form that it should have.
        must_be: Malformed,
    },
    /// A table of NATS servers can't be used.
    #[error("use the [[nats]] of {region:?} in {}: its `{key}` must be {must_be}", path.display())]
    Nats {
        /// The file.
        path: PathBuf,
        /// The region as written.
        region: String,
        /// The key in the table.
        key: &'static str,
        /// The form that it should have.
        must_be: Malformed,
    },
    /// A life is longer than the one that bounds it.
    #[error(
        "use {shorter} of {shorter_seconds} s with {longer} of {longer_seconds} s: lower the first or raise the second"
    )]
    LivesCross {
        /// The setting that must not be larger.
        shorter: Place,
        /// Its value in seconds.
        shorter_seconds: u64,
        /// The setting that bounds it.
        longer: Place,
        /// Its value in seconds.
        longer_seconds: u64,
    },
    /// An address that others reach, without TLS.
    #[error(
        "listen on {listen}, set by {place}: the address is not loopback, so secrets would cross the network in clear; \
         give --tls-certificate and --tls-key, or --behind-proxy if a proxy in front ends TLS, or listen on 127.0.0.1"
    )]
    InClear {
        /// Where it was set.
        place: Place,
        /// The address.
        listen: SocketAddr,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("use {given} alone: TLS needs the certificate and its key; give --{} too, or neither", missing.replace('_', "-"))]
    HalfTls {
        /// Where the one was set.
        given: Place,
        /// The key of the other.
        missing: &'static str,
    },
    /// Nothing would be served.
    #[error(
        "use {place}: the list is empty, so nothing would be served; name one of native, feed, crafter, ory, slashid, cribl, metrics"
    )]
    NoSurface {
        /// Where it was set.
        place: Place,
    },
    /// The log filter can't be read.
    #[error("use {place}: it is no log filter; write a level, or directives such as `info,authledger=debug`")]
    LogFilter {
        /// Where it was set.
        place: Place,
    },
    /// Root's secret is too weak, or no header can carry it.
    #[error(
        "use {ROOT_TOKEN_VARIABLE}: root's secret must be 32 or more visible ASCII characters; make one with \
         `openssl rand -hex 32`, or unset the variable to have one made in DATA/root-token"
    )]
    RootToken,
}
