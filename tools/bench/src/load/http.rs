//! HTTP/1.1, as little of it as a load needs: requests that are rendered but for their slot, answers with a length.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem;

use super::{Protocol, Read};

/// How long a single call, outside of a measurement, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What separates a head from its body.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A request with a slot in its path, its headers or its body, and the status that its answer must have.
#[derive(Clone)]
pub struct Http {
    before: Vec<u8>,
    /// Of a request with a body: what stands before and after the slot in it.
    body: Option<(Vec<u8>, Vec<u8>)>,
    after: Vec<u8>,
    status: [u8; 3],
}

impl Http {
    /// A POST of JSON, with `{}` where the slot is in the body.
    pub fn post(path: &str, headers: &str, body: &str, status: u16) -> Self {
        Self::with_body(path, headers, "application/json", body, status)
    }

    /// A POST of a form, with `{}` where the slot is in the body.
    pub fn form(path: &str, headers: &str, body: &str, status: u16) -> Self {
        Self::with_body(path, headers, "application/x-www-form-urlencoded", body, status)
    }

    fn with_body(path: &str, headers: &str, media_type: &str, body: &str, status: u16) -> Self {
        let (first, last) = body.split_once("{}").unwrap_or((body, ""));
        let before =
            format!("POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Type: {media_type}\r\nContent-Length: ");
        let body = Some((first.as_bytes().to_vec(), last.as_bytes().to_vec()));
        Self { before: before.into_bytes(), body, after: Vec::new(), status: digits(status) }
    }

    /// A GET, with `{}` where the slot is in path or headers.
    pub fn get(path: &str, headers: &str, status: u16) -> Self {
        let text = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
        let (before, after) = text.split_once("{}").unwrap_or((&text, ""));
        Self {
            before: before.as_bytes().to_vec(),
            body: None,
            after: after.as_bytes().to_vec(),
            status: digits(status),
        }
    }
}

fn digits(status: u16) -> [u8; 3] {
    [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}

impl Protocol for Http {
    fn write(&self, slot: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        let Some((first, last)) = &self.body else {
            out.extend_from_slice(slot);
            out.extend_from_slice(&self.after);
            return;
        };
        // Writing to memory can't fail.
        let _ = write!(out, "{}\r\n\r\n", first.len() + slot.len() + last.len());
        out.extend_from_slice(first);
        out.extend_from_slice(slot);
        out.extend_from_slice(last);
    }

    fn read(&self, bytes: &[u8]) -> Read {
        let Some(head) = memmem::find(bytes, END_OF_HEAD) else { return Read::Part };
        let start = head + END_OF_HEAD.len();
        // An answer without a length ends where it begins: none that is measured has chunks.
        let end = start + length(&bytes[..start]).unwrap_or(0);
        if bytes.len() < end {
            return Read::Part;
        }
        Read::Whole { good: bytes.get(9..12) == Some(&self.status), body: start..end }
    }
}

/// What the head says of the body's length.
fn length(head: &[u8]) -> Option<usize> {
    // Every server here writes it in one of these ways.
    let names: [&[u8]; 2] = [b"content-length: ", b"Content-Length: "];
    let at = names.into_iter().find_map(|name| memmem::find(head, name).map(|at| at + name.len()))?;
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

/// An answer to a single call.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the call succeeded.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        let text = String::from_utf8_lossy(&self.body);
        anyhow::ensure!((200..300).contains(&self.status), "the server answered {}: {text}", self.status);
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// One call on a connection of its own, outside of a measurement.
pub fn ask(target: SocketAddr, request: &Http, slot: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut out, mut bytes, mut part) = (Vec::new(), Vec::new(), [0; 65_536]);
    request.write(slot.as_bytes(), &mut out);
    stream.write_all(&out)?;
    loop {
        let count = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..count]);
        if let Read::Whole { body, .. } = request.read(&bytes) {
            let status = std::str::from_utf8(&bytes[9..12]).ok().and_then(|text| text.parse().ok());
            return Ok(Answer { status: status.unwrap_or(0), body: bytes[body].to_vec() });
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_length_that_its_head_says() {
        let mut out = Vec::new();
        Http::post("/v1/tickets", "", r#"{"subject":"{}"}"#, 201).write(b"alice", &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        assert!(text.ends_with("Content-Length: 19\r\n\r\n{\"subject\":\"alice\"}"), "{text}");
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let request = Http::get("/tickets/{}", "", 200);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyHTTP";
        for end in 0..answer.len() - 4 {
            assert!(matches!(request.read(&answer[..end]), Read::Part), "{end}");
        }
        let Read::Whole { good, body } = request.read(answer) else { panic!("it is whole") };
        assert_eq!((good, &answer[body]), (true, &b"body"[..]));
        assert!(matches!(Http::get("/", "", 401).read(answer), Read::Whole { good: false, .. }));
    }
}
