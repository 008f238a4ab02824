//! SlashID's JavaScript SDK against a server of its own process.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use authledger::keys::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use super::Client;
use crate::jose::{ISSUER, Signer};
use crate::process::node::{Launch, NodeProcess, ROOT, text};

const ORIGIN: &str = "https://app.example";

/// A configuration that trusts the signer in the tenant `one`.
fn configuration(directory: &Path, signer: &Signer) -> PathBuf {
    let keys = signer.jwks_file();
    let text = format!(
        "[[trusted_issuer]]\nissuer = {ISSUER:?}\njwks_file = {keys:?}\ntenants = [\"one\"]\nprofile = \"slashid\"\n"
    );
    let path = directory.join("authledger.toml");
    std::fs::write(&path, text).unwrap();
    path
}

async fn mint(node: &NodeProcess) -> String {
    let request = node.api.request(Method::POST, "/slashid/persons/ada/mint-token");
    let request = request.header("slashid-api-key", ROOT).header("slashid-orgid", "one");
    let answer: Value = request.json(&json!({"custom_claims": {}})).send().await.unwrap().json().await.unwrap();
    text(&answer, "result")
}

/// A container with a token of the same issuer in it, as SlashID makes them: `person_id` for `sub`, and `id` for `jti`.
fn container(signer: &Signer, name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims =
        |id: String| json!({"iss": ISSUER, "oid": "one", "person_id": "bob", "id": id, "iat": now, "exp": now + 600});
    let mut outer = claims(format!("outer-{name}"));
    outer["user_token"] = signer.token(&claims(format!("inner-{name}"))).into();
    signer.token(&outer)
}

#[tokio::test]
async fn the_javascript_sdk_logs_people_out() {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new(Algorithm::EdDsa);
    let config = configuration(directory.path(), &signer);
    let server = Launch::new(&directory.path().join("ledger")).arg("--config").arg(config);
    let node = server.args(&["--cors-origins", ORIGIN]).start();
    for (name, base) in [("a", ""), ("b", "/slashid")] {
        let token = mint(&node).await;
        let container = container(&signer, name);
        let base_url = format!("{}{base}", node.api.url());
        let input = json!({"base_url": base_url, "token": token, "container": container, "origin": ORIGIN});
        let outcome = tokio::task::spawn_blocking(move || Client::SlashId.run(&input)).await.unwrap();
        let Some(outcome) = outcome else { return };
        let calls = outcome.unwrap_or_else(|failure| panic!("{failure}"));
        let made: Vec<(&str, u16)> = calls.iter().map(|call| (&*call.call, call.status)).collect();
        let (validated, before) = (("validateToken", 200), [("preflight", 204), ("validateToken", 200)]);
        let then = [("isAuthenticated", 200), ("logout", 204), validated, ("logout", 400)];
        let contained = [validated, ("logout", 204), validated];
        assert_eq!(made, [&before[..], &then[..], &contained[..]].concat());
    }
    let page = node.api.get("/v1/revocations?after=0").await.expect(200);
    let revocations = page["items"].as_array().unwrap();
    assert_eq!(revocations.len(), 4, "two tokens, and two that were in containers: {revocations:?}");
    assert!(revocations.iter().any(|one| one["iss"] == ISSUER && one["jti"] == "inner-b"));
}
