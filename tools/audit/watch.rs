//! `watch`: an auditor beside a server. It does not trust any proof of the server: it computes from the tiles whether
//! each checkpoint continues the one before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use authledger::audit::Trust;
use authledger::domain::{Event, Origin};
use authledger::event_log::{MAX_RECORD_BYTES, decode};
use authledger::tlog::{
    Checkpoint, Cosignature, Frontier, MAX_NOTE_BYTES, Nodes, SignedNote, Tile, TreeHash, TreeNode, VerifierKey,
    consistency_proof, cosignatures, inclusion_proof, root, verify_consistency, verify_inclusion,
};
use authledger::{say, tell};
use clap::Args;
use reqwest::{Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::evidence;

/// How long a connection may take, and how long an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const TILE_BYTES: usize = Tile::WIDTH as usize * TreeHash::BYTES;
/// 256 records, each after its length in two bytes.
const MAX_ENTRIES_BYTES: usize = Tile::WIDTH as usize * (MAX_RECORD_BYTES + 2);
/// A server that answers with more tiles than a proof of the largest tree needs is not asked further.
const MAX_TILES: usize = 1_024;

const EXAMPLES: &str = "\
Examples:
  authledger key verifier > ledger.vkey                                   # on a machine that you trust
  authledger-audit watch https://ledger.example --state ledger.state --key @ledger.vkey
  authledger-audit watch http://127.0.0.1:7878 --state ledger.state --once

Exit codes:
  0  with --once: the checkpoint continues the one in FILE, or is the first
  1  it does not; both are kept in FILE.conflict
  2  the server could not be asked, or the question is incomplete";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    url: String,
    /// Where the last good checkpoint is kept; replaced whenever a later one is good.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// The log's verifier key, NAME+ID+KEY or @FILE. It is kept as FILE.vkey and needed once; of several in a file, the one of this log.
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Take the key from the log's own first record, the first time. Needs an auditor's secret in AUTHLEDGER_TOKEN.
    ///
    /// The server that answers at that moment is trusted; from then on it cannot contradict itself.
    #[arg(long, conflicts_with = "key")]
    trust_first: bool,
    /// An application's secret with the scope `audit` in every tenant, for --trust-first.
    #[arg(long, env = "AUTHLEDGER_TOKEN", hide_env_values = true, value_name = "SECRET", requires = "trust_first")]
    token: Option<String>,
    /// Seconds between two checks.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// Check once.
    #[arg(long)]
    once: bool,
    /// The origin to watch, if it is not the server's own: one of which the server holds a copy.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<Origin>,
}

/// The result of a check.
enum Seen {
    /// The first checkpoint: there is nothing to compare it with.
    First { new: Checkpoint, cosigned: Vec<Cosignature> },
    /// A later one, or the same.
    Continued { old: u64, new: Checkpoint, cosigned: Vec<Cosignature> },
    /// A checkpoint that does not continue the one before, or is not what the tiles lead to.
    Conflict(String),
}

/// False if the server's signed checkpoints contradict each other or its tiles.
pub(crate) fn watch(arguments: &Watch) -> anyhow::Result<bool> {
    let watcher = Watcher::new(arguments)?;
    loop {
        match watcher.look() {
            Ok(Seen::First { new, cosigned }) => {
                say!("{} at {}: the first that is kept, root {}", new.origin, new.size, new.root);
                cosigned.iter().for_each(|one| say!("  {one}"));
            }
            Ok(Seen::Continued { old, new, cosigned }) => {
                say!("{} at {}: continues {old}, root {}", new.origin, new.size, new.root);
                cosigned.iter().for_each(|one| say!("  {one}"));
            }
            Ok(Seen::Conflict(what)) => {
                let kept = sibling(&arguments.state, ".conflict");
                tell!("authledger-audit: CONTRADICTION at {}: {what}", arguments.url);
                tell!("authledger-audit: both checkpoints are in {}: keep it, it is evidence", kept.display());
                return Ok(false);
            }
            Err(error) if arguments.once => return Err(error),
            Err(error) => tell!("authledger-audit: {error:#}; trying again in {} s", arguments.every),
        }
        if arguments.once {
            return Ok(true);
        }
        // This is the requested behaviour: a check every so often. A server does not announce that it has signed again.
        #[expect(clippy::disallowed_methods, reason = "a signal ends the program, and there is nothing to tidy up")]
        thread::sleep(Duration::from_secs(arguments.every));
    }
}

struct Watcher<'a> {
    arguments: &'a Watch,
    server: Server,
    given: Trust,
}

impl<'a> Watcher<'a> {
    fn new(arguments: &'a Watch) -> anyhow::Result<Self> {
        let given = arguments
            .key
            .as_ref()
            .map_or_else(|| Ok(Trust::default()), |key| evidence::keys(std::slice::from_ref(key)))?;
        let kept = sibling(&arguments.state, ".vkey");
        let known = !given.keys.is_empty() || arguments.trust_first || kept.exists();
        ensure!(
            known,
            "which key is trusted? give the log's verifier key with --key (`authledger key verifier` shows it), or take \
             the first one that the server shows with --trust-first"
        );
        Ok(Self { arguments, server: Server::new(arguments)?, given })
    }

    fn look(&self) -> anyhow::Result<Seen> {
        let text = self.server.text("checkpoint", MAX_NOTE_BYTES)?;
        let note = SignedNote::parse(&text).context("read the server's checkpoint")?;
        let key = self.key(&note)?;
        let state = &self.arguments.state;
        let old = match fs::read_to_string(state) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("read {}", state.display())),
        };
        let new = match Checkpoint::open(&note, &key) {
            Ok(new) => new,
            // Not signed by the right key: this is not evidence against the signer, and not a checkpoint to continue
            // from.
            Err(error) => bail!("the server's checkpoint is not trusted: {error}"),
        };
        // Whatever they are worth: the log has signed this checkpoint, and they are shown, and kept with it.
        let cosigned = cosignatures(&note, &new.origin, &self.given.witnesses);
        let Some(old_text) = old else {
            replace(state, note.as_str())?;
            return Ok(Seen::First { new, cosigned });
        };
        let opened = SignedNote::parse(&old_text).map_err(Into::into).and_then(|note| Checkpoint::open(&note, &key));
        let old =
            opened.with_context(|| format!("read {}: put back the checkpoint that was kept there", state.display()))?;
        if let Some(what) = self.contradiction(&old, &new)? {
            replace(&sibling(state, ".conflict"), &format!("{old_text}\n{}", note.as_str()))?;
            return Ok(Seen::Conflict(what));
        }
        replace(state, note.as_str())?;
        Ok(Seen::Continued { old: old.size, new, cosigned })
    }

    /// The contradiction between the later and the earlier checkpoint, if there is one.
    fn contradiction(&self, old: &Checkpoint, new: &Checkpoint) -> anyhow::Result<Option<String>> {
        if new.size < old.size {
            return Ok(Some(format!(
                "it signed {} records before, and shows {} now: an older state was put back",
                old.size, new.size
            )));
        }
        if new.size == old.size {
            let differs = new.root != old.root;
            return Ok(differs
                .then(|| format!("it signed two roots over {} records: {} and {}", old.size, old.root, new.root)));
        }
        if old.size == 0 {
            return Ok((old.root != TreeHash::of_nothing()).then(|| "it signed a root over no records".to_owned()));
        }
        let tiles = Tiles { server: &self.server, size: new.size, fetched: RefCell::default() };
        let (computed, proof) = (root(old.size, &tiles)?, consistency_proof(old.size, new.size, &tiles)?);
        // Whether the tiles lead to the new root is checked before what they say about the old one.
        if let Err(error) = verify_consistency((old.size, computed), (new.size, new.root), &proof) {
            return Ok(Some(format!(
                "its tiles do not lead to the root that it signed over {} records: {error}",
                new.size
            )));
        }
        let differs = computed != old.root;
        Ok(differs.then(|| {
            format!(
                "it signed {} over its first {} records, and the tree that it signed now over {} has {computed} there: the log was rewritten",
                old.root, old.size, new.size
            )
        }))
    }

    /// The key that was given, or kept; or at first that of the log's own first record.
    fn key(&self, note: &SignedNote) -> anyhow::Result<VerifierKey> {
        let path = sibling(&self.arguments.state, ".vkey");
        let kept = match fs::read_to_string(&path) {
            Ok(text) => Some(text.parse::<VerifierKey>().with_context(|| format!("read {}", path.display()))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let said = Checkpoint::parse(note.text()).context("read the server's checkpoint")?;
        let given = self.given.keys.iter().find(|key| *key.name() == said.origin);
        ensure!(
            given.is_some() || self.given.keys.is_empty(),
            "the server's log is {}, and --key does not name its key",
            said.origin
        );
        match (kept, given) {
            (Some(kept), Some(given)) if kept != *given => {
                bail!("--key is not the key in {}; if you know which one is wrong, remove it", path.display())
            }
            (Some(kept), _) => Ok(kept),
            (None, given) => {
                let key = given.cloned().map_or_else(|| self.first_key(&said), Ok)?;
                replace(&path, &format!("{key}\n"))?;
                Ok(key)
            }
        }
    }

    /// The key that the log's first record names, if that record is in the tree of the checkpoint.
    fn first_key(&self, said: &Checkpoint) -> anyhow::Result<VerifierKey> {
        let width = said.size.min(u64::from(Tile::WIDTH)) as u16;
        let tile = Tile { level: 0, index: 0, width };
        let entries = self.server.bytes(&format!("tile/entries/{}", tile.index_path()), MAX_ENTRIES_BYTES)?;
        let entries = entries.ok_or_else(|| anyhow!("the server shows no entries of its log"))?;
        let first =
            entries.split_first_chunk::<2>().and_then(|(length, rest)| rest.get(..u16::from_be_bytes(*length).into()));
        let record = first.ok_or_else(|| anyhow!("the server's first entry is cut off"))?;
        let tiles = Tiles { server: &self.server, size: said.size, fetched: RefCell::default() };
        let proof = inclusion_proof(0, said.size, &tiles)?;
        verify_inclusion(0, TreeHash::of_leaf(record), said.size, said.root, &proof)
            .context("the server's first entry is not in the tree that it signed")?;
        match decode(record).context("read the log's first record")?.event {
            Event::LedgerOpened(opened) => Ok(VerifierKey::new(said.origin.clone(), opened.public_key)),
            _ => bail!("the log's first record does not name its key"),
        }
    }
}

/// The server, and the requests to it.
struct Server {
    runtime: Runtime,
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Server {
    fn new(arguments: &Watch) -> anyhow::Result<Self> {
        let url =
            Url::parse(&arguments.url).with_context(|| format!("use {:?} as the server's address", arguments.url))?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.query().is_none(),
            "use {:?} as the server's address: it must start with http:// or https://, and end with the host, the port or a path",
            arguments.url
        );
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // One from before is as good.
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("authledger-audit/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "http" {
            // Plain HTTP must not fail because this machine has no certificates to trust.
            builder = builder.tls_certs_only([]);
        }
        let mut base = url.as_str().trim_end_matches('/').to_owned();
        if let Some(origin) = arguments.origin {
            base = format!("{base}/origins/{origin}");
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        Ok(Self {
            runtime,
            http: builder.build().context("set up the HTTP client")?,
            base,
            token: arguments.token.clone(),
        })
    }

    fn text(&self, path: &str, most: usize) -> anyhow::Result<String> {
        let bytes = self.bytes(path, most)?;
        let bytes = bytes.ok_or_else(|| anyhow!("{}/{path}: the server has none yet", self.base))?;
        String::from_utf8(bytes).with_context(|| format!("read {}/{path}", self.base))
    }

    /// A body of at most so many bytes; nothing if the server does not have it.
    fn bytes(&self, path: &str, most: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let url = format!("{}/{path}", self.base);
        self.runtime.block_on(self.fetch(&url, most)).with_context(|| format!("get {url}"))
    }

    async fn fetch(&self, url: &str, most: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response: Response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => bail!("the server answers {status}"),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            ensure!(body.len() <= most, "the answer has more than {most} bytes");
        }
        Ok(Some(body))
    }
}

/// A tree as the server shows it in tiles. Nothing of it is trusted before it has led to the signed root.
struct Tiles<'a> {
    server: &'a Server,
    size: u64,
    fetched: RefCell<BTreeMap<(u8, u64), Vec<TreeHash>>>,
}

impl Nodes for Tiles<'_> {
    type Error = anyhow::Error;

    fn load(&self, node: TreeNode) -> anyhow::Result<TreeHash> {
        let (level, first, count) = Tile::below(node);
        let width = u64::from(Tile::WIDTH);
        let (index, from) = (first / width, (first % width) as usize);
        self.fetch(level, index)?;
        let fetched = self.fetched.borrow();
        let hashes = fetched.get(&(level, index)).and_then(|hashes| hashes.get(from..from + count as usize));
        let hashes = hashes.ok_or_else(|| anyhow!("tile {level}/{index} of the server is too short"))?;
        let mut subtree = Frontier::default();
        hashes.iter().for_each(|hash| subtree.append(*hash, |_, _| {}));
        Ok(subtree.root())
    }
}

impl Tiles<'_> {
    fn fetch(&self, level: u8, index: u64) -> anyhow::Result<()> {
        if self.fetched.borrow().contains_key(&(level, index)) {
            return Ok(());
        }
        ensure!(self.fetched.borrow().len() < MAX_TILES, "a proof needs fewer than {MAX_TILES} tiles");
        let width = Tile::hashes_at(level, self.size).saturating_sub(index * u64::from(Tile::WIDTH));
        let tile = Tile { level, index, width: width.min(u64::from(Tile::WIDTH)) as u16 };
        let full = Tile { width: Tile::WIDTH, ..tile };
        // A partial tile that has filled up meanwhile may only exist as a full one.
        let bytes = match self.server.bytes(&format!("tile/{tile}"), TILE_BYTES)? {
            None if tile != full => self.server.bytes(&format!("tile/{full}"), TILE_BYTES)?,
            bytes => bytes,
        };
        let bytes =
            bytes.ok_or_else(|| anyhow!("the server has no tile {tile}, and has signed a tree that needs it"))?;
        let hashes =
            bytes.chunks_exact(TreeHash::BYTES).filter_map(|hash| hash.try_into().ok().map(TreeHash)).collect();
        self.fetched.borrow_mut().insert((level, index), hashes);
        Ok(())
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Replaces a file: the old one stands until the new one is durable.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let unfinished = sibling(path, ".new");
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    });
    written.with_context(|| format!("write {}", path.display()))
}
