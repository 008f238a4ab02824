//! Every tool that an operator may point at the file, while clients write; then a kill, and nothing that was acknowledged is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::super::node::{NodeProcess, PATIENCE, Process};
use super::{Crowd, SOME, assert_survives, program, verify};
use crate::support::python;

/// The outcome that is due of a visitor.
#[derive(Clone, Copy, PartialEq)]
enum Due {
    /// It gets its answer.
    Success,
    /// The log refuses it.
    Refusal,
    /// It may find the log too busy.
    Either,
}
use Due::{Either, Refusal, Success};

/// Debian's shell of SQLite, with `{db}` and `{scratch}` filled in; it waits for locks as long as the server does.
const SQLITE3: [(&str, Due); 16] = [
    ("SELECT count(*) FROM event", Success),
    ("PRAGMA integrity_check", Success),
    ("UPDATE event SET stored_at = 0", Refusal),
    ("DELETE FROM event", Refusal),
    ("INSERT INTO event VALUES (1, 'aaaaaaaaaaaaa', 1, 0, '{}', zeroblob(32))", Refusal),
    ("INSERT OR REPLACE INTO event SELECT * FROM event WHERE position = 2", Refusal),
    (".backup {scratch}/backup.db", Success),
    (".dump", Success),
    ("VACUUM INTO '{scratch}/into.db'", Success),
    ("BEGIN; SELECT count(*) FROM event; COMMIT", Success),
    ("PRAGMA wal_checkpoint(PASSIVE)", Success),
    ("PRAGMA wal_checkpoint(TRUNCATE)", Success),
    ("PRAGMA journal_mode = delete", Either),
    ("VACUUM", Either),
    ("ANALYZE", Either),
    ("PRAGMA optimize", Either),
];

/// Scripts of Python: their modules, and their program, whose argument is the file.
const PYTHON: [(&str, &str, &str); 5] = [
    (
        "sqlite3",
        "Python's sqlite3 reads",
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nassert c.execute('select count(*) from event').fetchone()[0] > 0\nc.close()",
    ),
    (
        "sqlite3",
        "Python's sqlite3 writes",
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=30)\ntry:\n    c.execute('delete from event')\n    sys.exit(1)\nexcept sqlite3.DatabaseError as refused:\n    assert 'never deleted' in str(refused), refused\nfinally:\n    c.close()",
    ),
    (
        "duckdb",
        "DuckDB without READ_ONLY reads",
        "exec(SQLITE)\nc.execute(f\"ATTACH '{sys.argv[1]}' AS l (TYPE sqlite)\")\nassert c.execute('select count(*) from l.event').fetchone()[0] > 0\nc.close()",
    ),
    (
        "duckdb",
        "DuckDB without READ_ONLY writes",
        "exec(SQLITE)\nc.execute(f\"ATTACH '{sys.argv[1]}' AS l (TYPE sqlite)\")\ntry:\n    c.execute('delete from l.event')\n    sys.exit(1)\nexcept duckdb.Error:\n    pass\nc.close()",
    ),
    (
        "duckdb",
        "DuckDB makes a table",
        "exec(SQLITE)\nc.execute(f\"ATTACH '{sys.argv[1]}' AS l (TYPE sqlite)\")\ntry:\n    c.execute('create table l.made (n integer)')\nexcept duckdb.Error as busy:\n    assert 'lock' in str(busy), busy\nc.close()",
    ),
];

/// DuckDB with its extension for SQLite from the package next to it: it loads one only under the name that it gives it itself.
const DUCKDB: &str = "import duckdb, duckdb_extension_sqlite, glob, os, shutil, sys, tempfile
found = glob.glob(os.path.dirname(duckdb_extension_sqlite.__file__) + '/extensions/*/sqlite.duckdb_extension')[0]
folder = tempfile.TemporaryDirectory()
extension = folder.name + '/sqlite_scanner.duckdb_extension'
shutil.copy(found, extension)
c = duckdb.connect()
c.execute(f\"LOAD '{extension}'\")
";

/// Programs in Python, by module: their arguments.
const MODULES: [(&str, &str, &[&str], Due); 5] = [
    ("sqlite_utils", "sqlite-utils rows", &["rows", "{db}", "event", "--limit", "1"], Success),
    ("sqlite_utils", "sqlite-utils tables", &["tables", "{db}", "--counts"], Success),
    ("sqlite_utils", "sqlite-utils analyze", &["analyze", "{db}"], Either),
    ("sqlite_utils", "sqlite-utils vacuum", &["vacuum", "{db}"], Either),
    ("datasette", "datasette", &["{db}", "--get", "/ledger/event.json?_size=1"], Success),
];

struct Visit {
    name: String,
    command: Command,
    due: Due,
}

fn visits(database: &Path, scratch: &Path) -> Vec<Visit> {
    let fill =
        |text: &str| text.replace("{db}", &database.to_string_lossy()).replace("{scratch}", &scratch.to_string_lossy());
    let mut visits = Vec::new();
    let mut add = |name: String, program: &Path, arguments: &[String], due| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(scratch);
        visits.push(Visit { name, command, due });
    };
    if let Some(sqlite3) = program(&["sqlite3"]) {
        for (statement, due) in SQLITE3 {
            let arguments = ["-bail", "-cmd", ".timeout 30000", "{db}", statement].map(fill);
            add(format!("sqlite3 {statement}"), &sqlite3, &arguments, due);
        }
    }
    for (name, arguments, due) in
        [("sqldiff", &["{db}", "{db}"][..], Success), ("sqlite3_analyzer", &["{db}"], Success)]
    {
        if let Some(found) = program(&[name]) {
            add(name.to_owned(), &found, &arguments.iter().map(|one| fill(one)).collect::<Vec<_>>(), due);
        }
    }
    for (package, name, script) in PYTHON {
        if let Some(python) = python::with(package) {
            let script = format!("SQLITE = {DUCKDB:?}\n{script}");
            add(name.to_owned(), &python, &["-c".to_owned(), script, fill("{db}")], Success);
        }
    }
    for (package, name, arguments, due) in MODULES {
        if let Some(python) = python::with(package) {
            let arguments = ["-m", package].iter().chain(arguments).map(|one| fill(one)).collect::<Vec<_>>();
            add(name.to_owned(), &python, &arguments, due);
        }
    }
    // Debian 12 and the registries have none; newer releases of sqlite3-tools do.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let rsync = std::env::split_paths(&path).map(|path| path.join("sqlite3_rsync"));
    match rsync.into_iter().find(|path| path.is_file()) {
        Some(found) => add("sqlite3_rsync".to_owned(), &found, &["{db}", "{scratch}/rsync.db"].map(fill), Success),
        None => println!("sqlite3_rsync is not on this machine"),
    }
    visits
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_whatever_tool_looks_into_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (data, scratch) = (directory.path().join("data"), directory.path().join("scratch"));
    std::fs::create_dir(&scratch).unwrap();
    let mut node = NodeProcess::start(&data);
    for Visit { name, mut command, due } in visits(&data.join("ledger.db"), &scratch) {
        let crowd = Crowd::start(&node.api);
        crowd.work(SOME).await;
        let said = tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.unwrap();
        let success = said.status.success();
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(due == Either || success == (due == Success), "{name}: {}: {errors}", said.status);
        crowd.work(SOME).await;
        node = assert_survives(node, crowd, &data).await;
        println!("{name}: {}; nothing is missing", if success { "done" } else { "refused" });
    }
    assert_eq!(node.stop().await.0, Some(0));
    println!("{}", verify(&data));
}

/// Where Litestream has come to: it has written a snapshot.
fn has_replicated(replica: &Path) -> bool {
    let generations = std::fs::read_dir(replica.join("generations")).into_iter().flatten().flatten();
    generations
        .flat_map(|generation| std::fs::read_dir(generation.path().join("snapshots")).into_iter().flatten())
        .count()
        > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn litestream_replicates_next_to_a_server_and_nothing_is_missing() {
    let Some(litestream) = program(&["litestream"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (data, replica) = (directory.path().join("data"), directory.path().join("replica"));
    let node = NodeProcess::start(&data);
    let crowd = Crowd::start(&node.api);
    crowd.work(SOME).await;
    let replicates = replicate(&litestream, &data.join("ledger.db"), &replica);
    let until = Instant::now() + PATIENCE;
    while !has_replicated(&replica) {
        assert!(Instant::now() < until, "litestream does not replicate");
        crowd.work(1).await;
    }
    crowd.work(SOME).await;
    let warning = super::warned(&node, "_litestream_seq").await;
    assert!(warning.contains("DROP TABLE _litestream_seq;"), "{warning}");
    let node = assert_survives(node, crowd, &data).await;
    drop(replicates);
    let said = verify(&data);
    assert!(said.contains("DROP TABLE _litestream_lock;"), "{said}");
    assert_eq!(node.stop().await.0, Some(0));
}

fn replicate(litestream: &PathBuf, database: &Path, replica: &Path) -> Process {
    let mut command = Command::new(litestream);
    command.arg("replicate").arg(database).arg(format!("file://{}", replica.display()));
    Process::new(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}
