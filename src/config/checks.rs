//! The addresses on which a node answers checks alone.

use std::net::SocketAddr;

use clap::Args;
use serde::Deserialize;

use super::{ConfigError, is_loopback_address};
use crate::setting::{Chosen, Layers};

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct CheckListenArgs {
    /// An address and port for the checks of gateways, with nothing else on it: HTTP/1.0, 1.1 and 2 [default: none]
    #[arg(long, env = "AUTHLEDGER_CHECK_LISTEN", value_name = "ADDR")]
    pub check_listen: Option<SocketAddr>,

    /// The same for Envoy, over gRPC [default: none]
    #[arg(long, env = "AUTHLEDGER_CHECK_GRPC_LISTEN", value_name = "ADDR")]
    pub check_grpc_listen: Option<SocketAddr>,

    /// Answer on both with TLS, by the certificate of --tls-certificate. If left out, an address that is not loopback has
    /// TLS if there is a certificate
    #[arg(long, env = "AUTHLEDGER_CHECK_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub check_tls: Option<bool>,
}

/// A listener for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckListener {
    pub address: SocketAddr,
    /// Whether it has TLS.
    pub tls: bool,
}

/// The listeners for checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckListeners {
    pub http: Option<CheckListener>,
    pub grpc: Option<CheckListener>,
}

/// The listeners that the settings ask for. One in clear that is not on loopback is meant only behind a proxy.
pub(super) fn listeners(
    layers: &Layers<CheckListenArgs>,
    has_certificate: bool,
    behind_proxy: bool,
) -> Result<CheckListeners, ConfigError> {
    let asked = layers.get("check_tls", |a| a.check_tls);
    if let Chosen { value: Some(true), place } = &asked
        && !has_certificate
    {
        return Err(ConfigError::NoCertificate { place: place.clone() });
    }
    let listener = |chosen: Chosen<SocketAddr>| {
        let Some(address) = chosen.value else { return Ok(None) };
        let tls = asked.value.unwrap_or(has_certificate && !is_loopback_address(address));
        if !tls && !behind_proxy && !is_loopback_address(address) {
            return Err(ConfigError::InClear { place: chosen.place, listen: address });
        }
        Ok(Some(CheckListener { address, tls }))
    };
    Ok(CheckListeners {
        http: listener(layers.get("check_listen", |a| a.check_listen))?,
        grpc: listener(layers.get("check_grpc_listen", |a| a.check_grpc_listen))?,
    })
}
