//! The key of this node's origin: Ed25519, made at the first start, in `DATA/keys/origin.key` as PKCS#8.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::{KeyError, file};
use crate::domain::hex;

pub(super) const FILE_NAME: &str = "origin.key";

/// Signs for this node's origin.
pub struct OriginKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl OriginKey {
    /// Reads the key in that directory, or makes directory (0700) and key (0600) if they do not exist.
    ///
    /// It fails if a mode lets others in, the file does not hold an Ed25519 key, or the disk refuses.
    pub fn load_or_create(dir: &Path) -> Result<Self, KeyError> {
        file::private_directory(dir)?;
        let path = dir.join(FILE_NAME);
        let bytes = match file::find(&path)? {
            Some(bytes) => bytes,
            None => create(&path)?,
        };
        Self::from_pkcs8(&bytes).ok_or(KeyError::Malformed { path, wanted: "an Ed25519 key in PKCS#8" })
    }

    /// The public key: RFC 8032, 32 bytes.
    pub const fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// The signature over the message: RFC 8032, 64 bytes, the same every time.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, public })
    }
}

impl fmt::Debug for OriginKey {
    /// Only the public key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginKey(")?;
        hex::write(&self.public, f)?;
        f.write_str(")")
    }
}

fn create(path: &Path) -> Result<Vec<u8>, KeyError> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?;
    file::create(path, document.as_ref())?;
    Ok(document.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
    }

    #[test]
    fn a_key_is_made_once_private_and_signs_the_same_after_a_restart() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        let first = OriginKey::load_or_create(&dir).expect("a new key");
        let again = OriginKey::load_or_create(&dir).expect("the same key");
        assert_eq!(first.public_key(), again.public_key());
        assert_eq!(first.sign(b"head"), again.sign(b"head"));
        UnparsedPublicKey::new(&ED25519, first.public_key())
            .verify(b"head", &first.sign(b"head"))
            .expect("it verifies");
        assert_eq!((mode(&dir), mode(&dir.join(FILE_NAME))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).expect("readable").count(), 1, "no unfinished file is left");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        OriginKey::load_or_create(&dir).expect("a new key");
        fs::set_permissions(dir.join(FILE_NAME), Permissions::from_mode(0o640)).expect("our own file");
        let refusal = OriginKey::load_or_create(&dir).expect_err("too open").to_string();
        assert!(refusal.contains("mode 0640") && refusal.contains("chmod 600"), "{refusal}");
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("our own directory");
        let refusal = OriginKey::load_or_create(&dir).expect_err("too open").to_string();
        assert!(refusal.contains("chmod 700"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_left_alone() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        OriginKey::load_or_create(&dir).expect("a new key");
        fs::write(dir.join(FILE_NAME), b"garbage").expect("our own file");
        let refusal = OriginKey::load_or_create(&dir).expect_err("no key").to_string();
        assert!(refusal.contains("origin.key") && !refusal.contains("garbage"), "{refusal}");
        assert_eq!(fs::read(dir.join(FILE_NAME)).expect("still there"), b"garbage");
    }
}
