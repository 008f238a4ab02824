//! `schema/vectors/compact-revocations.json`: bytes and their content, marks and their names; and the reader in Python.

use std::path::Path;
use std::process::Command;

use authledger::compact::{
    AgeLimit, Change, CredentialName, Decoder, Due, Frame, ItemParts, Mark, MarkBlock, MarkKey, WholeChange, WholeName,
    Whose,
};
use authledger::domain::{Kind, Kinds, Origin, Sequence, hex};
use authledger::follower::held::RevocationItem;
use serde_json::{Value, json};

use super::{NOW, at, head, key};
use crate::support::python;

const SESSION: &str = "5e55100a-0000-4000-8000-000000000001";
const DIGEST: &str = "6d51255ff3a34d3f9a5eb5344970b38800429048f6d1acb218b45d0ed69dae73";

fn one() -> MarkKey {
    key(1)
}

fn origin(letter: &str) -> Origin {
    letter.repeat(Origin::LEN).parse().unwrap()
}

fn mark_text(mark: &Mark) -> String {
    hex::encode(&mark.0)
}

fn marks(marks: &[Mark]) -> Value {
    marks.iter().map(mark_text).collect()
}

/// The mark of each form of name, as the hashed bytes name it.
fn named_marks() -> Value {
    let half = &DIGEST[..32];
    let anybody = (Whose::ANYBODY, json!([null, null]));
    let acme = (Whose { tenant: Due::Named("acme"), subject: Due::Anybody }, json!(["acme", null]));
    let alice = (Whose { tenant: Due::Named("acme"), subject: Due::Named("alice") }, json!(["acme", "alice"]));
    let some = (Whose { tenant: Due::Named("acme"), subject: Due::Unknown }, json!(["acme", true]));
    let somebody = (Whose::SOMEBODY, json!([true, true]));
    let credentials = [
        (1, CredentialName::Secret { kind: "ticket", half }, ["ticket", half], anybody.clone()),
        (2, CredentialName::Id { kind: "session", id: SESSION }, ["session", SESSION], anybody.clone()),
        (
            3,
            CredentialName::Jwt { iss: "https://i.example", jti: "j-1" },
            ["https://i.example", "j-1"],
            anybody.clone(),
        ),
        (
            4,
            CredentialName::Payload { iss: "https://i.example", payload: DIGEST },
            ["https://i.example", DIGEST],
            anybody,
        ),
        (2, CredentialName::Id { kind: "session", id: SESSION }, ["session", SESSION], acme),
        (2, CredentialName::Id { kind: "session", id: SESSION }, ["session", SESSION], alice),
        (2, CredentialName::Id { kind: "session", id: SESSION }, ["session", SESSION], some),
        (2, CredentialName::Id { kind: "session", id: SESSION }, ["session", SESSION], somebody),
    ];
    let credentials = credentials.map(|(form, name, [first, second], (whose, target))| {
        let mark = mark_text(&one().credential(name, whose));
        json!({"form": form, "first": first, "second": second, "target": target, "mark": mark})
    });
    let subject = WholeName::Subject { tenant: "default", subject: "zoë" };
    let cohort = WholeName::Cohort { what: "tenant", name: "default" };
    let wholes = [
        (5, subject, ["default", "zoë"], None),
        (6, cohort, ["tenant", "default"], None),
        (5, subject, ["default", "zoë"], Some("badge")),
    ];
    let wholes = wholes.map(|(form, name, [first, second], kind)| {
        let mark = mark_text(&one().whole(name, kind));
        json!({"form": form, "first": first, "second": second, "target": null, "kind": kind.unwrap_or(""), "mark": mark})
    });
    credentials.into_iter().chain(wholes).collect()
}

/// Items, and what they are marked as.
fn marked_items() -> Value {
    let retained = "2027-01-16T08:05:00.001Z";
    let items = [
        json!({"type": "ticket.revoked", "kind": "ticket", "digest": DIGEST, "id": &DIGEST[..32], "tenant": "default", "subject": "alice", "retain_until": retained}),
        json!({"type": "ticket.revoked", "kind": "ticket", "id": &DIGEST[..32], "retain_until": retained}),
        json!({"type": "session.revoked", "kind": "session", "digest": DIGEST, "id": SESSION, "tenant": "default", "subject": "alice", "retain_until": retained}),
        json!({"type": "token.revoked", "kind": "token", "iss": "https://i.example", "jti": "j-1", "id": "j-1", "retain_until": retained}),
        json!({"type": "token.revoked", "kind": "token", "iss": "https://i.example", "payload": DIGEST, "id": &DIGEST[..32], "retain_until": retained}),
        json!({"type": "session.revoked", "kind": "session", "id": SESSION, "known": false, "retain_until": retained}),
        json!({"type": "session.revoked", "kind": "session", "id": SESSION, "known": false, "tenant": "acme", "retain_until": retained}),
        json!({"type": "session.revoked", "kind": "session", "id": SESSION, "known": false, "tenant": "acme", "subject": "alice", "retain_until": retained}),
        json!({"type": "subject.revoked", "tenant": "default", "subject": "zoë", "kinds": ["ticket", "token"], "generation": {"aaaaaaaaaaaaa": 5}, "not_before": 1_800_000_000, "retain_until": retained}),
        json!({"type": "subject.revoked", "tenant": "default", "subject": "zoë", "kinds": ["session"], "issued_before": 1_800_000_000.5, "not_before": 1_800_000_000, "origin": "bbbbbbbbbbbbb", "sequence": 9, "retain_until": retained}),
        json!({"type": "subject.erased", "tenant": "default", "subject": "zoë", "kinds": ["ticket", "session", "token"], "generation": {"aaaaaaaaaaaaa": 6}, "not_before": 1_800_000_000, "retain_until": "9999-12-30T22:00:00.999Z"}),
        json!({"type": "cohort.revoked", "cohort": {"key": "k-1"}, "withdrawn": true, "kinds": ["token"], "generation": {"aaaaaaaaaaaaa": 7}, "not_before": 1_800_000_000, "retain_until": retained}),
    ];
    let marked = |item: Value| {
        let read: RevocationItem = serde_json::from_value(item.clone()).unwrap();
        let change = read.change(&one()).unwrap();
        let bytes = Frame::Revoked { cursor: "c".to_owned(), change }.to_bytes();
        json!({"item": item, "revoked": hex::encode(&bytes), "frame": shown(&read_one(&bytes))})
    };
    items.into_iter().map(marked).collect()
}

fn read_one(bytes: &[u8]) -> Frame {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let frame = decoder.next_frame().unwrap().unwrap();
    assert!(decoder.is_empty());
    frame
}

/// One frame of each type.
fn frames() -> Vec<Frame> {
    let parts = ItemParts {
        type_name: "subject.revoked",
        tenant: Some("default"),
        subject: Some("alice"),
        kinds: Kinds::ALL,
        retain_until: at(NOW),
        ..ItemParts::default()
    };
    let mut wholes = Change::of(&parts, &one()).wholes;
    wholes.push(WholeChange {
        generation: vec![(origin("a"), Sequence(1)), (origin("b"), Sequence(u64::MAX))],
        age: Some(AgeLimit { issued_before: at(NOW - 500), origin: origin("c"), sequence: Sequence(300) }),
        withdrawn: true,
        kinds: Kinds::from_iter([Kind::Token]).into(),
        ..wholes[0].clone()
    });
    let block = |scoped, count: u64| {
        let mut marks: Vec<_> = (0..count)
            .map(|n| one().credential(CredentialName::Id { kind: "ticket", id: &n.to_string() }, Whose::ANYBODY))
            .collect();
        marks.sort_unstable();
        Frame::Marks(MarkBlock { scoped, retain_until: at(NOW + 256_000), marks })
    };
    let edges = MarkBlock {
        scoped: false,
        retain_until: authledger::domain::Timestamp::MAX,
        marks: vec![Mark([0; 11]), Mark([255; 11])],
    };
    vec![
        head(&one(), "cursor"),
        block(false, 1),
        block(true, 2),
        block(false, 7),
        block(false, 100),
        Frame::Marks(edges),
        Frame::Wholes(wholes),
        Frame::Complete { count: 114 },
        Frame::Heartbeat {
            cursor: "c".to_owned(),
            now: at(NOW),
            behind: vec![(origin("a"), 0), (origin("b"), 12_345)],
        },
        Frame::Gap { cursor: "c".to_owned() },
        Frame::End { reason: "stopping".to_owned(), cursor: "c".to_owned() },
    ]
}

/// A frame as the reader in Python shows it.
fn shown(frame: &Frame) -> Value {
    let seconds = |instant: authledger::domain::Timestamp| instant.as_millis().div_ceil(1_000);
    let places = |places: &[(Origin, u64)]| -> Value {
        Value::Object(places.iter().map(|(origin, number)| (origin.to_string(), json!(number))).collect())
    };
    let whole = |whole: &WholeChange| {
        let generation: Vec<_> = whole.generation.iter().map(|(origin, sequence)| (*origin, sequence.0)).collect();
        let kinds: u8 = whole.kinds.indexes().map(|index| 1 << index).sum();
        let flags = u8::from(whole.erased) + 2 * u8::from(whole.withdrawn) + 4 * u8::from(whole.age.is_some());
        let mut shown = json!({
            "mark": mark_text(&whole.mark), "kinds": kinds, "flags": flags, "not_before": whole.not_before,
            "retain_until": seconds(whole.retain_until), "generation": places(&generation),
        });
        if let Some(AgeLimit { issued_before, origin, sequence }) = whole.age {
            shown["issued_before"] = json!(issued_before.as_millis());
            shown["record"] = json!([origin.as_str(), sequence.0]);
        }
        shown
    };
    let wholes = |all: &[WholeChange]| all.iter().map(whole).collect::<Value>();
    match frame {
        Frame::Head(head) => json!({
            "frame": "head", "ledger": hex::encode(head.ledger.0.as_bytes()), "key": hex::encode(head.key.as_bytes()),
            "now": head.now.as_millis(), "cursor": head.cursor,
        }),
        Frame::Marks(block) => json!({
            "frame": "marks", "scoped": u8::from(block.scoped), "retain_until": seconds(block.retain_until), "marks": marks(&block.marks),
        }),
        Frame::Wholes(all) => json!({"frame": "wholes", "wholes": wholes(all)}),
        Frame::Complete { count } => json!({"frame": "complete", "count": count}),
        Frame::Revoked { cursor, change } => json!({
            "frame": "revoked", "cursor": cursor, "retain_until": seconds(change.retain_until), "plain": marks(&change.plain),
            "scoped": marks(&change.scoped), "wholes": wholes(&change.wholes),
        }),
        Frame::Heartbeat { cursor, now, behind } => {
            json!({"frame": "heartbeat", "cursor": cursor, "now": now.as_millis(), "behind_ms": places(behind)})
        }
        Frame::Gap { cursor } => json!({"frame": "gap", "cursor": cursor}),
        Frame::End { reason, cursor } => json!({"frame": "end", "reason": reason, "cursor": cursor}),
        Frame::Pause => json!({}),
    }
}

fn made() -> Value {
    let frame = |frame: &Frame| json!({"bytes": hex::encode(&frame.to_bytes()), "frame": shown(frame)});
    let shortest = Frame::Complete { count: 1 }.to_bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = shortest.clone();
        bytes[at] = byte;
        let end = bytes.len() - 8;
        let sum = blake3::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.as_bytes()[..8]);
        bytes
    };
    let mut flipped = shortest.clone();
    flipped[5] ^= 1;
    let refused = [
        ("another checksum", flipped),
        ("a type that is not known", with(0, 99)),
        ("a body that is cut off", with(5, 0x81)),
        ("a head of another version", with(0, 1)),
        ("a block without a mark", with(0, 2)),
    ];
    let refused = refused.map(|(name, bytes)| json!({"name": name, "bytes": hex::encode(&bytes)}));
    json!({
        "about": "Revocations for machines, as compact-revocations.md defines them: marks under the key with their names (`target` is the tenant and the subject: null for anybody's, a text, or true for one that is not known); items with the frame that has their marks; frames in hex with their content; and frames that are refused.",
        "key": hex::encode(one().as_bytes()),
        "marks": named_marks(),
        "items": marked_items(),
        "frames": frames().iter().map(frame).collect::<Value>(),
        "refused": refused,
    })
}

#[test]
fn the_bytes_are_those_of_the_vectors_and_are_read_back() {
    let made = made();
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/vectors/compact-revocations.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let due = std::fs::read_to_string(path).unwrap();
    assert_eq!(due, text, "UPDATE_SCHEMA=1 writes it anew; bytes that others read must not change");
    for frame in frames() {
        assert_eq!(read_one(&frame.to_bytes()), frame);
    }
    for case in made["refused"].as_array().unwrap() {
        let mut decoder = Decoder::default();
        let bytes = case["bytes"].as_str().unwrap();
        decoder.push(
            &(0..bytes.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap())
                .collect::<Vec<_>>(),
        );
        assert!(decoder.next_frame().is_err(), "{}", case["name"]);
    }
}

/// Every case of the vectors.
const VECTORS: &str = r#"
import json, compact_revocations as reader
vectors = json.load(open("vectors/compact-revocations.json"))
key = bytes.fromhex(vectors["key"])
for case in vectors["marks"]:
    assert reader.mark(key, case["form"], case["first"], case["second"], case["target"], case.get("kind", "")) == case["mark"], case
for case in vectors["frames"]:
    assert list(reader.frames(bytes.fromhex(case["bytes"]))) == [case["frame"]], case
for case in vectors["items"]:
    assert list(reader.frames(bytes.fromhex(case["revoked"]))) == [case["frame"]], case
for case in vectors["refused"]:
    try:
        found = list(reader.frames(bytes.fromhex(case["bytes"])))
    except (AssertionError, ValueError):
        continue
    raise SystemExit(f"{case['name']}: {found}")
print(len(vectors["marks"]) + len(vectors["frames"]) + len(vectors["items"]) + len(vectors["refused"]))
"#;

#[test]
fn a_reader_in_python_agrees_with_the_vectors() {
    let Some(python) = python::with_blake3() else { return };
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut command = Command::new(python);
    let output = command.args(["-B", "-c", VECTORS]).current_dir(schema).env("PYTHONPATH", ".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{} cases", String::from_utf8_lossy(&output.stdout).trim());
}
