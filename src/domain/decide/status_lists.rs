//! Status lists: opened and published by the node itself, and the index of a token.

use super::super::application::{Grants, Scope};
use super::super::command::{Context, Decision};
use super::super::event::Event;
use super::super::ids::Origin;
use super::super::rejections::Forbidden;
use super::super::state::View;
use super::super::status_list::{
    StatusDraws, StatusIndex, StatusListClass, StatusListOpened, StatusListPublished, StatusListView,
};
use super::super::time::Timestamp;
use super::one;

/// Opens a list, unless one takes indexes.
pub fn open(
    view: &impl View,
    grants: &Grants,
    opened: StatusListOpened,
    context: Context,
) -> Result<Decision, Forbidden> {
    of_the_node(grants)?;
    let is_known = view.status_list(&opened.list).is_some();
    if is_known || open_list(view, context.origin, opened.class, context.now).is_some() {
        return Ok(Decision::Nothing);
    }
    Ok(one(None, Event::StatusListOpened(opened)))
}

/// Publishes a list, if that is later than what was published before, and follows from records that are there. A key that was withdrawn
/// meanwhile publishes nothing.
pub fn publish(view: &impl View, grants: &Grants, published: &StatusListPublished) -> Result<Decision, Forbidden> {
    of_the_node(grants)?;
    let is_later = view.status_list(&published.list).is_some_and(|list| list.iat.is_none_or(|iat| iat < published.iat));
    let is_signed = view.keys().get(&published.kid).is_some_and(|key| key.published.is_some() && !key.withdrawn);
    let is_there = published.upto.iter().all(|(origin, sequence)| *sequence <= view.head(*origin));
    if !(is_later && is_signed && is_there) {
        return Ok(Decision::Nothing);
    }
    Ok(one(None, Event::StatusListPublished(Box::new(published.clone()))))
}

/// The node does it by itself, and holds every grant.
fn of_the_node(grants: &Grants) -> Result<(), Forbidden> {
    if grants.everywhere().contains(Scope::Admin) { Ok(()) } else { Err(Forbidden) }
}

/// The list of that class in which this node gives indexes now.
pub fn open_list(view: &impl View, origin: Origin, class: StatusListClass, now: Timestamp) -> Option<StatusListView> {
    view.newest_status_list(origin, class).filter(|list| list.takes(now))
}

/// The first drawn index that is free, else the next free one after the last draw. At least a quarter of a list that takes indexes is free.
pub fn index(
    view: &impl View,
    origin: Origin,
    class: StatusListClass,
    draws: &StatusDraws,
    now: Timestamp,
) -> Option<StatusIndex> {
    let StatusListOpened { list, entries, .. } = open_list(view, origin, class, now)?.opened;
    let drawn = |draw: &u32| ((u64::from(*draw) * u64::from(entries)) >> u32::BITS) as u32;
    let last = draws.last().map_or(0, drawn);
    let after_the_last = (last..entries).chain(0..last);
    let index = draws.iter().map(drawn).chain(after_the_last).find(|index| !view.is_index_taken(&list, *index));
    index.map(|index| StatusIndex { list, index })
}
