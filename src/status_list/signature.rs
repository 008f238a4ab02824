//! Whether a published list is signed by a published key, without anything that only a server has.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Whether the signature is by that key (a JWK: RFC 7517, section 4) with that algorithm over the message. The key decides which algorithm
/// there can be.
pub fn verifies(jwk: &str, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    checked(jwk, algorithm, message, signature).unwrap_or_default()
}

fn checked(jwk: &str, algorithm: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
    let jwk: Value = serde_json::from_str(jwk).ok()?;
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(jwk[member].as_str()?).ok();
    Some(match (jwk["kty"].as_str()?, algorithm) {
        ("EC", "ES256") => {
            let point = [vec![4], bytes("x")?, bytes("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
        }
        ("OKP", "EdDSA") => UnparsedPublicKey::new(&ED25519, bytes("x")?).verify(message, signature).is_ok(),
        ("RSA", "RS256") => {
            let key = RsaPublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
        }
        _ => false,
    })
}
