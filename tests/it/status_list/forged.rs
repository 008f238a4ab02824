//! Publications that were changed after the fact, in a log that is chained as if nothing had happened.

use std::path::Path;
use std::process::Command;

use authledger::audit::{Trust, verify_evidence};
use authledger::domain::{Event, Recorded, Sequence, StatusListPublished};
use authledger::event_log::{Base, Reader};
use serde_json::{Value, json};

use super::law::made;
use crate::support::log::LogFile;
use crate::support::served::ServedNode;

/// The records of a ledger whose list was published twice: before a revocation, and after it.
async fn records() -> Vec<Recorded> {
    let node = ServedNode::made(made(false)).await;
    let issued = node.root().post("/v1/tokens", json!({"subject": "ada", "status_list": true})).await;
    node.root().post("/v1/revocations", json!({"credential": issued.text("token")})).await;
    node.clock.advance(10_000);
    node.service().keep_status_lists().await;
    let reader = Reader::open(&node.ledger()).unwrap();
    let page = reader.next_page(&mut Base::default(), 10_000).unwrap();
    page.iter().map(|stored| stored.decode().unwrap()).collect()
}

fn published(recorded: &mut Recorded) -> Option<&mut StatusListPublished> {
    match &mut recorded.event {
        Event::StatusListPublished(published) => Some(published),
        _ => None,
    }
}

/// What is changed in a publication.
type Change = fn(&mut StatusListPublished);

fn findings(records: &[Recorded]) -> Vec<String> {
    let log = LogFile::of(records);
    let report = verify_evidence(&log.path(), &Trust::default(), |_, _| {}).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_publication_that_was_changed_is_found_and_named() {
    let records = records().await;
    assert_eq!(findings(&records), Vec::<String>::new());
    let forge = |nth: usize, change: Change| {
        let mut forged = records.clone();
        change(forged.iter_mut().filter_map(published).nth(nth).expect("two publications"));
        findings(&forged)
    };
    let cases: [(&str, usize, Change, &str); 6] = [
        ("another array", 1, |one| one.array[0] ^= 1, "the records lead to another array"),
        ("another signature", 0, |one| one.signature = "A".repeat(86).into(), "does not fit"),
        ("another time", 1, |one| one.iat += 1, "does not fit"),
        ("another expiry", 1, |one| one.exp += 1, "does not fit"),
        ("fewer records", 1, |one| one.upto.clear(), "not after those of the previous publication"),
        (
            "later records",
            0,
            |one| one.upto.values_mut().for_each(|sequence| *sequence = Sequence(sequence.0 + 9)),
            "which is not before it",
        ),
    ];
    for (name, nth, change, says) in cases {
        let found = forge(nth, change);
        assert!(found.len() == 1 || nth == 0, "{name}: {found:?}");
        assert!(found[0].contains(says) && found[0].starts_with("record "), "{name}: {found:?}");
    }
    // A revocation that never was: the list says more than the records do.
    let mut without = records.clone();
    for recorded in &mut without {
        if let Event::Revoked(revoked) = &mut recorded.event {
            revoked.credential = authledger::domain::CredentialRef::Jwt {
                issuer: revoked.credential.issuer().unwrap().clone(),
                jti: authledger::domain::TokenId::new("another").unwrap(),
            };
        }
    }
    let found = findings(&without);
    assert!(found.len() == 1 && found[0].contains("the records lead to another array"), "{found:?}");
}

fn tool(log: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authledger-audit"));
    let output = command.arg("status-list").arg(log).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn the_audit_tool_makes_a_list_again_and_says_whether_it_is_what_was_recorded() {
    let mut records = records().await;
    let log = LogFile::of(&records);
    let list = records.iter_mut().find_map(published).unwrap().list.to_string();
    let (code, said) = tool(&log.path(), &["--list", &list, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["as_recorded"], &said["revoked"]), (Some(0), &json!(true), &json!(1)));
    assert_eq!(said["uri"], format!("http://ledger.test/status-lists/{list}"));
    let (code, before) = tool(&log.path(), &["--list", &list, "--at", "2027-01-15T08:00:09Z", "--token"]);
    assert_eq!(code, Some(0));
    let before = authledger::status_list::array_of(before.trim()).unwrap();
    assert_eq!(before.set_entries(), 0, "before the revocation was published");
    assert_eq!(tool(&log.path(), &["--list", &list, "--at", "1"]).0, Some(2), "not published by then");
    assert_eq!(tool(&log.path(), &["--list", "aaaaaaaaaaaaaaaa"]).0, Some(2));
    records.iter_mut().filter_map(published).for_each(|one| one.array[0] ^= 1);
    let (code, said) = tool(&LogFile::of(&records).path(), &["--list", &list]);
    assert!(code == Some(1) && said.contains("differs"), "{said}");
}
