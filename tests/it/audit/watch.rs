//! The auditor next to a server, as the shipped tool.

use std::fs;
use std::process::{Command, Output, Stdio};

use axum::Router;
use axum::routing::get;

use super::real::{Real, start, text};
use crate::process::node::{NodeProcess, ROOT};
use crate::support::stub;
use crate::tlog::cosigned::Witness;

fn watch(node: &str, real: &Real, more: &[&str]) -> Output {
    let state = real.fresh("state");
    let arguments = [&["watch", node, "--once", "--state", state.to_str().unwrap()], more].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_authledger-audit"));
    command.env_remove("AUTHLEDGER_TOKEN").stdin(Stdio::null()).args(arguments).output().unwrap()
}

/// Runs the tool where it does not hold up the server's connections.
async fn watched(node: &NodeProcess, real: &Real, more: &[&str]) -> Output {
    let url = node.api.url().to_owned();
    tokio::task::block_in_place(|| watch(&url, real, more))
}

/// Issues a ticket, and waits until a checkpoint covers it.
async fn grow(node: &NodeProcess) {
    let issued = node.api.issue("grown").await;
    let position = &issued["position"];
    let proof = node.api.get(&format!("/v1/events/{position}/proof")).await;
    assert_eq!(proof.status, 200, "{issued} {}", proof.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_continue_each_other_are_followed_and_a_rewritten_log_is_not() {
    let (real, forged, stale) = (Real::copy(), Real::copy(), Real::copy());
    let node = start(real.data());
    let key = real.key.to_string();
    let first = watched(&node, &real, &["--key", &key]).await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(text(&first.stdout).contains("the first that is kept"), "{first:?}");
    for _ in 0..3 {
        grow(&node).await;
        let next = watched(&node, &real, &[]).await;
        assert_eq!(next.status.code(), Some(0), "{next:?}");
        assert!(text(&next.stdout).contains(": continues 70"), "{next:?}");
    }
    let kept = fs::read_to_string(real.fresh("state")).unwrap();
    node.stop().await;

    // The same key, another history that is longer than the one that was seen.
    tokio::task::block_in_place(|| forged.forge_all());
    let node = start(forged.data());
    for _ in 0..6 {
        grow(&node).await;
    }
    let conflict = watched(&node, &real, &[]).await;
    assert_eq!(conflict.status.code(), Some(1), "{conflict:?}");
    assert!(text(&conflict.stderr).contains("the log was rewritten"), "{conflict:?}");
    let evidence = fs::read_to_string(real.fresh("state.conflict")).unwrap();
    assert!(evidence.starts_with(&kept) && evidence.len() > kept.len(), "{evidence}");
    assert_eq!(fs::read_to_string(real.fresh("state")).unwrap(), kept, "the newest checkpoint that was accepted stays");
    node.stop().await;

    // An older copy put back.
    let node = start(stale.data());
    let shrunk = watched(&node, &real, &[]).await;
    assert_eq!(shrunk.status.code(), Some(1), "{shrunk:?}");
    assert!(text(&shrunk.stderr).contains("an older state was put back"), "{shrunk:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_needed_and_may_be_the_first_that_is_shown() {
    let real = Real::copy();
    let node = start(real.data());
    let without = watched(&node, &real, &[]).await;
    assert!(without.status.code() == Some(2) && text(&without.stderr).contains("which key is trusted"), "{without:?}");
    let trusting = watched(&node, &real, &["--trust-first", "--token", ROOT]).await;
    assert_eq!(trusting.status.code(), Some(0), "{trusting:?}");
    assert_eq!(fs::read_to_string(real.fresh("state.vkey")).unwrap(), format!("{}\n", real.key));
    assert_eq!(watched(&node, &real, &[]).await.status.code(), Some(0));
    let stranger = authledger::tlog::VerifierKey::new(real.key.name().clone(), [3; 32]).to_string();
    let other = watched(&node, &real, &["--key", &stranger]).await;
    assert!(other.status.code() == Some(2) && text(&other.stderr).contains("is not the key in"), "{other:?}");
    let origin = real.origin.to_string();
    assert_eq!(watched(&node, &real, &["--origin", &origin]).await.status.code(), Some(0));
    let url = node.api.url().to_owned();
    node.stop().await;
    let gone = tokio::task::block_in_place(|| watch(&url, &real, &[]));
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_other_tiles_than_it_signed_is_found_and_an_endless_answer_is_cut() {
    let real = Real::copy();
    let key = real.key.to_string();
    fs::copy(real.old(), real.fresh("state")).unwrap();
    let note = fs::read_to_string(real.checkpoint()).unwrap();
    let lying = Router::new()
        .route("/checkpoint", get(move || async move { note }))
        .route("/tile/{*path}", get(|| async { vec![0; 8_192] }));
    let url = format!("http://{}", stub::serve(lying).await);
    let found = tokio::task::block_in_place(|| watch(&url, &real, &["--key", &key]));
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(text(&found.stderr).contains("its tiles do not lead to the root"), "{found:?}");
    assert!(real.fresh("state.conflict").exists());

    let endless = Router::new().route("/checkpoint", get(|| async { "x".repeat(100_000) }));
    let url = format!("http://{}", stub::serve(endless).await);
    let cut = tokio::task::block_in_place(|| watch(&url, &real, &[]));
    assert!(cut.status.code() == Some(2) && text(&cut.stderr).contains("more than 65536 bytes"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cosignatures_are_shown_and_kept_with_the_checkpoint() {
    let real = Real::copy();
    let witness = Witness::new("witness.example/one", 7);
    let note = fs::read_to_string(real.checkpoint()).unwrap();
    let signed = note.split_inclusive("\n\n").next().unwrap().trim_end().to_owned() + "\n";
    let cosigned = note + &witness.cosign(&signed, 1_795_944_000) + &witness.cosign("another text\n", 1);
    let served = cosigned.clone();
    let router = Router::new().route("/checkpoint", get(move || async move { served }));
    let url = format!("http://{}", stub::serve(router).await);
    let keys = real.fresh("keys.vkey");
    fs::write(&keys, format!("{}\n{}\n", witness.key(), real.key)).unwrap();
    let seen = tokio::task::block_in_place(|| watch(&url, &real, &["--key", &format!("@{}", keys.display())]));
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let said = text(&seen.stdout);
    assert!(said.contains("  cosigned by witness.example/one at 2026-11-29T09:20:00Z\n"), "{said}");
    assert!(said.contains("  the cosignature of witness.example/one does not fit the text\n"), "{said}");
    assert_eq!(fs::read_to_string(real.fresh("state")).unwrap(), cosigned);
}
