//! Verifiers of others, running while keys rotate and the algorithm changes: none refuses a good token.
//!
//! The verifiers keep what they have fetched for minutes, and no test waits that long. Between them and the server is a
//! gate instead. It is open while they start, as they may at any moment before a rotation, and shut from just before the
//! rotation on: a verifier that accepts the new key's tokens then has had the key all along. What the time between two
//! rotations must be, which `--key-publish-ahead` ensures, does not show here, so it is 0.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tlog::program;
use super::{node, script};
use crate::process::node::{Launch, NodeProcess, Process, client};
use crate::support::{python, stub};

const AUDIENCE: &str = "https://api.example";

/// What verifiers see of the server.
#[derive(Default)]
struct Gate {
    server: Mutex<String>,
    is_shut: AtomicBool,
    /// Fetches while it was shut.
    refused: AtomicUsize,
}

impl Gate {
    /// The gate, and its address.
    async fn start() -> (Arc<Self>, String) {
        let gate = Arc::new(Self::default());
        let address = stub::serve(Router::new().fallback(Self::pass).with_state(gate.clone())).await;
        (gate, format!("http://{address}"))
    }

    async fn pass(State(gate): State<Arc<Self>>, uri: Uri) -> Response {
        if gate.is_shut.load(Ordering::SeqCst) {
            gate.refused.fetch_add(1, Ordering::SeqCst);
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let server = gate.server.lock().clone();
        let client = client().build().unwrap();
        let answer = client.get(format!("{server}{}", uri.path())).send().await.unwrap();
        let headers =
            [header::CONTENT_TYPE, header::CACHE_CONTROL].map(|name| (name.clone(), answer.headers()[&name].clone()));
        (answer.status(), headers, answer.bytes().await.unwrap()).into_response()
    }

    fn leads_to(&self, server: &NodeProcess) {
        server.api.url().clone_into(&mut self.server.lock());
    }

    fn shut(&self, shut: bool) {
        self.is_shut.store(shut, Ordering::SeqCst);
    }
}

/// A verifier in a process of its own.
struct Verifier {
    library: &'static str,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

#[derive(Deserialize)]
struct Answer {
    accepted: bool,
    why: String,
}

impl Verifier {
    /// Those that are installed.
    fn installed() -> Vec<Self> {
        let in_python = python::with("jwt").map(|python| ("PyJWT", script(python, "verifiers_python.py", &[])));
        let in_node = ["jose", "jsonwebtoken", "express-oauth2-jwt-bearer"]
            .into_iter()
            .filter_map(|library| Some((library, script(node(library)?, "verifiers_node.mjs", &[library]))));
        let in_go = ["go-oidc", "jwx"].into_iter().filter_map(|library| {
            let mut command = Command::new(program("verifiers")?);
            command.arg(library);
            Some((library, command))
        });
        in_python.into_iter().chain(in_node).chain(in_go).map(|(library, command)| Self::of(library, command)).collect()
    }

    fn of(library: &'static str, mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { library, input, output, _process: Process::new(child) }
    }

    fn ask(&mut self, asked: &Value) -> Answer {
        writeln!(self.input, "{asked}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line:?}", self.library))
    }

    /// Whether it keeps all keys that it has fetched. jwks-rsa keeps only those that it was asked for, and fetches the set
    /// for each other one, at any time: it is never late, and refuses good tokens if it can't fetch.
    fn keeps_the_set(&self) -> bool {
        self.library != "jsonwebtoken"
    }

    /// Starts it anew: it has fetched nothing.
    fn begin(&mut self, issuer: &str) {
        let begun = self.ask(&json!({"issuer": issuer, "audience": AUDIENCE}));
        assert!(begun.accepted, "{} does not start: {}", self.library, begun.why);
    }

    fn accepts(&mut self, token: &str, when: &str) {
        let answer = self.ask(&json!({"token": token}));
        assert!(answer.accepted, "{} refuses a good token {when}: {}", self.library, answer.why);
    }
}

fn launch(data: &Path, issuer: &str, algorithm: &str) -> NodeProcess {
    let arguments = ["--public-url", issuer, "--token-algorithm", algorithm, "--key-publish-ahead", "0"];
    Launch::new(data).args(&arguments).start()
}

async fn token(server: &NodeProcess) -> String {
    let body = json!({"subject": "ada", "audience": AUDIENCE, "ttl": 600});
    server.api.post("/v1/tokens", body).await.expect(201)["token"].as_str().unwrap().to_owned()
}

/// Rotates, and tells with which algorithm the new key signs.
async fn rotate(server: &NodeProcess) -> String {
    server.api.post("/v1/keys", json!({})).await.expect(201)["alg"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_verifier_refuses_a_good_token_while_keys_and_their_algorithm_change() {
    let (gate, issuer) = Gate::start().await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("ledger");
    let mut server = launch(&data, &issuer, "ES256");
    gate.leads_to(&server);
    let mut verifiers = Verifier::installed();
    for (round, algorithm) in ["ES256", "ES256", "ES256", "RS256", "RS256"].into_iter().enumerate() {
        if round == 3 {
            assert_eq!(server.stop().await.0, Some(0));
            server = launch(&data, &issuer, algorithm);
            gate.leads_to(&server);
        }
        gate.shut(false);
        let before = token(&server).await;
        for verifier in &mut verifiers {
            verifier.begin(&issuer);
            verifier.accepts(&before, &format!("before rotation {round}"));
        }
        gate.shut(true);
        assert_eq!(rotate(&server).await, algorithm);
        let after = token(&server).await;
        let (keepers, others): (Vec<_>, Vec<_>) = verifiers.iter_mut().partition(|verifier| verifier.keeps_the_set());
        for verifier in keepers {
            verifier.accepts(&after, &format!("after rotation {round}"));
            verifier.accepts(&before, &format!("of the key before rotation {round}"));
        }
        assert_eq!(gate.refused.load(Ordering::SeqCst), 0, "nobody had to fetch the keys again");
        gate.shut(false);
        for verifier in others {
            verifier.accepts(&after, &format!("after rotation {round}"));
        }
    }
    // The success means something only if it can fail: a second rotation brings a key that nobody has fetched.
    gate.shut(true);
    rotate(&server).await;
    let unknown = token(&server).await;
    for verifier in &mut verifiers {
        let answer = verifier.ask(&json!({"token": unknown}));
        assert!(!answer.accepted, "{} accepts what a key signed that it can't know", verifier.library);
        println!("{} refused no good token, and refuses what a key signed that it has not fetched", verifier.library);
    }
    gate.shut(false);
}

/// A verifier that starts before the first token finds the keys and the algorithm, and keeps them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_verifier_may_start_before_the_first_token() {
    let (gate, issuer) = Gate::start().await;
    let directory = tempfile::tempdir().unwrap();
    let server = launch(&directory.path().join("ledger"), &issuer, "ES256");
    gate.leads_to(&server);
    let mut verifiers = Verifier::installed();
    for verifier in &mut verifiers {
        verifier.begin(&issuer);
    }
    let first = token(&server).await;
    for verifier in &mut verifiers {
        verifier.accepts(&first, "at once");
    }
}
