//! Harmless additions of other programs to the file: readiness names them and the statement that removes them; starts go on.

use rusqlite::Connection;
use serde_json::Value;

use super::super::node::{Launch, NodeProcess};
use super::{verify, warned};

/// The warnings that readiness has, however many.
async fn warnings(node: &NodeProcess) -> Vec<String> {
    let ready = node.api.get("/health/ready").await.expect(200);
    let several = ready["warnings"].as_array().cloned().unwrap_or_default();
    let all = if several.is_empty() { vec![ready["warning"].clone()] } else { several };
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_of_a_tool_are_named_with_the_statement_that_removes_them_and_starts_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    node.api.issue("somebody").await;
    let other = Connection::open(data.join("ledger.db")).unwrap();
    other
        .execute_batch("ANALYZE; CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE INDEX by_time ON event (stored_at)")
        .unwrap();
    for mend in ["DROP TABLE sqlite_stat1;", "DROP TABLE _litestream_seq;", "DROP INDEX by_time;"] {
        warned(&node, mend).await;
    }
    node.api.issue("still working").await;
    let (code, log) = node.stop().await;
    assert_eq!(code, Some(0));
    assert!(log.contains("another program added the table sqlite_stat1"), "{log}");
    assert!(verify(&data).contains("DROP TABLE sqlite_stat1;"));
    // A start says it again, and goes on.
    let node = NodeProcess::start(&data);
    let said = warnings(&node).await;
    assert_eq!(said.iter().filter(|warning| warning.contains("does no harm")).count(), said.len(), "{said:?}");
    for warning in said {
        let mend =
            warning.split("harm; ").nth(1).and_then(|rest| rest.strip_suffix(" removes it")).expect("a statement");
        other.execute_batch(mend).unwrap();
    }
    super::quiet(&node).await;
    assert_eq!(node.stop().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_may_change_or_refuse_events_is_named_at_once_and_refused_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let node = NodeProcess::start(&data);
    let other = Connection::open(data.join("ledger.db")).unwrap();
    other.execute_batch("CREATE TRIGGER meddles AFTER INSERT ON event BEGIN SELECT 1; END").unwrap();
    let warning = warned(&node, "meddles").await;
    assert!(warning.contains("the next start refuses it; DROP TRIGGER meddles; removes it"), "{warning}");
    assert_eq!(node.stop().await.0, Some(0));
    let (code, said) = Launch::new(&data).refuse();
    assert_eq!(code, Some(1));
    assert!(said.contains("DROP TRIGGER meddles;"), "{said}");
    other.execute_batch("DROP TRIGGER meddles").unwrap();
    drop(other);
    assert_eq!(NodeProcess::start(&data).stop().await.0, Some(0));
}
