//! The key that makes pseudonyms of subjects: 32 random bytes in `DATA/keys/pseudonym.key`.
//!
//! `schema/event-log.md` defines the pseudonyms. With the key, a pseudonym can be matched to its subject by trying
//! names; without it, it can't.

use std::fmt;
use std::path::Path;

use super::mint::{coded, is_coded};
use super::slots::wipe;
use super::{KeyError, file};
use crate::domain::{Subject, Tenant};

const FILE_NAME: &str = "pseudonym.key";
const KEY_BYTES: usize = 32;
const PREFIX: &str = "al_p_";
/// The digits that 32 bytes need: 62^43 > 2^256.
const DIGITS: usize = 43;

const NAME_CONTEXT: &str = "authledger 2026 subject pseudonym v1";
const CHECK_CONTEXT: &str = "authledger 2026 subject pseudonym check v1";
const BLIND_CONTEXT: &str = "authledger 2026 subject pseudonym blind v1";

/// Makes pseudonyms of subjects.
pub struct PseudonymKey {
    name: [u8; KEY_BYTES],
    blind: [u8; KEY_BYTES],
    check: [u8; KEY_BYTES],
}

impl PseudonymKey {
    /// Reads the key in that directory, or makes directory (0700) and key (0600) if they do not exist.
    ///
    /// It fails if a mode lets others in, the file holds anything but 32 bytes, or the disk refuses.
    pub fn load_or_create(dir: &Path) -> Result<Self, KeyError> {
        file::private_directory(dir)?;
        if let Some(key) = Self::load(dir)? {
            return Ok(key);
        }
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        file::create(&dir.join(FILE_NAME), &bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Reads the key in that directory; nothing if it does not exist.
    pub fn load(dir: &Path) -> Result<Option<Self>, KeyError> {
        let path = dir.join(FILE_NAME);
        let Some(mut bytes) = file::find(&path)? else { return Ok(None) };
        let key = <[u8; KEY_BYTES]>::try_from(&*bytes);
        wipe(&mut bytes);
        key.map(|key| Some(Self::from_bytes(key))).map_err(|_| KeyError::Malformed { path, wanted: "32 bytes" })
    }

    /// The key with these bytes.
    pub fn from_bytes(mut bytes: [u8; KEY_BYTES]) -> Self {
        let [name, blind, check] =
            [NAME_CONTEXT, BLIND_CONTEXT, CHECK_CONTEXT].map(|context| blake3::derive_key(context, &bytes));
        wipe(&mut bytes);
        Self { name, blind, check }
    }

    /// A check that tells this key from others, and reveals nothing of it: the log may hold it.
    pub const fn check(&self) -> &[u8; KEY_BYTES] {
        &self.check
    }

    /// The subject's pseudonym in that tenant. A pseudonym that comes back in is recognised by its form, and stays the
    /// same.
    pub fn pseudonym(&self, tenant: &Tenant, subject: &Subject) -> Subject {
        if is_coded(PREFIX, DIGITS, subject.as_str()) {
            return subject.clone();
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.name);
        // No name has a control character.
        hasher.update(tenant.as_str().as_bytes()).update(&[0]).update(subject.as_str().as_bytes());
        let pseudonym = Subject::new(&coded(PREFIX, DIGITS, hasher.finalize().as_bytes()));
        // 54 letters and digits have the form of a subject.
        pseudonym.unwrap_or_else(|_| subject.clone())
    }

    /// A keyed digest of a text that may contain a subject's name, so that the name can't be found by trial.
    pub fn blind(&self, text: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.blind, text).as_bytes()
    }
}

impl Drop for PseudonymKey {
    fn drop(&mut self) {
        wipe(&mut self.name);
        wipe(&mut self.blind);
    }
}

impl fmt::Debug for PseudonymKey {
    /// Only that it is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn subject(text: &str) -> Subject {
        Subject::new(text).expect("a name")
    }

    #[test]
    fn the_key_is_private_and_the_same_after_a_restart() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = data.path().join("keys");
        let made = PseudonymKey::load_or_create(&dir).expect("a new key");
        let loaded = PseudonymKey::load(&dir).expect("readable").expect("it is there");
        assert_eq!(made.check(), loaded.check());
        let path = dir.join(FILE_NAME);
        assert_eq!(fs::metadata(&path).expect("it exists").permissions().mode() & 0o777, 0o600);
        fs::write(&path, [1; 31]).expect("our own file");
        let refusal = PseudonymKey::load(&dir).expect_err("too short").to_string();
        assert!(refusal.contains("it does not hold 32 bytes"), "{refusal}");
    }

    #[test]
    fn a_pseudonym_is_of_its_tenant_and_key_and_stays_what_it_is() {
        let keys = [[1; 32], [2; 32]].map(PseudonymKey::from_bytes);
        let (one, other) = (Tenant::default(), Tenant::new("other").expect("a name"));
        let ada = subject("ada@example.org");
        let pseudonym = keys[0].pseudonym(&one, &ada);
        assert_eq!(pseudonym.as_str().len(), 54);
        assert_eq!(keys[0].pseudonym(&one, &ada), pseudonym);
        assert_ne!(keys[0].pseudonym(&other, &ada), pseudonym);
        assert_ne!(keys[1].pseudonym(&one, &ada), pseudonym);
        assert_eq!(keys[1].pseudonym(&other, &pseudonym), pseudonym);
        let lookalike = subject(&format!("{}x", &pseudonym.as_str()[..53]));
        assert_ne!(keys[0].pseudonym(&one, &lookalike), lookalike);
    }
}
