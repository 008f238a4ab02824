//! Proofs that the bearer of a token has the key that it is bound to: RFC 9449, section 4.
//!
//! There is no nonce (section 8), so a bearer can sign a proof ahead for a later minute (section 11.2). Each is accepted once.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::ParsedToken;
use super::binding::Binding;
use super::claims::numeric_date;
use super::key_set::{PublicKey, verify_signature};
use super::proof::{MAX_AGE_MILLIS, MAX_AHEAD_MILLIS, Possession, Proof, ProofError};
use super::target::TargetUri;
use super::used::{ProofMark, UsedProofs};
use crate::domain::{Thumbprint, Timestamp};
use crate::keys::Algorithm;

/// The members of a JWK that only the key's owner may know: RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1, and RFC 8037,
/// section 2.
pub(super) const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Verifies proofs, and remembers in this process which were used.
#[derive(Default)]
pub struct Proofs(UsedProofs);

impl Proofs {
    /// Whether the caller that presented the token has what it is bound to. A proof that is accepted is used up.
    pub fn check(
        &self,
        binding: &Binding,
        token: &str,
        shown: &Possession<'_>,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        if binding.is_unprovable {
            return Err(ProofError::Unprovable);
        }
        if binding.certificate.is_some() && shown.certificate != binding.certificate {
            return Err(ProofError::OtherCertificate);
        }
        match (&binding.key, &shown.proof) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(ProofError::Missing),
            (Some(key), Some(proof)) => self.0.take(verified(proof, token, key, now)?, now),
        }
    }
}

/// The mark of a proof that is valid now, for that token and key: RFC 9449, section 4.3.
fn verified(proof: &Proof<'_>, token: &str, key: &Thumbprint, now: Timestamp) -> Result<ProofMark, ProofError> {
    let (parsed, header) = ParsedToken::with_header(proof.text).map_err(ProofError::Unverified)?;
    if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(ProofError::OtherType);
    }
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(ProofError::UnusableKey)?;
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(ProofError::PrivateKey);
    }
    let public = PublicKey::from_value(Value::Object(jwk.clone()));
    let public = public.filter(|public| public.algorithm() == parsed.algorithm).ok_or(ProofError::UnusableKey)?;
    if thumbprint(jwk, parsed.algorithm) != *key {
        return Err(ProofError::OtherKey);
    }
    verify_signature(&parsed, &public).map_err(ProofError::Unverified)?;
    let claim = |name: &str| parsed.claims.get(name).and_then(Value::as_str);
    if claim("htm") != Some(proof.method) {
        return Err(ProofError::OtherMethod);
    }
    if claim("htu").and_then(|uri| TargetUri::new(uri).ok()).as_ref() != Some(proof.uri) {
        return Err(ProofError::OtherUri);
    }
    if claim("ath") != Some(&*hash(token.as_bytes())) {
        return Err(ProofError::OtherToken);
    }
    let made_at = parsed.claims.get("iat").and_then(numeric_date).ok_or(ProofError::NotNow)?;
    let made_at = Timestamp::default().plus_millis(made_at * 1_000);
    if made_at > now.plus_millis(MAX_AHEAD_MILLIS) || now > made_at.plus_millis(MAX_AGE_MILLIS) {
        return Err(ProofError::NotNow);
    }
    let jti = claim("jti").filter(|jti| !jti.is_empty()).ok_or(ProofError::MissingId)?;
    Ok(ProofMark::of(key, jti))
}

/// RFC 7638: over the members that the key needs, in the order of their names.
fn thumbprint(jwk: &Map<String, Value>, algorithm: Algorithm) -> Thumbprint {
    let members: &[&str] = match algorithm {
        Algorithm::Es256 => &["crv", "kty", "x", "y"],
        Algorithm::EdDsa => &["crv", "kty", "x"],
        Algorithm::Rs256 => &["e", "kty", "n"],
    };
    // The keys of a BTreeMap are sorted, and serde_json writes no spaces.
    let needed: std::collections::BTreeMap<_, _> = members.iter().map(|name| (name, jwk.get(*name))).collect();
    Thumbprint::from_bytes(sha256(json!(needed).to_string().as_bytes()))
}

/// `ath`: RFC 9449, section 4.2.
fn hash(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(token))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::TokenError;
    use crate::keys::SigningKey;

    const NOW: u64 = 1_800_000_000;
    const TOKEN: &str = "al_o_a-bound-token";
    const URI: &str = "https://api.example/reports";

    /// RFC 9449, section 4.2, figure 2, and section 7.1, figure 12.
    const RFC_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const RFC_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

    struct Maker {
        key: SigningKey,
        header: Value,
        claims: Value,
        _keys: tempfile::TempDir,
    }

    impl Maker {
        fn new(algorithm: Algorithm) -> Self {
            let keys = tempfile::tempdir().expect("a directory");
            let key = SigningKey::generate(&keys.path().join("keys"), algorithm).expect("a new key");
            let jwk: Value = serde_json::from_str(&key.public_jwk()).expect("a JWK");
            let header = json!({"typ": "dpop+jwt", "alg": algorithm.as_str(), "jwk": jwk});
            let claims = json!({"jti": "one", "htm": "GET", "htu": URI, "iat": NOW, "ath": hash(TOKEN.as_bytes())});
            Self { key, header, claims, _keys: keys }
        }

        fn text(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
            let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
            change(&mut header, &mut claims);
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(&header), part(&claims));
            let signature = self.key.sign(signed.as_bytes()).expect("a signature");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        fn thumbprint(&self) -> Thumbprint {
            let jwk = self.header["jwk"].as_object().expect("a JWK");
            thumbprint(jwk, self.key.algorithm())
        }

        fn verified(&self) -> Result<ProofMark, ProofError> {
            self.with(|_, _| {})
        }

        fn verified_with(&self, text: &str) -> Result<ProofMark, ProofError> {
            judged(text, &self.thumbprint(), TOKEN, NOW * 1_000)
        }

        fn with(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Result<ProofMark, ProofError> {
            self.verified_with(&self.text(change))
        }
    }

    fn judged(text: &str, key: &Thumbprint, token: &str, now_millis: u64) -> Result<ProofMark, ProofError> {
        let uri = TargetUri::new(URI).expect("an address");
        let now = Timestamp::default().plus_millis(now_millis);
        verified(&Proof { text, method: "GET", uri: &uri }, token, key, now)
    }

    #[test]
    fn the_proof_of_rfc_9449_is_verified() {
        // Section 6.1, figure 8.
        let key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().expect("a thumbprint");
        let uri = TargetUri::new("https://resource.example.org/protectedresource").expect("an address");
        let proof = Proof { text: RFC_PROOF, method: "GET", uri: &uri };
        let at = |seconds: u64| Timestamp::default().plus_millis(seconds * 1_000);
        assert!(verified(&proof, RFC_TOKEN, &key, at(1_562_262_618)).is_ok());
        assert_eq!(verified(&proof, RFC_TOKEN, &key, at(NOW)).err(), Some(ProofError::NotNow));
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638_and_rfc_8037() {
        let rsa = json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        for (jwk, algorithm, due) in [
            (rsa, Algorithm::Rs256, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (ed25519, Algorithm::EdDsa, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ] {
            assert_eq!(thumbprint(jwk.as_object().expect("an object"), algorithm).to_string(), due);
        }
    }

    #[test]
    fn a_proof_of_each_algorithm_is_accepted() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            assert!(Maker::new(algorithm).verified().is_ok(), "{algorithm}");
        }
    }

    #[test]
    fn each_thing_that_can_be_wrong_with_a_proof_is_refused() {
        let maker = Maker::new(Algorithm::Es256);
        let other = Maker::new(Algorithm::Es256);
        let refused = |due: ProofError, change: &dyn Fn(&mut Value, &mut Value)| {
            assert_eq!(maker.with(change).err(), Some(due));
        };
        for typ in [Value::Null, json!("JWT"), json!("at+jwt"), json!("DPOP+JWT"), json!(1)] {
            refused(ProofError::OtherType, &|header, _| header["typ"] = typ.clone());
        }
        for jwk in [Value::Null, json!("k"), json!({}), json!([]), json!({"kty": "oct", "x": "AAAA"})] {
            refused(ProofError::UnusableKey, &|header, _| header["jwk"] = jwk.clone());
        }
        refused(ProofError::UnusableKey, &|header, _| header["jwk"]["use"] = json!("enc"));
        for private in PRIVATE {
            refused(ProofError::PrivateKey, &|header, _| header["jwk"][private] = json!("AAAA"));
        }
        refused(ProofError::OtherKey, &|header, _| header["jwk"] = other.header["jwk"].clone());
        for alg in ["EdDSA", "RS256"] {
            refused(ProofError::UnusableKey, &|header, _| header["alg"] = json!(alg));
        }
        for (alg, wrong) in
            [("none", TokenError::Unsigned), ("HS256", TokenError::Hmac), ("ES384", TokenError::UnsupportedAlgorithm)]
        {
            refused(ProofError::Unverified(wrong), &|header, _| header["alg"] = json!(alg));
        }
        refused(ProofError::Unverified(TokenError::Critical), &|header, _| header["crit"] = json!(["b64"]));
        for htm in [Value::Null, json!("POST"), json!("get"), json!("")] {
            refused(ProofError::OtherMethod, &|_, claims| claims["htm"] = htm.clone());
        }
        for htu in [Value::Null, json!("https://api.example/"), json!("http://api.example/reports"), json!("/reports")]
        {
            refused(ProofError::OtherUri, &|_, claims| claims["htu"] = htu.clone());
        }
        for ath in [Value::Null, json!(hash(b"another")), json!(TOKEN), json!(format!("{}=", hash(TOKEN.as_bytes())))] {
            refused(ProofError::OtherToken, &|_, claims| claims["ath"] = ath.clone());
        }
        for iat in [Value::Null, json!("now"), json!(-1), json!(NOW - 66), json!(NOW + 6), json!(u64::MAX)] {
            refused(ProofError::NotNow, &|_, claims| claims["iat"] = iat.clone());
        }
        for jti in [Value::Null, json!(""), json!(7)] {
            refused(ProofError::MissingId, &|_, claims| claims["jti"] = jti.clone());
        }
        for good in [NOW - 65, NOW, NOW + 5] {
            assert!(maker.with(|_, claims| claims["iat"] = json!(good)).is_ok(), "{good}");
        }
        assert!(maker.with(|_, claims| claims["htu"] = json!("HTTPS://API.example:443/x/../reports?a#b")).is_ok());
    }

    #[test]
    fn a_proof_that_another_key_signed_or_that_was_changed_is_refused() {
        let (maker, other) = (Maker::new(Algorithm::Es256), Maker::new(Algorithm::Es256));
        let wrong = Some(ProofError::Unverified(TokenError::BadSignature));
        let claims_the_key = Maker { header: maker.header.clone(), ..other };
        assert_eq!(maker.verified_with(&claims_the_key.text(|_, _| {})).err(), wrong);
        let proof = maker.text(|_, _| {});
        let (signed, signature) = proof.rsplit_once('.').expect("three parts");
        let (header, _) = signed.split_once('.').expect("three parts");
        let later = URL_SAFE_NO_PAD.encode(json!({"jti": "two"}).to_string());
        assert_eq!(maker.verified_with(&format!("{header}.{later}.{signature}")).err(), wrong);
        for text in ["", "a", "a.b", "a.b.c", &proof[1..]] {
            assert!(matches!(maker.verified_with(text), Err(ProofError::Unverified(_))), "{text}");
        }
    }

    #[test]
    fn possession_of_everything_that_a_token_is_bound_to_is_proven_once() {
        let maker = Maker::new(Algorithm::EdDsa);
        let (proofs, now) = (Proofs::default(), Timestamp::default().plus_millis(NOW * 1_000));
        let uri = TargetUri::new(URI).expect("an address");
        let (one, other) = (Thumbprint::from_bytes([1; 32]), Thumbprint::from_bytes([2; 32]));
        let bound = |key, certificate, is_unprovable| Binding { key, certificate, is_unprovable, cnf: Map::new() };
        let check = |binding: &Binding, jti: Option<&str>, certificate| {
            let text = jti.map(|jti| maker.text(|_, claims| claims["jti"] = json!(jti)));
            let proof = text.as_deref().map(|text| Proof { text, method: "GET", uri: &uri });
            proofs.check(binding, TOKEN, &Possession { proof, certificate }, now)
        };
        let key = Some(maker.thumbprint());
        let to_key = bound(key, None, false);
        assert_eq!(check(&to_key, None, Some(one)), Err(ProofError::Missing));
        assert_eq!(check(&to_key, Some("a"), None), Ok(()));
        assert_eq!(check(&to_key, Some("a"), None), Err(ProofError::UsedBefore));
        let to_certificate = bound(None, Some(one), false);
        assert_eq!(check(&to_certificate, Some("b"), None), Err(ProofError::OtherCertificate));
        assert_eq!(check(&to_certificate, None, Some(other)), Err(ProofError::OtherCertificate));
        assert_eq!([(); 2].map(|()| check(&to_certificate, None, Some(one))), [Ok(()); 2]);
        let to_both = bound(key, Some(one), false);
        assert_eq!(check(&to_both, Some("c"), Some(other)), Err(ProofError::OtherCertificate));
        assert_eq!(check(&to_both, None, Some(one)), Err(ProofError::Missing));
        assert_eq!(check(&to_both, Some("c"), Some(one)), Ok(()), "what was refused is not used up");
        assert_eq!(check(&bound(key, Some(one), true), Some("d"), Some(one)), Err(ProofError::Unprovable));
    }
}
