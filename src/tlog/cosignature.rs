//! Cosignatures: what witnesses add to a checkpoint to say that they have seen it (C2SP `tlog-cosignature`, version 1).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::note::{KeyKind, KeyName, SignedNote, VerifierKeyError, read_key, show_key};

/// A signature with the time in it: 8 bytes of seconds since 1970, and 64 of Ed25519.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// The key of a witness, written as `NAME+ID+KEY` like a log's, with another mark.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: KeyName,
    public: [u8; 32],
}

impl WitnessKey {
    /// The key of that name: RFC 8032, 32 bytes.
    pub fn new(name: KeyName, public: [u8; 32]) -> Self {
        Self { name, public }
    }

    /// The name of the witness.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Enough of a hash of name and key to find the right signature.
    pub fn id(&self) -> u32 {
        KeyKind::Witness.id(&self.name, &self.public)
    }

    /// The seconds since 1970 at which the witness has cosigned this text, if the signature is right.
    fn verify(&self, text: &str, cosignature: &[u8]) -> Option<u64> {
        let (seconds, signature) = cosignature.split_first_chunk::<8>()?;
        let seconds = u64::from_be_bytes(*seconds);
        let signed = signed_text(text, seconds);
        let public = UnparsedPublicKey::new(&ED25519, &self.public);
        (cosignature.len() == COSIGNATURE_BYTES && public.verify(signed.as_bytes(), signature).is_ok())
            .then_some(seconds)
    }
}

/// What a witness signs to cosign a checkpoint's text at that time, in seconds since 1970.
pub fn signed_text(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl FromStr for WitnessKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        read_key(text, KeyKind::Witness).map(|(name, public)| Self { name, public })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_key(KeyKind::Witness, &self.name, &self.public))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signature on a checkpoint that is not its log's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The name on the signature, which nobody vouches for unless it is verified.
    pub name: KeyName,
    /// The id of the key that it names.
    pub id: u32,
    /// What it is worth.
    pub worth: CosignatureWorth,
}

/// What a cosignature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosignatureWorth {
    /// A known witness has seen the checkpoint, at that time in seconds since 1970.
    Verified(u64),
    /// The key is not known, so it shows nothing.
    Unknown,
    /// The key is known, and the signature does not fit the text.
    Wrong,
}

/// The signatures on a checkpoint except those in the name of its log, in their order.
pub fn cosignatures(note: &SignedNote, log: &KeyName, witnesses: &[WitnessKey]) -> Vec<Cosignature> {
    let judge = |(name, id, signature): (KeyName, u32, Vec<u8>)| {
        let known = witnesses.iter().find(|witness| *witness.name() == name && witness.id() == id);
        let worth = match known.map(|witness| witness.verify(note.text(), &signature)) {
            Some(Some(seconds)) => CosignatureWorth::Verified(seconds),
            Some(None) => CosignatureWorth::Wrong,
            None => CosignatureWorth::Unknown,
        };
        Cosignature { name, id, worth }
    };
    let all = note.signed_by().map(judge);
    all.filter(|one| one.name != *log || one.worth != CosignatureWorth::Unknown).collect()
}

impl fmt::Display for Cosignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, worth } = self;
        match worth {
            CosignatureWorth::Verified(seconds) => match i64::try_from(*seconds).map(jiff::Timestamp::from_second) {
                Ok(Ok(at)) => write!(f, "cosigned by {name} at {at}"),
                _ => write!(f, "cosigned by {name} at {seconds} seconds since 1970"),
            },
            CosignatureWorth::Unknown => write!(f, "a cosignature in the name of {name} with the unknown key {id:08x}"),
            CosignatureWorth::Wrong => write!(f, "the cosignature of {name} does not fit the text"),
        }
    }
}
