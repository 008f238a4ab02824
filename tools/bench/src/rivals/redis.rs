//! Redis with an append-only file that is synced before each answer.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::children::{Program, find, version};

/// What is said where it is not there.
pub const MISSING: &str = "Redis is not installed: apt-get install redis-server";
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis that runs.
pub struct Redis {
    program: Program,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is.
    pub version: String,
}

impl Redis {
    /// Starts one with an empty directory; none if it is not installed.
    pub fn start(work: &Path) -> anyhow::Result<Option<Self>> {
        let Some(path) = find("redis-server", &["/usr/local/bin"]) else { return Ok(None) };
        let directory = work.join("redis");
        std::fs::create_dir_all(&directory)?;
        let address = free_address()?;
        let mut command = Command::new(&path);
        command.arg("--dir").arg(&directory).args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--auto-aof-rewrite-percentage", "0", "--maxclients", "15000"]);
        // It would take followers from other addresses of the loopback network for strangers.
        command.args(["--protected-mode", "no"]);
        // Its own way of making many keys at once.
        command.args(["--enable-debug-command", "local"]);
        // A follower that is slow is to get all, as it does from the ledger.
        command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
        let mut program = Program::start("redis-server", &mut command, &work.join("redis.log"), Signal::TERM)?;
        program.wait_until(PATIENCE, || pings(address).unwrap_or(false))?;
        Ok(Some(Self { program, address, version: version(&path, "--version") }))
    }

    /// Bytes of memory that it has of its own.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        self.program.memory_bytes()
    }
}

fn pings(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}

/// An address that nobody listens on now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}
