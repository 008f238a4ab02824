//! Keys that sign the ledger's JWTs: published, and retired when another key takes over.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision, PublishKey};
use super::super::event::{Draft, Event, KeyPublished, LedgerOpened};
use super::super::ids::{Issuer, KeyId, Origin, RecordId};
use super::super::rejections::{Forbidden, PublishKeyRejection};
use super::super::signing::SigningKeyState;
use super::super::state::View;

/// The keys of a node that are not retired: the one that signs, and the next one.
const KEYS_OF_A_NODE: usize = 2;

/// Every node publishes keys of its own, all under the issuer that the first key named that has signed a token.
pub fn publish(
    view: &impl View,
    grants: &Grants,
    publish: &PublishKey,
    context: Context,
) -> Result<Decision, PublishKeyRejection> {
    if !grants.everywhere().contains(Scope::Admin) {
        return Err(Forbidden.into());
    }
    if issuer(view).is_some_and(|issuer| issuer != publish.key.issuer) {
        return Err(PublishKeyRejection::IssuerDiffers);
    }
    let own = own_keys(view, context.origin);
    // A key that replaced itself would be retired with the others.
    if let Some((place, _)) = own.iter().find(|(_, key)| key.id == publish.key.id) {
        return Ok(Decision::Already(*place));
    }
    let (retired, kept): (Vec<_>, Vec<_>) = own.into_iter().partition(|(_, key)| publish.retires.contains(&key.id));
    // A rotation whose answer was lost has been decided on the same keys before: the second does not use up another key.
    if let Some((place, _)) = kept.last().filter(|_| kept.len() >= KEYS_OF_A_NODE) {
        return Ok(Decision::Already(*place));
    }
    let retired = retired.into_iter().map(|(_, key)| Event::KeyRetired(key.id));
    let events = std::iter::once(Event::KeyPublished(publish.key.clone())).chain(retired);
    Ok(Decision::Append(events.map(|event| Draft { tenant: None, event }).collect()))
}

/// The keys that this node has published and not retired, the oldest first: the first signs, and the second is next.
///
/// A node that lost its origin's key continues under another origin: the keys that it signed with before are still its
/// own.
pub fn own_keys(view: &impl View, origin: Origin) -> Vec<(RecordId, KeyPublished)> {
    in_order(view.keys().into_values().filter_map(SigningKeyState::into_signing), view, origin)
}

/// The keys that the node of that record had published before it, retired or not, the oldest first.
pub fn keys_before(view: &impl View, place: RecordId) -> Vec<(RecordId, KeyPublished)> {
    let mut keys = in_order(view.keys().into_values().filter_map(|key| key.published), view, place.origin);
    keys.retain(|(other, _)| other.origin != place.origin || other.sequence < place.sequence);
    keys
}

/// Those of the keys that belong to the node of that origin, the oldest first.
fn in_order(
    keys: impl Iterator<Item = (RecordId, KeyPublished)>,
    view: &impl View,
    origin: Origin,
) -> Vec<(RecordId, KeyPublished)> {
    let lineage = lineage(&view.origins(), origin, None);
    let age = |place: &RecordId| lineage.iter().position(|origin| *origin == place.origin);
    let mut own: Vec<_> = keys.filter_map(|(place, key)| Some((age(&place)?, place, key))).collect();
    own.sort_by_key(|(age, place, _)| (Reverse(*age), place.sequence));
    own.into_iter().map(|(_, place, key)| (place, key)).collect()
}

/// The key that this node signs with: the oldest that it has published and not retired. One of another issuer than the
/// ledger's, which another node's key has fixed since, does not sign.
pub fn signing_key(view: &impl View, origin: Origin) -> Option<KeyPublished> {
    let keys = view.keys();
    let issuer = issuer_among(&keys).cloned();
    let is_ours = |key: &KeyPublished| issuer.as_ref().is_none_or(|issuer| *issuer == key.issuer);
    let signing = keys.into_values().filter_map(SigningKeyState::into_signing);
    in_order(signing, view, origin).into_iter().map(|(_, key)| key).find(is_ours)
}

/// The keys that are published and not retired, node by node, each node's oldest first.
pub fn keys_by_node(view: &impl View) -> Vec<Vec<(RecordId, KeyPublished)>> {
    let origins = view.origins();
    let mut nodes: BTreeMap<Origin, Vec<(usize, RecordId, KeyPublished)>> = BTreeMap::new();
    for (place, key) in view.keys().into_values().filter_map(SigningKeyState::into_signing) {
        let lineage = lineage(&origins, place.origin, None);
        let first = lineage.last().copied().unwrap_or(place.origin);
        nodes.entry(first).or_default().push((lineage.len(), place, key));
    }
    let in_order = |mut keys: Vec<(usize, RecordId, KeyPublished)>| {
        keys.sort_by_key(|(age, place, _)| (*age, place.sequence));
        keys.into_iter().map(|(_, place, key)| (place, key)).collect()
    };
    nodes.into_values().map(in_order).collect()
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

/// The issuer of the ledger's tokens: the one that the first published key names that has signed any. Until then
/// nobody relies on an issuer, and the keys of another one can still be replaced.
pub fn issuer(view: &impl View) -> Option<Issuer> {
    issuer_among(&view.keys()).cloned()
}

fn issuer_among(keys: &BTreeMap<KeyId, SigningKeyState>) -> Option<&Issuer> {
    let signed = keys.values().filter(|key| key.has_signed()).filter_map(|key| key.published.as_ref());
    signed.min_by_key(|(place, _)| *place).map(|(_, key)| &key.issuer)
}
