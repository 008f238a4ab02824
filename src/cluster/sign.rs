//! Signatures of nodes: Ed25519, RFC 8032, over texts that each begin with their purpose.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{Malformed, NodeKey};

/// A signature: 64 bytes, in base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// Signatures that each of two halves of a thread's memory holds at most: 32 bytes each.
const HALF_VERIFIED: usize = 1_024;
const CONTEXT: &str = "authledger 2026 verified node signature v1";

thread_local! {
    static VERIFIED: RefCell<VerifiedSignatures> = RefCell::default();
}

/// Whether the node with that key signed these bytes.
///
/// The same head comes with each page that ends there, and the same announcement from several sides: a recently
/// verified signature is recognised by a digest over key, signature and message.
pub fn verify(key: NodeKey, message: &[u8], signature: &Signature) -> bool {
    let digest = digest_of(key, message, signature);
    if VERIFIED.with_borrow(|verified| verified.has(&digest)) {
        return true;
    }
    let is_good = UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, &signature.0).is_ok();
    if is_good {
        VERIFIED.with_borrow_mut(|verified| verified.add(digest));
    }
    is_good
}

fn digest_of(key: NodeKey, message: &[u8], signature: &Signature) -> [u8; 32] {
    let mut digest = blake3::Hasher::new_derive_key(CONTEXT);
    // The first two have a fixed length, so that no two triples read alike.
    digest.update(key.as_bytes()).update(&signature.0).update(message);
    *digest.finalize().as_bytes()
}

/// Recently verified signatures. Those older than a half are dropped with the half before.
#[derive(Default)]
struct VerifiedSignatures {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl VerifiedSignatures {
    fn has(&self, digest: &[u8; 32]) -> bool {
        self.young.contains(digest) || self.old.contains(digest)
    }

    fn add(&mut self, digest: [u8; 32]) {
        self.young.insert(digest);
        if self.young.len() >= HALF_VERIFIED {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signature {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FORM: Malformed = Malformed("a signature of 64 bytes in base64url");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| FORM)?;
        bytes.try_into().map(Self).map_err(|_| FORM)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn a_verified_signature_verifies_nothing_else_and_memory_is_bounded() {
        let pair = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        let key = |pair: &Ed25519KeyPair| NodeKey::from_bytes(pair.public_key().as_ref().try_into().expect("32 bytes"));
        let (one, other) = (pair(1), pair(2));
        for n in 0..3 * HALF_VERIFIED {
            let message = n.to_be_bytes();
            let signature = Signature(one.sign(&message).as_ref().try_into().expect("64 bytes"));
            for _ in 0..2 {
                assert!(verify(key(&one), &message, &signature));
                assert!(!verify(key(&other), &message, &signature));
                assert!(!verify(key(&one), b"another", &signature));
            }
            let digest = digest_of(key(&one), &message, &signature);
            assert!(VERIFIED.with_borrow(|verified| verified.has(&digest)), "it is verified once");
        }
        VERIFIED.with_borrow(|verified| assert!(verified.young.len() + verified.old.len() <= 2 * HALF_VERIFIED));
    }
}
