//! Requests between nodes: signed by the asking node, because application secrets do not count here.

use std::fmt;
use std::str::FromStr;

use super::sign::{Signature, verify};
use crate::domain::{LedgerId, Malformed, NodeKey, Timestamp};

/// How old a request may be, or how far ahead: milliseconds. A repetition within that time changes nothing.
pub const MAX_REQUEST_AGE_MILLIS: u64 = 60_000;

/// The asking node, the time, and the signature over the request: `Authorization: Authledger-Node
/// KEY.MILLISECONDS.SIGNATURE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSignature {
    /// The asking node.
    pub node: NodeKey,
    /// The time, by its clock.
    pub at: Timestamp,
    signature: Signature,
}

impl RequestSignature {
    /// The scheme of the header.
    pub const SCHEME: &str = "Authledger-Node ";

    /// Signs a request: its method, its path with the query, and its body.
    pub fn sign(
        node: NodeKey,
        ledger: LedgerId,
        at: Timestamp,
        asked: (&str, &str, &[u8]),
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        Self { node, at, signature: Signature(sign(&message(ledger, at, asked))) }
    }

    /// Whether that node signed this request.
    pub fn is_of(&self, ledger: LedgerId, asked: (&str, &str, &[u8])) -> bool {
        verify(self.node, &message(ledger, self.at, asked), &self.signature)
    }

    /// Whether it was made about now.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_millis().abs_diff(self.at.as_millis()) <= MAX_REQUEST_AGE_MILLIS
    }
}

fn message(ledger: LedgerId, at: Timestamp, (method, path, body): (&str, &str, &[u8])) -> Vec<u8> {
    let body = blake3::hash(body).to_hex();
    format!("authledger request v1\n{ledger}\n{}\n{method}\n{path}\n{body}\n", at.as_millis()).into_bytes()
}

impl fmt::Display for RequestSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}.{}", Self::SCHEME, self.node, self.at.as_millis(), self.signature)
    }
}

impl FromStr for RequestSignature {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("Authledger-Node, a key, milliseconds and a signature");
        let mut parts = text.strip_prefix(Self::SCHEME).ok_or(FORM)?.splitn(3, '.');
        let mut part = || parts.next().ok_or(FORM);
        let (node, at) = (part()?.parse()?, part()?.parse().map_err(|_| FORM)?);
        let at = Timestamp::from_millis(at).ok_or(FORM)?;
        Ok(Self { node, at, signature: part()?.parse()? })
    }
}
