//! A record has one spelling: reading it in one pass accepts the same texts as the definition, and reads the same from them.

use authledger::event_log::{MAX_RECORD_BYTES, decode, decode_by_definition, encode};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::golden::{golden_records, registration_named};

/// Bytes that JSON readers are lenient about, and bytes that mean something within a record.
const BYTES: &[u8] = b"\"\\{}[],:0129eE.+-/ntulAaFf* \t\n\x00\x1f\x7f\x80\xc3\xff";

/// Whole tokens that stand for another, or next to one.
const TOKENS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "00",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e0",
    "10",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "[1,2]",
    "\"*\"",
    "\"ticket\"",
    "\"token\"",
    "\"session\"",
    "\"issue\"",
    "\"admin\"",
    "\"aal1\"",
    "\"k7m2qx4dnzr5a\"",
    "{\"k7m2qx4dnzr5a\":1}",
    "\"5e551001-0000-4000-8000-000000000001\"",
    "\"5E551001-0000-4000-8000-000000000001\"",
    "\"5e551001000040008000000000000001\"",
    "\"{5e551001-0000-4000-8000-000000000001}\"",
    "\"urn:uuid:5e551001-0000-4000-8000-000000000001\"",
    "\"root@k7m2qx4dnzr5a\"",
    "\"subject:a%2Fb\"",
    "\"subject:a%2fb\"",
    "\"subject:a/b\"",
    "\"bearer:a/b\"",
    "\"ticket.issued\"",
    "\"token.revoked\"",
    "\"later\"",
    "\"\\u000a\"",
    "\"\\n\"",
    "\"\\u000A\"",
    "\"\\u001f\"",
    "\"\\u001F\"",
    "\"\\/\"",
    "\"\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\b\\f\\r\\t\\\\\\\"\"",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    " ",
    "\n",
];

/// Members that are never written, or not there.
const MEMBERS: &[&str] = &[
    "\"known\":true",
    "\"known\":false",
    "\"known\":null",
    "\"generation\":{}",
    "\"generation\":null",
    "\"generation\":{\"k7m2qx4dnzr5a\":1}",
    "\"generation\":{\"k7m2qx4dnzr5a\":1,\"b3ytw6hcpe2sf\":1}",
    "\"generation\":{\"b3ytw6hcpe2sf\":1,\"k7m2qx4dnzr5a\":1}",
    "\"methods\":[]",
    "\"audience\":[]",
    "\"audience\":[\"a\"]",
    "\"tenant\":null",
    "\"tenant\":\"acme\"",
    "\"actor\":null",
    "\"request\":\"r\"",
    "\"issued_at\":0",
    "\"reason\":\"r\"",
    "\"scope\":\"\"",
    "\"kid\":\"k\"",
    "\"hold_until\":1",
    "\"note\":{\"slot\":1,\"sealed\":\"YQ\"}",
    "\"note\":{\"slot\":1,\"sealed\":\"\"}",
    "\"personal\":{\"sealed\":\"YQ\",\"slot\":1}",
    "\"expires_at\":1",
    "\"attributes\":\"\"",
    "\"extra\":1",
    "\"previous\":null",
    "\"slots\":[]",
    "\"slots\":[2,1]",
    "\"slots\":[1,1]",
    "\"kinds\":[\"token\",\"ticket\"]",
];

#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Token(Index, &'static str),
    NextTo(Index, &'static str),
    Without(Index),
    Swapped(Index, Index),
    Member(Index, &'static str),
    Escaped(Index, bool),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let byte = || select(BYTES);
    let token = || select(TOKENS);
    let member = select(MEMBERS);
    prop_oneof![
        1 => (at(), byte()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (at(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => at().prop_map(Change::Delete),
        3 => (at(), token()).prop_map(|(at, token)| Change::Token(at, token)),
        1 => (at(), token()).prop_map(|(at, token)| Change::NextTo(at, token)),
        1 => at().prop_map(Change::Without),
        2 => (at(), at()).prop_map(|(one, other)| Change::Swapped(one, other)),
        3 => (at(), member).prop_map(|(at, member)| Change::Member(at, member)),
        2 => (at(), any::<bool>()).prop_map(|(at, upper)| Change::Escaped(at, upper)),
    ]
}

/// The text in strings, numbers and marks.
fn tokens(record: &[u8]) -> Vec<Vec<u8>> {
    let (mut tokens, mut rest) = (Vec::new(), record);
    while let Some(first) = rest.first() {
        let end = match first {
            b'"' => string_bytes(rest),
            b'0'..=b'9' => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => 1,
        };
        tokens.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    tokens
}

fn string_bytes(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    text.len().min(at + 1)
}

/// Where members begin, and how many tokens each takes: of every object in it.
fn members(tokens: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let is_name = |at: usize| tokens[at].starts_with(b"\"") && tokens.get(at + 1).is_some_and(|next| next == b":");
    let extent = |at: usize| {
        let (mut depth, mut end) = (0_i32, at);
        for token in &tokens[at..] {
            match token.as_slice() {
                b"{" | b"[" => depth += 1,
                b"}" | b"]" if depth == 0 => break,
                b"}" | b"]" => depth -= 1,
                b"," if depth == 0 => break,
                _ => {}
            }
            end += 1;
        }
        end - at
    };
    (0..tokens.len()).filter(|at| is_name(*at)).map(|at| (at, extent(at))).collect()
}

fn changed(record: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = record.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    let mut parts = tokens(record);
    match change {
        Change::Byte(at, byte) => bytes[at.index(record.len())] = *byte,
        Change::Insert(at, byte) => bytes.insert(at.index(record.len() + 1), *byte),
        Change::Delete(at) => drop(bytes.remove(at.index(record.len()))),
        Change::Token(at, token) => {
            let at = at.index(parts.len());
            parts[at] = token.as_bytes().to_vec();
            bytes = parts.concat();
        }
        Change::NextTo(at, token) => {
            parts.insert(at.index(parts.len() + 1), token.as_bytes().to_vec());
            bytes = parts.concat();
        }
        Change::Without(at) => bytes = without(parts, *at),
        Change::Swapped(one, other) => bytes = swapped(&parts, *one, *other),
        Change::Member(at, member) => {
            let before = members(&parts);
            if !before.is_empty() {
                let (at, extent) = before[at.index(before.len())];
                parts.insert(at + extent, format!(",{member}").into_bytes());
                bytes = parts.concat();
            }
        }
        Change::Escaped(at, upper) => bytes = escaped(record, *at, *upper),
    }
    bytes
}

fn without(mut parts: Vec<Vec<u8>>, which: Index) -> Vec<u8> {
    let members = members(&parts);
    if !members.is_empty() {
        let (at, extent) = members[which.index(members.len())];
        // With the comma after it, or else the one before.
        let comma_behind = parts.get(at + extent).is_some_and(|next| next == b",");
        let from = if comma_behind || parts[at - 1] != b"," { at } else { at - 1 };
        parts.drain(from..at + extent + usize::from(comma_behind));
    }
    parts.concat()
}

fn swapped(parts: &[Vec<u8>], one: Index, other: Index) -> Vec<u8> {
    let members = members(parts);
    if members.is_empty() {
        return parts.concat();
    }
    let mut pair = [members[one.index(members.len())], members[other.index(members.len())]];
    pair.sort_unstable();
    let [(first, long), (second, wide)] = pair;
    if first + long > second {
        return parts.concat();
    }
    [
        &parts[..first],
        &parts[second..second + wide],
        &parts[first + long..second],
        &parts[first..first + long],
        &parts[second + wide..],
    ]
    .concat()
    .concat()
}

/// One character of the text as `\u`, which says the same in any other JSON.
fn escaped(record: &[u8], at: Index, upper: bool) -> Vec<u8> {
    let at = at.index(record.len());
    let code = if upper { format!("\\u{:04X}", record[at]) } else { format!("\\u{:04x}", record[at]) };
    [&record[..at], code.as_bytes(), &record[at + 1..]].concat()
}

/// Whether it is a record, which both must agree on.
fn is_record(bytes: &[u8]) -> bool {
    let read = decode(bytes);
    let defined = decode_by_definition(bytes);
    assert_eq!(read, defined, "{}", String::from_utf8_lossy(bytes));
    if let Ok(recorded) = &read {
        assert_eq!(encode(recorded).as_bytes(), bytes);
    }
    read.is_ok()
}

#[test]
fn every_byte_counts() {
    let (mut records, mut others) = (0, 0);
    for record in golden_records() {
        assert!(is_record(record.as_bytes()));
        let bytes = record.as_bytes();
        for at in 0..bytes.len() {
            assert!(!is_record(&bytes[..at]), "a record that was cut off");
            let (before, after) = (&bytes[..at], &bytes[at + 1..]);
            let flipped = [bytes[at] ^ 1, bytes[at] ^ 0x20, bytes[at] ^ 0x80];
            let spoiled = [b' ', b'"', b'\\', b'0', b',', b'}'];
            let replaced = flipped.iter().chain(&spoiled).map(|byte| [before, &[*byte], after].concat());
            let inserted = spoiled.iter().map(|byte| [before, &[*byte], &bytes[at..]].concat());
            for other in replaced.chain(inserted).chain([[before, after].concat()]) {
                *(if is_record(&other) { &mut records } else { &mut others }) += 1;
            }
        }
    }
    assert!(records > 10_000 && others > 100_000, "{records} records, {others} others");
}

#[test]
fn every_character_has_one_spelling() {
    for code in (0..0x100).chain([0x2028, 0xfffd, 0x1f600]) {
        let Some(character) = char::from_u32(code) else { continue };
        let record = encode(&registration_named(&format!("a{character}b")));
        assert!(is_record(record.as_bytes()), "{record}");
        let written = serde_json::to_string(&character).unwrap();
        let written = &written[1..written.len() - 1];
        let short = ["\\b", "\\t", "\\n", "\\f", "\\r", "\\/", "\\\"", "\\\\"];
        let spellings = [format!("\\u{code:04x}"), format!("\\u{code:04X}"), character.to_string()];
        for other in spellings.iter().map(String::as_str).chain(short) {
            // Another character's spelling is another record; another spelling of this one is none.
            let said =
                serde_json::from_str::<String>(&format!("\"{other}\"")).is_ok_and(|said| said == character.to_string());
            let respelled = record.replace(&format!("a{written}b"), &format!("a{other}b"));
            assert!(is_record(respelled.as_bytes()) == (other == written) || !said, "{respelled}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_accept_the_same_bytes(
        which in any::<Index>(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        thread_local!(static RECORDS: Vec<String> = golden_records());
        let record = RECORDS.with(|records| records[which.index(records.len())].clone());
        let mut bytes = record.into_bytes();
        for change in &changes {
            bytes = changed(&bytes, change);
        }
        is_record(&bytes);
    }
}

#[test]
fn a_text_that_is_too_large_is_not_a_record_however_it_is_read() {
    let room = MAX_RECORD_BYTES - encode(&registration_named("")).len();
    assert!(is_record(encode(&registration_named(&"a".repeat(room))).as_bytes()));
    assert!(!is_record(encode(&registration_named(&"a".repeat(room + 1))).as_bytes()));
}
