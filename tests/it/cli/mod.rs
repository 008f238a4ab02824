//! The command line, as the real program.

mod application;
mod backup;
mod demo;
mod dumps;
mod follow;
mod import;
mod imported;
mod key;
mod restore;
mod sealed;
mod shown;
mod subject;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use authledger::cli::client::Client;
use authledger::domain::Secret;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine; a wait that reaches it has failed.
const LIMIT: Duration = Duration::from_secs(60);
const ROOT: &str = "root-secret-of-the-command-line-tests";

/// The program, with nothing of this process's settings.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authledger"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The output of a program that has exited.
struct Exited {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Exited {
    fn succeeded(self) -> String {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// The sentence of a failure.
    fn refused(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{}\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

fn run(arguments: &[&str]) -> Exited {
    finish(&mut program(arguments))
}

fn finish(command: &mut Command) -> Exited {
    let child = command.spawn().unwrap();
    let running = Process(child);
    running.wait()
}

/// A process that does not outlive the test.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its output until it exits by itself.
    fn wait(mut self) -> Exited {
        let stdout = collect(self.0.stdout.take());
        let stderr = collect(self.0.stderr.take());
        let told = |said: &Receiver<String>| said.recv_timeout(LIMIT).unwrap_or_default();
        // Both ends of file come when it exits; a process that hangs is killed when this is dropped.
        let (stdout, stderr) = (told(&stdout), told(&stderr));
        let status = self.0.try_wait().unwrap().or_else(|| self.0.wait().ok()).unwrap();
        Exited { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // By its own id, and only this one.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stream.map(|mut stream| stream.read_to_string(&mut text));
        let _ = tell.send(text);
    });
    told
}

/// The lines of a stream, as they come.
struct LinesOf(Receiver<String>);

impl LinesOf {
    fn new(stream: impl Read + Send + 'static) -> Self {
        let (tell, told) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self(told)
    }

    fn next(&self) -> String {
        match self.0.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line came"),
            Err(RecvTimeoutError::Disconnected) => panic!("the stream ended"),
        }
    }

    fn next_json(&self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }

    fn until(&self, text: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(text) {
                return line;
            }
        }
    }
}

/// A server, as the real program, on a free port.
struct Served {
    process: Process,
    address: String,
    data: PathBuf,
    _stdout: LinesOf,
}

impl Served {
    fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0")
    }

    fn start_at(data: &Path, listen: &str) -> Self {
        let arguments = ["serve", "--data", data.to_str().unwrap(), "--listen", listen, "--heartbeat", "1"];
        let mut command = program(&arguments);
        command.env("AUTHLEDGER_ROOT_TOKEN", ROOT).stderr(Stdio::null());
        let mut process = Process(command.spawn().unwrap());
        let stdout: ChildStdout = process.0.stdout.take().unwrap();
        let stdout = LinesOf::new(stdout);
        let address = stdout.until("listening on").rsplit_once("http://").unwrap().1.to_owned();
        Self { process, address, data: data.to_owned(), _stdout: stdout }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> Client {
        Client::connect(&self.url(), &Secret::new(ROOT), None).unwrap()
    }

    /// Stops it as an operator does.
    fn stop(self) {
        self.process.signal(Signal::TERM);
        let output = self.process.wait();
        assert!(output.status.success(), "{}", output.status);
    }

    /// Runs a subcommand that calls this server, as root.
    fn call(&self, arguments: &[&str]) -> Exited {
        finish(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("AUTHLEDGER_URL", self.url()).env("AUTHLEDGER_TOKEN", ROOT);
        command
    }
}

async fn post(client: &Client, path: &str, body: Value) -> Value {
    let answer = client.text(client.request(Method::POST, path).json(&body)).await.unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// Issues a ticket and revokes it. Returns its public id.
async fn issue_and_revoke(client: &Client, subject: &str) -> String {
    let ticket = post(client, "/v1/tickets", json!({ "subject": subject })).await;
    let revoked = post(client, "/v1/revocations", json!({"credential": ticket["ticket"], "reason": "test"})).await;
    revoked["revocations"][0]["id"].as_str().unwrap().to_owned()
}
