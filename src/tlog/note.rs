//! Signed notes: text with Ed25519 signatures below it (C2SP `signed-note`).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::Origin;

/// The longest note that is read, in bytes: a checkpoint with all the cosignatures that anybody collects is a few thousand.
pub const MAX_NOTE_BYTES: usize = 64 * 1_024;
/// The most signatures that are read.
const MAX_SIGNATURES: usize = 100;
/// The prefix of a log's name that is made from its origin.
const ORIGIN_PREFIX: &str = "authledger/";
const LINE_START: &str = "\u{2014} ";

/// The use of an Ed25519 key, which its mark in a verifier key and in its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// It signs notes (`signed-note`).
    Signer = 0x01,
    /// It signs notes together with the time (`tlog-cosignature`).
    Witness = 0x04,
}

impl KeyKind {
    /// The first four bytes of `SHA-256(name || 0x0A || mark || key)`, big-endian.
    pub(super) fn id(self, name: &KeyName, public: &[u8; 32]) -> u32 {
        let mut context = Context::new(&SHA256);
        context.update(name.as_str().as_bytes());
        context.update(&[b'\n', self as u8]);
        context.update(public);
        let digest = context.finish();
        digest.as_ref().iter().take(4).fold(0, |id, byte| id << 8 | u32::from(*byte))
    }
}

/// The name of a signer: 1 to 255 bytes without spaces, control characters and plus signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The most bytes of a name.
    pub const MAX_BYTES: usize = 255;

    /// Takes a name that is well formed.
    pub fn new(name: &str) -> Option<Self> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        (!name.is_empty() && name.len() <= Self::MAX_BYTES && !name.contains(bad)).then(|| Self(name.into()))
    }

    /// The name of an origin's log unless its operator chose another name.
    pub fn of_origin(origin: Origin) -> Self {
        Self(format!("{ORIGIN_PREFIX}{origin}").into())
    }

    /// The origin in the name; a name that an operator chose has none.
    pub fn origin(&self) -> Option<Origin> {
        self.0.strip_prefix(ORIGIN_PREFIX)?.parse().ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key to check a note with: a name and an Ed25519 public key, written as `NAME+ID+KEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of that name: RFC 8032, 32 bytes.
    pub fn new(name: KeyName, public: [u8; 32]) -> Self {
        Self { name, public }
    }

    /// The name of its owner.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Enough of a hash of name and key to find the right signature.
    pub fn id(&self) -> u32 {
        KeyKind::Signer.id(&self.name, &self.public)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_key(KeyKind::Signer, &self.name, &self.public))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Parts are missing or malformed.
    #[error("a verifier key is NAME+ID+KEY, with 8 hexadecimal digits and base64 (c2sp.org/signed-note)")]
    Form,
    /// Another algorithm.
    #[error(
        "this verifier key is of another type: a log's key is Ed25519 (type 1), and a witness's signs cosignatures (type 4)"
    )]
    Algorithm,
    /// The id does not follow from name and key.
    #[error("this verifier key's id is not that of its name and key: a character was changed or lost")]
    Id,
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        read_key(text, KeyKind::Signer).map(|(name, public)| Self { name, public })
    }
}

/// The name and the key that a verifier key of that kind holds.
pub(super) fn read_key(text: &str, kind: KeyKind) -> Result<(KeyName, [u8; 32]), VerifierKeyError> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(VerifierKeyError::Form);
    };
    let name = KeyName::new(name).ok_or(VerifierKeyError::Form)?;
    let key = STANDARD.decode(key).map_err(|_| VerifierKeyError::Form)?;
    let (mark, public) = key.split_first().ok_or(VerifierKeyError::Form)?;
    if *mark != kind as u8 {
        return Err(VerifierKeyError::Algorithm);
    }
    let public = public.try_into().map_err(|_| VerifierKeyError::Form)?;
    if format!("{:08x}", kind.id(&name, &public)) == id { Ok((name, public)) } else { Err(VerifierKeyError::Id) }
}

/// A verifier key of that kind as text.
pub(super) fn show_key(kind: KeyKind, name: &KeyName, public: &[u8; 32]) -> String {
    let mut key = vec![kind as u8];
    key.extend_from_slice(public);
    format!("{name}+{:08x}+{}", kind.id(name, public), STANDARD.encode(key))
}

/// Why a note is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a note.
    #[error("it is not a signed note: text, an empty line, and lines of signatures, {MAX_NOTE_BYTES} bytes at most")]
    Form,
    /// It has no signature with the known key.
    #[error("it has no signature of {name} with the key whose id is {id:08x}")]
    Unsigned {
        /// The name of the signer.
        name: KeyName,
        /// The id of the signer's key.
        id: u32,
    },
    /// The signature does not fit this text.
    #[error("the signature of {0} does not fit the text")]
    Signature(KeyName),
}

/// A note: its text and what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    note: Box<str>,
    text_bytes: usize,
}

impl SignedNote {
    /// Signs a text, which ends in a line feed. `sign` makes the Ed25519 signature over the given bytes.
    pub fn sign(text: &str, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let mut signature = key.id().to_be_bytes().to_vec();
        signature.extend_from_slice(&sign(text.as_bytes()));
        let note = format!("{text}\n{LINE_START}{} {}\n", key.name, STANDARD.encode(signature));
        Self { note: note.into(), text_bytes: text.len() }
    }

    /// Parses a note. Its text is not trusted before [`SignedNote::open`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let control = |byte: u8| byte < 0x20 && byte != b'\n';
        if note.len() > MAX_NOTE_BYTES || note.bytes().any(control) || !note.ends_with('\n') {
            return Err(NoteError::Form);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let parsed = Self { note: note.into(), text_bytes: text.len() + 1 };
        let lines = signatures.lines().count();
        if !(1..=MAX_SIGNATURES).contains(&lines) || parsed.signatures().count() != lines {
            return Err(NoteError::Form);
        }
        Ok(parsed)
    }

    /// The text, if that key has signed it. Other signatures are ignored.
    pub fn open(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let id = key.id();
        let own =
            |(name, signature): &(&str, Vec<u8>)| *name == key.name.as_str() && signature[..4] == id.to_be_bytes();
        let mut found = self.signatures().filter(own).peekable();
        if found.peek().is_none() {
            return Err(NoteError::Unsigned { name: key.name.clone(), id });
        }
        let public = UnparsedPublicKey::new(&ED25519, &key.public);
        let fits = |(_, signature): (&str, Vec<u8>)| public.verify(self.text().as_bytes(), &signature[4..]).is_ok();
        if found.all(fits) { Ok(self.text()) } else { Err(NoteError::Signature(key.name.clone())) }
    }

    /// The text with its last line feed; without opening the note, there is no reason to trust it.
    pub fn text(&self) -> &str {
        &self.note[..self.text_bytes]
    }

    /// The whole note.
    pub fn as_str(&self) -> &str {
        &self.note
    }

    /// The names on the signatures, with the ids of their keys and the bytes after those.
    pub(super) fn signed_by(&self) -> impl Iterator<Item = (KeyName, u32, Vec<u8>)> {
        self.signatures().filter_map(|(name, signature)| {
            let (id, signature) = signature.split_first_chunk::<4>()?;
            Some((KeyName::new(name)?, u32::from_be_bytes(*id), signature.to_vec()))
        })
    }

    /// The signers with their signatures: four bytes of id, and a signature after them.
    fn signatures(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.note[self.text_bytes + 1..].lines().filter_map(|line| {
            let (name, signature) = line.strip_prefix(LINE_START)?.split_once(' ')?;
            KeyName::new(name)?;
            Some((name, STANDARD.decode(signature).ok().filter(|signature| signature.len() > 4)?))
        })
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.note)
    }
}
