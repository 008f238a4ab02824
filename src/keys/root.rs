//! The bootstrap secret, which may do everything: from the environment, or in `DATA/root-token`.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::mint::{SecretPrefix, mint};
use super::{KeyError, file};
use crate::domain::{Digest, Secret};

const FILE_NAME: &str = "root-token";

/// The knowledge about root's secret while the process runs: its digest, and its file.
pub struct RootToken {
    digest: Digest,
    path: Option<PathBuf>,
}

impl RootToken {
    /// The fewest characters that root's secret may have.
    pub const MIN_CHARS: usize = 32;

    /// Takes the given secret, and then neither reads nor writes a file: a secret in a file is inactive for this
    /// process. Without one, reads `DATA/root-token`, or makes it (0600) if it does not exist.
    ///
    /// It fails if others can read the file, it does not hold a secret, or the disk refuses.
    pub fn load_or_create(data_dir: &Path, given: Option<Secret>) -> Result<Self, KeyError> {
        if let Some(secret) = given {
            return Ok(Self { digest: secret.digest(), path: None });
        }
        let path = data_dir.join(FILE_NAME);
        let secret = match file::find(&path)? {
            Some(bytes) => read(&bytes).ok_or(KeyError::Malformed { path: path.clone(), wanted: "a root token" })?,
            None => create(data_dir, &path)?,
        };
        Ok(Self { digest: secret.digest(), path: Some(path) })
    }

    /// Whether the text can be root's secret: 32 or more visible ASCII characters, so that a header can carry it.
    pub fn is_acceptable(text: &str) -> bool {
        text.len() >= Self::MIN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The secret's digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether that is the secret's digest; the time taken does not depend on where they differ.
    pub fn is(&self, digest: &Digest) -> bool {
        verify_slices_are_equal(self.digest.as_bytes(), digest.as_bytes()).is_ok()
    }

    /// The file that holds the secret; nothing if it came from the environment.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }
}

impl fmt::Debug for RootToken {
    /// Its file, never its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootToken").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read(bytes: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    RootToken::is_acceptable(text).then(|| Secret::new(text))
}

fn create(data_dir: &Path, path: &Path) -> Result<Secret, KeyError> {
    file::ensure_directory(data_dir)?;
    let secret = mint(SecretPrefix::Application)?;
    file::create(path, format!("{}\n", secret.expose()).as_bytes())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys::is_well_formed;

    #[test]
    fn a_root_token_is_made_once_and_read_back() {
        let data = tempfile::tempdir().expect("a directory");
        let first = RootToken::load_or_create(data.path(), None).expect("a new one");
        let path = first.path().expect("it is in a file");
        let text = fs::read_to_string(&path).expect("readable");
        assert!(is_well_formed(text.trim()));
        assert!(first.is(&Secret::new(text.trim()).digest()));
        let again = RootToken::load_or_create(data.path(), None).expect("the same one");
        assert!(again.is(&first.digest()) && !again.is(&Digest::of(b"another")));
        assert!(!format!("{again:?}").contains(&text[5..20]));
    }

    #[test]
    fn a_given_secret_writes_no_file_and_makes_the_files_one_dead() {
        let data = tempfile::tempdir().expect("a directory");
        let given = || Secret::new(&"g".repeat(RootToken::MIN_CHARS));
        let root = RootToken::load_or_create(data.path(), Some(given())).expect("given");
        assert!(root.path().is_none() && fs::read_dir(data.path()).expect("readable").next().is_none());
        let in_file = RootToken::load_or_create(data.path(), None).expect("a new one");
        let root = RootToken::load_or_create(data.path(), Some(given())).expect("given");
        assert!(root.is(&given().digest()) && !root.is(&in_file.digest()));
    }

    #[test]
    fn a_root_token_that_others_can_read_or_that_is_none_is_refused() {
        let data = tempfile::tempdir().expect("a directory");
        let path = RootToken::load_or_create(data.path(), None).expect("a new one").path().expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o604)).expect("our own file");
        let refusal = RootToken::load_or_create(data.path(), None).expect_err("too open").to_string();
        assert!(refusal.contains("chmod 600"), "{refusal}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
        fs::write(&path, "short").expect("our own file");
        let refusal = RootToken::load_or_create(data.path(), None).expect_err("too short").to_string();
        assert!(refusal.contains("root token") && !refusal.contains("short"), "{refusal}");
    }
}
