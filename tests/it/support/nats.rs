//! NATS servers of their own on the loopback interface.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use super::proxy::Proxy;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The oldest release that nodes work with. `tools/test` installs it.
pub const OLDEST: &str = "nats-server-2.12";
/// The newest that they have been seen to work with.
pub const NEWEST: &str = "nats-server-2.15";

/// A nats-server of that release, or nothing, in which case the test that asks is left out, and has been told so.
pub fn of_release(name: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/go/bin").join(name);
    let found = runs(&ours).then_some(ours);
    if found.is_none() {
        println!("left out: {name} is not installed; run tools/test");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    }
    found
}

/// The newest, or whatever the system has.
pub fn find() -> Option<PathBuf> {
    let system = PathBuf::from("nats-server");
    if runs(&system) && !Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/go/bin").join(NEWEST).exists() {
        return Some(system);
    }
    of_release(NEWEST)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs each of these tests, which are given the program, with both releases.
macro_rules! with_each_release {
    ($($test:ident)*) => {
        mod oldest_release {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let Some(program) = $crate::support::nats::of_release($crate::support::nats::OLDEST) else { return };
                super::$test(&program).await;
            })*
        }
        mod newest_release {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let Some(program) = $crate::support::nats::find() else { return };
                super::$test(&program).await;
            })*
        }
    };
}
pub(crate) use with_each_release;

/// A nats-server with JetStream that syncs each message, killed when it is dropped. It listens on another port at each start; a
/// [`Proxy`] before it stays where it is.
pub struct Server {
    program: PathBuf,
    directory: tempfile::TempDir,
    /// Further lines of its configuration.
    more: String,
    running: Option<Child>,
}

impl Server {
    /// One that does not run yet.
    pub fn new(program: &Path) -> Self {
        Self::with(program, "")
    }

    /// The same, with these lines in its configuration.
    pub fn with(program: &Path, more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { program: program.into(), directory, more: more.into(), running: None }
    }

    /// Starts it; returns where it listens, when it does.
    pub async fn start(&mut self) -> SocketAddr {
        let at = self.directory.path();
        let configuration = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{0}\"\njetstream {{ store_dir: \"{1}\", max_file_store: 8GB, sync_interval: always }}\n{2}\n",
            at.display(),
            self.store().display(),
            self.more
        );
        fs::write(at.join("server.conf"), configuration).expect("written");
        let log = File::create(at.join("log")).expect("a file for the log");
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(at.join("server.conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        // It is named after the program.
        let name = self.program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ports = at.join(format!("{name}_{}.ports", child.id()));
        self.running = Some(child);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(address) = fs::read(&ports).ok().and_then(|text| listening(&text)) {
                return address;
            }
            let status = self.running.as_mut().expect("started").try_wait().expect("our child");
            assert!(status.is_none() && Instant::now() < until, "nats-server does not listen: {}", self.log());
            // It tells nobody when it has come so far, so the file is looked for again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills it by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            // One process, by its own id.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where it keeps its streams.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// All that it has written to the standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listening(ports: &[u8]) -> Option<SocketAddr> {
    let ports: serde_json::Value = serde_json::from_slice(ports).ok()?;
    let url = ports["nats"][0].as_str()?;
    url.rsplit('/').next()?.parse().ok()
}
