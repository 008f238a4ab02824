//! PostgreSQL: a table of tickets, and a channel that tells of each.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

use super::redis::free_address;
use crate::children::{Program, find, finish, version};
use crate::load::{Latency, Ran};

/// What is said where it is not there.
pub const MISSING: &str = "PostgreSQL is not installed: apt-get install postgresql";
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections beyond those that are measured.
const SPARE_CONNECTIONS: usize = 20;
/// A ticket and the news of it in one statement, which is one transaction and one round trip.
const INSERT_AND_NOTIFY: &str = "WITH made AS (INSERT INTO ticket (id, subject, expires_at) VALUES ($1, $2, now() + interval '15 minutes') RETURNING id) \
     SELECT pg_notify('revocations', id) FROM made";
const INSERT: &str = "INSERT INTO ticket (id, subject, expires_at) VALUES ($1, $2, now() + interval '15 minutes')";

/// What is asked of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A row.
    Insert,
    /// A row, and the news of it.
    InsertAndNotify,
}

/// A PostgreSQL that runs.
pub struct Postgres {
    _program: Program,
    address: SocketAddr,
    runtime: Runtime,
    named: Arc<AtomicU64>,
    /// What it is.
    pub version: String,
}

impl Postgres {
    /// Starts one with an empty directory, for so many connections; none if it is not installed.
    pub fn start(work: &Path, connections: usize) -> anyhow::Result<Option<Self>> {
        let Some((initdb, postgres)) = programs() else { return Ok(None) };
        let directory = work.join("postgres");
        fs::create_dir_all(&directory)?;
        let owner = owner()?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).context("give PostgreSQL its directory")?;
        }
        let mut init = as_owner(&initdb, owner);
        init.arg("-D").arg(&directory).args(["-A", "trust", "-U", "bench", "-E", "UTF8", "--no-locale"]);
        let made = finish(&mut init, PATIENCE)?;
        ensure!(made.success, "initdb: {}", made.output.trim());
        let address = free_address()?;
        let mut command = as_owner(&postgres, owner);
        command.arg("-D").arg(&directory);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", address.port()),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={}", connections + SPARE_CONNECTIONS),
            "fsync=on".to_owned(),
            "synchronous_commit=on".to_owned(),
            "shared_buffers=256MB".to_owned(),
            "max_wal_size=4GB".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        // An interrupt has it end its connections and then itself.
        let mut program = Program::start("postgres", &mut command, &work.join("postgres.log"), Signal::INT)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut ready = || runtime.block_on(prepare(address)).is_ok();
        program.wait_until(PATIENCE, &mut ready)?;
        let (version, named) = (version(&postgres, "--version"), Arc::default());
        Ok(Some(Self { _program: program, address, runtime, named, version }))
    }

    /// Asks as fast as answers come, on so many connections.
    pub fn run(&self, asked: Asked, connections: usize, lasting: Duration) -> anyhow::Result<Ran> {
        self.runtime.block_on(async {
            let mut clients = Vec::with_capacity(connections);
            for _ in 0..connections {
                let client = connect(self.address).await?;
                let text = if asked == Asked::Insert { INSERT } else { INSERT_AND_NOTIFY };
                let statement = client.prepare(text).await?;
                clients.push((client, statement));
            }
            let (start, mut tasks) = (Instant::now(), Vec::with_capacity(connections));
            for (client, statement) in clients {
                let named = self.named.clone();
                tasks.push(tokio::spawn(async move { ask(&client, &statement, &named, start + lasting).await }));
            }
            let mut ran = Ran::default();
            for task in tasks {
                let latency =
                    tokio::time::timeout(lasting + PATIENCE, task).await.context("wait for PostgreSQL")???;
                ran.good += latency.count();
                ran.latency.join(&latency);
            }
            ran.elapsed = start.elapsed();
            Ok(ran)
        })
    }
}

async fn ask(client: &Client, statement: &Statement, named: &AtomicU64, until: Instant) -> anyhow::Result<Latency> {
    let mut latency = Latency::default();
    while Instant::now() < until {
        let name = format!("{:016x}-ticket", named.fetch_add(1, Ordering::Relaxed));
        let asked = Instant::now();
        client.execute(statement, &[&name, &"subject-of-this-ticket"]).await?;
        latency.add(asked.elapsed());
    }
    Ok(latency)
}

async fn connect(address: SocketAddr) -> anyhow::Result<Client> {
    let settings = format!("host={} port={} user=bench dbname=postgres", address.ip(), address.port());
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.context("connect to PostgreSQL")?;
    // It ends with its client, which hears of what goes wrong.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

async fn prepare(address: SocketAddr) -> anyhow::Result<()> {
    let table = "CREATE TABLE IF NOT EXISTS ticket (id text PRIMARY KEY, subject text NOT NULL, expires_at timestamptz NOT NULL)";
    Ok(connect(address).await?.batch_execute(table).await?)
}

/// Where Debian and others put them.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<String> = versions.map(|entry| entry.path().join("bin").display().to_string()).collect();
    places.sort();
    places.reverse();
    places.push("/usr/local/bin".to_owned());
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    Some((find("initdb", &places)?, find("postgres", &places)?))
}

/// Whom it runs as where this runs as root, which PostgreSQL refuses to be.
fn owner() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("look for a user who is not root")?;
    for name in ["postgres", "nobody"] {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        if let Some(user) = fields.find(|fields| fields.first() == Some(&name) && fields.len() > 3) {
            return Ok(Some((user[2].parse()?, user[3].parse()?)));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    // It must not be somewhere that its user may not be.
    command.current_dir("/");
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}
