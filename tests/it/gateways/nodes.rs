//! Gateways before the check of a real server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::authority::Protocol;
use super::backend::Backend;
use super::client::ask;
use super::port::Port;
use super::program::{Gateway, Running};
use super::with_each_gateway;
use crate::process::node::{Launch, NodeProcess, text};

with_each_gateway!(
    a_credential_passes_until_it_is_revoked_at_the_server,
    no_request_that_is_sent_after_the_revocations_answer_passes,
    a_server_that_is_killed_lets_nothing_pass_and_forgets_no_revocation,
);

/// How many tokens are revoked while clients send.
const ROUNDS: &str = "AUTHLEDGER_GATEWAY_ROUNDS";
const CLIENTS: usize = 8;
/// How long it may take until a gateway asks again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway before a server.
struct Site {
    gateway: Running,
    node: NodeProcess,
    backend: Backend,
    check: Port,
    directory: tempfile::TempDir,
}

fn launch(directory: &tempfile::TempDir, gateway: Gateway, check: &Port) -> NodeProcess {
    let listen = match gateway.speaks() {
        Protocol::Http => "--check-listen",
        Protocol::Grpc => "--check-grpc-listen",
    };
    Launch::new(&directory.path().join("data")).arg(listen).arg(check.address().to_string()).start()
}

impl Site {
    /// Nothing if the gateway is not installed, or the server was built without what it asks by.
    async fn set(gateway: Gateway) -> Option<Self> {
        let program = gateway.find()?;
        if gateway.speaks() == Protocol::Grpc && !cfg!(feature = "grpc") {
            println!("left out: the check over gRPC needs the feature grpc");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let check = Port::keep();
        let node = launch(&directory, gateway, &check);
        let backend = Backend::start().await;
        let gateway = gateway.start(&program, check.address(), backend.address()).await;
        Some(Self { gateway, node, backend, check, directory })
    }

    async fn issue(&self, path: &str, body: Value, member: &str) -> String {
        text(&self.node.api.post(path, body).await.expect(201), member)
    }

    async fn token(&self) -> String {
        self.issue("/v1/tokens", json!({"subject": "person-1", "format": "jwt"}), "token").await
    }

    async fn status(&self, secret: &str) -> u16 {
        ask(self.gateway.address(), "GET /", &[&format!("Authorization: Bearer {secret}")]).await.status
    }
}

async fn a_credential_passes_until_it_is_revoked_at_the_server(gateway: Gateway) {
    let Some(site) = Site::set(gateway).await else { return };
    let token =
        |format: &str| json!({"subject": "person 1%", "audience": "api", "scope": "read write", "format": format});
    for (path, body, member, kind) in [
        ("/v1/tokens", token("jwt"), "token", "token"),
        ("/v1/tokens", token("opaque"), "token", "token"),
        ("/v1/sessions", json!({"subject": "person 1%"}), "session_token", "session"),
    ] {
        let secret = site.issue(path, body, member).await;
        let credential = format!("Authorization: Bearer {secret}");
        let lines = [credential.as_str(), "X-Auth-Subject: forged", "X_Auth_Aal: forged", "X-Auth-Client: forged"];
        let got = ask(site.gateway.address(), "GET /../other?rule=other", &lines).await;
        let got = if got.status == 400 { ask(site.gateway.address(), "GET /?rule=other", &lines).await } else { got };
        let reached = site.backend.reached();
        assert_eq!((got.status, reached.len()), (200, 1), "{kind}: {got:?}, {}", site.gateway.log());
        let seen = |name: &str| reached[0].values(name).concat();
        assert_eq!((seen("x-auth-subject").as_str(), seen("x-auth-kind").as_str()), ("person 1%25", kind));
        assert_eq!(reached[0].headers.iter().filter(|(_, value)| value == "forged").count(), 0, "{:?}", reached[0]);
        site.node.api.revoke(&secret).await;
        let got = ask(site.gateway.address(), "GET /", &lines).await;
        assert_eq!((got.status, site.backend.reached().len()), (401, 0), "{kind}");
        let challenge = got.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
    // A ticket is not for the rule `default`.
    let ticket = site.issue("/v1/tickets", json!({"subject": "person-1"}), "ticket").await;
    assert_eq!((site.status(&ticket).await, site.status("unknown").await, site.backend.reached().len()), (401, 401, 0));
}

/// Sends one request after the other; whether one that was sent after `revoked_at` passed.
async fn sends(site: Arc<Site>, secret: String, revoked_at: watch::Receiver<Option<Instant>>) -> bool {
    let mut passed_late = false;
    let mut more = CLIENTS;
    while more > 0 {
        let sent_at = Instant::now();
        let is_after = revoked_at.borrow().is_some_and(|revoked_at| sent_at > revoked_at);
        let status = site.status(&secret).await;
        // A busy machine may take longer than a gateway waits.
        assert!(matches!(status, 200 | 401 | 500..), "{status}");
        passed_late |= is_after && status == 200;
        more -= usize::from(is_after);
    }
    passed_late
}

async fn no_request_that_is_sent_after_the_revocations_answer_passes(gateway: Gateway) {
    let rounds = std::env::var(ROUNDS).map_or(3, |rounds| rounds.parse().expect("a number"));
    let Some(site) = Site::set(gateway).await else { return };
    let site = Arc::new(site);
    for _ in 0..rounds {
        let token = site.token().await;
        let (tell, told) = watch::channel(None);
        let senders: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(sends(Arc::clone(&site), token.clone(), told.clone()))).collect();
        let mut passed = 0;
        while passed < CLIENTS {
            passed += site.backend.reached().len();
            tokio::task::yield_now().await;
        }
        site.node.api.revoke(&token).await;
        tell.send_replace(Some(Instant::now()));
        for sender in senders {
            assert!(!sender.await.expect("a client"), "a revoked token passes");
        }
        site.backend.reached();
    }
}

async fn a_server_that_is_killed_lets_nothing_pass_and_forgets_no_revocation(gateway: Gateway) {
    let Some(mut site) = Site::set(gateway).await else { return };
    let (kept, revoked) = (site.token().await, site.token().await);
    site.node.api.revoke(&revoked).await;
    assert_eq!((site.status(&kept).await, site.status(&revoked).await), (200, 401));
    site.backend.reached();
    let Site { gateway: running, node, backend, check, directory } = site;
    node.kill();
    for secret in [&kept, &revoked] {
        let got = ask(running.address(), "GET /", &[&format!("Authorization: Bearer {secret}")]).await;
        assert!(got.status >= 500 && backend.reached().is_empty(), "{got:?}");
    }
    let node = launch(&directory, gateway, &check);
    site = Site { gateway: running, node, backend, check, directory };
    let until = Instant::now() + PATIENCE;
    while site.status(&kept).await != 200 {
        assert!(Instant::now() < until, "the gateway does not ask again: {}", site.gateway.log());
    }
    assert_eq!((site.status(&revoked).await, site.status(&kept).await), (401, 200));
}
