//! Announcements: a node's statements about itself, at least once a second. Each replaces the earlier ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::sign::{Signature, verify};
use crate::domain::{LedgerId, NodeKey, Origin, Region, Sequence, Timestamp, hex};
use crate::event_log::{ChainHash, Head};
use crate::json;

/// The largest announcement, in bytes.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 256 << 10;
/// The most origins in an announcement.
const MAX_ORIGINS: usize = 4_096;
/// The most incarnations that an announcement supersedes.
pub const MAX_SUPERSEDED: usize = 64;

/// One run of a node's process: of two runs at the same time at most one is really that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub Uuid);

/// A node's statements about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub ledger: LedgerId,
    /// The speaking node.
    pub node: NodeKey,
    /// Its run.
    pub incarnation: Incarnation,
    /// The runs before this one, whose announcements no longer count.
    pub supersedes: Vec<Incarnation>,
    /// Counts this run's announcements: of two the greater is the later.
    pub number: u64,
    /// Its clock.
    pub now: Timestamp,
    pub region: Region,
    /// Its own origin.
    pub origin: Origin,
    /// The head of that origin.
    pub head: Head,
    /// How far it has applied every origin, its own included.
    pub applied: BTreeMap<Origin, Sequence>,
    /// The broker's stream that its records are in.
    pub stream: Option<Box<str>>,
    /// It is about to stop.
    pub farewell: bool,
}

/// An announcement as it is carried, with its content.
#[derive(Clone, Debug)]
pub struct CarriedAnnouncement {
    pub text: Box<[u8]>,
    /// The content.
    pub announcement: Announcement,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedAnnouncement<'a> {
    #[serde(borrow)]
    announcement: &'a RawValue,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnouncementText {
    ledger: Uuid,
    node: String,
    incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    supersedes: Vec<Incarnation>,
    number: u64,
    now: u64,
    region: String,
    origin: String,
    sequence: u64,
    hash: String,
    applied: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    farewell: bool,
}

impl Announcement {
    /// The text that is carried, signed.
    pub fn speak(self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> CarriedAnnouncement {
        let said = json::raw(&AnnouncementText::from(&self));
        let signature = Signature(sign(&message(said.get()))).to_string();
        let text = json::bytes(&SignedAnnouncement { announcement: &said, signature });
        CarriedAnnouncement { text: text.into(), announcement: self }
    }
}

/// An announcement whose signature has not been verified: that costs more than to see whether its node is a member.
pub struct Unverified<'a> {
    text: &'a [u8],
    signed: &'a str,
    signature: Signature,
    announcement: Announcement,
}

impl CarriedAnnouncement {
    /// Parses a text. Nothing, if it is not an announcement.
    pub fn read(text: &[u8]) -> Option<Unverified<'_>> {
        if text.len() > MAX_ANNOUNCEMENT_BYTES {
            return None;
        }
        let SignedAnnouncement { announcement: signed, signature } = serde_json::from_slice(text).ok()?;
        let form: AnnouncementText = serde_json::from_str(signed.get()).ok()?;
        let announcement = form.into_announcement()?;
        Some(Unverified { text, signed: signed.get(), signature: signature.parse().ok()?, announcement })
    }

    /// The same, if the node whose key it names has signed it. Whether that node is a member is another question.
    pub fn hear(text: &[u8]) -> Option<Self> {
        Self::read(text)?.verified()
    }
}

impl Unverified<'_> {
    /// The ledger and the node in it.
    pub const fn of(&self) -> (LedgerId, NodeKey) {
        (self.announcement.ledger, self.announcement.node)
    }

    /// The content, for a caller that has it from one that has verified it.
    pub fn said(self) -> Announcement {
        self.announcement
    }

    /// The announcement, if the node whose key it names has signed it.
    pub fn verified(self) -> Option<CarriedAnnouncement> {
        let is_signed = verify(self.announcement.node, &message(self.signed), &self.signature);
        is_signed.then(|| CarriedAnnouncement { text: self.text.into(), announcement: self.announcement })
    }
}

/// The signed message: `schema/replication.md`.
fn message(said: &str) -> Vec<u8> {
    format!("authledger announcement v1\n{said}").into_bytes()
}

impl From<&Announcement> for AnnouncementText {
    fn from(said: &Announcement) -> Self {
        Self {
            ledger: said.ledger.0,
            node: said.node.to_string(),
            incarnation: said.incarnation,
            supersedes: said.supersedes.clone(),
            number: said.number,
            now: said.now.as_millis(),
            region: said.region.as_str().to_owned(),
            origin: said.origin.to_string(),
            sequence: said.head.sequence.0,
            hash: hex::encode(&said.head.hash.0),
            applied: said.applied.iter().map(|(origin, sequence)| (origin.to_string(), sequence.0)).collect(),
            stream: said.stream.clone(),
            farewell: said.farewell,
        }
    }
}

impl AnnouncementText {
    fn into_announcement(self) -> Option<Announcement> {
        if self.applied.len() > MAX_ORIGINS || self.supersedes.len() > MAX_SUPERSEDED {
            return None;
        }
        let applied = self.applied.iter().map(|(origin, sequence)| Some((origin.parse().ok()?, Sequence(*sequence))));
        Some(Announcement {
            ledger: LedgerId(self.ledger),
            node: self.node.parse().ok()?,
            incarnation: self.incarnation,
            supersedes: self.supersedes,
            number: self.number,
            now: Timestamp::from_millis(self.now)?,
            region: Region::new(&self.region).ok()?,
            origin: self.origin.parse().ok()?,
            head: Head { sequence: Sequence(self.sequence), hash: ChainHash(hex::parse(&self.hash).ok()?) },
            applied: applied.collect::<Option<_>>()?,
            stream: self.stream,
            farewell: self.farewell,
        })
    }
}
