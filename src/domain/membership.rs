//! Members: the nodes that belong together, the events that each can read, and the records of a removed one that still
//! count.

use std::collections::BTreeMap;

use super::event::EventType;
use super::event::{NodeJoined, NodeRemoved};
use super::ids::{NodeName, Origin, RecordId, Region, Sequence};
use super::node::{NodeKey, Reads};
use super::time::Timestamp;

impl Reads {
    /// The types that this release reads.
    pub fn of_this_release() -> Self {
        EventType::ALL.iter().map(|one| (one.name.into(), one.version)).collect()
    }
}

/// The folded state of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its joins: every record of one is kept, because one may turn out not to count.
    pub joins: BTreeMap<RecordId, (Timestamp, NodeJoined)>,
    /// The events that it reads, by its own latest record. Until there is one it is catching up, and does not count.
    pub upgraded: Option<(Timestamp, RecordId, Reads)>,
    /// Its removal, which is permanent.
    pub removed: Option<Removal>,
}

/// The end of a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The record that removed it first.
    pub place: RecordId,
    /// When that was recorded.
    pub removed_at: Timestamp,
    /// The last record of each of its origins that counts in full. Of an origin that is not named, no record does.
    pub seals: BTreeMap<Origin, Sequence>,
}

impl Removal {
    /// The removal that the record at that place, of that time, contains.
    pub fn of(place: RecordId, removed_at: Timestamp, removed: &NodeRemoved) -> Self {
        Self { place, removed_at, seals: removed.seals.clone() }
    }

    fn seal(&self, origin: Origin) -> Sequence {
        self.seals.get(&origin).copied().unwrap_or_default()
    }

    /// If it was removed twice, it is sealed where both sealed it: nothing comes back.
    fn merge(&mut self, other: Self) {
        if (other.removed_at, other.place) < (self.removed_at, self.place) {
            (self.removed_at, self.place) = (other.removed_at, other.place);
        }
        self.seals.retain(|origin, _| other.seals.contains_key(origin));
        for (origin, seal) in &mut self.seals {
            *seal = (*seal).min(other.seal(*origin));
        }
    }
}

impl Member {
    /// The join that the record at that place, of that time, contains.
    pub fn of_join(place: RecordId, joined_at: Timestamp, joined: NodeJoined) -> Self {
        Self { joins: BTreeMap::from([(place, (joined_at, joined))]), ..Self::default() }
    }

    /// The time of the latest join at such a place.
    fn joined_at(&self, counts: impl Fn(RecordId) -> bool) -> Option<(Timestamp, RecordId, &NodeJoined)> {
        let joins = self.joins.iter().filter(|(place, _)| counts(**place));
        joins.max_by_key(|(place, (at, _))| (*at, **place)).map(|(place, (at, joined))| (*at, *place, joined))
    }

    /// Its join, by the latest record; [`Members::joined`] tells whether any of them counts.
    pub fn joined(&self) -> Option<(Timestamp, RecordId, &NodeJoined)> {
        self.joined_at(|_| true)
    }

    /// The name, region, key and address that it joined with, if it has joined and was not removed.
    pub fn present(&self) -> Option<&NodeJoined> {
        self.joined().filter(|_| self.removed.is_none()).map(|(_, _, joined)| joined)
    }

    /// Whether it has caught up, so that others wait for it.
    pub fn counts(&self) -> bool {
        self.present().is_some() && self.upgraded.is_some()
    }

    /// The events that it reads, as far as that is known.
    pub fn reads(&self) -> Option<&Reads> {
        let upgraded = self.upgraded.as_ref().map(|(_, _, reads)| reads);
        upgraded.or_else(|| self.joined().map(|(_, _, joined)| &joined.reads))
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        for (place, join) in other.joins {
            self.joins.entry(place).or_insert(join);
        }
        if let Some(other) = other.upgraded
            && self.upgraded.as_ref().is_none_or(|(at, place, _)| (*at, *place) < (other.0, other.1))
        {
            self.upgraded = Some(other);
        }
        match (&mut self.removed, other.removed) {
            (Some(mine), Some(other)) => mine.merge(other),
            (mine, other) => *mine = mine.take().or(other),
        }
    }
}

/// The nodes of a ledger, and their origins. Empty for a node that was never joined by another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    by_key: BTreeMap<NodeKey, Member>,
    origins: BTreeMap<Origin, NodeKey>,
}

impl Members {
    /// Whether no node is known.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.origins.is_empty()
    }

    /// Joins the state of a node.
    pub fn join(&mut self, key: NodeKey, member: Member) {
        self.by_key.entry(key).or_default().merge(member);
    }

    /// An origin's records are signed with that key.
    pub fn opened(&mut self, origin: Origin, key: NodeKey) {
        self.origins.entry(origin).or_insert(key);
    }

    /// Joins everything that another view knows.
    pub fn merge(&mut self, other: &Self) {
        for (key, member) in &other.by_key {
            self.join(*key, member.clone());
        }
        for (origin, key) in &other.origins {
            self.opened(*origin, *key);
        }
    }

    /// Every node that was ever named, by key.
    pub fn iter(&self) -> impl Iterator<Item = (NodeKey, &Member)> {
        self.by_key.iter().map(|(key, member)| (*key, member))
    }

    /// The state of the node with that key.
    pub fn get(&self, key: NodeKey) -> Option<&Member> {
        self.by_key.get(&key)
    }

    /// The members: nodes that joined, by a record that counts, and were not removed. Each with its latest such record.
    pub fn present(&self) -> impl Iterator<Item = (NodeKey, &NodeJoined, &Member)> {
        self.iter().filter_map(|(key, member)| {
            let (_, joined) = self.joined(key).filter(|_| member.removed.is_none())?;
            Some((key, joined, member))
        })
    }

    /// A node's join, by the latest record that counts.
    pub fn joined(&self, key: NodeKey) -> Option<(RecordId, &NodeJoined)> {
        let joined = self.by_key.get(&key)?.joined_at(|place| self.is_vouched(key, place, &mut Vec::new()));
        joined.map(|(_, place, joined)| (place, joined))
    }

    /// Whether that node is a member.
    pub fn is_present(&self, key: NodeKey) -> bool {
        self.get(key).is_some_and(|member| member.removed.is_none()) && self.trusts(key)
    }

    /// The members that have caught up, in that region if one is named: those that others wait for.
    pub fn counting<'a>(&'a self, region: Option<&'a Region>) -> impl Iterator<Item = (NodeKey, &'a NodeJoined)> {
        let here = move |joined: &NodeJoined| region.is_none_or(|region| joined.region == *region);
        self.present()
            .filter(|(_, _, member)| member.counts())
            .map(|(key, joined, _)| (key, joined))
            .filter(move |(_, joined)| here(joined))
    }

    /// The member of that name.
    pub fn named(&self, name: &NodeName) -> Option<(NodeKey, &NodeJoined)> {
        self.present().find(|(_, joined, _)| joined.node == *name).map(|(key, joined, _)| (key, joined))
    }

    /// Whether that node joined, by a record that counts; it may have been removed later.
    pub fn trusts(&self, key: NodeKey) -> bool {
        self.joined(key).is_some()
    }

    /// Whether records that are signed with that key are taken: any node that was a member may have vouched for it.
    /// That includes a member that has been removed since, because other nodes may have taken the records before they
    /// knew; the credentials of a node that never joined by a record that counts are inactive.
    pub fn takes_from(&self, key: NodeKey) -> bool {
        self.get(key).is_some_and(|member| !member.joins.is_empty())
    }

    /// The key that signs that origin's records, if its first record is here.
    pub fn key_of(&self, origin: Origin) -> Option<NodeKey> {
        self.origins.get(&origin).copied()
    }

    /// The origins whose records that key signs.
    pub fn origins_of(&self, key: NodeKey) -> impl Iterator<Item = Origin> {
        self.origins.iter().filter(move |(_, own)| **own == key).map(|(origin, _)| *origin)
    }

    /// Whether every member reads data of that version of that type: nothing else is written.
    pub fn all_read(&self, type_name: &str, version: u64) -> bool {
        self.present().all(|(_, joined, member)| {
            let reads = member.upgraded.as_ref().map_or(&joined.reads, |(_, _, reads)| reads);
            reads.covers(type_name, version)
        })
    }

    /// Whether any node was removed: of all others, every record counts.
    pub fn any_removed(&self) -> bool {
        self.by_key.values().any(|member| member.removed.is_some())
    }

    /// Whether that node was there before all others: only it has recorded its own join.
    pub fn is_first(&self, key: NodeKey) -> bool {
        let by_itself = |join: &RecordId| self.key_of(join.origin) == Some(key);
        let member = self.get(key).filter(|member| !member.joins.is_empty());
        member.is_some_and(|member| member.joins.keys().all(by_itself))
    }

    /// Whether a join of that node counts: the node that recorded it is itself a member on the word of others, and
    /// recorded it before it was sealed. Only the first node needs no other: its own word counts as long as it is the
    /// only one.
    fn is_vouched(&self, key: NodeKey, join: RecordId, asked: &mut Vec<NodeKey>) -> bool {
        if self.sealed_off(join).is_some() {
            return false;
        }
        let by = self.key_of(join.origin).filter(|by| self.by_key.contains_key(by));
        match by {
            Some(by) if by == key => self.is_first(key),
            Some(by) => self.is_trusted(by, asked),
            // Records of a node that was never named are not taken, so this is the node whose records these are.
            None => true,
        }
    }

    fn is_trusted(&self, key: NodeKey, asked: &mut Vec<NodeKey>) -> bool {
        // Two nodes that name only one another are not vouched for.
        if asked.contains(&key) {
            return false;
        }
        asked.push(key);
        let joins = self.by_key.get(&key).map(|member| &member.joins);
        let trusted = joins.is_some_and(|joins| joins.keys().any(|join| self.is_vouched(key, *join, asked)));
        asked.pop();
        trusted
    }

    /// The removal that the record at that place comes too late for: a credential that its node issued after it was
    /// sealed is inactive. So are the credentials of a node that was joined only by removed nodes after they were
    /// sealed, or by nodes of which that is true.
    pub fn beyond_seal(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        self.sealed_off(place).or_else(|| {
            let key = self.key_of(place.origin)?;
            let has_joined = self.by_key.get(&key).is_some_and(|member| !member.joins.is_empty());
            if !has_joined || self.trusts(key) {
                return None;
            }
            let removals = self.by_key.values().filter_map(|member| member.removed.as_ref());
            removals.map(|removal| (removal.place, removal.removed_at)).min_by_key(|(place, at)| (*at, *place))
        })
    }

    /// The removal of its own node that the record comes too late for.
    fn sealed_off(&self, place: RecordId) -> Option<(RecordId, Timestamp)> {
        let removal = self.by_key.get(self.origins.get(&place.origin)?)?.removed.as_ref()?;
        (place.sequence > removal.seal(place.origin)).then_some((removal.place, removal.removed_at))
    }
}
