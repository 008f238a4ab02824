//! Redis's protocol, RESP2: requests as arrays of strings, several of them in one write where that is how it is used.

use std::io::Write as _;

use memchr::memchr;

use super::{Protocol, Read};

/// How deep replies may lie in each other.
const MAX_DEPTH: usize = 4;

/// Commands that are sent together, with a slot in one or more of their arguments.
#[derive(Clone)]
pub struct Resp {
    commands: Vec<Vec<String>>,
}

impl Resp {
    /// Commands, one a line, their words separated by spaces, with `{}` where the slot is.
    pub fn new(commands: &[&str]) -> Self {
        let words = |command: &&str| command.split(' ').map(str::to_owned).collect();
        Self { commands: commands.iter().map(words).collect() }
    }
}

/// The request of somebody who wants to hear what is said in a channel.
pub fn subscribe(channel: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Resp::new(&["SUBSCRIBE {}"]).write(channel.as_bytes(), &mut out);
    out
}

impl Protocol for Resp {
    fn write(&self, slot: &[u8], out: &mut Vec<u8>) {
        // Writing to memory can't fail.
        for command in &self.commands {
            let _ = write!(out, "*{}\r\n", command.len());
            for word in command {
                let (before, after) = word.split_once("{}").unwrap_or((word, ""));
                let slot = if before.len() == word.len() { &[][..] } else { slot };
                let _ = write!(out, "${}\r\n{before}", before.len() + slot.len() + after.len());
                out.extend_from_slice(slot);
                let _ = write!(out, "{after}\r\n");
            }
        }
    }

    fn read(&self, bytes: &[u8]) -> Read {
        let (mut at, mut good, mut last) = (0, true, 0);
        for _ in &self.commands {
            let Some((length, fine)) = reply(&bytes[at..], MAX_DEPTH) else { return Read::Part };
            last = at;
            at += length;
            good &= fine;
        }
        Read::Whole { good, body: last..at }
    }
}

/// The length of the first reply, and whether it is neither an error nor null.
fn reply(bytes: &[u8], depth: usize) -> Option<(usize, bool)> {
    let line = memchr(b'\n', bytes)? + 1;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'+' | b':' => Some((line, true)),
        b'$' => match usize::try_from(number()?) {
            Ok(length) => (bytes.len() >= line + length + 2).then_some((line + length + 2, true)),
            Err(_) => Some((line, false)),
        },
        b'*' if depth > 0 => {
            let (mut at, mut good) = (line, number()? >= 0);
            for _ in 0..number()? {
                let (length, fine) = reply(bytes.get(at..)?, depth - 1)?;
                at += length;
                good &= fine;
            }
            Some((at, good))
        }
        _ => Some((line, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_answered_when_its_last_reply_is_there() {
        let request = Resp::new(&["MULTI", "SET t:{} 1 EX 900", "EXEC"]);
        let mut out = Vec::new();
        request.write(b"7", &mut out);
        assert!(out.starts_with(b"*1\r\n$5\r\nMULTI\r\n*5\r\n$3\r\nSET\r\n$3\r\nt:7\r\n$1\r\n1\r\n"));
        let answer = b"+OK\r\n+QUEUED\r\n*2\r\n+OK\r\n$3\r\n1-0\r\n";
        for end in 0..answer.len() {
            assert!(matches!(request.read(&answer[..end]), Read::Part), "{end}");
        }
        assert!(matches!(request.read(answer), Read::Whole { good: true, .. }));
    }

    #[test]
    fn an_error_or_nothing_is_no_right_answer() {
        for answer in [&b"-MISCONF no\r\n"[..], b"$-1\r\n", b"*-1\r\n", b"*1\r\n-no\r\n"] {
            assert!(matches!(Resp::new(&["GET {}"]).read(answer), Read::Whole { good: false, .. }));
        }
    }
}
