//! Other people's texts in the output of both programs: what can't be seen is escaped, and a reader may go away.

use std::fs;

use authledger::domain::Timestamp;
use axum::Router;
use axum::routing::get;

use super::*;
use crate::support::log::LogFile;
use crate::support::node::{ModelNode, issue};
use crate::support::stub;

/// Turned around, hidden, and with a line separator.
const HOSTILE: &str = "eve\u{202e}nimda\u{2066}\u{200b}\u{2028}\u{e0041}";
const SHOWN: &str = "eve\\u202enimda\\u2066\\u200b\\u2028\\udb40\\udc41";

fn audit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authledger-audit"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn hostile_log() -> LogFile {
    let mut node = ModelNode::lone();
    node.ask(issue(1, HOSTILE)).unwrap();
    LogFile::of(&node.log)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_escaped_to_people_and_mean_the_same_to_programs() {
    let application = json!({
        "id": "00000000-0000-4000-8000-000000000000", "name": HOSTILE, "expires_at": null,
        "grants": [{"tenant": HOSTILE, "scopes": ["issue"]}],
    });
    let body = json!({ "applications": [application] }).to_string();
    assert!(body.contains(HOSTILE));
    let router = Router::new().route("/v1/applications", get(move || async { body }));
    let url = format!("http://{}", stub::serve(router).await);
    let list = |more: &[&str]| {
        let arguments = [&["application", "list", "--url", &url, "--token", ROOT], more].concat();
        finish(&mut program(&arguments)).succeeded()
    };
    let people = list(&[]);
    assert!(people.is_ascii() && people.matches(SHOWN).count() == 2, "{people}");
    let programs = list(&["--json"]);
    assert!(programs.is_ascii(), "{programs}");
    assert_eq!(serde_json::from_str::<Value>(&programs).unwrap(), application);
}

#[test]
fn the_audit_tool_shows_subjects_escaped() {
    let log = hostile_log();
    let path = log.path();
    let ask = |arguments: &[&str]| finish(&mut audit(arguments)).succeeded();
    let history = ["history", path.to_str().unwrap(), "--subject", HOSTILE];
    let people = ask(&history);
    assert!(people.is_ascii() && people.contains(SHOWN), "{people}");
    let programs = ask(&[&history[..], &["--json"]].concat());
    assert!(programs.is_ascii() && programs.contains(SHOWN), "{programs}");
    let now = Timestamp::from_millis(1_900_000_000_000).unwrap().to_string();
    let as_of = ask(&["as-of", path.to_str().unwrap(), &now, "--subject", HOSTILE]);
    assert!(as_of.is_ascii(), "{as_of}");
}

#[test]
fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
    let log = hostile_log();
    let path = log.path();
    for arguments in [&["verify"][..], &["verify", "--json"], &["replay"], &["stats"]] {
        let arguments = [arguments, &[path.to_str().unwrap()]].concat();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = finish(audit(&arguments).stdout(writer));
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{arguments:?}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = finish(audit(&arguments).stdout(full));
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("No space left on device"), "{arguments:?}: {}", ended.stderr);
    }
}
