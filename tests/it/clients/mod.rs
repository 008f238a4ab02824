//! The clients that other products give their users, from their registries and unmodified, each in a process of its own.
//!
//! A script under `tests/clients` drives one of them and judges the values that it decodes; here it is given its input and run. `tools/test`
//! installs the clients.

mod counts;
mod cribl;
mod dpop;
mod oauth;
mod ory;
mod schemathesis;
mod slashid;
mod tlog;
mod verifiers;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::node::{Launch, Process, ROOT};
use crate::support::python;

/// A call that a client made, and that was answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The client's own name for it.
    pub call: String,
    pub method: String,
    /// The contract's path under the base, with ids as `{id}`.
    pub route: String,
    pub status: u16,
}

/// A script and the client that it drives.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// `ory_python.py` with a package of PyPI, named as it is imported.
    OryPython(&'static str),
    /// `ory_node.mjs` with a package of npm.
    OryNode(&'static str),
    /// `slashid_node.mjs`.
    SlashId,
    /// `cribl_python.py`.
    Cribl,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OryPython("ory_client"),
        Self::OryPython("ory_kratos_client"),
        Self::OryNode("@ory/client"),
        Self::OryNode("@ory/kratos-client"),
        Self::SlashId,
        Self::Cribl,
    ];

    /// Runs the script with that input, and gives the calls that it made, or why it failed. It waits until the script exits.
    /// Nothing where the client is not installed, in which case the test that asks is left out, and has been told so.
    pub fn run(self, input: &Value) -> Option<Result<Vec<Made>, String>> {
        let mut command = match self {
            Self::OryPython(package) => script(python::with(package)?, "ory_python.py", &[package]),
            Self::OryNode(package) => script(node(package)?, "ory_node.mjs", &[package]),
            Self::SlashId => script(node("@slashid/slashid")?, "slashid_node.mjs", &[]),
            Self::Cribl => script(python::plain()?, "cribl_python.py", &[]),
        };
        let (mut said, mut failure) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdin(holding(input)).stdout(said.try_clone().unwrap()).stderr(failure.try_clone().unwrap());
        let status = Process::new(command.spawn().unwrap()).wait();
        if !status.success() {
            return Some(Err(text(&mut failure)));
        }
        Some(Ok(text(&mut said).lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn script(interpreter: PathBuf, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(project().join("tests/clients").join(name)).args(arguments);
    // Node.js finds packages from the directory that it runs in. Python shall leave no compiled files next to the scripts.
    let packages = project().join(".tools/node");
    command.current_dir(if packages.exists() { &packages } else { project() }).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A node that has the package, or nothing; on the terms of [`python`].
pub fn node(package: &str) -> Option<PathBuf> {
    let installed = project().join(".tools/node/node_modules").join(package).exists();
    let runs = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if installed && runs.is_ok_and(|status| status.success()) {
        return Some("node".into());
    }
    println!("left out: node with {package} is not installed; run tools/test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

pub fn holding(input: &Value) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.to_string().as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// A success of a client means something only if it can fail: here everything that it asks for is unknown.
#[test]
fn a_client_that_gets_another_answer_says_what_it_missed() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(&data.path().join("ledger")).start();
    let session = |number, subject| json!({"id": format!("6e2f3a4b-0000-4000-8000-00000000000{number}"), "session_token": "x", "subject": subject});
    let sessions: Vec<_> = (0..8).map(|number| session(number, if number < 6 { "ada" } else { "bob" })).collect();
    // A JWT of {"jti":"1"}, and one of {"user_token":<the first>}: nobody's signature is looked at.
    let token = "e30.eyJqdGkiOiIxIn0.c2ln";
    let container = "e30.eyJ1c2VyX3Rva2VuIjoiZTMwLmV5SnFkR2tpT2lJeEluMC5jMmxuIn0.c2ln";
    let input = json!({
        "base_url": format!("{}/nowhere", server.api.url()), "admin_token": ROOT, "tenant": "default", "sessions": sessions,
        "token": token, "container": container, "user": "samlp|x@example.com", "live": 0, "unknown_user": "nobody",
    });
    for client in Client::ALL {
        let Some(outcome) = client.run(&input) else { continue };
        let failure = outcome.expect_err("the server has no such paths");
        assert!(failure.contains("404") && !failure.contains(ROOT), "{client:?}: {failure}");
    }
}
