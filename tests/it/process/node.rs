//! A server in a process of its own, and its client.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use authledger::clock;
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::secrets;

/// Root's secret in every server that the tests start.
pub const ROOT: &str = "root-secret-of-the-tests-0123456789abcdef";
/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_authledger");

/// The names of all surfaces, as the setting has them.
pub fn every_surface() -> String {
    authledger::http::Surface::names().replace(' ', "")
}

/// A server about to be started.
pub struct Launch {
    command: Command,
    listen: String,
    log: PathBuf,
    data: PathBuf,
}

impl Launch {
    /// `authledger serve` on a free port of the loopback, with root's secret from the environment.
    pub fn new(data: &Path) -> Self {
        Self::with(Command::new(BINARY), data).env("AUTHLEDGER_ROOT_TOKEN", ROOT)
    }

    /// The same behind another program, which is given the binary as its last argument.
    pub fn behind(mut wrapper: Command, data: &Path) -> Self {
        wrapper.arg(BINARY);
        Self::with(wrapper, data).env("AUTHLEDGER_ROOT_TOKEN", ROOT)
    }

    /// As [`Launch::new`] with a command that runs the binary, and root's secret in the directory.
    pub fn with(mut command: Command, data: &Path) -> Self {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUTHLEDGER_")) {
            command.env_remove(name);
        }
        // A refusal is one sentence, whatever the caller of the tests has asked of Rust.
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
        command.arg("serve").arg("--data").arg(data);
        let name = format!("authledger-{}.log", clock::fresh_uuid().expect("randomness"));
        Self {
            command,
            listen: "127.0.0.1:0".to_owned(),
            log: data.parent().expect("a directory in a directory").join(name),
            data: data.to_owned(),
        }
    }

    /// On that address instead.
    pub fn listen(self, address: &str) -> Self {
        Self { listen: address.to_owned(), ..self }
    }

    /// With another argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// With more arguments.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// With a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it, and waits until it listens.
    pub fn start(mut self) -> NodeProcess {
        let started = Instant::now();
        let child = self.spawn();
        let mut process = Process::new(child);
        let stdout = process.child.stdout.take().expect("piped");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let urls = ["authledger: listening on ", "authledger: answering checks on "];
                if let Some(url) = urls.iter().find_map(|before| line.strip_prefix(before)) {
                    // The test may be over.
                    let _ = tell.send(url.to_owned());
                }
            }
        });
        match told.recv_timeout(PATIENCE) {
            Ok(url) => {
                secrets::remember(ROOT);
                let search = secrets::Search { data: self.data, log: Some(self.log.clone()) };
                let api = Api::new(&url, ROOT);
                NodeProcess {
                    process,
                    api,
                    log: self.log,
                    took: started.elapsed(),
                    told: Mutex::new(told),
                    _search: search,
                }
            }
            Err(_) => panic!("the server does not listen: {}", read(&self.log)),
        }
    }

    /// Starts it, expects that it exits by itself, and gives its exit code and its output.
    pub fn refuse(mut self) -> (Option<i32>, String) {
        let mut process = Process::new(self.spawn());
        let status = process.wait();
        (status.code(), read(&self.log))
    }

    /// Starts it, sends SIGTERM once `starting` returns, and tells how it exited; the value of `starting` is held until then.
    pub fn terminate_when<T>(mut self, starting: impl FnOnce() -> T) -> ExitStatus {
        let mut process = Process::new(self.spawn());
        let _held = starting();
        process.terminate();
        process.wait()
    }

    fn spawn(&mut self) -> Child {
        let log = File::create(&self.log).expect("a file for the log");
        self.command.args(["--listen", &self.listen]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        self.command.spawn().expect("the binary starts")
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// A child process, killed when it is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// One that was started.
    pub fn new(child: Child) -> Self {
        Self { child }
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("our child");
    }

    /// Waits until it exits, as long as anything may take.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// Waits until it exits, as long as that.
    pub fn wait_at_most(&mut self, patience: Duration) -> ExitStatus {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < until, "the process does not exit");
            // The standard library waits for a process for ever or not at all.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that runs.
pub struct NodeProcess {
    process: Process,
    /// Root's calls to it.
    pub api: Api,
    log: PathBuf,
    /// From the start to the line that names the address.
    pub took: Duration,
    /// The addresses that it names after the first.
    told: Mutex<mpsc::Receiver<String>>,
    /// Last, so that it looks when the process has exited.
    _search: secrets::Search,
}

impl NodeProcess {
    /// A server on that directory with nothing unusual about it.
    pub fn start(data: &Path) -> Self {
        Launch::new(data).start()
    }

    /// The next address on which it answers checks alone.
    pub fn check_url(&self) -> String {
        self.told.lock().recv_timeout(PATIENCE).expect("it answers checks")
    }

    /// Kills it as a power cut would: nothing is told to it.
    pub fn kill(mut self) {
        self.process.child.kill().expect("our child");
        self.process.wait();
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGTERM, and the exit code and log after that. Other tasks of the test go on meanwhile.
    pub async fn stop(self) -> (Option<i32>, String) {
        self.terminate();
        self.exited().await
    }

    /// Waits until it exits by itself; its exit code and log.
    pub async fn exited(mut self) -> (Option<i32>, String) {
        let waiting = tokio::task::spawn_blocking(move || (self.process.wait().code(), read(&self.log)));
        waiting.await.expect("the process exits")
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Memory that is its own and in RAM, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// A caller with a secret.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    url: Arc<str>,
    secret: Arc<str>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The body, where the status is that one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}

/// A member that is a string.
#[track_caller]
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

impl Api {
    /// Calls to that server with that secret, on connections that are kept.
    pub fn new(url: &str, secret: &str) -> Self {
        Self::with_client(client().build().expect("a client"), url, secret)
    }

    /// As [`Api::new`] with a client made for the purpose.
    pub fn with_client(client: reqwest::Client, url: &str, secret: &str) -> Self {
        Self { client, url: url.into(), secret: secret.into() }
    }

    /// The same caller on connections of its own.
    pub fn apart(&self) -> Self {
        Self::new(&self.url, &self.secret)
    }

    /// Another caller at the same server.
    pub fn as_caller(&self, secret: &str) -> Self {
        Self { secret: secret.into(), ..self.clone() }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request about to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.secret)
    }

    /// Sends it; an error where there is no whole answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if status.is_success() && !path.starts_with("/v1/revocations") {
            secrets::handed_out(path, text.as_bytes());
        } else {
            let presented = format!("{path} {} {}", body.map(Value::to_string).unwrap_or_default(), self.secret);
            secrets::assert_none(&format!("the answer {status} to {path}"), text.as_bytes(), presented.as_bytes());
        }
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await.expect("an answer")
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&body)).await.expect("an answer")
    }

    /// Issues a ticket in the default tenant, and gives the whole answer.
    pub async fn issue(&self, subject: &str) -> Value {
        self.post("/v1/tickets", json!({"subject": subject})).await.expect(201)
    }

    /// Revokes a credential, and gives the whole answer.
    pub async fn revoke(&self, credential: &str) -> Value {
        self.post("/v1/revocations", json!({"credential": credential})).await.expect(201)
    }

    /// Issues a ticket and revokes it; the ticket's id.
    pub async fn issue_and_revoke(&self, tenant: &str, subject: &str) -> String {
        let issued = self.post("/v1/tickets", json!({"tenant": tenant, "subject": subject})).await.expect(201);
        self.revoke(&text(&issued, "ticket")).await;
        text(&issued, "id")
    }

    /// Whether the credential is active.
    pub async fn is_active(&self, credential: &str) -> bool {
        let found = self.post("/v1/introspect", json!({"credential": credential})).await.expect(200);
        found["active"].as_bool().expect("active")
    }

    /// Registers an application for every tenant; its id and its calls.
    pub async fn application(&self, name: &str, scopes: &[&str]) -> (String, Self) {
        let body = json!({"name": name, "scopes": scopes, "tenants": ["*"]});
        let made = self.post("/v1/applications", body).await.expect(201);
        (text(&made, "id"), self.as_caller(&text(&made, "secret")))
    }

    /// Follows the feed.
    pub async fn follow(&self, accept: &str, query: &str) -> Events {
        Events::of(self.request(Method::GET, &format!("/v1/revocations{query}")).header("accept", accept)).await
    }
}

/// A client's settings: no proxy of the machine's, and a limit on every wait.
pub fn client() -> reqwest::ClientBuilder {
    // The first one that is installed counts; another test may have been faster.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().read_timeout(PATIENCE)
}

/// One event of a stream, whichever its format.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name; empty for a frame with an id alone.
    pub name: String,
    /// The cursor that it carries.
    pub id: Option<String>,
    /// Its data; null where it has none.
    pub data: Value,
    /// The wait of an EventSource before it connects again.
    pub retry: Option<u64>,
}

impl Event {
    fn of_block(block: &str) -> Self {
        let mut event = Self { name: String::new(), id: None, data: Value::Null, retry: None };
        for line in block.lines() {
            let (field, value) = line.split_once(": ").expect("a field and its value");
            match field {
                "event" => event.name = value.to_owned(),
                "id" => event.id = Some(value.to_owned()),
                "data" => event.data = serde_json::from_str(value).expect("JSON"),
                "retry" => event.retry = Some(value.parse().expect("milliseconds")),
                other => panic!("a field {other}"),
            }
        }
        event
    }

    fn of_line(line: &str) -> Self {
        let data: Value = serde_json::from_str(line).expect("JSON");
        let id = data["cursor"].as_str().map(str::to_owned);
        Self { name: text(&data, "event"), id, data, retry: None }
    }
}

/// A stream that is followed.
pub struct Events {
    response: Response,
    separator: &'static str,
    buffer: String,
    /// The newest cursor that was seen.
    pub cursor: Option<String>,
}

impl Events {
    /// The stream that answers the request.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::find(request).await.expect("an answer")
    }

    /// As [`Events::of`]; nothing where the server is gone before it answers.
    pub async fn find(request: RequestBuilder) -> Option<Self> {
        let response = request.send().await.ok()?;
        assert_eq!(response.status(), 200);
        let separator = match response.headers()["content-type"].to_str().expect("ASCII") {
            "text/event-stream" => "\n\n",
            "application/x-ndjson" => "\n",
            other => panic!("a stream of {other}"),
        };
        Some(Self { response, separator, buffer: String::new(), cursor: None })
    }

    /// The next event; nothing where the stream has ended or was cut.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.find(self.separator) {
                let whole: String = self.buffer.drain(..end + self.separator.len()).collect();
                let whole = &whole[..end];
                secrets::assert_none("the feed", whole.as_bytes(), b"");
                let event = if self.separator == "\n" { Event::of_line(whole) } else { Event::of_block(whole) };
                self.cursor = event.id.clone().or(self.cursor.take());
                return Some(event);
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("ASCII, so never cut within a character"));
        }
    }

    /// The next event of that name, past others.
    pub async fn expect(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ends before a {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// The ids of the next so many revocations.
    pub async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(text(&self.expect("revoked").await.data, "id"));
        }
        ids
    }
}
