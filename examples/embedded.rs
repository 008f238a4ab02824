//! A gateway that embeds the follower of this library: snapshot, stream, reconnecting, staleness and the verdict.
//!
//! ```text
//! AUTHLEDGER_TOKEN_FILE=DATA/root-token cargo run --example embedded -- http://127.0.0.1:7878
//! ```
//!
//! Each line of the standard input describes a credential, such as
//! `{"kind":"ticket","digest":"…","tenant":"default","subject":"alice"}`; each is answered with a line that has the reason to
//! refuse the credential, or null. `schema/follower.md` says what to describe, and `examples/follower.rs` is a follower
//! without this library.

use std::io::BufRead as _;
use std::sync::Arc;

use anyhow::Context as _;
use authledger::domain::Secret;
use authledger::follower::{Follower, FollowerSettings, FollowerStanding, PresentedCredential};
use serde_json::json;
use tokio::sync::watch;

/// Follows on a runtime of its own threads until the sender is dropped, and writes its state then, if it has a place for it.
pub fn follow(settings: FollowerSettings) -> anyhow::Result<(Arc<Follower>, watch::Sender<bool>)> {
    let follower = Follower::new(settings)?;
    let (stop, stopping) = watch::channel(false);
    let following = follower.clone();
    tokio::spawn(async move { following.run(stopping).await });
    Ok((follower, stop))
}

/// The answer about a described credential: all eight rules, from memory.
pub fn answer(follower: &Follower, credential: &str) -> anyhow::Result<String> {
    let credential: PresentedCredential = serde_json::from_str(credential).context("read a credential")?;
    let refused = follower.refuses(&credential).map(|refusal| refusal.as_str());
    Ok(json!({"refused": refused}).to_string())
}

/// A sentence about the follower, for a log or a health check.
pub fn condition(follower: &Follower) -> String {
    let held = follower.len();
    match (follower.standing(), follower.age()) {
        (FollowerStanding::Fresh, Some(age)) => {
            format!("fresh: {held} revocations, last heard {} ms ago", age.as_millis())
        }
        (FollowerStanding::Loading, _) => "loading: refusing everything until nothing is missing".to_owned(),
        (FollowerStanding::Stale | FollowerStanding::Fresh, _) => {
            format!("stale: {held} revocations, some may be missing")
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("give the address of a node")?;
    let path = std::env::var("AUTHLEDGER_TOKEN_FILE").context("AUTHLEDGER_TOKEN_FILE names a file with a secret")?;
    let secret = std::fs::read_to_string(path).context("read the secret")?;
    let (follower, _stop) = follow(FollowerSettings::new(&url, Secret::new(secret.trim())))?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&follower, &line?)?);
        eprintln!("{}", condition(&follower));
    }
    Ok(())
}
