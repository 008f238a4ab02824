//! The commands of README and guides, run as a reader would against a real server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::pages;
use super::transcript::{Replaced, Step, steps};
use crate::gateways::port::Port;
use crate::gateways::program::with_port;
use crate::process::node::{BINARY, Launch, NodeProcess, PATIENCE};
use crate::support::nginx;

/// Where the pages have their server.
const ADDRESS: &str = "http://127.0.0.1:7878";
/// Between two looks at a value that has not arrived yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A reader's shell in a directory of its own, next to a server whose data is where the pages have it.
struct Reader {
    /// First, so that it has stopped when its directory goes.
    _node: NodeProcess,
    directory: tempfile::TempDir,
    variables: BTreeMap<String, String>,
    replaced: Replaced,
    in_background: Vec<Pid>,
}

impl Reader {
    fn new() -> Self {
        Self::with(|launch| launch)
    }

    /// Next to a server that is started with more.
    fn with(more: impl FnOnce(Launch) -> Launch) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("authledger-data");
        let node = more(Launch::with(Command::new(BINARY), &data)).start();
        let mut replaced = Replaced::default();
        replaced.learn(ADDRESS, node.api.url());
        let programs = Path::new(BINARY).parent().unwrap().display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let variables = [("PATH", path.as_str()), ("AUTHLEDGER_URL", node.api.url())];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { _node: node, directory, variables, replaced, in_background: Vec::new() }
    }

    /// Runs every step of a page.
    fn follow(&mut self, page: &str) {
        let steps = steps(&pages::read(page));
        assert!(steps.len() > 3, "{page} has only {} steps", steps.len());
        for step in steps {
            if let Err(fault) = self.take(&step) {
                panic!("{page}: $ {}: {fault}", step.command);
            }
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        let command = self.replaced.apply(&step.command);
        if let Some((name, value)) = assignment(&command) {
            let value = self.run(&format!("printf %s {value}"))?;
            self.variables.insert(name.to_owned(), value);
            return Ok(());
        }
        // A command that waits for something is repeated where a busy machine takes longer than the page says.
        let waits = command.starts_with("sleep ");
        let until = Instant::now() + PATIENCE;
        loop {
            let outcome = self.run(&command).and_then(|came| {
                let compared = self.replaced.compare(&step.shown, &came);
                compared.map_err(|fault| format!("{fault}\n{came}"))
            });
            if outcome.is_ok() || !waits || Instant::now() > until {
                return outcome;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The output of the command in a shell, where it succeeds.
    fn run(&mut self, command: &str) -> Result<String, String> {
        // In files, because a process that runs on in the background would keep a pipe open.
        let said = self.directory.path().join("said");
        let complained = self.directory.path().join("complained");
        let create = |path: &Path| fs::File::create(path).map(Stdio::from).unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", command]).current_dir(&self.directory);
        shell.env_clear().envs(&self.variables).stdin(Stdio::null()).process_group(0);
        let mut shell = shell.stdout(create(&said)).stderr(create(&complained)).spawn().unwrap();
        if command.ends_with('&') {
            self.in_background.push(Pid::from_child(&shell));
        }
        let status = shell.wait().unwrap();
        let said = fs::read_to_string(said).unwrap();
        if status.success() {
            return Ok(said);
        }
        Err(format!("{status}\n{said}{}", fs::read_to_string(complained).unwrap()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for shell in &self.in_background {
            // The processes that it has started may have exited by themselves.
            let _ = kill_process_group(*shell, Signal::KILL);
        }
    }
}

/// `NAME=value` and `export NAME=value`, and nothing after it.
fn assignment(command: &str) -> Option<(&str, &str)> {
    let (name, value) = command.strip_prefix("export ").unwrap_or(command).split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let is_one_word = value.starts_with('"') || !value.contains(' ');
    (is_name && is_one_word).then_some((name, value))
}

/// curl with `--json`, or nothing, in which case the test that asks is left out, and has been told so.
fn has_curl() -> bool {
    let help = Command::new("curl").args(["--help", "all"]).output();
    let is_there = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--json"));
    if !is_there {
        println!("left out: curl 7.82 or later is not installed");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    }
    is_there
}

#[test]
fn the_readmes_calls_work() {
    if has_curl() {
        Reader::new().follow("README.md");
    }
}

#[test]
fn the_guides_of_the_native_api_and_of_auditing_work() {
    if has_curl() {
        let mut reader = Reader::new();
        for page in ["docs/guide/native-api.md", "docs/operate/backup.md", "docs/guide/auditing.md"] {
            reader.follow(page);
        }
    }
}

#[test]
fn the_guides_of_other_contracts_work() {
    if has_curl() {
        let mut reader = Reader::new();
        for page in ["native-api", "ory", "slashid", "cribl", "oauth"] {
            reader.follow(&format!("docs/guide/{page}.md"));
        }
    }
}

/// The files that the guide copies are given with free ports.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_of_gateways_works() {
    if !has_curl() || nginx::find().is_none() {
        return;
    }
    let [check, clients, protected] = [Port::keep(), Port::keep(), Port::keep()];
    let mut reader = Reader::with(|launch| launch.arg("--check-listen").arg(check.address().to_string()));
    let files = reader.directory.path().join("repository/tools/gateways");
    fs::create_dir_all(&files).unwrap();
    let ports = [("7879", &check), ("8080", &clients), ("3000", &protected)];
    for name in ["nginx.conf", "try-nginx.conf"] {
        let text = pages::read(&format!("tools/gateways/{name}"));
        let text = ports.iter().fold(text, |text, (port, real)| with_port(&text, port, real.address().port()));
        fs::write(files.join(name), text).unwrap();
    }
    for (port, real) in ports {
        reader.replaced.learn(&format!("127.0.0.1:{port}"), &real.address().to_string());
    }
    let repository = reader.directory.path().join("repository").display().to_string();
    reader.variables.insert("REPOSITORY".to_owned(), repository);
    tokio::task::spawn_blocking(move || reader.follow("docs/guide/gateways.md")).await.unwrap();
}

#[test]
fn assignments_are_seen() {
    assert_eq!(assignment("export A_B=c/d"), Some(("A_B", "c/d")));
    assert_eq!(assignment("AUTH=\"Authorization: Bearer x\""), Some(("AUTH", "\"Authorization: Bearer x\"")));
    assert_eq!(assignment("curl -s $BASE/v1 -d a=b"), None);
}
