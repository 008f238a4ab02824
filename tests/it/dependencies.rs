//! What this program is made of: licences that its users can live with, one source, one provider of cryptography, and not too much.
//!
//! `deny.toml` says which, and why. cargo-deny holds a build to it where that is installed; this test does so everywhere.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, ParseMode};

/// Crates that a default build compiles, this one not counted.
const MAX_CRATES: usize = 190;

/// `deny.toml`, as far as it is read here.
#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    /// The crates that may bring it nevertheless.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

impl Deny {
    fn load() -> Self {
        toml::from_str(include_str!("../../deny.toml")).unwrap()
    }

    fn allows(&self, licence: &str) -> bool {
        // Old expressions write `/` for `OR`.
        let expression = Expression::parse_mode(licence, ParseMode::LAX);
        expression.is_ok_and(|expression| expression.evaluate(|one| self.licenses.allow.contains(&one.to_string())))
    }

    /// Whether one crate may depend on the other.
    fn lets_in(&self, user: &str, used: &str) -> bool {
        self.bans
            .deny
            .iter()
            .filter(|banned| banned.name == used)
            .all(|banned| banned.wrappers.iter().any(|one| one == user))
    }
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    /// Nothing of the workspace's own.
    source: Option<String>,
}

/// A line of `cargo tree`: a crate below the one that brings it.
struct Edge {
    user: Option<String>,
    used: String,
    licence: String,
}

/// All that any feature on any platform would bring, for tests and benchmarks too. Unlike `cargo metadata`, `cargo tree` leaves out
/// a crate that a feature names and nothing turns on.
fn edges() -> Vec<Edge> {
    let all = ["--workspace", "--all-features", "--target", "all", "-e", "normal,build,dev"];
    let form = ["--locked", "--prefix", "depth", "--format", "|{p}|{l}|"];
    let mut above: Vec<String> = Vec::new();
    let tree = cargo(&[&["tree"], &all[..], &form].concat());
    let edge = |line: &str| {
        let mut parts = line.split('|');
        let mut part = || parts.next().unwrap_or_default();
        // A member of the workspace begins a tree of its own, after an empty line.
        let depth = part().parse::<usize>().unwrap();
        let package = part();
        let licence = part();
        let used = package.split(' ').next().unwrap().to_owned();
        above.truncate(depth);
        let user = above.last().cloned();
        above.push(used.clone());
        Edge { user, used, licence: licence.to_owned() }
    };
    tree.lines().filter(|line| !line.is_empty()).map(edge).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let deny = Deny::load();
    assert!(deny.allows("GPL-3.0/MIT") && !deny.allows("MIT AND GPL-3.0") && !deny.allows(""));
    let refused: BTreeSet<_> = edges()
        .into_iter()
        .filter(|edge| !deny.allows(&edge.licence))
        .map(|edge| format!("{}: {:?}", edge.used, edge.licence))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_dependency_is_banned() {
    let deny = Deny::load();
    assert!(!deny.lets_in("rcgen", "ring") && deny.lets_in("nkeys", "ed25519-dalek") && deny.lets_in("axum", "tower"));
    let users = |edge: Edge| edge.user.map(|user| (user, edge.used));
    let refused: BTreeSet<_> =
        edges().into_iter().filter_map(users).filter(|(user, used)| !deny.lets_in(user, used)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_dependency_comes_from_a_registry_that_is_allowed() {
    let deny = Deny::load();
    let lock = toml::from_str::<Lock>(include_str!("../../Cargo.lock")).unwrap();
    let allowed: Vec<String> =
        deny.sources.allow_registry.iter().map(|registry| format!("registry+{registry}")).collect();
    for package in lock.package {
        let of_ours = package.name == "authledger" || package.name == "authledger-bench";
        let is_allowed = package.source.as_ref().map_or(of_ours, |source| allowed.contains(source));
        assert!(is_allowed, "{} comes from {:?}", package.name, package.source);
    }
}

#[test]
fn a_default_build_compiles_no_more_crates_than_it_may() {
    let tree = cargo(&["tree", "--locked", "-e", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let others = crates.iter().filter(|line| !line.starts_with("authledger ")).count();
    println!("{others} crates");
    assert!(others <= MAX_CRATES, "{others} crates are more than {MAX_CRATES}");
}
