//! Nobody sees a secret: every one that any test is handed out is remembered, and looked for wherever it must not be.
//!
//! Looked for are the forms in which secrets are handed out: `al_…`, the UUID of a ticket, and a JWT. The secrets that a request itself
//! presented may come back in its answer.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

/// Hashes of all that was handed out in this run.
static HANDED_OUT: LazyLock<Mutex<HashSet<[u8; 32]>>> = LazyLock::new(Mutex::default);

const MINTED_LEN: usize = 44;
const UUID_LEN: usize = 36;
/// The members of answers in which secrets are handed out.
const MEMBERS: [&str; 5] = ["ticket", "session_token", "token", "secret", "result"];

fn hash(secret: &[u8]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

/// Remembers a secret.
pub fn remember(secret: &str) {
    HANDED_OUT.lock().expect("no test panics with it").insert(hash(secret.as_bytes()));
}

/// Remembers the secrets that a successful answer hands out.
pub fn handed_out(path: &str, body: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
    for member in MEMBERS {
        if let Some(secret) = members.get(member).and_then(Value::as_str) {
            remember(secret);
        }
    }
    // Crafter calls a ticket's secret its id, and an access token's.
    let is_crafters = path.contains("/api/1/authentication/ticket") || path.contains("/api/1/access_token");
    if is_crafters && let Some(secret) = members.get("id").and_then(Value::as_str) {
        remember(secret);
    }
}

/// Looks for secrets in bytes that must hold none, but for those in `presented`. `place` is for the message.
#[track_caller]
pub fn assert_none(place: &str, bytes: &[u8], presented: &[u8]) {
    let handed_out = HANDED_OUT.lock().expect("no test panics with it");
    let found =
        candidates(bytes).find(|candidate| handed_out.contains(&hash(candidate)) && !holds(presented, candidate));
    drop(handed_out);
    if let Some(secret) = found {
        panic!("a secret that was handed out is in {place}: {}…", String::from_utf8_lossy(&secret[..8]));
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Everything that has the form of a secret.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..bytes.len()).filter_map(|at| match bytes[at] {
        b'a' if bytes[at..].starts_with(b"al_") => bytes.get(at..at + MINTED_LEN),
        b'e' if bytes[at..].starts_with(b"eyJ") => jwt(&bytes[at..]),
        b'-' => uuid_around(bytes, at),
        _ => None,
    })
}

fn jwt(bytes: &[u8]) -> Option<&[u8]> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let run = &bytes[..bytes.iter().position(|byte| !part(byte)).unwrap_or(bytes.len())];
    (run.iter().filter(|byte| **byte == b'.').count() == 2).then_some(run)
}

/// The UUID whose first hyphen is there.
fn uuid_around(bytes: &[u8], hyphen: usize) -> Option<&[u8]> {
    let text = bytes.get(hyphen.checked_sub(8)?..hyphen + UUID_LEN - 8)?;
    [13, 18, 23].iter().all(|at| text[*at] == b'-').then_some(text)
}

/// Looks through the files of a data directory, but for the one that holds root's secret in clear, and the log lines of its
/// server, when it is dropped.
pub struct Search {
    /// The data directory.
    pub data: PathBuf,
    /// Where the log lines went.
    pub log: Option<PathBuf>,
}

impl Drop for Search {
    fn drop(&mut self) {
        // A test that has failed says so already.
        if std::thread::panicking() {
            return;
        }
        search(&self.data);
        if let Some(log) = &self.log {
            assert_none("the log lines", &fs::read(log).unwrap_or_default(), b"");
        }
    }
}

/// Looks through every file below a directory, but for the one that holds root's secret in clear.
pub fn search(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path);
        } else if entry.file_name() != "root-token" {
            assert_none(&path.display().to_string(), &fs::read(&path).unwrap_or_default(), b"");
        }
    }
}

#[test]
#[should_panic(expected = "a secret that was handed out is in a file")]
fn a_secret_in_the_wrong_place_is_found() {
    remember("0b9a1c2d-1111-4222-8333-444455556666");
    assert_none("a file", b"\x24\x000b9a1c2d-1111-4222-8333-444455556666\x01", b"");
}

#[test]
fn a_secret_that_a_request_presented_may_come_back() {
    let secret = "al_s_000000000000000000000000000000000abcdef";
    remember(secret);
    let answer = format!("{{\"message\":\"no ticket {secret}\"}}");
    assert_none("an answer", answer.as_bytes(), format!("POST /x {secret}").as_bytes());
}
