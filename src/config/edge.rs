//! Every setting of `authledger edge`: its unit, its default, and its bounds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, Command};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};

use super::{ConfigError, IssuerTable, TlsFiles, is_loopback_address, issuers, log_filter, tls_pair};
use crate::domain::{Secret, Ttl};
use crate::follower::{FeedForm, FollowerSettings, MISSED_HEARTBEATS};
use crate::http::check::{CheckArgs, CheckOptions};
use crate::jose::TrustedIssuer;
use crate::setting::{Layers, SettingPlace};
use crate::telemetry::LogFormat;
use crate::utf8;

/// The most nodes that an edge follows.
const MAX_UPSTREAMS: usize = 8;

/// The settings as they were written, on the command line or in a file: nothing checked, nothing filled in.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EdgeArgs {
    /// A TOML file with settings: the flags' names as keys, with _ for -, and the tables `check` and `trusted_issuer`.
    /// Flags and variables take precedence over it.
    #[arg(long, env = "AUTHLEDGER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Check the settings, say what is wrong with them, and start nothing.
    #[arg(long, env = "AUTHLEDGER_CHECK")]
    #[serde(skip)]
    pub check: bool,

    /// The node to follow and to ask. Given more than once, or separated by commas: nodes of one ledger, the preferred one
    /// first; if it does not answer, the next one is followed
    #[arg(long, env = "AUTHLEDGER_UPSTREAM", value_delimiter = ',', value_name = "URL")]
    pub upstream: Option<Vec<String>>,

    /// A file that holds the secret of an application with the scopes follow and introspect in the tenants of this edge
    #[arg(long, env = "AUTHLEDGER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Trust the certificates in this file, PEM, and no others, when nodes are asked
    #[arg(long, env = "AUTHLEDGER_CA_CERTIFICATE", value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,

    /// The address and port for the checks of gateways, with nothing else on it: HTTP/1.0, 1.1 and 2. One that is not
    /// loopback needs TLS or --behind-proxy [default: 127.0.0.1:7879]
    #[arg(long, env = "AUTHLEDGER_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// The same for Envoy over gRPC [default: none]
    #[arg(long, env = "AUTHLEDGER_GRPC_LISTEN", value_name = "ADDR")]
    pub grpc_listen: Option<SocketAddr>,

    /// The address and port for introspection by resource servers, RFC 7662, at /oauth2/introspect. Needs
    /// --introspect-token-file [default: none]
    #[arg(long, env = "AUTHLEDGER_INTROSPECT_LISTEN", value_name = "ADDR")]
    pub introspect_listen: Option<SocketAddr>,

    /// A file that holds the secret which callers of the introspection present. The answers are those that this edge's own
    /// application would get
    #[arg(long, env = "AUTHLEDGER_INTROSPECT_TOKEN_FILE", value_name = "FILE")]
    pub introspect_token_file: Option<PathBuf>,

    /// The address and port for /health/live, /health/ready and /metrics, in clear and without a secret [default:
    /// 127.0.0.1:7880]
    #[arg(long, env = "AUTHLEDGER_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,

    /// TLS for checks and introspection: the certificate chain, PEM, the edge's own first. Needs --tls-key
    #[arg(long, env = "AUTHLEDGER_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// TLS: the certificate's private key, PEM. Needs --tls-certificate
    #[arg(long, env = "AUTHLEDGER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The network between gateway and edge is theirs alone, so listening in clear on any address is meant
    #[arg(long, env = "AUTHLEDGER_BEHIND_PROXY", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub behind_proxy: Option<bool>,

    /// A directory that keeps what is revoked between two runs, so that a start need not load the snapshot; made with mode
    /// 0700. It holds no secret and no answer [default: none]
    #[arg(long, env = "AUTHLEDGER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Seconds that the answer about a secret is kept at most; a revocation drops it at once [default: 300]
    #[arg(long, env = "AUTHLEDGER_CACHE_TTL", value_name = "SECONDS")]
    pub cache_ttl: Option<u64>,

    /// The memory for kept answers in bytes, some 300 each [default: 268435456]
    #[arg(long, env = "AUTHLEDGER_CACHE_BYTES", value_name = "BYTES")]
    pub cache_bytes: Option<u64>,

    /// Heartbeats that may be missed before this edge is stale [default: 3]
    #[arg(long, env = "AUTHLEDGER_STALE_AFTER", value_name = "COUNT")]
    pub stale_after: Option<u64>,

    /// Seconds between two heartbeats of the feed, as the nodes are set [default: 15]
    #[arg(long, env = "AUTHLEDGER_HEARTBEAT", value_name = "SECONDS")]
    pub heartbeat: Option<u64>,

    /// The other issuers whose tokens are accepted; only in the file.
    #[arg(skip)]
    pub trusted_issuer: Option<Vec<IssuerTable>>,

    /// Seconds of the longest life of a credential, as the nodes are set. A trusted issuer's JWT is active at most that long
    /// after its iat [default: 31622400]
    #[arg(long, env = "AUTHLEDGER_LONGEST_LIFE", value_name = "SECONDS")]
    pub longest_life: Option<u64>,

    /// Ask for snapshot and feed in JSON, although there is a compact form
    #[arg(long, env = "AUTHLEDGER_JSON_FEED", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub json_feed: Option<bool>,

    /// How many connections may be open; more are answered 503 [default: 12000]
    #[arg(long, env = "AUTHLEDGER_CONNECTIONS", value_name = "COUNT")]
    pub connections: Option<u64>,

    /// Seconds that a connection stays open between two requests. Give more than the gateway keeps its own connections
    /// [default: 75]
    #[arg(long, env = "AUTHLEDGER_KEEP_ALIVE", value_name = "SECONDS")]
    pub keep_alive: Option<u64>,

    /// The settings of checks.
    #[command(flatten)]
    #[serde(skip)]
    pub checks: CheckArgs,

    /// The log level, or directives such as info,authledger=debug [default: info]
    #[arg(long, env = "AUTHLEDGER_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// The format of log lines on standard error [default: text]
    #[arg(long, env = "AUTHLEDGER_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Serve the handler that the load generator compares with
    #[arg(long, env = "AUTHLEDGER_BENCH", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub bench: Option<bool>,
}

/// The settings, checked and complete. Not printable, because secrets are among them.
pub struct EdgeSettings {
    /// What to follow, and how.
    pub follower: FollowerSettings,
    /// The addresses to listen on.
    pub listeners: EdgeListeners,
    /// The files for TLS, if it is on.
    pub tls: Option<TlsFiles>,
    /// The secret of callers that introspect.
    pub introspect_secret: Option<Secret>,
    /// How long an answer is kept at most.
    pub cache_ttl: Duration,
    /// The memory for kept answers.
    pub cache_bytes: usize,
    /// The other issuers whose tokens are accepted.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// The longest life of a credential.
    pub longest_life: Ttl,
    /// The options of checks.
    pub checks: CheckOptions,
    /// How many connections may be open on each listener.
    pub connections: usize,
    /// How long a connection stays open between two requests.
    pub keep_alive: Duration,
    /// The log filter, in the form of tracing's `Targets`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Whether the do-nothing handler is served.
    pub bench: bool,
}

/// The addresses on which an edge listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeListeners {
    /// For checks.
    pub checks: SocketAddr,
    /// For checks over gRPC.
    pub grpc: Option<SocketAddr>,
    /// For introspection.
    pub introspect: Option<SocketAddr>,
    /// For health and metrics.
    pub admin: SocketAddr,
}

type EdgeLayers<'a> = Layers<'a, EdgeArgs>;

impl EdgeSettings {
    /// The settings from command line and environment (already joined by clap), and the file that they name.
    pub fn load(arguments: &EdgeArgs) -> Result<Self, ConfigError> {
        let file = arguments.config.as_deref().map(|path| read(path).map(|read| (path, read))).transpose()?;
        let layers = EdgeLayers { arguments, file: file.as_ref().map(|(path, read)| (*path, read)) };
        let heartbeat = layers.get("heartbeat", |a| a.heartbeat).bounded(15, 1..=300, "seconds")?;
        let heartbeat = Duration::from_secs(heartbeat);
        let tls = tls_pair(
            layers.get("tls_certificate", |a| a.tls_certificate.clone()),
            layers.get("tls_key", |a| a.tls_key.clone()),
        )?;
        let protected = tls.is_some() || layers.get("behind_proxy", |a| a.behind_proxy).or(false);
        let introspect_secret = introspect_secret(&layers)?;
        let longest_life = layers.get("longest_life", |a| a.longest_life);
        let longest_life = longest_life.bounded(31_622_400, 1..=Ttl::MAX.as_seconds(), "seconds")?;
        Ok(Self {
            listeners: listeners(&layers, protected, introspect_secret.is_some())?,
            tls,
            introspect_secret,
            follower: follower(&layers, heartbeat)?,
            cache_ttl: layers
                .get("cache_ttl", |a| a.cache_ttl)
                .bounded(300, 0..=3_600, "seconds")
                .map(Duration::from_secs)?,
            cache_bytes: layers.get("cache_bytes", |a| a.cache_bytes).count(256 << 20, 1 << 20..=1 << 40, "bytes")?,
            trusted_issuers: match &layers.file {
                Some((path, EdgeArgs { trusted_issuer: Some(tables), .. })) => issuers::checked(tables, path, None)?,
                _ => Vec::new(),
            },
            longest_life: Ttl::from_seconds(longest_life).unwrap_or(Ttl::MAX),
            checks: CheckOptions::check(&layers.part(|a| &a.checks), heartbeat)?,
            connections: layers.get("connections", |a| a.connections).count(12_000, 1..=1_000_000, "connections")?,
            keep_alive: layers
                .get("keep_alive", |a| a.keep_alive)
                .bounded(75, 1..=3_600, "seconds")
                .map(Duration::from_secs)?,
            log: log_filter(layers.get("log", |a| a.log.clone()))?,
            log_format: layers.get("log_format", |a| a.log_format).or(LogFormat::default()),
            bench: layers.get("bench", |a| a.bench).or(false),
        })
    }
}

fn follower(layers: &EdgeLayers, heartbeat: Duration) -> Result<FollowerSettings, ConfigError> {
    let chosen = layers.get("upstream", |a| a.upstream.clone());
    let upstreams = chosen.value.unwrap_or_default();
    if upstreams.is_empty() || upstreams.len() > MAX_UPSTREAMS {
        return Err(ConfigError::Upstreams { place: chosen.place });
    }
    let token = layers.get("token_file", |a| a.token_file.clone());
    let Some(token_file) = token.value else { return Err(ConfigError::NoToken) };
    let certificates = layers.get("ca_certificate", |a| a.ca_certificate.clone()).value;
    let stale_after =
        layers.get("stale_after", |a| a.stale_after).bounded(u64::from(MISSED_HEARTBEATS), 2..=1_000, "heartbeats")?;
    Ok(FollowerSettings {
        upstreams,
        secret: secret(&token_file, token.place)?,
        certificates: certificates.as_deref().map(certificates_in).transpose()?,
        heartbeat,
        stale_after: u32::try_from(stale_after).unwrap_or(u32::MAX),
        form: if layers.get("json_feed", |a| a.json_feed).or(false) { FeedForm::Json } else { FeedForm::Compact },
        state: layers.get("state", |a| a.state.clone()).value,
    })
}

fn listeners(layers: &EdgeLayers, protected: bool, may_introspect: bool) -> Result<EdgeListeners, ConfigError> {
    let guarded = |key, address: fn(&EdgeArgs) -> Option<SocketAddr>| {
        let chosen = layers.get(key, address);
        match chosen.value {
            Some(listen) if !protected && !is_loopback_address(listen) => {
                Err(ConfigError::InClear { place: chosen.place, listen })
            }
            value => Ok(value),
        }
    };
    let introspect = guarded("introspect_listen", |a| a.introspect_listen)?;
    if introspect.is_some() && !may_introspect {
        return Err(ConfigError::NoIntrospectSecret);
    }
    Ok(EdgeListeners {
        checks: guarded("listen", |a| a.listen)?.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7879))),
        grpc: guarded("grpc_listen", |a| a.grpc_listen)?,
        introspect,
        admin: layers.get("admin_listen", |a| a.admin_listen).or(SocketAddr::from(([127, 0, 0, 1], 7880))),
    })
}

fn introspect_secret(layers: &EdgeLayers) -> Result<Option<Secret>, ConfigError> {
    let chosen = layers.get("introspect_token_file", |a| a.introspect_token_file.clone());
    let Some(path) = chosen.value else { return Ok(None) };
    secret(&path, chosen.place).map(Some)
}

fn secret(path: &Path, place: SettingPlace) -> Result<Secret, ConfigError> {
    let text = utf8::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let text = text.trim();
    let is_secret = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_secret { Ok(Secret::new(text)) } else { Err(ConfigError::NotASecret { place, path: path.to_owned() }) }
}

fn certificates_in(path: &Path) -> Result<Vec<reqwest::Certificate>, ConfigError> {
    let pem = std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(ConfigError::NoCertificates(path.to_owned())),
    }
}

fn read(path: &Path) -> Result<EdgeArgs, ConfigError> {
    match utf8::read(path) {
        Ok(text) => parse(&text).map_err(|error| ConfigError::MalformedFile {
            path: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
            command: "edge",
        }),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

fn parse(text: &str) -> Result<EdgeArgs, toml::de::Error> {
    toml::from_str::<HashMap<KnownKey, IgnoredAny>>(text)?;
    Ok(EdgeArgs { checks: toml::from_str(text)?, ..toml::from_str(text)? })
}

/// A key that some part of the settings reads.
#[derive(PartialEq, Eq, Hash)]
struct KnownKey(String);

impl<'de> Deserialize<'de> for KnownKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        if KEYS.contains(&key.as_str()) { Ok(Self(key)) } else { Err(D::Error::unknown_field(&key, &KEYS)) }
    }
}

/// Every key. The flag --check and the tables [[check]] have one name.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    static COMMAND: LazyLock<Command> = LazyLock::new(|| EdgeArgs::augment_args(Command::new("edge")));
    let flags = COMMAND.get_arguments().map(|flag| flag.get_id().as_str());
    flags.filter(|flag| *flag != "config").chain(["trusted_issuer"]).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &EdgeArgs) -> String {
        EdgeSettings::load(arguments).err().expect("a refusal").to_string()
    }

    fn arguments(directory: &Path) -> EdgeArgs {
        let token = directory.join("token");
        std::fs::write(&token, "al_app_secret\n").expect("written");
        EdgeArgs { upstream: Some(vec!["http://127.0.0.1:1".into()]), token_file: Some(token), ..EdgeArgs::default() }
    }

    #[test]
    fn every_flag_is_also_a_variable_and_a_key_of_the_file() {
        let command = EdgeArgs::augment_args(Command::new("edge"));
        for flag in command.get_arguments() {
            let key = flag.get_id().as_str();
            assert_eq!(flag.get_long(), Some(key.replace('_', "-").as_str()));
            let variable = flag.get_env().and_then(|variable| variable.to_str());
            assert_eq!(variable, Some(format!("AUTHLEDGER_{}", key.to_uppercase()).as_str()));
            // No setting can be that, so the part that has the key refuses the value.
            let refused = parse(&format!("{key} = nan")).expect_err("no setting takes that").to_string();
            assert_eq!(refused.contains("unknown field"), key == "config", "{refused}");
        }
    }

    #[test]
    fn an_edge_needs_a_node_and_a_secret_and_loopback_or_tls() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = arguments(directory.path());
        let settings = EdgeSettings::load(&good).expect("good settings");
        assert_eq!(settings.listeners.checks.to_string(), "127.0.0.1:7879");
        assert_eq!(settings.listeners.admin.to_string(), "127.0.0.1:7880");
        assert!(refusal(&EdgeArgs { upstream: None, ..good.clone() }).contains("--upstream"));
        assert!(refusal(&EdgeArgs { token_file: None, ..good.clone() }).contains("--token-file"));
        let open = Some(SocketAddr::from(([0, 0, 0, 0], 7879)));
        for open in [EdgeArgs { listen: open, ..good.clone() }, EdgeArgs { grpc_listen: open, ..good.clone() }] {
            assert!(refusal(&open).contains("in clear"));
            assert!(EdgeSettings::load(&EdgeArgs { behind_proxy: Some(true), ..open }).is_ok());
        }
        let introspect = EdgeArgs { introspect_listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))), ..good.clone() };
        assert!(refusal(&introspect).contains("--introspect-token-file"));
        std::fs::write(directory.path().join("token"), "two words").expect("written");
        assert!(refusal(&good).contains("token_file") || refusal(&good).contains("--token-file"));
    }

    #[test]
    fn the_file_has_rules_and_trusted_issuers() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("edge.toml");
        let text = "cache_ttl = 10\n[[check]]\nrule = \"reports\"\nrenew = true\nkinds = [\"ticket\"]\n\
                    [[trusted_issuer]]\nissuer = \"https://a.example\"\njwks_url = \"https://a.example/k\"\ntenants = [\"x\"]\n";
        std::fs::write(&file, text).expect("written");
        let settings = EdgeSettings::load(&EdgeArgs { config: Some(file.clone()), ..arguments(directory.path()) });
        let settings = settings.expect("good settings");
        assert!(settings.checks.rules.find("reports").is_some_and(|rule| rule.renew));
        assert_eq!((settings.cache_ttl.as_secs(), settings.trusted_issuers.len()), (10, 1));
        std::fs::write(&file, "cache_tll = 10\n").expect("written");
        let refused = refusal(&EdgeArgs { config: Some(file), ..arguments(directory.path()) });
        assert!(refused.contains("cache_tll") && refused.contains("authledger edge --help"), "{refused}");
    }
}
