//! Positions: how far each node has applied each origin, by its own announcements; and so, how far records have spread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::announcement::{Announcement, CarriedAnnouncement, Incarnation};
use crate::domain::{Members, NodeKey, NodeName, Origin, RecordId, Region, Sequence, Timestamp};

/// The most runs of one node that are remembered: nobody starts more at a time on purpose.
const MAX_INCARNATIONS: usize = 16;
/// How many steps of a node's progress through an origin are remembered with their times.
const MAX_STEPS: usize = 1_024;

/// The result of hearing an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It says something new.
    News,
    /// It is older than the last one, or of a run that another one supersedes.
    Old,
}

/// The announcements of the nodes.
#[derive(Debug, Default)]
pub struct Positions {
    heard: BTreeMap<Incarnation, HeardAnnouncement>,
    superseded: BTreeSet<Incarnation>,
    /// Runs of this very node that other nodes have heard, beside this one: on a copy of its directory.
    expected: BTreeSet<Incarnation>,
}

/// The latest announcement of one run of a node.
#[derive(Debug)]
pub struct HeardAnnouncement {
    /// The announcement.
    pub spoken: CarriedAnnouncement,
    /// When this node heard it, by its own clock.
    pub at: Timestamp,
    /// It was heard before this process began, and may be long outdated.
    is_recalled: bool,
    steps: BTreeMap<Origin, VecDeque<(Sequence, Timestamp)>>,
}

impl HeardAnnouncement {
    pub fn announcement(&self) -> &Announcement {
        &self.spoken.announcement
    }

    /// Whether it was heard before this process began.
    pub const fn is_recalled(&self) -> bool {
        self.is_recalled
    }

    /// How far it has applied that origin.
    pub fn applied(&self, origin: Origin) -> Sequence {
        self.announcement().applied.get(&origin).copied().unwrap_or_default()
    }

    /// When this node heard that it had applied that record, if it has. For a record of long ago, the earliest known
    /// time.
    fn reached_at(&self, place: RecordId) -> Option<Timestamp> {
        if self.applied(place.origin) < place.sequence {
            return None;
        }
        let steps = self.steps.get(&place.origin)?;
        steps.iter().find(|(sequence, _)| *sequence >= place.sequence).map(|(_, at)| *at)
    }

    fn step(&mut self, at: Timestamp) {
        for (origin, sequence) in &self.spoken.announcement.applied {
            let steps = self.steps.entry(*origin).or_default();
            if steps.back().is_none_or(|(last, _)| last < sequence) {
                steps.push_back((*sequence, at));
            }
            if steps.len() > MAX_STEPS {
                steps.pop_front();
            }
        }
    }
}

/// How far a record has spread, for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReach {
    pub node: NodeName,
    pub region: Region,
    /// When it was heard to have applied the record; nothing as long as it was not.
    pub at: Option<Timestamp>,
}

impl Positions {
    /// A node's announcement has been verified and arrived.
    pub fn hear(&mut self, spoken: CarriedAnnouncement, at: Timestamp) -> Arrival {
        let said = &spoken.announcement;
        let (incarnation, key) = (said.incarnation, said.node);
        let older =
            |heard: &HeardAnnouncement| heard.announcement().number >= said.number || heard.announcement().node != key;
        if self.superseded.contains(&incarnation) || self.heard.get(&incarnation).is_some_and(older) {
            return Arrival::Old;
        }
        for run in &said.supersedes {
            self.expected.remove(run);
            // Only the node itself ends its runs.
            if self.heard.get(run).is_some_and(|heard| heard.announcement().node == key) {
                self.heard.remove(run);
                self.superseded.insert(*run);
            }
        }
        self.expected.remove(&incarnation);
        let steps = self.heard.remove(&incarnation).map(|heard| heard.steps).unwrap_or_default();
        let mut heard = HeardAnnouncement { spoken, at, is_recalled: false, steps };
        heard.step(at);
        self.heard.insert(incarnation, heard);
        self.bound(key);
        Arrival::News
    }

    /// An announcement was heard before this process began.
    pub fn recall(&mut self, spoken: CarriedAnnouncement, at: Timestamp) {
        let incarnation = spoken.announcement.incarnation;
        if self.hear(spoken, at) == Arrival::News
            && let Some(heard) = self.heard.get_mut(&incarnation)
        {
            heard.is_recalled = true;
        }
    }

    /// The runs of that node that are not known to be superseded: one, unless its directory was copied.
    pub fn of(&self, key: NodeKey) -> impl Iterator<Item = &HeardAnnouncement> {
        self.heard.values().filter(move |heard| heard.announcement().node == key)
    }

    /// The latest announcement of every run.
    pub fn iter(&self) -> impl Iterator<Item = &HeardAnnouncement> {
        self.heard.values()
    }

    /// How far that node has applied that origin: every run of it that may still exist.
    pub fn applied(&self, key: NodeKey, origin: Origin) -> Sequence {
        self.going_on(key).map(|heard| heard.applied(origin)).min().unwrap_or_default()
    }

    /// How far that origin goes by any node's announcement, including its own.
    pub fn known(&self, origin: Origin) -> Sequence {
        let said = self.iter().map(|heard| {
            let said = heard.announcement();
            let own = if said.origin == origin { said.head.sequence } else { Sequence(0) };
            own.max(heard.applied(origin))
        });
        said.max().unwrap_or_default()
    }

    /// The runs of that node without those that have said farewell, unless all have. A stopped copy beside a running
    /// one need not be waited for: started again, it does not answer until it holds what the others hold.
    fn going_on(&self, key: NodeKey) -> impl Iterator<Item = &HeardAnnouncement> {
        let all_left = self.of(key).all(|heard| heard.announcement().farewell);
        self.of(key).filter(move |heard| all_left || !heard.announcement().farewell)
    }

    /// Whether more than one run of that node has spoken within so many milliseconds: its directory was copied.
    pub fn is_copied(&self, key: NodeKey, now: Timestamp, within_millis: u64) -> bool {
        let goes_on = |heard: &&HeardAnnouncement| !heard.announcement().farewell && !heard.is_recalled;
        let speaks = |heard: &&HeardAnnouncement| goes_on(heard) && now.millis_since(heard.at) < within_millis;
        self.going_on(key).filter(speaks).count() > 1
    }

    /// These runs of this very node exist beside this one, as other nodes have heard: nothing counts as having reached
    /// this node before they say so.
    pub fn expect(&mut self, runs: impl IntoIterator<Item = Incarnation>) {
        let unheard = runs.into_iter().filter(|run| !self.heard.contains_key(run) && !self.superseded.contains(run));
        let unheard: Vec<Incarnation> = unheard.collect();
        self.expected.extend(unheard);
    }

    /// This node's own run supersedes these.
    pub fn end(&mut self, runs: &[Incarnation]) {
        for run in runs {
            self.heard.remove(run);
            self.expected.remove(run);
            self.superseded.insert(*run);
        }
    }

    /// Whether every member that counts, in that region if one is named, has applied the record. `own` holds it; another run of
    /// it, on a copy of its directory and with an origin of its own, must have applied it too.
    pub fn have_reached(&self, place: RecordId, members: &Members, own: NodeKey, region: Option<&Region>) -> bool {
        let beside = |heard: &HeardAnnouncement| heard.announcement().origin != place.origin;
        let has = |key| match key == own {
            true if !self.expected.is_empty() => false,
            true => self
                .going_on(own)
                .filter(|heard| beside(heard) && !heard.announcement().farewell)
                .all(|heard| heard.applied(place.origin) >= place.sequence),
            false => self.applied(key, place.origin) >= place.sequence,
        };
        members.counting(region).all(|(key, _)| has(key))
    }

    /// Whether this node holds everything that the members have announced to hold, and at least one member that counts
    /// has spoken since this process began: then it has caught up, and may say so by a `node.upgraded`. Announcements
    /// from before prove nothing, because they may be as old as a directory that was rolled back; and another node that
    /// has just joined knows no more than this one.
    pub fn are_held(&self, held: impl Fn(Origin) -> Sequence, members: &Members, own: NodeKey) -> bool {
        let of_members = self.iter().filter(|heard| {
            let key = heard.announcement().node;
            key != own && members.is_present(key)
        });
        let holds =
            |heard: &HeardAnnouncement| heard.announcement().applied.iter().all(|(origin, far)| held(*origin) >= *far);
        let of_members: Vec<&HeardAnnouncement> = of_members.collect();
        let mut counting = members.counting(None).filter(|(key, _)| *key != own).peekable();
        let nobody_counts = counting.peek().is_none();
        let told = nobody_counts || counting.any(|(key, _)| self.of(key).any(|heard| !heard.is_recalled));
        told && of_members.iter().any(|heard| !heard.is_recalled) && of_members.into_iter().all(holds)
    }

    /// Whether every member waits for this node, whose `node.upgraded` is at that place, and it holds everything that
    /// they had recorded before they knew: only then its answers are as good as theirs. If it continues a directory
    /// under a new origin, the place is that of the origin's first record.
    pub fn admit(&self, place: RecordId, held: impl Fn(Origin) -> Sequence, members: &Members, own: NodeKey) -> bool {
        let alone = members.present().all(|(key, ..)| key == own);
        // A member that counts knows of all that count. Without its announcement this node may not have heard of nodes
        // that it must wait for.
        let told = members.counting(None).any(|(key, _)| key != own && self.of(key).next().is_some());
        // The node that joined this one answers. The first node of all did so before any other could wait for it.
        let joined_by = members.joined(own).and_then(|(place, _)| members.key_of(place.origin));
        let is_counted = |key| members.counting(None).any(|(counts, _)| counts == key);
        let all_count = joined_by.is_none_or(|key| key == own || !members.is_present(key) || is_counted(key));
        alone
            || (told && all_count && self.have_reached(place, members, own, None) && self.are_held(held, members, own))
    }

    /// How far the record has spread, member by member; `own` since `here_at`.
    pub fn reach(
        &self,
        place: RecordId,
        members: &Members,
        own: NodeKey,
        here_at: Option<Timestamp>,
    ) -> Vec<NodeReach> {
        let at = |key| match key == own {
            true => here_at,
            false => {
                let runs: Option<Vec<Timestamp>> = self.going_on(key).map(|heard| heard.reached_at(place)).collect();
                runs.and_then(|runs| runs.into_iter().max())
            }
        };
        let one = |(key, joined): (NodeKey, &crate::domain::NodeJoined)| NodeReach {
            node: joined.node.clone(),
            region: joined.region.clone(),
            at: at(key),
        };
        members.counting(None).map(one).collect()
    }

    fn bound(&mut self, key: NodeKey) {
        let mut runs: Vec<_> = self.of(key).map(|heard| (heard.at, heard.announcement().incarnation)).collect();
        runs.sort_unstable();
        for (_, oldest) in runs.iter().take(runs.len().saturating_sub(MAX_INCARNATIONS)) {
            self.heard.remove(oldest);
        }
    }
}
