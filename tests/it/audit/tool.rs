//! The tool: its output, and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

use authledger::domain::{Position, Timestamp};
use authledger::event_log::Reader;
use authledger::projection::{Projection, catch_up, save};
use serde_json::Value;

use crate::support::log::LogFile;
use crate::support::node::{ModelNode, at, issue, revoke};

fn log() -> LogFile {
    let mut node = ModelNode::lone();
    (1..=4).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    node.ask(revoke(2)).unwrap();
    LogFile::of(&node.log)
}

fn tool(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_authledger-audit")).args(arguments).args(paths).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_whole_log_is_verified_by_its_file_or_its_directory() {
    let log = log();
    for path in [log.path().as_path(), log.directory.path()] {
        let output = tool(&["verify", "--json"], &[path]);
        assert_eq!(output.status.code(), Some(0));
        let answer = json(&output);
        assert_eq!((&answer["ok"], &answer["events"]), (&true.into(), &6.into()));
        assert_eq!(answer["heads"]["aaaaaaaaaaaaa"]["sequence"], 6);
        assert!(output.stderr.is_empty(), "a short log says nothing on the way");
    }
    let output = tool(&["verify"], &[log.directory.path()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("events    6 (") && text.contains("head      aaaaaaaaaaaaa 6 "), "{text}");
}

#[test]
fn damage_is_exit_code_one_and_names_the_position() {
    let log = log();
    log.forge("UPDATE event SET record = replace(record, 'alice', 'alicf') WHERE position = 3");
    for question in ["verify", "replay"] {
        let output = tool(&[question, "--json"], &[log.directory.path()]);
        assert_eq!(output.status.code(), Some(1), "{question}");
        assert_eq!(json(&output)["position"], 3, "{question}");
        let output = tool(&[question], &[log.directory.path()]);
        assert!(String::from_utf8(output.stdout).unwrap().contains("position 3: the stored hash"));
    }
}

#[test]
fn an_unreadable_file_is_exit_code_two() {
    let output = tool(&["verify"], &[Path::new("/nonexistent")]);
    assert_eq!(output.status.code(), Some(2));
    let sentence =
        "authledger-audit: there is no ledger at /nonexistent; name a data directory, or the ledger.db in it\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), sentence);
    assert_eq!(tool(&["verify"], &[]).status.code(), Some(2));
    assert_eq!(tool(&["replay", "--at", "yesterday"], &[log().directory.path()]).status.code(), Some(2));
    assert_eq!(tool(&["replay", "--against", "/nonexistent"], &[log().directory.path()]).status.code(), Some(2));
}

#[test]
fn a_replay_prints_counts_and_the_fingerprint_at_an_instant() {
    let log = log();
    let at_start = at(0).as_millis().to_string();
    let one = tool(&["replay", "--json", "--at", &at_start], &[log.directory.path()]);
    let other = tool(&["replay", "--json", "--at", "2027-01-15T08:00:00Z"], &[log.directory.path()]);
    assert_eq!(one.status.code(), Some(0));
    assert_eq!(json(&one)["fingerprint"], json(&other)["fingerprint"]);
    assert_eq!(json(&one)["counts"]["tickets_active"], 3);
    assert_eq!(json(&one)["counts"]["tickets_revoked"], 1);
}

#[test]
fn a_replay_against_the_snapshot_says_whether_they_agree() {
    let log = log();
    let reader = Reader::open(&log.path()).unwrap();
    let data = log.directory.path().to_str().unwrap();
    let at_start = at(0).as_millis().to_string();
    let arguments = ["replay", "--against", data, "--at", &at_start];
    let projection = Projection::default();
    catch_up(&projection, &reader, Some(Position(4)), Timestamp::MAX, &mut |_, _| {}).unwrap();
    save(&projection, &log.directory.path().join("snapshot")).unwrap();
    let output = tool(&arguments, &[log.directory.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("the replay and the snapshot agree"));
    // A state that claims to be further than it is has missed events.
    projection.reached(reader.current_base().unwrap());
    save(&projection, &log.directory.path().join("snapshot")).unwrap();
    let output = tool(&arguments, &[log.directory.path()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("differ in 3 rows") && text.contains("only replayed  [\"ticket\""), "{text}");
}

#[test]
fn help_teaches_with_examples() {
    let output = tool(&["--help"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Examples:") && text.contains("Exit codes:"), "{text}");
}
