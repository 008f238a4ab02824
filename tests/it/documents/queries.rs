//! The queries of docs/operate/other-tools.md, asked with the real shell of SQLite of a ledger that is being served.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::pages;
use crate::process::visitors::program;
use crate::support::served::ServedNode;

const PAGE: &str = "docs/operate/other-tools.md";

/// Each query with the question before it.
fn queries() -> Vec<(String, String)> {
    let page = pages::read(PAGE);
    let mut parts = page.split("```sql\n");
    let mut before = parts.next().unwrap().to_owned();
    let mut queries = Vec::new();
    for part in parts {
        let (query, after) = part.split_once("```\n").unwrap();
        let question = before.trim_end().lines().last().unwrap().to_owned();
        queries.push((question, query.to_owned()));
        before = after.to_owned();
    }
    queries
}

async fn fill(node: &ServedNode) {
    let root = node.root();
    let application = json!({"name": "portal", "grants": [{"tenant": "*", "scopes": ["issue", "revoke"]}]});
    let portal = root.post("/v1/applications", application.clone()).await;
    let removed = root.post("/v1/applications", application).await;
    let path = format!("/v1/applications/{}", removed.text("id"));
    assert_eq!(root.send(axum::http::Method::DELETE, &path, axum::body::Body::empty()).await.status, 204);
    let portal = node.holder(portal.text("secret"));
    for subject in ["alice", "alice", "bob"] {
        node.clock.advance(1_000);
        assert_eq!(portal.post("/v1/tickets", json!({"subject": subject})).await.status, 201);
    }
    node.clock.advance(86_400_000);
    assert_eq!(portal.post("/v1/sessions", json!({"subject": "alice"})).await.status, 201);
    let all = json!({"subject": "alice", "reason": "stolen"});
    assert_eq!(portal.post("/v1/revocations", all).await.status, 201);
}

fn ask(sqlite3: &Path, arguments: &[&str]) -> String {
    let output = Command::new(sqlite3).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Ids and origins are others every time.
fn redacted(text: &str) -> String {
    let word = |word: &str| match word.strip_prefix("application:").unwrap_or(word) {
        id if uuid::Uuid::try_parse(id).is_ok() => word.replace(id, "[ID]"),
        origin if origin.parse::<authledger::domain::Origin>().is_ok() => "[ORIGIN]".to_owned(),
        other if other.starts_with("root@") => "root@[ORIGIN]".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split('|').map(word).collect::<Vec<_>>().join("|");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_query_of_the_page_answers_its_question() {
    let Some(sqlite3) = program(&["sqlite3"]) else { return };
    let node = ServedNode::start().await;
    fill(&node).await;
    let ledger = node.ledger();
    let queries = queries();
    assert_eq!(queries.len(), 9);
    let mut shown = String::new();
    for (question, query) in queries {
        let answer = ask(&sqlite3, &["-readonly", "-header", ledger.to_str().unwrap(), &query]);
        assert!(answer.lines().count() > 1, "{question}: {answer}");
        shown += &format!("{question}\n\n{}\n\n", redacted(&answer));
    }
    insta::assert_snapshot!(shown);
}

/// The reason for the page's second table.
#[tokio::test]
async fn a_reader_that_takes_the_file_for_immutable_misses_the_newest_records() {
    let Some(sqlite3) = program(&["sqlite3"]) else { return };
    let node = ServedNode::start().await;
    fill(&node).await;
    let ledger = node.ledger();
    let count = "SELECT coalesce(max(position), 0) FROM event";
    let seen = ask(&sqlite3, &["-readonly", ledger.to_str().unwrap(), count]);
    assert_eq!(seen.trim(), node.head().0.to_string());
    let immutable = format!("file:{}?immutable=1", ledger.display());
    let output = Command::new(&sqlite3).args([&immutable, count]).output().unwrap();
    assert_ne!(String::from_utf8_lossy(&output.stdout).trim(), seen.trim(), "{output:?}");
}
