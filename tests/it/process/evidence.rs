//! Checkpoints of real servers: each extends all that were seen before, whatever a crash left of the files in between.

use std::fs;
use std::path::{Path, PathBuf};

use authledger::domain::Origin;
use authledger::event_log::{Base, Chain, ChainHash, Reader, open_for_writing};
use authledger::tlog::{Checkpoint, InclusionProof, SignedNote, VerifierKey, root};
use serde_json::Value;

use super::node::{Api, Launch, NodeProcess, text};
use crate::tlog::Plain;

/// The ledger's directory, and every checkpoint that anybody has seen of it.
pub struct Watched {
    data: PathBuf,
    seen: Vec<Checkpoint>,
    _directory: tempfile::TempDir,
}

impl Watched {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { data: directory.path().join("data"), seen: Vec::new(), _directory: directory }
    }

    /// Runs a server over so many tickets, and keeps the checkpoint that covers the last of them.
    async fn live(&mut self, tickets: u64) {
        let node = Launch::new(&self.data).args(&["--log", "warn"]).start();
        for number in 0..tickets {
            node.api.issue(&format!("subject-{number}")).await;
        }
        self.seen.push(newest(&node.api).await);
        let (code, log) = node.stop().await;
        assert_eq!(code, Some(0), "{log}");
        self.agrees();
    }

    /// Each signed root is the root of that many records of the log.
    fn agrees(&self) {
        agree(&self.data, &self.seen);
    }

    fn origin(&self) -> Origin {
        Reader::open(&self.data.join("ledger.db")).unwrap().origins().unwrap()[0]
    }

    fn tiles(&self) -> PathBuf {
        self.data.join("tiles").join(self.origin().as_str())
    }

    fn checkpoint(&self) -> PathBuf {
        self.data.join("checkpoints").join(self.origin().as_str())
    }
}

/// Each signed root is the root of that many records of that log.
pub fn agree(data: &Path, seen: &[Checkpoint]) {
    let tree = Plain::of(records(data).into_iter().map(|(record, _)| record));
    for checkpoint in seen {
        assert_eq!(root(checkpoint.size, &tree), Ok(checkpoint.root), "over {} records", checkpoint.size);
    }
}

/// The records of a log with one origin, and the chain with each.
fn records(data: &Path) -> Vec<(Vec<u8>, ChainHash)> {
    let reader = Reader::open(&data.join("ledger.db")).unwrap();
    let (mut base, mut records) = (Base::default(), Vec::new());
    loop {
        let page = reader.next_page(&mut base, 10_000).unwrap();
        if page.is_empty() {
            return records;
        }
        records.extend(page.into_iter().map(|stored| (stored.record.as_bytes().to_vec(), stored.hash)));
    }
}

/// The key that the server's checkpoints are checked with.
async fn key(api: &Api) -> VerifierKey {
    let status = api.get("/v1/status").await.expect(200);
    text(&status["origins"][0]["checkpoint"], "verifier_key").parse().unwrap()
}

/// The checkpoint that covers the newest record. Asking for that one's proof waits for it.
pub async fn newest(api: &Api) -> Checkpoint {
    let head = api.get("/v1/status").await.expect(200)["head"]["position"].as_u64().unwrap();
    let Value::String(proof) = api.get(&format!("/v1/events/{head}/proof")).await.expect(200) else {
        panic!("no text")
    };
    let checkpoint = InclusionProof::parse(&proof).unwrap().verify(&key(api).await).unwrap();
    let Value::String(note) = api.get("/checkpoint").await.expect(200) else { panic!("no text") };
    let served = Checkpoint::open(&SignedNote::parse(&note).unwrap(), &key(api).await).unwrap();
    assert!(served.size >= head && checkpoint.size >= head);
    served
}

/// The files as a crash can leave them between the append, the tiles, the checkpoint and the snapshot: each may be older than
/// the others, half written, or gone.
#[tokio::test]
async fn files_that_a_crash_leaves_are_mended_and_contradict_nothing() {
    let mut watched = Watched::new();
    watched.live(300).await;
    let origin = watched.origin();
    let tiles = watched.tiles();
    let checkpoint = watched.checkpoint();
    let old_tiles = fs::read(tiles.join("0")).unwrap();
    let old_checkpoint = fs::read(&checkpoint).unwrap();
    let old_snapshot = fs::read(watched.data.join("snapshot/state")).unwrap();
    watched.live(600).await;
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let changes: [Change<'_>; 10] = [
        ("tiles of before", Box::new(|| fs::write(tiles.join("0"), &old_tiles).unwrap())),
        ("no tiles", Box::new(|| fs::remove_dir_all(&tiles).unwrap())),
        ("half a tile", Box::new(|| fs::write(tiles.join("0"), &old_tiles[..5_000]).unwrap())),
        (
            "a tile of zeros, as a loss of power leaves it",
            Box::new(|| fs::write(tiles.join("0"), vec![0; 3 * 8_192]).unwrap()),
        ),
        ("the checkpoint of before", Box::new(|| fs::write(&checkpoint, &old_checkpoint).unwrap())),
        ("half of the next checkpoint", Box::new(|| fs::write(checkpoint.with_extension("new"), "authled").unwrap())),
        (
            "no checkpoint, and no tiles",
            Box::new(|| {
                fs::remove_file(&checkpoint).unwrap();
                fs::remove_dir_all(&tiles).unwrap();
            }),
        ),
        ("the snapshot of before", Box::new(|| fs::write(watched.data.join("snapshot/state"), &old_snapshot).unwrap())),
        ("no snapshot", Box::new(|| fs::remove_file(watched.data.join("snapshot/state")).unwrap())),
        (
            "all of before",
            Box::new(|| {
                fs::write(tiles.join("0"), &old_tiles).unwrap();
                fs::write(&checkpoint, &old_checkpoint).unwrap();
                fs::write(watched.data.join("snapshot/state"), &old_snapshot).unwrap();
            }),
        ),
    ];
    let mut seen = watched.seen.clone();
    for (case, change) in changes {
        change();
        let node = NodeProcess::start(&watched.data);
        node.api.issue("another").await;
        seen.push(newest(&node.api).await);
        let full = node.api.get("/tile/0/001").await;
        assert_eq!(full.status, 200, "{case}");
        assert!(node.api.get("/health/ready").await.expect(200).get("warning").is_none(), "{case}");
        node.kill();
        agree(&watched.data, &seen);
        let path = Reader::open(&watched.data.join("ledger.db")).unwrap();
        assert_eq!(path.origins().unwrap(), [origin], "{case}");
    }
}

#[tokio::test]
async fn a_log_that_ends_before_what_was_signed_does_not_start() {
    let mut watched = Watched::new();
    watched.live(5).await;
    let copy = fs::read(watched.data.join("ledger.db")).unwrap();
    watched.live(5).await;
    fs::write(watched.data.join("ledger.db"), copy).unwrap();
    fs::remove_dir_all(watched.data.join("snapshot")).unwrap();
    let (code, said) = Launch::new(&watched.data).refuse();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rolled back") && said.contains("restore") && said.contains("sequence 8"), "{said}");
}

/// A program that may write the file rewrites a record and the chain after it. The node signs nothing over that.
#[tokio::test]
async fn a_rewritten_log_is_not_signed_over() {
    let mut watched = Watched::new();
    watched.live(20).await;
    rewrite(&watched.data, "subject-7", "subject-8");
    fs::remove_dir_all(watched.tiles()).unwrap();
    fs::remove_dir_all(watched.data.join("snapshot")).unwrap();
    let node = Launch::new(&watched.data).args(&["--log", "warn"]).start();
    let issued = node.api.issue("more").await;
    let proof = node.api.get(&format!("/v1/events/{}/proof", issued["position"])).await;
    assert_eq!(text(&proof.expect(503), "type"), "/problems/checkpoint-pending");
    let warning = text(&node.api.get("/health/ready").await.expect(200), "warning");
    assert!(warning.contains("contradicts a checkpoint"), "{warning}");
    let Value::String(note) = node.api.get("/checkpoint").await.expect(200) else { panic!("no text") };
    assert_eq!(fs::read_to_string(watched.checkpoint()).unwrap(), note, "the one of before");
    let (_, log) = node.stop().await;
    assert!(log.contains("the log was changed"), "{log}");
}

/// Replaces a text in the records, and links the chain anew, as only somebody can who takes the triggers away.
fn rewrite(data: &Path, from: &str, to: &str) {
    let connection = open_for_writing(&data.join("ledger.db")).unwrap();
    let chain = Chain::default();
    let guards = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    let guards: Vec<String> =
        connection.prepare(guards).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let names: Vec<String> =
        connection.prepare(names).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    names.iter().for_each(|name| connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    let mut hash = ChainHash::default();
    for (position, (record, _)) in (1..).zip(records(data)) {
        let record = String::from_utf8(record).unwrap().replace(&format!("\"{from}\""), &format!("\"{to}\""));
        hash = chain.link(&hash, record.as_bytes());
        let row = (record, &hash.0[..], position);
        connection.execute("UPDATE event SET record = ?1, hash = ?2 WHERE position = ?3", row).unwrap();
    }
    guards.iter().for_each(|guard| connection.execute_batch(guard).unwrap());
}

/// Somebody takes a trigger away, changes a record, and says nothing.
#[tokio::test]
async fn a_changed_file_is_refused_and_a_changed_record_is_in_the_readiness() {
    let mut watched = Watched::new();
    watched.live(20).await;
    let path = watched.data.join("ledger.db");
    let connection = open_for_writing(&path).unwrap();
    let guard = "SELECT sql FROM sqlite_schema WHERE name = 'event_is_never_changed'";
    let guard: String = connection.query_row(guard, [], |row| row.get(0)).unwrap();
    let change =
        "DROP TRIGGER event_is_never_changed; UPDATE event SET record = replace(record, 'subject-5', 'subject-x')";
    connection.execute_batch(change).unwrap();
    let (code, said) = Launch::new(&watched.data).refuse();
    assert!(code == Some(1) && said.contains("trigger event_is_never_changed is missing"), "{said}");
    let tool = std::process::Command::new(env!("CARGO_BIN_EXE_authledger-audit")).arg("verify").arg(&path).output();
    let found = String::from_utf8(tool.unwrap().stdout).unwrap();
    assert!(
        found.contains("event_is_never_changed is missing") && found.contains("position 9: the stored hash"),
        "{found}"
    );

    connection.execute_batch(&guard).unwrap();
    drop(connection);
    fs::remove_dir_all(watched.tiles()).unwrap();
    let node = Launch::new(&watched.data).args(&["--log", "warn"]).start();
    let issued = node.api.issue("more").await;
    // It waits for a checkpoint, which does not come.
    node.api.get(&format!("/v1/events/{}/proof", issued["position"])).await.expect(503);
    let warning = text(&node.api.get("/health/ready").await.expect(200), "warning");
    assert!(warning.contains("no checkpoint can be signed"), "{warning}");
    let (_, log) = node.stop().await;
    assert_eq!(log.matches("the tree does not grow").count(), 1, "said once: {log}");
}

#[tokio::test]
async fn the_name_of_a_log_is_fixed_with_its_first_checkpoint() {
    let mut watched = Watched::new();
    let named = |name: &str| Launch::new(&watched.data).args(&["--checkpoint-origin", name]);
    let (code, said) = named("two words").refuse();
    assert!(code == Some(2) || code == Some(1), "{said}");
    assert!(said.contains("--checkpoint-origin"), "{said}");
    let node = named("log.example/main").start();
    node.api.issue("one").await;
    assert_eq!(newest(&node.api).await.origin.as_str(), "log.example/main");
    node.stop().await;
    let (_, said) = named("log.example/other").refuse();
    assert!(said.contains("--checkpoint-origin is log.example/other") && said.contains("log.example/main"), "{said}");
    watched.live(1).await;
    assert_eq!(watched.seen[0].origin.as_str(), "log.example/main");
    fs::write(watched.checkpoint(), "no note").unwrap();
    let (_, said) = Launch::new(&watched.data).refuse();
    assert!(said.contains("put back a copy"), "{said}");
    // Another key means another origin, which may not take the name.
    fs::rename(watched.checkpoint(), watched.data.join("kept")).unwrap();
    watched.live(1).await;
}
