use authledger::audit::{AuditError, verify};
use authledger::domain::{Origin, Position, Sequence};
use authledger::event_log::{Damage, RecordError, encode};

use crate::support::log::{LogFile, hashes};
use crate::support::node::{ModelNode, issue, origin, revoke, revoke_subject};

fn some_node() -> ModelNode {
    let (mut one, mut other) = ModelNode::pair();
    other.ask(issue(100, "carol")).unwrap();
    (1..=4).for_each(|n| drop(one.ask(issue(n, "alice")).unwrap()));
    one.receive(&other.last().clone());
    one.ask(revoke(1)).unwrap();
    one.ask(revoke_subject("alice", None)).unwrap();
    one
}

fn lines_of(node: &ModelNode) -> Vec<(Origin, String)> {
    node.log.iter().map(|recorded| (recorded.place.origin, encode(recorded))).collect()
}

fn refused(log: &LogFile) -> AuditError {
    verify(&log.path(), |_, _| {}).unwrap_err()
}

fn damage_at(log: &LogFile) -> (u64, Damage) {
    match refused(log) {
        AuditError::Damaged { position, damage } => (position.0, damage),
        other => panic!("{other}"),
    }
}

#[test]
fn a_whole_log_is_counted_and_its_heads_told() {
    let node = some_node();
    let log = LogFile::of(&node.log);
    let mut reached = Vec::new();
    let verified = verify(&log.path(), |position, head| reached.push((position, head))).unwrap();
    assert_eq!(verified.events, 9);
    assert_eq!(verified.base.position, Position(9));
    assert_eq!(verified.ledger.unwrap().to_string(), "00000000-0000-4000-8000-000000000000");
    assert_eq!(verified.base.heads[&origin('a')].sequence, Sequence(7));
    assert_eq!(verified.base.heads[&origin('a')].hash, *hashes(&node.log).last().unwrap());
    assert_eq!(verified.base.heads[&origin('b')].sequence, Sequence(2));
    assert_eq!(reached, [(Position(9), Position(9))]);
}

#[test]
fn an_empty_log_is_whole() {
    let verified = verify(&LogFile::of(&[]).path(), |_, _| {}).unwrap();
    assert_eq!((verified.events, verified.ledger), (0, None));
}

#[test]
fn a_missing_file_is_not_damage() {
    let error = verify(std::path::Path::new("/nonexistent/ledger.db"), |_, _| {}).unwrap_err();
    assert!(!error.is_damage());
}

#[test]
fn a_changed_record_is_found_even_if_its_own_hash_was_made_to_fit() {
    let node = some_node();
    let log = LogFile::of(&node.log);
    let forged = encode(&node.log[4]).replace("alice", "mallo");
    let hash = authledger::event_log::Chain::default().link(&hashes(&node.log)[3], forged.as_bytes());
    log.forge(&format!("UPDATE event SET record = '{forged}', hash = x'{hash}' WHERE position = 5"));
    assert!(matches!(damage_at(&log), (6, Damage::Hash { .. })));
}

#[test]
fn a_missing_row_is_found() {
    let log = LogFile::of(&some_node().log);
    log.forge("DELETE FROM event WHERE position = 4");
    assert_eq!(damage_at(&log), (4, Damage::MissingPosition { next: Position(5) }));
}

#[test]
fn a_missing_row_is_found_even_if_the_rest_moved_up() {
    let log = LogFile::of(&some_node().log);
    log.forge("DELETE FROM event WHERE position = 4; UPDATE event SET position = position - 1 WHERE position > 4");
    assert!(matches!(damage_at(&log), (4, Damage::Sequence { .. })));
}

#[test]
fn a_row_where_no_reader_looks_is_found() {
    let log = LogFile::of(&some_node().log);
    log.forge("INSERT INTO event SELECT -3, 'ccccccccccccc', 1, 0, record, hash FROM event WHERE position = 1");
    assert!(matches!(refused(&log), AuditError::Outside(-3)));
}

#[test]
fn columns_that_name_another_place_than_the_record_are_found() {
    let node = some_node();
    let mut lines = lines_of(&node);
    lines[4].1 = lines[4].1.replace("\"sequence\":4", "\"sequence\":5");
    assert!(matches!(damage_at(&LogFile::of_lines(&lines)), (5, Damage::Place { .. })));
}

#[test]
fn another_spelling_of_a_record_is_not_a_record() {
    let node = some_node();
    let spellings: [fn(&str) -> String; 4] = [
        |record| record.replacen(':', ": ", 1),
        |record| record.replace("alice", "\\u0061lice"),
        |record| record.replacen("\"version\":1", "\"version\":1,\"version\":1", 1),
        |record| record.replacen("\"version\":1", "\"version\":1,\"extra\":1", 1),
    ];
    for spell in spellings {
        let mut lines = lines_of(&node);
        lines[3].1 = spell(&lines[3].1);
        assert_ne!(lines[3].1, lines_of(&node)[3].1);
        let found = damage_at(&LogFile::of_lines(&lines));
        assert!(matches!(found, (4, Damage::Record(RecordError::Malformed(_)))), "{found:?}");
    }
}

#[test]
fn a_clock_that_went_back_is_found() {
    let mut node = some_node();
    node.log[4].recorded_at = crate::support::node::at(1000);
    assert_eq!(damage_at(&LogFile::of(&node.log)), (6, Damage::ClockWentBack));
}

#[test]
fn an_origin_starts_with_its_opening() {
    let node = some_node();
    let mut later: Vec<_> = node.log.iter().filter(|one| one.place.origin == node.origin).skip(1).cloned().collect();
    later.iter_mut().for_each(|recorded| recorded.place.sequence.0 -= 1);
    assert_eq!(damage_at(&LogFile::of(&later)), (1, Damage::Opening(node.origin)));
}

#[test]
fn an_origin_of_another_ledger_is_found() {
    let mut node = some_node();
    let authledger::domain::Event::LedgerOpened(opened) = &mut node.log[1].event else { panic!("no opening") };
    opened.ledger = authledger::domain::LedgerId(uuid::Uuid::from_u128(5));
    assert_eq!(damage_at(&LogFile::of(&node.log)), (2, Damage::OtherLedger(origin('b'))));
}

#[test]
fn a_record_of_a_later_version_is_said_to_be_that() {
    let node = some_node();
    let mut lines = lines_of(&node);
    for line in &mut lines[3..5] {
        line.1 = line.1.replace("\"type\":\"ticket.issued\",\"version\":1", "\"type\":\"ticket.issued\",\"version\":9");
    }
    let error = refused(&LogFile::of_lines(&lines));
    assert_eq!(error.position(), Some(4));
    insta::assert_snapshot!(error, @"position 4: an event of type ticket.issued, version 9, which this version of authledger can't read; the chain holds over all 9 records, and 2 can't be read: run the version of authledger that wrote them");
}

#[test]
fn a_trigger_that_was_dropped_is_damage() {
    let log = LogFile::of(&some_node().log);
    rusqlite::Connection::open(log.path()).unwrap().execute_batch("DROP TRIGGER event_is_never_deleted").unwrap();
    insta::assert_snapshot!(refused(&log), @"the database's trigger event_is_never_deleted is missing, so nothing has been guarding the events; they themselves are complete");
}

#[test]
fn a_trigger_that_was_weakened_and_what_may_change_or_refuse_events_is_damage() {
    let weaken = "DROP TRIGGER event_is_never_changed; \
                  CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event BEGIN SELECT 1; END";
    let trigger = "CREATE TRIGGER added AFTER INSERT ON event BEGIN SELECT 1; END";
    let elsewhere = "CREATE TABLE more (n); CREATE TRIGGER added AFTER INSERT ON more BEGIN DELETE FROM \"EVENT\"; END";
    for (statement, name, mend) in [
        (weaken, "trigger event_is_never_changed", None),
        (trigger, "trigger added", Some("DROP TRIGGER added;")),
        (elsewhere, "trigger added", Some("DROP TRIGGER added;")),
        ("CREATE UNIQUE INDEX one ON event (hash)", "index one", Some("DROP INDEX one;")),
        ("CREATE INDEX two ON event (json_extract(record, '$.type'))", "index two", Some("DROP INDEX two;")),
    ] {
        let log = LogFile::of(&some_node().log);
        rusqlite::Connection::open(log.path()).unwrap().execute_batch(statement).unwrap();
        let AuditError::Schema { broken, .. } = refused(&log) else { panic!("{statement}") };
        assert_eq!((&*broken.name, broken.mend.as_deref()), (name, mend), "{statement}");
    }
}

#[test]
fn a_harmless_addition_is_named_with_what_removes_it() {
    let log = LogFile::of(&some_node().log);
    let connection = rusqlite::Connection::open(log.path()).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE \"a table\" (id INTEGER PRIMARY KEY AUTOINCREMENT, n UNIQUE); CREATE INDEX of_it ON \"a table\" (n); \
             CREATE VIEW seen AS SELECT * FROM event; CREATE INDEX by_time ON event (stored_at); ANALYZE;",
        )
        .unwrap();
    let verified = verify(&log.path(), |_, _| {}).unwrap();
    let mends: Vec<&str> = verified.added.iter().map(|added| &*added.mend).collect();
    let due = ["DROP INDEX by_time;", "DROP TABLE \"a table\";", "DROP TABLE sqlite_stat1;", "DROP VIEW seen;"];
    assert_eq!(mends.iter().filter(|mend| !mend.contains("stat4")).copied().collect::<Vec<_>>(), due);
    mends.iter().for_each(|mend| connection.execute_batch(mend).unwrap());
    assert!(verify(&log.path(), |_, _| {}).unwrap().added.is_empty(), "each statement removes it");
}

#[test]
fn a_file_that_ends_early_is_damage() {
    let mut node = some_node();
    (200..400).for_each(|n| drop(node.ask(issue(n, "dave")).unwrap()));
    let log = LogFile::of(&node.log);
    let whole = std::fs::read(log.path()).unwrap();
    std::fs::write(log.path(), &whole[..whole.len() - 3 * 16_384]).unwrap();
    let error = refused(&log);
    assert!(error.is_damage(), "{error}");
}

#[test]
fn a_log_is_verified_while_its_writer_goes_on() {
    let node = some_node();
    let log = LogFile { directory: tempfile::tempdir().unwrap() };
    let writer = authledger::event_log::open_for_writing(&log.path()).unwrap();
    crate::support::log::append_lines(&writer, &lines_of(&node));
    assert_eq!(verify(&log.path(), |_, _| {}).unwrap().events, 9);
    drop(writer);
}
