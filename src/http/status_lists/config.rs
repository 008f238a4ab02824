//! The settings of status lists.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::domain::{Malformed, StatusListOpened};
use crate::service::StatusListSettings;
use crate::setting::{Layers, ValueError};

/// Entries of a list: npm's libraries make an array element of each, which takes them long for many more.
const DEFAULT_ENTRIES: u64 = 1 << 17;
/// How many intervals a published list is valid at least: one that is missed must not make every token look bad.
const INTERVALS_OF_LIFE: u64 = 3;

/// The tokens that get an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListedTokens {
    /// None.
    Off,
    /// Those that are asked for with an entry.
    Asked,
    /// Every JWT that is not asked for without one.
    All,
}

/// The callers that may see what was published before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusHistory {
    /// Nobody: it shows a token's past to everybody who has seen the token.
    #[default]
    Off,
    /// Applications with the scope `audit` in every tenant.
    Audit,
    /// Everybody.
    Public,
}

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct StatusListArgs {
    /// Which JWTs get an entry in a Token Status List, if the surface status is served: off, asked, or all [default: asked]
    #[arg(long, env = "AUTHLEDGER_STATUS_LISTS", value_name = "WHICH")]
    pub status_lists: Option<ListedTokens>,

    /// How many entries a new list has: a multiple of 8 [default: 131072]
    #[arg(long, env = "AUTHLEDGER_STATUS_LIST_ENTRIES", value_name = "COUNT")]
    pub status_list_entries: Option<u64>,

    /// Seconds after which a list that has changed is published at the latest [default: 60]
    #[arg(long, env = "AUTHLEDGER_STATUS_LIST_INTERVAL", value_name = "SECONDS")]
    pub status_list_interval: Option<u64>,

    /// Seconds after which a published list expires, at least three intervals [default: 3600]
    #[arg(long, env = "AUTHLEDGER_STATUS_LIST_EXP", value_name = "SECONDS")]
    pub status_list_exp: Option<u64>,

    /// Readers of a list's earlier publications: nobody (off), auditors (audit), or everybody (public) [default: off]
    #[arg(long, env = "AUTHLEDGER_STATUS_LIST_HISTORY", value_name = "WHO")]
    pub status_list_history: Option<StatusHistory>,
}

/// The settings, checked and complete.
#[derive(Clone, Copy, Debug)]
pub struct StatusListOptions {
    /// Those of lists that this node publishes, if it does.
    pub lists: Option<StatusListSettings>,
    /// The readers of earlier publications.
    pub history: StatusHistory,
}

impl Default for StatusListOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        let arguments = StatusListArgs::default();
        // Defaults are within their own bounds.
        Self::check(&Layers { arguments: &arguments, file: None })
            .unwrap_or(Self { lists: None, history: StatusHistory::Off })
    }
}

impl StatusListOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<StatusListArgs>) -> Result<Self, ValueError> {
        const EIGHTS: Malformed = Malformed("a multiple of 8");
        let (least, most) = (StatusListOpened::MIN_ENTRIES.into(), StatusListOpened::MAX_ENTRIES.into());
        let entries = layers.get("status_list_entries", |s| s.status_list_entries);
        let place = entries.place.clone();
        let entries = entries.bounded(DEFAULT_ENTRIES, least..=most, "entries")?;
        if entries % 8 != 0 {
            return Err(ValueError::Malformed { place, must_be: EIGHTS });
        }
        let interval =
            layers.get("status_list_interval", |s| s.status_list_interval).bounded(60, 1..=3_600, "seconds")?;
        let life = layers.get("status_list_exp", |s| s.status_list_exp).bounded(
            3_600.max(INTERVALS_OF_LIFE * interval),
            INTERVALS_OF_LIFE * interval..=86_400,
            "seconds",
        )?;
        let which = layers.get("status_lists", |s| s.status_lists).or(ListedTokens::Asked);
        let lists = StatusListSettings {
            are_given: which != ListedTokens::Off,
            every_token: which == ListedTokens::All,
            entries: u32::try_from(entries).unwrap_or(StatusListOpened::MAX_ENTRIES),
            interval: Duration::from_secs(interval),
            life: Duration::from_secs(life),
        };
        let history = layers.get("status_list_history", |s| s.status_list_history).or(StatusHistory::Off);
        Ok(Self { lists: Some(lists), history })
    }
}
