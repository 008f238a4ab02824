//! A second implementation of the chain, in another language, from the definition alone.

use std::process::{Command, Output};

use crate::support::log::{LogFile, hashes};
use crate::support::node::{ModelNode, issue, revoke};
use crate::support::python;
use authledger::event_log::encode;

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/verify_chain.py");

#[test]
fn a_verifier_in_python_agrees_and_finds_a_flipped_byte() {
    let Some(python) = python::with_blake3() else { return };
    let (mut one, mut other) = ModelNode::pair();
    other.ask(issue(7, "carol \u{1F511}")).unwrap();
    (1..=20).for_each(|n| drop(one.ask(issue(n, "alice \"é\"")).unwrap()));
    one.receive(&other.last().clone());
    one.ask(revoke(7)).unwrap();
    let log = LogFile::of(&one.log);
    let run =
        || -> Output { Command::new(&python).args([VERIFIER.as_ref(), log.path().as_os_str()]).output().unwrap() };

    let whole = run();
    let text = String::from_utf8(whole.stdout).unwrap();
    assert!(whole.status.success(), "{text}{}", String::from_utf8_lossy(&whole.stderr));
    let head = hashes(&one.log).last().unwrap().to_string();
    assert!(text.starts_with("24 events\n") && text.contains(&format!("aaaaaaaaaaaaa 22 {head}\n")), "{text}");

    log.flip(encode(&one.log[11]).as_bytes(), 200, 1);
    let broken = run();
    assert_eq!(broken.status.code(), Some(1));
    let text = String::from_utf8(broken.stdout).unwrap();
    assert!(text.contains("position 12: "), "{text}");
}

#[test]
fn the_verifier_stays_short_and_self_contained() {
    let text = std::fs::read_to_string(VERIFIER).unwrap();
    assert!(text.lines().count() <= 60);
    let imports: Vec<_> = text.lines().filter(|line| line.contains("import ")).collect();
    assert_eq!(imports, ["import json", "import sqlite3", "import sys", "import blake3"]);
}
