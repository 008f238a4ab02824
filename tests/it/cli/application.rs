//! `authledger application`, and how refusals read.

use super::*;

const OTHER_ID: &str = "00000000-0000-4000-8000-000000000000";

/// Ids, secrets and addresses are another's every time.
fn redacted(text: &str, served: &Served) -> String {
    let text = text.replace(&served.address, "[SERVER]").replace(served.data.to_str().unwrap(), "[DATA]");
    let word = |word: &str| match word {
        OTHER_ID => word.to_owned(),
        _ if uuid::Uuid::try_parse(word).is_ok() => "[ID]".to_owned(),
        _ if word.starts_with("al_a_") => "[SECRET]".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_application_is_created_listed_and_removed() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let create = ["application", "create", "portal", "--scope", "issue,revoke", "--scope", "introspect"];
    let created = served.call(&[&create[..], &["--tenant", "*", "--expires", "2100-01-01T00:00:00Z"]].concat());
    let shown = redacted(&created.succeeded(), &served);
    insta::assert_snapshot!(shown, @r"
    id       [ID]
    name     portal
    grants   *: issue,revoke,introspect
    expires  2100-01-01T00:00:00.000Z
    secret   [SECRET]
    ");
    let gateway = ["application", "create", "gateway", "--scope", "follow", "--tenant", "one,two", "--json"];
    let gateway: Value = serde_json::from_str(&served.call(&gateway).succeeded()).unwrap();
    let listed = redacted(&served.call(&["application", "list"]).succeeded(), &served);
    insta::assert_snapshot!(listed, @r"
    ID                                    NAME     EXPIRES                   GRANTS
    [ID]  portal   2100-01-01T00:00:00.000Z  *: issue,revoke,introspect
    [ID]  gateway  never                     one: follow; two: follow
    ");

    let id = gateway["id"].as_str().unwrap();
    let secret = gateway["secret"].as_str().unwrap();
    let as_gateway = || finish(served.command(&["application", "list"]).env("AUTHLEDGER_TOKEN", secret));
    assert!(as_gateway().refused().contains("403 forbidden"), "it may follow, and no more");
    served.call(&["application", "remove", id]).succeeded();
    assert!(as_gateway().refused().contains("401 unauthenticated"), "its secret is refused from now on");
    let lines = served.call(&["application", "list", "--json"]).succeeded();
    let names: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].take()).collect();
    assert_eq!(names, ["portal"]);
    assert!(!lines.contains("secret"), "{lines}");
}

#[test]
fn every_refusal_is_a_sentence_that_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(&data.path().join("data"));
    let list = ["application", "list"];
    let empty = data.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let empty = empty.to_str().unwrap().to_owned();
    let sentences = [
        finish(&mut program(&list)),
        finish(served.command(&list).env("AUTHLEDGER_TOKEN", "nobody's")),
        served.call(&["application", "list", "--token-file", "/nowhere/at/all"]),
        served.call(&["application", "list", "--token-file", &empty]),
        served.call(&["application", "list", "--url", "http://127.0.0.1:1"]),
        served.call(&["application", "list", "--url", "ftp://127.0.0.1"]),
        served.call(&["application", "list", "--url", "127.0.0.1:7878"]),
        served.call(&["application", "list", "--url", &format!("{}/elsewhere", served.url())]),
        served.call(&["application", "create", "x", "--scope", "issue", "--expires", "tomorrow"]),
        served.call(&["application", "create", "", "--scope", "issue"]),
        served.call(&["application", "remove", OTHER_ID]),
        served.call(&["follow", "--after", "garbage"]),
        served.call(&["follow", "--state", &empty]),
        served.call(&["backup", data.path().to_str().unwrap(), "--data", served.data.to_str().unwrap()]),
        served.call(&["backup", "/nowhere", "--data", "/nowhere/at/all"]),
    ];
    let sentences = sentences.map(|output| redacted(&output.refused(), &served));
    let sentences = sentences.join("\n").replace(data.path().to_str().unwrap(), "[DIRECTORY]");
    insta::assert_snapshot!(sentences);
}

#[test]
fn arguments_that_make_no_sense_are_told_apart_by_the_exit_code_and_no_secret_is_shown() {
    let wrong = run(&["application", "create", "x", "--scope", "everything"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    let help = finish(program(&["application", "list", "--help"]).env("AUTHLEDGER_TOKEN", "do-not-show")).succeeded();
    assert!(help.contains("AUTHLEDGER_TOKEN") && !help.contains("do-not-show"), "{help}");
}

#[test]
fn an_application_with_keys_is_created_from_a_file_and_has_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(&data.path().join("data"));
    let key = authledger::keys::SigningKey::generate(&data.path().join("keys"), authledger::keys::Algorithm::Es256);
    let jwk = key.unwrap().public_jwk();
    let file = data.path().join("keys.json");
    // As some editors write it.
    std::fs::write(&file, format!("\u{feff}{{\"keys\": [{jwk}]}}\n")).unwrap();
    let create = ["application", "create", "api", "--scope", "introspect"];
    let call = |more: &[&str]| served.call(&[&create[..], more].concat());
    let terms = ["--audience", "api,reports", "--introspection-alg", "ES256", "--omit-exp", "--json"];
    let keyed = [&terms[..], &["--jwks", file.to_str().unwrap()]].concat();
    let created: Value = serde_json::from_str(&call(&keyed).succeeded()).unwrap();
    let jwk: Value = serde_json::from_str(&jwk).unwrap();
    let due = serde_json::json!({
        "audiences": ["api", "reports"], "jwks": {"keys": [jwk]}, "introspection_signed_response_alg": "ES256", "omit_exp": true,
    });
    assert_eq!((&created["oauth"], created.get("secret")), (&due, None));
    let shown = call(&["--jwks-url", "https://api.example/keys"]).succeeded();
    assert!(shown.contains("secret   none"), "{shown}");
    let both = call(&["--jwks", file.to_str().unwrap(), "--jwks-url", "https://api.example/keys"]);
    assert_eq!(both.status.code(), Some(2));
    std::fs::write(&file, "{\"keys\": []}").unwrap();
    assert!(call(&["--jwks", file.to_str().unwrap()]).refused().contains("`oauth.jwks`"));
    std::fs::write(&file, "keys").unwrap();
    let refused = call(&["--jwks", file.to_str().unwrap()]).refused();
    assert!(refused.contains("name a file with a JWK set"), "{refused}");
}
