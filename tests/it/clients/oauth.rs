//! OAuth clients of others, unmodified: they introspect, revoke and get tokens in each way that they can authenticate.

use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};

use authledger::keys::{Algorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::tlog::program;
use super::{holding, node, project, script, text};
use crate::process::node::{Api, Launch, NodeProcess, Process};
use crate::support::{python, secrets};

/// Root's secret: with every character that a form escapes.
const ROOT: &str = "root:a%2B+b&c=d/e?f~g*h'(i)j!k@l$m,n;o#p\"q<r>|{s}^`t\\u-._";

/// The libraries, with how many calls each makes.
const LIBRARIES: [(&str, usize); 7] = [
    ("openid-client", 24),
    ("oauth4webapi", 18),
    ("@ory/hydra-client", 4),
    ("authlib", 12),
    ("requests_oauthlib", 5),
    ("fastmcp", 6),
    ("ory_hydra_client", 3),
];

/// How many ways to authenticate there are at most: each needs a token of its own.
const TOKENS: usize = 4;

/// The script that drives it, if it is installed.
fn command(library: &'static str) -> Option<Command> {
    match library {
        "authlib" | "requests_oauthlib" | "fastmcp" | "ory_hydra_client" => {
            python::with(library).map(|python| script(python, "oauth_python.py", &[library]))
        }
        _ => node(library).map(|node| script(node, "oauth_node.mjs", &[library])),
    }
}

/// A client with a key, by its id, and the key as the standard libraries of others read it.
async fn keyed(api: &Api, directory: &std::path::Path) -> Value {
    let key = SigningKey::generate(&directory.join("keys"), Algorithm::Es256).expect("a key");
    let file = directory.join("keys").join(format!("token-{}.key", key.kid()));
    let jwk: Value = serde_json::from_str(&key.public_jwk()).expect("a JWK");
    let body = json!({
        "name": "keyed", "scopes": ["introspect", "revoke"], "tenants": ["default"], "oauth": {"jwks": {"keys": [jwk]}},
    });
    let registered = api.post("/v1/applications", body).await.expect(201);
    json!({"id": registered["id"], "kid": key.kid(), "jwk": jwk, "pkcs8": STANDARD.encode(std::fs::read(file).expect("a key"))})
}

#[tokio::test]
async fn clients_of_others_introspect_revoke_and_get_tokens() {
    for algorithm in ["ES256", "RS256"] {
        let directory = tempfile::tempdir().unwrap();
        let launch = Launch::new(&directory.path().join("data")).env("AUTHLEDGER_ROOT_TOKEN", ROOT);
        let server = launch.arg("--token-algorithm").arg(algorithm).start();
        secrets::remember(ROOT);
        let api = server.api.as_caller(ROOT);
        let keyed = keyed(&api, directory.path()).await;
        let body = json!({"name": "client", "scopes": ["introspect", "revoke"], "tenants": ["default"]});
        let client = api.post("/v1/applications", body).await.expect(201);
        for (library, calls) in LIBRARIES {
            let Some(mut command) = command(library) else { continue };
            let mut tokens = Vec::new();
            for n in 0..TOKENS {
                let body = json!({
                    "subject": "person-1", "audience": "api", "scope": "read write",
                    "format": if n % 2 == 0 { "jwt" } else { "opaque" },
                });
                tokens.push(api.post("/v1/tokens", body).await.expect(201)["token"].clone());
            }
            let input = json!({
                "issuer": server.api.url(), "client": client, "keyed": keyed, "root": ROOT, "tokens": tokens,
                "subject": "person-1", "algorithm": algorithm,
            });
            let (mut said, mut failure) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            command.stdin(holding(&input)).stdout(said.try_clone().unwrap()).stderr(failure.try_clone().unwrap());
            let mut process = Process::new(command.spawn().unwrap());
            let status = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
            let said = text(&mut said);
            assert!(status.success(), "{library}, {algorithm}: {}\nafter\n{said}", text(&mut failure));
            assert_eq!(said.lines().count(), calls, "{library}: {said}");
            println!("{library}, {algorithm}: {calls} calls");
        }
    }
}

/// What a resource server says of each token that it is given, a line each.
async fn asked(mut command: Command, tokens: &[&str]) -> Vec<String> {
    let mut given = tempfile::tempfile().unwrap();
    given.write_all((tokens.join("\n") + "\n").as_bytes()).unwrap();
    given.rewind().unwrap();
    let (mut said, mut failure) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(given).stdout(said.try_clone().unwrap()).stderr(failure.try_clone().unwrap());
    let mut process = Process::new(command.spawn().unwrap());
    let status = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert!(status.success(), "{}", text(&mut failure));
    text(&mut said).lines().map(str::to_owned).collect()
}

/// A server whose root has that secret, and a token of each form, a session token and a ticket.
async fn with_tokens(directory: &std::path::Path) -> (NodeProcess, Api, Vec<String>) {
    let server = Launch::new(&directory.join("data")).env("AUTHLEDGER_ROOT_TOKEN", ROOT).start();
    secrets::remember(ROOT);
    let api = server.api.as_caller(ROOT);
    let token =
        |format: &str| json!({"subject": "person-1", "audience": "api", "scope": "read write", "format": format});
    let mut secrets = Vec::new();
    for (path, body, member) in [
        ("/v1/tokens", token("jwt"), "token"),
        ("/v1/tokens", token("opaque"), "token"),
        ("/v1/sessions", json!({"subject": "person-1"}), "session_token"),
        ("/v1/tickets", json!({"subject": "person-1"}), "ticket"),
    ] {
        let issued = api.post(path, body).await.expect(201);
        secrets.push(issued[member].as_str().expect("a secret").to_owned());
    }
    (server, api, secrets)
}

/// That program, if Java and Spring Security are there; on the terms of the others.
fn spring(program: &str) -> Option<Command> {
    let jars = project().join(".tools/spring");
    let runs = Command::new("java").arg("-version").stderr(Stdio::null()).status();
    if jars.exists() && runs.is_ok_and(|status| status.success()) {
        let mut command = Command::new("java");
        command.arg("-cp").arg(jars.join("*")).arg(project().join("tests/clients/spring").join(program));
        return Some(command);
    }
    println!("left out: java with Spring Security is not installed; run tools/test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

#[tokio::test]
async fn spring_security_introspects_with_both_ways_of_writing_basic() {
    let Some(mut command) = spring("Introspect.java") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (server, api, secrets) = with_tokens(directory.path()).await;
    let revoked = api.post("/v1/tokens", json!({"subject": "person-1", "format": "opaque"})).await.expect(201);
    let revoked = revoked["token"].as_str().expect("a token");
    api.post("/v1/revocations", json!({"credential": revoked})).await.expect(201);
    let uri = format!("{}/oauth2/introspect", server.api.url());
    command.args([&uri, "root", ROOT, "person-1"]);
    let tokens: Vec<&str> = secrets.iter().map(String::as_str).chain([revoked, "garbage"]).collect();
    let said = asked(command, &tokens).await;
    let scopes = "active [SCOPE_read, SCOPE_write]";
    let due = [scopes, scopes, "active []", "active []", "inactive", "inactive"];
    let due: Vec<String> = due.iter().flat_map(|one| ["raw", "escaped"].map(|way| format!("{way} {one}"))).collect();
    assert_eq!(said, due);
}

#[tokio::test]
async fn springs_client_gets_tokens_in_each_way_that_it_can_authenticate() {
    let Some(mut command) = spring("Credentials.java") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (server, api, _) = with_tokens(directory.path()).await;
    let keyed = keyed(&api, directory.path()).await;
    let body = json!({"name": "client", "scopes": ["introspect"], "tenants": ["default"]});
    let client = api.post("/v1/applications", body).await.expect(201);
    let member = |of: &Value, name: &str| of[name].as_str().expect("a text").to_owned();
    command.args([server.api.url(), &member(&client, "id"), &member(&client, "secret"), &member(&keyed, "id")]);
    command.args([keyed["jwk"].to_string(), member(&keyed, "pkcs8")]);
    let said = asked(command, &[]).await;
    let (ways, tokens): (Vec<_>, Vec<_>) = said.iter().map(|line| line.split_once(' ').expect("two words")).unzip();
    assert_eq!(ways, ["client_secret_basic", "client_secret_post", "private_key_jwt", "refused"]);
    let (refusal, tokens) = tokens.split_last().expect("a refusal");
    // Its own code: it reads the error of an answer of 400 alone, and RFC 6749 wants 401 here.
    assert_eq!(*refusal, "invalid_token_response");
    for (token, of) in tokens.iter().zip([&client, &client, &keyed]) {
        let found = api.post("/v1/introspect", json!({"credential": token})).await.expect(200);
        assert_eq!(found["subject"], json!(format!("application:{}", member(of, "id"))), "{found}");
    }
}

#[tokio::test]
async fn zitadels_resource_server_finds_the_calls_and_introspects() {
    let Some(mut command) = program("resource_server").map(Command::new) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (server, _, secrets) = with_tokens(directory.path()).await;
    command.args([server.api.url(), "root", ROOT]);
    let tokens: Vec<&str> = secrets.iter().map(String::as_str).chain(["garbage"]).collect();
    let shown: Vec<Value> =
        asked(command, &tokens).await.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, active) = shown.split_last().expect("answers");
    assert_eq!((active.len(), last), (4, &json!({"active": false})));
    for one in active {
        assert_eq!((&one["active"], &one["sub"]), (&json!(true), &json!("person-1")), "{one}");
    }
    assert_eq!((&active[0]["scope"], &active[0]["aud"]), (&json!("read write"), &json!(["api"])));
}

/// A success means something only if it can fail.
#[tokio::test]
async fn a_client_that_gets_another_answer_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(&directory.path().join("data")).start();
    let keyed = keyed(&server.api, directory.path()).await;
    let input = json!({
        "issuer": server.api.url(), "client": {"id": "nobody", "secret": "wrong"}, "keyed": keyed, "root": "wrong",
        "tokens": ["a", "b", "c", "d"], "subject": "person-1", "algorithm": "ES256",
    });
    for (library, _) in LIBRARIES {
        let Some(mut command) = command(library) else { continue };
        command.stdin(holding(&input)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::new(command.spawn().unwrap());
        let status = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
        assert!(!status.success(), "{library}");
    }
}
