//! Keys that sign our JWTs: published, and retired when another takes over.

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision, PublishKey, Rejection};
use super::super::event::{Draft, Event};
use super::super::ids::Issuer;
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
    let own = keys.values().filter_map(|key| key.signs()).filter(|(place, _)| place.origin == context.origin);
    let mut own: Vec<_> = own.collect();
    own.sort_by_key(|(place, _)| *place);
    // A key that took its own place would be retired with the others.
    if let Some((place, key)) = own.last()
        && (!publish.rotate || key.id == publish.key.id)
    {
        return Ok(Decision::Already(*place));
    }
    let retired = own.iter().map(|(_, key)| Event::KeyRetired(key.id.clone()));
    let events = std::iter::once(Event::KeyPublished(publish.key.clone())).chain(retired);
    Ok(Decision::Append(events.map(|event| Draft { tenant: None, event }).collect()))
}

/// The issuer of the ledger's tokens: the one that the first published key names.
pub fn issuer(view: &impl View) -> Option<Issuer> {
    let keys = view.keys();
    let first = keys.values().filter_map(|key| key.published.as_ref()).min_by_key(|(place, _)| *place);
    first.map(|(_, key)| key.issuer.clone())
}
