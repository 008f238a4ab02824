//! The settings of the courier: the servers, and the limits of their streams.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;

use crate::domain::Region;

/// The most regions that a node connects to.
pub const MAX_REGIONS: usize = 64;
/// The most servers that are named for a region.
pub const MAX_URLS: usize = 16;
/// The most replicas of a stream that JetStream knows.
pub const MAX_REPLICAS: usize = 5;
/// The smallest limit of a stream, in bytes: less would drop messages before they are read.
pub const MIN_STREAM_BYTES: u64 = 16 * 1024 * 1024;
/// The default limit of a stream, in bytes.
pub const DEFAULT_STREAM_BYTES: u64 = 1024 * 1024 * 1024;
/// The least age, in seconds, at which messages may be dropped.
pub const MIN_AGE_S: u64 = 60;
/// How long messages are kept by default, in seconds: a week.
pub const DEFAULT_AGE_S: u64 = 7 * 24 * 60 * 60;

#[derive(Clone)]
pub struct RegionServers {
    pub region: Region,
    /// `nats://HOST:PORT` or `tls://HOST:PORT`, with `USER:PASSWORD@` before the host if they need it, percent-encoded.
    /// All URLs of a region have the same user.
    pub urls: Vec<String>,
    /// A credentials file (JWT and nkey) for them.
    pub credentials: Option<PathBuf>,
    /// The trusted certificates, in PEM; the system's if there are none.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for RegionServers {
    /// Without the URLs, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionServers")
            .field("region", &self.region)
            .field("urls", &self.urls.len())
            .finish_non_exhaustive()
    }
}

/// The settings of the courier.
#[derive(Clone, Debug)]
pub struct JetStreamSettings {
    /// The region whose servers this node publishes to.
    pub own: Region,
    /// Every region's servers, including the own.
    pub regions: Vec<RegionServers>,
    /// How many servers of a region keep each stream: 1 to 5.
    pub replicas: usize,
    /// How much a stream may hold, in bytes; the oldest messages go first.
    pub max_bytes: u64,
    /// How long a stream keeps a message.
    pub max_age: Duration,
    /// The file that remembers what was acknowledged.
    pub state: PathBuf,
}

/// Why settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The own region is not among the regions.
    #[error("no servers are named for this node's own region {0}; name them, because this node publishes there")]
    OwnMissing(Region),
    /// A region is named more than once.
    #[error("the servers of region {0} are named twice; put all their URLs in one list")]
    Twice(Region),
    #[error("{0} regions are more than {MAX_REGIONS}")]
    TooManyRegions(usize),
    /// No URL, or too many.
    #[error("region {region} has {count} URLs of servers; give 1 to {MAX_URLS}")]
    Urls {
        region: Region,
        /// How many it has.
        count: usize,
    },
    /// A malformed URL. It is not repeated here, because it may hold a password.
    #[error("URL {number} of region {region} must be nats://HOST:PORT or tls://HOST:PORT")]
    Url {
        region: Region,
        /// The number of the URL, from 1.
        number: usize,
    },
    /// The URLs of a region name several users.
    #[error("the URLs of region {0} must all have the same user and password")]
    Users(Region),
    /// Not a number of replicas.
    #[error("{0} replicas of a stream can't be had; it must be 1 to {MAX_REPLICAS}")]
    Replicas(usize),
    /// A limit that is too low, or higher than JetStream can count.
    #[error("a stream of {0} bytes can't be had; it must be at least {MIN_STREAM_BYTES}, and less than 2^63")]
    Bytes(u64),
    /// Messages would be dropped too early.
    #[error("{0} s is too short to keep messages; it must be at least {MIN_AGE_S} s")]
    Age(u64),
}

/// A name and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

/// The servers of a region, checked. The addresses hold no password, so that a log of them does not disclose it.
#[derive(Clone)]
pub(super) struct Servers {
    pub(super) region: Region,
    pub(super) addresses: Vec<ServerAddr>,
    pub(super) user: Option<User>,
    pub(super) credentials: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
}

impl JetStreamSettings {
    /// The servers of each region, if all the settings can be used.
    pub(super) fn check(&self) -> Result<Vec<Servers>, SettingsError> {
        if self.regions.len() > MAX_REGIONS {
            return Err(SettingsError::TooManyRegions(self.regions.len()));
        }
        if !(1..=MAX_REPLICAS).contains(&self.replicas) {
            return Err(SettingsError::Replicas(self.replicas));
        }
        if self.max_bytes < MIN_STREAM_BYTES || i64::try_from(self.max_bytes).is_err() {
            return Err(SettingsError::Bytes(self.max_bytes));
        }
        if self.max_age.as_secs() < MIN_AGE_S {
            return Err(SettingsError::Age(self.max_age.as_secs()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.regions.iter().find(|servers| !seen.insert(&servers.region)) {
            return Err(SettingsError::Twice(twice.region.clone()));
        }
        if !seen.contains(&self.own) {
            return Err(SettingsError::OwnMissing(self.own.clone()));
        }
        self.regions.iter().map(RegionServers::check).collect()
    }
}

impl RegionServers {
    fn check(&self) -> Result<Servers, SettingsError> {
        let region = self.region.clone();
        if self.urls.is_empty() || self.urls.len() > MAX_URLS {
            return Err(SettingsError::Urls { region, count: self.urls.len() });
        }
        let (mut addresses, mut users) = (Vec::new(), Vec::new());
        for (index, url) in self.urls.iter().enumerate() {
            let parsed =
                split_user(url).ok_or_else(|| SettingsError::Url { region: region.clone(), number: index + 1 })?;
            addresses.push(parsed.0);
            users.push(parsed.1);
        }
        if users.iter().any(|user| *user != users[0]) {
            return Err(SettingsError::Users(region));
        }
        let user = users.swap_remove(0);
        Ok(Servers { region, addresses, user, credentials: self.credentials.clone(), ca: self.ca.clone() })
    }
}

/// The address of a server without its user, and the user.
fn split_user(url: &str) -> Option<(ServerAddr, Option<User>)> {
    let address: ServerAddr = url.parse().ok()?;
    if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
        return None;
    }
    let user = match address.username() {
        Some(name) => Some(User { name: decoded(name)?, password: decoded(address.password().unwrap_or_default())? }),
        None => None,
    };
    let mut bare = address.into_inner();
    bare.set_username("").ok()?;
    bare.set_password(None).ok()?;
    Some((ServerAddr::from_url(bare).ok()?, user))
}

/// Text without its percent-encoding: RFC 3986, section 2.1.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        (bytes, rest) = match first {
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                (bytes, &after[2..])
            }
            byte => {
                bytes.push(*byte);
                (bytes, after)
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, urls: &[&str]) -> RegionServers {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        RegionServers { region: Region::new(name).expect("a name"), urls, credentials: None, ca: None }
    }

    fn settings(regions: Vec<RegionServers>) -> JetStreamSettings {
        JetStreamSettings {
            own: Region::new("east").expect("a name"),
            regions,
            replicas: 1,
            max_bytes: DEFAULT_STREAM_BYTES,
            max_age: Duration::from_secs(DEFAULT_AGE_S),
            state: "state".into(),
        }
    }

    #[test]
    fn a_password_is_taken_out_of_the_address_and_decoded() {
        let given = settings(vec![region(
            "east",
            &["tls://ada:s%40crt%25@a.example:4222", "nats://ada:s%40crt%25@b.example:4223"],
        )]);
        let servers = given.check().expect("good").remove(0);
        let user = servers.user.expect("a user");
        assert_eq!((user.name.as_str(), user.password.as_str()), ("ada", "s@crt%"));
        assert!(servers.addresses.iter().all(|address| !format!("{address:?}").contains("crt")));
        assert!(!format!("{given:?}").contains("crt"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let good = || region("east", &["nats://a.example:4222"]);
        let east = || Region::new("east").expect("a name");
        let check = |settings: JetStreamSettings| settings.check().err();
        assert_eq!(check(settings(vec![good()])), None);
        assert_eq!(check(settings(vec![region("west", &["nats://a:1"])])), Some(SettingsError::OwnMissing(east())));
        assert_eq!(check(settings(vec![good(), good()])), Some(SettingsError::Twice(east())));
        assert_eq!(check(settings(vec![region("east", &[])])), Some(SettingsError::Urls { region: east(), count: 0 }));
        let many = vec!["nats://a:1"; MAX_URLS + 1];
        assert_eq!(
            check(settings(vec![region("east", &many)])),
            Some(SettingsError::Urls { region: east(), count: MAX_URLS + 1 })
        );
        for bad in ["http://a:1", "ws://a:1", "nats://", "nats://u:%zz@a:1"] {
            let refused = check(settings(vec![region("east", &["nats://a:1", bad])]));
            assert_eq!(refused, Some(SettingsError::Url { region: east(), number: 2 }), "{bad}");
        }
        assert_eq!(
            check(settings(vec![region("east", &["nats://u:p@a:1", "nats://b:1"])])),
            Some(SettingsError::Users(east()))
        );
        let regions = (0..=MAX_REGIONS).map(|number| region(&format!("r{number}"), &["nats://a:1"])).collect();
        assert_eq!(check(settings(regions)), Some(SettingsError::TooManyRegions(MAX_REGIONS + 1)));
        for replicas in [0, MAX_REPLICAS + 1] {
            assert_eq!(
                check(JetStreamSettings { replicas, ..settings(vec![good()]) }),
                Some(SettingsError::Replicas(replicas))
            );
        }
        for max_bytes in [MIN_STREAM_BYTES - 1, u64::MAX] {
            assert_eq!(
                check(JetStreamSettings { max_bytes, ..settings(vec![good()]) }),
                Some(SettingsError::Bytes(max_bytes))
            );
        }
        let max_age = Duration::from_secs(MIN_AGE_S - 1);
        assert_eq!(
            check(JetStreamSettings { max_age, ..settings(vec![good()]) }),
            Some(SettingsError::Age(MIN_AGE_S - 1))
        );
    }
}
