//! Every refusal to start says the fault, its place, and the next step; and damages nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::node::{Launch, NodeProcess};

/// A directory to put a data directory into.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// With a ledger that a server has made and left.
    async fn with_ledger() -> Self {
        let place = Self::new();
        let node = NodeProcess::start(&place.data());
        node.api.issue_and_revoke("default", "somebody").await;
        assert_eq!(node.stop().await.0, Some(0));
        place
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn ledger(&self) -> PathBuf {
        self.data().join("ledger.db")
    }

    /// The server's refusal, without the parts that differ from one run to the next.
    fn refusal(&self, launch: Launch) -> String {
        let (code, said) = launch.refuse();
        assert_eq!(code, Some(1), "{said}");
        said.replace(&*self.directory.path().to_string_lossy(), "[directory]")
    }

    fn usual(&self) -> String {
        self.refusal(Launch::new(&self.data()))
    }
}

/// Every file of a directory with its bytes.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => all.extend(contents(&path)),
            path => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_second_server_on_the_same_directory() {
    let place = Place::new();
    let node = NodeProcess::start(&place.data());
    insta::assert_snapshot!(place.usual());
    node.api.issue("the first one goes on").await;
    assert_eq!(node.stop().await.0, Some(0));
}

#[test]
fn a_ledger_that_is_not_a_database() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    fs::write(place.ledger(), "a letter to my aunt, and not a short one").unwrap();
    insta::assert_snapshot!(place.usual());
    assert_eq!(fs::read(place.ledger()).unwrap(), b"a letter to my aunt, and not a short one");
}

#[test]
fn a_ledger_that_is_another_programs_database() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let other = Connection::open(place.ledger()).unwrap();
    other.execute_batch("CREATE TABLE aunt (name TEXT); INSERT INTO aunt VALUES ('Polly');").unwrap();
    drop(other);
    let before = fs::read(place.ledger()).unwrap();
    insta::assert_snapshot!(place.usual());
    assert_eq!(fs::read(place.ledger()).unwrap(), before);
}

#[tokio::test]
async fn a_ledger_of_a_later_version() {
    let place = Place::with_ledger().await;
    let later = Connection::open(place.ledger()).unwrap();
    later.pragma_update(None, "user_version", 7).unwrap();
    drop(later);
    let before = contents(&place.data());
    insta::assert_snapshot!(place.usual());
    assert_eq!(contents(&place.data()), before);
}

#[tokio::test]
async fn a_ledger_with_a_flipped_bit() {
    let place = Place::with_ledger().await;
    let tamper = Connection::open(place.ledger()).unwrap();
    let guard = "SELECT sql FROM sqlite_schema WHERE name = 'event_is_never_changed'";
    let guard: String = tamper.query_row(guard, [], |row| row.get(0)).unwrap();
    let change = "DROP TRIGGER event_is_never_changed;
                  UPDATE event SET record = replace(record, 'somebody', 'somebodz') WHERE position = 4;";
    tamper.execute_batch(&format!("{change} {guard}")).unwrap();
    drop(tamper);
    fs::remove_dir_all(place.data().join("snapshot")).unwrap();
    let said = place.usual();
    assert!(said.contains("position 4: the stored hash"), "{said}");
    assert!(said.contains("authledger-audit verify") && said.contains("restore a backup"), "{said}");
}

#[tokio::test]
async fn a_log_that_is_gone_from_next_to_its_snapshot() {
    let place = Place::with_ledger().await;
    let snapshot = fs::read(place.data().join("snapshot/state")).unwrap();
    fs::remove_file(place.ledger()).unwrap();
    insta::assert_snapshot!(place.usual());
    assert_eq!(fs::read(place.data().join("snapshot/state")).unwrap(), snapshot, "the evidence stays");
    assert_eq!(place.usual(), place.usual(), "it is refused as long as it is so");
}

#[tokio::test]
async fn a_log_that_is_gone_from_next_to_its_checkpoints() {
    let place = Place::with_ledger().await;
    fs::remove_dir_all(place.data().join("snapshot")).unwrap();
    fs::remove_file(place.ledger()).unwrap();
    assert!(fs::read_dir(place.data().join("checkpoints")).unwrap().next().is_some());
    let said = place.usual();
    assert!(said.contains("the checkpoints next to it are of a log of"), "{said}");
    assert_eq!(place.usual(), said, "it is refused as long as it is so");
}

#[test]
fn a_data_directory_that_is_a_file() {
    let place = Place::new();
    fs::write(place.data(), "not a directory").unwrap();
    insta::assert_snapshot!(place.usual());
    assert_eq!(fs::read(place.data()).unwrap(), b"not a directory");
}

#[test]
fn an_address_that_others_reach_in_clear() {
    let place = Place::new();
    insta::assert_snapshot!(place.refusal(Launch::new(&place.data()).listen("0.0.0.0:0")));
    assert!(!place.data().exists());
}

#[tokio::test]
async fn an_address_that_is_taken() {
    let (place, other) = (Place::new(), Place::new());
    let node = NodeProcess::start(&other.data());
    let address = node.api.url().trim_start_matches("http://").to_owned();
    let said = place.refusal(Launch::new(&place.data()).listen(&address));
    insta::assert_snapshot!(said.replace(&address, "[address]"));
}

#[test]
fn a_certificate_that_is_not_there() {
    let place = Place::new();
    let launch = Launch::new(&place.data()).args(&["--tls-certificate", "/nowhere/certificate.pem"]);
    insta::assert_snapshot!(place.refusal(launch.args(&["--tls-key", "/nowhere/key.pem"])));
}

#[test]
fn a_root_secret_that_is_too_short() {
    let place = Place::new();
    insta::assert_snapshot!(place.refusal(Launch::new(&place.data()).env("AUTHLEDGER_ROOT_TOKEN", "hunter2")));
}

#[test]
fn a_trusted_issuer_without_usable_keys() {
    let place = Place::new();
    let config = place.directory.path().join("authledger.toml");
    let table =
        "[[trusted_issuer]]\nissuer = \"https://login.example\"\njwks_file = \"keys.json\"\ntenants = [\"one\"]\n";
    fs::write(&config, table).unwrap();
    fs::write(place.directory.path().join("keys.json"), "{\"keys\":[]}").unwrap();
    let launch = Launch::new(&place.data()).arg("--check").arg("--config").arg(&config);
    insta::assert_snapshot!(place.refusal(launch));
}
