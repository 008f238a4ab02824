//! What keeps a node from following others until an operator does something, and what it says about it.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::MAX_SKEW_MILLIS;
use crate::cluster::{Announcement, Fork, Unreadable};
use crate::domain::{NodeKey, Origin, RecordId, Timestamp};

/// The obstacles to following some origin, until an operator does something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterTrouble {
    /// Origins with a record of a later release.
    pub unreadable: BTreeMap<Origin, Unreadable>,
    /// Origins that have signed two histories.
    pub forked: BTreeMap<Origin, Fork>,
    /// Nodes whose clocks are far from this one's: by how many milliseconds.
    pub skewed: BTreeMap<NodeKey, u64>,
    /// Another process signs with this node's key.
    pub twin: bool,
    /// Members whose keys are used by more than one process.
    pub copied: BTreeSet<NodeKey>,
}

impl ClusterTrouble {
    /// The warning for the operator, if there is one.
    pub(super) fn warning(&self) -> Option<&'static str> {
        const COPIED: &str = "two processes run with the key of one member: its data directory was copied; stop one of the two, and \
             join the other on an empty directory";
        const TWIN: &str = "another process runs with this node's key: its data directory was copied; stop one of the two, \
             and join the other on an empty directory";
        const FORKED: &str = "an origin has signed two histories, so only the one that is held here is taken: the evidence is in \
             DATA/members/evidence; remove that node";
        const UNREADABLE: &str = "a member writes events that this release can't read, so its origin is not followed any more: \
             upgrade this node";
        const SKEWED: &str = "the clock of a member is more than ten seconds from this node's; set the clocks";
        let Self { unreadable, forked, skewed, twin, copied } = self;
        let warnings = [
            (*twin, TWIN),
            (!copied.is_empty(), COPIED),
            (!forked.is_empty(), FORKED),
            (!unreadable.is_empty(), UNREADABLE),
            (!skewed.is_empty(), SKEWED),
        ];
        warnings.into_iter().find_map(|(is, warning)| is.then_some(warning))
    }
}

/// The obstacles as they are noted.
#[derive(Default)]
pub struct Alarms(Mutex<ClusterTrouble>);

impl Alarms {
    /// The obstacles now.
    pub fn trouble(&self) -> ClusterTrouble {
        self.0.lock().clone()
    }

    /// Another process acts as this node.
    pub fn note_twin(&self) {
        if !std::mem::replace(&mut self.0.lock().twin, true) {
            tracing::error!("another process signs with this node's key: its data directory was copied");
        }
    }

    /// Whether more than one process speaks for that member now.
    pub(super) fn note_copied(&self, node: NodeKey, is_copied: bool) {
        let mut trouble = self.0.lock();
        if !is_copied {
            trouble.copied.remove(&node);
        } else if trouble.copied.insert(node) {
            tracing::error!(%node, "two processes sign with the key of one member: its data directory was copied");
        }
    }

    /// Clocks decide nothing between nodes, except about tokens of other issuers: an operator must hear of a wrong one.
    pub(super) fn compare_clocks(&self, said: &Announcement, now: Timestamp) {
        let off_by = said.now.as_millis().abs_diff(now.as_millis());
        let mut trouble = self.0.lock();
        let was = trouble.skewed.remove(&said.node);
        if off_by > MAX_SKEW_MILLIS {
            trouble.skewed.insert(said.node, off_by);
            if was.is_none() {
                tracing::warn!(node = %said.node, off_by_millis = off_by, "a member's clock is far from this node's");
            }
        }
    }

    /// An origin has signed two histories.
    pub(super) fn note_fork(&self, fork: &Fork) {
        let RecordId { origin, sequence } = fork.place;
        if self.0.lock().forked.insert(origin, fork.clone()).is_none() {
            tracing::error!(%origin, %sequence, "an origin has signed two histories: only the one that is held here is taken");
        }
    }

    /// A later release wrote a record. Whether it is the first of its origin.
    pub(super) fn note_unreadable(&self, unreadable: Unreadable) -> bool {
        let RecordId { origin, sequence } = unreadable.place;
        let (type_name, version) = (unreadable.type_name.clone(), unreadable.version);
        let is_first = self.0.lock().unreadable.insert(origin, unreadable).is_none();
        if is_first {
            tracing::error!(%origin, %sequence, type_name, version, "a later release wrote this record: the origin is not followed before this node is upgraded");
        }
        is_first
    }

    /// The origin is followed. Whether it was not, because of a record that could not be read.
    pub(super) fn follows_again(&self, origin: Origin) -> bool {
        self.0.lock().unreadable.remove(&origin).is_some()
    }
}
