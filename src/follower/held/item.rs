//! A revocation as the stream and the snapshot have it in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::TooManyKeys;
use crate::compact::{AgeLimit, Change, ItemParts, MarkKey};
use crate::domain::{Kind, Origin, Sequence, Timestamp};

/// A revocation. Members that are not listed do not matter to a follower.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RevocationItem {
    #[serde(rename = "type")]
    pub type_name: String,
    pub tenant: Option<String>,
    pub subject: Option<String>,
    pub kind: Option<String>,
    pub id: Option<String>,
    pub digest: Option<String>,
    pub iss: Option<String>,
    pub jti: Option<String>,
    pub payload: Option<String>,
    /// Absent: the ledger knew the credential, and its subject.
    pub known: Option<bool>,
    /// What the revoked credentials have in common: one of `application`, `key`, `issuer` and `tenant`.
    pub cohort: Option<BTreeMap<String, String>>,
    /// The cohort is a key that nobody may use any more.
    #[serde(default)]
    pub withdrawn: bool,
    #[serde(default)]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub generation: BTreeMap<String, u64>,
    #[serde(default)]
    pub not_before: u64,
    /// Seconds since 1970, with a fraction: only what was issued before.
    pub issued_before: Option<f64>,
    /// The record.
    #[serde(default)]
    pub origin: String,
    #[serde(default)]
    pub sequence: u64,
    /// Absent, or an instant that can't be read, such as one after the year 9999: it is kept permanently.
    #[serde(default, deserialize_with = "instant")]
    pub retain_until: Option<Timestamp>,
}

/// Why an item can't be applied. A follower that could not apply one does not know what is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It names a record of an origin that is none.
    #[error("an item names an origin that is not one")]
    Origin,
    /// It revokes what is older than an instant that is none.
    #[error("an item has an instant that is not one")]
    Instant,
    #[error("draw random bytes from the operating system; check that getrandom is allowed in this sandbox")]
    NoRandomness,
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
}

impl RevocationItem {
    /// What the item adds for followers that keep marks under that key.
    pub fn change(&self, key: &MarkKey) -> Result<Change, ItemError> {
        let kinds = |name: &&String| name.parse::<Kind>().is_ok();
        let cohort = self.cohort.iter().flatten().next();
        let parts = ItemParts {
            type_name: &self.type_name,
            tenant: self.tenant.as_deref(),
            subject: self.subject.as_deref(),
            kind: self.kind.as_deref(),
            id: self.id.as_deref(),
            digest: self.digest.as_deref(),
            iss: self.iss.as_deref(),
            jti: self.jti.as_deref(),
            payload: self.payload.as_deref(),
            unknown: self.known == Some(false),
            cohort: cohort.map(|(what, name)| (&**what, &**name)),
            withdrawn: self.withdrawn,
            kinds: self.kinds.iter().filter_map(|name| name.parse::<Kind>().ok()).collect(),
            other_kinds: self.kinds.iter().filter(|name| !kinds(name)).map(String::as_str).collect(),
            generation: self.generation()?,
            not_before: self.not_before,
            age: self.age()?,
            retain_until: self.retain_until.unwrap_or(Timestamp::MAX),
        };
        Ok(Change::of(&parts, key))
    }

    fn generation(&self) -> Result<Vec<(Origin, Sequence)>, ItemError> {
        let entry = |(origin, sequence): (&String, &u64)| Ok((origin_of(origin)?, Sequence(*sequence)));
        self.generation.iter().map(entry).collect()
    }

    fn age(&self) -> Result<Option<AgeLimit>, ItemError> {
        let Some(issued_before) = self.issued_before else { return Ok(None) };
        // The ledger's instants are whole milliseconds.
        let millis = (issued_before * 1_000.0).round();
        let issued_before = if millis >= 0.0 { Timestamp::from_millis(millis as u64) } else { None };
        let issued_before = issued_before.ok_or(ItemError::Instant)?;
        Ok(Some(AgeLimit { issued_before, origin: origin_of(&self.origin)?, sequence: Sequence(self.sequence) }))
    }
}

fn origin_of(text: &str) -> Result<Origin, ItemError> {
    text.parse().map_err(|_| ItemError::Origin)
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| {
        let instant: jiff::Timestamp = text.parse().ok()?;
        Timestamp::from_millis(u64::try_from(instant.as_millisecond()).unwrap_or_default())
    };
    Ok(text.and_then(read))
}
