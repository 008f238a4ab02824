//! Ids in paths: UUIDs in every spelling that Ory accepts, and its words for anything else.

use std::fmt::Write as _;

use axum::http::Uri;
use uuid::Uuid;

use super::error::OryError;
use crate::domain::CredentialId;
use crate::http::input;

const URN: &[u8] = b"urn:uuid:";
/// The places of hyphens in the canonical form.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A segment of a path, decoded. Counted from the end, because the operator chooses the prefix before the contract's
/// paths.
pub fn segment(uri: &Uri, from_end: usize) -> Result<Vec<u8>, OryError> {
    let path = uri.path();
    let segment = path.strip_suffix('/').unwrap_or(path).rsplit('/').nth(from_end).unwrap_or_default();
    decoded(segment.as_bytes()).ok_or(OryError::Malformed("The path has an incomplete percent escape."))
}

/// A segment that names an identity. One that clients and proxies resolve was meant for another resource.
pub fn identity(uri: &Uri, from_end: usize) -> Result<Vec<u8>, OryError> {
    let segment = segment(uri, from_end)?;
    let is_dotted = std::str::from_utf8(&segment).is_ok_and(input::is_dotted);
    if is_dotted { Err(not_a_uuid(&segment)) } else { Ok(segment) }
}

/// The refusal of a path without an id where one belongs.
pub fn empty() -> OryError {
    not_a_uuid(b"")
}

fn not_a_uuid(text: &[u8]) -> OryError {
    OryError::MalformedId(wrong_length(text))
}

/// The session that a segment names.
pub fn session(segment: &[u8]) -> Result<CredentialId, OryError> {
    uuid(segment).map(CredentialId::of_session).map_err(OryError::MalformedId)
}

/// Canonical, 32 digits, either in braces or behind `urn:uuid:`; digits in any case.
fn uuid(text: &[u8]) -> Result<Uuid, String> {
    let plain = match text.len() {
        32 | 36 => text,
        34 | 38 => {
            let inner = text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
            inner.ok_or_else(|| out_of_place(text))?
        }
        41 | 45 => text.strip_prefix(URN).ok_or_else(|| out_of_place(&text[..URN.len()]))?,
        _ => return Err(wrong_length(text)),
    };
    if plain.len() == 36 && HYPHENS.iter().any(|at| plain[*at] != b'-') {
        return Err(out_of_place(plain));
    }
    Uuid::try_parse_ascii(plain).map_err(|_| "uuid: invalid UUID format".to_owned())
}

fn wrong_length(text: &[u8]) -> String {
    format!("uuid: incorrect UUID length {} in string {}", text.len(), quoted(text))
}

fn out_of_place(text: &[u8]) -> String {
    format!("uuid: incorrect UUID format in string {}", quoted(text))
}

/// Text as Go quotes it: https://pkg.go.dev/strconv#Quote
pub fn quoted(text: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|character| push_quoted(&mut quoted, character));
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted + "\""
}

fn push_quoted(quoted: &mut String, character: char) {
    let escape = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0b' => "\\v",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        other if is_printable(other) => return quoted.push(other),
        other => {
            let _ = match u32::from(other) {
                code @ ..0x80 => write!(quoted, "\\x{code:02x}"),
                code @ ..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                code => write!(quoted, "\\U{code:08x}"),
            };
            return;
        }
    };
    quoted.push_str(escape);
}

fn is_printable(character: char) -> bool {
    character == '\'' || character.escape_debug().eq([character])
}

/// Without percent escapes; nothing if one of them is broken.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        decoded.push(if byte == b'%' { (digit(rest.next())? << 4 | digit(rest.next())?) as u8 } else { byte });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "6ba7b8109dad11d180b400c04fd430c8";
    const CANONICAL: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    #[test]
    fn every_spelling_names_the_same() {
        let wanted = Ok(Uuid::from_u128(0x6ba7b810_9dad_11d1_80b4_00c04fd430c8));
        for plain in [PLAIN, CANONICAL] {
            for text in [plain.to_owned(), plain.to_uppercase(), format!("{{{plain}}}"), format!("urn:uuid:{plain}")] {
                assert_eq!(uuid(text.as_bytes()), wanted, "{text}");
            }
        }
    }

    #[test]
    fn an_id_that_is_not_a_uuid_is_refused_in_the_words_of_go() {
        let problem = |text: &[u8]| uuid(text).expect_err("no UUID");
        assert_eq!(problem(b"BADUUID"), "uuid: incorrect UUID length 7 in string \"BADUUID\"");
        assert_eq!(problem(b"a\"\n\xff\x01"), "uuid: incorrect UUID length 5 in string \"a\\\"\\n\\xff\\x01\"");
        assert_eq!(problem("é'\u{200b}".as_bytes()), "uuid: incorrect UUID length 6 in string \"é'\\u200b\"");
        let misplaced = CANONICAL.replace('-', "0");
        let told = format!("uuid: incorrect UUID format in string \"{misplaced}\"");
        assert_eq!(problem(misplaced.as_bytes()), told);
        assert_eq!(problem(format!("{{{misplaced}}}").as_bytes()), told);
        let round = format!("({CANONICAL})");
        assert_eq!(problem(round.as_bytes()), format!("uuid: incorrect UUID format in string \"{round}\""));
        let urn = format!("URN:uuid:{CANONICAL}");
        assert_eq!(problem(urn.as_bytes()), "uuid: incorrect UUID format in string \"URN:uuid:\"");
        for digits in [PLAIN, CANONICAL] {
            assert_eq!(problem(digits.replace('b', "g").as_bytes()), "uuid: invalid UUID format");
        }
    }

    #[test]
    fn segments_are_counted_from_the_end_and_decoded() {
        let at = |path: &'static str, from_end| segment(&Uri::from_static(path), from_end);
        assert_eq!(at("/auth/sessions/a%7b", 0), Ok(b"a{".to_vec()));
        assert_eq!(at("/auth/sessions/a/", 0), Ok(b"a".to_vec()));
        assert_eq!(at("/admin/sessions/%ff/extend/", 1), Ok(vec![255]));
        let identity = |path: &'static str| identity(&Uri::from_static(path), 1);
        assert_eq!(identity("/admin/identities/.../sessions"), Ok(b"...".to_vec()));
        for dotted in
            ["/admin/identities/../sessions", "/admin/identities/%2e/sessions/", "/admin/identities/.%2E/sessions"]
        {
            assert!(matches!(identity(dotted), Err(OryError::MalformedId(_))), "{dotted}");
        }
        for broken in ["/sessions/%", "/sessions/%4", "/sessions/%zz"] {
            assert!(at(broken, 0).is_err(), "{broken}");
        }
    }
}
