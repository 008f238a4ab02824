//! A product whose paths are split between it and the server (`tests/nginx/split.conf`): a real nginx before a real server and a stub of the product.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::node::{Launch, NodeProcess, ROOT, text};
use crate::support::nginx::{self, Nginx};
use crate::support::stub;

/// Less than a heartbeat takes, which would push out a frame that is held back.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// A server that says its name, the path that it got, byte for byte, and the headers.
async fn echo(name: &'static str) -> String {
    let answer = move |headers: HeaderMap, request: Request| async move {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
        ([("x-arrived-at", name)], format!("{} {target}\n{headers:?}", request.method())).into_response()
    };
    stub::serve(Router::new().fallback(answer)).await.to_string()
}

fn node(directory: &tempfile::TempDir) -> NodeProcess {
    Launch::new(&directory.path().join("data")).start()
}

fn address(node: &NodeProcess) -> &str {
    node.api.url().trim_start_matches("http://")
}

/// Every path of the four contracts that authledger serves.
const LEDGERS: [&str; 34] = [
    "POST /crafter-profile/api/1/authentication/ticket/create.json",
    "POST /profile/api/1/authentication/ticket/create",
    "POST /api/1/authentication/ticket/create",
    "GET /crafter-profile/api/1/authentication/ticket/7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2.json?accessTokenId=x",
    "POST /profile/api/1/authentication/ticket/7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2/invalidate.json",
    "POST /profile/api/1/authentication/token/7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2/invalidate",
    "POST /crafter-profile/api/1/authentication/ticket/5925a68def86951f895cf497",
    "GET /sessions/whoami",
    "GET /auth/sessions/whoami",
    "GET /sessions",
    "DELETE /auth/sessions",
    "GET /sessions?page_size=2",
    "DELETE /auth/sessions/0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10",
    "DELETE /sessions/BADUUID",
    "DELETE /self-service/logout/api",
    "DELETE /auth/self-service/logout/api",
    "GET /admin/sessions?active=true",
    "GET /admin/sessions/0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10?expand=identity",
    "PATCH /auth/admin/sessions/0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10/extend",
    "GET /admin/identities/d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11/sessions",
    "DELETE /auth/admin/identities/d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11/sessions",
    "POST /token/revoke",
    "OPTIONS /slashid/token/revoke",
    "POST /token/validate",
    "POST /persons/pid-1/mint-token",
    "GET /.well-known/jwks.json",
    "GET /slashid/.well-known/openid-configuration",
    "DELETE /api/v1/auth/users/samlp%7C-x%7Cnico.jones%40example.com/token?ttl=1h",
    "DELETE /auth/users/samlp|-x|nico.jones@example.com/token",
    "DELETE /api/v1/auth/users/a%2Fb/token",
    // Another spelling of a path is the same path.
    "GET /%73essions/whoami",
    "GET /elsewhere/../sessions/whoami",
    "GET /v1/status",
    "GET /problems/forbidden",
];

/// Paths of the products that authledger has nothing to say to.
const PRODUCTS: [&str; 22] = [
    "GET /",
    "POST /profile/api/1/authentication/authenticate.json",
    "GET /crafter-profile/api/1/profile/5925a68def86951f895cf497.json?accessTokenId=x",
    "POST /profile/api/1/access_token/create.json",
    "GET /profile/api/1/tenant/default.json",
    "GET /self-service/login/browser",
    "GET /auth/self-service/login/api",
    "GET /self-service/logout/browser",
    "GET /sessions/token-exchange?init_code=x&return_to_code=y",
    "GET /admin/identities",
    "GET /auth/admin/identities/d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11",
    "GET /schemas/default",
    "GET /sessionsandmore",
    "GET /.well-known/ory/webauthn.js",
    "POST /persons",
    "GET /persons/pid-1",
    "POST /token",
    "POST /api/v1/auth/login",
    "GET /api/v1/auth/users/nico",
    "GET /api/v1/health",
    "GET /metrics",
    "GET /health/ready",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_documented_path_arrives_where_it_belongs() {
    let Some(program) = nginx::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let node = node(&directory);
    let nginx = Nginx::split(program, address(&node), &echo("product").await).await;
    for line in LEDGERS {
        let answer = nginx.ask(line, "").await;
        let from_nginx = answer.contains("<center>nginx");
        assert!(!answer.contains("x-arrived-at") && !from_nginx, "{line}: {answer}");
    }
    for line in PRODUCTS {
        let answer = nginx.ask(line, "").await;
        assert!(answer.contains("\r\nx-arrived-at: product\r\n"), "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_unharmed_and_in_no_log() {
    let Some(program) = nginx::find() else { return };
    let nginx = Nginx::split(program, &echo("ledger").await, &echo("product").await).await;
    let credentials = "X-Session-Token: secret-1\r\nCookie: ory_kratos_session=secret-2; other=1\r\n\
        Authorization: Bearer secret-3\r\nSlashID-Required-Consistency: all_regions\r\nIdempotency-Key: secret-4\r\n";
    for line in LEDGERS.into_iter().chain(PRODUCTS) {
        let answer = nginx.ask(line, credentials).await;
        assert!(answer.contains(&format!("\r\n\r\n{line}\n")), "{line}: {answer}");
        for sent in ["secret-1", "ory_kratos_session=secret-2; other=1", "Bearer secret-3", "all_regions", "secret-4"] {
            assert!(answer.contains(sent), "{sent} of {line}: {answer}");
        }
        assert!(answer.contains("\"host\": \"accounts.example\""), "{answer}");
    }
    let body = "accessTokenId=e8&profileId=%7Cp%40q";
    let form = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len());
    let answer = nginx.ask("POST /token/revoke", &format!("{form}\r\n{body}")).await;
    assert!(answer.contains("x-arrived-at: ledger"), "{answer}");

    // An upstream that is gone makes nginx complain, and it must not quote the request.
    let gone = Nginx::split(program, "127.0.0.1:1", "127.0.0.1:1").await;
    for line in LEDGERS {
        assert!(gone.ask(line, credentials).await.starts_with("HTTP/1.1 502 "), "{line}");
    }
    for nginx in [nginx, gone] {
        for file in nginx.files().iter().filter(|file| !file.ends_with("split.conf")) {
            let kept = std::fs::read_to_string(file).unwrap();
            assert!(!kept.contains("7d0f1f0c") && !kept.contains("secret-"), "{}: {kept}", file.display());
        }
        assert!(!nginx.log().contains("7d0f1f0c"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_heard_through_it_at_once() {
    let Some(program) = nginx::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let node = node(&directory);
    let nginx = Nginx::split(program, address(&node), &echo("product").await).await;
    let mut stream = nginx.connect().await.unwrap();
    let request = format!(
        "GET /v1/revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ROOT}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    until(&mut stream, &mut heard, "id: ").await;
    for subject in ["first", "second"] {
        let issued = node.api.issue(subject).await;
        let revoked = node.api.revoke(&text(&issued, "ticket")).await;
        until(&mut stream, &mut heard, &text(&revoked["revocations"][0], "id")).await;
    }
    assert!(!heard.contains("heartbeat"), "nothing waited for the next thing to be said: {heard}");
}

/// Reads on until that has been heard.
async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), heard: &mut String, due: &str) {
    let mut buffer = [0; 4096];
    while !heard.contains(due) {
        let read = tokio::time::timeout(HEARD_WITHIN, stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("no {due} in {heard}")).unwrap();
        assert!(read > 0, "the stream ends before {due}: {heard}");
        heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}
