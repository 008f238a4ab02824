//! DPoP proofs that clients of others make: RFC 9449.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{node, script};
use crate::process::node::{Launch, NodeProcess, Process, client, text};
use crate::support::python;

const URI: &str = "https://api.example/reports?page=2";

/// A client in a process of its own, which has a key.
struct Prover {
    name: &'static str,
    jkt: String,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

impl Prover {
    /// Those that are installed, once for each algorithm.
    fn installed() -> Vec<Self> {
        let in_node = ["ES256", "RS256"].into_iter().filter_map(|algorithm| {
            Some(Self::of("oauth4webapi", script(node("oauth4webapi")?, "dpop_node.mjs", &[algorithm])))
        });
        let in_python = ["ES256", "EdDSA"].into_iter().filter_map(|algorithm| {
            Some(Self::of("joserfc", script(python::with("joserfc")?, "dpop_python.py", &[algorithm])))
        });
        in_node.chain(in_python).collect()
    }

    fn of(name: &'static str, mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut prover = Self { name, jkt: String::new(), input, output, _process: Process::new(child) };
        prover.jkt = text(&prover.line(), "jkt");
        prover
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line:?}", self.name))
    }

    /// The headers `Authorization` and `DPoP` of that request.
    fn headers(&mut self, token: &str, method: &str, uri: &str) -> (String, String) {
        writeln!(self.input, "{}", json!({"token": token, "method": method, "uri": uri})).unwrap();
        let sent = self.line();
        (text(&sent, "authorization"), text(&sent, "dpop"))
    }
}

async fn is_active(server: &NodeProcess, token: &str, dpop: &str, method: &str) -> bool {
    let proof = json!({"dpop": dpop, "method": method, "uri": URI});
    let answer = server.api.post("/v1/introspect", json!({"credential": token, "proof": proof})).await.expect(200);
    answer["active"] == true
}

#[tokio::test]
async fn proofs_of_other_clients_are_accepted_once_and_for_their_request_only() {
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(&directory.path().join("ledger")).start();
    for mut prover in Prover::installed() {
        for format in ["jwt", "opaque"] {
            let body = json!({"subject": "ada", "format": format, "cnf": {"jkt": prover.jkt}});
            let token = text(&server.api.post("/v1/tokens", body).await.expect(201), "token");
            let (authorization, dpop) = prover.headers(&token, "GET", URI);
            assert_eq!(authorization, format!("DPoP {token}"));
            assert!(!is_active(&server, &token, &dpop, "POST").await, "{} {format}: another method", prover.name);
            assert!(is_active(&server, &token, &dpop, "GET").await, "{} {format}: a good proof", prover.name);
            assert!(!is_active(&server, &token, &dpop, "GET").await, "{} {format}: the same again", prover.name);
            if format == "jwt" {
                log_out(&server, &mut prover, &token).await;
            }
        }
        println!("{} proves its possession", prover.name);
    }
}

/// To this server itself, by SlashID's call.
async fn log_out(server: &NodeProcess, prover: &mut Prover, token: &str) {
    let uri = format!("{}/token/revoke", server.api.url());
    let (authorization, dpop) = prover.headers(token, "POST", &uri);
    let request = client().build().unwrap().post(&uri).json(&json!({"token": token}));
    let answer = request.header("authorization", authorization).header("dpop", dpop).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{}: {}", prover.name, answer.text().await.unwrap());
}
