//! Credentials: what the bearer presents, what the ledger keeps, and the public name.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use uuid::Uuid;

use super::ids::{Issuer, Malformed, TokenId};

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A single-purpose bearer secret with a sliding life: Crafter's ticket.
    Ticket,
    /// A logged-in device.
    Session,
    /// A bearer token: a JWT or an opaque one.
    Token,
}

impl Kind {
    /// Every kind, in the order that records list them.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::Session, Self::Token];

    /// The kind's name in records and bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// This kind's place in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl FromStr for Kind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(Malformed("one of ticket, session, token"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self(0b111);

    /// The set without members.
    pub const NONE: Self = Self(0);

    /// Whether the set holds that kind.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind.index()) != 0
    }

    /// Whether the two sets have a kind in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set has no members.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind.index()))
    }
}

/// What the bearer presents. It can be neither printed nor serialised; [`Secret::expose`] is the one way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret, exactly as presented or minted.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret in clear, for its owner's answer only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the ledger keeps of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

const DIGEST_CONTEXT: &[u8] = b"authledger credential digest v1\n";
const PAYLOAD_CONTEXT: &[u8] = b"authledger token payload v1\n";
const IDENTITY_CONTEXT: &[u8] = b"authledger token identity v1\n";

fn sha256(context: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(context);
    parts.iter().for_each(|part| hash.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

/// What the ledger keeps of a secret: `SHA-256("authledger credential digest v1\n" || secret)`.
///
/// Unsalted, because a secret carries 122 random bits or more, so that there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret's bytes.
    pub fn of(secret: &[u8]) -> Self {
        Self(sha256(DIGEST_CONTEXT, &[secret]))
    }

    /// What a JWT without `jti` is known by: its decoded payload, because its signature has many spellings.
    pub fn of_payload(payload: &[u8]) -> Self {
        Self(sha256(PAYLOAD_CONTEXT, &[payload]))
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public name of a ticket or opaque token: the first 16 bytes.
    pub fn id(&self) -> CredentialId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        CredentialId(id)
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        hex::parse(text).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// What a credential is kept under, unique within its kind: a session's UUID; of a ticket or opaque token the digest's first
/// 16 bytes; of a JWT 16 bytes that follow from its issuer and `jti`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId([u8; 16]);

/// A credential of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialKey {
    /// What it is.
    pub kind: Kind,
    /// What it is kept under.
    pub id: CredentialId,
}

impl CredentialId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A session's.
    pub const fn of_session(id: Uuid) -> Self {
        Self(id.into_bytes())
    }

    /// A JWT's. Names hold no control characters, so issuer and `jti` can't run together.
    pub fn of_jwt(issuer: &Issuer, jti: &TokenId) -> Self {
        Digest(sha256(IDENTITY_CONTEXT, &[issuer.as_str().as_bytes(), b"\n", jti.as_str().as_bytes()])).id()
    }

    /// The bytes as a UUID: a session's public id.
    pub const fn uuid(self) -> Uuid {
        Uuid::from_bytes(self.0)
    }

    /// Reads the public form: 32 hexadecimal digits, or for a session a UUID. A JWT is named by its `jti` instead.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Malformed> {
        match kind {
            Kind::Session => Uuid::parse_str(text).map(|id| Self(id.into_bytes())).map_err(|_| Malformed("a UUID")),
            Kind::Ticket | Kind::Token => hex::parse(text).map(Self),
        }
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// Lower-case hexadecimal, the form of every digest in records and bodies.
pub mod hex {
    use std::fmt;

    use super::Malformed;

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    /// Writes the digits without allocating.
    pub fn write(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
        // In pieces of 32 bytes: what is written to escapes and copies each piece on its own.
        for piece in bytes.chunks(32) {
            let mut digits = [0; 64];
            for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
                pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            f.write_str(std::str::from_utf8(&digits[..piece.len() * 2]).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }

    /// Appends the digits to a buffer.
    pub fn push(bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }

    /// The digits as text.
    pub fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() * 2);
        // Writing to a String can't fail.
        let _ = write(bytes, &mut text);
        text
    }

    /// Reads exactly `N` bytes from lower-case digits.
    pub fn parse<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
        const FORM: Malformed = Malformed("lower-case hexadecimal digits of the right number");
        let digits = text.as_bytes();
        if digits.len() != N * 2 {
            return Err(FORM);
        }
        let (mut bytes, mut seen) = ([0; N], 0);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
            // Looked at once, behind the loop: every audit reads millions of digests.
            seen |= high | low;
            *byte = high << 4 | low & 15;
        }
        if seen == NO_DIGIT { Err(FORM) } else { Ok(bytes) }
    }

    /// What stands in [`VALUES`] for a byte that is no digit: every bit, so that it shows in what it is joined with.
    const NO_DIGIT: u8 = 0xff;

    /// The value of each byte as a digit.
    const VALUES: [u8; 256] = {
        let (mut values, mut value) = ([NO_DIGIT; 256], 0);
        while value < DIGITS.len() {
            values[DIGITS[value] as usize] = value as u8;
            value += 1;
        }
        values
    };
}
