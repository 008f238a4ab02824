//! The followers that others start from, `schema/follower.py` and those in `examples/`: against the vectors, and against a real server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::node::{Launch, PATIENCE, ROOT, text};
use crate::support::python;

#[allow(dead_code, reason = "its main function is for those who run it")]
#[path = "../../../examples/follower.rs"]
pub(crate) mod example;

/// Each case with a follower of its own.
const VECTORS: &str = r#"
import json, sys, time, follower
cases = json.load(open("vectors/follower.json"))["cases"]
for case in cases:
    one = follower.Follower("http://nowhere", "")
    one.heard_at = time.monotonic() if case["fresh"] else one.heard_at
    for item in case["items"]:
        one.apply(item)
    found = one.is_refused(**case["credential"])
    if found != case["refused"]:
        sys.exit(f"{case['name']}: {found} where {case['refused']} is due")
print(len(cases))
"#;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn a_follower_in_70_lines_answers_every_vector() {
    let Some(python) = python::plain() else { return };
    let source = include_str!("../../../schema/follower.py");
    assert!(source.lines().count() <= 70, "it has {} lines", source.lines().count());
    let mut command = Command::new(python);
    command.args(["-B", "-c", VECTORS]).current_dir(project("schema")).env("PYTHONPATH", ".");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{} cases", String::from_utf8_lossy(&output.stdout).trim());
}

#[test]
fn the_follower_in_rust_answers_every_vector() {
    let vectors: Value = serde_json::from_str(include_str!("../../../schema/vectors/follower.json")).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let mut revocations = example::Revocations::default();
        for item in case["items"].as_array().unwrap() {
            revocations.apply(serde_json::from_value(item.clone()).unwrap());
        }
        let credential = serde_json::from_value(case["credential"].clone()).unwrap();
        let refused = revocations.refuses(&credential);
        // A follower that has heard nothing lately refuses as stale the credentials that it would let pass otherwise.
        let refused = refused.or_else(|| (!case["fresh"].as_bool().unwrap()).then_some("stale"));
        assert_eq!(json!(refused), case["refused"], "{}", case["name"]);
    }
}

/// A follower of a server.
trait Follower {
    /// Why it refuses a credential with these facts.
    fn refuses(&mut self, facts: &Value) -> Value;

    /// Asks until the answer is that one.
    fn comes_to(&mut self, facts: &Value, reason: &Value) {
        let until = Instant::now() + PATIENCE;
        loop {
            let refused = self.refuses(facts);
            if refused == *reason {
                return;
            }
            assert!(Instant::now() < until, "{refused} where {reason} is due");
            // The follower tells nobody when it has heard something, so it is asked again.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// `examples/follower.py` in a process of its own, killed when it is dropped.
struct InPython {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    _secret: tempfile::NamedTempFile,
}

impl InPython {
    fn start(python: &Path, url: &str) -> Self {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "{ROOT}").unwrap();
        let mut command = Command::new(python);
        command.arg("-B").arg(project("examples/follower.py")).args(["--heartbeat", "1", "--url", url, "--token-file"]);
        let mut child = command.arg(secret.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ask = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, answers, _secret: secret }
    }
}

impl Follower for InPython {
    fn refuses(&mut self, facts: &Value) -> Value {
        writeln!(self.ask, "{facts}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["refused"].clone()
    }
}

impl Drop for InPython {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `examples/follower.rs` in this process.
struct InRust {
    follower: Arc<example::Follower>,
    following: JoinHandle<anyhow::Result<()>>,
}

impl InRust {
    fn start(url: &str) -> Self {
        // Other tests of this process may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let follower = Arc::new(example::Follower::new(url, ROOT, Duration::from_secs(1)).unwrap());
        let running = Arc::clone(&follower);
        Self { follower, following: tokio::spawn(async move { running.run().await }) }
    }
}

impl Follower for InRust {
    fn refuses(&mut self, facts: &Value) -> Value {
        json!(self.follower.refuses(&serde_json::from_value(facts.clone()).unwrap()))
    }
}

impl Drop for InRust {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// The facts that an enforcing point has about a ticket: the digest of its secret, and its subject.
fn facts(issued: &Value) -> Value {
    let digest = authledger::domain::Digest::of(text(issued, "ticket").as_bytes());
    json!({"kind": "ticket", "tenant": "default", "subject": issued["subject"], "digest": digest.to_string()})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follower_in_python_refuses_what_a_real_server_revokes() {
    let Some(python) = python::plain() else { return };
    refuses_what_is_revoked(|url| InPython::start(&python, url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follower_in_rust_refuses_what_a_real_server_revokes() {
    refuses_what_is_revoked(InRust::start).await;
}

async fn refuses_what_is_revoked<F: Follower>(start: impl Fn(&str) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Launch::new(&data).args(&["--heartbeat", "1"]).start();
    let before = node.api.issue("before").await;
    node.api.revoke(&text(&before, "ticket")).await;
    let kept = node.api.issue("kept").await;
    let one = node.api.issue("one").await;
    let all = node.api.issue("all").await;

    let mut follower = start(node.api.url());
    follower.comes_to(&facts(&kept), &Value::Null);
    follower.comes_to(&facts(&before), &json!("revoked"));
    node.api.revoke(&text(&one, "ticket")).await;
    follower.comes_to(&facts(&one), &json!("revoked"));
    let revoked =
        node.api.post("/v1/revocations", json!({"subject": "all"})).await.expect(201)["revocations"][0].clone();
    follower.comes_to(&facts(&all), &json!("generation"));
    let mut later = facts(&node.api.issue("all").await);
    later["gen"] = json!({text(&revoked, "origin"): revoked["sequence"]});
    follower.comes_to(&later, &Value::Null);
    follower.comes_to(&facts(&kept), &Value::Null);
    let forgotten = facts(&node.api.issue("forgotten").await);
    follower.comes_to(&forgotten, &Value::Null);
    let path = "/v1/subjects/forgotten/personal-data";
    let erased = node.api.send(reqwest::Method::DELETE, path, None).await.unwrap().expect(200);
    assert_eq!(erased["keys_destroyed"], 0);
    follower.comes_to(&forgotten, &json!("erased"));

    // Cut off, it knows that it is stale; and goes on where it stopped when the server is back at its address.
    let address = node.api.url().trim_start_matches("http://").to_owned();
    assert_eq!(node.stop().await.0, Some(0));
    follower.comes_to(&facts(&kept), &json!("stale"));
    follower.comes_to(&facts(&one), &json!("revoked"));
    let node = Launch::new(&data).args(&["--heartbeat", "1"]).listen(&address).start();
    let mut late = start(node.api.url());
    late.comes_to(&forgotten, &json!("erased"));
    follower.comes_to(&facts(&kept), &Value::Null);
    node.api.revoke(&text(&kept, "ticket")).await;
    follower.comes_to(&facts(&kept), &json!("revoked"));
}
