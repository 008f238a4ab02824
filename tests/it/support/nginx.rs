//! An nginx of its own, with a private prefix, on a socket of the file system so that no port can be taken by another.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How long it may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Debian has it where not everybody looks.
const PLACES: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// An nginx, or nothing, in which case the test that asks is left out, and has been told so.
pub fn find() -> Option<&'static str> {
    let runs = |place: &&str| Command::new(place).arg("-v").output().is_ok_and(|output| output.status.success());
    let found = PLACES.into_iter().find(runs);
    if found.is_none() {
        println!("left out: nginx is not installed; run tools/test");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    }
    found
}

/// A running nginx, killed when it is dropped.
pub struct Nginx {
    child: Child,
    directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts it with the documented split, in front of those two; returns when it listens.
    pub async fn split(program: &str, authledger: &str, product: &str) -> Self {
        let split = include_str!("../../nginx/split.conf").replace("${PRODUCT}", product);
        Self::start(program, &split.replace("${AUTHLEDGER}", authledger)).await
    }

    /// Starts it as a cache of status lists; returns when it listens.
    pub async fn caching(program: &str, authledger: &str) -> Self {
        let cache = include_str!("../../nginx/status-lists.conf");
        Self::start(program, &cache.replace("${AUTHLEDGER}", authledger)).await
    }

    async fn start(program: &str, configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let configuration = configuration.replace("${LISTEN}", &format!("unix:{}", socket(at).display()));
        fs::write(at.join("split.conf"), configuration).expect("written");
        fs::write(at.join("nginx.conf"), whole(at)).expect("written");
        let log = File::create(at.join("stderr")).expect("a file for the log");
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(at).arg("-c").arg(at.join("nginx.conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("nginx starts");
        let nginx = Self { child, directory };
        nginx.listens().await
    }

    async fn listens(mut self) -> Self {
        let until = Instant::now() + PATIENCE;
        while self.connect().await.is_err() {
            let status = self.child.try_wait().expect("our child");
            assert!(status.is_none() && Instant::now() < until, "nginx does not listen: {}", self.log());
            // It tells nobody when it has come so far, so it is asked again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }

    /// A connection to it.
    pub async fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(socket(self.directory.path())).await
    }

    /// Sends that request line with these headers, byte for byte; the whole answer.
    pub async fn ask(&self, line: &str, headers: &str) -> String {
        String::from_utf8(self.ask_bytes(line, headers).await).expect("text")
    }

    /// The same, for an answer that is not text.
    pub async fn ask_bytes(&self, line: &str, headers: &str) -> Vec<u8> {
        let mut stream = self.connect().await.expect("it listens");
        let request = format!("{line} HTTP/1.1\r\nHost: accounts.example\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("in time").expect("an answer");
        answer
    }

    /// All that it has written to the standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    /// The files in its directory.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // One process, by its own id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(at: &Path) -> PathBuf {
    at.join("nginx.sock")
}

/// The configuration around the split, with nothing outside of the directory.
fn whole(at: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {}/{what};\n", at.display()))
        .concat();
    let (pid, split) = (at.join("pid"), at.join("split.conf"));
    format!(
        "daemon off;\nmaster_process off;\npid {};\nerror_log stderr warn;\nevents {{ worker_connections 64; }}\nhttp {{\n{temporary}    include {};\n}}\n",
        pid.display(),
        split.display()
    )
}
