//! A copy of the keys, to be kept apart from the log.

use std::fs;
use std::path::Path;

use super::{KeyError, file, origin, slots};

/// Copies every key file of a directory except the origin's into another one, which is made (0700) if it does not
/// exist. Returns how many.
///
/// The origin's key stays where it is: a copy of the log with it would continue the same origin as the original, and
/// sign a second history.
pub fn copy(from: &Path, to: &Path) -> Result<usize, KeyError> {
    file::private_directory(to)?;
    let mut copied = 0;
    for entry in fs::read_dir(from).map_err(KeyError::io("read", from))? {
        let entry = entry.map_err(KeyError::io("read", from))?;
        let path = entry.path();
        // The unfinished file of a crash is not a key.
        if !path.is_file()
            || entry.file_name() == origin::FILE_NAME
            || path.extension().is_some_and(|extension| extension == "new")
        {
            continue;
        }
        copy_file(&path, &to.join(entry.file_name()))?;
        copied += 1;
    }
    Ok(copied)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), KeyError> {
    if from.file_name().is_some_and(|name| name == slots::FILE_NAME) {
        return slots::copy(from, to);
    }
    let bytes = fs::read(from).map_err(KeyError::io("read", from))?;
    file::create(to, &bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys::{OriginKey, SealingKeys};

    #[test]
    fn a_copy_of_the_keys_is_private_and_has_all_but_the_origins() {
        let data = tempfile::tempdir().expect("a directory");
        let (from, to) = (data.path().join("keys"), data.path().join("copy"));
        OriginKey::load_or_create(&from).expect("a new key");
        drop(SealingKeys::open(&from).expect("new keys"));
        assert_eq!(copy(&from, &to).expect("copied"), 1);
        let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("sealing.keys"))), (0o700, 0o600));
        assert!(!to.join("origin.key").exists());
        let bytes = |directory: &Path| fs::read(directory.join("sealing.keys")).expect("readable");
        assert_eq!(bytes(&to), bytes(&from));
    }
}
