//! The tree and the texts that others' tools check, against published vectors, a naive tree, and forgers.

pub mod cosigned;
mod notes;
mod proofs;
mod tiles;
mod vectors;

use authledger::tlog::{Frontier, GatheredHashes, Nodes, TreeHash, TreeNode};

/// Every subtree of a tree, kept in the plainest way.
#[derive(Default)]
pub(crate) struct Plain {
    pub(crate) frontier: Frontier,
    nodes: std::collections::BTreeMap<TreeNode, TreeHash>,
}

impl Plain {
    pub(crate) fn of(leaves: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut plain = Self::default();
        plain.append(leaves);
        plain
    }

    pub(crate) fn append(&mut self, leaves: impl IntoIterator<Item = Vec<u8>>) {
        let Self { frontier, nodes } = self;
        for leaf in leaves {
            frontier.append(TreeHash::of_leaf(&leaf), |node, hash| assert!(nodes.insert(node, hash).is_none()));
        }
    }
}

impl Nodes for Plain {
    type Error = TreeNode;

    fn load(&self, node: TreeNode) -> Result<TreeHash, TreeNode> {
        self.nodes.get(&node).copied().ok_or(node)
    }
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

/// RFC 6962, section 2.1, as it is written there.
fn naive_root(leaves: &[Vec<u8>]) -> TreeHash {
    match leaves {
        [] => TreeHash::of_nothing(),
        [leaf] => TreeHash::of_leaf(leaf),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            TreeHash::of_children(&naive_root(left), &naive_root(right))
        }
    }
}

/// The hashes that a proof needs, gathered while a tree of that size grows.
fn gathered(size: u64, mut gathered: GatheredHashes) -> GatheredHashes {
    let mut frontier = Frontier::default();
    (0..size)
        .for_each(|number| frontier.append(TreeHash::of_leaf(&leaf(number)), |node, hash| gathered.take(node, hash)));
    gathered
}
