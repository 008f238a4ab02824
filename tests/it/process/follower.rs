//! The follower of `schema/follower.py`: against the vectors, and against a real server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::node::{Launch, PATIENCE, ROOT, text};
use crate::support::python;

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

/// Follows for ever, and answers each line of facts with what it holds of them.
const SERVE: &str = r#"
import json, sys, threading, time, follower
one = follower.Follower(sys.argv[1], sys.argv[2], heartbeat=1)
def run():
    while True:
        one.follow()
        time.sleep(0.05)
threading.Thread(target=run, daemon=True).start()
for line in sys.stdin:
    print(json.dumps({"refused": one.is_refused(**json.loads(line)), "cursor": one.cursor}), flush=True)
"#;

fn script(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-B", "-c", script]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema"));
    command.env("PYTHONPATH", ".");
    command
}

#[test]
fn a_follower_in_60_lines_answers_every_vector() {
    let Some(python) = python::plain() else { return };
    let source = include_str!("../../../schema/follower.py");
    assert!(source.lines().count() <= 60, "it has {} lines", source.lines().count());
    let output = script(&python, VECTORS).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{} cases", String::from_utf8_lossy(&output.stdout).trim());
}

/// The follower in a process of its own, killed when it is dropped.
struct Follower {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Follower {
    fn start(python: &Path, url: &str) -> Self {
        let mut command = script(python, SERVE);
        let mut child = command.args([url, ROOT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, ask, answers }
    }

    fn ask(&mut self, facts: &Value) -> Value {
        writeln!(self.ask, "{facts}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Asks until the answer is that one.
    fn comes_to(&mut self, facts: &Value, reason: &Value) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(facts);
            if answer["refused"] == *reason {
                return;
            }
            assert!(Instant::now() < until, "{answer} where {reason} is due");
            // The follower tells nobody when it has heard something, so it is asked again.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an enforcing point knows of a ticket: its secret's digest, and whose it is.
fn facts(issued: &Value) -> Value {
    let digest = authledger::domain::Digest::of(text(issued, "ticket").as_bytes());
    json!({"kind": "ticket", "tenant": "default", "subject": issued["subject"], "digest": digest.to_string()})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follower_refuses_what_a_real_server_ends() {
    let Some(python) = python::plain() else { return };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = Launch::new(&data).args(&["--heartbeat", "1"]).start();
    let before = node.api.issue("before").await;
    node.api.revoke(&text(&before, "ticket")).await;
    let (good, one, all) = (node.api.issue("good").await, node.api.issue("one").await, node.api.issue("all").await);

    let mut follower = Follower::start(&python, node.api.url());
    follower.comes_to(&facts(&good), &Value::Null);
    follower.comes_to(&facts(&before), &json!("revoked"));
    node.api.revoke(&text(&one, "ticket")).await;
    follower.comes_to(&facts(&one), &json!("revoked"));
    let revoked =
        node.api.post("/v1/revocations", json!({"subject": "all"})).await.expect(201)["revocations"][0].clone();
    follower.comes_to(&facts(&all), &json!("generation"));
    let mut later = facts(&node.api.issue("all").await);
    later["gen"] = json!({text(&revoked, "origin"): revoked["sequence"]});
    follower.comes_to(&later, &Value::Null);
    follower.comes_to(&facts(&good), &Value::Null);
    let forgotten = facts(&node.api.issue("forgotten").await);
    follower.comes_to(&forgotten, &Value::Null);
    let path = "/v1/subjects/forgotten/personal-data";
    let erased = node.api.send(reqwest::Method::DELETE, path, None).await.unwrap().expect(200);
    assert_eq!(erased["keys_destroyed"], 0);
    follower.comes_to(&forgotten, &json!("erased"));

    // Cut off, it knows that it is stale; and goes on where it stopped when the server is back at its address.
    let address = node.api.url().trim_start_matches("http://").to_owned();
    assert_eq!(node.stop().await.0, Some(0));
    follower.comes_to(&facts(&good), &json!("stale"));
    follower.comes_to(&facts(&one), &json!("revoked"));
    let node = Launch::new(&data).args(&["--heartbeat", "1"]).listen(&address).start();
    let mut late = Follower::start(&python, node.api.url());
    late.comes_to(&forgotten, &json!("erased"));
    follower.comes_to(&facts(&good), &Value::Null);
    node.api.revoke(&text(&good, "ticket")).await;
    follower.comes_to(&facts(&good), &json!("revoked"));
}
