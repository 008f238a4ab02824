//! A follower in Rust: a gateway embeds it to refuse revoked credentials without a call per request.
//!
//! ```text
//! AUTHLEDGER_TOKEN_FILE=DATA/root-token cargo run --example follower -- --url http://127.0.0.1:7878
//! ```
//!
//! It loads the snapshot, follows the stream, and connects again when it is cut off. Each line of the standard input
//! describes a credential, such as `{"kind":"ticket","digest":"…","tenant":"default","subject":"alice"}`; it answers each
//! with a line that has the reason to refuse the credential, or null. `schema/follower.md` has the rules; comments here
//! name their numbers. The tests hold it to `schema/vectors/follower.json`, and follow a real server with it
//! (`tests/it/process/follower.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use parking_lot::RwLock;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

/// Heartbeats that may be missed before the follower's state counts as stale.
const MISSED_HEARTBEATS: u32 = 3;
/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two connections.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// A revocation, as the stream and the snapshot have it. Members that are not listed do not matter here.
#[derive(Deserialize)]
pub struct Item {
    #[serde(rename = "type")]
    type_name: String,
    tenant: Option<String>,
    subject: Option<String>,
    kind: Option<String>,
    id: Option<String>,
    digest: Option<String>,
    iss: Option<String>,
    jti: Option<String>,
    payload: Option<String>,
    /// Absent: the ledger knew the credential, and its subject.
    known: Option<bool>,
    /// What the revoked credentials have in common: one of `application`, `key`, `issuer` and `tenant`.
    cohort: Option<BTreeMap<String, String>>,
    /// The cohort is a key that nobody may use any more.
    #[serde(default)]
    withdrawn: bool,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    generation: BTreeMap<String, u64>,
    #[serde(default)]
    not_before: u64,
    /// Seconds since 1970, with a fraction: only what was issued before.
    issued_before: Option<f64>,
    /// The record.
    #[serde(default)]
    origin: String,
    #[serde(default)]
    sequence: u64,
}

/// The description of a presented credential.
#[derive(Deserialize)]
pub struct Credential {
    kind: String,
    tenant: Option<String>,
    subject: Option<String>,
    /// The digest of the secret, in hex.
    digest: Option<String>,
    id: Option<String>,
    iss: Option<String>,
    jti: Option<String>,
    /// The digest of a JWT's payload, in hex.
    payload: Option<String>,
    sid: Option<String>,
    /// The key that signed it: a JWT's header.
    kid: Option<String>,
    /// The application that issued it, and the one that issued its session.
    client_id: Option<String>,
    sid_client_id: Option<String>,
    #[serde(default)]
    r#gen: BTreeMap<String, u64>,
    /// Another issuer made it.
    #[serde(default)]
    foreign: bool,
    /// When it was issued, in seconds since 1970; with a fraction where introspection said so.
    iat: Option<f64>,
    /// When its session was issued.
    sid_iat: Option<f64>,
    /// The credential that it came from, where that is more than a session of its own subject.
    parent: Option<Box<Ancestor>>,
    /// The issuer's leeway, in seconds.
    #[serde(default = "usual_leeway")]
    leeway: u64,
}

/// What a credential says of one that it came from. Members that it lacks say nothing, or the same as its child's.
#[derive(Clone, Deserialize)]
struct Ancestor {
    kind: String,
    id: Option<String>,
    /// Of a JWT.
    jti: Option<String>,
    /// Its issuer, if the credential has none.
    iss: Option<String>,
    sub: Option<String>,
    client_id: Option<String>,
    kid: Option<String>,
    iat: Option<f64>,
    parent: Option<Box<Ancestor>>,
}

fn usual_leeway() -> u64 {
    5
}

/// The name of a credential.
#[derive(PartialEq, Eq, Hash)]
enum Name {
    Digest(String),
    Id {
        kind: String,
        id: String,
    },
    /// An issuer chooses the ids of its tokens, so they say nothing about other issuers' tokens.
    Jwt {
        iss: String,
        jti: String,
    },
    Payload {
        iss: String,
        payload: String,
    },
}

/// The tenant and the subject that a revoked credential must have, or anybody's.
type Whose = (Option<String>, Option<String>);

/// What is revoked as a whole: a subject, or a cohort by its member in the item.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Whole {
    Subject { tenant: String, subject: String },
    Cohort { what: String, name: String },
}

/// The revocation of what was issued before an instant by a node that did not know of the record.
struct AgeRevocation {
    issued_before: f64,
    origin: String,
    sequence: u64,
}

/// The revocations of a subject or cohort, for one kind of credential.
#[derive(Default)]
struct WholeRevocation {
    generation: BTreeMap<String, u64>,
    not_before: u64,
    ages: Vec<AgeRevocation>,
    erased: bool,
    withdrawn: bool,
}

/// All revocations.
#[derive(Default)]
pub struct Revocations {
    credentials: HashMap<Name, HashSet<Whose>>,
    /// By subject or cohort, and kind.
    wholes: HashMap<(Whole, String), WholeRevocation>,
}

impl Revocations {
    /// Takes an item. An item that comes again, or late, changes nothing: a revocation is never taken back.
    pub fn apply(&mut self, item: Item) {
        match item.type_name.as_str() {
            "subject.revoked" | "subject.erased" | "cohort.revoked" => self.revoke_whole(item),
            // Every other type revokes the one credential that it names, even a type that this program does not know.
            _ => self.revoke_credential(item),
        }
    }

    fn revoke_credential(&mut self, item: Item) {
        // The caller that revoked a credential unknown to the ledger had authority over that tenant and subject alone.
        let whose = if item.known.unwrap_or(true) { (None, None) } else { (item.tenant, item.subject) };
        let Some(kind) = item.kind else { return };
        for name in names(&kind, item.digest, item.id, item.iss, item.jti, item.payload) {
            self.credentials.entry(name).or_default().insert(whose.clone());
        }
    }

    fn revoke_whole(&mut self, item: Item) {
        let cohort = item.cohort.and_then(|cohort| cohort.into_iter().next());
        let whole = match (cohort, item.tenant, item.subject) {
            (Some((what, name)), _, _) => Whole::Cohort { what, name },
            (None, Some(tenant), Some(subject)) => Whole::Subject { tenant, subject },
            _ => return,
        };
        for kind in item.kinds {
            let held = self.wholes.entry((whole.clone(), kind)).or_default();
            for (origin, sequence) in &item.generation {
                let entry = held.generation.entry(origin.clone()).or_default();
                *entry = (*entry).max(*sequence);
            }
            held.not_before = held.not_before.max(item.not_before);
            if let Some(issued_before) = item.issued_before {
                let (origin, sequence) = (item.origin.clone(), item.sequence);
                let is_held = held.ages.iter().any(|one| one.origin == origin && one.sequence == sequence);
                if !is_held {
                    held.ages.push(AgeRevocation { issued_before, origin, sequence });
                }
            }
            held.erased |= item.type_name == "subject.erased";
            held.withdrawn |= item.withdrawn;
        }
    }

    /// The reason to refuse the credential: rules 1 to 7.
    pub fn refuses(&self, credential: &Credential) -> Option<&'static str> {
        let Credential { kind, digest, id, iss, jti, payload, .. } = credential;
        let own = names(kind, digest.clone(), id.clone(), iss.clone(), jti.clone(), payload.clone());
        if own.iter().any(|name| self.is_revoked(name, &credential.tenant, &credential.subject)) {
            return Some("revoked");
        }
        let ancestors = credential.ancestors();
        // It is not older than its parent.
        let parent_iat = ancestors.first().and_then(|parent| parent.iat);
        let iat = credential.iat.into_iter().chain(parent_iat).reduce(f64::max);
        let mut all: Vec<_> = credential.wholes().into_iter().map(|whole| (whole, kind.clone(), iat)).collect();
        for Ancestor { kind, id, jti, iss: own_iss, sub, client_id, kid, iat, .. } in ancestors {
            let iss = own_iss.or(iss.clone()).filter(|_| jti.is_some());
            // A node that did not know it may have taken it for another kind.
            let kinds = ["ticket", "session", "token"].map(str::to_owned);
            let unseen = id.map(|id| kinds.map(|kind| Name::Id { kind, id: id.clone() }));
            let own = unseen.into_iter().flatten().chain(names(&kind, None, None, iss.clone(), jti, None));
            let own: Vec<Name> = own.collect();
            if own.iter().any(|name| self.is_revoked(name, &credential.tenant, &sub)) {
                return Some("parent-revoked");
            }
            let cohorts =
                [("key", kid), ("application", client_id), ("issuer", iss), ("tenant", credential.tenant.clone())];
            let wholes = credential.with_subject(sub, cohorts);
            all.extend(wholes.into_iter().map(|whole| (whole, kind.clone(), iat.or(credential.iat))));
        }
        all.into_iter()
            .filter_map(|(whole, kind, iat)| Some((self.wholes.get(&(whole, kind))?, iat)))
            .filter_map(|(held, iat)| refuses_whole(held, credential, iat))
            .min()
            .map(WholeReason::as_str)
    }

    fn is_revoked(&self, name: &Name, own_tenant: &Option<String>, own_subject: &Option<String>) -> bool {
        // If the credential's subject is not known, take it for one of theirs.
        let fits = |due: &Option<String>, own: &Option<String>| due.is_none() || own.is_none() || due == own;
        let mut whose = self.credentials.get(name).into_iter().flatten();
        whose.any(|(tenant, subject)| fits(tenant, own_tenant) && fits(subject, own_subject))
    }
}

/// The reasons of rules 3 to 7, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WholeReason {
    Erased,
    Withdrawn,
    Generation,
    IssuedBefore,
    NotBefore,
}

impl WholeReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Erased => "erased",
            Self::Withdrawn => "withdrawn",
            Self::Generation => "generation",
            Self::IssuedBefore => "issued-before",
            Self::NotBefore => "not-before",
        }
    }
}

fn refuses_whole(held: &WholeRevocation, credential: &Credential, iat: Option<f64>) -> Option<WholeReason> {
    if held.erased {
        return Some(WholeReason::Erased);
    }
    if held.withdrawn {
        return Some(WholeReason::Withdrawn);
    }
    if credential.foreign {
        // The one place where clocks are compared: another issuer's tokens carry no generation.
        let latest = held.not_before.saturating_add(credential.leeway) as f64;
        let is_later = credential.iat.is_some_and(|iat| iat > latest);
        return (!is_later).then_some(WholeReason::NotBefore);
    }
    let reached = |origin: &String| credential.r#gen.get(origin).copied().unwrap_or(0);
    let is_older = held.generation.iter().any(|(origin, sequence)| *sequence > reached(origin));
    if is_older {
        return Some(WholeReason::Generation);
    }
    // One that does not say when it was issued is taken for the oldest.
    let iat = iat.unwrap_or_default();
    let is_old = held.ages.iter().any(|one| iat < one.issued_before && reached(&one.origin) < one.sequence);
    is_old.then_some(WholeReason::IssuedBefore)
}

impl Credential {
    /// Its subject, and the cohorts that it belongs to. Another issuer's keys and clients say nothing of this ledger's.
    fn wholes(&self) -> Vec<Whole> {
        let ours = |name: &Option<String>| name.clone().filter(|_| !self.foreign);
        let cohorts = [
            ("key", ours(&self.kid)),
            ("application", ours(&self.client_id)),
            ("issuer", self.iss.clone()),
            ("tenant", self.tenant.clone()),
        ];
        self.with_subject(self.subject.clone(), cohorts)
    }

    /// Its ancestors, the parent first, each with its subject: those in `parent`, or the session in `sid`. Another issuer's
    /// say nothing of this ledger's.
    fn ancestors(&self) -> Vec<Ancestor> {
        let session = self.sid.as_ref().map(|sid| Ancestor {
            kind: "session".to_owned(),
            id: Some(sid.clone()),
            jti: None,
            iss: None,
            sub: None,
            client_id: self.sid_client_id.clone(),
            kid: None,
            iat: self.sid_iat,
            parent: None,
        });
        // A caller of an earlier release may have added a claim of that name.
        let is_its_parent = |parent: &Ancestor| self.sid.is_none() || parent.id == self.sid;
        let parent = self.parent.as_deref().cloned().filter(is_its_parent);
        let mut next = parent.or(session).filter(|_| !self.foreign);
        let (mut ancestors, mut subject) = (Vec::new(), self.subject.clone());
        while let Some(mut ancestor) = next {
            subject = ancestor.sub.take().or(subject);
            ancestor.sub.clone_from(&subject);
            next = ancestor.parent.take().map(|parent| *parent);
            ancestors.push(ancestor);
        }
        ancestors
    }

    fn with_subject<const N: usize>(
        &self,
        subject: Option<String>,
        cohorts: [(&str, Option<String>); N],
    ) -> Vec<Whole> {
        let whose = self.tenant.clone().zip(subject);
        let subject = whose.map(|(tenant, subject)| Whole::Subject { tenant, subject });
        let cohort = |(what, name): (&str, Option<String>)| Some(Whole::Cohort { what: what.to_owned(), name: name? });
        subject.into_iter().chain(cohorts.into_iter().filter_map(cohort)).collect()
    }
}

fn names(
    kind: &str,
    digest: Option<String>,
    id: Option<String>,
    iss: Option<String>,
    jti: Option<String>,
    payload: Option<String>,
) -> Vec<Name> {
    if let Some(iss) = iss {
        return match (jti, payload) {
            (Some(jti), _) => vec![Name::Jwt { iss, jti }],
            (None, Some(payload)) => vec![Name::Payload { iss, payload }],
            (None, None) => Vec::new(),
        };
    }
    let with_kind = |id: &str| Name::Id { kind: kind.to_owned(), id: id.to_owned() };
    // The id of a ticket or an opaque token is the first half of its digest.
    let derived = digest.as_ref().and_then(|digest| digest.get(..32)).map(with_kind);
    let given = id.as_deref().map(with_kind);
    [digest.map(Name::Digest), derived, given].into_iter().flatten().collect()
}

/// The state, and how fresh it is.
#[derive(Default)]
struct Held {
    revocations: Revocations,
    cursor: Option<String>,
    heard_at: Option<Instant>,
}

/// Follows one server. Checks never wait for it.
pub struct Follower {
    client: Client,
    url: String,
    secret: String,
    patience: Duration,
    held: RwLock<Held>,
}

/// The members of a stream's line other than an item's.
#[derive(Deserialize)]
struct Line {
    event: String,
    cursor: Option<String>,
}

/// The last line of a snapshot.
#[derive(Deserialize)]
struct End {
    end: bool,
    count: usize,
}

#[derive(Deserialize)]
struct Start {
    cursor: String,
}

impl Follower {
    /// A follower of that server, which beats that often.
    pub fn new(url: &str, secret: &str, heartbeat: Duration) -> anyhow::Result<Self> {
        let mut builder = Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if url.starts_with("http://") {
            // Without TLS it does not matter which certificates this machine has.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().context("set up the client")?;
        let url = format!("{}/v1/revocations", url.trim_end_matches('/'));
        let patience = heartbeat * MISSED_HEARTBEATS;
        Ok(Self { client, url, secret: secret.to_owned(), patience, held: RwLock::default() })
    }

    /// The reason to refuse the credential, if there is one: all eight rules.
    pub fn refuses(&self, credential: &Credential) -> Option<&'static str> {
        let held = self.held.read();
        let is_fresh = held.heard_at.is_some_and(|heard_at| heard_at.elapsed() <= self.patience);
        held.revocations.refuses(credential).or_else(|| (!is_fresh).then_some("stale"))
    }

    /// Follows until the server says that this will not get better.
    pub async fn run(&self) -> anyhow::Result<()> {
        loop {
            match self.follow_once().await {
                Ok(()) => {}
                Err(Cut::Again(error)) => eprintln!("follower: {error:#}; connecting again"),
                Err(Cut::Forever(status)) => bail!("the server refuses: {status}"),
            }
            // The loop ends when the server refuses permanently. Until then it pauses: a restarting server is not helped by all its
            // followers asking at once.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows over one connection.
    async fn follow_once(&self) -> Result<(), Cut> {
        let cursor = self.held.read().cursor.clone();
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => self.load().await?,
        };
        let mut lines = self.get("", &[("after", &cursor)]).await?;
        while let Some(text) = lines.next().await? {
            let line: Line = serde_json::from_str(&text).context("read a line of the stream")?;
            if line.event == "gap" {
                self.load().await?;
                return Ok(());
            }
            let item = match line.event.as_str() {
                "revoked" => Some(serde_json::from_str(&text).context("read a revocation")?),
                _ => None,
            };
            let mut held = self.held.write();
            // The cursor is kept no earlier than its event has taken effect.
            if let Some(item) = item {
                held.revocations.apply(item);
            }
            held.cursor = line.cursor.or(held.cursor.take());
            held.heard_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Loads the snapshot, and keeps everything that was held before. Returns the cursor to follow from.
    async fn load(&self) -> Result<String, Cut> {
        let mut lines = self.get("/snapshot", &[]).await?;
        let first = lines.next().await?.context("the snapshot is empty")?;
        let start: Start = serde_json::from_str(&first).context("read the snapshot's first line")?;
        let mut applied = 0;
        loop {
            let text = lines.next().await?.context("the snapshot is cut short")?;
            match serde_json::from_str::<End>(&text) {
                Ok(End { end: true, count }) if count == applied => break,
                Ok(_) => return Err(Cut::Again(anyhow::anyhow!("the snapshot has another count"))),
                // Revocations are never taken back: those of a snapshot that is cut short hold as well.
                Err(_) => {
                    let item = serde_json::from_str(&text).context("read a line of the snapshot")?;
                    self.held.write().revocations.apply(item);
                    applied += 1;
                }
            }
        }
        let mut held = self.held.write();
        held.cursor = Some(start.cursor.clone());
        held.heard_at = Some(Instant::now());
        Ok(start.cursor)
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Lines, Cut> {
        let request = self.client.get(format!("{}{path}", self.url)).query(query).bearer_auth(&self.secret);
        let request = request.header("accept", "application/x-ndjson").send();
        let sent = tokio::time::timeout(self.patience, request).await.context("wait for an answer")?;
        let response = sent.context("reach the server")?;
        match response.status() {
            StatusCode::OK => Ok(Lines { response, buffer: Vec::new(), patience: self.patience }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(Cut::Forever(status)),
            status => {
                // The cursor is of another ledger, or is not one: the snapshot gives another cursor.
                if status == StatusCode::BAD_REQUEST {
                    self.held.write().cursor = None;
                }
                Err(Cut::Again(anyhow::anyhow!("the server answers {status}")))
            }
        }
    }
}

/// Why a connection was cut.
enum Cut {
    /// Another connection may work.
    Again(anyhow::Error),
    /// The secret is inactive, or may not follow.
    Forever(StatusCode),
}

impl From<anyhow::Error> for Cut {
    fn from(error: anyhow::Error) -> Self {
        Self::Again(error)
    }
}

/// The lines of an answer. Silence for three heartbeats is an error.
struct Lines {
    response: Response,
    buffer: Vec<u8>,
    patience: Duration,
}

impl Lines {
    async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.drain(..=end).collect();
                return String::from_utf8(line).context("read a line").map(Some);
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                bail!("a line is longer than {MAX_LINE_BYTES} bytes");
            }
            let chunk = tokio::time::timeout(self.patience, self.response.chunk()).await;
            match chunk.context("nothing was heard for three heartbeats")?.context("read the stream")? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => bail!("the stream is cut short"),
            }
        }
    }
}

/// Follow a ledger's revocations, and give for each credential on the standard input the reason to refuse it
#[derive(clap::Parser)]
struct Arguments {
    /// The server
    #[arg(long, env = "AUTHLEDGER_URL", default_value = "http://127.0.0.1:7878")]
    url: String,

    /// A file that holds the secret of an application with the scope `follow`
    #[arg(long, env = "AUTHLEDGER_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,

    /// Seconds between two heartbeats, as the server is set
    #[arg(long, env = "AUTHLEDGER_HEARTBEAT", default_value_t = 15, value_name = "SECONDS")]
    heartbeat: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let secret = std::fs::read_to_string(&arguments.token_file).context("read the secret")?;
    // The process has one provider of cryptography, and no other code has installed one before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let heartbeat = Duration::from_secs(arguments.heartbeat);
    let follower = Arc::new(Follower::new(&arguments.url, secret.trim(), heartbeat)?);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let following = Arc::clone(&follower);
    runtime.spawn(async move {
        if let Err(error) = following.run().await {
            eprintln!("follower: {error:#}; its state becomes stale");
        }
    });

    for line in std::io::stdin().lock().lines() {
        let credential: Credential = serde_json::from_str(&line?).context("read a credential")?;
        println!("{}", json!({"refused": follower.refuses(&credential)}));
    }
    Ok(())
}
