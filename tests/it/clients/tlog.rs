//! The log as other people's tools see it: Go's own packages for notes and trees, and Tessera's `fsck`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use authledger::tlog::SignedNote;
use serde_json::Value;

use super::project;
use crate::process::node::{Api, NodeProcess, ROOT, text};

/// Enough for two full tiles and a partial one.
const TICKETS: usize = 600;
/// The records before them: the opening of the ledger, and two keys.
const OTHERS: usize = 3;
/// Checkpoints on the way, each proven to be extended by the last one.
const SEEN: usize = 7;

/// A program that `tools/test` has built, or nothing, in which case the test that asks is left out, and has been told so.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = project().join(".tools/go/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("left out: {name} is not installed; run tools/test where there is a Go");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

/// A server's answer that is not JSON.
async fn bytes(api: &Api, path: &str) -> Vec<u8> {
    let answer = api.request(reqwest::Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

async fn checkpoint(api: &Api) -> SignedNote {
    SignedNote::parse(&String::from_utf8(bytes(api, "/checkpoint").await).unwrap()).unwrap()
}

async fn key(api: &Api) -> String {
    let status: Value = api.get("/v1/status").await.expect(200);
    text(&status["origins"][0]["checkpoint"], "verifier_key")
}

/// Fills a ledger, and the directory with all that it gives away: records, checkpoints on the way, and a proof of each record.
async fn collect(api: &Api, into: &Path) -> Vec<SignedNote> {
    let mut seen = Vec::new();
    for number in 0..TICKETS {
        let issued = api.issue(&format!("subject-{number}")).await;
        if number % (TICKETS / SEEN) == 0 {
            bytes(api, &format!("/v1/events/{}/proof", issued["position"])).await;
            seen.push(checkpoint(api).await);
        }
    }
    let size = TICKETS + OTHERS;
    bytes(api, &format!("/v1/events/{size}/proof")).await;
    seen.push(checkpoint(api).await);
    for position in 1..=size {
        let proof = bytes(api, &format!("/v1/events/{position}/proof")).await;
        fs::write(into.join(format!("{position}.tlog-proof")), proof).unwrap();
    }
    let mut bundle = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let partial = if width == 256 { String::new() } else { format!(".p/{width}") };
        bundle.extend(bytes(api, &format!("/tile/entries/{index:03}{partial}")).await);
    }
    fs::write(into.join("records"), bundle).unwrap();
    seen
}

fn check(program: &Path, key: &str, directory: &Path) -> Output {
    Command::new(program).arg(key).arg(directory).output().unwrap()
}

#[tokio::test]
async fn gos_packages_verify_checkpoints_inclusion_and_consistency_and_find_forgeries() {
    let Some(program) = program("tlog") else { return };
    let directory = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(&directory.path().join("data"));
    let into = directory.path().join("collected");
    fs::create_dir(&into).unwrap();
    let seen = collect(&node.api, &into).await;
    let key = key(&node.api).await;
    let file = |number: usize, kind: &str| into.join(format!("{number}.{kind}")).display().to_string();
    for (number, old) in seen.iter().enumerate() {
        fs::write(file(number, "checkpoint"), old.as_str()).unwrap();
    }
    // The shipped tool proves, next to the server, that the last checkpoint continues each of the others.
    for number in 0..seen.len() {
        let from = file(number, "checkpoint");
        let to = file(seen.len() - 1, "checkpoint");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_authledger-audit"));
        tool.arg("prove").arg(directory.path().join("data")).args(["--from", &from, "--to", &to, "-o"]);
        let proven = tool.arg(file(number, "consistency")).output().unwrap();
        assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    }
    let checked = check(&program, &key, &into);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    let all = seen.len();
    assert_eq!(
        said,
        format!("{0} records, {all} checkpoints, {0} inclusions, {all} consistencies\n", TICKETS + OTHERS)
    );
    print!("{said}");

    // The checks must notice each file in turn with one character changed.
    for name in ["1.checkpoint", "2.consistency", "7.tlog-proof", "records"] {
        let path = into.join(name);
        let whole = fs::read(&path).unwrap();
        let mut forged = whole.clone();
        let place = forged.len() / 2;
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        fs::write(&path, forged).unwrap();
        assert!(!check(&program, &key, &into).status.success(), "{name}");
        fs::write(&path, whole).unwrap();
    }
}

#[tokio::test]
async fn tesseras_fsck_runs_clean_over_what_is_served() {
    let Some(fsck) = program("fsck") else { return };
    let directory = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(&directory.path().join("data"));
    for number in 0..TICKETS {
        node.api.issue(&format!("subject-{number}")).await;
    }
    bytes(&node.api, &format!("/v1/events/{}/proof", TICKETS + OTHERS)).await;
    let public_key = directory.path().join("log.vkey");
    fs::write(&public_key, key(&node.api).await).unwrap();
    // With its display of progress it exits with 0 whatever it finds.
    let checked = Command::new(fsck)
        .arg("-ui=false")
        .args(["-storage_url", &format!("{}/", node.api.url()), "-bearer_token", ROOT, "-public_key"])
        .arg(public_key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert!(said.contains(&format!("Successfully fsck'd log with size {}", TICKETS + OTHERS)), "{said}");
}
