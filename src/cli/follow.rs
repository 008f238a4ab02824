//! `authledger follow`: the revocation stream in a terminal, or as lines for a pipe.
//!
//! It continues where it stopped: after a broken connection from the last cursor that it has shown, and with a state
//! file also after its own end. A cursor is kept only when everything before it has been written, so an item may come
//! twice and none is left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::client::{AnswerLines, CallError, Client, ServerArgs};
use crate::clock::wall_clock;
use crate::domain::{Kind, Timestamp};
use crate::{tell, terminal};

/// Heartbeats that may be missed before the output counts as stale.
const MISSED_HEARTBEATS: u32 = 3;
/// Between two attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest cursor that a state file may hold.
const MAX_STATE_BYTES: u64 = 65_536;
/// The longest cursor that is sent in a query: servers and proxies take 8 KiB of a request line.
const MAX_QUERY_CURSOR_BYTES: usize = 4_096;

const NOTES: &str = "\
With --json every line of the standard output is one JSON object with a member `event`: `revoked` as the server sends it, and after
a gap `gap`, any number of `snapshot`, and `snapshot_end` with the count, without which the snapshot must be discarded.
Messages about the connection go to the standard error.";

/// What to follow, from where, and how to show it.
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct FollowArgs {
    /// Begin after this cursor; 0 is the beginning of the log. Absent: from now on
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,

    /// Keep the cursor in this file, and continue from it next time; --after counts only while there is no such file
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Revocations in this tenant only
    #[arg(long)]
    tenant: Option<String>,

    /// Revocations of these kinds only; more than once, or separated by commas
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    kind: Vec<String>,

    /// One JSON object on each line of the standard output
    #[arg(long)]
    json: bool,

    /// Seconds between two heartbeats, as the server is set; three missed ones are stale
    #[arg(long, env = "AUTHLEDGER_HEARTBEAT", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300), value_name = "SECONDS")]
    heartbeat: u64,

    #[command(flatten)]
    server: ServerArgs,
}

/// Why following ended.
#[derive(Debug, thiserror::Error)]
pub enum FollowCommandError {
    /// A call did not succeed, and trying again would not help.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server ended the stream, and will not start it again.
    #[error("continue to follow: the server ended the stream ({0}); the application was removed, or lost its scope")]
    Ended(String),
    /// The state file can't be used.
    #[error("keep the cursor in {}: {source}", path.display())]
    State { path: PathBuf, source: io::Error },
    /// The state file holds something else.
    #[error("continue from {}: it does not hold a cursor; remove it to begin anew", .0.display())]
    NoCursor(PathBuf),
    /// The output's reader is gone.
    #[error("write to the standard output: {0}")]
    Output(io::Error),
    /// Signals can't be waited for.
    #[error("wait for signals: {0}")]
    Signal(io::Error),
}

/// An instant in seconds since 1970, exact to the millisecond.
fn instant(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millis((seconds * 1_000.0).round() as u64)
}

/// A line of the stream or the snapshot, with the members that are shown.
#[derive(Deserialize, Default)]
#[serde(default)]
struct FollowLine {
    event: String,
    cursor: Option<String>,
    reason: Option<String>,
    tenant: Option<String>,
    subject: Option<String>,
    kind: Option<String>,
    kinds: Vec<String>,
    id: Option<String>,
    /// One member: `application`, `key`, `issuer` or `tenant`.
    cohort: BTreeMap<String, String>,
    /// Seconds since 1970, with a fraction.
    issued_before: Option<f64>,
    revoked_at: Option<String>,
    hold_until: Option<String>,
    end: bool,
    count: u64,
}

/// Why a connection ended.
enum Over {
    /// The server closed it, or it broke, or went silent.
    Again,
    /// The cursor is useless: the snapshot has the revocations in force.
    Gap,
}

struct Follow {
    client: Client,
    query: Vec<(&'static str, String)>,
    cursor: Option<String>,
    state: Option<PathBuf>,
    json: bool,
    freshness: Freshness,
    /// When the connection was made: only later revocations show the latency.
    connected_at: Timestamp,
    heard: bool,
}

/// Follows until a signal comes, or continuing is pointless.
pub async fn run(arguments: FollowArgs) -> Result<(), FollowCommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(FollowCommandError::Signal)?;
    let mut follow = Follow::new(arguments)?;
    tokio::select! {
        followed = follow.run() => match followed {
            // `head` has read enough.
            Err(FollowCommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            followed => followed,
        },
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

impl Follow {
    fn new(arguments: FollowArgs) -> Result<Self, FollowCommandError> {
        let client = Client::new(&arguments.server)?;
        // A parameter that is given twice is refused.
        let kinds = (!arguments.kind.is_empty()).then(|| ("kind", arguments.kind.join(",")));
        let query = kinds.into_iter().chain(arguments.tenant.map(|tenant| ("tenant", tenant))).collect();
        let kept = arguments.state.as_deref().map(read_state).transpose()?.flatten();
        Ok(Self {
            client,
            query,
            cursor: kept.or(arguments.after),
            state: arguments.state,
            json: arguments.json,
            freshness: Freshness::new(Duration::from_secs(arguments.heartbeat) * MISSED_HEARTBEATS),
            connected_at: Timestamp::default(),
            heard: false,
        })
    }

    async fn run(&mut self) -> Result<(), FollowCommandError> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.heard = false;
            match self.attempt().await {
                Ok(()) => {}
                Err(FollowCommandError::Call(error)) if error.is_passing() => notice(&error.to_string()),
                Err(error) => return Err(error),
            }
            if self.heard {
                pause = FIRST_PAUSE;
            }
            self.freshness.check();
            // The loop ends with an error that does not pass, or at a signal. Until then it pauses, longer each time: a restarting
            // server is not helped by all its followers asking at once.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&mut self) -> Result<(), FollowCommandError> {
        match self.connection().await? {
            Over::Again => Ok(()),
            Over::Gap => self.snapshot().await,
        }
    }

    /// The request for what comes after the cursor, which goes into a body if it is long.
    fn request(&self) -> RequestBuilder {
        let after = self.cursor.as_deref().map(|cursor| ("after", cursor.to_owned()));
        let parameters: BTreeMap<&str, String> = self.query.iter().cloned().chain(after).collect();
        let is_long = self.cursor.as_ref().is_some_and(|cursor| cursor.len() > MAX_QUERY_CURSOR_BYTES);
        if is_long {
            self.client.request(Method::POST, "/v1/revocations/follow").json(&parameters)
        } else {
            self.client.request(Method::GET, "/v1/revocations").query(&parameters)
        }
    }

    /// Follows over one connection, until it ends.
    async fn connection(&mut self) -> Result<Over, FollowCommandError> {
        let request = self.request().header(ACCEPT, "application/x-ndjson");
        let mut lines = self.client.lines(request).await?;
        self.connected_at = wall_clock();
        loop {
            let Some(text) = self.next(&mut lines).await? else { return Ok(Over::Again) };
            if let Some(over) = self.take(&text, &lines)? {
                return Ok(over);
            }
        }
    }

    /// The next line; nothing if the answer has ended, or has been silent for too long.
    async fn next(&mut self, lines: &mut AnswerLines) -> Result<Option<String>, FollowCommandError> {
        let Ok(next) = tokio::time::timeout_at(self.freshness.stale_at(), lines.next()).await else {
            self.freshness.check();
            return Ok(None);
        };
        let line = next?;
        if line.is_some() {
            self.heard = true;
            self.freshness.hear();
        }
        Ok(line)
    }

    fn take(&mut self, text: &str, lines: &AnswerLines) -> Result<Option<Over>, FollowCommandError> {
        // Members that a later server adds do no harm.
        let Ok(line) = serde_json::from_str::<FollowLine>(text) else { return Ok(None) };
        match &*line.event {
            "revoked" => self.show(text, &line)?,
            "gap" => {
                self.show_gap(text)?;
                return Ok(Some(Over::Gap));
            }
            "end" if line.reason.as_deref() == Some("unauthorized") => {
                return Err(FollowCommandError::Ended("unauthorized".to_owned()));
            }
            "end" => notice(&format!("the server ends the stream: {}", line.reason.as_deref().unwrap_or("no reason"))),
            _ => {}
        }
        if line.cursor.is_some() {
            self.cursor = line.cursor;
            // One write for all lines that came together.
            if !lines.has_more() {
                self.keep()?;
            }
        }
        Ok(None)
    }

    /// Every revocation in force, for a follower that has missed some and can't be told which.
    async fn snapshot(&mut self) -> Result<(), FollowCommandError> {
        let request = self.client.request(Method::GET, "/v1/revocations/snapshot").query(&self.query);
        let mut lines = self.client.lines(request).await?;
        let mut first: Option<String> = None;
        let mut count = 0;
        while let Some(text) = self.next(&mut lines).await? {
            let Ok(line) = serde_json::from_str::<FollowLine>(&text) else { continue };
            if line.end && line.count == count {
                self.cursor = first;
                return self.end_snapshot(count);
            }
            if first.is_none() {
                first = line.cursor;
                continue;
            }
            count += 1;
            if self.json {
                // The object continues with the members that it has.
                let rest = text.strip_prefix('{').unwrap_or_default();
                self.write(&format!("{{\"event\":\"snapshot\",{rest}"))?;
            }
        }
        notice("the snapshot broke off; it is loaded again");
        Ok(())
    }

    fn end_snapshot(&mut self, count: u64) -> Result<(), FollowCommandError> {
        if self.json {
            let cursor = self.cursor.as_deref().unwrap_or_default();
            self.write(&serde_json::json!({"event": "snapshot_end", "count": count, "cursor": cursor}).to_string())?;
        } else {
            self.write(&format!("the snapshot holds {count} revocations in force; following from there"))?;
        }
        self.keep()
    }

    fn show(&self, text: &str, line: &FollowLine) -> Result<(), FollowCommandError> {
        if self.json { self.write(text) } else { self.write(&self.readable(line)) }
    }

    fn show_gap(&self, text: &str) -> Result<(), FollowCommandError> {
        if self.json {
            return self.write(text);
        }
        self.write("gap: this log does not hold the place that the cursor names; loading the snapshot")
    }

    fn readable(&self, line: &FollowLine) -> String {
        let revoked_at = line.revoked_at.as_deref().unwrap_or_default();
        let kind = match &line.kind {
            Some(kind) => kind.clone(),
            None if line.kinds.len() == Kind::ALL.len() => "all kinds".to_owned(),
            None => format!("all {}", line.kinds.join(",")),
        };
        let whose = match line.cohort.iter().next() {
            Some((what, name)) => format!("{what} {name}"),
            None => {
                let tenant = line.tenant.as_deref().unwrap_or("*");
                format!("{tenant}/{}", line.subject.as_deref().unwrap_or("?"))
            }
        };
        let before = line.issued_before.and_then(instant).map(|at| format!("  issued before {at}")).unwrap_or_default();
        let id = line.id.as_deref().unwrap_or("-");
        let hold = line.hold_until.as_ref().map(|until| format!("  on hold until {until}")).unwrap_or_default();
        let latency = self.latency(revoked_at).map(|millis| format!("  {millis} ms")).unwrap_or_default();
        format!("{revoked_at}  {kind:10}  {id:36}  {whose}{before}{latency}{hold}")
    }

    /// From the ledger's clock to this one; nothing for a revocation before this connection.
    fn latency(&self, revoked_at: &str) -> Option<u64> {
        let millis = revoked_at.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        let revoked_at = Timestamp::from_millis(u64::try_from(millis).ok()?)?;
        (revoked_at >= self.connected_at).then(|| wall_clock().millis_since(revoked_at))
    }

    fn write(&self, line: &str) -> Result<(), FollowCommandError> {
        let mut out = terminal::out();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(FollowCommandError::Output)
    }

    fn keep(&self) -> Result<(), FollowCommandError> {
        let (Some(path), Some(cursor)) = (&self.state, &self.cursor) else { return Ok(()) };
        write_state(path, cursor).map_err(|source| FollowCommandError::State { path: path.clone(), source })
    }
}

/// Whether everything has been shown, as far as that can be known.
struct Freshness {
    limit: Duration,
    heard_at: Instant,
    stale: bool,
}

impl Freshness {
    fn new(limit: Duration) -> Self {
        Self { limit, heard_at: Instant::now(), stale: false }
    }

    fn hear(&mut self) {
        self.heard_at = Instant::now();
        if std::mem::take(&mut self.stale) {
            notice("fresh again");
        }
    }

    /// When silence becomes too long. While stale, it waits as long again for the next connection.
    fn stale_at(&self) -> Instant {
        if self.stale { Instant::now() + self.limit } else { self.heard_at + self.limit }
    }

    fn check(&mut self) {
        if !self.stale && self.heard_at.elapsed() >= self.limit {
            self.stale = true;
            let seconds = self.limit.as_secs();
            notice(&format!(
                "STALE: nothing heard for {seconds} s, {MISSED_HEARTBEATS} heartbeats; revocations may be missing"
            ));
        }
    }
}

fn notice(text: &str) {
    tell!("authledger follow: {text}");
}

fn read_state(path: &Path) -> Result<Option<String>, FollowCommandError> {
    let failed = |source| FollowCommandError::State { path: path.to_owned(), source };
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let no_cursor = || FollowCommandError::NoCursor(path.to_owned());
    if size > MAX_STATE_BYTES {
        return Err(no_cursor());
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    // The server judges cursors; this only keeps the contents of another file out of the query.
    let cursor = text.trim();
    let is_cursor = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if cursor.is_empty() || !cursor.bytes().all(is_cursor) {
        return Err(no_cursor());
    }
    Ok(Some(cursor.to_owned()))
}

/// Replaces the whole file: after a loss of power it has the old cursor or the new one.
fn write_state(path: &Path, cursor: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(fresh, "{cursor}")?;
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    Ok(())
}
