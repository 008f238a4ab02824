//! Nodes: joining, catching up, removal.

use super::super::application::{Grants, Scope};
use super::super::command::{Decision, JoinNode, Rejection};
use super::super::event::{Draft, Event, NodeJoined, NodeRemoved, NodeUpgraded};
use super::super::ids::NodeName;
use super::super::node::NodeKey;
use super::super::state::View;
use super::one;

/// A caller with every grant everywhere decides which nodes belong together. The node that is asked becomes a member
/// together with the first other one.
pub fn join(view: &impl View, grants: &Grants, join: &JoinNode) -> Result<Decision, Rejection> {
    administrator(grants)?;
    let members = view.members();
    let JoinNode { node, asked } = join;
    if members.get(node.key).is_some_and(|member| member.removed.is_some()) {
        return Err(Rejection::NodeRemoved);
    }
    let of_that_name = members.named(&node.node).map(|(key, _)| key).or((asked.node == node.node).then_some(asked.key));
    if of_that_name.is_some_and(|key| key != node.key) {
        return Err(Rejection::NodeExists);
    }
    if let Some((place, _)) = members.joined(node.key).filter(|(_, joined)| *joined == node) {
        return Ok(Decision::Already(place));
    }
    // The nodes that came before vouch for all others; it must not come to depend on the others itself.
    if members.is_first(node.key) && node.key != asked.key {
        return Err(Rejection::NodeExists);
    }
    let is_written = |(name, version): &(&str, u64)| members.all_read(name, *version);
    if !asked.reads.iter().filter(is_written).all(|(name, version)| node.reads.covers(name, version)) {
        return Err(Rejection::NodeTooOld);
    }
    let mut events = Vec::new();
    if node.key != asked.key && !members.trusts(asked.key) {
        let upgraded = NodeUpgraded { key: asked.key, reads: asked.reads.clone() };
        events.extend([joined(asked), Event::NodeUpgraded(upgraded)]);
    }
    events.push(joined(node));
    Ok(Decision::Append(events.into_iter().map(|event| Draft { tenant: None, event }).collect()))
}

fn joined(node: &NodeJoined) -> Event {
    Event::NodeJoined(Box::new(node.clone()))
}

/// A node speaks for itself.
pub fn upgrade(view: &impl View, grants: &Grants, upgraded: &NodeUpgraded) -> Result<Decision, Rejection> {
    administrator(grants)?;
    let members = view.members();
    let Some(member) = members.get(upgraded.key).filter(|_| members.is_present(upgraded.key)) else {
        return Ok(Decision::Nothing);
    };
    match &member.upgraded {
        Some((_, _, reads)) if *reads == upgraded.reads => Ok(Decision::Nothing),
        _ => Ok(one(None, Event::NodeUpgraded(upgraded.clone()))),
    }
}

/// The node is sealed at the last of its records that this node holds: a credential that it issued beyond is inactive,
/// wherever it turns up.
pub fn remove(view: &impl View, grants: &Grants, name: &NodeName, own: NodeKey) -> Result<Decision, Rejection> {
    administrator(grants)?;
    let members = view.members();
    let (key, _) = members.named(name).ok_or(Rejection::UnknownNode)?;
    if key == own {
        return Err(Rejection::CannotRemoveSelf);
    }
    let seals = members.origins_of(key).map(|origin| (origin, view.head(origin))).collect();
    Ok(one(None, Event::NodeRemoved(NodeRemoved { key, seals })))
}

fn administrator(grants: &Grants) -> Result<(), Rejection> {
    if grants.everywhere().contains(Scope::Admin) { Ok(()) } else { Err(Rejection::Forbidden) }
}
