//! `authledger key`.

use super::*;

#[test]
fn a_key_is_rotated_and_both_are_listed_while_the_old_ones_tokens_may_be_active() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let list = |more: &[&str]| served.call(&[&["key", "list"], more].concat()).succeeded();
    let at_first = list(&[]);
    let [_, next, signs] = &*at_first.lines().collect::<Vec<_>>() else { panic!("{at_first}") };
    assert!(signs.ends_with("  signs") && next.contains("  next, may sign from 20"), "{at_first}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(post(&served.client(), "/v1/tokens", json!({"subject": "a"})));
    let first = list(&["--json"]);
    let first: Value = serde_json::from_str(first.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&first["issuer"], &first["signs"]), (&json!(served.url()), &json!(true)));
    let refused = served.call(&["key", "rotate"]).refused();
    assert!(refused.contains("409 next-key-too-new") && refused.contains("may sign from 20"), "{refused}");
    let rotated = served.call(&["key", "rotate", "--now"]);
    assert!(rotated.stderr.starts_with("warning: ") && rotated.stderr.contains("602 s"), "{}", rotated.stderr);
    let rotated = rotated.succeeded();
    assert!(rotated.starts_with("kid        ") && rotated.contains("\nalgorithm  ES256\nissuer     http://127.0.0.1:"));
    let shown = list(&[]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].contains("  next, may sign from "), "{shown}");
    let (signs, over) = (lines[2], lines[3]);
    assert!(signs.ends_with("  signs") && rotated.contains(signs.split(' ').next().unwrap()), "{shown}");
    assert!(over.starts_with(first["kid"].as_str().unwrap()) && over.contains("  verifies until "), "{shown}");
    let asked = runtime.block_on(post(&served.client(), "/v1/introspect", json!({"credential": token["token"]})));
    assert_eq!(asked["active"], true, "a key that signs no more verifies still");
    let rotated: Value = serde_json::from_str(&served.call(&["key", "rotate", "--now", "--json"]).succeeded()).unwrap();
    assert_eq!((&rotated["signs"], &rotated["next"]["state"]), (&json!(true), &json!("next")));
    let pem = list(&["--pem"]);
    assert_eq!(pem.matches("\n-----BEGIN PUBLIC KEY-----\n").count(), 3, "{pem}");
    assert!(pem.starts_with("# ") && pem.contains(" ES256 signs\n-----BEGIN"), "{pem}");
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
    assert_eq!(
        Checkpoint::open(&SignedNote::parse(&note).unwrap(), &key).unwrap().size,
        3,
        "the opening of the ledger, and two keys"
    );
    let json: Value = serde_json::from_str(&served.call(&["key", "verifier", "--json"]).succeeded()).unwrap();
    assert_eq!(json, json!({"origin": origin.as_str(), "verifier_key": key.to_string()}));
}
