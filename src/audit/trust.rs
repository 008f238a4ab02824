//! The trusted keys: those that are known from elsewhere, and those that the origins were opened with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::flaw::{EvidenceCheckError, Flaw};
use super::report::Report;
use crate::domain::Origin;
use crate::tlog::{
    Checkpoint, CosignatureWorth, KeyName, MAX_NOTE_BYTES, SignedNote, VerifierKey, WitnessKey, cosignatures,
};

/// The knowledge from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys, which take precedence over those in the log.
    pub keys: Vec<VerifierKey>,
    /// Keys of witnesses, for cosignatures of checkpoints.
    pub witnesses: Vec<WitnessKey>,
    /// Checkpoints of earlier days.
    pub checkpoints: Vec<KeptCheckpoint>,
}

/// A checkpoint as it was kept.
#[derive(Clone, Debug)]
pub struct KeptCheckpoint {
    /// Its place: a file.
    pub place: String,
    /// The note.
    pub text: String,
    /// The origin that its place names, if it does.
    pub origin: Option<Origin>,
}

/// The public key that each origin was opened with.
pub(super) type Openings = BTreeMap<Origin, [u8; 32]>;

/// A checkpoint that is trusted, and its origin.
pub(super) struct Believed {
    pub(super) origin: Origin,
    pub(super) checkpoint: Checkpoint,
}

impl KeptCheckpoint {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, EvidenceCheckError> {
        let text = text(path, MAX_NOTE_BYTES as u64)?;
        Ok(Self { place: path.display().to_string(), text, origin: None })
    }

    /// The size that it claims.
    pub(super) fn size(&self) -> Option<u64> {
        self.parsed().map(|(_, said)| said.size)
    }

    /// The note and what it claims.
    pub(super) fn parsed(&self) -> Option<(SignedNote, Checkpoint)> {
        let note = SignedNote::parse(&self.text).ok()?;
        let said = Checkpoint::parse(note.text()).ok()?;
        Some((note, said))
    }
}

impl Trust {
    pub(super) fn key(&self, name: &KeyName) -> Option<&VerifierKey> {
        self.keys.iter().find(|key| key.name() == name)
    }

    /// The checkpoint, if it is signed with a known key, and the origin of that key.
    pub(super) fn believe(&self, kept: &KeptCheckpoint, openings: &Openings) -> Result<Believed, Flaw> {
        let malformed = |error| Flaw::Malformed(format!("{error}"));
        let note = SignedNote::parse(&kept.text).map_err(malformed)?;
        let said = Checkpoint::parse(note.text())?;
        let pinned = self.key(&said.origin);
        let signed_with = |(_, public): &(&Origin, &[u8; 32])| {
            Checkpoint::open(&note, &VerifierKey::new(said.origin.clone(), **public)).is_ok()
        };
        let named = kept.origin.or_else(|| said.origin.origin()).filter(|origin| openings.contains_key(origin));
        let origin = named.or_else(|| openings.iter().find(signed_with).map(|(origin, _)| *origin));
        let opened_with = origin.and_then(|origin| openings.get(&origin));
        match (pinned, origin, opened_with) {
            (Some(pinned), Some(origin), Some(public)) if pinned.public() != public => {
                Err(Flaw::OtherKey { origin, name: said.origin })
            }
            (_, Some(origin), Some(public)) => {
                let checkpoint = Checkpoint::open(&note, &VerifierKey::new(said.origin, *public))?;
                Ok(Believed { origin, checkpoint })
            }
            (Some(pinned), ..) => {
                Checkpoint::open(&note, pinned)?;
                Err(Flaw::NoOrigin(said.origin))
            }
            _ => Err(Flaw::NoOrigin(said.origin)),
        }
    }

    /// Reports the cosignatures of a checkpoint that its log has signed. One with an unknown key shows nothing, and is not a flaw.
    pub(super) fn report_cosignatures(&self, place: &str, note: &SignedNote, log: &KeyName, report: &mut Report) {
        for cosignature in cosignatures(note, log, &self.witnesses) {
            match cosignature.worth {
                CosignatureWorth::Verified(_) | CosignatureWorth::Unknown => {
                    report.hold(place, cosignature.to_string());
                }
                CosignatureWorth::Wrong => report.find(place, Flaw::Cosignature(cosignature.name)),
            }
        }
    }

    /// The keys that fit no origin of the log, each with the flaw.
    pub(super) fn unmet(&self, openings: &Openings) -> Vec<(KeyName, Flaw)> {
        let unmet = |key: &VerifierKey| {
            if openings.values().any(|public| public == key.public()) {
                return None;
            }
            let name = key.name().clone();
            let flaw = match name.origin().filter(|origin| openings.contains_key(origin)) {
                Some(origin) => Flaw::OtherKey { origin, name: name.clone() },
                None => Flaw::NoOrigin(name.clone()),
            };
            Some((name, flaw))
        };
        self.keys.iter().filter_map(unmet).collect()
    }
}

/// A file's text: bytes that are not UTF-8 are replaced, and break any signature that covers them.
pub(super) fn text(path: &Path, most: u64) -> Result<String, EvidenceCheckError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(EvidenceCheckError::io("open", path))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(EvidenceCheckError::io("read", path))?;
    if bytes.len() as u64 > most {
        return Err(EvidenceCheckError::TooLong { path: path.to_owned(), most });
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
