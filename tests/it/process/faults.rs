//! Rights and room that are missing: a sentence, an exit code, and a ledger that is as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::node::{BINARY, Launch, NodeProcess, ROOT};

/// A user without rights.
const NOBODY: u32 = 65_534;

/// A directory in which somebody without rights can find the binary and the data.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// With a ledger that a server has made and left, which nobody owns.
    async fn with_ledger() -> Self {
        let place = Self::new();
        let node = NodeProcess::start(&place.data());
        node.api.issue_and_revoke("default", "somebody").await;
        assert_eq!(node.stop().await.0, Some(0));
        give_away(&place.data());
        place
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn launch_as_nobody(&self) -> Launch {
        let wrapped = if is_root() { self.through_setpriv() } else { Command::new(BINARY) };
        Launch::with(wrapped, &self.data()).env("AUTHLEDGER_ROOT_TOKEN", ROOT)
    }

    fn through_setpriv(&self) -> Command {
        // The binary may be where only root can look.
        let binary = self.directory.path().join("authledger");
        fs::copy(BINARY, &binary).unwrap();
        let mut command = Command::new("setpriv");
        let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.args(user).arg("--clear-groups").arg(binary);
        command
    }

    fn redact(&self, said: &str) -> String {
        said.replace(&*self.directory.path().to_string_lossy(), "[directory]")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// The ledger's bytes, which no refusal may change.
fn ledger(place: &Place) -> Vec<u8> {
    let files = ["ledger.db", "ledger.db-wal"].map(|name| fs::read(place.data().join(name)).unwrap_or_default());
    files.concat()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_can_not_be_written_to() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    set_mode(&place.data(), 0o555);
    let (code, said) = place.launch_as_nobody().refuse();
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(place.redact(&said));
    set_mode(&place.data(), 0o755);
    assert_eq!(fs::read_dir(place.data()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_ledger_that_may_only_be_read() {
    let place = Place::with_ledger().await;
    set_mode(&place.data().join("ledger.db"), 0o444);
    if is_root() {
        chown(place.data().join("ledger.db"), Some(0), Some(0)).unwrap();
    }
    let before = ledger(&place);
    let (code, said) = place.launch_as_nobody().refuse();
    assert_eq!(code, Some(1), "{said}");
    insta::assert_snapshot!(place.redact(&said));
    assert_eq!(ledger(&place), before);
}

#[tokio::test]
async fn a_ledger_that_may_not_be_read() {
    let place = Place::with_ledger().await;
    set_mode(&place.data().join("ledger.db"), 0o000);
    let (code, said) = place.launch_as_nobody().refuse();
    assert_eq!(code, Some(1), "{said}");
    insta::assert_snapshot!(place.redact(&said));
}

/// A shell that allows files of so many blocks of 512 bytes. A write beyond is an error, not the signal that kills.
fn with_room_for(blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell
}

#[test]
fn no_room_for_a_new_ledger() {
    let place = Place::new();
    let (code, said) = Launch::behind(with_room_for(40), &place.data()).refuse();
    assert_eq!(code, Some(1), "{said}");
    insta::assert_snapshot!(place.redact(&said));
    let node = NodeProcess::start(&place.data());
    assert!(node.took < super::node::PATIENCE, "with room, the same directory can be used");
}

#[tokio::test]
async fn no_room_for_a_ledger_that_is_there() {
    let place = Place::with_ledger().await;
    let before = fs::read(place.data().join("ledger.db")).unwrap();
    let node = Launch::behind(with_room_for(1_200), &place.data()).start();
    let mut issued = 0;
    let refused = loop {
        let answer = node.api.post("/v1/tickets", serde_json::json!({"subject": "x".repeat(200)})).await;
        if answer.status != 201 {
            break answer.expect(503);
        }
        issued += 1;
    };
    assert_eq!(refused["type"], "/problems/log-halted");
    assert_eq!(node.api.get("/health/ready").await.status, 503);
    assert_eq!(node.stop().await.0, Some(1));
    assert!(fs::read(place.data().join("ledger.db")).unwrap() == before, "a write that does not fit damages nothing");
    let node = NodeProcess::start(&place.data());
    let status = node.api.get("/v1/status").await.expect(200);
    let tickets = status["counts"]["tickets"].as_u64().unwrap();
    assert!((issued..=issued + 2).contains(&tickets), "{issued} acknowledged, {tickets} there");
}
