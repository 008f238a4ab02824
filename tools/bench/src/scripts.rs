//! What connections ask, and what they remember of the answers.

use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

use crate::load::Script;
use crate::ours::Acknowledged;

/// Bytes of a ticket: a UUID.
pub const TICKET_BYTES: usize = 36;
/// One of so many answers is remembered to be looked for in the log.
const SAMPLE_EVERY: u64 = 1_009;

/// Asks the same again and again.
pub struct Same(pub &'static [u8]);

impl Script for Same {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        slot.extend_from_slice(self.0);
        true
    }
}

/// Names that nobody else has: a prefix, and a number of ten digits.
pub struct Numbered {
    prefix: String,
    number: u64,
}

impl Numbered {
    /// Those that begin with the prefix.
    pub fn new(prefix: String) -> Self {
        Self { prefix, number: 0 }
    }
}

impl Script for Numbered {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        slot.extend_from_slice(self.prefix.as_bytes());
        let (mut digits, mut rest) = ([b'0'; 10], self.number);
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        slot.extend_from_slice(&digits);
        self.number += 1;
        true
    }
}

/// Issues tickets, and remembers them.
pub struct Issue {
    subjects: Numbered,
    /// The secrets, for those who use them up.
    pub tickets: Vec<[u8; TICKET_BYTES]>,
    /// Some of what was acknowledged.
    pub sample: Vec<Acknowledged>,
    answered: u64,
}

impl Issue {
    /// For subjects whose names begin with the prefix.
    pub fn new(prefix: String) -> Self {
        Self { subjects: Numbered::new(prefix), tickets: Vec::new(), sample: Vec::new(), answered: 0 }
    }
}

impl Script for Issue {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        self.subjects.next(slot)
    }

    fn answered(&mut self, body: &[u8]) {
        let ticket = text(body, b"\"ticket\":\"", TICKET_BYTES);
        self.tickets.extend(ticket.and_then(|ticket| <[u8; TICKET_BYTES]>::try_from(ticket).ok()));
        if self.answered.is_multiple_of(SAMPLE_EVERY) {
            self.sample.extend(acknowledged(body));
        }
        self.answered += 1;
    }
}

/// Issues sessions or tokens, and remembers their secrets.
pub struct Remember {
    subjects: Numbered,
    /// How many more to ask for.
    left: usize,
    /// What stands before the secret in an answer.
    member: &'static [u8],
    /// The secrets.
    pub secrets: Vec<Box<[u8]>>,
}

impl Remember {
    /// So many, of which the answers hold the secret as that member.
    pub fn new(prefix: String, count: usize, member: &'static [u8]) -> Self {
        Self { subjects: Numbered::new(prefix), left: count, member, secrets: Vec::new() }
    }
}

impl Script for Remember {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.subjects.next(slot)
    }

    fn answered(&mut self, body: &[u8]) {
        let Some(start) = memmem::find(body, self.member).map(|at| at + self.member.len()) else { return };
        let end = memchr::memchr(b'"', &body[start..]).unwrap_or(0);
        self.secrets.push(body[start..start + end].into());
    }
}

/// Asks about each of a list once, whichever connection is free.
pub struct Drain<T>(Arc<Mutex<Vec<T>>>);

impl<T> Drain<T> {
    /// The list, for so many connections.
    pub fn shared(list: Vec<T>, connections: usize) -> Vec<Self> {
        let list = Arc::new(Mutex::new(list));
        (0..connections).map(|_| Self(list.clone())).collect()
    }
}

impl<T: AsRef<[u8]> + Send> Script for Drain<T> {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(one) = taken else { return false };
        slot.extend_from_slice(one.as_ref());
        true
    }
}

/// Asks about those in a list, over and over, each connection from a place of its own and in steps, so that neighbours in the list are
/// not asked about one after the other.
pub struct Cycle<T> {
    all: Arc<Vec<T>>,
    at: usize,
}

/// A prime, larger than any list's neighbourhood that a cache could hold.
const STRIDE: usize = 7_919;

impl<T> Cycle<T> {
    /// From the place of that connection.
    pub fn new(all: Arc<Vec<T>>, connection: usize, connections: usize) -> Self {
        let at = all.len() / connections.max(1) * connection;
        Self { all, at }
    }
}

impl<T: AsRef<[u8]> + Send + Sync> Script for Cycle<T> {
    fn next(&mut self, slot: &mut Vec<u8>) -> bool {
        let Some(one) = self.all.get(self.at) else { return false };
        slot.extend_from_slice(one.as_ref());
        self.at = (self.at + STRIDE) % self.all.len();
        true
    }
}

fn text<'a>(body: &'a [u8], before: &[u8], length: usize) -> Option<&'a [u8]> {
    let start = memmem::find(body, before)? + before.len();
    body.get(start..start + length)
}

fn acknowledged(body: &[u8]) -> Option<Acknowledged> {
    let id = String::from_utf8(text(body, b"\"id\":\"", 32)?.to_vec()).ok()?;
    let at = memmem::find(body, b"\"position\":")? + b"\"position\":".len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(Acknowledged { id, position: digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_command_is_remembered() {
        let mut issue = Issue::new("s-".into());
        let (id, ticket) = ("0".repeat(32), "f".repeat(TICKET_BYTES));
        issue.answered(format!(r#"{{"ticket":"{ticket}","id":"{id}","tenant":"default","position":4711}}"#).as_bytes());
        assert_eq!(issue.sample, [Acknowledged { id, position: 4711 }]);
        assert_eq!(issue.tickets, [[b'f'; TICKET_BYTES]]);
    }

    #[test]
    fn a_cycle_comes_to_all_of_its_list() {
        let all: Arc<Vec<String>> = Arc::new((0..100).map(|number| number.to_string()).collect());
        let mut cycle = Cycle::new(all, 1, 4);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut slot = Vec::new();
            assert!(cycle.next(&mut slot));
            seen.insert(slot);
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn names_are_numbered_and_differ() {
        let mut names = Numbered::new("a-".into());
        let mut slot = Vec::new();
        assert!(names.next(&mut slot) && names.next(&mut slot));
        assert_eq!(slot, b"a-0000000000a-0000000001");
    }
}
