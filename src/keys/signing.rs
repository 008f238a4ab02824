//! Keys that sign the ledger's tokens, each in a file of its own: `DATA/keys/token-<kid>.key`, PKCS#8 in DER.
//!
//! A key is named by its thumbprint, so a file that holds another key than its name says is noticed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use serde::Deserialize;

use super::{KeyError, file};
use crate::domain::Malformed;

/// Characters of a thumbprint: 32 bytes in base64url.
const KID_CHARS: usize = 43;
/// The size of the RSA keys that are made.
const RSA_SIZE: KeySize = KeySize::Rsa2048;
/// The smallest RSA modulus that may sign, in bytes: 2048 bits, as RFC 7518, section 3.3, demands.
const MIN_MODULUS_BYTES: usize = 256;

/// The algorithms of RFC 7518 and RFC 8037 that sign tokens, and that are accepted. There is no fourth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    #[default]
    #[value(name = "ES256")]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[value(name = "EdDSA")]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[value(name = "RS256")]
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name in a header or a key: RFC 7515, section 4.1.1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let all = [Self::Es256, Self::EdDsa, Self::Rs256];
        all.into_iter().find(|one| one.as_str() == text).ok_or(Malformed("ES256, EdDSA or RS256"))
    }
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// A key that signs the ledger's tokens.
pub struct SigningKey {
    pair: Pair,
    kid: String,
}

impl SigningKey {
    /// Makes a key and its file (0600), and the directory (0700) if it does not exist. When this returns, the key
    /// survives a loss of power. An RSA key has 2048 bits.
    ///
    /// It fails if the directory lets others in, the disk refuses, or there is no randomness.
    pub fn generate(dir: &Path, algorithm: Algorithm) -> Result<Self, KeyError> {
        file::private_directory(dir)?;
        let der = new_pkcs8(algorithm)?;
        let key = Self::from_pkcs8(&der).ok_or(KeyError::Unsigned)?;
        file::create(&path(dir, &key.kid), &der)?;
        Ok(key)
    }

    /// The key of that name, or nothing if this directory does not have the file; a text that is not a thumbprint is
    /// not a name.
    ///
    /// It fails if others can read the file, or it holds anything but the key of that thumbprint.
    pub fn load(dir: &Path, kid: &str) -> Result<Option<Self>, KeyError> {
        if !is_thumbprint(kid) {
            return Ok(None);
        }
        let path = path(dir, kid);
        let Some(der) = file::find(&path)? else { return Ok(None) };
        let key = Self::from_pkcs8(&der).filter(|key| key.kid == kid);
        key.map(Some).ok_or(KeyError::Malformed { path, wanted: "a token key of that name in PKCS#8" })
    }

    /// The name: the key's thumbprint with SHA-256 (RFC 7638) in base64url, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The public half as a JWK (RFC 7517), compact JSON.
    pub fn public_jwk(&self) -> String {
        let members = match self.pair.public() {
            Public::Ec { x, y } => format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#),
            Public::Okp { x } => format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#),
            Public::Rsa { n, e } => format!(r#""kty":"RSA","n":"{n}","e":"{e}""#),
        };
        format!(r#"{{{members},"alg":"{}","kid":"{}","use":"sig"}}"#, self.algorithm(), self.kid)
    }

    /// The signature over the message in the form of RFC 7518, section 3: for ES256 the two numbers, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Unsigned)
            }
            Pair::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.map(|()| signature).map_err(|_| KeyError::Unsigned)
            }
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = Pair::from_pkcs8(der)?;
        let kid = pair.public().thumbprint();
        Some(Self { pair, kid })
    }
}

impl fmt::Debug for SigningKey {
    /// Only the public name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm(), self.kid)
    }
}

impl Pair {
    /// The form names the algorithm, so at most one of them fits.
    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Self::Es256(pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Some(Self::EdDsa(pair));
        }
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        (pair.public_modulus_len() >= MIN_MODULUS_BYTES).then_some(Self::Rs256(pair))
    }

    fn public(&self) -> Public {
        match self {
            Self::Es256(pair) => {
                // An uncompressed point (SEC 1, section 2.3.3): a 4, then both coordinates, 32 bytes each.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                Public::Ec { x: encode(x), y: encode(y) }
            }
            Self::EdDsa(pair) => Public::Okp { x: encode(pair.public_key().as_ref()) },
            Self::Rs256(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                Public::Rsa { n: encode(&n), e: encode(&e) }
            }
        }
    }
}

/// A public key's own members, in base64url.
enum Public {
    Ec { x: String, y: String },
    Okp { x: String },
    Rsa { n: String, e: String },
}

impl Public {
    /// RFC 7638, section 3: the required members alone, by name, without a space.
    fn thumbprint(&self) -> String {
        let members = match self {
            Self::Ec { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Self::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        };
        encode(digest::digest(&SHA256, members.as_bytes()).as_ref())
    }
}

fn new_pkcs8(algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
    let random = SystemRandom::new();
    let made = match algorithm {
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        Algorithm::Rs256 => {
            let der = RsaKeyPair::generate(RSA_SIZE).and_then(|pair| pair.as_der());
            return der.map(|der| der.as_ref().to_vec()).map_err(|_| KeyError::NoRandomness);
        }
    };
    made.map(|document| document.as_ref().to_vec()).map_err(|_| KeyError::NoRandomness)
}

fn path(dir: &Path, kid: &str) -> PathBuf {
    dir.join(format!("token-{kid}.key"))
}

fn is_thumbprint(kid: &str) -> bool {
    kid.len() == KID_CHARS && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

    #[test]
    fn the_thumbprint_is_the_one_of_the_standards_examples() {
        // RFC 7638, section 3.1, and RFC 8037, appendix A.3.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n\
                 3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgd\
                 AZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur\
                 -kEgU8awapJzKnqDKgw";
        let rsa = Public::Rsa { n: n.to_owned(), e: "AQAB".to_owned() };
        assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let okp = Public::Okp { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() };
        assert_eq!(okp.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_is_private_durable_and_the_same_after_a_restart() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        for algorithm in ALL {
            let made = SigningKey::generate(&dir, algorithm).expect("a new key");
            let loaded = SigningKey::load(&dir, made.kid()).expect("readable").expect("it is there");
            assert_eq!((made.algorithm(), loaded.algorithm()), (algorithm, algorithm));
            assert_eq!(made.public_jwk(), loaded.public_jwk());
            let mode = fs::metadata(path(&dir, made.kid())).expect("it exists").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
            assert_eq!(format!("{made:?}"), format!("SigningKey({algorithm} {})", made.kid()));
        }
        assert_eq!(fs::read_dir(&dir).expect("readable").count(), ALL.len(), "no unfinished file is left");
    }

    #[test]
    fn a_name_that_is_no_thumbprint_never_becomes_a_path() {
        let data = tempfile::tempdir().expect("a directory");
        for name in ["", "../../etc/passwd", &"a".repeat(42), &"a/".repeat(22)[..43], &".".repeat(43)] {
            assert!(SigningKey::load(data.path(), name).expect("no error").is_none(), "{name}");
        }
        assert!(SigningKey::load(&data.path().join("none"), &"a".repeat(43)).expect("no error").is_none());
    }

    #[test]
    fn a_file_that_holds_another_key_or_lets_others_in_is_refused() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        let [one, other] = [(); 2].map(|()| SigningKey::generate(&dir, Algorithm::EdDsa).expect("a new key"));
        fs::copy(path(&dir, one.kid()), path(&dir, other.kid())).expect("our own files");
        let refusal = SigningKey::load(&dir, other.kid()).expect_err("another key").to_string();
        assert!(refusal.contains("a token key of that name in PKCS#8"), "{refusal}");
        fs::set_permissions(path(&dir, one.kid()), Permissions::from_mode(0o640)).expect("our own file");
        let refusal = SigningKey::load(&dir, one.kid()).expect_err("too open").to_string();
        assert!(refusal.contains("chmod 600"), "{refusal}");
    }

    #[test]
    fn an_algorithm_is_read_as_it_is_written_and_no_other_way() {
        for algorithm in ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for other in ["es256", "ES384", "HS256", "none", ""] {
            assert_eq!(other.parse::<Algorithm>(), Err(Malformed("ES256, EdDSA or RS256")));
        }
    }
}
