//! Public keys in PEM, for verifiers that take files: a SubjectPublicKeyInfo (RFC 5280, section 4.1) in the form of
//! RFC 7468, section 13.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// Characters of a line: RFC 7468, section 2.
const LINE_CHARS: usize = 64;

/// The object identifiers, encoded, with the parameters that belong to them.
const EC_P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The public key of a JWK, if it is of a kind that signs this ledger's tokens.
pub fn public_key_pem(jwk: &Value) -> Option<String> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
    let (algorithm, key) = match (jwk["kty"].as_str()?, jwk["crv"].as_str()) {
        // An uncompressed point: SEC 1, section 2.3.3.
        ("EC", Some("P-256")) => (EC_P256, [vec![4], member("x")?, member("y")?].concat()),
        ("OKP", Some("Ed25519")) => (ED25519, member("x")?),
        ("RSA", None) => (RSA, der(SEQUENCE, &[unsigned(member("n")?), unsigned(member("e")?)].concat())),
        _ => return None,
    };
    // No bit of the last byte is unused.
    let key = der(BIT_STRING, &[&[0], &*key].concat());
    let info = STANDARD.encode(der(SEQUENCE, &[der(SEQUENCE, algorithm), key].concat()));
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    for line in info.as_bytes().chunks(LINE_CHARS) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    Some(pem + "-----END PUBLIC KEY-----\n")
}

/// A number without a sign: a leading bit that is set would make it negative.
fn unsigned(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.first().is_some_and(|first| *first >= 0x80) {
        bytes.insert(0, 0);
    }
    der(INTEGER, &bytes)
}

/// A value with its tag and length: X.690, section 8.1.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().skip_while(|byte| **byte == 0);
    let mut encoded = vec![tag];
    if content.len() < 0x80 {
        encoded.extend(significant.chain([0].iter().filter(|_| content.is_empty())));
    } else {
        encoded.push(0x80 | significant.clone().count() as u8);
        encoded.extend(significant);
    }
    encoded.extend_from_slice(content);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, SigningKey};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519 as ED25519_VERIFIED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        VerificationAlgorithm,
    };

    #[test]
    fn a_key_in_pem_verifies_what_the_key_signs() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = directory.path().join("keys");
        let verified: [(Algorithm, &'static dyn VerificationAlgorithm); 3] = [
            (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED),
            (Algorithm::EdDsa, &ED25519_VERIFIED),
            (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        ];
        for (algorithm, by) in verified {
            let key = SigningKey::generate(&keys, algorithm).expect("a key");
            let jwk: Value = serde_json::from_str(&key.public_jwk()).expect("JSON");
            let pem = public_key_pem(&jwk).expect("a known kind");
            let lines: Vec<&str> = pem.lines().collect();
            let [begin, between @ .., end] = &*lines else { panic!("{pem}") };
            assert_eq!((*begin, *end), ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"));
            let info = STANDARD.decode(between.concat()).expect("base64");
            // The library reads the form that it is given, and takes only a whole SubjectPublicKeyInfo here.
            let parsed = ParsedPublicKey::new(by, &info).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            let signature = key.sign(b"a message").expect("signed");
            assert!(parsed.verify_sig(b"a message", &signature).is_ok(), "{algorithm}");
        }
        assert_eq!(public_key_pem(&serde_json::json!({"kty": "EC", "crv": "P-384", "x": "", "y": ""})), None);
    }
}
