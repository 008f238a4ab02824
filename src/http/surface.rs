//! The surfaces, and what each adds to the server. A surface is registered here and nowhere else.

use axum::Router;
use clap::ValueEnum;
use serde::Deserialize;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use super::compat::{crafter, cribl, ory, slashid};
use super::{HttpOptions, SharedApp, check, evidence, feed, followed, measured, native, oauth, status_lists, tlog, v1};

/// A family of routes that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    /// The native API, `/v1`.
    Native,
    /// The revocation stream and its snapshot.
    Feed,
    /// Checkpoints, tiles and entries of the log, as C2SP's tools read them.
    Evidence,
    /// Crafter's ticket contract.
    Crafter,
    /// Ory's session contract.
    Ory,
    /// SlashID's token contract.
    #[value(name = "slashid")]
    SlashId,
    /// Cribl's token contract.
    Cribl,
    /// OAuth 2.0: introspection, revocation and metadata for standard clients.
    Oauth,
    /// Token Status Lists.
    Status,
    /// What gateways ask about each request.
    Check,
    /// `/metrics`.
    Metrics,
}

/// What a surface adds to the server.
pub(super) struct Part {
    /// Its routes.
    pub(super) routes: fn(&HttpOptions) -> Router<SharedApp>,
    /// Its part of the OpenAPI document.
    pub(super) document: fn() -> OpenApi,
    /// Whether it answers a wrong verb in its own shape, instead of with a problem.
    pub(super) is_contract: bool,
}

impl Part {
    const fn ours(routes: fn(&HttpOptions) -> Router<SharedApp>, document: fn() -> OpenApi) -> Self {
        Self { routes, document, is_contract: false }
    }

    const fn contract(routes: fn(&HttpOptions) -> Router<SharedApp>, document: fn() -> OpenApi) -> Self {
        Self { routes, document, is_contract: true }
    }
}

impl Surface {
    /// The name of each, as settings have it, separated by commas.
    pub fn names() -> String {
        let names = Self::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        names.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    }

    /// The surfaces that are served unless others are named: all but those that publish what nobody has asked for.
    pub fn defaults() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|surface| *surface != Self::Status).collect()
    }

    /// What this surface adds.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Native => Part::ours(|_| native(), v1::NativeApi::openapi),
            Self::Feed => Part::ours(|_| followed(), feed::FeedApi::openapi),
            Self::Evidence => Part::ours(|_| evidence(), tlog::TlogApi::openapi),
            Self::Crafter => Part::contract(|_| crafter::routes(), crafter::CrafterApi::openapi),
            Self::Ory => Part::contract(|options| ory::routes(&options.compat.ory), ory::OryApi::openapi),
            Self::SlashId => {
                Part::contract(|options| slashid::routes(&options.compat.slashid), slashid::SlashidApi::openapi)
            }
            Self::Cribl => Part::contract(|_| cribl::routes(), cribl::CriblApi::openapi),
            Self::Oauth => Part::contract(|options| oauth::routes(&options.compat.oauth), oauth::OauthApi::openapi),
            Self::Status => Part::ours(|_| status_lists::routes(), status_lists::StatusListApi::openapi),
            // Gateways know it, and it takes every method, so it is not in the document.
            Self::Check => Part::contract(|_| check::surface_routes(), OpenApi::default),
            // Metrics are read by machines that know them, and are not in the document.
            Self::Metrics => Part::ours(|_| measured(), OpenApi::default),
        }
    }
}
