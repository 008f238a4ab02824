//! Two real servers, each of which reaches the other at an address that stays its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::process::node::{Api, BINARY, Launch, NodeProcess, PATIENCE, ROOT};
use crate::support::nats::Proxy;

/// Two nodes of one ledger: `a`, which has made it, and `b`, which has joined.
pub struct Pair {
    pub a: NodeProcess,
    pub b: NodeProcess,
    /// Before each of them, for the other.
    pub to_a: Proxy,
    pub to_b: Proxy,
    pub directory: tempfile::TempDir,
}

impl Pair {
    /// Both answer.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (to_a, to_b) = (Proxy::to_nothing().await, Proxy::to_nothing().await);
        let a = launch(&directory.path().join("a"), "a", &to_a).start();
        to_a.lead_to(address(&a));
        let joined = join(&directory.path().join("b"), "b", &to_a, &to_b);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        let b = launch(&directory.path().join("b"), "b", &to_b).start();
        to_b.lead_to(address(&b));
        ready(&b.api).await;
        Self { a, b, to_a, to_b, directory }
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A server of that name that others reach through that proxy.
pub fn launch(data: &std::path::Path, name: &str, before: &Proxy) -> Launch {
    Launch::new(data).args(&["--node", name, "--region", name, "--address", &url(before)])
}

/// Where a proxy listens.
pub fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

/// Where a server listens.
pub fn address(node: &NodeProcess) -> SocketAddr {
    node.api.url().trim_start_matches("http://").parse().expect("an address")
}

/// `authledger node join` for that directory, at a member.
pub fn join(data: &std::path::Path, name: &str, member: &Proxy, own: &Proxy) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["node", "join", "--node", name, "--region", name, "--address", &url(own), "--url", &url(member)]);
    command.arg("--data").arg(data).env("AUTHLEDGER_TOKEN", ROOT).env_remove("AUTHLEDGER_URL");
    command.output().expect("the binary runs")
}

/// Until the node answers callers.
pub async fn ready(api: &Api) {
    until("it is ready", async || api.get("/health/ready").await.status == 200).await;
}

/// Until it is so. No message says that a node has heard of another one, so they are asked again and again.
pub async fn until(due: &str, is_so: impl AsyncFn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < limit, "not in time: {due}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
