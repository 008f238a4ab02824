//! Each origin's Merkle tree, grown while its records pass by: its roots at the requested sizes, the hashes that a
//! proof needs, and whether the tiles agree.

use std::collections::{BTreeMap, BTreeSet};

use super::tiles::Tiles;
use crate::domain::Origin;
use crate::tlog::{Frontier, GatheredHashes, TreeHash};

/// The trees of a log.
#[derive(Default)]
pub(super) struct Forest {
    sizes: BTreeSet<u64>,
    trees: BTreeMap<Origin, Grown>,
}

/// An origin's tree.
#[derive(Default)]
pub(super) struct Grown {
    frontier: Frontier,
    /// The roots at the requested sizes.
    roots: BTreeMap<u64, TreeHash>,
    pub(super) gathered: GatheredHashes,
    pub(super) tiles: Tiles,
}

impl Forest {
    /// A tree that gives its roots at these sizes.
    pub(super) fn with_roots_at(sizes: impl IntoIterator<Item = u64>) -> Self {
        Self { sizes: sizes.into_iter().collect(), trees: BTreeMap::new() }
    }

    /// The tree of that origin, as far as it has grown.
    pub(super) fn tree(&mut self, origin: Origin) -> &mut Grown {
        self.trees.entry(origin).or_default()
    }

    pub(super) fn into_trees(self) -> BTreeMap<Origin, Grown> {
        self.trees
    }

    /// Whether nothing is requested of it, so that nothing need be hashed.
    pub(super) fn is_idle(&self) -> bool {
        self.sizes.is_empty() && self.trees.is_empty()
    }

    /// Adds a record's leaf to its origin's tree.
    pub(super) fn take(&mut self, origin: Origin, leaf: TreeHash) {
        let tree = self.trees.entry(origin).or_default();
        tree.append(leaf);
        if self.sizes.contains(&tree.frontier.size()) {
            tree.roots.insert(tree.frontier.size(), tree.frontier.root());
        }
    }
}

impl Grown {
    fn append(&mut self, leaf: TreeHash) {
        let Self { frontier, gathered, tiles, .. } = self;
        frontier.append(leaf, |node, hash| {
            gathered.take(node, hash);
            tiles.compare(node, hash);
        });
    }

    /// How many records it has.
    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root at a requested size, if the tree got there.
    pub(super) fn root_at(&self, size: u64) -> Option<TreeHash> {
        if size == 0 { Some(TreeHash::of_nothing()) } else { self.roots.get(&size).copied() }
    }
}
