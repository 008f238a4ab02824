//! Keys that sign the ledger's JWTs: published, and retired when another key takes over.

use std::collections::BTreeMap;

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision, PublishKey, Rejection};
use super::super::event::{Draft, Event, LedgerOpened};
use super::super::ids::{Issuer, Origin, RecordId};
use super::super::state::View;

/// Every node publishes keys of its own, all under the issuer that the first one named.
pub fn publish(
    view: &impl View,
    grants: &Grants,
    publish: &PublishKey,
    context: Context,
) -> Result<Decision, Rejection> {
    if !grants.everywhere().contains(Scope::Admin) {
        return Err(Rejection::Forbidden);
    }
    if issuer(view).is_some_and(|issuer| issuer != publish.key.issuer) {
        return Err(Rejection::IssuerDiffers);
    }
    let keys = view.keys();
    // A node that lost its origin's key continues under another origin: the keys that it signed with before are still
    // its own.
    let lineage = lineage(&view.origins(), context.origin, None);
    let own = keys.values().filter_map(|key| key.signs()).filter(|(place, _)| lineage.contains(&place.origin));
    let mut own: Vec<_> = own.collect();
    own.sort_by_key(|(place, _)| *place);
    // A key that replaced itself would be retired with the others.
    if let Some((place, key)) = own.last()
        && (!publish.rotate || key.id == publish.key.id)
    {
        return Ok(Decision::Already(*place));
    }
    let retired = own.iter().map(|(_, key)| Event::KeyRetired(key.id.clone()));
    let events = std::iter::once(Event::KeyPublished(publish.key.clone())).chain(retired);
    Ok(Decision::Append(events.map(|event| Draft { tenant: None, event }).collect()))
}

/// The origin, and the origins that it continues: they belong to one node. `opening` is its first record, if that is
/// not in the log yet.
pub fn lineage(
    origins: &BTreeMap<RecordId, LedgerOpened>,
    origin: Origin,
    opening: Option<&LedgerOpened>,
) -> Vec<Origin> {
    let previous_of = |opened: &LedgerOpened| opened.previous.as_ref().map(|previous| previous.place.origin);
    let opened = |origin: Origin| origins.iter().find(|(place, _)| place.origin == origin).map(|(_, opened)| opened);
    let mut lineage = vec![origin];
    let mut next = opening.or_else(|| opened(origin)).and_then(previous_of);
    while let Some(previous) = next.filter(|previous| !lineage.contains(previous)) {
        lineage.push(previous);
        next = opened(previous).and_then(previous_of);
    }
    lineage
}

/// The issuer of the ledger's tokens: the one that the first published key names.
pub fn issuer(view: &impl View) -> Option<Issuer> {
    let keys = view.keys();
    let first = keys.values().filter_map(|key| key.published.as_ref()).min_by_key(|(place, _)| *place);
    first.map(|(_, key)| key.issuer.clone())
}
