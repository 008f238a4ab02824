//! Crashes and damage: no answer is ever wrong, verify names the damage, and a server makes the index again.

use std::fs;
use std::path::Path;

use authledger::domain::Recorded;
use authledger::index::{Finder, IndexVerifyError, verify};

use super::Indexed;
use crate::support::node::{
    ModelNode, at, issue, issue_jwt, issue_opaque, issue_session, renew, revoke, revoke_subject,
};

const SEGMENT: u64 = 64;

fn records() -> Vec<Recorded> {
    let mut node = ModelNode::lone();
    for n in 0..200 {
        node.after_seconds(1);
        node.ask(issue(n, ["alice", "bob"][n as usize % 2])).unwrap();
        let _ = node.ask(issue_session(n, "carol")).unwrap();
        match n % 5 {
            0 => drop(node.ask(revoke(n)).unwrap()),
            1 => drop(node.ask(issue_opaque(n, "carol", Some(n))).unwrap()),
            2 => drop(node.ask(issue_jwt(n, "carol", None))),
            3 => drop(node.after_seconds(100).ask(renew(n, at(1_000_000_000))).unwrap()),
            _ => drop(node.ask(revoke_subject("bob", None)).unwrap()),
        }
    }
    node.log
}

fn indexed() -> Indexed {
    Indexed::of(&records())
}

fn is_whole(indexed: &Indexed) -> bool {
    verify(&indexed.reader, &indexed.directory(), |_, _| ()).is_ok()
}

/// Mends it, and checks that it is then like an undamaged one.
fn mended(indexed: &Indexed, due: &[Vec<authledger::domain::Position>], what: &str) {
    let mut builder = indexed.builder(SEGMENT, 3);
    builder.mend(true, |_| ()).unwrap();
    builder.catch_up(|_| true).unwrap();
    let verified = verify(&indexed.reader, &indexed.directory(), |_, _| ()).expect(what);
    assert!(indexed.reader.head().unwrap().0 - verified.covered.0 < SEGMENT, "{what}");
    assert_eq!(indexed.found(), due, "{what}");
    assert!(indexed.files().iter().all(|file| file.extension().unwrap() == "segment"), "{what}");
}

#[test]
fn every_step_of_a_merge_that_a_crash_cuts_short_is_mended() {
    let indexed = indexed();
    let due = indexed.read();
    drop(indexed.built(SEGMENT, 1_000));
    let small: Vec<_> = indexed.files().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    drop(indexed.built(SEGMENT, 3));
    let merged: Vec<_> = indexed.files().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(merged.len() < small.len(), "something was merged");
    let clear = || indexed.files().iter().for_each(|file| fs::remove_file(file).unwrap());
    let put = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    };
    // The merged file written in part, or whole and not yet renamed.
    for bytes in [0, 100, merged[0].1.len() / 2, merged[0].1.len()] {
        clear();
        put(&small);
        fs::write(merged[0].0.with_extension("unfinished"), &merged[0].1[..bytes]).unwrap();
        assert_eq!(indexed.found(), due, "{bytes}");
        mended(&indexed, &due, "an unfinished file");
    }
    // Renamed, and any number of those that were merged removed.
    for removed in 0..small.len() {
        clear();
        put(&small[removed..]);
        put(&merged);
        assert_eq!(indexed.found(), due, "{removed}");
        assert!(is_whole(&indexed), "a file that others cover does no harm");
        mended(&indexed, &due, "left over");
    }
    // The rename reached the disk and the contents did not, on a disk that breaks its word.
    clear();
    put(&small);
    fs::write(&merged[0].0, vec![0; merged[0].1.len()]).unwrap();
    assert_eq!(indexed.found(), due);
    mended(&indexed, &due, "a hollow file");
}

#[test]
fn any_damage_is_noticed_and_makes_no_answer_wrong() {
    let indexed = indexed();
    let due = indexed.read();
    drop(indexed.built(SEGMENT, 3));
    let files: Vec<_> = indexed.files().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(files.len() >= 2, "{files:?}");
    let restore = || {
        indexed.files().iter().for_each(|file| fs::remove_file(file).unwrap());
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    };
    let check = |what: &str| {
        assert_eq!(indexed.found(), due, "{what}");
        let error = verify(&indexed.reader, &indexed.directory(), |_, _| ()).expect_err(what).to_string();
        assert!(error.contains("segment") || error.starts_with("position "), "{what}: {error}");
        mended(&indexed, &due, what);
        restore();
    };
    for (path, bytes) in &files {
        for at in (0..bytes.len()).step_by(997).chain([16, 19, bytes.len() - 1]) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(path, &flipped).unwrap();
            check(&format!("{} flipped at {at}", path.display()));
        }
        for length in [0, 10, bytes.len() - 4_096, bytes.len() - 1] {
            fs::write(path, &bytes[..length]).unwrap();
            check(&format!("{} cut to {length}", path.display()));
        }
        fs::write(path, [&bytes[..], &[0; 4_096]].concat()).unwrap();
        check("longer");
    }
    fs::remove_file(&files[0].0).unwrap();
    check("deleted");
    fs::write(&files[0].0, &files[1].1).unwrap();
    fs::write(&files[1].0, &files[0].1).unwrap();
    check("swapped");
    let mut exchanged = files[0].1.clone();
    let blocks = exchanged.len() - 8_192;
    let (one, other) = exchanged[blocks..].split_at_mut(4_096);
    one.swap_with_slice(other);
    fs::write(&files[0].0, &exchanged).unwrap();
    check("two blocks exchanged");
}

#[test]
fn an_index_of_another_log_is_not_used() {
    let indexed = indexed();
    drop(indexed.built(SEGMENT, 3));
    // The log of another origin, as long as this one.
    let mut node = ModelNode::named('b');
    (0..1_000).for_each(|n| drop(node.ask(issue(n, "alice")).unwrap()));
    let other = Indexed::of(&node.log);
    for file in indexed.files() {
        fs::create_dir_all(other.directory()).unwrap();
        fs::copy(&file, other.directory().join(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(other.found(), other.read());
    let unusable = |indexed: &Indexed| {
        let finder = Finder::new(&indexed.reader, &indexed.directory(), None).unwrap();
        finder.unusable().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(unusable(&other).iter().all(|one| one.ends_with("it was made of another log")), "{:?}", unusable(&other));
    assert!(!unusable(&other).is_empty() && unusable(&indexed).is_empty());
}

#[test]
fn entries_that_do_not_follow_from_the_log_are_named_by_file_and_position() {
    // An index that was made of a log with the same hashes and other positions can't be; one of forged entries can.
    let indexed = indexed();
    drop(indexed.built(SEGMENT, 1_000));
    let files = indexed.files();
    let forged = forge(&fs::read(&files[1]).unwrap());
    fs::write(&files[1], forged).unwrap();
    match verify(&indexed.reader, &indexed.directory(), |_, _| ()) {
        Err(IndexVerifyError::Differs { path, position }) => {
            assert_eq!(path, files[1]);
            assert!((65..=128).contains(&position.0), "{position}");
        }
        other => panic!("{other:?}"),
    }
}

/// Changes a position in the last block, and its checksum with it, as `schema/index.md` says it is made.
fn forge(bytes: &[u8]) -> Vec<u8> {
    let mut forged = bytes.to_vec();
    let (head, body) = forged.split_at_mut(4_096);
    let block = &mut body[..4_096];
    block[11] ^= 1;
    let mut seal = blake3::Hasher::new_derive_key("authledger 2026 index block v1");
    seal.update(&head[4_064..]).update(&0_u64.to_be_bytes()).update(&block[..4_080]);
    let seal = *seal.finalize().as_bytes();
    block[4_080..].copy_from_slice(&seal[..16]);
    forged
}

#[test]
fn a_directory_that_is_not_there_is_an_index_of_nothing() {
    let indexed = indexed();
    let verified = verify(&indexed.reader, Path::new("/nonexistent"), |_, _| ()).unwrap();
    assert_eq!((verified.segments, verified.covered.0), (0, 0));
}
