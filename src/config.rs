//! Every setting of `authledger serve`: its unit, its default, and its bounds.
//!
//! A flag takes precedence over its environment variable, that over the TOML file, and that over the default. The
//! file's keys are the flags' names with `_` for `-`; an unknown key is refused, because a misspelt limit would not
//! limit anything.

mod checks;
mod edge;
mod error;
mod file;
mod issuers;
mod members;

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::domain::{Malformed, NodeName, Policy, Region, Secret, Ttl};
use crate::http::check::{CheckArgs, CheckOptions};
use crate::http::status_lists::{StatusListArgs, StatusListOptions};
use crate::http::{Surface, compat};
use crate::jose::TrustedIssuer;
use crate::keys::{Algorithm, RootToken};
use crate::setting::{Chosen, SettingPlace, ValueError};
use crate::telemetry::{self, LogFormat};
use crate::tlog::KeyName;

pub use checks::{CheckListenArgs, CheckListener, CheckListeners};
pub use edge::{EdgeArgs, EdgeListeners, EdgeSettings};
pub use error::ConfigError;
pub use issuers::IssuerTable;
pub use members::{MemberSettings, NatsServers, NatsTable};

/// The environment variable that holds root's secret. There is no flag for it, because flags are seen in the list of
/// processes.
pub const ROOT_TOKEN_VARIABLE: &str = "AUTHLEDGER_ROOT_TOKEN";

/// The settings as they were written, on the command line or in a file: nothing checked, nothing filled in.
// Unknown keys are refused where the file is read, because no part of the settings knows the keys of the others.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServeArgs {
    /// A TOML file with settings: the flags' names as keys, with _ for -. Flags and variables take precedence over it.
    #[arg(long, env = "AUTHLEDGER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Check the settings, say what is wrong with them, and start nothing.
    #[arg(long, env = "AUTHLEDGER_CHECK")]
    #[serde(skip)]
    pub check: bool,

    /// The ledger's directory; made at the first start, mode 0700 [default: ./authledger-data]
    #[arg(long, env = "AUTHLEDGER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// The address and port to listen on. One that is not loopback needs TLS or --behind-proxy [default: 127.0.0.1:7878]
    #[arg(long, env = "AUTHLEDGER_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// TLS: the certificate chain, PEM, the server's own first. Needs --tls-key
    #[arg(long, env = "AUTHLEDGER_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// TLS: the certificate's private key, PEM. Needs --tls-certificate
    #[arg(long, env = "AUTHLEDGER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// A proxy in front ends TLS, so listening in clear on any address is meant
    #[arg(long, env = "AUTHLEDGER_BEHIND_PROXY", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub behind_proxy: Option<bool>,

    /// The surfaces to serve, separated by commas; health checks always are [default:
    /// native,feed,evidence,crafter,ory,slashid,cribl,oauth,check,metrics]
    #[arg(long, env = "AUTHLEDGER_SURFACES", value_delimiter = ',', value_name = "LIST")]
    pub surfaces: Option<Vec<Surface>>,

    /// Serve /metrics, which does not need a secret, on a public address or behind a proxy too
    #[arg(long, env = "AUTHLEDGER_PUBLIC_METRICS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub public_metrics: Option<bool>,

    /// This node's name, 1 to 255 bytes; it stays in the log permanently [default: local]
    #[arg(long, env = "AUTHLEDGER_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// The name of the site that this node is in, 1 to 255 bytes [default: local]
    #[arg(long, env = "AUTHLEDGER_REGION", value_name = "NAME")]
    pub region: Option<String>,

    /// Addresses of other nodes of this ledger over HTTP, separated by commas, in addition to those that members
    /// announce [default: none]
    #[arg(long, env = "AUTHLEDGER_PEERS", value_delimiter = ',', value_name = "LIST")]
    pub peers: Option<Vec<String>>,

    /// The address at which other nodes reach this one over HTTP, such as https://b.example:7878; on record when it
    /// joins [default: none]
    #[arg(long, env = "AUTHLEDGER_ADDRESS", value_name = "URL")]
    pub address: Option<String>,

    /// Trust only the certificates in this file, PEM, when other nodes are asked
    #[arg(long, env = "AUTHLEDGER_PEER_CA", value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,

    /// Seconds that a starting node waits for its members to say what they hold of it, before it opens a new origin
    /// [default: 30]
    #[arg(long, env = "AUTHLEDGER_MEMBER_WAIT", value_name = "SECONDS")]
    pub member_wait: Option<u64>,

    /// Follow the other nodes and carry out no commands, until `authledger node promote`
    #[arg(long, env = "AUTHLEDGER_STANDBY", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub standby: Option<bool>,

    /// Servers of NATS JetStream, region by region; only in the file.
    #[arg(skip)]
    pub nats: Option<Vec<NatsTable>>,

    /// Read and write no events of these types, as an earlier release would
    #[arg(long, env = "AUTHLEDGER_WITHOUT_EVENTS", hide = true, value_delimiter = ',', value_name = "LIST")]
    pub without_events: Option<Vec<String>>,

    /// Put pseudonyms of subjects on record instead of their names, made with a key of this ledger. Settled permanently
    /// with the first start
    #[arg(long, env = "AUTHLEDGER_SUBJECT_PSEUDONYMS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub subject_pseudonyms: Option<bool>,

    /// Seconds without use after which a ticket expires, if its issuer does not say [default: 900]
    #[arg(long, env = "AUTHLEDGER_TICKET_TTL", value_name = "SECONDS")]
    pub ticket_ttl: Option<u64>,

    /// Seconds that a ticket can be active at most, used or not [default: 86400]
    #[arg(long, env = "AUTHLEDGER_TICKET_MAX_LIFE", value_name = "SECONDS")]
    pub ticket_max_life: Option<u64>,

    /// The address under which clients know this server, and the issuer of the tokens that it signs: http or https, no
    /// / at the end
    #[arg(long, env = "AUTHLEDGER_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// The name of this node's log in its checkpoints, such as log.example.com/main; fixed with the first of them
    /// [default: authledger/ORIGIN]
    #[arg(long, env = "AUTHLEDGER_CHECKPOINT_ORIGIN", value_name = "NAME")]
    pub checkpoint_origin: Option<String>,

    /// The algorithm of new keys that sign tokens [default: ES256]
    #[arg(long, env = "AUTHLEDGER_TOKEN_ALGORITHM", value_name = "ALGORITHM")]
    pub token_algorithm: Option<Algorithm>,

    /// Seconds that a token lives, if its issuer does not say [default: 3600]
    #[arg(long, env = "AUTHLEDGER_TOKEN_TTL", value_name = "SECONDS")]
    pub token_ttl: Option<u64>,

    /// Seconds that a session lives, if its issuer does not say [default: 86400]
    #[arg(long, env = "AUTHLEDGER_SESSION_TTL", value_name = "SECONDS")]
    pub session_ttl: Option<u64>,

    /// Seconds after its issue to which extensions can prolong a session at most [default: 2592000]
    #[arg(long, env = "AUTHLEDGER_SESSION_MAX_LIFE", value_name = "SECONDS")]
    pub session_max_life: Option<u64>,

    /// The other issuers whose tokens are accepted; only in the file.
    #[arg(skip)]
    pub trusted_issuer: Option<Vec<IssuerTable>>,

    /// Seconds of the longest life that this node gives a credential. A trusted issuer's JWT is active at most that
    /// long after its iat. The revocation of a subject is kept at least that long, and for 366 days if the ledger has
    /// several nodes or imports. A higher value later may make credentials active again that were revoked unseen
    /// [default: 31622400]
    #[arg(long, env = "AUTHLEDGER_LONGEST_LIFE", value_name = "SECONDS")]
    pub longest_life: Option<u64>,

    /// How many revocations in force one application may have of credentials that this ledger never issued [default:
    /// 100000]
    #[arg(long, env = "AUTHLEDGER_MAX_UNKNOWN_REVOCATIONS", value_name = "COUNT")]
    pub max_unknown_revocations: Option<u64>,

    /// How many commands may wait for the writer; more are answered 503 [default: 8192]
    #[arg(long, env = "AUTHLEDGER_QUEUE", value_name = "COUNT")]
    pub queue: Option<u64>,

    /// Seconds that a key that signs tokens is published before it signs: longer than verifiers keep the keys that they
    /// have fetched [default: 900]
    #[arg(long, env = "AUTHLEDGER_KEY_PUBLISH_AHEAD", value_name = "SECONDS")]
    pub key_publish_ahead: Option<u64>,

    /// How many connections may be open; more are answered 503 [default: 12000]
    #[arg(long, env = "AUTHLEDGER_CONNECTIONS", value_name = "COUNT")]
    pub connections: Option<u64>,

    /// Seconds that a connection stays open between two requests. Give more than the balancer in front keeps its own
    /// connections, or it meets closed ones: Google's keeps them for 600 [default: 75]
    #[arg(long, env = "AUTHLEDGER_KEEP_ALIVE", value_name = "SECONDS")]
    pub keep_alive: Option<u64>,

    /// The largest request body in bytes; a larger one is answered 413 [default: 65536]
    #[arg(long, env = "AUTHLEDGER_BODY_BYTES", value_name = "BYTES")]
    pub body_bytes: Option<u64>,

    /// Give a session that is issued without a device the one in the headers of a proxy: True-Client-IP, CF-Connecting-IP,
    /// X-Real-IP, X-Forwarded-For, User-Agent, CF-IPCity, CF-IPCountry. Only if the service that issues sessions passes on
    /// those of its own client
    #[arg(long, env = "AUTHLEDGER_DEVICE_HEADERS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub device_headers: Option<bool>,

    /// Seconds between two heartbeats of the feed. Followers call three missed ones stale [default: 15]
    #[arg(long, env = "AUTHLEDGER_HEARTBEAT", value_name = "SECONDS")]
    pub heartbeat: Option<u64>,

    /// How many events there are between two snapshots, which make restarts fast [default: 1000000]
    #[arg(long, env = "AUTHLEDGER_SNAPSHOT_EVERY", value_name = "EVENTS")]
    pub snapshot_every: Option<u64>,

    /// Those of status lists.
    #[command(flatten)]
    #[serde(skip)]
    pub status_lists: StatusListArgs,

    /// The listeners for checks.
    #[command(flatten)]
    #[serde(skip)]
    pub check_listen: CheckListenArgs,

    /// The settings of checks.
    #[command(flatten)]
    #[serde(skip)]
    pub checks: CheckArgs,

    /// Those of other vendors' contracts.
    #[command(flatten)]
    #[serde(skip)]
    pub compat: compat::CompatSettings,

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

/// The settings, checked and complete. Not printable, because root's secret is among them.
#[derive(Clone)]
pub struct Settings {
    /// The ledger's directory.
    pub data: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The files for TLS, if it is on.
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front ends TLS.
    pub behind_proxy: bool,
    /// The surfaces to serve. [`Surface::Metrics`] is among them only if this address may show it.
    pub surfaces: Vec<Surface>,
    /// This node's name.
    pub node: NodeName,
    /// The site that this node is in.
    pub region: Region,
    /// The settings about other nodes.
    pub members: MemberSettings,
    /// Whether subjects are pseudonyms on record.
    pub subject_pseudonyms: bool,
    /// The lives of credentials, and the limit of unknown revocations.
    pub policy: Policy,
    /// The issuer of the ledger's tokens, if one is set.
    pub public_url: Option<Arc<str>>,
    /// The algorithm of new token keys.
    pub token_algorithm: Algorithm,
    /// How long a token key is published before it signs.
    pub key_publish_ahead: Duration,
    /// The name of this node's log in its checkpoints, which is fixed with the first of them.
    pub checkpoint_origin: Option<KeyName>,
    /// The other issuers whose tokens are accepted. None of them is [`Settings::public_url`].
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Commands that may wait for the writer.
    pub queue_commands: usize,
    /// Connections that may be open.
    pub connections: usize,
    /// How long a connection stays open between two requests.
    pub keep_alive: Duration,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Whether a session that is issued without a device gets the one that the headers of proxies describe.
    pub device_headers: bool,
    /// The time between two heartbeats of the feed.
    pub heartbeat: Duration,
    /// Events between two snapshots.
    pub snapshot_every_events: u64,
    /// The options of status lists.
    pub status_lists: StatusListOptions,
    /// The listeners for checks.
    pub check_listeners: CheckListeners,
    /// The options of checks.
    pub checks: CheckOptions,
    /// The options of other vendors' contracts.
    pub compat: compat::CompatOptions,
    /// Root's secret, if the environment gives it.
    pub root_token: Option<Secret>,
    /// The log filter, in the form of tracing's `Targets`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Whether the do-nothing handler is served.
    pub bench: bool,
}

/// The files of the certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Settings {
    /// The settings from command line and environment (already joined by clap), the file that they name, and the
    /// environment's root secret.
    pub fn load(arguments: ServeArgs) -> Result<Self, ConfigError> {
        let root_token = match env::var_os(ROOT_TOKEN_VARIABLE) {
            Some(value) => Some(value.into_string().map_err(|_| ConfigError::RootToken)?),
            None => None,
        };
        Self::check(arguments, root_token.as_deref())
    }

    /// Like [`Settings::load`], with root's secret given instead of read from the environment.
    pub fn check(arguments: ServeArgs, root_token: Option<&str>) -> Result<Self, ConfigError> {
        let file = arguments.config.as_deref().map(|path| file::read(path).map(|read| (path, read))).transpose()?;
        let layers = ServeLayers { arguments: &arguments, file: file.as_ref().map(|(path, read)| (*path, read)) };
        let behind_proxy = layers.get("behind_proxy", |a| a.behind_proxy).or(false);
        let tls = tls_files(&layers)?;
        let listen = listen(&layers, tls.is_some() || behind_proxy)?;
        let exposed = behind_proxy || !is_loopback_address(listen);
        let public_url = public_url(&layers)?;
        let heartbeat = layers.get("heartbeat", |a| a.heartbeat).bounded(15, 1..=300, "seconds")?;
        let heartbeat = Duration::from_secs(heartbeat);
        let check_listeners = checks::listeners(&layers.part(|a| &a.check_listen), tls.is_some(), behind_proxy)?;
        Ok(Self {
            data: layers.get("data", |a| a.data.clone()).or("./authledger-data".into()),
            listen,
            tls,
            behind_proxy,
            surfaces: surfaces(&layers, exposed)?,
            node: layers.get("node", |a| a.node.clone()).named("local", NodeName::new)?,
            region: layers.get("region", |a| a.region.clone()).named("local", Region::new)?,
            members: members::checked(&layers)?,
            subject_pseudonyms: layers.get("subject_pseudonyms", |a| a.subject_pseudonyms).or(false),
            policy: policy(&layers)?,
            token_algorithm: layers.get("token_algorithm", |a| a.token_algorithm).or(Algorithm::default()),
            key_publish_ahead: layers
                .get("key_publish_ahead", |a| a.key_publish_ahead)
                .bounded(900, 0..=86_400, "seconds")
                .map(Duration::from_secs)?,
            trusted_issuers: trusted_issuers(&layers, public_url.as_deref())?,
            public_url,
            checkpoint_origin: checkpoint_origin(&layers)?,
            status_lists: StatusListOptions::check(&layers.part(|a| &a.status_lists))?,
            check_listeners,
            checks: CheckOptions::check(&layers.part(|a| &a.checks), heartbeat)?,
            compat: compat::CompatOptions::check(&layers.part(|a| &a.compat))?,
            queue_commands: layers.get("queue", |a| a.queue).count(8192, 1..=1_000_000, "commands")?,
            connections: layers.get("connections", |a| a.connections).count(12_000, 1..=1_000_000, "connections")?,
            keep_alive: layers
                .get("keep_alive", |a| a.keep_alive)
                .bounded(75, 1..=3_600, "seconds")
                .map(Duration::from_secs)?,
            device_headers: layers.get("device_headers", |a| a.device_headers).or(false),
            body_bytes: layers.get("body_bytes", |a| a.body_bytes).count(65_536, 1024..=1 << 20, "bytes")?,
            heartbeat,
            snapshot_every_events: layers.get("snapshot_every", |a| a.snapshot_every).bounded(
                1_000_000,
                1_000..=1_000_000_000,
                "events",
            )?,
            root_token: root_token.map(acceptable_root_token).transpose()?,
            log: log_filter(layers.get("log", |a| a.log.clone()))?,
            log_format: layers.get("log_format", |a| a.log_format).or(LogFormat::default()),
            bench: layers.get("bench", |a| a.bench).or(false),
        })
    }

    /// Whether that surface is served.
    pub fn serves(&self, surface: Surface) -> bool {
        self.surfaces.contains(&surface)
    }
}

/// What command line, environment and file say.
type ServeLayers<'a> = crate::setting::Layers<'a, ServeArgs>;

impl Chosen<u64> {
    fn life(self, default: Ttl) -> Result<TtlSetting, ConfigError> {
        let place = self.place.clone();
        let seconds = self.bounded(default.as_seconds(), 1..=Ttl::MAX.as_seconds(), "seconds")?;
        Ok(TtlSetting { ttl: Ttl::from_seconds(seconds).unwrap_or(default), place })
    }
}

struct TtlSetting {
    ttl: Ttl,
    place: SettingPlace,
}

impl TtlSetting {
    fn at_most(&self, longer: &Self) -> Result<(), ConfigError> {
        if self.ttl <= longer.ttl {
            return Ok(());
        }
        Err(ConfigError::LivesCross {
            shorter: self.place.clone(),
            shorter_seconds: self.ttl.as_seconds(),
            longer: longer.place.clone(),
            longer_seconds: longer.ttl.as_seconds(),
        })
    }
}

/// Every life that the ledger gives, each within its bound.
fn policy(layers: &ServeLayers) -> Result<Policy, ConfigError> {
    let default = Policy::default();
    let ticket_ttl = layers.get("ticket_ttl", |a| a.ticket_ttl).life(default.ticket_ttl)?;
    let ticket_max_life = layers.get("ticket_max_life", |a| a.ticket_max_life).life(default.ticket_max_life)?;
    let token_ttl = layers.get("token_ttl", |a| a.token_ttl).life(default.token_ttl)?;
    let session_ttl = layers.get("session_ttl", |a| a.session_ttl).life(default.session_ttl)?;
    let session_max_life = layers.get("session_max_life", |a| a.session_max_life).life(default.session_max_life)?;
    let longest_life = layers.get("longest_life", |a| a.longest_life).life(default.longest_life)?;
    ticket_ttl.at_most(&ticket_max_life)?;
    session_ttl.at_most(&session_max_life)?;
    for life in [&ticket_max_life, &token_ttl, &session_max_life] {
        life.at_most(&longest_life)?;
    }
    let unknown = layers.get("max_unknown_revocations", |a| a.max_unknown_revocations);
    Ok(Policy {
        ticket_ttl: ticket_ttl.ttl,
        ticket_max_life: ticket_max_life.ttl,
        session_ttl: session_ttl.ttl,
        session_max_life: session_max_life.ttl,
        token_ttl: token_ttl.ttl,
        longest_life: longest_life.ttl,
        max_unknown_revocations: unknown.bounded(default.max_unknown_revocations, 0..=100_000_000, "revocations")?,
    })
}

fn checkpoint_origin(layers: &ServeLayers) -> Result<Option<KeyName>, ValueError> {
    let Chosen { value, place } = layers.get("checkpoint_origin", |a| a.checkpoint_origin.clone());
    let Some(name) = value else { return Ok(None) };
    let must_be = Malformed("1 to 255 bytes without spaces, control characters and plus signs");
    KeyName::new(&name).map(Some).ok_or(ValueError::Malformed { place, must_be })
}

fn public_url(layers: &ServeLayers) -> Result<Option<Arc<str>>, ValueError> {
    let chosen = layers.get("public_url", |a| a.public_url.clone());
    let Some(text) = chosen.value else { return Ok(None) };
    let checked = issuers::checked_public_url(&text);
    checked.map(Some).map_err(|must_be| ValueError::Malformed { place: chosen.place, must_be })
}

/// Only the file can name them.
fn trusted_issuers(layers: &ServeLayers, own: Option<&str>) -> Result<Vec<TrustedIssuer>, ConfigError> {
    match &layers.file {
        Some((path, ServeArgs { trusted_issuer: Some(tables), .. })) => issuers::checked(tables, path, own),
        _ => Ok(Vec::new()),
    }
}

fn tls_files(layers: &ServeLayers) -> Result<Option<TlsFiles>, ConfigError> {
    let certificate = layers.get("tls_certificate", |a| a.tls_certificate.clone());
    tls_pair(certificate, layers.get("tls_key", |a| a.tls_key.clone()))
}

fn tls_pair(certificate: Chosen<PathBuf>, key: Chosen<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate.value, key.value) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfTls { given: certificate.place, missing: "tls_key" }),
        (None, Some(_)) => Err(ConfigError::HalfTls { given: key.place, missing: "tls_certificate" }),
    }
}

fn listen(layers: &ServeLayers, protected: bool) -> Result<SocketAddr, ConfigError> {
    let chosen = layers.get("listen", |a| a.listen);
    let place = chosen.place.clone();
    let listen = chosen.or(SocketAddr::from(([127, 0, 0, 1], 7878)));
    if protected || is_loopback_address(listen) { Ok(listen) } else { Err(ConfigError::InClear { place, listen }) }
}

fn is_loopback_address(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn surfaces(layers: &ServeLayers, exposed: bool) -> Result<Vec<Surface>, ConfigError> {
    let chosen = layers.get("surfaces", |a| a.surfaces.clone());
    let place = chosen.place.clone();
    let mut surfaces = chosen.or(Surface::defaults());
    if surfaces.is_empty() {
        return Err(ConfigError::NoSurface { place });
    }
    let public_metrics = layers.get("public_metrics", |a| a.public_metrics).or(false);
    surfaces.retain(|surface| *surface != Surface::Metrics || public_metrics || !exposed);
    Ok(surfaces)
}

fn log_filter(chosen: Chosen<String>) -> Result<String, ConfigError> {
    let place = chosen.place.clone();
    let filter = chosen.or("info".into());
    telemetry::parse_filter(&filter).map_err(|_| ConfigError::LogFilter { place })?;
    Ok(filter)
}

fn acceptable_root_token(text: &str) -> Result<Secret, ConfigError> {
    if RootToken::is_acceptable(text) { Ok(Secret::new(text)) } else { Err(ConfigError::RootToken) }
}

#[cfg(test)]
mod tests;
