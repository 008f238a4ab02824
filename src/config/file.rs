//! The settings' file. Each part of the settings reads its own keys, and a key of no part is refused.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use clap::{Args as _, Command};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny};

use super::{ConfigError, ServeArgs};
use crate::http::compat;
use crate::utf8;

/// The flags that are not keys: the file that holds the others, and what is done with them.
const NOT_KEYS: [&str; 2] = ["config", "check"];
/// The tables, which are not flags, each with the flag that it is listed before.
const TABLES: [(&str, &str); 3] =
    [("nats", "without_events"), ("trusted_issuer", "longest_life"), ("check", "check_concurrency")];

pub(super) fn read(path: &Path) -> Result<ServeArgs, ConfigError> {
    match utf8::read(path) {
        Ok(text) => parse(&text).map_err(|error| ConfigError::MalformedFile {
            path: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
            command: "serve",
        }),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

pub(super) fn parse(text: &str) -> Result<ServeArgs, toml::de::Error> {
    toml::from_str::<HashMap<KnownKey, IgnoredAny>>(text)?;
    let (compat, status_lists) = (compat::CompatSettings::read(text)?, toml::from_str(text)?);
    let (check_listen, checks) = (toml::from_str(text)?, toml::from_str(text)?);
    Ok(ServeArgs { compat, status_lists, check_listen, checks, ..toml::from_str(text)? })
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

/// Every key, in the order in which the flags are listed.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    static COMMAND: LazyLock<Command> = LazyLock::new(|| ServeArgs::augment_args(Command::new("serve")));
    let flags = COMMAND.get_arguments().map(|flag| flag.get_id().as_str());
    let keys = flags.filter(|flag| !NOT_KEYS.contains(flag));
    let tables_before = |key| {
        TABLES
            .iter()
            .chain(&compat::CompatSettings::TABLES)
            .filter(move |(_, next)| *next == key)
            .map(|(table, _)| *table)
    };
    keys.flat_map(|key| tables_before(key).chain([key])).collect()
});
