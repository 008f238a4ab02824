//! The keys that sign the ledger's JWTs, as the log publishes them. Private keys are not in any record.

use super::event::KeyPublished;
use super::ids::RecordId;
use super::time::{RETENTION_MARGIN_MILLIS, Timestamp};

/// The folded state of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningKeyState {
    /// Its publication, by the earliest record if there are several.
    pub published: Option<(RecordId, KeyPublished)>,
    /// Whether it no longer signs.
    pub retired: bool,
    /// Whether it no longer verifies: its tokens were revoked with it, and a thief who has it could sign others.
    pub withdrawn: bool,
    /// When the last token that it signed expires.
    pub last_expiry: Timestamp,
}

impl SigningKeyState {
    /// The key, if it may verify at `now`: it still signs, or a token that it signed may still be active.
    pub fn verifies(&self, now: Timestamp) -> Option<&KeyPublished> {
        let in_use = !self.retired || now < self.published_until();
        self.published.as_ref().filter(|_| in_use && !self.withdrawn).map(|(_, key)| key)
    }

    /// Until when it is published once it is retired.
    pub fn published_until(&self) -> Timestamp {
        self.last_expiry.plus_millis(RETENTION_MARGIN_MILLIS)
    }

    /// The key and its publication, if it signs or is to sign.
    pub fn into_signing(self) -> Option<(RecordId, KeyPublished)> {
        self.published.filter(|_| !self.retired)
    }

    /// Whether it has signed a token.
    pub fn has_signed(&self) -> bool {
        self.last_expiry > Timestamp::default()
    }

    /// What others see of it, and what decides which key signs: two equal ones make the same published set. The expiry
    /// of its last token changes with each token, so it is a part only once the key is retired.
    pub fn standing(&self) -> (Option<RecordId>, bool, bool, Option<Timestamp>) {
        let last_expiry = (self.retired || !self.has_signed()).then_some(self.last_expiry);
        (self.published.as_ref().map(|(place, _)| *place), self.retired, self.withdrawn, last_expiry)
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        self.published = match (self.published.take(), other.published) {
            (Some(mine), Some(other)) => Some(if mine.0 <= other.0 { mine } else { other }),
            (mine, other) => mine.or(other),
        };
        self.retired |= other.retired;
        self.withdrawn |= other.withdrawn;
        self.last_expiry = self.last_expiry.max(other.last_expiry);
    }
}
