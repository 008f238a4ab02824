//! The gateways: where their programs are, and how each is started with the configuration that `tools/gateways` has for it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::authority::Protocol;
use super::client;
use super::port::Port;

/// How long it may take until it asks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a gateway that starts: none says when it is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The ports in the configurations.
const CLIENTS: &str = "8080";
const CHECK: &str = "7879";
const CHECK_OVER_GRPC: &str = "7881";
const PROTECTED: &str = "3000";

/// A gateway and its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    Nginx,
    HaProxy,
    CaddyOfDebian,
    Caddy,
    Traefik,
    Envoy,
    EnvoyGrpc,
}

impl Gateway {
    pub const ALL: [Self; 7] =
        [Self::Nginx, Self::HaProxy, Self::CaddyOfDebian, Self::Caddy, Self::Traefik, Self::Envoy, Self::EnvoyGrpc];

    /// Its name in the guide.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "HAProxy",
            Self::CaddyOfDebian => "Caddy 2.6",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy, HTTP",
            Self::EnvoyGrpc => "Envoy, gRPC",
        }
    }

    /// How it asks.
    pub const fn speaks(self) -> Protocol {
        if matches!(self, Self::EnvoyGrpc) { Protocol::Grpc } else { Protocol::Http }
    }

    /// How long its configuration lets it wait for an answer.
    pub const fn waits(self) -> Duration {
        Duration::from_millis(if matches!(self, Self::Traefik) { 30_000 } else { 500 })
    }

    /// The program, or nothing, in which case the test that asks is left out, and has been told so.
    pub fn find(self) -> Option<PathBuf> {
        let (places, version): (&[&str], &str) = match self {
            Self::Nginx => (&["nginx", "/usr/sbin/nginx"], "-v"),
            Self::HaProxy => (&["haproxy", "/usr/sbin/haproxy"], "-v"),
            Self::CaddyOfDebian => (&["/usr/bin/caddy"], "version"),
            Self::Caddy => (&[".tools/gateways/bin/caddy"], "version"),
            Self::Traefik => (&[".tools/gateways/bin/traefik"], "version"),
            Self::Envoy | Self::EnvoyGrpc => (&[".tools/gateways/envoy"], "--version"),
        };
        let place = |place: &&str| if place.starts_with('.') { project().join(place) } else { PathBuf::from(place) };
        let runs =
            |place: &PathBuf| Command::new(place).arg(version).output().is_ok_and(|output| output.status.success());
        let found = places.iter().map(place).find(runs);
        if found.is_none() {
            println!("left out: {} is not installed; run tools/test", self.title());
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
        }
        found
    }

    /// Its files under `tools/gateways`; the first is the one that it is started with.
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx.conf"],
            Self::HaProxy => &["haproxy.cfg", "authledger.lua"],
            Self::CaddyOfDebian | Self::Caddy => &["Caddyfile"],
            Self::Traefik => &["traefik.yaml", "traefik-routes.yaml"],
            Self::Envoy => &["envoy.yaml"],
            Self::EnvoyGrpc => &["envoy-grpc.yaml"],
        }
    }

    fn command(self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        match self {
            Self::Nginx => {
                fs::write(directory.join("main.conf"), around_nginx(directory)).expect("written");
                command.args(["-e", "stderr", "-c"]).arg(directory.join("main.conf")).arg("-p").arg(directory)
            }
            Self::HaProxy => command.args(["-db", "-f", "haproxy.cfg"]),
            Self::CaddyOfDebian | Self::Caddy => command
                .args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"])
                .envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, directory))),
            Self::Traefik => command.arg("--configFile=traefik.yaml"),
            Self::Envoy | Self::EnvoyGrpc => command
                .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn", "--config-path"])
                .arg(self.files()[0]),
        };
        command
    }

    /// Starts it between these two, and waits until it refuses who presents nothing, which it does once the check has said so.
    pub async fn start(self, program: &Path, check: SocketAddr, protected: SocketAddr) -> Running {
        self.start_with(program, check, protected, |text| text).await
    }

    /// The same, with a change to its configuration.
    pub async fn start_with(
        self,
        program: &Path,
        check: SocketAddr,
        protected: SocketAddr,
        change: impl Fn(String) -> String,
    ) -> Running {
        let directory = tempfile::tempdir().expect("a directory");
        let clients = Port::keep();
        for file in self.files() {
            let text = fs::read_to_string(project().join("tools/gateways").join(file)).expect("a configuration");
            let ports =
                [(CLIENTS, clients.address()), (CHECK, check), (CHECK_OVER_GRPC, check), (PROTECTED, protected)];
            let text = ports.iter().fold(change(text), |text, (port, real)| with_port(&text, port, real.port()));
            fs::write(directory.path().join(file), text).expect("written");
        }
        let log = File::create(directory.path().join("log")).expect("a file for the log");
        let mut command = self.command(program, directory.path());
        command.stdout(log.try_clone().expect("the same file")).stderr(log);
        let child = command.spawn().expect("the gateway starts");
        Running { gateway: self, child, directory, clients }.ready().await
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text with another port wherever that one stands as a number of its own.
pub fn with_port(text: &str, port: &str, real: u16) -> String {
    let mut pieces = text.split(port);
    let mut with = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_apart =
            !with.ends_with(|c: char| c.is_ascii_digit()) && !piece.starts_with(|c: char| c.is_ascii_digit());
        with += &if is_apart { real.to_string() } else { port.to_owned() };
        with += piece;
    }
    with
}

/// What stands around the file in nginx's own configuration, with nothing outside of the directory.
fn around_nginx(directory: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr warn;\nevents {{ worker_connections 1024; }}\n\
         http {{\n    access_log off;\n{temporary}    include nginx.conf;\n}}\n",
        directory.display()
    )
}

/// A gateway that runs, killed when it is dropped.
pub struct Running {
    pub gateway: Gateway,
    child: Child,
    directory: tempfile::TempDir,
    clients: Port,
}

impl Running {
    /// Where clients connect.
    pub const fn address(&self) -> SocketAddr {
        self.clients.address()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn ready(mut self) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            let got = client::find(self.address(), "GET /", &[], b"").await;
            if got.as_ref().is_some_and(|got| got.status == 401) {
                return self;
            }
            let exited = self.child.try_wait().expect("our child");
            let is_late = exited.is_some() || Instant::now() > until;
            assert!(!is_late, "{:?} does not ask, {got:?}: {}", self.gateway, self.log());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One process, by its own id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn only_whole_ports_are_replaced() {
    assert_eq!(with_port("a:8080/b 18080 80801 8080", "8080", 7), "a:7/b 18080 80801 7");
}
