//! Why settings are refused, with the place where each was made.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ROOT_TOKEN_VARIABLE;
use crate::domain::Malformed;
use crate::http::Surface;
use crate::http::check::CheckConfigError;
use crate::setting::{SettingPlace, ValueError};

/// Why the settings are refused: the problem, its place, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not exist, or can't be read.
    #[error("read the settings in {}: {source}; give --config another file, or make this one readable", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is not TOML, or has an unknown key or value.
    #[error("read the settings in {}: {problem}; `authledger {command} --help` lists every setting", path.display())]
    MalformedFile {
        path: PathBuf,
        /// Line, column and what was found there.
        problem: String,
        /// The subcommand that reads it.
        command: &'static str,
    },
    /// The value of a setting can't be used.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A table of a trusted issuer can't be used.
    #[error("use the [[trusted_issuer]] of {issuer:?} in {}: its `{key}` must be {must_be}", path.display())]
    TrustedIssuer {
        path: PathBuf,
        /// The issuer as written.
        issuer: String,
        /// The key in the table.
        key: &'static str,
        must_be: Malformed,
    },
    /// The settings of checks can't be used.
    #[error(transparent)]
    Checks(#[from] CheckConfigError),
    /// A table of NATS servers can't be used.
    #[error("use the [[nats]] of {region:?} in {}: its `{key}` must be {must_be}", path.display())]
    Nats {
        path: PathBuf,
        /// The region as written.
        region: String,
        /// The key in the table.
        key: &'static str,
        must_be: Malformed,
    },
    /// A life is longer than the one that bounds it.
    #[error(
        "use {shorter} of {shorter_seconds} s with {longer} of {longer_seconds} s: lower the first or raise the second"
    )]
    LivesCross {
        /// The setting that must not be larger.
        shorter: SettingPlace,
        /// Its value in seconds.
        shorter_seconds: u64,
        /// The setting that bounds it.
        longer: SettingPlace,
        /// Its value in seconds.
        longer_seconds: u64,
    },
    /// The address is reachable from other hosts, but without TLS.
    #[error(
        "listen on {listen}, set by {place}: the address is not loopback, so secrets would cross the network in clear; \
         give --tls-certificate and --tls-key, or --behind-proxy if a proxy in front ends TLS, or listen on 127.0.0.1"
    )]
    InClear {
        /// The place where it was set.
        place: SettingPlace,
        /// The address.
        listen: SocketAddr,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("use {given} alone: TLS needs the certificate and its key; give --{} too, or neither", missing.replace('_', "-"))]
    HalfTls {
        /// The place where the one was set.
        given: SettingPlace,
        /// The key of the other.
        missing: &'static str,
    },
    /// Checks are to be answered with TLS, and there is no certificate.
    #[error("use {place} without a certificate: give --tls-certificate and --tls-key too")]
    NoCertificate {
        /// The place where it was set.
        place: SettingPlace,
    },
    /// An edge follows a node.
    #[error("use {place}: an edge follows one node, or up to 8 of one ledger; name one with --upstream")]
    Upstreams {
        /// The place where they were set.
        place: SettingPlace,
    },
    /// An edge needs a secret.
    #[error(
        "call a node without a secret: register an application with the scopes follow and introspect, and name the file \
         with its secret with --token-file"
    )]
    NoToken,
    /// A file holds something else than a secret.
    #[error("use {place}: {} does not hold one secret and nothing else", path.display())]
    NotASecret {
        /// The place where it was named.
        place: SettingPlace,
        path: PathBuf,
    },
    /// A file holds no certificates.
    #[error("trust the certificates in {}: it holds none in PEM", .0.display())]
    NoCertificates(PathBuf),
    /// Anybody could introspect.
    #[error("listen for introspections without a secret of their callers: give --introspect-token-file too")]
    NoIntrospectSecret,
    /// Nothing would be served.
    #[error("use {place}: the list is empty, so nothing would be served; name at least one of {}", Surface::names())]
    NoSurface {
        /// The place where it was set.
        place: SettingPlace,
    },
    /// The log filter can't be read.
    #[error("use {place}: it is not a log filter; write a level, or directives such as `info,authledger=debug`")]
    LogFilter {
        /// The place where it was set.
        place: SettingPlace,
    },
    /// Root's secret is too weak, or can't be put into a header.
    #[error(
        "use {ROOT_TOKEN_VARIABLE}: root's secret must be 32 or more visible ASCII characters; make one with \
         `openssl rand -hex 32`, or unset the variable to have one made in DATA/root-token"
    )]
    RootToken,
}
