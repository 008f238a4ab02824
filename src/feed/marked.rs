//! A revocation in the compact form: the same item, with marks for names.

use super::frame::{CohortShown, FeedItem};
use crate::compact::{AgeLimit, Change, ItemParts, MarkKey};
use crate::domain::{Kind, Origin, Sequence, Timestamp};

impl FeedItem<'_> {
    /// What the item adds for followers that keep marks.
    pub fn change(&self, key: &MarkKey) -> Change {
        let cohort = match &self.cohort {
            None => None,
            Some(CohortShown::Application(id)) => Some(("application", &**id)),
            Some(CohortShown::Key(id)) => Some(("key", *id)),
            Some(CohortShown::Issuer(issuer)) => Some(("issuer", *issuer)),
            Some(CohortShown::Tenant(tenant)) => Some(("tenant", *tenant)),
        };
        let parts = ItemParts {
            type_name: self.type_name,
            tenant: self.tenant,
            subject: self.subject,
            kind: self.kind,
            id: self.id.as_deref(),
            digest: self.digest.as_deref(),
            iss: self.iss.as_deref(),
            jti: self.jti.as_deref(),
            payload: self.payload.as_deref(),
            unknown: self.known == Some(false),
            cohort,
            withdrawn: self.withdrawn == Some(true),
            kinds: self.kinds.iter().filter_map(|kind| kind.parse::<Kind>().ok()).collect(),
            // This release knows its own kinds.
            other_kinds: Vec::new(),
            generation: self.generation.iter().filter_map(place).collect(),
            not_before: self.not_before.unwrap_or_default(),
            age: self.issued_before.and_then(|seconds| self.age(seconds)),
            retain_until: self.retain_until,
        };
        Change::of(&parts, key)
    }

    fn age(&self, seconds: f64) -> Option<AgeLimit> {
        // It was made of whole milliseconds.
        let issued_before = Timestamp::from_millis((seconds * 1_000.0).round() as u64)?;
        let (origin, sequence) = place((&self.origin, &self.sequence))?;
        Some(AgeLimit { issued_before, origin, sequence })
    }
}

/// The names in an item are those of origins.
fn place((origin, sequence): (&&str, &u64)) -> Option<(Origin, Sequence)> {
    Some((origin.parse().ok()?, Sequence(*sequence)))
}
