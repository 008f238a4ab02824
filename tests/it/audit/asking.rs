//! The tool's questions about the past: on a file, and on the directory of a server that runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::index::Indexed;
use crate::process::node::{NodeProcess, text};
use crate::support::log::LogFile;
use crate::support::node::{ModelNode, digest, issue, issue_session, revoke, revoke_subject, session_id};

fn tool(question: &str, ledger: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authledger-audit"));
    command.arg(question).arg(ledger).args(arguments).output().unwrap()
}

#[track_caller]
fn said(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn told() -> ModelNode {
    let mut node = ModelNode::lone();
    (1..=3).for_each(|n| drop(node.after_seconds(60).ask(issue(n, "alice")).unwrap()));
    node.ask(issue_session(1, "alice")).unwrap();
    node.after_seconds(60).ask(revoke(2)).unwrap();
    node.after_seconds(86_400).ask(revoke_subject("alice", None)).unwrap();
    node
}

#[test]
fn a_history_is_a_line_for_each_record_or_the_records_byte_for_byte() {
    let node = told();
    let log = LogFile::of(&node.log);
    let lines = said(tool("history", log.directory.path(), &["--subject", "alice"]));
    assert_eq!(lines.lines().count(), 6, "{lines}");
    let revocation =
        format!("subject.revoked   all tickets, sessions, tokens of default/alice  by root@{}", node.origin);
    assert!(lines.lines().last().unwrap().contains(&revocation) && lines.ends_with("  position 7\n"), "{lines}");
    let digest = digest(2).to_string();
    let id = digest[..32].to_owned();
    let uuid = session_id(1).uuid().to_string();
    for (arguments, due) in [
        (&["--credential", digest.as_str()][..], 3),
        (&["--credential", id.as_str()], 3),
        (&["--credential", "secret 2"], 3),
        (&["--kind", "ticket", "--id", id.as_str()], 3),
        (&["--credential", uuid.as_str()], 2),
        (&["--kind", "session", "--id", uuid.as_str()], 2),
        (&["--subject", "alice", "--tenant", "acme"], 0),
    ] {
        let json = said(tool("history", &log.path(), &[arguments, &["--json"]].concat()));
        assert_eq!(json.lines().count(), due, "{arguments:?}: {json}");
        for line in json.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            let position = value["position"].as_u64().unwrap() as usize;
            let record = authledger::event_log::encode(&node.log[position - 1]);
            assert_eq!(line, format!("{{\"position\":{position},\"stored_at\":1,\"record\":{record}}}"));
        }
    }
}

#[test]
fn a_credential_comes_from_the_standard_input_or_a_file_too() {
    let log = LogFile::of(&told().log);
    let file = log.directory.path().join("secret");
    std::fs::write(&file, "secret 2\n").unwrap();
    let by_file = said(tool("history", &log.path(), &["--credential", &format!("@{}", file.display())]));
    assert_eq!(by_file.lines().count(), 3, "the last is its subject's");
    let mut child = Command::new(env!("CARGO_BIN_EXE_authledger-audit"))
        .args(["as-of"])
        .arg(log.path())
        .args(["5", "--credential", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"secret 2\n").unwrap();
    let answer: Value = serde_json::from_str(&said(child.wait_with_output().unwrap())).unwrap();
    assert_eq!(answer["credentials"][0]["verdict"], "active", "{answer}");
}

#[test]
fn as_of_and_diff_and_stats_answer_for_people_and_machines() {
    let log = LogFile::of(&told().log);
    let alone = said(tool("as-of", &log.path(), &["2027-01-15T08:05:00Z", "--credential", "secret 2"]));
    assert!(alone.contains("revoked 2027-01-15T08:04:00.000Z by ticket.revoked at position 6 by root@"), "{alone}");
    let all = said(tool("as-of", &log.path(), &["2027-01-15T08:05:00Z", "--subject", "alice"]));
    assert_eq!(all.matches(": active").count(), 3, "{all}");
    let state = said(tool("as-of", &log.path(), &["2027-01-15T08:05:00Z"]));
    assert!(state.contains("2 active, 0 expired, 1 revoked"), "{state}");
    let state: Value = serde_json::from_str(&said(tool("as-of", &log.path(), &["3", "--json"]))).unwrap();
    assert_eq!((&state["position"], &state["tickets"]["active"]), (&3.into(), &2.into()));
    let diff = said(tool("diff", &log.path(), &["2", "7", "--list"]));
    assert!(diff.contains("  tickets     2 issued, 1 revoked\n") && diff.contains("subjects    1 had all"), "{diff}");
    assert_eq!(diff.lines().filter(|line| line.contains("position")).count(), 5 + 1, "{diff}");
    let diff = said(tool("diff", &log.path(), &["2027-01-15T08:02:00Z", "2027-01-16T00:00:00Z", "--json"]));
    let diff: Value = serde_json::from_str(&diff).unwrap();
    assert_eq!((&diff["issued"]["ticket"], &diff["revoked"]["ticket"]), (&1.into(), &1.into()));
    let stats = said(tool("stats", &log.path(), &[]));
    assert!(stats.contains("2027-01-15") && stats.contains('█'), "{stats}");
    assert!(stats.lines().all(|line| line.chars().count() <= 80), "{stats}");
    let stats: Value = serde_json::from_str(&said(tool("stats", &log.path(), &["--json"]))).unwrap();
    assert_eq!(stats["days"]["2027-01-16"]["subjects_revoked"], 1);
}

#[test]
fn a_damaged_index_is_named_and_the_answer_is_the_same() {
    let indexed = Indexed::of(&told().log);
    drop(indexed.built(2, 100));
    let whole = said(tool("history", indexed.log.directory.path(), &["--subject", "alice"]));
    let file = indexed.files()[1].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let output = tool("history", indexed.log.directory.path(), &["--subject", "alice"]);
    let note = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(note.contains("block 0 is damaged") && note.contains(file.to_str().unwrap()), "{note}");
    assert_eq!(said(output), whole);
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "the tool writes nothing");
}

#[test]
fn an_unanswerable_question_is_exit_code_two_and_damage_is_one() {
    let log = LogFile::of(&told().log);
    for (question, arguments) in [
        ("history", &[][..]),
        ("history", &["--subject", "a", "--credential", "b"]),
        ("history", &["--kind", "session", "--id", "x"]),
        ("as-of", &["soon"]),
        ("as-of", &["1000"]),
        ("diff", &["5", "2"]),
    ] {
        assert_eq!(tool(question, &log.path(), arguments).status.code(), Some(2), "{question} {arguments:?}");
    }
    log.forge("UPDATE event SET record = replace(record, 'alice', 'alicf') WHERE position = 3");
    for (question, arguments) in [("history", &["--subject", "alice"][..]), ("stats", &[]), ("as-of", &["7"])] {
        let output = tool(question, &log.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{question}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("position 3: the stored hash"), "{question}");
    }
}

#[tokio::test]
async fn the_tool_answers_next_to_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = NodeProcess::start(&data);
    let issued = server.api.issue("alice").await;
    server.api.revoke(&text(&issued, "ticket")).await;
    let lines = said(tool("history", &data, &["--credential", &text(&issued, "ticket")]));
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let told = server.api.get("/v1/history?subject=alice").await.expect(200);
    assert_eq!(told.as_str().unwrap().lines().count(), 2);
    server.stop().await;
    assert_eq!(said(tool("history", &data, &["--subject", "alice"])).lines().count(), 2);
}
