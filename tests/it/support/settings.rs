//! The settings that an in-process node starts with, unless its test says otherwise.

use std::path::PathBuf;
use std::time::Duration;

use authledger::clock::Clock;
use authledger::domain::{Issuer, NodeName, Policy, Reads, Region};
use authledger::jose::TrustedIssuers;
use authledger::keys::Algorithm;
use authledger::service::NodeSettings;

/// The issuer of the tokens of in-process nodes.
pub const ISSUER: &str = "http://ledger.test";

/// A node's settings.
pub fn settings(data: PathBuf, clock: &Clock) -> NodeSettings {
    NodeSettings {
        data,
        node: NodeName::new("node").expect("a name"),
        region: Region::new("region").expect("a name"),
        policy: Policy::default(),
        queue: 8_192,
        pseudonyms: false,
        token_algorithm: Algorithm::default(),
        key_publish_ahead: Duration::from_secs(900),
        issuer: Some(Issuer::new(ISSUER).expect("a name")),
        issuer_is_set: true,
        trusted: TrustedIssuers::new(Vec::new(), clock.clone()).expect("nobody"),
        checkpoint_origin: None,
        address: None,
        reads: Reads::of_this_release(),
        status_lists: None,
    }
}
