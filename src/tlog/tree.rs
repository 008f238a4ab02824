//! The tree itself: growing it, its root, and the proofs of RFC 6962, section 2.1, with the checks of RFC 9162, section 2.1.
//!
//! A keeper of a tree gives the hashes of its *perfect* subtrees ([`Nodes`]); everything else follows from those.

use super::hash::TreeHash;

/// A perfect subtree: 2^`height` leaves, of which the first is leaf `index` · 2^`height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeNode {
    /// 0 is a leaf.
    pub height: u8,
    /// Its place among those of that height.
    pub index: u64,
}

/// A keeper of the hashes of perfect subtrees.
pub trait Nodes {
    /// Why a hash can't be given.
    type Error;

    /// The hash of that subtree, which is complete.
    fn load(&self, node: TreeNode) -> Result<TreeHash, Self::Error>;
}

/// The fewest perfect subtrees side by side over the leaves from `begin` up to and without `end`.
pub fn cover(mut begin: u64, end: u64) -> impl Iterator<Item = TreeNode> {
    std::iter::from_fn(move || {
        let longest = end.checked_sub(begin)?.checked_ilog2()?;
        // A subtree starts at a multiple of its size; leaf 0 is a multiple of all.
        let height = if begin == 0 { longest } else { longest.min(begin.trailing_zeros()) };
        let node = TreeNode { height: height as u8, index: begin >> height };
        begin += 1 << height;
        Some(node)
    })
}

/// The right edge of a tree: enough to add to it, and to know its root. It has one hash for each bit that is set in the
/// size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the subtrees of [`cover`] over the whole tree, from left to right.
    peaks: Vec<TreeHash>,
}

impl Frontier {
    /// The edge of a tree of that size with those subtrees, if their number is right.
    pub fn new(size: u64, peaks: Vec<TreeHash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// The edge of the tree of that size which `nodes` keeps.
    pub fn load<N: Nodes>(size: u64, nodes: &N) -> Result<Self, N::Error> {
        let peaks = cover(0, size).map(|node| nodes.load(node)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the subtrees of [`cover`] over the whole tree, from left to right.
    pub fn peaks(&self) -> &[TreeHash] {
        &self.peaks
    }

    /// Adds a leaf, and reports the perfect subtrees that it completes: the leaf itself first, the largest last.
    pub fn append(&mut self, leaf: TreeHash, made: impl FnMut(TreeNode, TreeHash)) {
        self.extend(0, leaf, made);
    }

    /// Adds a perfect subtree of that height. False, and nothing is added, if the tree has no place for one of that
    /// height.
    pub fn push(&mut self, height: u8, subtree: TreeHash) -> bool {
        let fits = height < 64 && self.size.trailing_zeros() >= u32::from(height);
        if fits {
            self.extend(height, subtree, |_, _| {});
        }
        fits
    }

    /// The root of the whole tree: RFC 6962's Merkle Tree Hash.
    pub fn root(&self) -> TreeHash {
        join(self.peaks.iter().copied()).unwrap_or_else(TreeHash::of_nothing)
    }

    fn extend(&mut self, mut height: u8, mut hash: TreeHash, mut made: impl FnMut(TreeNode, TreeHash)) {
        let first = self.size;
        self.size += 1 << height;
        loop {
            made(TreeNode { height, index: first >> height }, hash);
            // Beside a left sibling it completes the subtree above.
            if first >> height & 1 == 0 {
                break;
            }
            let Some(left) = self.peaks.pop() else { break };
            hash = TreeHash::of_children(&left, &hash);
            height += 1;
        }
        self.peaks.push(hash);
    }
}

/// The root of the tree of that size.
pub fn root<N: Nodes>(size: u64, nodes: &N) -> Result<TreeHash, N::Error> {
    Ok(Frontier::load(size, nodes)?.root())
}

/// The proof that leaf `index` is in the tree of that size: RFC 6962, section 2.1.1. `index` must be below `size`.
pub fn inclusion_proof<N: Nodes>(index: u64, size: u64, nodes: &N) -> Result<Vec<TreeHash>, N::Error> {
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = split(begin, end);
        let beside = if index < middle { (middle, end) } else { (begin, middle) };
        proof.push(subtree(beside.0, beside.1, nodes)?);
        if index < middle { end = middle } else { begin = middle }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of size `old` is the beginning of the one of size `new`: RFC 6962, section 2.1.2. Empty if
/// `old` is 0 or `new`; `old` must not be above `new`.
pub fn consistency_proof<N: Nodes>(old: u64, new: u64, nodes: &N) -> Result<Vec<TreeHash>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, new);
    while end != old {
        let middle = split(begin, end);
        let beside = if old <= middle { (middle, end) } else { (begin, middle) };
        proof.push(subtree(beside.0, beside.1, nodes)?);
        if old <= middle { end = middle } else { begin = middle }
    }
    // A verifier has the old root; if it is a subtree of the new tree, the proof does not repeat it.
    if begin != 0 {
        proof.push(subtree(begin, end, nodes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// A proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The numbers can't be right, whatever the hashes are.
    #[error("it has the wrong number of hashes for these sizes, or names a leaf or a size beyond the tree")]
    Shape,
    /// The hashes lead elsewhere.
    #[error("its hashes lead to {computed}, and the tree's root is {root}")]
    Root {
        /// The root from the hashes.
        computed: TreeHash,
        /// The expected root.
        root: TreeHash,
    },
    /// The hashes do not lead to the root of the earlier tree.
    #[error("its hashes lead to {computed} for the earlier tree, whose root is {root}")]
    OldRoot {
        /// The root from the hashes.
        computed: TreeHash,
        /// The expected root.
        root: TreeHash,
    },
}

/// Checks that a leaf is in the tree of that size and root: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(
    index: u64,
    leaf: TreeHash,
    size: u64,
    root: TreeHash,
    proof: &[TreeHash],
) -> Result<(), Unproven> {
    if index >= size {
        return Err(Unproven::Shape);
    }
    let (mut place, mut last, mut computed) = (index, size - 1, leaf);
    for beside in proof {
        if last == 0 {
            return Err(Unproven::Shape);
        }
        if place & 1 == 1 || place == last {
            computed = TreeHash::of_children(beside, &computed);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            computed = TreeHash::of_children(&computed, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    match (last, computed == root) {
        (0, true) => Ok(()),
        (0, false) => Err(Unproven::Root { computed, root }),
        _ => Err(Unproven::Shape),
    }
}

/// Checks that the tree of the first size and root is the beginning of the second: RFC 9162, section 2.1.4.2.
pub fn verify_consistency(old: (u64, TreeHash), new: (u64, TreeHash), proof: &[TreeHash]) -> Result<(), Unproven> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size || ((old_size == 0 || old_size == new_size) && !proof.is_empty()) {
        return Err(Unproven::Shape);
    }
    if old_size == 0 || old_size == new_size {
        let due = if old_size == 0 { TreeHash::of_nothing() } else { new_root };
        return if old_root == due { Ok(()) } else { Err(Unproven::OldRoot { computed: due, root: old_root }) };
    }
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    // If the old tree is perfect, its root is the start of the path, and the proof leaves it out.
    let (start, rest) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (*first, rest),
        None => return Err(Unproven::Shape),
    };
    let (mut old_computed, mut new_computed) = (start, start);
    for beside in rest {
        if last == 0 {
            return Err(Unproven::Shape);
        }
        if place & 1 == 1 || place == last {
            old_computed = TreeHash::of_children(beside, &old_computed);
            new_computed = TreeHash::of_children(beside, &new_computed);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_computed = TreeHash::of_children(&new_computed, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Unproven::Shape);
    }
    if old_computed != old_root {
        return Err(Unproven::OldRoot { computed: old_computed, root: old_root });
    }
    if new_computed != new_root {
        return Err(Unproven::Root { computed: new_computed, root: new_root });
    }
    Ok(())
}

/// Where RFC 6962 divides a subtree of more than one leaf: after the largest power of two that is below its size.
fn split(begin: u64, end: u64) -> u64 {
    begin + (1 << (end - begin - 1).ilog2())
}

/// The root over the leaves from `begin`, a multiple of a power of two that is no less than their number, up to `end`.
fn subtree<N: Nodes>(begin: u64, end: u64, nodes: &N) -> Result<TreeHash, N::Error> {
    let peaks = cover(begin, end).map(|node| nodes.load(node)).collect::<Result<Vec<_>, _>>()?;
    Ok(join(peaks.into_iter()).unwrap_or_else(TreeHash::of_nothing))
}

/// Subtrees that lie side by side, from the largest to the smallest, under one root.
fn join(peaks: impl DoubleEndedIterator<Item = TreeHash>) -> Option<TreeHash> {
    peaks.rev().reduce(|right, left| TreeHash::of_children(&left, &right))
}
