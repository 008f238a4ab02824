//! Contracts of other products, a folder each: their words stop here.

pub mod crafter;
pub mod cribl;
pub mod ory;
pub mod slashid;

use clap::Args;

use super::oauth::OauthOptions;
use super::oauth::OauthSettings;
use crate::service::{Error, Service};
use crate::setting::{Layers, ValueError};

/// The settings of the contracts, and of OAuth, as they were written.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct CompatSettings {
    #[command(flatten)]
    pub crafter: crafter::CrafterSettings,
    #[command(flatten)]
    pub ory: ory::OrySettings,
    #[command(flatten)]
    pub slashid: slashid::SlashidSettings,
    #[command(flatten)]
    pub oauth: OauthSettings,
}

impl CompatSettings {
    /// Their tables, which only a file has, each with the flag that it is listed before.
    pub const TABLES: [(&'static str, &'static str); 1] = [("ory_tokenize", "slashid_prefix")];

    /// The settings in a file's text. Each contract takes its own keys, and leaves the others alone.
    // Not serde's `flatten`, which forgets the line that an error is about.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        Ok(Self {
            crafter: toml::from_str(text)?,
            ory: toml::from_str(text)?,
            slashid: toml::from_str(text)?,
            oauth: toml::from_str(text)?,
        })
    }
}

/// The settings of the contracts, checked and complete.
#[derive(Clone, Debug, Default)]
pub struct CompatOptions {
    pub crafter: crafter::CrafterOptions,
    pub ory: ory::OryOptions,
    pub slashid: slashid::SlashidOptions,
    pub oauth: OauthOptions,
}

impl CompatOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<CompatSettings>) -> Result<Self, ValueError> {
        Ok(Self {
            crafter: crafter::CrafterOptions::of(&layers.part(|s| &s.crafter)),
            ory: ory::OryOptions::check(&layers.part(|s| &s.ory))?,
            slashid: slashid::SlashidOptions::check(&layers.part(|s| &s.slashid))?,
            oauth: OauthOptions::check(&layers.part(|s| &s.oauth))?,
        })
    }
}

/// What contracts do at each start of the server, before it answers.
pub async fn start(service: &Service, options: &CompatOptions) -> Result<(), Error> {
    crafter::start(service, &options.crafter).await
}

/// A record, for tests of refusals.
#[cfg(test)]
pub(in crate::http) fn a_place() -> crate::domain::RecordId {
    let origin = "k7m2qx4dnzr5a".parse().expect("an origin");
    crate::domain::RecordId { origin, sequence: crate::domain::Sequence(7) }
}
