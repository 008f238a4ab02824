//! The tamper matrix: every piece of evidence, spoiled in every way, is found by the shipped tool, which names the place.
//!
//! `rewritten` is made to fit as far as somebody can who has the files; `re-signed` as far as somebody can who has the origin's
//! key too, and is found by a checkpoint that was kept elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use authledger::event_log::{Chain, ChainHash, Reader};
use authledger::index::{Builder, Shape};
use authledger::keys::OriginKey;
use authledger::projection::save;
use authledger::tlog::{InclusionProof, SignedNote};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::real::{ALL, OLD, Real, json as answer};
use crate::support::log::projection_of;
use crate::support::node::{ModelNode, issue};

const COLUMNS: [&str; 8] =
    ["flipped", "deleted", "duplicated", "swapped", "reordered", "truncated", "rewritten", "re-signed"];

/// The command that verifies, and the place that must be named.
struct Spoiled {
    path: PathBuf,
    place: String,
}

type Cell = fn(&Real) -> Spoiled;

const ROWS: [(&str, [Cell; 8]); 8] = [
    (
        "record",
        [
            record_flipped,
            record_deleted,
            record_duplicated,
            record_swapped,
            record_reordered,
            record_truncated,
            record_rewritten,
            all_forged,
        ],
    ),
    (
        "hash",
        [
            hash_flipped,
            hash_deleted,
            hash_duplicated,
            hash_swapped,
            hash_reordered,
            hash_truncated,
            hash_rewritten,
            all_forged,
        ],
    ),
    (
        "tile",
        [
            tile_flipped,
            tile_deleted,
            tile_duplicated,
            tile_swapped,
            tile_reordered,
            tile_truncated,
            tile_rewritten,
            all_forged,
        ],
    ),
    (
        "checkpoint",
        [
            checkpoint_flipped,
            checkpoint_deleted,
            checkpoint_duplicated,
            checkpoint_swapped,
            checkpoint_reordered,
            checkpoint_truncated,
            checkpoint_rewritten,
            checkpoint_resigned,
        ],
    ),
    (
        "snapshot",
        [
            snapshot_flipped,
            snapshot_deleted,
            snapshot_duplicated,
            snapshot_swapped,
            snapshot_reordered,
            snapshot_truncated,
            snapshot_rewritten,
            all_forged,
        ],
    ),
    (
        "index",
        [
            index_flipped,
            index_deleted,
            index_duplicated,
            index_swapped,
            index_reordered,
            index_truncated,
            index_rewritten,
            all_forged,
        ],
    ),
    (
        "bundle",
        [
            bundle_flipped,
            bundle_deleted,
            bundle_duplicated,
            bundle_swapped,
            bundle_reordered,
            bundle_truncated,
            bundle_rewritten,
            bundle_resigned,
        ],
    ),
    (
        "proof",
        [
            proof_flipped,
            proof_deleted,
            proof_duplicated,
            proof_swapped,
            proof_reordered,
            proof_truncated,
            proof_rewritten,
            proof_resigned,
        ],
    ),
];

#[test]
fn all_tampering_is_found_and_its_place_named() {
    let mut table = format!("{:<12}", "");
    COLUMNS.iter().for_each(|column| table.push_str(&format!("{column:<50}")));
    let mut missed = Vec::new();
    for (row, cells) in ROWS {
        table.push_str(&format!("\n{row:<12}"));
        for (column, cell) in COLUMNS.iter().zip(cells) {
            let found = find(cell, *column == "re-signed");
            table.push_str(&format!("{:<50}", found.as_deref().unwrap_or("MISSED")));
            missed.extend(found.err().map(|why| format!("{row} {column}: {why}")));
        }
    }
    println!("{table}");
    assert!(missed.is_empty(), "{table}\n{}", missed.join("\n"));
}

/// Spoils a fresh copy and verifies it. The place, if the tool found the flaw there.
fn find(cell: Cell, with_old: bool) -> Result<String, String> {
    let real = Real::copy();
    let Spoiled { path, place } = cell(&real);
    let key = real.key.to_string();
    let old = real.old();
    let mut arguments = vec!["verify", "--json", path.to_str().unwrap(), "--key", &key];
    if with_old {
        // Nothing but the checkpoint that was kept elsewhere speaks against it.
        let without = real.audit(&arguments);
        assert_eq!(without.status.code(), Some(0), "{}", answer(&without));
        arguments.extend(["--checkpoint", old.to_str().unwrap()]);
    }
    let output = real.audit(&arguments);
    if output.status.code() != Some(1) {
        return Err(format!("{:?} {output:?}", output.status));
    }
    let answer = answer(&output);
    let findings: Vec<&str> =
        answer["findings"].as_array().unwrap().iter().map(|finding| finding["damage"].as_str().unwrap()).collect();
    let named = findings.iter().any(|finding| finding.contains(&place));
    if named {
        let inside = [real.data(), real.scratch.path()].map(|path| format!("{}/", path.display()));
        let shown = inside.iter().fold(place, |place, path| place.replace(path, ""));
        Ok(shown.replace(real.origin.as_str(), "ORIGIN"))
    } else {
        Err(format!("{place}: {findings:?}"))
    }
}

#[test]
fn evidence_that_was_not_tampered_with_holds() {
    let real = Real::copy();
    let key = real.key.to_string();
    let old = real.old();
    let bundle = real.bundle("all.bundle", &[]);
    let proof = real.proof("400.proof", "400");
    for path in [real.data(), &bundle] {
        let output = real.audit(&[
            "verify",
            "--json",
            path.to_str().unwrap(),
            "--key",
            &key,
            "--checkpoint",
            old.to_str().unwrap(),
        ]);
        assert_eq!((output.status.code(), &answer(&output)["findings"]), (Some(0), &json!([])));
    }
    for path in [&proof, &old] {
        let output = real.audit(&["verify", path.to_str().unwrap(), "--key", &key]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

// The log.

fn in_log(real: &Real, statement: &str, place: impl Into<String>) -> Spoiled {
    real.log.forge(statement);
    Spoiled { path: real.data().to_owned(), place: place.into() }
}

fn record_flipped(real: &Real) -> Spoiled {
    in_log(
        real,
        "UPDATE event SET record = replace(record, 'subject-', 'subject_') WHERE position = 400",
        "position 400:",
    )
}

fn record_deleted(real: &Real) -> Spoiled {
    in_log(real, "DELETE FROM event WHERE position = 400", "position 400:")
}

fn record_duplicated(real: &Real) -> Spoiled {
    let next = ALL + 1;
    let statement = format!(
        "INSERT INTO event SELECT {next}, origin, {next}, stored_at, record, hash FROM event WHERE position = 400"
    );
    in_log(real, &statement, format!("position {next}:"))
}

fn record_swapped(real: &Real) -> Spoiled {
    in_log(real, &exchange("record"), "position 400:")
}

fn record_reordered(real: &Real) -> Spoiled {
    let statement = "UPDATE event SET position = -1 WHERE position = 400; \
                     UPDATE event SET position = 400 WHERE position = 401; \
                     UPDATE event SET position = 401 WHERE position = -1";
    in_log(real, statement, "position 400:")
}

fn record_truncated(real: &Real) -> Spoiled {
    in_log(real, "DELETE FROM event WHERE position > 650", format!("checkpoints/{}", real.origin))
}

fn record_rewritten(real: &Real) -> Spoiled {
    real.rewrite(400);
    Spoiled { path: real.data().to_owned(), place: format!("checkpoints/{}", real.origin) }
}

/// History rewritten, with a new checkpoint and the tiles and snapshot that the server makes of it.
fn all_forged(real: &Real) -> Spoiled {
    real.forge_all();
    Spoiled { path: real.data().to_owned(), place: real.old().display().to_string() }
}

/// Exchanges what two rows have in a column.
fn exchange(column: &str) -> String {
    format!(
        "UPDATE event SET {column} = (SELECT {column} FROM event AS other WHERE other.position = 801 - event.position) \
         WHERE position IN (400, 401)"
    )
}

fn hash_flipped(real: &Real) -> Spoiled {
    let mut hash: [u8; 32] = Connection::open(real.log.path())
        .unwrap()
        .query_row("SELECT hash FROM event WHERE position = 400", [], |row| row.get(0))
        .unwrap();
    hash[7] ^= 1;
    in_log(real, &format!("UPDATE event SET hash = x'{}' WHERE position = 400", ChainHash(hash)), "position 400:")
}

fn hash_deleted(real: &Real) -> Spoiled {
    in_log(real, "UPDATE event SET hash = x'' WHERE position = 400", "position 400:")
}

fn hash_duplicated(real: &Real) -> Spoiled {
    let statement = "UPDATE event SET hash = (SELECT hash FROM event WHERE position = 400) WHERE position = 401";
    in_log(real, statement, "position 401:")
}

fn hash_swapped(real: &Real) -> Spoiled {
    in_log(real, &exchange("hash"), "position 400:")
}

fn hash_reordered(real: &Real) -> Spoiled {
    let statement = "UPDATE event SET hash = (SELECT hash FROM event AS other \
                     WHERE other.position = CASE event.position WHEN 402 THEN 400 ELSE event.position + 1 END) \
                     WHERE position BETWEEN 400 AND 402";
    in_log(real, statement, "position 400:")
}

fn hash_truncated(real: &Real) -> Spoiled {
    in_log(real, "UPDATE event SET hash = substr(hash, 1, 16) WHERE position = 400", "position 400:")
}

/// A chain that is right from one place on, and does not continue what lies before.
fn hash_rewritten(real: &Real) -> Spoiled {
    let chain = Chain::default();
    let mut hash = ChainHash([7; 32]);
    let mut updates = String::from("BEGIN;");
    for (record, position) in real.records().iter().zip(1..).skip(399) {
        hash = chain.link(&hash, record.as_bytes());
        updates.push_str(&format!("UPDATE event SET hash = x'{hash}' WHERE position = {position};"));
    }
    in_log(real, &(updates + "COMMIT;"), "position 400:")
}

// Files.

/// Edits a file's bytes.
fn in_file(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    let before = bytes.clone();
    edit(&mut bytes);
    assert_ne!(bytes, before, "nothing was spoiled");
    fs::write(path, bytes).unwrap();
}

/// Hash 44 of tile 1 of level 0, and those after it.
const HASH: usize = 300 * 32;

fn in_tile(real: &Real, place: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Spoiled {
    in_file(&real.tiles(), edit);
    Spoiled { path: real.data().to_owned(), place: format!("{}: {place}", real.tiles().display()) }
}

fn tile_flipped(real: &Real) -> Spoiled {
    in_tile(real, "tile 1, hash 44:", |bytes| bytes[HASH + 5] ^= 1)
}

fn tile_deleted(real: &Real) -> Spoiled {
    in_tile(real, "tile 1:", |bytes| drop(bytes.drain(HASH..HASH + 32)))
}

fn tile_duplicated(real: &Real) -> Spoiled {
    in_tile(real, "tile 1, hash 45:", |bytes| {
        let hash = bytes[HASH..HASH + 32].to_vec();
        bytes.splice(HASH..HASH, hash);
    })
}

fn tile_swapped(real: &Real) -> Spoiled {
    in_tile(real, "tile 1, hash 44:", |bytes| bytes[HASH..HASH + 64].rotate_left(32))
}

fn tile_reordered(real: &Real) -> Spoiled {
    in_tile(real, "tile 1, hash 44:", |bytes| bytes[HASH..HASH + 96].rotate_left(32))
}

fn tile_truncated(real: &Real) -> Spoiled {
    // A whole tile less: its length alone shows nothing.
    in_tile(real, "tile 1:", |bytes| bytes.truncate(256 * 32))
}

fn tile_rewritten(real: &Real) -> Spoiled {
    in_tile(real, "tile 0, hash 0:", |bytes| bytes.rotate_left(256 * 32))
}

fn in_checkpoint(real: &Real, edit: impl FnOnce(&mut Vec<u8>)) -> Spoiled {
    in_file(&real.checkpoint(), edit);
    Spoiled { path: real.data().to_owned(), place: format!("checkpoints/{}", real.origin) }
}

/// Edits a text line by line.
fn lines(bytes: &mut Vec<u8>, edit: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = String::from_utf8(bytes.clone()).unwrap().lines().map(str::to_owned).collect();
    edit(&mut lines);
    *bytes = (lines.join("\n") + "\n").into_bytes();
}

fn flip(line: &mut String) {
    let other = if line.starts_with('A') { "B" } else { "A" };
    line.replace_range(..1, other);
}

fn checkpoint_flipped(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| lines(bytes, |lines| flip(&mut lines[2])))
}

fn checkpoint_deleted(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| lines(bytes, |lines| drop(lines.remove(1))))
}

fn checkpoint_duplicated(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| lines(bytes, |lines| lines.insert(1, lines[1].clone())))
}

fn checkpoint_swapped(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| lines(bytes, |lines| lines.swap(1, 2)))
}

fn checkpoint_reordered(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| lines(bytes, |lines| lines.rotate_left(3)))
}

fn checkpoint_truncated(real: &Real) -> Spoiled {
    in_checkpoint(real, |bytes| bytes.truncate(bytes.len() / 2))
}

/// Valid in itself, and signed by somebody else.
fn checkpoint_rewritten(real: &Real) -> Spoiled {
    let note = real.signed_with(&real.fresh("keys"), ALL);
    in_checkpoint(real, |bytes| *bytes = note.as_str().into())
}

/// Another head of the same size as the one that was kept.
fn checkpoint_resigned(real: &Real) -> Spoiled {
    real.rewrite(200);
    let path = real.fresh("other.checkpoint");
    fs::write(&path, real.signed_at(OLD).as_str()).unwrap();
    Spoiled { path, place: real.old().display().to_string() }
}

fn in_snapshot(real: &Real, edit: impl FnOnce(&mut Vec<u8>)) -> Spoiled {
    in_file(&real.data().join("snapshot/state"), edit);
    Spoiled { path: real.data().to_owned(), place: "snapshot/state".to_owned() }
}

fn snapshot_flipped(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
}

fn snapshot_deleted(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| drop(bytes.drain(1_000..1_010)))
}

fn snapshot_duplicated(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| bytes.extend_from_within(1_000..1_100))
}

fn snapshot_swapped(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| bytes[1_000..1_128].rotate_left(64))
}

fn snapshot_reordered(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| bytes[1_000..1_064].reverse())
}

fn snapshot_truncated(real: &Real) -> Spoiled {
    in_snapshot(real, |bytes| bytes.truncate(bytes.len() - 100))
}

/// One with right checksums, of another log.
fn snapshot_rewritten(real: &Real) -> Spoiled {
    let mut node = ModelNode::lone();
    (1..10).for_each(|n| drop(node.ask(issue(n, "mallory")).unwrap()));
    save(&projection_of(&node.log), &real.data().join("snapshot")).unwrap();
    Spoiled { path: real.data().to_owned(), place: "snapshot/state".to_owned() }
}

/// The largest file of the index: each stop of the server has made one.
fn index(real: &Real) -> PathBuf {
    let files = fs::read_dir(real.data().join("index")).unwrap().map(|entry| entry.unwrap().path());
    files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn in_index(real: &Real, edit: impl FnOnce(&mut Vec<u8>)) -> Spoiled {
    let path = index(real);
    in_file(&path, edit);
    Spoiled { path: real.data().to_owned(), place: path.display().to_string() }
}

fn index_flipped(real: &Real) -> Spoiled {
    in_index(real, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
}

fn index_deleted(real: &Real) -> Spoiled {
    in_index(real, |bytes| drop(bytes.drain(4_000..4_016)))
}

fn index_duplicated(real: &Real) -> Spoiled {
    in_index(real, |bytes| bytes.extend_from_within(4_000..4_016))
}

fn index_swapped(real: &Real) -> Spoiled {
    in_index(real, |bytes| bytes[4_096..4_224].rotate_left(64))
}

fn index_reordered(real: &Real) -> Spoiled {
    in_index(real, |bytes| bytes[4_096..4_160].reverse())
}

fn index_truncated(real: &Real) -> Spoiled {
    in_index(real, |bytes| bytes.truncate(bytes.len() - 100))
}

/// One with right checksums, of another history.
fn index_rewritten(real: &Real) -> Spoiled {
    let other = Real::copy();
    let directory = real.data().join("index");
    other.forge_all();
    fs::remove_dir_all(&directory).unwrap();
    let reader = Reader::open(&other.data().join("ledger.db")).unwrap();
    let mut builder = Builder::open(reader, &directory, Shape::default(), |_| ()).unwrap();
    builder.catch_up(|_| true).unwrap();
    builder.flush().unwrap();
    Spoiled { path: real.data().to_owned(), place: index(real).display().to_string() }
}

// Bundles, spoiled inside and compressed again.

fn in_bundle(real: &Real, place: &str, edit: impl FnOnce(&mut Vec<String>)) -> Spoiled {
    let path = real.bundle("spoiled.bundle", &[]);
    in_file(&path, |bytes| {
        let mut text = zstd::decode_all(&**bytes).unwrap();
        lines(&mut text, edit);
        *bytes = zstd::encode_all(&*text, 3).unwrap();
    });
    Spoiled { path, place: place.to_owned() }
}

fn bundle_flipped(real: &Real) -> Spoiled {
    // The next hash is that of position 512.
    in_bundle(real, "line 513: position 512:", |lines| lines[400] = lines[400].replace("subject-", "subject_"))
}

fn bundle_deleted(real: &Real) -> Spoiled {
    in_bundle(real, "line 401: position 400:", |lines| drop(lines.remove(400)))
}

fn bundle_duplicated(real: &Real) -> Spoiled {
    in_bundle(real, "line 402: position 401:", |lines| lines.insert(400, lines[400].clone()))
}

fn bundle_swapped(real: &Real) -> Spoiled {
    in_bundle(real, "line 401: position 400:", |lines| lines.swap(400, 401))
}

fn bundle_reordered(real: &Real) -> Spoiled {
    in_bundle(real, "line 401: position 400:", |lines| lines[400..403].rotate_left(1))
}

fn bundle_truncated(real: &Real) -> Spoiled {
    in_bundle(real, "line 602:", |lines| lines.truncate(601))
}

/// Every hash of the bundle is made to fit, and its digest too.
fn bundle_rewritten(real: &Real) -> Spoiled {
    let place = format!("origin {}", real.origin);
    in_bundle(real, &place, |lines| {
        lines[400] = lines[400].replace("subject-", "somebody-");
        let chain = Chain::default();
        let mut hash = ChainHash::default();
        let last = lines.len() - 1;
        for line in &mut lines[1..last] {
            let record = line.split_once("\"record\":").unwrap().1.strip_suffix('}').unwrap();
            hash = chain.link(&hash, record.as_bytes());
            if let Some((before, rest)) = line.clone().split_once("\"hash\":\"") {
                *line = format!("{before}\"hash\":\"{hash}{}", &rest[64..]);
            }
        }
        let before = lines[..last].join("\n") + "\n";
        let mut last_line: Value = serde_json::from_str(&lines[last]).unwrap();
        last_line["origins"][real.origin.as_str()]["hash"] = json!(hash.to_string());
        last_line["blake3"] = json!(blake3::hash(before.as_bytes()).to_string());
        lines[last] = last_line.to_string();
    })
}

fn bundle_resigned(real: &Real) -> Spoiled {
    real.forge_all();
    Spoiled { path: real.bundle("forged.bundle", &[]), place: real.old().display().to_string() }
}

// Proofs: heading, record, index, hashes, and the checkpoint after an empty line.

const FIRST_HASH: usize = 3;

fn in_proof(real: &Real, place: &str, edit: impl FnOnce(&mut Vec<String>)) -> Spoiled {
    let path = real.proof("spoiled.proof", "400");
    in_file(&path, |bytes| lines(bytes, edit));
    Spoiled { path, place: place.to_owned() }
}

fn proof_flipped(real: &Real) -> Spoiled {
    in_proof(real, "leaf 399", |lines| flip(&mut lines[FIRST_HASH]))
}

fn proof_deleted(real: &Real) -> Spoiled {
    in_proof(real, "leaf 399", |lines| drop(lines.remove(FIRST_HASH)))
}

fn proof_duplicated(real: &Real) -> Spoiled {
    in_proof(real, "leaf 399", |lines| lines.insert(FIRST_HASH, lines[FIRST_HASH].clone()))
}

fn proof_swapped(real: &Real) -> Spoiled {
    in_proof(real, "leaf 399", |lines| lines.swap(FIRST_HASH, FIRST_HASH + 1))
}

fn proof_reordered(real: &Real) -> Spoiled {
    in_proof(real, "leaf 399", |lines| lines[FIRST_HASH..FIRST_HASH + 3].rotate_left(1))
}

fn proof_truncated(real: &Real) -> Spoiled {
    in_proof(real, "line 6", |lines| lines.truncate(5))
}

/// A proof of a record that somebody made up, in a tree that the same person signed.
fn proof_rewritten(real: &Real) -> Spoiled {
    let path = real.proof("spoiled.proof", "400");
    let mut proof = InclusionProof::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    real.rewrite(400);
    proof.record = real.records()[399].as_bytes().into();
    proof.checkpoint = real.signed_with(&real.fresh("keys"), ALL);
    fs::write(&path, proof.to_string()).unwrap();
    Spoiled { path, place: "leaf 399".to_owned() }
}

/// A proof for a tree of the same size as the one that was kept.
fn proof_resigned(real: &Real) -> Spoiled {
    real.rewrite(200);
    let note: SignedNote = real.signed_at(OLD);
    let checkpoint = real.fresh("other.checkpoint");
    fs::write(&checkpoint, note.as_str()).unwrap();
    let given =
        ["prove", real.data().to_str().unwrap(), "--position", "200", "--checkpoint", checkpoint.to_str().unwrap()];
    Spoiled { path: real.make("forged.proof", &given), place: real.old().display().to_string() }
}

#[test]
fn the_fixture_is_what_the_cells_assume() {
    let real = Real::copy();
    assert_eq!(real.records().len(), ALL);
    assert_eq!(fs::metadata(real.tiles()).unwrap().len(), 2 * 256 * 32);
    assert!(OriginKey::load_or_create(&real.data().join("keys")).unwrap().public_key() == *real.key.public());
}

#[test]
fn a_malformed_hash_in_a_bundle_is_found_at_its_line() {
    let spoil: Cell = |real| {
        in_bundle(real, "line 257: position 256:", |lines| {
            lines[256] = lines[256].replace("\"hash\":\"", "\"hash\":\"z")
        })
    };
    find(spoil, false).unwrap();
}
