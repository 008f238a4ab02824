//! Apache, which asks no check, and introspects instead: with mod_auth_openidc and mod_oauth2, before a real server.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::backend::Backend;
use super::client::{Got, ask, find};
use super::port::Port;
use super::program::with_port;
use crate::process::node::{Api, Launch, NodeProcess, ROOT, client, text};

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const APACHE: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// What asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    Openidc,
    Oauth2,
}

impl Module {
    const fn name(self) -> &'static str {
        match self {
            Self::Openidc => "auth_openidc",
            Self::Oauth2 => "oauth2",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Openidc => "apache.conf",
            Self::Oauth2 => "apache-oauth2.conf",
        }
    }

    /// Whether Apache has it. The test that asks is left out if not, and has been told so.
    fn is_there(self) -> bool {
        let module = Path::new(MODULES).join(format!("mod_{}.so", self.name()));
        let is_there = Path::new(APACHE).exists() && module.exists();
        if !is_there {
            println!("left out: Apache with mod_{} is not installed; run tools/test", self.name());
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
        }
        is_there
    }
}

/// An Apache that runs, killed when it is dropped.
struct Apache {
    child: Child,
    directory: tempfile::TempDir,
    clients: Port,
}

impl Apache {
    /// Starts it with the configuration of `tools/gateways` for that module, changed, before that server and backend.
    async fn start(module: Module, client: &Value, node: u16, backend: u16, change: impl Fn(String) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let clients = Port::keep();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/gateways").join(module.file());
        let configuration = change(fs::read_to_string(file).expect("a configuration"));
        let configuration = with_port(&with_port(&configuration, "7878", node), "3000", backend);
        fs::write(at.join("site.conf"), configuration).expect("written");
        fs::write(at.join("main.conf"), around(at, module, clients.address())).expect("written");
        let log = File::create(at.join("log")).expect("a file for the log");
        let mut command = Command::new(APACHE);
        // One process, which can be killed by its own id.
        command.arg("-X").arg("-d").arg(at).arg("-f").arg(at.join("main.conf"));
        command.env("AUTHLEDGER_CLIENT_ID", text(client, "id")).env("AUTHLEDGER_SECRET", text(client, "secret"));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("the same")).stderr(log).spawn();
        Self { child: child.expect("Apache starts"), directory, clients }.ready().await
    }

    async fn ready(mut self) -> Self {
        let until = Instant::now() + PATIENCE;
        while find(self.clients.address(), "GET /", &[], b"").await.is_none_or(|got| got.status != 401) {
            let is_late = self.child.try_wait().expect("our child").is_some() || Instant::now() > until;
            assert!(!is_late, "Apache does not start: {}", self.log());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn ask(&self, secret: &str) -> Got {
        let credential = format!("Authorization: Bearer {secret}");
        let lines = [credential.as_str(), "X-Auth-Subject: forged", "X_Auth_Subject: forged", "X-Auth_Subject: forged"];
        ask(self.clients.address(), "GET /", &lines).await
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // One process, by its own id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands around the file in Apache's own configuration, with nothing outside of the directory.
fn around(at: &Path, module: Module, clients: SocketAddr) -> String {
    let modules =
        ["mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", module.name()];
    let modules = modules.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).concat();
    let at = at.display();
    format!(
        "ServerName app.example\nListen {clients}\nPidFile {at}/pid\nErrorLog /dev/stderr\nLogLevel warn\nUser www-data\n\
         Group www-data\nDefaultRuntimeDir {at}\n{modules}Include {at}/site.conf\n"
    )
}

/// Starts the server with a certificate of its own, which its client trusts.
fn over_tls(launch: Launch, directory: &Path) -> NodeProcess {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(&certificate, pair.cert.pem()).expect("written");
    fs::write(&key, pair.signing_key.serialize_pem()).expect("written");
    let mut node = launch.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key).start();
    let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).expect("a certificate");
    let trusting = client().tls_certs_only([root]).build().expect("a client");
    node.api = Api::with_client(trusting, node.api.url(), ROOT);
    node
}

/// A server, an application that introspects, and a backend.
struct Scene {
    node: NodeProcess,
    client: Value,
    backend: Backend,
    directory: tempfile::TempDir,
}

impl Scene {
    /// The server speaks TLS where the module takes nothing else. More is said of the application.
    async fn set(module: Module, more: Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let launch = Launch::new(&directory.path().join("data"));
        let node = if module == Module::Openidc { over_tls(launch, directory.path()) } else { launch.start() };
        let mut body = json!({"name": "apache", "scopes": ["introspect"], "tenants": ["default"]});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let client = node.api.post("/v1/applications", body).await.expect(201);
        Self { node, client, backend: Backend::start().await, directory }
    }

    /// Apache before it, with a change to its configuration.
    async fn apache(&self, module: Module, change: impl Fn(String) -> String) -> Apache {
        let trusting = format!("OIDCCABundlePath {}/certificate.pem\n", self.directory.path().display());
        let change = |text: String| change(if module == Module::Openidc { text + trusting.as_str() } else { text });
        Apache::start(module, &self.client, self.port(), self.backend.address().port(), change).await
    }

    fn port(&self) -> u16 {
        let (_, port) = self.node.api.url().rsplit_once(':').expect("an address");
        port.parse().expect("a port")
    }

    async fn token(&self) -> String {
        let body = json!({"subject": "person-1", "format": "opaque", "scope": "read"});
        text(&self.node.api.post("/v1/tokens", body).await.expect(201), "token")
    }
}

/// The subject that reached the backend; nothing if no request did.
fn subject(backend: &Backend) -> Option<String> {
    let reached = backend.reached();
    reached.first().map(|one| one.values("x-auth-subject").join(" and "))
}

async fn a_revoked_token_is_refused_at_once(module: Module) {
    if !module.is_there() {
        return;
    }
    let scene = Scene::set(module, json!({})).await;
    let token = scene.token().await;
    let apache = scene.apache(module, |text| text).await;
    for _ in 0..2 {
        let got = apache.ask(&token).await;
        assert_eq!((got.status, subject(&scene.backend).as_deref()), (200, Some("person-1")), "{}", apache.log());
    }
    scene.node.api.revoke(&token).await;
    assert_eq!((apache.ask(&token).await.status, subject(&scene.backend)), (401, None));
    // A server that is gone: no token is known to be good.
    let other = scene.token().await;
    scene.node.kill();
    let got = apache.ask(&other).await;
    assert!(got.status >= 400 && subject(&scene.backend).is_none(), "{got:?}");
}

#[tokio::test]
async fn mod_auth_openidc_refuses_a_revoked_token_at_once() {
    a_revoked_token_is_refused_at_once(Module::Openidc).await;
}

#[tokio::test]
async fn mod_oauth2_refuses_a_revoked_token_at_once() {
    a_revoked_token_is_refused_at_once(Module::Oauth2).await;
}

/// What the files say, and what is left without it.
const ASKS_EACH_TIME: [(Module, &str); 2] =
    [(Module::Openidc, "OIDCOAuthTokenIntrospectionInterval -1"), (Module::Oauth2, "&expiry=0")];

#[tokio::test]
async fn both_modules_keep_a_revoked_token_unless_they_are_told_to_ask_each_time() {
    for (module, setting) in ASKS_EACH_TIME {
        if !module.is_there() {
            continue;
        }
        let scene = Scene::set(module, json!({})).await;
        let token = scene.token().await;
        let apache = scene.apache(module, |text| text.replace(setting, "")).await;
        assert_eq!(apache.ask(&token).await.status, 200, "{}", apache.log());
        scene.node.api.revoke(&token).await;
        assert_eq!(apache.ask(&token).await.status, 200, "{module:?}: {}", apache.log());
    }
}

#[tokio::test]
async fn mod_auth_openidc_keeps_no_answer_without_exp() {
    let (module, setting) = ASKS_EACH_TIME[0];
    if !module.is_there() {
        return;
    }
    let scene = Scene::set(module, json!({"oauth": {"omit_exp": true}})).await;
    let token = scene.token().await;
    let apache = scene.apache(module, |text| text.replace(setting, "")).await;
    assert_eq!(apache.ask(&token).await.status, 200, "{}", apache.log());
    scene.node.api.revoke(&token).await;
    assert_eq!(apache.ask(&token).await.status, 401, "{}", apache.log());
}
