//! The few hashes that a proof needs, picked while a tree of any size grows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use super::hash::TreeHash;
use super::tree::{Nodes, TreeNode};

/// Hashes of the subtrees that a computation needs: some sixty for each proof, however large the tree is.
#[derive(Clone, Debug, Default)]
pub struct GatheredHashes(BTreeMap<TreeNode, Option<TreeHash>>);

/// The tree did not grow far enough for that subtree to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subtree of height {} and index {} is not complete in this tree", .0.height, .0.index)]
pub struct Missing(pub TreeNode);

impl GatheredHashes {
    /// Also wants the hashes that `compute` asks for.
    pub fn want<T>(&mut self, compute: impl FnOnce(&RequestedNodes) -> Result<T, Infallible>) {
        let asked = RequestedNodes::default();
        let Ok(_) = compute(&asked);
        self.0.extend(asked.0.into_inner().into_iter().map(|node| (node, None)));
    }

    /// Keeps the hash if it is wanted: for [`Frontier::append`](super::Frontier::append), which gives every subtree
    /// once.
    pub fn take(&mut self, node: TreeNode, hash: TreeHash) {
        if let Some(wanted) = self.0.get_mut(&node) {
            *wanted = Some(hash);
        }
    }
}

impl Nodes for GatheredHashes {
    type Error = Missing;

    fn load(&self, node: TreeNode) -> Result<TreeHash, Missing> {
        self.0.get(&node).copied().flatten().ok_or(Missing(node))
    }
}

/// Stands for a tree and notes the requested hashes.
#[derive(Debug, Default)]
pub struct RequestedNodes(RefCell<Vec<TreeNode>>);

impl Nodes for RequestedNodes {
    type Error = Infallible;

    fn load(&self, node: TreeNode) -> Result<TreeHash, Infallible> {
        self.0.borrow_mut().push(node);
        Ok(TreeHash([0; TreeHash::BYTES]))
    }
}
