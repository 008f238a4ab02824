//! `authledger key`.

use super::*;

#[test]
fn a_key_is_rotated_and_both_are_listed_while_the_old_ones_tokens_may_be_active() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let list = |more: &[&str]| served.call(&[&["key", "list"], more].concat()).succeeded();
    assert_eq!(list(&[]).lines().count(), 1, "nobody has needed a key yet");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(post(&served.client(), "/v1/tokens", json!({"subject": "a"})));
    let first: Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!((&first["issuer"], &first["signs"]), (&json!(served.url()), &json!(true)));
    let rotated = served.call(&["key", "rotate"]).succeeded();
    assert!(rotated.starts_with("kid        ") && rotated.contains("\nalgorithm  ES256\nissuer     http://127.0.0.1:"));
    let shown = list(&[]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].ends_with("  signs") && rotated.contains(lines[1].split(' ').next().unwrap()), "{shown}");
    assert!(lines[2].starts_with(first["kid"].as_str().unwrap()) && lines[2].contains("  verifies until "), "{shown}");
    let asked = runtime.block_on(post(&served.client(), "/v1/introspect", json!({"credential": token["token"]})));
    assert_eq!(asked["active"], true, "a key that signs no more verifies still");
    let rotated: Value = serde_json::from_str(&served.call(&["key", "rotate", "--json"]).succeeded()).unwrap();
    assert_eq!(rotated["signs"], true);
}

#[test]
fn the_verifier_key_is_the_one_that_opens_the_checkpoint() {
    use authledger::tlog::{Checkpoint, SignedNote, VerifierKey};
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let origin = authledger::event_log::Reader::open(&data.path().join("ledger.db")).unwrap().origins().unwrap()[0];
    // The proof of the first record waits for the first checkpoint.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = served.client();
    let proof = client.request(reqwest::Method::GET, "/v1/events/1/proof");
    runtime.block_on(client.text(proof)).unwrap();
    let key = served.call(&["key", "verifier"]).succeeded();
    let key: VerifierKey = key.trim().parse().unwrap();
    assert_eq!(key.name().as_str(), format!("authledger/{origin}"));
    let note = std::fs::read_to_string(data.path().join("checkpoints").join(origin.as_str())).unwrap();
    assert_eq!(Checkpoint::open(&SignedNote::parse(&note).unwrap(), &key).unwrap().size, 1);
    let json: Value = serde_json::from_str(&served.call(&["key", "verifier", "--json"]).succeeded()).unwrap();
    assert_eq!(json, json!({"origin": origin.as_str(), "verifier_key": key.to_string()}));
}
