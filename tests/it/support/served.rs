//! A node in this process: a ledger in a directory of its own, a clock that stands still, and the router.

use super::secrets::{self, Search};
use super::settings::{ISSUER, settings};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use authledger::clock::Clock;
use authledger::domain::{Digest, Issuer, Policy, Position, Timestamp};
use authledger::event_log::{Base, DataDirectory};
use authledger::feed::Hub;
use authledger::http::check::{self, Checks, NodeAuthority};
use authledger::http::{App, HttpOptions, SharedApp, router};
use authledger::jose::TrustedIssuer;
use authledger::jose::TrustedIssuers;
use authledger::keys::Algorithm;
use authledger::service::{Hook, NodeSettings, Reach, Running, Service, SingleNode, open};
use authledger::telemetry::Metrics;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Root's secret.
pub const ROOT: &str = "root-secret-of-the-tests-0123456789";
/// When every test starts: 2027-01-15T08:00:00Z.
pub const START: u64 = 1_800_000_000_000;

/// The parts and settings that a node is made with.
pub struct Made {
    /// Commands that may wait.
    pub queue: usize,
    /// The hooks that are called after a commit.
    pub hooks: Vec<Hook>,
    /// The options of the router.
    pub options: HttpOptions,
    /// How consistency is waited for.
    pub reach: Arc<dyn Reach>,
    /// The issuers whose tokens are taken besides our own.
    pub trusted: Vec<TrustedIssuer>,
    /// The issuer of our tokens.
    pub issuer: &'static str,
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
    /// The limits of the ledger.
    pub policy: Policy,
    /// Root's secret.
    pub root: &'static str,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            queue: 8_192,
            hooks: Vec::new(),
            options: HttpOptions::default(),
            reach: Arc::new(SingleNode),
            trusted: Vec::new(),
            issuer: ISSUER,
            algorithm: Algorithm::default(),
            policy: Policy::default(),
            root: ROOT,
        }
    }
}

/// A running node.
pub struct ServedNode {
    running: Option<Running>,
    router: Router,
    /// What gateways ask; nothing while it is restarted.
    app: Option<SharedApp>,
    /// Before the directory goes.
    _search: Search,
    /// The clock that all of it reads.
    pub clock: Clock,
    /// Tells streams to end; it is never sent.
    stop: watch::Sender<bool>,
    directory: tempfile::TempDir,
}

impl ServedNode {
    /// A node with a new ledger.
    pub async fn start() -> Self {
        Self::made(Made::default()).await
    }

    /// A node with a new ledger, made so.
    pub async fn made(made: Made) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_millis(START).expect("within bounds"));
        let stop = watch::Sender::new(false);
        secrets::remember(made.root);
        let (running, app) = up(directory.path().into(), clock.clone(), &stop, made).await;
        let search = Search { data: directory.path().into(), log: None };
        Self {
            running: Some(running),
            router: router(app.clone()),
            app: Some(app),
            _search: search,
            clock,
            stop,
            directory,
        }
    }

    /// Stops it and starts it again on the same ledger.
    pub async fn restart(&mut self) {
        self.restart_with(Made::default()).await;
    }

    /// Stops it and starts it again on the same ledger, made so.
    pub async fn restart_with(&mut self, made: Made) {
        self.restart_damaged(made, || {}).await;
    }

    /// Stops it, lets something happen to the files, and starts it again, made so.
    pub async fn restart_damaged(&mut self, made: Made, damage: impl FnOnce()) {
        (self.router, self.app) = (Router::new(), None);
        self.running.take().expect("it runs").stop().expect("a snapshot");
        damage();
        let (running, app) = up(self.directory.path().into(), self.clock.clone(), &self.stop, made).await;
        (self.running, self.router, self.app) = (Some(running), router(app.clone()), Some(app));
    }

    /// The ledger behind the router.
    pub fn service(&self) -> &Arc<Service> {
        &self.running.as_ref().expect("it runs").service
    }

    /// The router, to be served on a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The check.
    pub fn checks(&self) -> &Arc<Checks<NodeAuthority>> {
        &self.app.as_ref().expect("it runs").checks
    }

    /// The router of a listener for gateways.
    pub fn gateways(&self) -> Router {
        check::routes(self.checks().clone())
    }

    /// The newest revocations.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.app.as_ref().expect("it runs").hub
    }

    /// Tells streams to end, as a stop of the server does.
    pub fn stop_streams(&self) {
        self.stop.send_replace(true);
    }

    /// The file of the log.
    pub fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    /// The newest durable position.
    pub fn head(&self) -> Position {
        self.service().projection().base().position
    }

    /// A caller that holds that secret.
    pub fn holder(&self, secret: &str) -> Actor {
        Actor { router: self.router.clone(), headers: vec![("authorization".into(), format!("Bearer {secret}"))] }
    }

    /// A caller that holds root's secret.
    pub fn root(&self) -> Actor {
        self.holder(ROOT)
    }

    /// A caller that sends no secret.
    pub fn nobody(&self) -> Actor {
        Actor { router: self.router.clone(), headers: Vec::new() }
    }

    /// A new application with these grants, each a tenant and scopes.
    pub async fn application(&self, grants: &[(&str, &[&str])]) -> Actor {
        let grants: Vec<Value> =
            grants.iter().map(|(tenant, scopes)| json!({"tenant": tenant, "scopes": scopes})).collect();
        let answer = self.root().post("/v1/applications", json!({"name": "a test's", "grants": grants})).await;
        self.holder(answer.text("secret"))
    }
}

async fn up(data: PathBuf, clock: Clock, stop: &watch::Sender<bool>, made: Made) -> (Running, SharedApp) {
    let Made { queue, hooks, options, reach, trusted, issuer, algorithm, policy, root } = made;
    let directory = DataDirectory::lock(&data).expect("nobody else has it");
    let status_lists = options.status_lists.lists;
    let trusted = TrustedIssuers::new(trusted, clock.clone()).expect("valid issuers");
    let issuer = Some(Issuer::new(issuer).expect("a name"));
    let settings = NodeSettings {
        queue,
        trusted,
        issuer,
        policy,
        token_algorithm: algorithm,
        status_lists,
        ..settings(data, &clock)
    };
    let root = Digest::of(root.as_bytes());
    let started = OnceLock::new();
    let hooks = |ledger, base: &Base| {
        let hub: &Arc<Hub> = started.get_or_init(|| Hub::new(ledger, base.clone()));
        std::iter::once(hub.hook()).chain(hooks).collect()
    };
    let running = open(directory, settings, clock, root, reach, hooks, |_, _| {}).await.expect("it starts");
    let service = running.service.clone();
    let hub = started.into_inner().expect("it has started");
    let app = App::new(service, hub, stop.subscribe(), Arc::new(Metrics::new()), options);
    (running, Arc::new(app))
}

/// A caller that sends requests.
#[derive(Clone)]
pub struct Actor {
    router: Router,
    headers: Vec<(String, String)>,
}

impl Actor {
    /// The secret that they present, if they present one.
    pub fn bearer(&self) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(name, _)| name == "authorization").map(|(_, value)| value);
        values.find_map(|value| value.strip_prefix("Bearer "))
    }

    /// The same, with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut more = self.clone();
        more.headers.push((name.to_owned(), value.to_owned()));
        more
    }

    /// The same, with an idempotency key.
    pub fn keyed(&self, key: &str) -> Self {
        self.with("idempotency-key", key)
    }

    /// Sends a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.with("content-type", "application/json").send(Method::POST, path, body.to_string()).await
    }

    /// Sends that text as a JSON body.
    pub async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.with("content-type", "application/json").send(Method::POST, path, body).await
    }

    /// Asks.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    /// The headers of an answer, whose body may never end.
    pub async fn head_of(&self, path: &str) -> HeaderMap {
        let mut request = Request::builder().uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("a router always answers").into_parts().0.headers
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Body::empty()).await
    }

    /// Sends anything.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = axum::body::to_bytes(body.into(), usize::MAX).await.expect("a whole body");
        let presented = [path.as_bytes(), format!("{:?}", self.headers).as_bytes(), &body].concat();
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("a router always answers");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        if parts.status.is_success() && !path.starts_with("/v1/revocations") {
            secrets::handed_out(path, &body);
        } else {
            secrets::assert_none(&format!("the answer {} to {path}", parts.status), &body, &presented);
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A member of the body that is a text.
    pub fn text(&self, member: &str) -> &str {
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let start = text.find(&format!("\"{member}\":\"")).unwrap_or_else(|| panic!("no {member} in {text}"));
        let value = &text[start + member.len() + 4..];
        &value[..value.find('"').expect("the text ends")]
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The status, and a problem's code if it is one.
    pub fn outcome(&self) -> (u16, String) {
        let code = self.json()["type"].as_str().and_then(|code| code.strip_prefix("/problems/")).map(str::to_owned);
        (self.status.as_u16(), code.unwrap_or_default())
    }

    /// Status, headers and body, with the parts that differ each time replaced by their form.
    pub fn shown(&self) -> String {
        let mut text = format!("{}\n", self.status);
        let mut headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("ASCII"))).collect();
        headers.retain(|line| !line.starts_with("content-length"));
        headers.sort();
        text.extend(headers);
        let body = match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => serde_json::to_string_pretty(&redacted(json)).expect("JSON"),
            Err(_) => String::from_utf8(self.body.to_vec()).expect("UTF-8"),
        };
        text + "\n" + &body
    }
}

/// The value with ids, secrets and hashes replaced by their form. Times stay: the clock stands still.
fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(form(&text).map_or(text, str::to_owned)),
        Value::Array(values) => values.into_iter().map(redacted).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (form(&name).map_or(name.clone(), str::to_owned), redacted(value)))
            .collect(),
        other => other,
    }
}

fn form(text: &str) -> Option<&'static str> {
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let base32 = text.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte));
    match text.len() {
        32 if hex => Some("[id]"),
        64 if hex => Some("[hash]"),
        _ if text.starts_with("authledger/") && text.contains('+') => Some("[verifier key]"),
        13 if base32 => Some("[origin]"),
        36 if uuid::Uuid::try_parse(text).is_ok() => Some("[uuid]"),
        44 if ["al_a_", "al_s_", "al_o_"].iter().any(|prefix| text.starts_with(prefix)) => Some("[secret]"),
        _ => None,
    }
}
