//! A node, an edge that follows it, and the requests of a gateway.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::credentials::Issuer;
use crate::process::node::{Api, BINARY, Launch, NodeProcess, PATIENCE, Process, client};
use crate::support::faketime::WallClock;
use crate::support::secrets;

/// Rules of every node and edge here.
const RULES: &str = r#"
[[check]]
rule = "any"
credentials = ["bearer", "header:X-Session-Token"]
kinds = ["ticket", "session", "token"]

[[check]]
rule = "refuse"
kinds = ["ticket", "session", "token"]
when_stale = "refuse"

[[check]]
rule = "allow"
kinds = ["ticket", "session", "token"]
when_stale = "allow"

[[check]]
rule = "renew"
kinds = ["ticket"]
renew = true

"#;

/// A directory with the settings of a node and its edges, and the issuer that they trust.
pub struct Place {
    pub directory: TempDir,
    pub issuer: Issuer,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(directory.path());
        std::fs::write(directory.path().join("rules.toml"), format!("{RULES}{}", issuer.table())).unwrap();
        Self { directory, issuer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A node with a heartbeat each second, about to be started.
    pub fn launch(&self, data: &str) -> Launch {
        let rules = self.path("rules.toml");
        Launch::new(&self.path(data)).args(&["--heartbeat", "1", "--config", rules.to_str().unwrap()])
    }

    pub fn node(&self) -> NodeProcess {
        self.launch("data").start()
    }

    /// An edge that follows the node at that address, with the secret in that file.
    pub fn edge(&self, upstreams: &[&str], token_file: &Path) -> EdgeLaunch {
        let mut command = Command::new(BINARY);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUTHLEDGER_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
        command.args(["edge", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--heartbeat", "1"]);
        command.arg("--config").arg(self.path("rules.toml")).arg("--token-file").arg(token_file);
        for upstream in upstreams {
            command.args(["--upstream", upstream]);
        }
        let name = format!("edge-{}.log", authledger::clock::fresh_uuid().unwrap());
        EdgeLaunch { command, log: self.path(&name) }
    }

    /// An edge beside that node, once it answers from memory.
    pub async fn ready_edge(&self, node: &NodeProcess) -> EdgeProcess {
        let edge = self.edge(&[node.api.url()], &self.token_file(&node.api).await).start();
        edge.is_ready().await;
        edge
    }

    /// A file with the secret of an application that may follow and introspect.
    pub async fn token_file(&self, root: &Api) -> PathBuf {
        let path = self.path("edge-token");
        if !path.exists() {
            let body = serde_json::json!({"name": "edge", "scopes": ["follow", "introspect"], "tenants": ["*"]});
            let made = root.post("/v1/applications", body).await.expect(201);
            std::fs::write(&path, made["secret"].as_str().unwrap()).unwrap();
        }
        path
    }
}

/// An edge about to be started.
pub struct EdgeLaunch {
    command: Command,
    log: PathBuf,
}

impl EdgeLaunch {
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// With a wall clock that a test moves.
    pub fn with_clock(mut self, clock: &WallClock) -> Self {
        self.command.envs(clock.variables());
        self
    }

    /// Starts it, and waits until it listens.
    pub fn start(mut self) -> EdgeProcess {
        let log = std::fs::File::create(&self.log).unwrap();
        let mut child = self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (id, stdout) = (child.id(), child.stdout.take().unwrap());
        let process = Process::new(child);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody waits for more than the last one.
                let _ = tell.send(line);
            }
        });
        let (mut checks, mut introspection) = (None, None);
        loop {
            let line = match told.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(_) => panic!("the edge does not listen: {}", std::fs::read_to_string(&self.log).unwrap()),
            };
            let line = line.strip_prefix("authledger: ").unwrap_or_default().to_owned();
            if let Some(url) = line.strip_prefix("checks on ") {
                checks = Some(url.trim_end_matches("/check/RULE").to_owned());
            } else if let Some(url) = line.strip_prefix("introspection on ") {
                introspection = Some(url.to_owned());
            } else if let Some(admin) = line.strip_prefix("health and metrics on ") {
                let client = client().build().unwrap();
                let (checks, admin) = (checks.unwrap(), admin.to_owned());
                return EdgeProcess { process, id, checks, introspection, admin, log: self.log, client };
            }
        }
    }
}

/// An edge that runs.
pub struct EdgeProcess {
    process: Process,
    id: u32,
    pub checks: String,
    pub introspection: Option<String>,
    pub admin: String,
    log: PathBuf,
    client: Client,
}

/// What a gateway was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub status: u16,
    /// The identity headers, by their names.
    pub identity: Vec<(String, String)>,
}

/// Asks for a check, as a gateway does.
pub async fn check(client: &Client, url: &str, rule: &str, credential: &str) -> Told {
    let response = client.get(format!("{url}/check/{rule}")).bearer_auth(credential).send().await.expect("an answer");
    let identity = response.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-auth-"));
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
    let mut identity: Vec<_> = identity.map(|(name, value)| (name.to_string(), text(value))).collect();
    identity.sort();
    Told { status: response.status().as_u16(), identity }
}

impl EdgeProcess {
    pub async fn check(&self, rule: &str, credential: &str) -> Told {
        check(&self.client, &self.checks, rule, credential).await
    }

    /// The status of a check by the rule that takes every kind.
    pub async fn status(&self, credential: &str) -> u16 {
        self.check("any", credential).await.status
    }

    /// Asks until the status is that one. How long that took.
    pub async fn comes_to(&self, rule: &str, credential: &str, status: u16) -> Duration {
        let started = Instant::now();
        loop {
            let told = self.check(rule, credential).await.status;
            if told == status {
                return started.elapsed();
            }
            assert!(started.elapsed() < PATIENCE, "{told} where {status} is due; {}", self.log());
            // It tells nobody when it has heard something, so it is asked again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until it answers from memory.
    pub async fn is_ready(&self) {
        self.readiness_comes_to(StatusCode::OK).await;
    }

    /// Waits until it says of itself that it does not.
    pub async fn is_blind(&self) {
        self.readiness_comes_to(StatusCode::SERVICE_UNAVAILABLE).await;
    }

    async fn readiness_comes_to(&self, status: StatusCode) {
        let started = Instant::now();
        while self.ready().await.0 != status {
            assert!(started.elapsed() < PATIENCE, "it does not come to {status}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The readiness, and its state in a word.
    pub async fn ready(&self) -> (StatusCode, Value) {
        let response = self.client.get(format!("{}/health/ready", self.admin)).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap()["state"].clone())
    }

    /// The value of a metric, by its line without the value.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let text = self.client.get(format!("{}/metrics", self.admin)).send().await.unwrap().text().await.unwrap();
        let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found.map(|value| value.parse().unwrap())
    }

    pub fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM, and how it exited.
    pub async fn stop(mut self) -> Option<i32> {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        tokio::task::spawn_blocking(move || self.process.wait().code()).await.unwrap()
    }
}

impl Drop for EdgeProcess {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrets::assert_none("the log of an edge", self.log().as_bytes(), b"");
        }
    }
}
