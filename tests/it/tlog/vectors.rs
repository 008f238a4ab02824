//! The vectors of `schema/vectors/tree.json`: the tree over the records of `chain.json`, proofs, and a checkpoint.

use authledger::domain::hex;
use authledger::tlog::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyName, SignedNote, TreeHash, VerifierKey, consistency_proof,
    inclusion_proof, root,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::Plain;

/// Of the records of `chain.json`, those of the origin that has most.
const ORIGIN: &str = "k7m2qx4dnzr5a";
const SEED: [u8; 32] = [1; 32];

fn records() -> Vec<Vec<u8>> {
    let chain: Value = serde_json::from_str(include_str!("../../../schema/vectors/chain.json")).unwrap();
    let records = chain["records"].as_array().unwrap().iter().filter(|record| record["origin"] == ORIGIN);
    records.map(|record| record["record"].as_str().unwrap().as_bytes().to_vec()).collect()
}

fn hashes(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(TreeHash::to_string).collect()
}

fn made() -> Value {
    let records = records();
    let size = records.len() as u64;
    let plain = Plain::of(records.clone());
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let name = KeyName::of_origin(ORIGIN.parse().unwrap());
    let key = VerifierKey::new(name.clone(), public);
    let checkpoint = |size| -> SignedNote {
        let checkpoint = Checkpoint { origin: name.clone(), size, root: root(size, &plain).unwrap() };
        checkpoint.sign(&key, |message| pair.sign(message).as_ref().try_into().unwrap())
    };
    let inclusion = |index: u64| inclusion_proof(index, size, &plain).unwrap();
    let consistency = |old: u64| consistency_proof(old, size, &plain).unwrap();
    let index = size / 2;
    let proof = InclusionProof {
        record: records[index as usize].clone().into(),
        index,
        hashes: inclusion(index),
        checkpoint: checkpoint(size),
    };
    let extended =
        ConsistencyProof { old: checkpoint(index), hashes: consistency(index), checkpoint: checkpoint(size) };
    assert!(proof.verify(&key).is_ok() && extended.verify(&key).is_ok());
    json!({
        "about": "The Merkle tree (RFC 6962, SHA-256) over the records of one origin in chain.json, in their order; hashes in base64.",
        "origin": ORIGIN,
        "leaf_hashes": records.iter().map(|record| TreeHash::of_leaf(record).to_string()).collect::<Vec<_>>(),
        "roots": (0..=size).map(|size| root(size, &plain).unwrap().to_string()).collect::<Vec<_>>(),
        "inclusion": (0..size).map(|index| hashes(&inclusion(index))).collect::<Vec<_>>(),
        "consistency": (0..=size).map(|old| hashes(&consistency(old))).collect::<Vec<_>>(),
        "ed25519_seed": hex::encode(&SEED),
        "public_key": hex::encode(&public),
        "verifier_key": key.to_string(),
        "checkpoint": checkpoint(size).as_str(),
        "tlog_proof": proof.to_string(),
        "consistency_proof": extended.to_string(),
    })
}

#[test]
fn the_tree_of_the_vectors_is_the_one_that_is_made() {
    let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/vectors/tree.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        made,
        "UPDATE_SCHEMA=1 writes it anew; bytes that others read must not change"
    );
}
