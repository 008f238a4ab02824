//! `authledger key`.

use super::*;

#[test]
fn a_key_is_rotated_and_both_are_listed_while_the_old_ones_tokens_may_be_good() {
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
