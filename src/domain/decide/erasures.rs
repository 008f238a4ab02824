//! Erasures of subjects: permanent.

use std::collections::BTreeSet;

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision, EraseSubject, Rejection};
use super::super::event::{Draft, Event, SubjectErased};
use super::super::state::View;
use super::{allow, lineage};

/// The most slots that one record names: each takes at most 17 bytes, so that they fit beside the longest names.
pub const MAX_ERASED_SLOTS: usize = 3_000;

/// An erased subject stays erased; only keys that no record has named yet are new.
pub fn subject(
    view: &impl View,
    grants: &Grants,
    erase: &EraseSubject,
    Context { latest, origin, .. }: Context,
) -> Result<Decision, Rejection> {
    allow(grants, &erase.tenant, Scope::Admin)?;
    let mut slots = erase.slots.clone();
    if let Some(erasure) = view.subject(&erase.tenant, &erase.subject).erasure {
        let named = erasure.slots_of(&lineage(&view.origins(), origin, None));
        slots.retain(|slot| !named.contains(slot));
        if slots.is_empty() {
            return Ok(Decision::Already(erasure.place));
        }
    }
    let draft = |slots: BTreeSet<u64>| {
        let (subject, reason) = (erase.subject.clone(), erase.reason.clone());
        let erased = SubjectErased { subject, not_before: latest.as_seconds(), slots, reason };
        Draft { tenant: Some(erase.tenant.clone()), event: Event::SubjectErased(erased) }
    };
    Ok(Decision::Append(parts(&slots).into_iter().map(draft).collect()))
}

/// The slots of each record. Without slots there is still one record, because the rest of it counts all the same.
fn parts(slots: &BTreeSet<u64>) -> Vec<BTreeSet<u64>> {
    let slots: Vec<u64> = slots.iter().copied().collect();
    let parts = slots.chunks(MAX_ERASED_SLOTS).map(|part| part.iter().copied().collect());
    if slots.is_empty() { vec![BTreeSet::new()] } else { parts.collect() }
}
