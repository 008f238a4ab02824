//! The settings about other nodes: their addresses, and the ways to hear of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{ConfigError, ServeArgs, ServeLayers};
use crate::domain::{Malformed, PeerAddress, Reads, Region};
use crate::setting::{SettingPlace, ValueError, is_loopback};

/// The most servers of one region, and the most regions.
const MAX_SERVERS: usize = 64;

/// A `[[nats]]` table as it was written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsTable {
    /// The region whose servers these are.
    pub region: String,
    /// Their addresses: `nats://` or `tls://`, each with a name and password if they need one.
    pub urls: Vec<String>,
    /// A file of credentials, as `nsc` makes them; relative to the settings' file.
    pub credentials: Option<PathBuf>,
    /// The certificates that are trusted, PEM; relative to the settings' file.
    pub ca: Option<PathBuf>,
    /// How many of the servers keep each stream: 1 to 5, 1 if left out. The table of this node's own region counts.
    pub replicas: Option<usize>,
    /// How many bytes a stream may hold: 1 GiB if left out; the oldest messages go first.
    pub stream_bytes: Option<u64>,
    /// How many seconds a stream keeps a message: a week if left out.
    pub stream_age: Option<u64>,
}

/// One region's servers of NATS JetStream.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsServers {
    pub region: Region,
    /// Their addresses, which may hold passwords.
    pub urls: Vec<String>,
    /// A file of credentials.
    pub credentials: Option<PathBuf>,
    /// The certificates that are trusted.
    pub ca: Option<PathBuf>,
    /// How many servers keep each stream.
    pub replicas: Option<usize>,
    /// How many bytes a stream may hold.
    pub stream_bytes: Option<u64>,
    /// How long a stream keeps a message.
    pub stream_age: Option<Duration>,
}

/// The settings about other nodes.
#[derive(Clone)]
pub struct MemberSettings {
    /// Addresses of other nodes, in addition to those that they announce.
    pub peers: Vec<PeerAddress>,
    /// The address at which other nodes reach this one.
    pub address: Option<PeerAddress>,
    /// The certificates that are trusted when others are asked.
    pub ca: Option<PathBuf>,
    /// How long a start waits for the other nodes to say what they hold of this one.
    pub wait: Duration,
    /// Whether it only follows until it is promoted.
    pub standby: bool,
    /// The events that it reads.
    pub reads: Reads,
    /// Servers of NATS JetStream, at most one entry for each region.
    pub nats: Vec<NatsServers>,
}

pub(super) fn checked(layers: &ServeLayers) -> Result<MemberSettings, ConfigError> {
    let peers = layers.get("peers", |a| a.peers.clone());
    let (place, texts) = (peers.place.clone(), peers.or(Vec::new()));
    let peers = texts.iter().map(|text| peer_address(text, &place)).collect::<Result<_, _>>()?;
    let address = layers.get("address", |a| a.address.clone());
    let (place, text) = (address.place, address.value);
    let address = text.map(|text| peer_address(&text, &place)).transpose()?;
    let wait = layers.get("member_wait", |a| a.member_wait).bounded(30, 5..=3_600, "seconds")?;
    let without = layers.get("without_events", |a| a.without_events.clone()).or(Vec::new());
    Ok(MemberSettings {
        peers,
        address,
        ca: layers.get("peer_ca", |a| a.peer_ca.clone()).value,
        wait: Duration::from_secs(wait),
        standby: layers.get("standby", |a| a.standby).or(false),
        reads: Reads::of_this_release().without(&without),
        nats: nats(layers)?,
    })
}

/// The traffic between nodes holds keys of personal data: it goes over TLS, or stays on this machine.
fn peer_address(text: &str, place: &SettingPlace) -> Result<PeerAddress, ValueError> {
    const FORM: Malformed =
        Malformed("https and a host, or http and a loopback host, without name, query, fragment or / at the end");
    let malformed = || ValueError::Malformed { place: place.clone(), must_be: FORM };
    let address = PeerAddress::new(text).map_err(|_| malformed())?;
    let url = Url::parse(text).map_err(|_| malformed())?;
    if url.scheme() == "https" || is_loopback(&url) { Ok(address) } else { Err(malformed()) }
}

/// Only the file can name them.
fn nats(layers: &ServeLayers) -> Result<Vec<NatsServers>, ConfigError> {
    let Some((path, ServeArgs { nats: Some(tables), .. })) = &layers.file else { return Ok(Vec::new()) };
    let mut all: Vec<NatsServers> = Vec::new();
    for table in tables {
        let servers = servers(table, path)?;
        if all.iter().any(|other| other.region == servers.region) || all.len() == MAX_SERVERS {
            return Err(refused(path, table, "region", Malformed("named once, in at most 64 tables")));
        }
        all.push(servers);
    }
    Ok(all)
}

fn servers(table: &NatsTable, path: &Path) -> Result<NatsServers, ConfigError> {
    const URLS: Malformed = Malformed("1 to 64 addresses with nats:// or tls://");
    let region = Region::new(&table.region).map_err(|must_be| refused(path, table, "region", must_be))?;
    let is_server = |url: &String| {
        Url::parse(url).is_ok_and(|url| ["nats", "tls"].contains(&url.scheme()) && url.host_str().is_some())
    };
    if table.urls.is_empty() || table.urls.len() > MAX_SERVERS || !table.urls.iter().all(is_server) {
        return Err(refused(path, table, "urls", URLS));
    }
    let beside = |file: &PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
    Ok(NatsServers {
        region,
        urls: table.urls.clone(),
        credentials: table.credentials.as_ref().map(beside),
        ca: table.ca.as_ref().map(beside),
        replicas: table.replicas,
        stream_bytes: table.stream_bytes,
        stream_age: table.stream_age.map(Duration::from_secs),
    })
}

fn refused(path: &Path, table: &NatsTable, key: &'static str, must_be: Malformed) -> ConfigError {
    ConfigError::Nats { path: path.to_owned(), region: table.region.clone(), key, must_be }
}
