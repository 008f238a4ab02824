//! Roots and proofs.

use authledger::domain::hex;
use authledger::tlog::{
    Frontier, GatheredHashes, TreeHash, Unproven, consistency_proof, cover, inclusion_proof, root, verify_consistency,
    verify_inclusion,
};
use proptest::prelude::*;
use serde_json::Value;

use super::{Plain, gathered, leaf, naive_root};

#[test]
fn the_published_leaves_have_the_published_roots() {
    let vectors: Value = serde_json::from_str(include_str!("../../../schema/vectors/rfc6962.json")).unwrap();
    let leaves: Vec<Vec<u8>> = vectors["leaves_hex"].as_array().unwrap().iter().map(bytes).collect();
    let mut frontier = Frontier::default();
    for (size, leaf) in (1..).zip(&leaves) {
        frontier.append(TreeHash::of_leaf(leaf), |_, _| {});
        assert_eq!(frontier.root().0.to_vec(), bytes(&vectors["roots_hex"][size.to_string()]), "{size} leaves");
    }
    assert_eq!(frontier.size(), 8);
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex::encode(&Frontier::default().root().0), nothing);
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn every_proof_of_every_small_tree_holds_and_is_the_one_that_a_gatherer_makes() {
    const MOST: u64 = 70;
    let leaves: Vec<_> = (0..MOST).map(leaf).collect();
    let plain = Plain::of(leaves.clone());
    for new in 0..=MOST {
        let new_root = naive_root(&leaves[..new as usize]);
        assert_eq!(root(new, &plain), Ok(new_root), "{new} leaves");
        for old in 0..=new {
            let proof = consistency_proof(old, new, &plain).unwrap();
            let old_root = naive_root(&leaves[..old as usize]);
            assert_eq!(verify_consistency((old, old_root), (new, new_root), &proof), Ok(()), "{old} to {new}");
        }
        for index in 0..new {
            let proof = inclusion_proof(index, new, &plain).unwrap();
            let leaf = TreeHash::of_leaf(&leaves[index as usize]);
            assert_eq!(verify_inclusion(index, leaf, new, new_root, &proof), Ok(()), "{index} in {new}");
        }
    }
    for (index, old) in [(0, 1), (69, 64), (41, 37)] {
        let mut few = GatheredHashes::default();
        few.want(|nodes| inclusion_proof(index, MOST, nodes));
        few.want(|nodes| consistency_proof(old, MOST, nodes));
        let few = gathered(MOST, few);
        assert_eq!(inclusion_proof(index, MOST, &few).ok(), inclusion_proof(index, MOST, &plain).ok());
        assert_eq!(consistency_proof(old, MOST, &few).ok(), consistency_proof(old, MOST, &plain).ok());
    }
}

proptest! {
    /// Another leaf, place, size, root or hash, one hash more or less: none of them is proven.
    #[test]
    fn a_proof_that_was_changed_proves_nothing(
        size in 2u64..400, index in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
    ) {
        let plain = Plain::of((0..size).map(leaf));
        let (index, old) = (index.index(size as usize) as u64, 1 + old.index(size as usize - 1) as u64);
        let tree = root(size, &plain).unwrap();
        let hash = TreeHash::of_leaf(&leaf(index));
        let other = TreeHash::of_leaf(b"another");
        let proof = inclusion_proof(index, size, &plain).unwrap();
        prop_assert!(verify_inclusion(index, other, size, tree, &proof).is_err());
        prop_assert!(verify_inclusion(index, hash, size, other, &proof).is_err());
        prop_assert!(verify_inclusion(index ^ 1, hash, size, tree, &proof).is_err());
        prop_assert_eq!(verify_inclusion(size, hash, size, tree, &proof), Err(Unproven::Shape));
        for forged in forgeries(&proof, other, at) {
            prop_assert!(verify_inclusion(index, hash, size, tree, &forged).is_err());
        }
        let earlier = (old, root(old, &plain).unwrap());
        let proof = consistency_proof(old, size, &plain).unwrap();
        prop_assert!(verify_consistency((old, other), (size, tree), &proof).is_err());
        prop_assert!(verify_consistency(earlier, (size, other), &proof).is_err());
        prop_assert!(verify_consistency((size, tree), earlier, &proof).is_err());
        for forged in forgeries(&proof, other, at) {
            prop_assert!(verify_consistency(earlier, (size, tree), &forged).is_err());
        }
    }

    /// A part of a tree, the leaves before it and the leaves after it make the whole.
    #[test]
    fn a_range_between_its_neighbours_makes_the_root(a in 0u64..300, b in 0u64..300, c in 0u64..300) {
        let mut cuts = [a, b, c];
        cuts.sort_unstable();
        let [begin, end, size] = cuts;
        let plain = Plain::of((0..size).map(leaf));
        let mut frontier = Frontier::load(begin, &plain).unwrap();
        (begin..end).for_each(|number| frontier.append(TreeHash::of_leaf(&leaf(number)), |_, _| {}));
        for node in cover(end, size) {
            prop_assert!(frontier.push(node.height, plain.nodes[&node]));
        }
        prop_assert_eq!(&frontier, &plain.frontier);
        prop_assert_eq!(Frontier::new(size, frontier.peaks().to_vec()), Some(frontier.clone()));
        let too_high = size.trailing_zeros() as u8 + 1;
        prop_assert!(size == 0 || !frontier.push(too_high, TreeHash::of_nothing()));
    }
}

fn forgeries(proof: &[TreeHash], other: TreeHash, at: prop::sample::Index) -> Vec<Vec<TreeHash>> {
    let mut longer = proof.to_vec();
    longer.insert(at.index(proof.len() + 1), other);
    let mut forged = vec![longer];
    if !proof.is_empty() {
        let at = at.index(proof.len());
        let (mut changed, mut shorter) = (proof.to_vec(), proof.to_vec());
        changed[at].0[0] ^= 1;
        shorter.remove(at);
        forged.extend([changed, shorter]);
    }
    forged
}
