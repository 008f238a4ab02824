//! Proofs and bundles, made and verified by the shipped tool.

use std::fs;

use authledger::audit::BundleReader;
use authledger::event_log::{Base, Reader};
use authledger::tlog::{KeyName, VerifierKey};
use serde_json::json;

use super::real::{ALL, OLD, Real, json as answer, text};
use crate::tlog::cosigned::Witness;

#[test]
fn every_kind_of_evidence_is_recognised_and_named() {
    let real = Real::copy();
    let data = real.data().to_str().unwrap();
    let since = real.make("since.proof", &["prove", data, "--from", real.old().to_str().unwrap()]);
    let kinds = [
        (real.data().to_owned(), "data directory"),
        (real.log.path(), "ledger"),
        (real.bundle("all.bundle", &[]), "bundle"),
        (real.proof("one.proof", "1"), "proof of inclusion"),
        (since, "proof of consistency"),
        (real.checkpoint(), "checkpoint"),
    ];
    let key = real.key.to_string();
    for (path, kind) in kinds {
        let output = real.audit(&["verify", "--json", path.to_str().unwrap(), "--key", &key]);
        let answer = answer(&output);
        assert_eq!((output.status.code(), &answer["kind"], &answer["findings"]), (Some(0), &json!(kind), &json!([])));
        assert!(!answer["held"].as_array().unwrap().is_empty() || kind == "ledger", "{answer}");
    }
    let note = real.fresh("note.txt");
    fs::write(&note, "remember the milk\n").unwrap();
    assert_eq!(real.audit(&["verify", note.to_str().unwrap()]).status.code(), Some(1));
}

#[test]
fn an_event_is_proven_with_nothing_but_the_key() {
    let real = Real::copy();
    let data = real.data().to_str().unwrap().to_owned();
    let key = real.key.to_string();
    let stranger = VerifierKey::new(real.key.name().clone(), [3; 32]).to_string();
    let elsewhere = VerifierKey::new(KeyName::new("log.example/other").unwrap(), *real.key.public()).to_string();
    for position in ["1", "2", "256", "257", "400", "701"] {
        let proof = real.proof(&format!("{position}.proof"), position);
        let verify = |more: &[&str]| real.audit(&[&["verify", proof.to_str().unwrap()], more].concat());
        let held = verify(&["--key", &key]);
        assert_eq!(held.status.code(), Some(0), "{held:?}");
        assert!(text(&held.stdout).contains(&format!("sequence {position} of {}", real.origin)), "{held:?}");
        assert_eq!(verify(&[]).status.code(), Some(2), "without a key there is no answer");
        assert_eq!(verify(&["--key", &stranger]).status.code(), Some(1));
        assert_eq!(verify(&["--key", &elsewhere]).status.code(), Some(1));
    }
    let named = ["prove", &data, "--origin", real.origin.as_str(), "--sequence", "400"];
    assert_eq!(text(&real.audit(&named).stdout), fs::read_to_string(real.fresh("400.proof")).unwrap());
    let again = real.audit(&["prove", &data, "--position", "400", "-o", real.fresh("400.proof").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "a file that is there stays");
}

#[test]
fn an_event_that_is_not_signed_yet_is_not_proven_and_the_refusal_says_what_to_do() {
    let real = Real::copy();
    let data = real.data().to_str().unwrap().to_owned();
    let old = real.old();
    let refused = |arguments: &[&str]| {
        let output = real.audit(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        text(&output.stderr)
    };
    let newer = refused(&["prove", &data, "--position", "500", "--checkpoint", old.to_str().unwrap()]);
    assert!(
        newer.contains("has signed its first 301 records") && newer.contains("wait for the next checkpoint"),
        "{newer}"
    );
    assert!(refused(&["prove", &data, "--position", "702"]).contains("it has no position 702"));
    let backwards = [data.as_str(), real.checkpoint().to_str().unwrap(), old.to_str().unwrap()].map(str::to_owned);
    let backwards = refused(&["prove", &backwards[0], "--from", &backwards[1], "--to", &backwards[2]]);
    assert!(backwards.contains("give the earlier one with --from"), "{backwards}");
    fs::remove_file(real.checkpoint()).unwrap();
    assert!(refused(&["prove", &data, "--position", "1"]).contains("there is no checkpoint of origin"));
}

#[test]
fn a_log_that_contradicts_its_checkpoint_proves_nothing() {
    let real = Real::copy();
    real.rewrite(400);
    let data = real.data().to_str().unwrap();
    let output = real.audit(&["prove", data, "--position", "10"]);
    assert_eq!((output.status.code(), output.stdout.starts_with(b"c2sp")), (Some(1), false), "{output:?}");
    // A record before the place that was rewritten can still be proven.
    real.make("early.proof", &["prove", data, "--position", "10", "--checkpoint", real.old().to_str().unwrap()]);
    let output = real.audit(&["prove", data, "--from", real.old().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = real.audit(&["export", data, "-o", real.fresh("none.bundle").to_str().unwrap()]);
    assert_eq!((output.status.code(), real.fresh("none.bundle").exists()), (Some(1), false), "{output:?}");
}

#[test]
fn a_log_that_was_cut_off_or_replaced_is_found_by_evidence_kept_elsewhere() {
    let real = Real::copy();
    let newest = real.fresh("newest.checkpoint");
    fs::rename(real.checkpoint(), &newest).unwrap();
    for derived in ["tiles", "snapshot", "index"] {
        fs::remove_dir_all(real.data().join(derived)).unwrap();
    }
    real.log.forge("DELETE FROM event WHERE position > 650");
    let verify = |kept: &str| real.audit(&["verify", "--json", real.data().to_str().unwrap(), "--checkpoint", kept]);
    assert_eq!(verify(real.old().to_str().unwrap()).status.code(), Some(0), "the old one is of records that are left");
    let cut = verify(newest.to_str().unwrap());
    let finding = answer(&cut)["damage"].as_str().unwrap().to_owned();
    assert_eq!(cut.status.code(), Some(1));
    assert!(finding.contains("covers 701 records") && finding.contains("there are 650"), "{finding}");

    let other = VerifierKey::new(real.key.name().clone(), [3; 32]).to_string();
    let replaced = real.audit(&["verify", "--json", real.data().to_str().unwrap(), "--key", &other]);
    let finding = answer(&replaced)["damage"].as_str().unwrap().to_owned();
    assert!(replaced.status.code() == Some(1) && finding.contains("opened with another key"), "{finding}");
}

#[test]
fn a_bundle_of_any_range_proves_itself() {
    let real = Real::copy();
    let key = real.key.to_string();
    let old = real.old();
    let newest = real.checkpoint();
    let ranges = [(1, ALL), (1, 1), (1, 300), (2, 2), (200, 350), (256, 512), (257, ALL), (ALL, ALL)];
    for (from, to) in ranges {
        let (from, to) = (from.to_string(), to.to_string());
        let bundle = real.bundle(&format!("{from}-{to}.bundle"), &["--from", &from, "--to", &to]);
        let verify = |more: &[&str]| real.audit(&[&["verify", bundle.to_str().unwrap(), "--json"], more].concat());
        let output = verify(&["--key", &key, "--checkpoint", newest.to_str().unwrap()]);
        let held = answer(&output)["held"].to_string();
        assert_eq!(output.status.code(), Some(0), "{from} to {to}: {output:?}");
        assert!(held.contains(&format!("sequences {from} to {to} are in")), "{held}");
        // Only the range that holds the opening names its own origin's key.
        assert_eq!(verify(&[]).status.code(), Some(if from == "1" { 0 } else { 2 }));
        let covered = from.parse::<usize>().unwrap() <= OLD + 1 && to.parse::<usize>().unwrap() >= OLD;
        let code = verify(&["--key", &key, "--checkpoint", old.to_str().unwrap()]).status.code();
        assert_eq!(code, Some(if covered { 0 } else { 2 }), "{from} to {to} and the old checkpoint");
    }
    let again =
        real.audit(&["export", real.data().to_str().unwrap(), "-o", real.fresh("1-1.bundle").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "a file that is there stays");
    let beyond = real.audit(&["export", real.data().to_str().unwrap(), "--to", "702", "-o", "/nonexistent/b"]);
    assert!(text(&beyond.stderr).contains("the log has those from 1 to 701"));
}

#[test]
fn a_bundle_holds_the_rows_of_the_log_byte_for_byte() {
    let real = Real::copy();
    let (from, bundle) = (200, real.bundle("some.bundle", &["--from", "200", "--to", "650"]));
    let log = Reader::open(&real.log.path()).unwrap();
    let mut base: Base = log.base_at(authledger::domain::Position(from - 1)).unwrap();
    let mut bundle = BundleReader::open(&bundle).unwrap();
    let rows = bundle.next_page().unwrap();
    assert_eq!(rows.len(), 451);
    assert_eq!(rows, log.next_page(&mut base, rows.len()).unwrap());
    assert!(bundle.next_page().unwrap().is_empty());
    assert_eq!(bundle.base(), base);
}

#[test]
fn records_after_the_checkpoint_are_reported_as_only_chained() {
    let real = Real::copy();
    fs::copy(real.old(), real.checkpoint()).unwrap();
    let key = real.key.to_string();
    let held = |bundle: &std::path::Path| {
        let output = real.audit(&["verify", "--json", bundle.to_str().unwrap(), "--key", &key]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        answer(&output)["held"].to_string()
    };
    let across = held(&real.bundle("across.bundle", &[]));
    assert!(across.contains("sequences 1 to 301 are in") && across.contains("302 to 701 are chained only"), "{across}");
    let behind = held(&real.bundle("behind.bundle", &["--from", "302"]));
    assert!(behind.contains("chained only: the bundle has no checkpoint"), "{behind}");
}

#[test]
fn cosignatures_are_shown_with_their_time_and_unknown_ones_are_no_damage() {
    let real = Real::copy();
    let (known, unknown) = (Witness::new("witness.example/one", 7), Witness::new("witness.example/two", 8));
    let note = fs::read_to_string(real.old()).unwrap();
    let signed = &note[..note.find("\n\n").unwrap() + 1];
    let cosigned = real.fresh("cosigned.checkpoint");
    fs::write(&cosigned, [note.clone(), known.cosign(signed, 1_795_944_000), unknown.cosign(signed, 1)].concat())
        .unwrap();
    let keys = real.fresh("keys.vkey");
    fs::write(&keys, format!("\u{feff}{}\r\n\r\n{}\n", real.key, known.key())).unwrap();
    let keys = format!("@{}", keys.display());
    let (data, path) = (real.data().to_str().unwrap(), cosigned.to_str().unwrap());
    for arguments in [&["verify", path][..], &["verify", data, "--checkpoint", path]] {
        let output = real.audit(&[arguments, &["--key", &keys]].concat());
        let said = text_of(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("cosigned by witness.example/one at 2026-11-29T09:20:00Z"), "{said}");
        assert!(said.contains("a cosignature in the name of witness.example/two with the unknown key"), "{said}");
    }
    // Keys of witnesses alone do not verify the log.
    assert_eq!(real.audit(&["verify", path, "--key", &known.key()]).status.code(), Some(2));
    fs::write(&cosigned, [note.clone(), known.cosign("another text\n", 1_795_944_000)].concat()).unwrap();
    let output = real.audit(&["verify", path, "--key", &keys]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("the cosignature in the name of witness.example/one does not fit"));
    let proof = real.make("since.proof", &["prove", data, "--from", real.old().to_str().unwrap(), "--key", &keys]);
    assert_eq!(real.audit(&["verify", proof.to_str().unwrap(), "--key", &keys]).status.code(), Some(0));
}

fn text_of(output: &std::process::Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
