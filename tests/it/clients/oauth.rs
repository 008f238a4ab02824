//! OAuth clients of others, unmodified: they introspect, revoke and get tokens in each way that they can authenticate.

use std::process::{Command, Stdio};

use authledger::keys::{Algorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{holding, node, script, text};
use crate::process::node::{Api, Launch, Process};
use crate::support::{python, secrets};

/// Root's secret: with every character that a form escapes.
const ROOT: &str = "root:a%2B+b&c=d/e?f~g*h'(i)j!k@l$m,n;o#p\"q<r>|{s}^`t\\u-._";

/// The libraries, with how many calls each makes.
const LIBRARIES: [(&str, usize); 5] =
    [("openid-client", 24), ("oauth4webapi", 18), ("@ory/hydra-client", 4), ("authlib", 12), ("requests_oauthlib", 5)];

/// How many ways to authenticate there are at most: each needs a token of its own.
const TOKENS: usize = 4;

/// The script that drives it, if it is installed.
fn command(library: &'static str) -> Option<Command> {
    match library {
        "authlib" | "requests_oauthlib" => {
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
    json!({"id": registered["id"], "kid": key.kid(), "pkcs8": STANDARD.encode(std::fs::read(file).expect("a key"))})
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
