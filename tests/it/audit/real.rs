//! A ledger that the real server has written, stopped: log, checkpoint, tiles, snapshot and keys, and an older checkpoint of it
//! that was kept elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use authledger::domain::Origin;
use authledger::event_log::{Chain, ChainHash};
use authledger::keys::OriginKey;
use authledger::tlog::{Checkpoint, Frontier, KeyName, SignedNote, TreeHash, VerifierKey};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::node::{Api, Launch, NodeProcess};
use crate::support::log::LogFile;

/// Records when the older checkpoint was signed, and at the end: enough for two full tiles.
pub const OLD: usize = 301;
pub const ALL: usize = 701;
/// Records of the first start: the opening of the ledger, and two keys.
const OPENING: usize = 3;

/// A copy of it that a test may spoil.
pub struct Real {
    pub log: LogFile,
    pub origin: Origin,
    pub key: VerifierKey,
    /// A directory for the bundles and proofs that a test makes.
    pub scratch: TempDir,
}

impl Real {
    pub fn copy() -> Self {
        static MADE: OnceLock<TempDir> = OnceLock::new();
        let made = MADE.get_or_init(make);
        let (log, scratch) = (LogFile { directory: tempfile::tempdir().unwrap() }, tempfile::tempdir().unwrap());
        copy(&made.path().join("data"), log.directory.path());
        fs::copy(made.path().join("old.checkpoint"), scratch.path().join("old.checkpoint")).unwrap();
        let origin = only_name(&log.directory.path().join("checkpoints")).parse().unwrap();
        let public = OriginKey::load_or_create(&log.directory.path().join("keys")).unwrap().public_key();
        let key = VerifierKey::new(KeyName::of_origin(origin), public);
        Self { log, origin, key, scratch }
    }

    pub fn data(&self) -> &Path {
        self.log.directory.path()
    }

    /// The checkpoint of the first [`OLD`] records, kept elsewhere.
    pub fn old(&self) -> PathBuf {
        self.scratch.path().join("old.checkpoint")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.data().join("checkpoints").join(self.origin.as_str())
    }

    pub fn tiles(&self) -> PathBuf {
        self.data().join("tiles").join(self.origin.as_str()).join("0")
    }

    /// A path for something new.
    pub fn fresh(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs the tool.
    pub fn audit(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_authledger-audit")).args(arguments).output().unwrap()
    }

    /// Makes a file with the tool.
    pub fn make(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.fresh(name);
        let output = self.audit(&[arguments, &["-o", path.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        path
    }

    /// A proof that the event at that position is in the newest checkpoint.
    pub fn proof(&self, name: &str, position: &str) -> PathBuf {
        self.make(name, &["prove", self.data().to_str().unwrap(), "--position", position])
    }

    pub fn bundle(&self, name: &str, more: &[&str]) -> PathBuf {
        self.make(name, &[&["export", self.data().to_str().unwrap()], more].concat())
    }

    /// Changes one record and computes all hashes from there on anew, as somebody can who has the file and no key.
    pub fn rewrite(&self, position: usize) {
        let record = self.records()[position - 1].replace("subject-", "somebody-");
        self.log.forge(&format!("UPDATE event SET record = '{record}' WHERE position = {position}"));
        self.rechain();
    }

    /// Gives every record the hash that its chain leads to.
    pub fn rechain(&self) {
        let (chain, mut hash) = (Chain::default(), ChainHash::default());
        let mut updates = String::from("BEGIN;");
        for (record, position) in self.records().iter().zip(1..) {
            hash = chain.link(&hash, record.as_bytes());
            updates.push_str(&format!("UPDATE event SET hash = x'{hash}' WHERE position = {position};"));
        }
        self.log.forge(&(updates + "COMMIT;"));
    }

    /// The head of the first so many records as they are now, signed with the origin's own key.
    pub fn signed_at(&self, size: usize) -> SignedNote {
        self.signed_with(&self.data().join("keys"), size)
    }

    /// The same with another directory's key.
    pub fn signed_with(&self, keys: &Path, size: usize) -> SignedNote {
        let mut tree = Frontier::default();
        let records = self.records();
        records[..size].iter().for_each(|record| tree.append(TreeHash::of_leaf(record.as_bytes()), |_, _| {}));
        let key = OriginKey::load_or_create(keys).unwrap();
        let verifier = VerifierKey::new(self.key.name().clone(), key.public_key());
        let checkpoint = Checkpoint { origin: self.key.name().clone(), size: tree.size(), root: tree.root() };
        checkpoint.sign(&verifier, |message| key.sign(message))
    }

    /// Rewrites history below the older checkpoint and makes everything else fit, as somebody can who has the key too.
    pub fn forge_all(&self) {
        self.rewrite(200);
        fs::write(self.checkpoint(), self.signed_at(self.records().len()).as_str()).unwrap();
        for derived in ["tiles", "snapshot", "index"] {
            fs::remove_dir_all(self.data().join(derived)).unwrap();
        }
        // The server itself makes them anew.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (code, log) = runtime.block_on(async { start(self.data()).stop().await });
        assert_eq!(code, Some(0), "{log}");
    }

    pub fn records(&self) -> Vec<String> {
        let connection = Connection::open(self.log.path()).unwrap();
        let mut select = connection.prepare("SELECT record FROM event ORDER BY position").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)))
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let from = entry.path();
        let to = to.join(entry.file_name());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

fn make() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let checkpoints = data.join("checkpoints");
    // On a thread of its own: the test that comes first may run in a runtime.
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(fill(&data, OPENING..OLD));
            fs::copy(checkpoints.join(only_name(&checkpoints)), directory.path().join("old.checkpoint")).unwrap();
            runtime.block_on(fill(&data, OLD..ALL));
        });
        made.join().unwrap();
    });
    directory
}

/// A server whose issuer is the same at each start: it records its keys at the first.
pub fn start(data: &Path) -> NodeProcess {
    Launch::new(data).args(&["--public-url", "https://ledger.example"]).start()
}

async fn fill(data: &Path, numbers: std::ops::Range<usize>) {
    let node = start(data);
    let subjects: Vec<String> = numbers.map(|number| format!("subject-{number:04}")).collect();
    for some in subjects.chunks(50) {
        futures_util::future::join_all(some.iter().map(|subject| issue(&node.api, subject))).await;
    }
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(0), "{log}");
}

async fn issue(api: &Api, subject: &str) {
    api.issue(subject).await;
}

/// The one file in a directory.
pub fn only_name(directory: &Path) -> String {
    let names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let [name] = &*names else { panic!("{names:?}") };
    name.to_str().unwrap().to_owned()
}
