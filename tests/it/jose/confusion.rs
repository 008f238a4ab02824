//! Tokens that pretend to be other ones.

use authledger::domain::{CredentialRef, TokenId};
use authledger::jose::Profile;
use authledger::jose::{TokenError, TokenTimeError};
use authledger::keys::Algorithm;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ISSUER, Judge, NOW, OURS, Signer, claims, decode, encode, own_claims};

const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
const WRONG_SIGNATURE: &str = "verify the token: its signature is wrong";
const NO_SUCH_KEY: &str = "verify the token: its issuer has no such key for this algorithm";
const NOT_BASE64URL: &str = "read the token: a part of it is not base64url without padding and without stray bits";
const HMAC: &str = "read the token: its `alg` is an HMAC, which any of its verifiers could have made";

#[tokio::test]
async fn a_valid_token_of_each_algorithm_is_what_it_says() {
    for algorithm in ALL {
        let judge = Judge::new(algorithm);
        let times = json!({"iat": 1_799_999_999.9, "nbf": 1_799_999_000, "exp": 1_800_000_001});
        let token = judge.verify(&judge.theirs.token(&claims(times))).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&*token.issuer, token.ours, token.clock_leeway_seconds), (ISSUER, false, 5));
        assert_eq!(token.identity.jti().map(TokenId::as_str), Some("id"));
        assert_eq!((token.tenant.as_str(), token.subject.as_given().as_str()), ("one", "somebody"));
        assert_eq!((token.issued_at, token.expires_at), (Some(1_799_999_999), Some(1_800_000_001)));
        assert_eq!(token.check_times(NOW), Ok(()));
        assert_eq!(token.check_times(NOW + 1000), Err(TokenTimeError::Expired));
        let own = judge.verify(&judge.ours.token(&own_claims(json!({"gen": {"o": 1}})))).await.expect("valid");
        assert_eq!((&*own.issuer, own.ours, own.generation.len()), (OURS, true, 1));
    }
}

#[tokio::test]
async fn another_library_verifies_what_we_sign() {
    for algorithm in ALL {
        let signer = Signer::new(algorithm);
        let token = signer.token(&claims(json!({})));
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&signer.key.public_jwk()).unwrap();
        assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), signer.key.kid());
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let mut validation = jsonwebtoken::Validation::new(header.alg);
        validation.required_spec_claims.clear();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!((read.claims, read.header.typ.as_deref()), (claims(json!({})), Some("JWT")));
        assert_eq!(read.header.kid.as_deref(), Some(signer.key.kid()));
    }
}

#[tokio::test]
async fn a_token_that_nobody_signed_is_refused_however_it_spells_none() {
    let judge = Judge::new(Algorithm::Es256);
    for none in ["none", "None", "NONE", "nOnE"] {
        let header = json!({"alg": none, "kid": judge.theirs.key.kid()}).to_string();
        let refused = "read the token: its `alg` is none, so nobody has signed it";
        let unsigned = format!("{}.{}.", encode(&header), encode(claims(json!({})).to_string()));
        assert_eq!(judge.refusal(&unsigned).await, refused);
        assert_eq!(judge.refusal(&judge.theirs.raw(&header, "{}")).await, refused);
    }
    let empty = format!("{}.{}.", encode(judge.theirs.header()), encode(claims(json!({})).to_string()));
    assert_eq!(judge.refusal(&empty).await, WRONG_SIGNATURE);
}

/// Everything that is public about the key and could be taken for the secret of an HMAC.
pub fn public_forms(signer: &Signer) -> Vec<Vec<u8>> {
    let jwk: Value = serde_json::from_str(&signer.key.public_jwk()).unwrap();
    let member = |name: &str| decode(jwk[name].as_str().unwrap());
    // RFC 5480: the algorithm's identifiers, then the uncompressed point.
    let mut der =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"
            .to_vec();
    der.extend([member("x"), member("y")].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let x = jwk["x"].as_str().unwrap().as_bytes().to_vec();
    vec![der, pem.into_bytes(), member("x"), x, signer.key.public_jwk().into_bytes(), Vec::new()]
}

#[tokio::test]
async fn a_public_key_is_never_the_secret_of_an_hmac() {
    let judge = Judge::new(Algorithm::Es256);
    for secret in public_forms(&judge.theirs) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        for (algorithm, refused) in [("HS256", HMAC), ("hs512", HMAC), ("ES256", WRONG_SIGNATURE)] {
            let header = json!({"alg": algorithm, "kid": judge.theirs.key.kid()}).to_string();
            let signed = format!("{}.{}", encode(header), encode(claims(json!({})).to_string()));
            let token = format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())));
            assert_eq!(judge.refusal(&token).await, refused);
        }
    }
}

#[tokio::test]
async fn a_key_is_the_one_that_the_header_names_for_the_algorithm_that_it_is_for() {
    let judge = Judge::new(Algorithm::Es256);
    let payload = claims(json!({})).to_string();
    let stranger = Signer::new(Algorithm::Es256);
    for (header, refused) in [
        (json!({"alg": "ES256", "kid": "other"}).to_string(), NO_SUCH_KEY),
        (json!({"alg": "ES256", "kid": ""}).to_string(), NO_SUCH_KEY),
        (json!({"alg": "EdDSA", "kid": judge.theirs.key.kid()}).to_string(), NO_SUCH_KEY),
        (json!({"alg": "RS256"}).to_string(), NO_SUCH_KEY),
        (
            json!({"alg": "ES384", "kid": judge.theirs.key.kid()}).to_string(),
            "read the token: its `alg` is not one of ES256, EdDSA and RS256",
        ),
        (json!({"kid": "x"}).to_string(), "read the token: its header has no `alg`"),
        (json!({"alg": "ES256", "kid": 7}).to_string(), "read the token: the `kid` in its header is not a string"),
        (
            json!({"alg": "ES256", "crit": ["exp"], "exp": 1}).to_string(),
            "read the token: its header has `crit`, but no extension is supported here",
        ),
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#.to_owned(), "read the token: its header has more than one `kid`"),
        (
            r#"{"alg":"ES256","kid":"a","\u006bid":"b"}"#.to_owned(),
            "read the token: its header has more than one `kid`",
        ),
        (r#"{"alg":"ES256","alg":"ES256"}"#.to_owned(), "read the token: a member of its header is given twice"),
        ("7".to_owned(), "read the token: its header is not a JSON object"),
    ] {
        assert_eq!(judge.refusal(&judge.theirs.raw(&header, &payload)).await, refused, "{header}");
    }
    // A key that the token brings along proves nothing.
    let jwk: Value = serde_json::from_str(&stranger.key.public_jwk()).unwrap();
    let header = json!({"alg": "ES256", "kid": judge.theirs.key.kid(), "jwk": jwk, "jku": "http://127.0.0.1:1/"});
    assert_eq!(judge.refusal(&stranger.raw(&header.to_string(), &payload)).await, WRONG_SIGNATURE);
    assert!(judge.verify(&judge.theirs.raw(r#"{"alg":"ES256"}"#, &payload)).await.is_ok(), "there is one key only");
}

#[tokio::test]
async fn an_issuer_speaks_with_its_own_keys_for_its_own_tenants() {
    let judge = Judge::new(Algorithm::Es256);
    let (theirs, ours) = (&judge.theirs, &judge.ours);
    let foreign = "accept the token: its issuer is not trusted for this tenant";
    for (token, refused) in [
        (
            theirs.token(&claims(json!({"iss": "https://other.example"}))),
            "verify the token: its issuer is not trusted here",
        ),
        (
            theirs.token(&claims(json!({"iss": format!("{ISSUER}/")}))),
            "verify the token: its issuer is not trusted here",
        ),
        (theirs.token(&claims(json!({"iss": null}))), "verify the token: it does not name an issuer (`iss`)"),
        (theirs.token(&claims(json!({"iss": [ISSUER]}))), "verify the token: it does not name an issuer (`iss`)"),
        (theirs.token(&claims(json!({"iss": OURS}))), NO_SUCH_KEY),
        (ours.token(&own_claims(json!({"iss": ISSUER}))), NO_SUCH_KEY),
        (
            ours.raw(r#"{"alg":"ES256"}"#, &own_claims(json!({})).to_string()),
            "verify the token: it does not name a key (`kid`), but its issuer has several",
        ),
        (theirs.token(&claims(json!({"oid": "three"}))), foreign),
        (theirs.token(&claims(json!({"oid": null, "aud": "three"}))), foreign),
        (theirs.token(&claims(json!({"oid": null, "aud": ["three", "four"]}))), foreign),
        (theirs.token(&claims(json!({"oid": "three", "aud": "one"}))), foreign),
        (theirs.token(&claims(json!({"oid": null}))), "accept the token: it does not name a tenant (`oid` or `aud`)"),
        (
            ours.token(&own_claims(json!({"oid": null, "aud": "one"}))),
            "accept the token: it does not name a tenant (`oid` or `aud`)",
        ),
        (
            theirs.token(&claims(json!({"oid": 1}))),
            "accept the token: its tenant (`oid` or `aud`) is not a string of 1 to 255 bytes without control characters",
        ),
        (
            theirs.token(&claims(json!({"sub": null}))),
            "accept the token: it does not name a subject (`person_id` or `sub`)",
        ),
        (
            theirs.token(&claims(json!({"sub": ""}))),
            "accept the token: its subject is not a string of 1 to 255 bytes without control characters",
        ),
        (
            theirs.token(&claims(json!({"jti": ""}))),
            "accept the token: its id (`jti`) is not a string of 1 to 255 bytes without control characters",
        ),
        (
            theirs.token(&claims(json!({"exp": -1}))),
            "accept the token: its `exp` is not a number of seconds since 1970",
        ),
        (
            theirs.token(&claims(json!({"iat": "now"}))),
            "accept the token: its `iat` is not a number of seconds since 1970",
        ),
        (
            theirs.token(&claims(json!({"nbf": 1e300}))),
            "accept the token: its `nbf` is not a number of seconds since 1970",
        ),
        (ours.token(&own_claims(json!({"sid": "x"}))), "accept the token: its session (`sid`) is not a UUID"),
        (
            ours.token(&own_claims(json!({"gen": {"o": "x"}}))),
            "accept the token: its generation (`gen`) is not an object of at most 16 sequences",
        ),
    ] {
        assert_eq!(judge.refusal(&token).await, refused);
    }
    let second = judge.verify(&theirs.token(&claims(json!({"oid": null, "aud": ["three", "two", "one"]})))).await;
    assert_eq!(second.expect("valid").tenant.as_str(), "two");
}

#[tokio::test]
async fn a_token_has_one_spelling_of_each_part() {
    let judge = Judge::new(Algorithm::Es256);
    let header = judge.theirs.header();
    // A payload that leaves stray bits in its last character.
    let payload = ["", " ", "  "]
        .map(|spaces| format!("{}{spaces}", claims(json!({}))))
        .into_iter()
        .find(|text| text.len() % 3 != 0);
    let valid = judge.theirs.raw(&header, &payload.unwrap());
    assert!(judge.verify(&valid).await.is_ok());
    let [head, body, signature] = valid.split('.').collect::<Vec<_>>().try_into().unwrap();
    for twin in [
        format!("{head}.{body}.{}", next_letter(signature)),
        format!("{head}.{}.{signature}", next_letter(body)),
        format!("{head}.{body}.{signature}="),
        format!("{head}.{body}=.{signature}"),
        format!("{valid}\n"),
        format!(" {valid}"),
        valid.replace('.', ". "),
    ] {
        assert_eq!(judge.refusal(&twin).await, NOT_BASE64URL);
    }
    for parts in ["", ".", "a.b", &format!("{valid}."), &format!("{valid}.{signature}")] {
        assert_eq!(judge.refusal(parts).await, "read the token: it is not a JWT of three parts with dots between them");
    }
    let twice = r#"{"iss":"https://issuer.example","sub":"a","sub":"b","oid":"one"}"#;
    assert_eq!(judge.refusal(&judge.theirs.raw(&header, twice)).await, "read the token: a claim is given twice");
    let deep = r#"{"iss":"https://issuer.example","sub":"a","oid":"one","x":[{"y":1,"y":2}]}"#;
    assert_eq!(judge.refusal(&judge.theirs.raw(&header, deep)).await, "read the token: a claim is given twice");
    assert_eq!(
        judge.refusal(&judge.theirs.raw(&header, "[]")).await,
        "read the token: its claims are not a JSON object"
    );
}

/// The last character with its lowest bit, which no byte needs, turned.
pub fn next_letter(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = part.split_at(part.len() - 1);
    let turned = ALPHABET.find(last).unwrap() ^ 1;
    format!("{start}{}", &ALPHABET[turned..=turned])
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_not_looked_at() {
    let judge = Judge::new(Algorithm::Es256);
    for token in [format!("{}.e30.e30", "A".repeat(1 << 20)), ".".repeat(1 << 20), "a".repeat(16 * 1024 + 1)] {
        assert_eq!(judge.refusal(&token).await, "read the token: it is longer than 16384 bytes");
    }
    assert!(authledger::jose::sign(&judge.ours.key, &own_claims(json!({"x": "x".repeat(16 * 1024)}))).is_err());
}

/// The order of P-256: FIPS 186-5, and SP 800-186, section 3.2.1.3.
const ORDER: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
    \xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";

/// `ORDER − number`, both big-endian.
pub fn negated(number: &[u8]) -> Vec<u8> {
    let mut difference = vec![0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(ORDER[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        difference[at] = digit.rem_euclid(256) as u8;
    }
    difference
}

#[tokio::test]
async fn the_other_signature_that_anybody_can_make_of_an_ecdsa_one_is_the_same_token() {
    let judge = Judge::new(Algorithm::Es256);
    for more in [json!({}), json!({"jti": null})] {
        let valid = judge.theirs.token(&claims(more));
        let (signed, signature) = valid.rsplit_once('.').unwrap();
        let numbers = decode(signature);
        let (r, s) = numbers.split_at(32);
        let twin = format!("{signed}.{}", encode([r, &negated(s)].concat()));
        assert_ne!(valid, twin);
        let [one, other] = [judge.verify(&valid).await, judge.verify(&twin).await].map(|token| token.expect("valid"));
        assert_eq!(one.identity, other.identity);
    }
}

#[tokio::test]
async fn any_change_of_a_signed_byte_is_noticed() {
    for algorithm in ALL {
        let judge = Judge::new(algorithm);
        let valid = judge.theirs.token(&claims(json!({})));
        let other = judge.theirs.token(&claims(json!({"sub": "another"})));
        let [head, _, signature] = valid.split('.').collect::<Vec<_>>().try_into().unwrap();
        let body = other.split('.').nth(1).unwrap();
        assert_eq!(judge.refusal(&format!("{head}.{body}.{signature}")).await, WRONG_SIGNATURE);
        let mut short = decode(signature);
        short.pop();
        let (signed, _) = valid.rsplit_once('.').unwrap();
        assert_eq!(judge.refusal(&format!("{signed}.{}", encode(short))).await, WRONG_SIGNATURE);
        assert_eq!(judge.verify(&format!("{signed}.{}", encode([0; 64]))).await.err(), Some(TokenError::BadSignature));
    }
}

#[tokio::test]
async fn an_id_names_the_token_only_where_the_profile_says_so() {
    let token = claims(json!({"jti": null, "id": "stands-in", "person_id": "person"}));
    let slashid = Judge::of(Algorithm::EdDsa, Some(Profile::SlashId));
    let verified = slashid.verify(&slashid.theirs.token(&token)).await.expect("valid");
    assert_eq!(verified.identity.jti().map(TokenId::as_str), Some("stands-in"));
    assert_eq!(verified.subject.as_given().as_str(), "person");
    let plain = Judge::new(Algorithm::EdDsa);
    let verified = plain.verify(&plain.theirs.token(&token)).await.expect("valid");
    assert!(matches!(verified.identity, CredentialRef::Payload { .. }));
}
