//! Files that are refused, and how they are refused.

use std::fs;
use std::path::Path;

use authledger::domain::Position;
use authledger::event_log::{
    Base, Damage, DataDirectory, ReadError, Reader, encode, open_for_reading, open_for_writing,
};
use insta::assert_snapshot;
use rusqlite::Connection;

use crate::support::log::{LogFile, hashes, redacted};
use crate::support::node::{ModelNode, issue};

fn some_log() -> (LogFile, ModelNode) {
    let mut node = ModelNode::lone();
    (1..=9).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    (LogFile::of(&node.log), node)
}

fn refusal(log: &LogFile, statement: &str) -> String {
    let connection = open_for_writing(&log.path()).unwrap();
    connection.execute_batch(statement).unwrap_err().to_string()
}

#[test]
fn events_are_never_changed() {
    let (log, _) = some_log();
    assert_eq!(refusal(&log, "UPDATE event SET stored_at = 0"), "events are never changed");
    assert_eq!(refusal(&log, "UPDATE event SET position = 99 WHERE position = 10"), "events are never changed");
}

#[test]
fn events_are_never_deleted() {
    let (log, _) = some_log();
    assert_eq!(refusal(&log, "DELETE FROM event WHERE position = 10"), "events are never deleted");
}

#[test]
fn events_are_never_replaced() {
    let (log, _) = some_log();
    let next = "the position or sequence is not the next one";
    let replace = "INSERT OR REPLACE INTO event SELECT position, origin, sequence, 0, record, hash FROM event";
    assert_eq!(refusal(&log, replace), next);
    let place =
        "INSERT OR REPLACE INTO event SELECT 11, origin, sequence, 0, record, hash FROM event WHERE position = 3";
    assert_eq!(refusal(&log, place), next);
}

#[test]
fn neither_positions_nor_sequences_have_gaps() {
    let (log, _) = some_log();
    let next = "the position or sequence is not the next one";
    for (position, sequence) in [(12, 11), (11, 12), (0, 11), (11, 1)] {
        let insert =
            format!("INSERT INTO event VALUES ({position}, 'aaaaaaaaaaaaa', {sequence}, 0, '{{}}', zeroblob(32))");
        assert_eq!(refusal(&log, &insert), next, "position {position}, sequence {sequence}");
    }
    let other = "INSERT INTO event VALUES (11, 'bbbbbbbbbbbbb', 2, 0, '{}', zeroblob(32))";
    assert_eq!(refusal(&log, other), next);
}

#[test]
fn a_log_is_read_back_as_it_was_written() {
    let (log, node) = some_log();
    let reader = Reader::open(&log.path()).unwrap();
    let mut base = Base::default();
    let page = reader.next_page(&mut base, 4).unwrap();
    assert_eq!(page.iter().map(|stored| stored.decode().unwrap()).collect::<Vec<_>>(), node.log[..4]);
    assert_eq!(base, reader.base_at(Position(4)).unwrap());
    let rest = reader.next_page(&mut base, 100).unwrap();
    assert_eq!(rest.len(), 6);
    assert_eq!(base, reader.current_base().unwrap());
    assert_eq!(base.heads[&node.origin].hash, *hashes(&node.log).last().unwrap());
    assert!(reader.next_page(&mut base, 100).unwrap().is_empty());
    let third = reader.find(Position(3)).unwrap().unwrap();
    assert_eq!(&*third.record, encode(&node.log[2]));
    assert_eq!(reader.find_place(node.log[2].place).unwrap(), Some(third));
    assert_eq!(reader.position_after(node.log[2].place).unwrap(), Some(Position(4)));
    assert_eq!(reader.find(Position(11)).unwrap(), None);
}

#[test]
fn a_page_ends_before_damage_and_the_next_one_names_it() {
    let (log, _) = some_log();
    log.forge("UPDATE event SET record = replace(record, 'alice', 'alicf') WHERE position = 6");
    let reader = Reader::open(&log.path()).unwrap();
    let mut base = Base::default();
    assert_eq!(reader.next_page(&mut base, 100).unwrap().len(), 5);
    let error = reader.next_page(&mut base, 100).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { position: Position(6), damage: Damage::Hash { .. } }), "{error}");
    assert!(reader.find(Position(6)).is_err());
    assert!(reader.find(Position(7)).is_ok(), "its own link holds");
}

#[test]
fn a_log_can_be_read_in_a_directory_that_nobody_writes_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let (log, _) = some_log();
    fs::set_permissions(log.directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(Reader::open(&log.path()).unwrap().head().unwrap(), Position(10));
    fs::set_permissions(log.directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE kept (n); PRAGMA application_id = 7").unwrap();
    let before = fs::read(&path).unwrap();
    let writing = open_for_writing(&path).unwrap_err();
    assert_snapshot!(redacted(&writing, directory.path()), @"[DIRECTORY]/ledger.db is not an authledger event log (SQLite, application id 7); it was left as it is: move it away, or name another data directory");
    let reading = open_for_reading(&path).unwrap_err();
    assert_snapshot!(redacted(&reading, directory.path()), @"[DIRECTORY]/ledger.db is not an authledger event log (SQLite, application id 7); it was left as it is: move it away, or name another data directory");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_database_with_tables_and_no_application_id_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE kept (n)").unwrap();
    let before = fs::read(&path).unwrap();
    assert_snapshot!(redacted(&open_for_writing(&path).unwrap_err(), directory.path()), @"[DIRECTORY]/ledger.db is not an authledger event log (SQLite, application id 0); it was left as it is: move it away, or name another data directory");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    fs::write(&path, "dear diary, this is not a database").unwrap();
    assert_snapshot!(redacted(&open_for_writing(&path).unwrap_err(), directory.path()), @"[DIRECTORY]/ledger.db is not an authledger event log (it is not an SQLite database); it was left as it is: move it away, or name another data directory");
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary, this is not a database");
}

#[test]
fn a_log_of_a_later_format_is_refused() {
    let (log, _) = some_log();
    Connection::open(log.path()).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let error = open_for_writing(&log.path()).unwrap_err();
    assert_snapshot!(redacted(&error, log.directory.path()), @"[DIRECTORY]/ledger.db has event log format 2, and this version of authledger reads up to 1; run the version that wrote it");
    assert!(open_for_reading(&log.path()).is_err());
}

#[test]
fn a_missing_log_is_not_made_by_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    assert_snapshot!(redacted(&open_for_reading(&path).unwrap_err(), directory.path()), @"there is no ledger at [DIRECTORY]/ledger.db; name a data directory, or the ledger.db in it");
    assert!(!path.exists());
}

#[test]
fn a_log_that_can_not_be_looked_at_is_not_called_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert_snapshot!(redacted(&open_for_reading(&path).unwrap_err(), directory.path()), @"[DIRECTORY]/ledger.db can't be opened for reading: Too many levels of symbolic links (os error 40); check the owner and mode of the file and its directory, and the space on the disk");
}

#[test]
fn a_directory_belongs_to_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = DataDirectory::lock(directory.path()).unwrap();
    let second = DataDirectory::lock(directory.path()).unwrap_err();
    assert_snapshot!(redacted(&second, directory.path()), @"the data directory [DIRECTORY] is in use by another authledger; stop that one, or name another directory with --data");
    drop(first);
    assert!(DataDirectory::lock(directory.path()).is_ok());
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data");
    fs::write(&file, "").unwrap();
    let error = DataDirectory::lock(Path::new(&file)).unwrap_err();
    assert_snapshot!(redacted(&error, directory.path()), @"the data directory [DIRECTORY]/data can't be used: File exists (os error 17); make it a directory that this user may write to, or name another with --data");
}

#[test]
fn a_new_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deep/data");
    let locked = DataDirectory::lock(&data).unwrap();
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(locked.ledger(), data.join("ledger.db"));
}

/// Whether this process holds the lock that every connection in WAL mode shares on the database.
fn is_locked_by_us(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let inode = fs::metadata(path).unwrap().ino().to_string();
    let process = std::process::id().to_string();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() == 8
            && words[4] == process
            && words[5].rsplit(':').next() == Some(&inode)
            && words[6] == (0x4000_0002_u64).to_string()
    })
}

#[test]
fn other_openings_of_the_log_in_this_process_leave_its_locks() {
    let (log, _) = some_log();
    let writer = open_for_writing(&log.path()).unwrap();
    let held = |after: &str| assert!(is_locked_by_us(&log.path()), "no lock after {after}");
    held("the first opening");
    drop(open_for_writing(&log.path()).unwrap());
    held("another writer");
    drop(open_for_reading(&log.path()).unwrap());
    held("a reader's connection");
    let reader = Reader::open(&log.path()).unwrap();
    std::thread::scope(|scope| {
        (0..16).for_each(|_| drop(scope.spawn(|| reader.next_page(&mut Base::default(), 100).unwrap())));
    });
    held("many readers");
    drop(reader);
    held("they are gone");
    authledger::audit::verify(&log.path(), |_, _| {}).unwrap();
    held("a verification");
    authledger::audit::verify_evidence(log.directory.path(), &authledger::audit::Trust::default(), |_, _| {}).unwrap();
    held("a verification of the directory");
    let backup = tempfile::tempdir().unwrap();
    let mut copy = authledger::event_log::CopyWriter::create(&backup.path().join("copy.db")).unwrap();
    copy.append(&Reader::open(&log.path()).unwrap().next_page(&mut Base::default(), 100).unwrap()).unwrap();
    copy.finish().unwrap();
    held("a copy");
    drop(writer);
}
